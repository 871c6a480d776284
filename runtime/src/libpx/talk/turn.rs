//! A lock that can be waited for with patience.

use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use super::member::Patience;

/// Something that one thread uses at a time.
#[derive(Default)]
pub struct Turn<T> {
    value: Mutex<T>,
    /// Threads that want it while another one has it.
    waiting: AtomicUsize,
    queue: Mutex<()>,
    free: Condvar,
}

/// Why it is nobody's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTurn {
    /// The patience has run out.
    Timeout,
    /// A thread panicked when it was its turn.
    Broken,
}

impl<T> Turn<T> {
    /// Waits for its turn and does `work` then.
    ///
    /// # Errors
    /// [`NoTurn`]
    ///
    /// # Cost
    /// Two changes of an atomic and a fence, if nobody else wants it.
    pub fn with<R>(&self, patience: Patience, work: impl FnOnce(&mut T) -> R) -> Result<R, NoTurn> {
        // Dropped last, so that it calls when the value is free; also when the patience has run out,
        // since the call may have been for this thread.
        let _next = CallNext(self);
        let mut value = match self.try_take()? {
            Some(value) => value,
            None => self.wait(patience)?,
        };
        Ok(work(&mut value))
    }

    fn try_take(&self) -> Result<Option<MutexGuard<'_, T>>, NoTurn> {
        match self.value.try_lock() {
            Ok(value) => Ok(Some(value)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Poisoned(_)) => Err(NoTurn::Broken),
        }
    }

    #[cold]
    fn wait(&self, patience: Patience) -> Result<MutexGuard<'_, T>, NoTurn> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut queue = self.queue();
        let result = loop {
            match self.try_take() {
                Ok(Some(value)) => break Ok(value),
                Ok(None) => {}
                Err(broken) => break Err(broken),
            }
            let Some(left) = patience.left() else { break Err(NoTurn::Timeout) };
            let waited = self.free.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn queue(&self) -> MutexGuard<'_, ()> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls who waits next, also when the one before panicked.
struct CallNext<'a, T>(&'a Turn<T>);

impl<T> Drop for CallNext<'_, T> {
    fn drop(&mut self) {
        // After the value was freed: a thread that says that it waits looks at it after that.
        fence(Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            drop(self.0.queue());
            self.0.free.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn whose_patience_runs_out_does_not_get_a_turn() {
        let turn = Turn::default();
        let inside = turn.with(Patience::Once, |value: &mut u32| {
            *value = 7;
            let soon = Instant::now() + Duration::from_millis(5);
            assert_eq!(turn.with(Patience::Until(soon), |_| ()), Err(NoTurn::Timeout));
            turn.with(Patience::Once, |_| ())
        });
        assert_eq!(inside, Ok(Err(NoTurn::Timeout)));
        assert_eq!(turn.with(Patience::Once, |value| *value), Ok(7));
    }

    #[test]
    fn all_who_wait_get_their_turn() {
        let turn = Turn::default();
        let add = |value: &mut u32| *value += 1;
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| (0..500).for_each(|_| turn.with(Patience::Endless, add).unwrap()));
            }
        });
        assert_eq!(turn.with(Patience::Once, |value| *value), Ok(2000));
    }

    #[test]
    fn what_a_panic_left_is_nobodys_turn() {
        let turn: Turn<u32> = Turn::default();
        let work = || turn.with(Patience::Once, |_| panic!("as the test wants"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        assert_eq!(turn.with(Patience::Endless, |_| ()), Err(NoTurn::Broken));
        assert_eq!(turn.with(Patience::Endless, |_| ()), Err(NoTurn::Broken));
    }
}
