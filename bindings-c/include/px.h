/*
 * libpx, the C library of pxrun.
 *
 *   who this program is      px_init, px_rank, px_size, px_host, px_abort, px_finalize
 *   its chunks of the input  px_chunk_next, px_chunk_data, px_record_next, px_emit, px_chunk_release
 *   messages to other ranks  px_send, px_recv, px_probe
 *   jobs of its own          px_job_new, px_job_run, px_job_result
 *   what went wrong          px_strerror, px_last_error
 *
 * For a program that `pxrun --contract px` starts: px_init, then px_chunk_next until PX_END; each
 * chunk is looked at in place, given output by px_emit and released; px_finalize. Ranks of such a
 * job send messages to each other by px_send and px_recv. Started by nobody, the same program is a
 * world of one on its stdin and stdout. For a program that has a job run: px_job_new and what
 * follows there.
 *
 * Functions answer 0 (PX_OK), PX_END, which is positive, or an error, which is negative; where they
 * answer with a number it is 0 or more. What errors mean is said beside their names;
 * px_last_error has the full text of the last one in this thread.
 *
 * Any thread may call any function at any time, but what is said with px_chunk and px_job. In a
 * process that was forked from the one that uses libpx all calls are PX_ERR_FORK, but px_version,
 * px_strerror and px_last_error; a program that is exec'ed there is a new one. Where NULL makes no
 * sense, it is PX_ERR_ARGUMENT.
 *
 * A copy of `pxrun --contract px` that is killed by a signal is started again, and the chunks that it
 * had not released are dealt again, three times at most; from the first px_send of a job on none is.
 * So what a program adds up over its chunks belongs into their output; one that cannot do without its
 * memory sends itself a message before its first chunk.
 *
 * libpx installs no signal handler, starts no thread but for jobs with a callback, and changes
 * nothing of the process but its environment: px_init takes PX_FD out of it.
 */

#ifndef PX_H
#define PX_H

#include <stddef.h>
#include <stdint.h>

// The call did what it should.
#define PX_OK 0

// There is nothing further: no chunk, no record.
#define PX_END 1

// An argument cannot be right: NULL where that makes no sense, a bad length, an unknown flag.
#define PX_ERR_ARGUMENT -1

// Not now: before px_init, after px_finalize, px_init for the second time, or px_job_result of a job
// that has none.
#define PX_ERR_STATE -2

// This program reads its input from stdin: pxrun was not told `--contract px`.
#define PX_ERR_NOT_FED -3

// Another launcher made this process one of several; each of them would be a world of one.
#define PX_ERR_FOREIGN_WORLD -4

// The job that this program is part of does not have this.
#define PX_ERR_MODE -5

// No such handle: it was released or freed, or never was one.
#define PX_ERR_HANDLE -6

// The handle was in use when a bug of libpx showed; all that is left is to release or free it.
#define PX_ERR_POISONED -7

// The process was forked from the one that uses libpx.
#define PX_ERR_FORK -8

// The input is not what it was when the job began; nothing of the chunk was committed.
#define PX_ERR_INPUT_CHANGED -9

// Chunks are held: PX_CHUNKS_MAX of them and no more fits, or any at px_finalize.
#define PX_ERR_HELD -10

// The other rank has finished or died.
#define PX_ERR_PEER_GONE -11

// The message is longer than the buffer, and waits still.
#define PX_ERR_TRUNCATED -12

// The time was over.
#define PX_ERR_TIMEOUT -13

// This combination is not supported.
#define PX_ERR_UNSUPPORTED -14

// MPI is not initialised, or finalised already.
#define PX_ERR_MPI_STATE -15

// MPI was initialised without the threads that are needed, or this is not its thread.
#define PX_ERR_MPI_THREAD -16

// A call of MPI failed.
#define PX_ERR_MPI -17

// The helper cannot be found or started, or ended without a word.
#define PX_ERR_HELPER -18

// The job failed; px_job_result and px_last_error say how.
#define PX_ERR_JOB -19

// A system call failed; px_last_error names it.
#define PX_ERR_SYSTEM -20

// There is not enough memory.
#define PX_ERR_MEMORY -21

// The other end is of another version, breaks the protocol, or is gone.
#define PX_ERR_PROTOCOL -22

// Another thread uses the handle right now.
#define PX_ERR_BUSY -23

// A bug in libpx.
#define PX_ERR_INTERNAL -24

// First number of the version of libpx that a program was compiled with.
#define PX_VERSION_MAJOR 0

// Second number of that version.
#define PX_VERSION_MINOR 1

// Third number of that version.
#define PX_VERSION_PATCH 0

// A flag of px_init: chunks are copies of their own, which nobody can cut short.
#define PX_INIT_PRIVATE 1

// Most chunks that a program may hold at once.
#define PX_CHUNKS_MAX 8

// Releases a chunk that was processed: its output becomes part of the job's.
#define PX_COMMIT 0

// Releases a chunk that could not be processed: its output is dropped.
#define PX_FAIL 1

// Instead of a rank: whoever has sent something.
#define PX_ANY_SOURCE -1

// Instead of a tag: whichever the message has.
#define PX_ANY_TAG -1

// Chunk i goes to rank i mod the number of ranks.
#define PX_DEAL_ROUND_ROBIN 0

// Each rank gets one contiguous run of chunks.
#define PX_DEAL_BLOCK 1

// A chunk goes to whichever rank is free.
#define PX_DEAL_DYNAMIC 2

// Output comes as it comes: whole lines, or whole chunks.
#define PX_ORDER_NONE 0

// Output comes in the order of the input.
#define PX_ORDER_INPUT 1

// Output of rank 0 comes first, then that of rank 1, and so on.
#define PX_ORDER_RANK 2

// A chunk of the input that this program holds: whole records, as pxrun dealt them.
//
// px_chunk_next gives it and px_chunk_release frees it; a program holds up to PX_CHUNKS_MAX
// at once. What a pointer of this type points to is nothing that a program could look at: the
// functions below tell, and a stale or wrong one is an error and no crash.
//
// Threads: one uses a chunk at a time, and it may be passed on to another. Different chunks are
// independent of each other. Functions that take a const px_chunk * may be called by several
// threads at once; a call that finds another one at work on the chunk is PX_ERR_BUSY.
typedef struct px_chunk px_chunk;

// A job that this program runs: what to read, what to run on it, where to put the output.
//
// Made by `px_job_new`, freed by `px_job_free`; what was never set is as pxrun has it, but for input
// and output, which are none. Where setters exclude each other the last one counts: command and
// callback, size and records of a chunk, the three outputs. It can be run again and again, and changed
// in between. Any thread may use it, one at a time: a second one gets `PX_ERR_BUSY`.
typedef struct px_job px_job;

// A message that was received, or that could be.
typedef struct {
  // The rank that has sent it.
  int source;
  // Its tag.
  int tag;
  // Its length in bytes.
  size_t length;
} px_message;

// Processes a chunk that it does not release: it returns `PX_COMMIT` or `PX_FAIL` instead. Each rank of the
// job has a thread that calls it, so it is called by several at once. The chunk is there until it
// returns. No exception and no jump may leave it.
typedef int (*px_chunk_callback)(px_chunk *chunk, void *user);

// Takes output of a job, in order, in the thread that is in `px_job_run`; returns 0, or anything else to
// end the job. The bytes are there until it returns. No exception and no jump may leave it.
typedef int (*px_output_callback)(const void *bytes, size_t length, void *user);

// What a job came to.
typedef struct {
  // As pxrun's exit status: 0, or that of a copy that failed, or 125 and above.
  int status;
  // Chunks that were dealt.
  uint64_t chunks;
  // Their length, in bytes.
  uint64_t input_bytes;
  // Bytes of output that were written.
  uint64_t output_bytes;
} px_result;

// Carries messages between the processes of a job, for `px_job_run_over`.
//
// Messages arrive whole, unchanged, once, and those from one rank to another in the order in which
// they were sent. All functions are called by the thread that called `px_job_run_over`, never wait,
// and answer with a status. One that fails says why with `px_error_set`; the job has then failed in
// this process.
typedef struct {
  // `sizeof(px_transport)`.
  size_t size;
  // This process's number, from 0.
  int rank;
  // How many processes there are.
  int ranks;
  // Given to each function; libpx does not look at it.
  void *user;
  // Takes a message for rank `to`, of which it keeps a copy: `PX_OK` once it has taken it,
  // `PX_ERR_BUSY` when it cannot take it now.
  int (*send)(void *user, int to, const void *bytes, size_t length);
  // Stores the next message that has come in `bytes`, its sender in `from` and its length in
  // `length`: `PX_OK` with a message, `PX_END` when there is none now. No message is longer than
  // `capacity`, which is the same at every call.
  int (*receive)(void *user, int *from, void *bytes, size_t capacity, size_t *length);
  // `PX_OK` when all that was taken has left this process, `PX_ERR_BUSY` before that.
  int (*flushed)(void *user);
} px_transport;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Begins the use of libpx: finds out which world this program is part of.
//
// Started by `pxrun --contract px` it takes its chunks from pxrun; started by pxrun without that it
// knows its rank and reads stdin; started by nobody it is a world of one, which cuts its stdin into
// chunks and writes its output to stdout. A program that another launcher has started several
// times is none of these: PX_ERR_FOREIGN_WORLD.
//
// flags is 0 or PX_INIT_PRIVATE. Call it once, from any thread, before others use libpx; it
// takes PX_FD out of the environment, so no other thread should read that meanwhile. Jobs
// (px_job_new) need no px_init.
int px_init(unsigned int flags);

// Ends the use of libpx; it cannot begin again.
//
// While chunks are held, or waited for by another thread, this is PX_ERR_HELD, and nothing has
// happened: none of them is committed, and they can still be released. Ranks that wait for a message
// from this one learn at once that none comes. It does not stand for the end of the input: a program
// that pxrun feeds and that ends with status 0 has failed where it holds a chunk or has not taken its
// input to the end, with this call and without it.
int px_finalize(void);

// This program's rank, from 0 to px_size() - 1; or a status below 0.
int px_rank(void);

// World size: all ranks of the job; or a status below 0.
int px_size(void);

// This program's place among the ranks of its host, from 0; or a status below 0.
int px_local_rank(void);

// All ranks of this program's host; or a status below 0.
int px_local_size(void);

// What this program's host is called; NULL before px_init. It is valid to the program's end, also
// after px_finalize.
const char *px_host(void);

// Ends the whole job with status, from 1 to 255, and this program with it, as _exit does.
//
// pxrun says why, up to 4096 bytes; it may be NULL. Where no pxrun feeds this program it goes to
// stderr. It returns only where it cannot do that.
int px_abort(int status, const char *why);

// The version of the libpx that runs, as "1.2.3".
const char *px_version(void);

// What a status means, in words; never NULL.
const char *px_strerror(int status);

// The full text of the last call that failed in this thread: what, where, the value found and the
// way out; "" if none has. It is valid until the next call that fails in this thread.
const char *px_last_error(void);

// Takes the next chunk of the input, and waits for it.
//
// *chunk is the chunk with PX_OK, else NULL. The answer is PX_END when this rank gets no
// further chunk, PX_ERR_NOT_FED where pxrun was started without `--contract px`, PX_ERR_HELD
// while PX_CHUNKS_MAX chunks are held, and PX_ERR_INPUT_CHANGED for a chunk that its file
// does not have any more. Such a chunk, and one that cannot be mapped or copied (PX_ERR_MEMORY,
// PX_ERR_SYSTEM), was released as failed already; the next call goes on with the next chunk.
//
// Take the next chunk before the last one is released, and its way here is over while you compute.
int px_chunk_next(px_chunk **chunk);

// The first byte of a chunk; NULL for no chunk, and only then.
//
// The bytes are the input itself where a chunk of more than 8 KiB lies in one file that this host
// sees, and as a rule a copy where it does not. They must not be written to, are not NUL-terminated,
// and can be read until the chunk is released; from then on the pointer must not be used. One byte
// behind the last one can be read too, whatever it is. Where somebody cuts the file short meanwhile,
// reading what it has no more is a SIGBUS; PX_INIT_PRIVATE gives copies instead.
const void *px_chunk_data(const px_chunk *chunk);

// How many bytes a chunk has; 0 for no chunk.
size_t px_chunk_length(const px_chunk *chunk);

// The number of a chunk, from 0 in the order of the input; UINT64_MAX for no chunk.
uint64_t px_chunk_index(const px_chunk *chunk);

// Where a chunk begins in the input, all files one behind the other; UINT64_MAX for no chunk.
uint64_t px_chunk_offset(const px_chunk *chunk);

// How often a chunk was dealt to some rank, this time included, so from 1; or a status below 0.
int px_chunk_attempt(const px_chunk *chunk);

// Shows the next record of a chunk, without its delimiter; PX_END after the last one.
//
// The bytes are those of px_chunk_data, with all that is said there.
int px_record_next(px_chunk *chunk, const void **record, size_t *length);

// Gives output to a chunk: it is copied before this returns, and becomes part of the job's output
// when the chunk is released with PX_COMMIT, all of it once, and none of it otherwise.
//
// Where pxrun keeps an order, output stands where its chunk stands. bytes may be NULL where
// length is 0. PX_ERR_NOT_FED where pxrun was started without `--contract px`. On an error the
// chunk's output lacks these bytes: release it with PX_FAIL.
int px_emit(px_chunk *chunk, const void *bytes, size_t length);

// Ends the use of a chunk and frees it, whatever the answer but PX_ERR_BUSY. Pointers to its bytes
// must not be used from then on.
//
// how is PX_COMMIT or PX_FAIL. With PX_FAIL its output is dropped and the chunk has failed:
// pxrun ends the job, or with `--keep-going` lets it fail at its end; alone, nothing more happens.
// A second release is PX_ERR_HANDLE, and so is that of a chunk that a callback was called with.
//
// PX_ERR_INPUT_CHANGED: the file is not what it was when the job began, so nothing was committed.
// That is told of chunks that are the input itself, or copies of it by PX_INIT_PRIVATE. Other chunks
// are what was there when they were dealt; there pxrun itself sees a change, commits nothing and ends
// the job. A file that has grown is not looked at any closer.
int px_chunk_release(px_chunk *chunk, int how);

// Sends a message to `rank`, which may be this program itself.
//
// Returns as soon as the message is buffered or received, and the bytes are the caller's again:
// 1 MiB is buffered for each pair of ranks. After that it waits for room, at most `timeout_ms`
// milliseconds; -1 is for ever and 0 not at all. A message of any length can be sent. `tag` is 0
// or more; messages with the same one are received in the order in which they were sent. On an
// error the message is not received. `bytes` may be NULL where `length` is 0.
//
// From a job's first call on no chunk is dealt again, since what was said cannot be taken back: a
// copy that is killed, or a host that is lost, then ends the job. So the first call waits until
// pxrun knows of it, for a second even where `timeout_ms` is less.
//
// One thread sends at a time; others wait for it. A thread that receives is in nobody's way.
int px_send(int rank, int tag, const void *bytes, size_t length, int timeout_ms);

// Receives the first message with `tag` from `rank`, or from whoever has sent one
// (`PX_ANY_SOURCE`), or with whichever tag (`PX_ANY_TAG`).
//
// Waits for it at most `timeout_ms` milliseconds; -1 is for ever and 0 looks once. `message`,
// which may be NULL, says who has sent it, its tag and its length. A message that is longer than
// `capacity` is `PX_ERR_TRUNCATED`: `message` says its length, and it can still be received. What
// a finished or dead rank has sent can be received; after that it is `PX_ERR_PEER_GONE`, from any
// source when all others are gone. On an error it is not said what `buffer` holds. `buffer` may be
// NULL where `capacity` is 0.
//
// One thread receives or probes at a time; others wait for it.
int px_recv(int rank, int tag, void *buffer, size_t capacity, int timeout_ms, px_message *message);

// Waits for the message that `px_recv` would receive with the same `rank`, `tag` and `timeout_ms`,
// says what it is in `message`, which may be NULL, and leaves it.
//
// It may be there in part only. One thread receives or probes at a time; others wait for it.
int px_probe(int rank, int tag, int timeout_ms, px_message *message);

// Makes a job of which nothing is set.
int px_job_new(px_job **job);

// Frees a job; its handle is none from then on. `PX_ERR_BUSY` while it runs.
int px_job_free(px_job *job);

// Adds a file to the input; several are read one after the other. Without any the input is empty.
int px_job_input(px_job *job, const char *path);

// Sets what a record is: "lines", "nul" or "bytes=N".
int px_job_records(px_job *job, const char *records);

// Sets how large a chunk is: whole records, together at least so many bytes.
int px_job_chunk_size(px_job *job, uint64_t bytes);

// Sets how large a chunk is: so many records.
int px_job_chunk_records(px_job *job, uint64_t records);

// Sets the number of ranks; without it there is one for each core that may be used.
int px_job_ranks(px_job *job, int ranks);

// Sets who gets a chunk: one of `PX_DEAL_*`.
int px_job_deal(px_job *job, int deal);

// Sets in what order output comes: one of `PX_ORDER_*`.
int px_job_order(px_job *job, int order);

// Sets the command that every rank runs, a filter from its stdin to its stdout. `argv` is its name
// and its arguments, NULL after the last.
int px_job_command(px_job *job, const char *const *argv);

// Sets the function that every rank calls for each of its chunks, with `user`. The ranks are threads of
// this process then, at most 1024, with all signals blocked but those of faults; so the job is of this
// host: `px_mpi_job_run` has one on many.
int px_job_callback(px_job *job, px_chunk_callback callback, void *user);

// Has the output put into a file, which a job that goes well replaces.
int px_job_output_path(px_job *job, const char *path);

// Has the output written to a descriptor. The job has a copy of it: this one may be closed.
int px_job_output_fd(px_job *job, int fd);

// Has the output given to a function, called with `user` by the thread that is in `px_job_run`.
int px_job_output_callback(px_job *job, px_output_callback callback, void *user);

// Has all that copies print on stderr, and all that pxrun says, written to a descriptor. The job has a
// copy of it: this one may be closed. Without this the last 64 KiB are `px_last_error`'s where the job
// fails, and nobody's where it does not; with it `px_last_error` has none of that.
int px_job_errors_fd(px_job *job, int fd);

// Names the hosts that run ranks, as pxrun's `-H` does: "node1,node2:4".
int px_job_hosts(px_job *job, const char *hosts);

// Names a file that lists hosts that run ranks; several add up.
int px_job_hostfile(px_job *job, const char *path);

// Sets any other long option of pxrun, named without its dashes; `value` is NULL for one without.
// What pxrun does not know it says when the job is run.
int px_job_option(px_job *job, const char *name, const char *value);

// Runs a job to its end. `PX_ERR_JOB` when it failed: `px_job_result` has its status then, and
// `px_last_error` what was said. It needs no `px_init`.
//
// The job is run by a helper, the program `pxrun` that was installed with libpx or that the variable
// `PX_HELPER` names, which is no child of this process: wait() sees it only in a process that has made
// itself a subreaper. It has this process's environment, working directory, limits and umask as they are
// now. When this process ends, in whatever way, the job does.
int px_job_run(px_job *job);

// Tells what the last run of a job came to. `PX_ERR_STATE` where it was not run, or did not begin.
int px_job_result(const px_job *job, px_result *result);

// Runs a job together with other processes, which exchange messages by `transport`.
//
// Collective: each process calls it, with a job of its own and as a rank of its own. What the setters
// said counts on rank 0, but for `px_job_callback`, which every process calls for itself: that
// function is what runs there, in one thread. Input and output are rank 0's. The status, the result
// and the text of `px_last_error` are the same in all processes; each returns once its own function
// has.
//
// The functions of `transport` are called by the calling thread, which sleeps while there is nothing
// to do. `px_mpi_job_run` of px_mpi.h does all of it over MPI.
int px_job_run_over(px_job *job, const px_transport *transport);

// Sets what `px_last_error` says in this thread, and returns `status`.
//
// It is for those who carry messages for `px_job_run_over`: a function of a `px_transport` that fails
// ends with `return px_error_set(PX_ERR_SYSTEM, "cannot ...")`. NULL stands for the text of
// `px_strerror`. Nothing is set for a status that is no error.
int px_error_set(int status, const char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PX_H */
