//! Handles that can be checked: what a program holds is the number of a slot and how often that
//! slot has been used, made up as a pointer that nobody follows.
//!
//! So a handle that was released, copied wrong or made up is told from one that counts, whatever a
//! program does with it. A slot is a lock that nobody waits for: who comes while another thread is
//! inside is told so, and a panic inside leaves the slot poisoned. A thread whose handle has just been
//! released may still have the lock for a moment, to find that out; who has the slot's handle now
//! waits for it to be gone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, TryLockError};

use crate::status::{Fault, PX_ERR_BUSY, PX_ERR_HANDLE, PX_ERR_POISONED};

/// Bits of the table's kind, the lowest of a token.
const KIND_BITS: u32 = 4;
/// Bits of the slot's number, above them. The rest counts how often the slot was used.
const SLOT_BITS: u32 = 12;

/// Slots for values of one kind; `N` is at most 4,096.
pub struct Table<T, const N: usize> {
    kind: usize,
    noun: &'static str,
    slots: [Slot<T>; N],
}

struct Slot<T> {
    /// Told without the lock: whoever looks for a free slot must not be in the way of one in use.
    in_use: AtomicBool,
    /// Counts each value that came and each that went.
    uses: AtomicUsize,
    /// Threads that are inside with a handle that counts.
    inside: AtomicUsize,
    value: RwLock<Option<Box<T>>>,
}

/// A value that was taken out of its slot.
pub struct Taken<T> {
    /// The value.
    pub value: Box<T>,
    /// Whether a panic has happened while it was in use.
    pub poisoned: bool,
}

/// The lock of a slot, as it was found.
enum Entered<'a, G> {
    Well(G, Inside<'a>),
    Poisoned(G, Inside<'a>),
}

/// A thread that is inside of a slot, as long as this lives.
struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    fn new<T>(slot: &'a Slot<T>) -> Self {
        slot.inside.fetch_add(1, Ordering::SeqCst);
        Inside(&slot.inside)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<T> Slot<T> {
    const fn new() -> Slot<T> {
        let in_use = AtomicBool::new(false);
        let (uses, inside) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Slot { in_use, uses, inside, value: RwLock::new(None) }
    }
}

impl<T, const N: usize> Table<T, N> {
    /// Makes an empty table. `kind` is from 1 to 15 and no other table's; `noun` is what messages
    /// call a value.
    pub const fn new(kind: usize, noun: &'static str) -> Self {
        assert!(kind > 0 && kind < 1 << KIND_BITS && N <= 1 << SLOT_BITS);
        Table { kind, noun, slots: [const { Slot::new() }; N] }
    }

    /// Puts a value in and returns its token, never zero; gives the value back where all slots are
    /// in use.
    ///
    /// # Errors
    /// The value.
    pub fn put(&self, value: Box<T>) -> Result<usize, Box<T>> {
        for (number, slot) in self.slots.iter().enumerate() {
            if !slot.in_use.swap(true, Ordering::Acquire) {
                let mut place = slot.value.write().unwrap_or_else(PoisonError::into_inner);
                *place = Some(value);
                let uses = slot.uses.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
                return Ok(uses << (KIND_BITS + SLOT_BITS) | number << KIND_BITS | self.kind);
            }
        }
        Err(value)
    }

    /// Lets `work` look at the value of `token`; several threads may look at once.
    ///
    /// # Errors
    /// `PX_ERR_HANDLE`, `PX_ERR_BUSY`, `PX_ERR_POISONED`.
    pub fn look<R>(&self, token: usize, work: impl FnOnce(&T) -> R) -> Result<R, Fault> {
        let slot = self.slot(token)?;
        let (place, _inside) = match self.enter(slot, token, || slot.value.try_read())? {
            Entered::Well(place, inside) => (place, inside),
            Entered::Poisoned(..) => return Err(self.poisoned()),
        };
        place.as_deref().map(work).ok_or_else(|| self.unknown())
    }

    /// Lets `work` change the value of `token`, alone.
    ///
    /// # Errors
    /// `PX_ERR_HANDLE`, `PX_ERR_BUSY`, `PX_ERR_POISONED`, and those of `work`.
    pub fn change<R>(
        &self,
        token: usize,
        work: impl FnOnce(&mut T) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let slot = self.slot(token)?;
        let (mut place, _inside) = match self.enter(slot, token, || slot.value.try_write())? {
            Entered::Well(place, inside) => (place, inside),
            Entered::Poisoned(..) => return Err(self.poisoned()),
        };
        work(place.as_deref_mut().ok_or_else(|| self.unknown())?)
    }

    /// Takes the value of `token` out; the token counts no more.
    ///
    /// # Errors
    /// `PX_ERR_HANDLE`, `PX_ERR_BUSY`. A poisoned value can be taken.
    pub fn take(&self, token: usize) -> Result<Taken<T>, Fault> {
        self.take_if(token, |_| true)
    }

    /// As [`take`](Self::take), if `may` says so of the value; else the token is none to the caller.
    ///
    /// # Errors
    /// As those of [`take`](Self::take).
    pub fn take_if(&self, token: usize, may: impl FnOnce(&T) -> bool) -> Result<Taken<T>, Fault> {
        let slot = self.slot(token)?;
        let (mut place, inside, poisoned) =
            match self.enter(slot, token, || slot.value.try_write())? {
                Entered::Well(place, inside) => (place, inside, false),
                Entered::Poisoned(place, inside) => (place, inside, true),
            };
        if !place.as_deref().is_some_and(may) {
            return Err(self.unknown());
        }
        let value = place.take().ok_or_else(|| self.unknown())?;
        // From now on its token is none, though nobody has another one yet.
        slot.uses.fetch_add(1, Ordering::SeqCst);
        slot.value.clear_poison();
        drop((inside, place));
        slot.in_use.store(false, Ordering::Release);
        Ok(Taken { value, poisoned })
    }

    /// Takes the lock of a slot for who has its handle.
    fn enter<'a, G>(
        &self,
        slot: &'a Slot<T>,
        token: usize,
        try_lock: impl Fn() -> Result<G, TryLockError<G>>,
    ) -> Result<Entered<'a, G>, Fault> {
        loop {
            let tried = try_lock();
            if !self.is_current(slot, token) {
                return Err(self.unknown());
            }
            match tried {
                Ok(place) => return Ok(Entered::Well(place, Inside::new(slot))),
                Err(TryLockError::Poisoned(place)) => {
                    return Ok(Entered::Poisoned(place.into_inner(), Inside::new(slot)));
                }
                Err(TryLockError::WouldBlock) if slot.inside.load(Ordering::SeqCst) > 0 => {
                    return Err(self.busy());
                }
                // Whoever has it has no handle that counts, or leaves, or is about to be inside.
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
    }

    fn slot(&self, token: usize) -> Result<&Slot<T>, Fault> {
        let kind = token & ((1 << KIND_BITS) - 1);
        let number = token >> KIND_BITS & ((1 << SLOT_BITS) - 1);
        let slot = self.slots.get(number).filter(|_| kind == self.kind);
        slot.filter(|slot| self.is_current(slot, token)).ok_or_else(|| self.unknown())
    }

    fn is_current(&self, slot: &Slot<T>, token: usize) -> bool {
        let uses = slot.uses.load(Ordering::SeqCst) << (KIND_BITS + SLOT_BITS);
        uses == token >> (KIND_BITS + SLOT_BITS) << (KIND_BITS + SLOT_BITS)
    }

    fn unknown(&self) -> Fault {
        let noun = self.noun;
        Fault::new(
            PX_ERR_HANDLE,
            format!("this is no {noun}: it was released or freed, or never was one"),
        )
    }

    fn busy(&self) -> Fault {
        let noun = self.noun;
        Fault::new(PX_ERR_BUSY, format!("another thread uses this {noun} right now"))
    }

    fn poisoned(&self) -> Fault {
        let noun = self.noun;
        Fault::new(
            PX_ERR_POISONED,
            format!("a bug of libpx showed while this {noun} was in use; release or free it"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    static TABLE: Table<u32, 4> = Table::new(3, "thing");

    #[test]
    fn a_token_counts_until_its_value_is_taken() {
        let table: Table<u32, 4> = Table::new(3, "thing");
        let token = table.put(Box::new(7)).unwrap();
        assert_eq!(table.look(token, |value| *value), Ok(7));
        let changed = table.change(token, |value| Ok(std::mem::replace(value, 8)));
        assert_eq!(changed, Ok(7));
        assert_eq!(*table.take(token).ok().unwrap().value, 8);
        let other = table.put(Box::new(9)).unwrap();
        assert_ne!(other, token);
        assert_eq!(table.look(token, |_| ()).unwrap_err().status, PX_ERR_HANDLE);
        assert_eq!(table.take(token).err().unwrap().status, PX_ERR_HANDLE);
        assert_eq!(table.look(other, |value| *value), Ok(9));
    }

    #[test]
    fn a_full_table_gives_the_value_back() {
        let table: Table<u32, 4> = Table::new(3, "thing");
        let tokens: Vec<usize> = (0..4).map(|n| table.put(Box::new(n)).unwrap()).collect();
        assert_eq!(table.put(Box::new(4)), Err(Box::new(4)));
        table.take(tokens[2]).ok().unwrap();
        table.put(Box::new(5)).unwrap();
    }

    #[test]
    fn who_comes_while_another_is_inside_is_told_so() {
        let table: Table<u32, 4> = Table::new(3, "thing");
        let token = table.put(Box::new(7)).unwrap();
        let inside = table.change(token, |_| {
            assert_eq!(table.look(token, |_| ()).unwrap_err().status, PX_ERR_BUSY);
            assert_eq!(table.take(token).err().unwrap().status, PX_ERR_BUSY);
            table.change(token, |_| Ok(()))
        });
        assert_eq!(inside.unwrap_err().status, PX_ERR_BUSY);
        let both = table.look(token, |_| table.look(token, |value| *value));
        assert_eq!(both, Ok(Ok(7)));
    }

    #[test]
    fn who_puts_values_in_is_in_nobodys_way() {
        static MANY: Table<u32, 4> = Table::new(3, "thing");
        const TIMES: u32 = if cfg!(miri) { 200 } else { 100_000 };
        let token = MANY.put(Box::new(0)).unwrap();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for _ in 0..TIMES {
                    let other = MANY.put(Box::new(1)).unwrap();
                    assert!(MANY.take(other).is_ok());
                }
            });
            for number in 0..TIMES {
                assert_eq!(
                    MANY.change(token, |value| Ok(std::mem::replace(value, number + 1))),
                    Ok(number)
                );
            }
        });
    }

    #[test]
    fn what_a_panic_left_can_only_be_taken() {
        let table: Table<u32, 4> = Table::new(3, "thing");
        let token = table.put(Box::new(7)).unwrap();
        let panicking = std::panic::AssertUnwindSafe(|| {
            let _ = table.change(token, |_| -> Result<(), Fault> { panic!("as the test wants") });
        });
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert_eq!(table.look(token, |_| ()).unwrap_err().status, PX_ERR_POISONED);
        assert_eq!(table.change(token, |_| Ok(())).unwrap_err().status, PX_ERR_POISONED);
        assert!(table.take(token).ok().unwrap().poisoned);
        let token = table.put(Box::new(8)).unwrap();
        assert_eq!(table.look(token, |value| *value), Ok(8));
    }

    proptest! {
        #[test]
        fn no_number_is_a_token_but_the_one_that_was_given(number: usize) {
            prop_assert_eq!(TABLE.look(number, |_| ()).unwrap_err().status, PX_ERR_HANDLE);
            let token = TABLE.put(Box::new(1)).unwrap();
            if number != token {
                prop_assert!(TABLE.look(number, |_| ()).is_err());
            }
            prop_assert!(TABLE.take(token).is_ok());
        }
    }
}
