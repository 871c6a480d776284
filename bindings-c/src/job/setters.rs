//! What can be set of a job.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::{Job, Output, Work, change, px_job};
use crate::boundary::{
    ChunkCallback, OutputCallback, descriptor, optional_text, px_chunk_callback,
    px_output_callback, text, texts,
};
use crate::status::Fault;

/// Chunk i goes to rank i mod the number of ranks.
pub const PX_DEAL_ROUND_ROBIN: c_int = 0;
/// Each rank gets one contiguous run of chunks.
pub const PX_DEAL_BLOCK: c_int = 1;
/// A chunk goes to whichever rank is free.
pub const PX_DEAL_DYNAMIC: c_int = 2;
/// Output comes as it comes: whole lines, or whole chunks.
pub const PX_ORDER_NONE: c_int = 0;
/// Output comes in the order of the input.
pub const PX_ORDER_INPUT: c_int = 1;
/// Output of rank 0 comes first, then that of rank 1, and so on.
pub const PX_ORDER_RANK: c_int = 2;

/// Most ranks that are asked for.
const MOST_RANKS: c_int = 1 << 20;

/// Takes a text of the caller's in a setter.
///
/// # Safety
/// As [`text`].
unsafe fn change_by_text(
    job: *mut px_job,
    value: *const c_char,
    name: &str,
    work: impl FnOnce(&mut Job, &CStr) -> Result<(), Fault>,
) -> c_int {
    change(job, |job| {
        // SAFETY: as the caller promises.
        let value = unsafe { text(value, name) }?;
        work(job, value)
    })
}

/// Adds a file to the input; several are read one after the other. Without any the input is empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_input(job: *mut px_job, path: *const c_char) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { change_by_text(job, path, "path", |job, path| job.words.set_path("input", path)) }
}

/// Sets what a record is: "lines", "nul" or "bytes=N".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_records(job: *mut px_job, records: *const c_char) -> c_int {
    let set = |job: &mut Job, records: &CStr| {
        job.words.set("records", Some(records.to_bytes().to_vec()));
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { change_by_text(job, records, "records", set) }
}

/// Sets how large a chunk is: whole records, together at least so many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn px_job_chunk_size(job: *mut px_job, bytes: u64) -> c_int {
    change(job, |job| set_positive(job, "chunk-size", "bytes", bytes))
}

/// Sets how large a chunk is: so many records.
#[unsafe(no_mangle)]
pub extern "C" fn px_job_chunk_records(job: *mut px_job, records: u64) -> c_int {
    change(job, |job| set_positive(job, "chunk-records", "records", records))
}

fn set_positive(job: &mut Job, option: &str, name: &str, value: u64) -> Result<(), Fault> {
    if value == 0 {
        return Err(Fault::argument(format!("`{name}` must be from 1 on, found 0")));
    }
    job.words.set_text(option, value);
    Ok(())
}

/// Sets the number of ranks; without it there is one for each core that may be used.
#[unsafe(no_mangle)]
pub extern "C" fn px_job_ranks(job: *mut px_job, ranks: c_int) -> c_int {
    change(job, |job| {
        if !(1..=MOST_RANKS).contains(&ranks) {
            let text = format!("`ranks` must be from 1 to {MOST_RANKS}, found {ranks}");
            return Err(Fault::argument(text));
        }
        job.words.set_text("np", ranks);
        Ok(())
    })
}

/// Sets who gets a chunk: one of `PX_DEAL_*`.
#[unsafe(no_mangle)]
pub extern "C" fn px_job_deal(job: *mut px_job, deal: c_int) -> c_int {
    const DEALS: [(c_int, &str); 3] = [
        (PX_DEAL_ROUND_ROBIN, "round-robin"),
        (PX_DEAL_BLOCK, "block"),
        (PX_DEAL_DYNAMIC, "dynamic"),
    ];
    change(job, |job| set_choice(job, "deal", deal, &DEALS))
}

/// Sets in what order output comes: one of `PX_ORDER_*`.
#[unsafe(no_mangle)]
pub extern "C" fn px_job_order(job: *mut px_job, order: c_int) -> c_int {
    const ORDERS: [(c_int, &str); 3] =
        [(PX_ORDER_NONE, "none"), (PX_ORDER_INPUT, "input"), (PX_ORDER_RANK, "rank")];
    change(job, |job| set_choice(job, "order", order, &ORDERS))
}

fn set_choice(
    job: &mut Job,
    option: &str,
    value: c_int,
    choices: &[(c_int, &str)],
) -> Result<(), Fault> {
    let Some((_, word)) = choices.iter().find(|(choice, _)| *choice == value) else {
        let last = choices.len() - 1;
        return Err(Fault::argument(format!("`{option}` must be from 0 to {last}, found {value}")));
    };
    job.words.set_text(option, word);
    Ok(())
}

/// Sets the command that every rank runs, a filter from its stdin to its stdout. `argv` is its name
/// and its arguments, NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_command(job: *mut px_job, argv: *const *const c_char) -> c_int {
    change(job, |job| {
        // SAFETY: as the caller promises.
        let words = unsafe { texts(argv, "argv") }?;
        job.words.set_command(words.map(|word| word.to_bytes().to_vec()))?;
        job.work = Work::Command;
        Ok(())
    })
}

/// Sets the function that every rank calls for each of its chunks, with `user`. The ranks are threads of
/// this process then, at most 1024, with all signals blocked but those of faults; so the job is of this
/// host: `px_mpi_job_run` has one on many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_callback(
    job: *mut px_job,
    callback: px_chunk_callback,
    user: *mut c_void,
) -> c_int {
    change(job, |job| {
        let call = callback.ok_or_else(|| Fault::argument("`callback` is NULL"))?;
        // SAFETY: as the caller promises.
        job.work = Work::Callback(unsafe { ChunkCallback::new(call, user) });
        Ok(())
    })
}

/// Has the output put into a file, which a job that goes well replaces.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_output_path(job: *mut px_job, path: *const c_char) -> c_int {
    let set = |job: &mut Job, path: &CStr| {
        job.words.set_path("output", path)?;
        job.output = Output::File;
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { change_by_text(job, path, "path", set) }
}

/// Has the output written to a descriptor. The job has a copy of it: this one may be closed.
#[unsafe(no_mangle)]
pub extern "C" fn px_job_output_fd(job: *mut px_job, fd: c_int) -> c_int {
    change(job, |job| {
        let copy = descriptor(fd, "fd")?;
        job.words.forget("output");
        job.output = Output::Descriptor(copy);
        Ok(())
    })
}

/// Has the output given to a function, called with `user` by the thread that is in `px_job_run`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_output_callback(
    job: *mut px_job,
    callback: px_output_callback,
    user: *mut c_void,
) -> c_int {
    change(job, |job| {
        let call = callback.ok_or_else(|| Fault::argument("`callback` is NULL"))?;
        job.words.forget("output");
        // SAFETY: as the caller promises.
        job.output = Output::Callback(unsafe { OutputCallback::new(call, user) });
        Ok(())
    })
}

/// Has all that copies print on stderr, and all that pxrun says, written to a descriptor. The job has a
/// copy of it: this one may be closed. Without this the last 64 KiB are `px_last_error`'s where the job
/// fails, and nobody's where it does not; with it `px_last_error` has none of that.
#[unsafe(no_mangle)]
pub extern "C" fn px_job_errors_fd(job: *mut px_job, fd: c_int) -> c_int {
    change(job, |job| {
        job.errors = Some(descriptor(fd, "fd")?);
        Ok(())
    })
}

/// Names the hosts that run ranks, as pxrun's `-H` does: "node1,node2:4".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_hosts(job: *mut px_job, hosts: *const c_char) -> c_int {
    let set = |job: &mut Job, hosts: &CStr| {
        job.words.set("host", Some(hosts.to_bytes().to_vec()));
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { change_by_text(job, hosts, "hosts", set) }
}

/// Names a file that lists hosts that run ranks; several add up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_hostfile(job: *mut px_job, path: *const c_char) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { change_by_text(job, path, "path", |job, path| job.words.set_path("hostfile", path)) }
}

/// Sets any other long option of pxrun, named without its dashes; `value` is NULL for one without.
/// What pxrun does not know it says when the job is run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_option(
    job: *mut px_job,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    change(job, |job| {
        // SAFETY: as the caller promises.
        let (name, value) = unsafe { (text(name, "name")?, optional_text(value)) };
        job.words.set_any(name, value)
    })
}
