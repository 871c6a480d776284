//! MPI as pxrun knows it: processes, and a way to each.

use std::time::Duration;

use px_runtime::buffers::Buffers;
use px_runtime::failure::{Message, OWN};
use px_runtime::link::carrier::Carrier;
use px_runtime::link::control::FROM_ROOT;
use px_runtime::sys::fd::expect_others_descriptors;
use pxrun::fabric::Fabric;
use pxrun::launcher_env::set_for_this_process;

use crate::hub::{Hub, Way};
use crate::world::{Left, World};

/// The longest message: the root's longest, behind frames that it was joined to.
const LONGEST: usize = FROM_ROOT + (1 << 20);

/// The processes of an MPI.
struct Joined {
    world: World,
    hub: Hub,
}

/// How UCX, which carries MPICH and may carry Open MPI, is kept from ending this process when another
/// one dies in the middle of a large message.
const SETTINGS: [(&str, &str); 2] = [("UCX_TLS", "^cma"), ("UCX_TCP_PUT_ENABLE", "n")];

/// Joins MPI, to use it in this thread.
///
/// # Errors
/// There is no MPI, or another one than the launcher's.
pub fn join(buffers: &Buffers) -> Result<Box<dyn Fabric>, Message> {
    // Who has chosen something knows the network better.
    if SETTINGS.iter().all(|(name, _)| std::env::var_os(name).is_none()) {
        for (name, value) in SETTINGS {
            set_for_this_process(name, value)
                .map_err(|errno| Message::new(format!("cannot set `{name}`: {errno}")))?;
        }
    }
    let world = World::start().map_err(|error| error.message())?;
    // The library opens connections when it needs them, and leaves them to every child.
    expect_others_descriptors();
    let hub = Hub::new(&world, buffers.clone(), LONGEST);
    Ok(Box::new(Joined { world, hub }))
}

fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

impl Fabric for Joined {
    fn rank(&self) -> u32 {
        number(self.world.rank())
    }

    fn size(&self) -> u32 {
        number(self.world.size())
    }

    fn carrier(&self, peer: u32) -> Option<Box<dyn Carrier>> {
        let way: Way = self.hub.carrier(peer as usize)?;
        Some(Box::new(way))
    }

    fn leave(self: Box<Self>, patience: Duration) -> bool {
        let Joined { world, hub } = *self;
        // What others have sent and nobody waits for is taken, or they could not leave.
        let left = world.leave(patience, OWN, || hub.look());
        left == Left::Together
    }
}
