/* Runs the job that its words describe, and says on stderr what came of it.
 *
 *   job [WORD | NAME=VALUE]... [-- COMMAND [ARG]...]
 *
 * Besides what a job has: `twice`, `output-callback[=LIMIT]`, `fork-and-die`, `map=HOW`, a callback.
 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define RANKS 4

struct state {
    px_job *job;
    unsigned long long taken, limit;
    int dies;
    pid_t child;
    const char *how;
    pthread_barrier_t together;
};

/* Prints output as it comes, until there was too much of it. */
static int take(const void *bytes, size_t length, void *user)
{
    struct state *state = user;
    CHECK(px_job_ranks(state->job, 1) == PX_ERR_BUSY);
    CHECK(fwrite(bytes, 1, length, stdout) == length && fflush(stdout) == 0);
    state->taken += length;
    if (state->dies) {
        /* The child has all that this process has, and lives on. */
        if (fork() == 0) pause();
        raise(SIGKILL);
    }
    return state->taken > state->limit ? 7 : 0;
}

static void check_thread(void)
{
    char name[16];
    sigset_t mask;
    CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
    CHECK(strncmp(name, "px-rank-", 8) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    CHECK(sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGCHLD) == 1);
    CHECK(sigismember(&mask, SIGSEGV) == 0 && sigismember(&mask, SIGBUS) == 0);
}

/* Emits the records of a chunk, each with a newline behind it. */
static int map(px_chunk *chunk, void *user)
{
    struct state *state = user;
    const void *record;
    size_t length;
    int status;
    if (strcmp(state->how, "fail") == 0 && px_chunk_index(chunk) == 5) return PX_FAIL;
    if (strcmp(state->how, "other") == 0 && px_chunk_index(chunk) == 5) return 99;
    if (strcmp(state->how, "hang") == 0) pause();
    if (strcmp(state->how, "fork") == 0 && px_chunk_index(chunk) == 0) {
        /* The child has all descriptors of this process, and outlives the job. */
        state->child = fork();
        CHECK(state->child >= 0);
        while (state->child == 0) pause();
    }
    if (strcmp(state->how, "check") == 0) {
        check_thread();
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_ERR_HANDLE);
        CHECK(px_job_run(state->job) == PX_ERR_BUSY);
        CHECK(px_chunk_attempt(chunk) == 1);
        CHECK(px_rank() == PX_ERR_STATE);
        /* The first chunk of each rank: they are processed at the same time. */
        if (px_chunk_index(chunk) < RANKS) pthread_barrier_wait(&state->together);
    }
    while ((status = px_record_next(chunk, &record, &length)) == PX_OK) {
        CHECK(px_emit(chunk, record, length) == PX_OK);
        CHECK(px_emit(chunk, "\n", 1) == PX_OK);
    }
    CHECK(status == PX_END);
    return PX_COMMIT;
}

static int is(const char *word, const char *name)
{
    return strcmp(word, name) == 0;
}

static int set(struct state *state, char *word)
{
    px_job *job = state->job;
    char *value = strchr(word, '=');
    unsigned long long number = value == NULL ? 0 : strtoull(value + 1, NULL, 10);
    if (value != NULL) *value++ = '\0';
    if (is(word, "input")) return px_job_input(job, value);
    if (is(word, "records")) return px_job_records(job, value);
    if (is(word, "chunk-size")) return px_job_chunk_size(job, number);
    if (is(word, "chunk-records")) return px_job_chunk_records(job, number);
    if (is(word, "ranks")) return px_job_ranks(job, (int)number);
    if (is(word, "deal")) return px_job_deal(job, (int)number);
    if (is(word, "order")) return px_job_order(job, (int)number);
    if (is(word, "output")) return px_job_output_path(job, value);
    if (is(word, "output-fd")) return px_job_output_fd(job, (int)number);
    if (is(word, "output-callback")) {
        if (value != NULL) state->limit = number;
        return px_job_output_callback(job, take, state);
    }
    if (is(word, "errors-fd")) return px_job_errors_fd(job, (int)number);
    if (is(word, "hosts")) return px_job_hosts(job, value);
    if (is(word, "hostfile")) return px_job_hostfile(job, value);
    if (is(word, "map")) {
        state->how = value;
        return px_job_callback(job, map, state);
    }
    return px_job_option(job, word, value);
}

int main(int argc, char **argv)
{
    struct state state = {.limit = (unsigned long long)-1};
    int times = 1, at = 1, status = px_job_new(&state.job);
    px_result result;
    CHECK(status == PX_OK);
    CHECK(px_job_result(state.job, &result) == PX_ERR_STATE);
    CHECK(pthread_barrier_init(&state.together, NULL, RANKS) == 0);
    for (; at < argc && !is(argv[at], "--") && status == PX_OK; at++) {
        if (is(argv[at], "twice")) times = 2;
        else if (is(argv[at], "fork-and-die")) state.dies = 1;
        else status = set(&state, argv[at]);
    }
    if (status == PX_OK && at < argc)
        status = px_job_command(state.job, (const char *const *)argv + at + 1);
    if (status != PX_OK) fprintf(stderr, "set %d\n%s\n", status, px_last_error());
    for (; status == PX_OK && times > 0; times--) {
        int ran = px_job_run(state.job);
        fprintf(stderr, "run %d\n", ran);
        if (state.child != 0) {
            CHECK(kill(state.child, SIGKILL) == 0);
            CHECK(waitpid(state.child, NULL, 0) == state.child);
        }
        if (ran != PX_OK) fprintf(stderr, "%s\n", px_last_error());
        if (px_job_result(state.job, &result) == PX_OK)
            fprintf(stderr, "result %d, %llu chunks, %llu in, %llu out\n", result.status,
                    (unsigned long long)result.chunks, (unsigned long long)result.input_bytes,
                    (unsigned long long)result.output_bytes);
    }
    CHECK(px_job_free(state.job) == PX_OK);
    CHECK(px_job_free(state.job) == PX_ERR_HANDLE);
    CHECK(px_job_run(NULL) == PX_ERR_ARGUMENT);
    return 0;
}
