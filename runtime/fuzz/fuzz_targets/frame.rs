//! Whatever comes on a link: it is told apart into frames within their limits, read as messages of
//! either side, or refused; nothing panics, and nothing is unpacked beyond its bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use px_runtime::link::control::{self, AgentSays, RootSays};
use px_runtime::link::frame::{self, Decoded, HEADER, Kind, LARGEST_DATA};
use px_runtime::link::packing::Unpacker;
use px_runtime::link::preamble::{self, Preamble};

/// Most bytes of a message here.
const CONTROL: usize = 1000;
/// Unpacked until there is so much.
const ENOUGH: usize = 64 << 10;
/// Unpacked in one step, beyond what is enough.
const STEP: usize = 128 << 10;

fuzz_target!(|data: &[u8]| {
    if let Preamble::Version(version, length) = preamble::decode(data) {
        assert!(length <= data.len() && preamble::encode(&version) == data[..length]);
    }
    frames(data);
    // As if its frame had come whole, which a checksum makes unlikely here.
    message(data);
    unpack(data);
});

fn frames(mut bytes: &[u8]) {
    while let Ok(decoded) = frame::decode(bytes, CONTROL) {
        match decoded {
            Decoded::Incomplete { needed } => {
                assert!(needed > bytes.len() && needed <= HEADER + LARGEST_DATA);
                return;
            }
            Decoded::Frame(found) => {
                let length = HEADER + found.payload.len();
                let mut again = Vec::new();
                frame::encode(&mut again, found.kind, found.rank, found.payload);
                assert_eq!(again, bytes[..length]);
                if found.kind == Kind::Control {
                    assert!(found.payload.len() <= CONTROL);
                    message(found.payload);
                }
                bytes = &bytes[length..];
            }
        }
    }
}

/// What can be read can be said again.
fn message(payload: &[u8]) {
    if let Ok(said) = control::decode::<AgentSays>(payload) {
        let mut again = Vec::new();
        assert!(control::encode(&mut again, &said));
        let _ = format!("{said:?}");
        assert!(control::decode::<AgentSays>(&again).is_ok());
    }
    if let Ok(said) = control::decode::<RootSays<'_>>(payload) {
        let mut again = Vec::new();
        assert!(control::encode(&mut again, &said));
        assert!(control::decode::<RootSays<'_>>(&again).is_ok());
    }
}

fn unpack(packed: &[u8]) {
    let Ok(mut unpacker) = Unpacker::new() else { return };
    let mut out = Vec::new();
    if let Ok(used) = unpacker.unpack(packed, &mut out, ENOUGH) {
        assert!(used <= packed.len());
    }
    assert!(out.len() <= ENOUGH + STEP);
}
