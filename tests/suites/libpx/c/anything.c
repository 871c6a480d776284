/*
 * Calls all of libpx from several threads in random order with random arguments: NULL, nonsense,
 * handles that were freed, handles of another kind. Each answer is a status that there is, and where
 * it is an error there is a text.
 *
 *   anything SEED CALLS THREADS INPUT
 *
 * What a pointer to bytes or text points to is always there: nothing else could be checked. The data
 * of a chunk is not looked at, since another thread may release it.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

enum { CHUNK, JOB, KINDS };
enum { KEPT = 6, MOST_THREADS = 8 };

static _Thread_local uint64_t state;
/* A callback and a transport are called by threads of libpx. */
static atomic_ullong seeds;
/* Handles that were given at some time, most of them none any more. */
static _Atomic(void *) kept[KINDS][KEPT];
static const char *input;
static int null;

static uint64_t any(uint64_t below) {
    while (state == 0) state = atomic_fetch_add(&seeds, 0x9e3779b97f4a7c15u) * 2654435761u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? (state >> 11) % below : state;
}

static void *any_handle(int kind) {
    switch (any(20)) {
    case 0: return NULL;
    case 1: return (void *)(uintptr_t)any(0);
    case 2: return (char *)kept[kind][any(KEPT)] + any(70);
    case 3: return kept[any(KINDS)][any(KEPT)];
    case 4: return &state;
    default: return kept[kind][any(KEPT)];
    }
}

static int any_int(void) {
    static const int INTS[] = {INT_MIN, -2, -1, 0, 1, 2, 3, INT_MAX};
    return INTS[any(sizeof INTS / sizeof *INTS)];
}

/* A number of a descriptor; those between are libpx's own, and its sockets would hear nonsense. */
static int any_descriptor(void) {
    int number = any_int();
    return number > 2 ? INT_MAX : number;
}

static uint64_t any_size(void) {
    static const uint64_t SIZES[] = {0, 1, 7, 4096, 65536, SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 2 + 1};
    return SIZES[any(sizeof SIZES / sizeof *SIZES)];
}

/* Bytes of this length can be read and written, or there are none of it to be. */
static size_t any_length(void) { return any(4) ? any(200000) : SIZE_MAX - any(9); }

static const char *any_text(void) {
    static const char *const TEXTS[] = {
        NULL, "", "lines", "nul", "bytes=3", "bytes=0", "np", "2", "keep-going", "run", "per-chunk",
        "-", "/", "/dev/null", "/dev/stdin", "/no/such/file", "a,,b", "\xff\xfe", "no-such-option",
    };
    return any(4) == 0 ? input : TEXTS[any(sizeof TEXTS / sizeof *TEXTS)];
}

static int a_status(int status) {
    CHECK(status <= PX_END && status >= PX_ERR_INTERNAL);
    CHECK(status != PX_ERR_INTERNAL && status != PX_ERR_POISONED);
    CHECK(status >= 0 || strlen(px_last_error()) > 0);
    return status;
}

static int a_number(int number) { return number >= 0 ? number : a_status(number); }

/* A handle is there to be used by anybody, one that was there before by nobody any more. */
static void keep(int kind, void *handle) {
    void *before = atomic_exchange(&kept[kind][any(KEPT)], handle);
    while (a_status(kind == JOB ? px_job_free(before) : px_chunk_release(before, PX_COMMIT)) ==
           PX_ERR_BUSY)
        sched_yield();
}

static int takes_output(const void *bytes, size_t length, void *user) {
    CHECK(bytes != NULL && length > 0 && user == &null);
    return any(30) == 0;
}

/* Another thread may have guessed the handle, and be at it for a moment. */
static int takes_chunk(px_chunk *chunk, void *user) {
    const void *record;
    size_t length, records = 0;
    int status;
    CHECK(user == &null);
    while (px_chunk_data(chunk) == NULL || px_chunk_length(chunk) == 0) sched_yield();
    while (px_chunk_index(chunk) == UINT64_MAX || px_chunk_attempt(chunk) < 1) sched_yield();
    while (records++ < 100 && (status = px_record_next(chunk, &record, &length)) != PX_END) {
        CHECK(status == PX_OK || status == PX_ERR_BUSY);
        while ((status = px_emit(chunk, record, length)) == PX_ERR_BUSY) sched_yield();
        CHECK(status == PX_OK);
    }
    status = px_chunk_release(chunk, PX_COMMIT);
    CHECK(status == PX_ERR_HANDLE || status == PX_ERR_BUSY);
    return any(20) ? PX_COMMIT : any_int();
}

/* A transport that does what it likes, for a bounded time. */
static int sends(void *user, int to, const void *bytes, size_t length) {
    CHECK(to >= 0 && bytes != NULL && length > 0);
    if (--*(int *)user < 0) return px_error_set(PX_ERR_SYSTEM, "the transport ends");
    return any(3) ? PX_OK : any(3) ? PX_ERR_BUSY : any_int();
}

static int receives(void *user, int *from, void *bytes, size_t capacity, size_t *length) {
    if (--*(int *)user < 0) return px_error_set(PX_ERR_SYSTEM, "the transport ends");
    *from = any(3) ? (int)any(3) : any_int();
    *length = any(3) ? any(100) : any(9) ? capacity : capacity + 1 + any(9);
    for (size_t at = 0; at < *length && at < capacity; at++)
        ((unsigned char *)bytes)[at] = (unsigned char)(any(2) ? any(0) : at == 0 ? any(9) : 0);
    return any(2) ? PX_END : any(20) ? PX_OK : any_int();
}

static int is_flushed(void *user) {
    if (--*(int *)user < 0) return PX_ERR_SYSTEM;
    return any(3) ? PX_OK : any(9) ? PX_ERR_BUSY : any_int();
}

static void runs_over(px_job *job) {
    int left = (int)any(300);
    px_transport transport = {any(5) ? sizeof transport : any_size(), any(4) ? (int)any(3) : any_int(),
                              any(4) ? 1 + (int)any(3) : any_int(),   &left,
                              any(9) ? sends : NULL,                  any(9) ? receives : NULL,
                              any(9) ? is_flushed : NULL};
    a_status(px_job_run_over(job, any(9) ? &transport : NULL));
}

static void a_call_of_a_job(px_job *job) {
    static const char *const COMMANDS[][3] = {
        {"cat", NULL, NULL}, {"false", NULL, NULL}, {"/no/such/program", "x", NULL}, {NULL, NULL, NULL}};
    px_result result;
    switch (any(22)) {
    case 0: case 1: {
        px_job *new;
        if (any(5) == 0) a_status(px_job_new(NULL));
        else if (a_status(px_job_new(&new)) == PX_OK) {
            CHECK(new != NULL);
            /* Most jobs can be run; another thread may have guessed the handle, and be at it. */
            a_status(px_job_ranks(new, 1 + (int)any(3)));
            if (any(2)) a_status(px_job_callback(new, takes_chunk, &null));
            if (any(2)) a_status(px_job_input(new, input));
            keep(JOB, new);
        }
        break;
    }
    case 2: a_status(px_job_free(job)); break;
    case 3: a_status(px_job_input(job, any_text())); break;
    case 4: a_status(px_job_records(job, any_text())); break;
    case 5: a_status(px_job_chunk_size(job, any_size())); break;
    case 6: a_status(px_job_chunk_records(job, any_size())); break;
    case 7: a_status(px_job_ranks(job, any_int())); break;
    case 8: a_status(px_job_deal(job, any_int())); break;
    case 9: a_status(px_job_order(job, any_int())); break;
    case 10: a_status(px_job_command(job, any(5) ? COMMANDS[any(4)] : NULL)); break;
    case 11: a_status(px_job_callback(job, any(5) ? takes_chunk : NULL, &null)); break;
    case 12: a_status(px_job_output_path(job, any(3) ? "/dev/null" : NULL)); break;
    case 13: a_status(px_job_output_fd(job, any(3) ? null : any_descriptor())); break;
    case 14: a_status(px_job_output_callback(job, any(5) ? takes_output : NULL, &null)); break;
    case 15: a_status(px_job_errors_fd(job, any(3) ? null : any_descriptor())); break;
    case 16: a_status(px_job_hosts(job, any(3) ? NULL : "a,,b")); break;
    case 17: a_status(px_job_hostfile(job, any(3) ? NULL : "/no/such/file")); break;
    case 18: a_status(px_job_option(job, any_text(), any_text())); break;
    case 19: if (any(4) == 0) a_status(px_job_run(job)); break;
    case 20: a_status(px_job_result(job, any(5) ? &result : NULL)); break;
    case 21: if (any(4) == 0) runs_over(job); break;
    }
}

static void a_call_of_a_chunk(px_chunk *chunk) {
    static char bytes[200000];
    const void *record;
    size_t length;
    switch (any(10)) {
    case 0: case 1: {
        px_chunk *next;
        if (any(10) == 0) a_status(px_chunk_next(NULL));
        else if (a_status(px_chunk_next(&next)) == PX_OK) keep(CHUNK, next);
        else CHECK(next == NULL);
        break;
    }
    case 2: px_chunk_data(chunk); px_chunk_length(chunk); break;
    case 3: px_chunk_index(chunk); px_chunk_offset(chunk); break;
    case 4: a_number(px_chunk_attempt(chunk)); break;
    case 5: a_status(px_record_next(chunk, any(9) ? &record : NULL, any(9) ? &length : NULL)); break;
    case 6: a_status(px_emit(chunk, bytes, any_length())); break;
    case 7: a_status(px_emit(chunk, NULL, any(2))); break;
    default: a_status(px_chunk_release(chunk, any(2) ? PX_COMMIT : any_int())); break;
    }
}

static void a_call_to_a_rank(void) {
    static char bytes[200000];
    char place[64];
    px_message message;
    int rank = any(3) ? (int)any(3) : any_int(), tag = any(3) ? (int)any(3) : any_int();
    int wait = any(9) ? (int)any(3) : -2 - (int)any(2) * 77;
    switch (any(4)) {
    case 0: a_status(px_send(rank, tag, any(9) ? bytes : NULL, any_length(), wait)); break;
    case 1: a_status(px_send(rank, tag, place, any(sizeof place), wait)); break;
    case 2: a_status(px_probe(rank, tag, wait, any(9) ? &message : NULL)); break;
    case 3:
        a_status(px_recv(rank, tag, any(9) ? place : NULL, any(2) ? sizeof place : any(40), wait,
                         any(2) ? &message : NULL));
        break;
    }
}

static void a_call_of_the_world(void) {
    switch (any(11)) {
    case 0: a_status(px_init((unsigned)any(3))); break;
    case 1: if (any(40) == 0) a_status(px_finalize()); break;
    case 2: a_number(px_rank()); break;
    case 3: a_number(px_size()); break;
    case 4: a_number(px_local_rank()); break;
    case 5: a_number(px_local_size()); break;
    case 6: px_host(); break;
    case 7: CHECK(px_strerror(any_int()) != NULL && px_version() != NULL); break;
    case 8: CHECK(a_status(px_abort(any(2) ? 0 : 256, any_text())) < 0); break;
    case 9: CHECK(px_last_error() != NULL); break;
    case 10: {
        int status = any_int();
        CHECK(px_error_set(status, any_text()) == status);
        break;
    }
    }
}

static void *calls_many(void *calls) {
    for (long left = *(long *)calls; left > 0; left--) switch (any(4)) {
        case 0: a_call_of_the_world(); break;
        case 1: a_call_of_a_chunk(any_handle(CHUNK)); break;
        case 2: a_call_of_a_job(any_handle(JOB)); break;
        case 3: a_call_to_a_rank(); break;
        }
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 5);
    seeds = strtoull(argv[1], NULL, 10) * 0x2545f4914f6cdd1du + 1;
    long calls = atol(argv[2]);
    int count = atoi(argv[3]);
    pthread_t threads[MOST_THREADS];
    input = argv[4];
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK(null > 2 && count >= 1 && count <= MOST_THREADS);
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, calls_many, &calls) == 0);
    for (int i = 0; i < count; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < KEPT; i++) {
        a_status(px_chunk_release(kept[CHUNK][i], PX_FAIL));
        a_status(px_job_free(kept[JOB][i]));
    }
    int status = px_finalize();
    CHECK(status == PX_OK || status == PX_ERR_STATE);
    return 0;
}
