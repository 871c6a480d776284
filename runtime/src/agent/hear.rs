//! What copies that use libpx say, as news for the root.

use std::collections::VecDeque;
use std::time::Instant;

use super::copy::Copy;
use super::inbox::Heard;
use super::program::SOCKET;
use crate::buffers::Buffers;
use crate::libpx::wire::{self, FromProgram};
use crate::link::Moved;
use crate::link::frame::NUMBER;
use crate::message::{Conduct, FromAgent};
use crate::poller::percent;

/// Frames taken from one copy before another's turn.
const FRAMES: u32 = 64;

/// How far a copy that has ended may overdraw its credit, in bytes: as much as its socket holds.
/// It may have said why, and its end must not wait for those who read its output.
const LAST_WORDS: i64 = 2 * SOCKET as i64;

/// Down to where a copy may use up its credit.
pub(super) fn floor(copy: &Copy) -> i64 {
    if copy.program.is_some() && copy.exited.is_some() { -LAST_WORDS } else { 0 }
}

/// Takes what a copy says, as far as there is credit for its output.
pub(super) fn hear(
    copy: &mut Copy,
    rank: u32,
    credit: &mut i64,
    (buffers, headroom): (&Buffers, usize),
    moved: &mut Moved,
    told: &mut VecDeque<FromAgent>,
    now: Instant,
) {
    // In front of what goes over a link there is room for its number, too.
    let headroom = if headroom > 0 { headroom + NUMBER } else { 0 };
    let floor = floor(copy);
    let mut emitted = 0;
    for _ in 0..FRAMES {
        let Some(program) = copy.program.as_mut().filter(|_| *credit > floor) else { return };
        let broke = |what: String| FromAgent::Broke { rank, what };
        let news = match program.read(buffers, headroom) {
            Heard::Nothing => return,
            Heard::End => return copy.hang_up(now),
            Heard::Failed(source) => {
                copy.hang_up(now);
                FromAgent::ReadFailed { rank, source }
            }
            Heard::Broke(error) => {
                copy.hang_up(now);
                broke(error.to_string())
            }
            Heard::Emitted(chunk, bytes) => {
                emitted += (bytes.len() - headroom) as u64;
                moved.fullest = moved.fullest.max(percent(emitted, SOCKET));
                *credit -= i64::try_from(bytes.len() - headroom).unwrap_or(i64::MAX);
                FromAgent::Emitted { rank, chunk, bytes }
            }
            Heard::Talked(to, bytes) => {
                FromAgent::Talked { rank, to: u32::try_from(to).unwrap_or(u32::MAX), bytes }
            }
            Heard::Said(FromProgram::Hello { version }) => {
                copy.conduct = Conduct::Begun;
                if version == wire::VERSION {
                    continue;
                }
                broke(format!("version {version} of libpx, and not {}", wire::VERSION))
            }
            Heard::Said(FromProgram::Finalize) => {
                copy.conduct = Conduct::Finalized;
                FromAgent::Finalized { rank }
            }
            Heard::Said(FromProgram::Took { chunks }) => FromAgent::Took { rank, chunks },
            Heard::Said(FromProgram::Release { chunk, how, emitted }) => {
                FromAgent::Released { rank, chunk, how, emitted }
            }
            Heard::Said(FromProgram::Talks) => FromAgent::Talks { rank },
            Heard::Said(FromProgram::Listens) => FromAgent::Listens { rank },
            Heard::Said(FromProgram::Drained { from, bytes }) => {
                FromAgent::Drained { rank, from, bytes }
            }
            Heard::Said(FromProgram::Abort { status, why }) => {
                FromAgent::Aborted { rank, status, why }
            }
        };
        moved.any = true;
        told.push_back(news);
    }
    moved.more = true;
}
