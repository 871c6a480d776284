//! A lock that can be waited for with a patience, for the price of two changes of an atomic.
//!
//! The standard library's locks are waited for without end; one made of two of them and a condition
//! variable costs a tenth of what a message does.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::thread::futex;

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and others may wait for it.
const AWAITED: u32 = 2;
const BROKEN: u32 = 3;

/// Something that one thread uses at a time.
#[derive(Default)]
pub struct Turn<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by the one thread that has changed the state from `FREE`, so sharing
// this hands the value from thread to thread.
unsafe impl<T: Send> Sync for Turn<T> {}

/// Why it is nobody's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTurn {
    /// The patience has run out.
    Timeout,
    /// A thread panicked when it was its turn.
    Broken,
}

impl<T> Turn<T> {
    /// Waits for its turn as long as there is patience `left`, and does `work` then.
    ///
    /// # Errors
    /// [`NoTurn`]
    pub fn with<R>(
        &self,
        left: impl Fn() -> Option<Duration>,
        work: impl FnOnce(&mut T) -> R,
    ) -> Result<R, NoTurn> {
        let (order, other) = (Ordering::Acquire, Ordering::Relaxed);
        if self.state.compare_exchange(FREE, TAKEN, order, other).is_err() {
            self.wait(left)?;
        }
        // Left as it is by a panic.
        let mut after = After { state: &self.state, next: BROKEN };
        // SAFETY: this thread has changed the state from `FREE`, and no other one does before
        // `after` has freed it, which is when this reference is gone.
        let result = work(unsafe { &mut *self.value.get() });
        after.next = FREE;
        Ok(result)
    }

    #[cold]
    fn wait(&self, left: impl Fn() -> Option<Duration>) -> Result<(), NoTurn> {
        let change = |from, to| {
            let changed =
                self.state.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed);
            changed.is_ok()
        };
        loop {
            match self.state.load(Ordering::Relaxed) {
                // Whoever waits beside this thread is called when this one is done.
                FREE if change(FREE, AWAITED) => return Ok(()),
                TAKEN if !change(TAKEN, AWAITED) => {}
                TAKEN | AWAITED => {
                    let left = super::timespec(left().ok_or(NoTurn::Timeout)?);
                    let flags = futex::Flags::PRIVATE;
                    // Whatever ends it, there is another look.
                    let _ = futex::wait(&self.state, flags, AWAITED, Some(&left));
                }
                BROKEN => return Err(NoTurn::Broken),
                _ => {}
            }
        }
    }
}

/// Ends a turn.
struct After<'a> {
    state: &'a AtomicU32,
    next: u32,
}

impl Drop for After<'_> {
    fn drop(&mut self) {
        if self.state.swap(self.next, Ordering::Release) == AWAITED {
            let threads = if self.next == BROKEN { i32::MAX.unsigned_abs() } else { 1 };
            let _ = futex::wake(self.state, futex::Flags::PRIVATE, threads);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Instant;

    fn endless() -> Option<Duration> {
        Some(Duration::MAX)
    }

    #[test]
    fn whose_patience_runs_out_does_not_get_a_turn() {
        let turn = Turn::default();
        let inside = turn.with(endless, |value: &mut u32| {
            *value = 7;
            let end = Instant::now() + Duration::from_millis(5);
            let left = || end.checked_duration_since(Instant::now());
            assert_eq!(turn.with(left, |_| ()), Err(NoTurn::Timeout));
            turn.with(|| None, |_| ())
        });
        assert_eq!(inside, Ok(Err(NoTurn::Timeout)));
        assert_eq!(turn.with(|| None, |value| *value), Ok(7));
    }

    #[test]
    fn all_who_wait_get_their_turn() {
        let turn = Turn::default();
        let add = |value: &mut u32| {
            let before = *value;
            std::thread::yield_now();
            *value = before + 1;
        };
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| (0..500).for_each(|_| turn.with(endless, add).unwrap()));
            }
        });
        assert_eq!(turn.with(endless, |value| *value), Ok(2000));
    }

    #[test]
    fn what_a_panic_left_is_nobodys_turn_and_who_waits_learns_it() {
        let turn: Turn<u32> = Turn::default();
        std::thread::scope(|threads| {
            let (enter, entered) = std::sync::mpsc::channel();
            let turn = &turn;
            threads.spawn(move || {
                let work = |_: &mut u32| {
                    enter.send(()).unwrap();
                    while turn.state.load(Ordering::SeqCst) != AWAITED {
                        std::thread::yield_now();
                    }
                    panic!("as the test wants");
                };
                assert!(catch_unwind(AssertUnwindSafe(|| turn.with(endless, work))).is_err());
            });
            entered.recv().unwrap();
            assert_eq!(turn.with(endless, |_| ()), Err(NoTurn::Broken));
        });
        assert_eq!(turn.with(endless, |_| ()), Err(NoTurn::Broken));
    }
}
