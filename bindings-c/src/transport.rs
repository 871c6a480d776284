//! Transports of the program's own: the functions that carry the messages of
//! [`px_job_run_over`](crate::job::px_job_run_over), called from the thread that runs it.

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_void};

use crate::boundary;
use crate::relay::post::Transport;
use crate::status::{self, Fault, PX_END, PX_ERR_BUSY, PX_ERR_PROTOCOL, PX_OK};

/// Most processes of a transport: rank 0 has a word for each of them.
const MOST_RANKS: usize = 1 << 20;

/// Carries messages between the processes of a job, for `px_job_run_over`.
///
/// Messages arrive whole, unchanged, once, and those from one rank to another in the order in which
/// they were sent. All functions are called by the thread that called `px_job_run_over`, never wait,
/// and answer with a status. One that fails says why with `px_error_set`; the job has then failed in
/// this process.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "its name in C")]
pub struct px_transport {
    /// `sizeof(px_transport)`.
    pub size: usize,
    /// This process's number, from 0.
    pub rank: c_int,
    /// How many processes there are.
    pub ranks: c_int,
    /// Given to each function; libpx does not look at it.
    pub user: *mut c_void,
    /// Takes a message for rank `to`, of which it keeps a copy: `PX_OK` once it has taken it,
    /// `PX_ERR_BUSY` when it cannot take it now.
    pub send: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            to: c_int,
            bytes: *const c_void,
            length: usize,
        ) -> c_int,
    >,
    /// Stores the next message that has come in `bytes`, its sender in `from` and its length in
    /// `length`: `PX_OK` with a message, `PX_END` when there is none now. No message is longer than
    /// `capacity`, which is the same at every call.
    pub receive: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            from: *mut c_int,
            bytes: *mut c_void,
            capacity: usize,
            length: *mut usize,
        ) -> c_int,
    >,
    /// `PX_OK` when all that was taken has left this process, `PX_ERR_BUSY` before that.
    pub flushed: Option<unsafe extern "C" fn(user: *mut c_void) -> c_int>,
}

thread_local! {
    /// What a function of a transport has said about its failure.
    static TOLD: RefCell<Option<Fault>> = const { RefCell::new(None) };
}

/// Sets what `px_last_error` says in this thread, and returns `status`.
///
/// It is for those who carry messages for `px_job_run_over`: a function of a `px_transport` that fails
/// ends with `return px_error_set(PX_ERR_SYSTEM, "cannot ...")`. NULL stands for the text of
/// `px_strerror`. Nothing is set for a status that is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_error_set(status: c_int, text: *const c_char) -> c_int {
    boundary::value(status, || {
        if status < PX_OK {
            // SAFETY: the caller gives a text that ends with a NUL, or NULL.
            let text = unsafe { boundary::optional_text(text) };
            let text = text.unwrap_or_else(|| status::text(status)).to_string_lossy();
            let fault = Fault::new(status, text);
            status::remember(&fault);
            let _ = TOLD.try_with(|told| told.replace(Some(fault)));
        }
        Ok(status)
    })
}

/// Calls a function; returns whether it could do what it should. `not_now` is its word for that.
fn ask(name: &str, not_now: c_int, call: impl FnOnce() -> c_int) -> Result<bool, Fault> {
    let _ = TOLD.try_with(RefCell::take);
    match call() {
        PX_OK => Ok(true),
        answer if answer == not_now => Ok(false),
        answer if status::is_failure(answer) => {
            let told = TOLD.try_with(RefCell::take).ok().flatten();
            let told = told.filter(|told| told.status == answer);
            Err(told.unwrap_or_else(|| {
                let means = status::text(answer).to_string_lossy();
                Fault::new(answer, format!("`{name}` of the transport failed: {means}"))
            }))
        }
        answer => Err(Fault::argument(format!(
            "`{name}` of the transport must answer with a status that it may have, found {answer}"
        ))),
    }
}

/// A transport that was checked.
pub struct Foreign {
    rank: usize,
    ranks: usize,
    table: px_transport,
}

impl Foreign {
    /// Takes a transport of the caller's.
    ///
    /// # Errors
    /// `PX_ERR_ARGUMENT`: NULL, another size, a function that is missing, a rank that cannot be.
    ///
    /// # Safety
    /// `transport` is NULL or can be read for as many bytes as its `size` says, and its functions can
    /// be called with its `user` from this thread for as long as what is returned lives.
    pub unsafe fn new(transport: *const px_transport) -> Result<Foreign, Fault> {
        if transport.is_null() || !transport.is_aligned() {
            let text = format!("`transport` must be a px_transport, found {transport:p}");
            return Err(Fault::argument(text));
        }
        // SAFETY: not NULL, aligned, and the size is there in every version.
        let found = unsafe { (&raw const (*transport).size).read() };
        let wanted = size_of::<px_transport>();
        if found != wanted {
            let text = format!("`transport->size` must be {wanted} bytes, found {found}");
            return Err(Fault::argument(text));
        }
        // SAFETY: as the caller promises, of the whole of this size.
        let table = unsafe { transport.read() };
        if table.send.is_none() || table.receive.is_none() || table.flushed.is_none() {
            return Err(Fault::argument("`transport` lacks one of `send`, `receive`, `flushed`"));
        }
        match (usize::try_from(table.rank), usize::try_from(table.ranks)) {
            (Ok(_), Ok(ranks)) if ranks > MOST_RANKS => Err(Fault::argument(format!(
                "`transport->ranks` must be from 1 to {MOST_RANKS}, found {ranks}"
            ))),
            (Ok(rank), Ok(ranks)) if rank < ranks => Ok(Foreign { rank, ranks, table }),
            _ => {
                let (rank, ranks) = (table.rank, table.ranks);
                let text = "`transport->rank` must be below `transport->ranks`";
                Err(Fault::argument(format!("{text}, found {rank} of {ranks}")))
            }
        }
    }

    /// This process's number.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many processes there are.
    pub fn ranks(&self) -> usize {
        self.ranks
    }
}

impl Transport for Foreign {
    fn send(&mut self, to: usize, message: &[u8]) -> Result<bool, Fault> {
        let to = c_int::try_from(to).unwrap_or(c_int::MAX);
        let (bytes, length) = (message.as_ptr().cast(), message.len());
        ask("send", PX_ERR_BUSY, || match self.table.send {
            // SAFETY: as promised to `new`; the message can be read during the call.
            Some(send) => unsafe { send(self.table.user, to, bytes, length) },
            None => PX_ERR_BUSY,
        })
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<(usize, usize)>, Fault> {
        let (mut from, mut length) = (-1, usize::MAX);
        let (bytes, capacity) = (buffer.as_mut_ptr().cast(), buffer.len());
        let there = ask("receive", PX_END, || match self.table.receive {
            // SAFETY: as promised to `new`; buffer and places can be written to during the call.
            Some(receive) => unsafe {
                receive(self.table.user, &mut from, bytes, capacity, &mut length)
            },
            None => PX_END,
        })?;
        if !there {
            return Ok(None);
        }
        match usize::try_from(from) {
            Ok(from) if from < self.ranks && length <= capacity => Ok(Some((from, length))),
            _ => Err(Fault::new(
                PX_ERR_PROTOCOL,
                format!("the transport has a message of {length} bytes from rank {from}"),
            )),
        }
    }

    fn flushed(&mut self) -> Result<bool, Fault> {
        ask("flushed", PX_ERR_BUSY, || match self.table.flushed {
            // SAFETY: as promised to `new`.
            Some(flushed) => unsafe { flushed(self.table.user) },
            None => PX_OK,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{PX_ERR_ARGUMENT, PX_ERR_MPI, PX_ERR_SYSTEM};

    /// What `send` answers, in turn; the first two times it also says why.
    const ANSWERS: [c_int; 6] = [PX_ERR_MPI, PX_OK, PX_ERR_SYSTEM, PX_ERR_BUSY, 77, c_int::MIN];

    unsafe extern "C" fn send(user: *mut c_void, _: c_int, _: *const c_void, _: usize) -> c_int {
        // SAFETY: the tests give the place of a number.
        let turn = unsafe { user.cast::<usize>().as_mut() }.unwrap();
        *turn += 1;
        if *turn <= 2 {
            // SAFETY: a text that ends with a NUL.
            unsafe { px_error_set(PX_ERR_MPI, c"MPI_Isend: no".as_ptr()) };
        }
        ANSWERS[*turn - 1]
    }

    unsafe extern "C" fn receive(
        user: *mut c_void,
        from: *mut c_int,
        _: *mut c_void,
        capacity: usize,
        length: *mut usize,
    ) -> c_int {
        // SAFETY: the tests give the place of a number, `Foreign` its own places.
        unsafe {
            let turn = user.cast::<usize>().as_mut().unwrap();
            *turn += 1;
            (*from, *length) = [(0, capacity), (2, 0), (-1, 0), (1, capacity + 1)][*turn - 1];
        }
        PX_OK
    }

    unsafe extern "C" fn flushed(_: *mut c_void) -> c_int {
        PX_END
    }

    fn table(turn: &mut usize) -> px_transport {
        px_transport {
            size: size_of::<px_transport>(),
            rank: 1,
            ranks: 2,
            user: std::ptr::from_mut(turn).cast(),
            send: Some(send),
            receive: Some(receive),
            flushed: Some(flushed),
        }
    }

    fn taken(table: &px_transport) -> Result<Foreign, Fault> {
        // SAFETY: it can be read, and its functions be called.
        unsafe { Foreign::new(table) }
    }

    #[test]
    fn a_failure_is_told_in_the_words_of_the_transport_if_they_are_about_it() {
        let mut turn = 0;
        let mut transport = taken(&table(&mut turn)).ok().unwrap();
        let failed = transport.send(0, b"x").unwrap_err();
        assert_eq!((failed.status, &*failed.text), (PX_ERR_MPI, "MPI_Isend: no"));
        assert_eq!(transport.send(0, b"x"), Ok(true));
        let failed = transport.send(0, b"x").unwrap_err();
        assert_eq!(failed.status, PX_ERR_SYSTEM);
        assert!(failed.text.starts_with("`send` of the transport failed: "), "{}", failed.text);
        assert_eq!(transport.send(0, b"x"), Ok(false));
        for _ in 0..2 {
            assert_eq!(transport.send(0, b"x").unwrap_err().status, PX_ERR_ARGUMENT);
        }
        assert_eq!(transport.flushed().unwrap_err().status, PX_ERR_ARGUMENT);
    }

    #[test]
    fn a_message_is_of_a_rank_that_there_is_and_fits() {
        let mut turn = 0;
        let mut transport = taken(&table(&mut turn)).ok().unwrap();
        let mut buffer = [0; 8];
        assert_eq!(transport.receive(&mut buffer), Ok(Some((0, 8))));
        for _ in 0..3 {
            assert_eq!(transport.receive(&mut buffer).unwrap_err().status, PX_ERR_PROTOCOL);
        }
    }

    #[test]
    fn a_transport_that_cannot_be_right_is_refused() {
        let mut turn = 0;
        let right = table(&mut turn);
        for wrong in [
            px_transport { size: 8, ..right },
            px_transport { rank: 2, ..right },
            px_transport { rank: -1, ..right },
            px_transport { ranks: -1, ..right },
            px_transport { ranks: c_int::MAX, ..right },
            px_transport { send: None, ..right },
            px_transport { receive: None, ..right },
            px_transport { flushed: None, ..right },
        ] {
            assert_eq!(taken(&wrong).err().unwrap().status, PX_ERR_ARGUMENT);
        }
        // SAFETY: NULL is refused.
        assert!(unsafe { Foreign::new(std::ptr::null()) }.is_err());
    }
}
