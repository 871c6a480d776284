/* One promise of libpx each, by name: `checks NAME [ARGUMENT]`. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *argument;

static px_chunk *next(void) {
    px_chunk *chunk;
    CHECK(px_chunk_next(&chunk) == PX_OK);
    return chunk;
}

static void statuses(void) {
    CHECK(strcmp(px_strerror(PX_OK), "ok") == 0);
    for (int status = PX_ERR_INTERNAL; status <= PX_END; status++) {
        CHECK(strlen(px_strerror(status)) > 1);
        for (int other = PX_ERR_INTERNAL; other < status; other++)
            CHECK(strcmp(px_strerror(status), px_strerror(other)) != 0);
    }
    CHECK(strstr(px_strerror(12345), "not a status") != NULL);
    CHECK(strstr(px_strerror(-12345), "not a status") != NULL);
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", PX_VERSION_MAJOR, PX_VERSION_MINOR,
             PX_VERSION_PATCH);
    CHECK(strcmp(px_version(), version) == 0);
    CHECK(strcmp(px_last_error(), "") == 0);
}

static void before_and_after(void) {
    px_chunk *chunk = (px_chunk *)&chunk;
    for (int i = 0; i < 2; i++) {
        CHECK(px_rank() == PX_ERR_STATE && px_size() == PX_ERR_STATE);
        CHECK(px_local_rank() == PX_ERR_STATE && px_local_size() == PX_ERR_STATE);
        CHECK(px_chunk_next(&chunk) == PX_ERR_STATE && chunk == NULL);
        CHECK(px_finalize() == PX_ERR_STATE);
        CHECK(px_abort(3, "no") == PX_ERR_STATE);
        CHECK(i == 1 || px_host() == NULL);
        if (i == 0) {
            CHECK(px_init(2) == PX_ERR_ARGUMENT);
            SAYS("found 0x2");
            CHECK(px_init(0) == PX_OK);
            CHECK(px_init(0) == PX_ERR_STATE);
            const char *host = px_host();
            CHECK(px_rank() == 0 && px_size() == 1);
            CHECK(px_local_rank() == 0 && px_local_size() == 1);
            CHECK(px_finalize() == PX_OK);
            CHECK(px_host() == host && strlen(host) > 0);
            CHECK(px_init(0) == PX_ERR_STATE);
        }
    }
}

static void handles(void) {
    CHECK(px_init(0) == PX_OK);
    px_chunk *chunk = next();
    px_chunk *wrong[] = {NULL, (px_chunk *)1, (px_chunk *)&chunk, (px_chunk *)((char *)chunk + 1),
                         (px_chunk *)((char *)chunk + 16), (px_chunk *)(uintptr_t)-1};
    const void *record;
    size_t length;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status = wrong[i] == NULL ? PX_ERR_ARGUMENT : PX_ERR_HANDLE;
        CHECK(px_chunk_data(wrong[i]) == NULL && px_chunk_length(wrong[i]) == 0);
        CHECK(px_chunk_index(wrong[i]) == UINT64_MAX && px_chunk_offset(wrong[i]) == UINT64_MAX);
        CHECK(px_chunk_attempt(wrong[i]) == status);
        CHECK(px_record_next(wrong[i], &record, &length) == status);
        CHECK(record == NULL && length == 0);
        CHECK(px_emit(wrong[i], "x", 1) == status);
        CHECK(px_chunk_release(wrong[i], PX_COMMIT) == status);
    }
    CHECK(px_chunk_next(NULL) == PX_ERR_ARGUMENT);
    SAYS("`chunk` is NULL");
    CHECK(px_record_next(chunk, NULL, &length) == PX_ERR_ARGUMENT);
    CHECK(px_record_next(chunk, &record, NULL) == PX_ERR_ARGUMENT);
    CHECK(px_emit(chunk, NULL, 1) == PX_ERR_ARGUMENT);
    CHECK(px_emit(chunk, "x", SIZE_MAX) == PX_ERR_ARGUMENT);
    CHECK(px_emit(chunk, NULL, 0) == PX_OK);
    CHECK(px_emit(chunk, "kept\n", 5) == PX_OK);
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_ERR_HANDLE);
    CHECK(px_emit(chunk, "x", 1) == PX_ERR_HANDLE);
    CHECK(px_chunk_data(chunk) == NULL);
    /* What it does not know it frees all the same. */
    px_chunk *other = next();
    CHECK(px_emit(other, "lost\n", 5) == PX_OK);
    CHECK(px_chunk_release(other, 7) == PX_ERR_ARGUMENT);
    SAYS("found 7");
    CHECK(px_chunk_release(other, PX_COMMIT) == PX_ERR_HANDLE);
    CHECK(px_finalize() == PX_OK);
}

static void held(void) {
    CHECK(px_init(0) == PX_OK);
    px_chunk *chunks[PX_CHUNKS_MAX], *more;
    for (int i = 0; i < PX_CHUNKS_MAX; i++) chunks[i] = next();
    CHECK(px_chunk_next(&more) == PX_ERR_HELD && more == NULL);
    SAYS("release one");
    CHECK(px_emit(chunks[3], "three\n", 6) == PX_OK);
    CHECK(px_emit(chunks[0], "zero\n", 5) == PX_OK);
    CHECK(px_chunk_release(chunks[3], PX_FAIL) == PX_OK);
    chunks[3] = next();
    CHECK(px_chunk_index(chunks[3]) == PX_CHUNKS_MAX);
    CHECK(px_finalize() == PX_ERR_HELD);
    SAYS("8 chunks are held");
    CHECK(px_rank() == 0);
    for (int i = 0; i < PX_CHUNKS_MAX; i++)
        CHECK(px_chunk_release(chunks[i], PX_COMMIT) == PX_OK);
    CHECK(px_finalize() == PX_OK);
}

/* Standard input is the file that the argument names. */
static void changed(void) {
    CHECK(px_init(0) == PX_OK);
    int input = open(argument, O_RDWR);
    px_chunk *shorter = next(), *rewritten = next();
    CHECK(px_emit(shorter, "lost\n", 5) == PX_OK);
    CHECK(px_emit(rewritten, "lost\n", 5) == PX_OK);
    off_t size = lseek(input, 0, SEEK_END);
    CHECK(truncate(argument, size - 1) == 0);
    CHECK(px_chunk_release(shorter, PX_COMMIT) == PX_ERR_INPUT_CHANGED);
    SAYS("changed while it was read");
    CHECK(px_chunk_release(shorter, PX_COMMIT) == PX_ERR_HANDLE);
    struct timespec times[2] = {{1, 0}, {1, 0}};
    CHECK(truncate(argument, size) == 0 && utimensat(AT_FDCWD, argument, times, 0) == 0);
    CHECK(px_chunk_release(rewritten, PX_COMMIT) == PX_ERR_INPUT_CHANGED);
    SAYS("other times");
    CHECK(truncate(argument, 1) == 0);
    px_chunk *none;
    CHECK(px_chunk_next(&none) == PX_ERR_INPUT_CHANGED && none == NULL);
    CHECK(px_finalize() == PX_OK);
}

static void unreadable(void) {
    CHECK(px_init(0) == PX_OK);
    px_chunk *chunk;
    CHECK(px_chunk_next(&chunk) == PX_ERR_SYSTEM && chunk == NULL);
    SAYS("standard input");
    CHECK(px_finalize() == PX_OK);
}

/* Nobody reads standard output. */
static void unwritable(void) {
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    CHECK(px_init(0) == PX_OK);
    px_chunk *chunk = next();
    CHECK(px_emit(chunk, "lost\n", 5) == PX_OK);
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_ERR_SYSTEM);
    SAYS("standard output");
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_ERR_HANDLE);
    CHECK(px_finalize() == PX_OK);
}

static void forked(void) {
    CHECK(px_init(0) == PX_OK);
    px_chunk *chunk = next();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        px_chunk *other;
        CHECK(px_rank() == PX_ERR_FORK && px_chunk_next(&other) == PX_ERR_FORK);
        SAYS("forked");
        CHECK(px_emit(chunk, "x", 1) == PX_ERR_FORK && px_chunk_data(chunk) == NULL);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_ERR_FORK);
        CHECK(px_finalize() == PX_ERR_FORK && px_abort(1, "no") == PX_ERR_FORK);
        CHECK(px_init(0) == PX_ERR_FORK && px_host() == NULL);
        _exit(42);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    CHECK(px_finalize() == PX_OK);
}

static void foreign(void) {
    CHECK(px_init(0) == PX_ERR_FOREIGN_WORLD);
    SAYS(argument);
    CHECK(px_rank() == PX_ERR_STATE);
    CHECK(setenv("PX_SINGLETON", "1", 1) == 0);
    CHECK(px_init(0) == PX_OK && px_size() == 1);
    CHECK(px_finalize() == PX_OK);
}

/* Started by pxrun that feeds stdin: the argument is world size. */
static void not_fed(void) {
    CHECK(px_init(0) == PX_OK);
    CHECK(px_size() == atoi(argument) && px_rank() < px_size());
    CHECK(strcmp(getenv("PX_HOST"), px_host()) == 0);
    px_chunk *chunk;
    CHECK(px_chunk_next(&chunk) == PX_ERR_NOT_FED);
    SAYS("--contract px");
    CHECK(px_emit((px_chunk *)&chunk, "x", 1) == PX_ERR_NOT_FED);
    SAYS("--contract px");
    char line[100];
    while (fgets(line, sizeof line, stdin)) printf("rank %d has %s", px_rank(), line);
    CHECK(px_finalize() == PX_OK);
}

/* PX_FD names what is no socket to an agent. */
static void astray(void) {
    CHECK(px_init(0) == PX_ERR_PROTOCOL);
    SAYS("PX_FD");
    CHECK(getenv("PX_FD") == NULL);
    CHECK(px_init(0) == PX_ERR_STATE && px_rank() == PX_ERR_STATE);
}

static void aborts(void) {
    CHECK(px_init(0) == PX_OK);
    CHECK(px_abort(0, "no") == PX_ERR_ARGUMENT && px_abort(256, "no") == PX_ERR_ARGUMENT);
    SAYS("found 256");
    px_chunk *chunk = next();
    CHECK(px_emit(chunk, "lost\n", 5) == PX_OK);
    px_abort(7, argument);
    CHECK(!"it returns");
}

static void *one_thread(void *lines) {
    for (;;) {
        px_chunk *chunk;
        int status = px_chunk_next(&chunk);
        if (status == PX_END) return lines;
        CHECK(status == PX_OK);
        const void *record;
        size_t length;
        while (px_record_next(chunk, &record, &length) == PX_OK) {
            ++*(long *)lines;
            CHECK(px_emit(chunk, record, length) == PX_OK && px_emit(chunk, "\n", 1) == PX_OK);
        }
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
        /* What fails in this thread is not what failed in another. */
        CHECK(px_emit(chunk, "x", 1) == PX_ERR_HANDLE);
    }
}

/* The argument is how many lines there are. */
static void threads(void) {
    enum { THREADS = PX_CHUNKS_MAX };
    pthread_t threads[THREADS];
    long lines[THREADS] = {0}, all = 0;
    CHECK(px_init(0) == PX_OK);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, one_thread, &lines[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        all += lines[i];
    }
    CHECK(strcmp(px_last_error(), "") == 0);
    CHECK(all == atol(argument));
    CHECK(px_finalize() == PX_OK);
}

static _Atomic(px_chunk *) released;
static atomic_int over;

/* What counts no more is an error, whoever has its place now. */
static void *uses_what_is_released(void *unused) {
    while (!over) {
        CHECK(px_emit(released, "lost\n", 5) == PX_ERR_HANDLE);
        CHECK(px_chunk_attempt(released) == PX_ERR_HANDLE);
        CHECK(px_chunk_release(released, PX_COMMIT) == PX_ERR_HANDLE);
    }
    return unused;
}

/* Whoever uses a chunk of his own does not notice others who use one that was there before. */
static void stale(void) {
    pthread_t others[4];
    px_chunk *chunk;
    CHECK(px_init(0) == PX_OK);
    for (int chunks = 0; px_chunk_next(&chunk) == PX_OK; chunks++) {
        CHECK(px_emit(chunk, px_chunk_data(chunk), px_chunk_length(chunk)) == PX_OK);
        CHECK(px_chunk_attempt(chunk) == 1);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
        released = chunk;
        for (int i = 0; chunks == 0 && i < 4; i++)
            CHECK(pthread_create(&others[i], NULL, uses_what_is_released, NULL) == 0);
    }
    over = 1;
    for (int i = 0; i < 4; i++) CHECK(pthread_join(others[i], NULL) == 0);
    CHECK(px_finalize() == PX_OK);
}

/* Descriptors of this process from 0 on that are open, a bit each. */
static uint64_t descriptors(void) {
    uint64_t open = 0;
    for (int fd = 0; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) != -1) open |= (uint64_t)1 << fd;
    return open;
}

/* Started by `pxrun --contract px`. */
static void inherits(void) {
    int socket = atoi(getenv("PX_FD"));
    struct stat null, input;
    CHECK(socket > 2 && descriptors() == (7 | (uint64_t)1 << socket));
    CHECK(stat("/dev/null", &null) == 0 && fstat(0, &input) == 0);
    CHECK(null.st_rdev == input.st_rdev && getchar() == EOF);
    CHECK(!(fcntl(socket, F_GETFD) & FD_CLOEXEC));
    CHECK(px_init(0) == PX_OK);
    CHECK(fcntl(socket, F_GETFD) & FD_CLOEXEC);
    CHECK(getenv("PX_FD") == NULL);
    /* What is there besides, no program that is started here inherits. */
    px_chunk *chunk;
    while (px_chunk_next(&chunk) == PX_OK) {
        for (int fd = 3; fd < 64; fd++)
            CHECK(fcntl(fd, F_GETFD) == -1 || fcntl(fd, F_GETFD) & FD_CLOEXEC);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    }
    CHECK(px_finalize() == PX_OK);
    CHECK((descriptors() & ((uint64_t)1 << socket)) == 0);
}

/* The argument names the input; it is cut short while it is read. */
static void torn(void) {
    CHECK(px_init(0) == PX_OK);
    px_chunk *chunk = next();
    volatile const char *bytes = px_chunk_data(chunk);
    CHECK(px_emit(chunk, "lost\n", 5) == PX_OK);
    CHECK(truncate(argument, 0) == 0);
    CHECK(bytes[0] != bytes[0]);
}

/* The argument says how it ends with status 0, and not as it should. */
static void ends(void) {
    if (strcmp(argument, "a stranger") == 0) return;
    CHECK(px_init(0) == PX_OK);
    px_chunk *chunk = next();
    if (strcmp(argument, "early") != 0) CHECK(px_emit(chunk, "lost\n", 5) == PX_OK);
    if (strcmp(argument, "holding") == 0) _exit(0);
    if (strcmp(argument, "failing") == 0) {
        CHECK(px_chunk_release(chunk, PX_FAIL) == PX_OK);
        while (px_chunk_next(&chunk) == PX_OK)
            CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    } else {
        CHECK(strcmp(argument, "early") == 0);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    }
    CHECK(px_finalize() == PX_OK);
}

/* Bytes that go where output of chunks goes too. */
static void prints(void) {
    CHECK(px_init(0) == PX_OK);
    printf("printed by hand\n");
    fflush(stdout);
    px_chunk *chunk;
    while (px_chunk_next(&chunk) == PX_OK) {
        CHECK(px_emit(chunk, "emitted\n", 8) == PX_OK);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    }
    CHECK(px_finalize() == PX_OK);
}

static const struct {
    const char *name;
    void (*run)(void);
} CHECKS[] = {
    {"statuses", statuses},     {"before_and_after", before_and_after},
    {"handles", handles},       {"held", held},
    {"changed", changed},       {"unreadable", unreadable},
    {"unwritable", unwritable}, {"forked", forked},
    {"foreign", foreign},       {"not_fed", not_fed},
    {"astray", astray},         {"aborts", aborts},
    {"threads", threads},       {"inherits", inherits},
    {"torn", torn},             {"ends", ends},
    {"prints", prints},         {"stale", stale},
};

int main(int argc, char **argv) {
    argument = argc > 2 ? argv[2] : NULL;
    for (size_t i = 0; i < sizeof CHECKS / sizeof *CHECKS; i++)
        if (argc > 1 && strcmp(argv[1], CHECKS[i].name) == 0) {
            CHECKS[i].run();
            return 0;
        }
    CHECK(!"a check of that name");
}
