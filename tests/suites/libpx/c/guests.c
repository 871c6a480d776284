/* How a program may behave that `pxrun --contract px` starts, by name: `guests NAME [ARGUMENT]`. */
#define _GNU_SOURCE
#include "filled.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *argument;

static px_chunk *next(void) {
    px_chunk *chunk;
    CHECK(px_chunk_next(&chunk) == PX_OK && chunk != NULL);
    return chunk;
}

static px_chunk *first(void) {
    CHECK(px_init(0) == PX_OK);
    return next();
}

static void emit(px_chunk *chunk, const char *text) {
    CHECK(px_emit(chunk, text, strlen(text)) == PX_OK);
}

static void give_back(px_chunk *chunk) {
    CHECK(px_emit(chunk, px_chunk_data(chunk), px_chunk_length(chunk)) == PX_OK);
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
}

static void take_all(void) {
    px_chunk *chunk;
    int status;
    while ((status = px_chunk_next(&chunk)) == PX_OK) give_back(chunk);
    CHECK(status == PX_END && chunk == NULL);
}

static void stranger(void) {}

static void keeps(void) { emit(first(), "never to be seen\n"); }

/* Which is taken after the last that there is. */
static void keeps_the_last(void) {
    px_chunk *last = first(), *chunk;
    while (px_chunk_next(&chunk) == PX_OK) {
        give_back(last);
        last = chunk;
    }
    emit(last, "never to be seen\n");
}

static void leaves_early(void) { give_back(first()); }

static void takes_nothing(void) { CHECK(px_init(0) == PX_OK); }

static void finalizes_early(void) {
    give_back(first());
    CHECK(px_finalize() == PX_OK);
}

static void ends_unfinalized(void) {
    CHECK(px_init(0) == PX_OK);
    take_all();
}

static void finalizes_with_chunks(void) {
    px_chunk *chunk = first();
    emit(chunk, "never to be seen\n");
    CHECK(px_finalize() == PX_ERR_HELD);
    SAYS("1 chunks are held");
}

static void prints(void) {
    CHECK(px_init(0) == PX_OK);
    px_chunk *chunk;
    const void *record;
    size_t length;
    while (px_chunk_next(&chunk) == PX_OK) {
        while (px_record_next(chunk, &record, &length) == PX_OK) {
            /* In two writes: a line is never mixed with another's. */
            CHECK(write(1, record, length / 2) == (ssize_t)(length / 2));
            CHECK(write(1, (const char *)record + length / 2, length - length / 2) >= 0);
            CHECK(write(1, "\n", 1) == 1);
        }
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    }
    CHECK(px_finalize() == PX_OK);
}

static void prints_once(void) {
    CHECK(px_init(0) == PX_OK);
    if (px_rank() == 1) {
        puts("the quick brown fox jumps over the lazy dog");
        fflush(stdout);
    }
    take_all();
    CHECK(px_finalize() == PX_OK);
}

static int is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static const char *to_where(int fd) {
    static char target[200];
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, sizeof target - 1);
    CHECK(length >= 0);
    target[length] = '\0';
    return target;
}

static int descriptors(void) {
    int count = 0;
    DIR *all = opendir("/proc/self/fd");
    CHECK(all != NULL);
    for (struct dirent *entry; (entry = readdir(all)) != NULL;)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(all)) {
            CHECK(is_open(atoi(entry->d_name)));
            count++;
        }
    closedir(all);
    return count;
}

static int is_in_environment(const char *name) {
    for (char **one = environ; *one; one++)
        if (strncmp(*one, name, strlen(name)) == 0) return 1;
    return 0;
}

/* What it inherits, and what of that is left to programs that it starts. */
static void inherits(void) {
    CHECK(getenv("PX_FD") != NULL);
    int fd = atoi(getenv("PX_FD")), type;
    socklen_t size = sizeof type;
    CHECK(descriptors() == 4 && fd > 2 && is_open(fd));
    CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0);
    CHECK(strcmp(to_where(0), "/dev/null") == 0);
    CHECK(px_init(0) == PX_OK);
    CHECK(getenv("PX_FD") == NULL && !is_in_environment("PX_FD"));
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    px_chunk *chunk = next();
    for (int other = 3; other < 1000; other++)
        CHECK(!is_open(other) || (fcntl(other, F_GETFD) & FD_CLOEXEC) != 0);
    give_back(chunk);
    take_all();
    /* What it starts inherits three. */
    FILE *child = popen("ls /proc/self/fd | wc -l; echo ${PX_FD-none}", "r");
    char said[40] = "";
    CHECK(fread(said, 1, sizeof said - 1, child) > 0);
    /* One of them is that by which ls reads the list. */
    CHECK(strcmp(said, "4\nnone\n") == 0);
    CHECK(pclose(child) == 0);
    CHECK(px_finalize() == PX_OK);
    CHECK(descriptors() == 3 && strcmp(to_where(0), "/dev/null") == 0);
}

/* What a process has that a library has no business with, but for PX_FD. */
static void look_around(FILE *words) {
    static const char *const LINES[] = {"Umask", "Threads", "SigBlk", "SigIgn", "SigCgt"};
    char directory[4096];
    int subreaper = 0;
    CHECK(getcwd(directory, sizeof directory) != NULL);
    CHECK(prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0);
    fprintf(words, "%s dumpable %d subreaper %d\n", directory, prctl(PR_GET_DUMPABLE), subreaper);
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        CHECK(getrlimit(which, &limit) == 0);
        fprintf(words, "%ju %ju\n", (uintmax_t)limit.rlim_cur, (uintmax_t)limit.rlim_max);
    }
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    for (char line[4096]; fgets(line, sizeof line, status) != NULL;)
        for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++)
            if (strncmp(line, LINES[i], strlen(LINES[i])) == 0) fputs(line, words);
    fclose(status);
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        if (sigaction(signal, NULL, &action) == 0)
            fprintf(words, "signal %d %p %x\n", signal, (void *)(uintptr_t)action.sa_handler,
                    (unsigned)action.sa_flags);
    }
    for (int fd = 0; fd <= 2; fd++)
        fprintf(words, "%d %s %x %x\n", fd, to_where(fd), (unsigned)fcntl(fd, F_GETFL),
                (unsigned)fcntl(fd, F_GETFD));
    for (char **one = environ; *one; one++)
        if (strncmp(*one, "PX_FD=", 6) != 0) fprintf(words, "%s\n", *one);
}

static char *surroundings(void) {
    char *text;
    size_t length;
    FILE *words = open_memstream(&text, &length);
    CHECK(words != NULL);
    look_around(words);
    CHECK(fclose(words) == 0);
    return text;
}

static void are_as_before(char *before) {
    char *after = surroundings();
    CHECK(strcmp(before, after) == 0);
    free(after);
}

static void caught(int signal) { (void)signal; }

/* Messages that are buffered, and ones that are not; and waiting that is in vain. */
static void talk_to_all(void) {
    static char bytes[3 << 20];
    static const size_t LENGTHS[] = {8, sizeof bytes};
    int next = (px_rank() + 1) % px_size(), before = (px_rank() + px_size() - 1) % px_size();
    for (int i = 0; i < 2; i++) {
        if (px_rank() == 0) CHECK(px_send(next, 7, bytes, LENGTHS[i], -1) == PX_OK);
        CHECK(px_recv(before, 7, bytes, sizeof bytes, -1, NULL) == PX_OK);
        if (px_rank() != 0) CHECK(px_send(next, 7, bytes, LENGTHS[i], -1) == PX_OK);
    }
    CHECK(px_recv(PX_ANY_SOURCE, 8, bytes, sizeof bytes, 20, NULL) == PX_ERR_TIMEOUT);
    CHECK(px_probe(next, 8, 20, NULL) == PX_ERR_TIMEOUT);
    /* Nobody goes on before all have waited. */
    CHECK(px_send(before, 9, NULL, 0, -1) == PX_OK);
    CHECK(px_recv(next, 9, NULL, 0, -1, NULL) == PX_OK);
}

/* A good guest: what it finds of the process it leaves. The argument says whether it talks. */
static void leaves_things(void) {
    umask(027);
    CHECK(signal(SIGUSR1, caught) != SIG_ERR && signal(SIGURG, SIG_IGN) != SIG_ERR);
    CHECK(setenv("PX_SOMETHING", "of the program's own", 1) == 0);
    char *before = surroundings();
    CHECK(strstr(before, "Umask:\t0027") != NULL && strstr(before, "SigCgt") != NULL);
    CHECK(px_init(0) == PX_OK);
    are_as_before(before);
    if (argument != NULL && strcmp(argument, "talks") == 0) talk_to_all();
    are_as_before(before);
    take_all();
    are_as_before(before);
    CHECK(px_finalize() == PX_OK);
    are_as_before(before);
    free(before);
}

static void forks(void) {
    px_chunk *chunk = first(), *other;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(px_chunk_next(&other) == PX_ERR_FORK);
        SAYS("forked");
        CHECK(px_rank() == PX_ERR_FORK && px_chunk_data(chunk) == NULL);
        CHECK(px_emit(chunk, "doubled\n", 8) == PX_ERR_FORK);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_ERR_FORK);
        CHECK(px_finalize() == PX_ERR_FORK && px_abort(3, "no") == PX_ERR_FORK);
        /* With all that exit does at the end of a process. */
        exit(42);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    give_back(chunk);
    take_all();
    CHECK(px_finalize() == PX_OK);
}

/* The argument is the input file. */
static void reads_what_is_cut(void) {
    px_chunk *chunk = first();
    const volatile char *bytes = px_chunk_data(chunk);
    CHECK(truncate(argument, 0) == 0);
    emit(chunk, bytes[px_chunk_length(chunk) - 1] ? "never\n" : "to be seen\n");
    CHECK(!"a byte that the file has no more can be read");
}

static void has_copies(void) {
    CHECK(px_init(PX_INIT_PRIVATE) == PX_OK);
    px_chunk *chunk = next();
    CHECK(truncate(argument, 0) == 0);
    emit(chunk, px_chunk_data(chunk) ? "never to be seen\n" : "");
    size_t length = px_chunk_length(chunk);
    CHECK(memchr(px_chunk_data(chunk), 0, length) == NULL);
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_ERR_INPUT_CHANGED);
}

/* What is added behind the end belongs to no chunk. */
static void grows(void) {
    px_chunk *chunk = first();
    int fd = open(argument, O_WRONLY | O_APPEND | O_CLOEXEC);
    CHECK(fd >= 0 && write(fd, "behind the end\n", 15) == 15 && close(fd) == 0);
    give_back(chunk);
    take_all();
    CHECK(px_finalize() == PX_OK);
}

static void eight(void) {
    CHECK(px_init(0) == PX_OK);
    px_chunk *held[PX_CHUNKS_MAX], *more = (px_chunk *)&held;
    for (int i = 0; i < PX_CHUNKS_MAX; i++) held[i] = next();
    CHECK(px_chunk_next(&more) == PX_ERR_HELD && more == NULL);
    SAYS("8 chunks are held");
    give_back(held[5]);
    held[5] = next();
    for (int i = PX_CHUNKS_MAX; i-- > 0;) give_back(held[i]);
    take_all();
    CHECK(px_finalize() == PX_OK);
}

static void *emits_in_another_thread(void *chunk) {
    CHECK(px_emit(chunk, px_chunk_data(chunk), px_chunk_length(chunk)) == PX_OK);
    return chunk;
}

static void *releases_in_another_thread(void *chunk) {
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    return NULL;
}

static void moves(void) {
    CHECK(px_init(0) == PX_OK);
    px_chunk *chunk;
    while (px_chunk_next(&chunk) == PX_OK) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, emits_in_another_thread, chunk) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(pthread_create(&thread, NULL, releases_in_another_thread, chunk) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    CHECK(px_finalize() == PX_OK);
}

static void *takes_beside_others(void *nothing) {
    take_all();
    return nothing;
}

static void threads(void) {
    CHECK(px_init(0) == PX_OK);
    pthread_t threads[PX_CHUNKS_MAX];
    for (int i = 0; i < PX_CHUNKS_MAX; i++)
        CHECK(pthread_create(&threads[i], NULL, takes_beside_others, NULL) == 0);
    for (int i = 0; i < PX_CHUNKS_MAX; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(px_finalize() == PX_OK);
}

/* Chunk number 3 is no good. */
static void fails(void) {
    CHECK(px_init(0) == PX_OK);
    px_chunk *chunk;
    while (px_chunk_next(&chunk) == PX_OK) {
        if (px_chunk_index(chunk) != 3) {
            give_back(chunk);
            continue;
        }
        emit(chunk, "never to be seen\n");
        CHECK(px_chunk_release(chunk, PX_FAIL) == PX_OK);
    }
    CHECK(px_finalize() == PX_OK);
}

/* The argument is how many MiB each chunk has of output: its first letter, again and again. */
static void emits_much(void) {
    static char block[1 << 20];
    px_chunk *chunk;
    CHECK(px_init(0) == PX_OK);
    while (px_chunk_next(&chunk) == PX_OK) {
        memset(block, *(const char *)px_chunk_data(chunk), sizeof block);
        for (int i = atoi(argument); i > 0; i--)
            CHECK(px_emit(chunk, block, sizeof block) == PX_OK);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    }
    CHECK(px_finalize() == PX_OK);
}

/* The chunk with the number that is the argument is more than it can take. */
static void dies_in(void) {
    px_chunk *chunk;
    CHECK(px_init(0) == PX_OK);
    while (px_chunk_next(&chunk) == PX_OK) {
        if (px_chunk_index(chunk) == (uint64_t)atoi(argument)) {
            emit(chunk, "never to be seen\n");
            raise(SIGKILL);
        }
        give_back(chunk);
    }
    CHECK(px_finalize() == PX_OK);
}

/* The chunk with the number that is the argument is too much for it, but for the third time. */
static void tells_attempts(void) {
    px_chunk *chunk;
    CHECK(px_init(0) == PX_OK);
    while (px_chunk_next(&chunk) == PX_OK) {
        int attempt = px_chunk_attempt(chunk);
        CHECK(attempt >= 1 && attempt <= 3);
        if (px_chunk_index(chunk) != (uint64_t)atoi(argument)) {
            give_back(chunk);
            continue;
        }
        emit(chunk, attempt < 3 ? "never to be seen\n" : "attempt 3\n");
        if (attempt < 3) raise(SIGKILL);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    }
    CHECK(px_finalize() == PX_OK);
}

/* Bytes that no libpx would write, on the socket to the agent. */
static void garbage(void) {
    int fd = atoi(getenv("PX_FD"));
    unsigned state = (unsigned)atoi(argument) * 2654435761u + 1;
    unsigned char bytes[4096];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (state = state * 1664525u + 1013904223u) >> 24;
    for (int i = 0; i < 64; i++)
        if (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) < 0) return;
}

/* The same in the middle of what a libpx writes. */
static void garbage_later(void) {
    int fd = atoi(getenv("PX_FD"));
    px_chunk *chunk = first();
    emit(chunk, "never to be seen\n");
    CHECK(send(fd, "\1\0\0\0\377\377\377\377garbage!", 16, MSG_NOSIGNAL) == 16);
    px_chunk_release(chunk, PX_COMMIT);
    while (px_chunk_next(&chunk) == PX_OK) px_chunk_release(chunk, PX_COMMIT);
}

static unsigned char frame[64 << 10];
static size_t framed;

static void put(uint64_t value, size_t bytes) {
    for (; bytes > 0; bytes--, value >>= 8) frame[framed++] = (unsigned char)value;
}

/* A number of the kind that something might have. */
static uint64_t number(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    uint64_t bits = *state >> 8;
    switch (bits % 8) {
    case 0: return *state;
    case 1: return UINT64_MAX - bits / 8 % 4;
    case 2: return 1u << bits / 8 % 31;
    default: return bits / 8 % 9;
    }
}

static uint64_t evenly(uint64_t *state) {
    number(state);
    return *state >> 16;
}

/* Frames of the right form with all that can be wrong in them. */
static void liar(void) {
    int fd = atoi(getenv("PX_FD"));
    uint64_t state = strtoull(argument, NULL, 10) * 2654435761u + 88172645463325252u;
    static char taken[64 << 10];
    framed = 0;
    put(1, 4), put(8, 4), put(0, 8), put(0, 4), put(1, 4);
    for (int i = 0; i < 200; i++) {
        if (send(fd, frame, framed, MSG_NOSIGNAL) < 0) break;
        while (recv(fd, taken, sizeof taken, MSG_DONTWAIT) > 0) {}
        uint64_t kind = 1 + number(&state) % 8, variant = number(&state) % 10;
        if (kind > 4) kind = 1;
        framed = 16;
        put(variant, 4);
        static const int fields[10][4] = {{4}, {4}, {8, 4, 8}, {0}, {0}, {4, 8}, {0}, {1, 8}, {8}, {4}};
        if (kind == 1)
            for (int at = 0; at < 4; at++) put(number(&state), (size_t)fields[variant][at]);
        else
            framed = 16 + number(&state) % 40000;
        size_t length = framed - 16, whole = framed;
        framed = 0;
        put(kind, 4), put(length, 4), put(number(&state), 8);
        framed = whole;
    }
}

static void sends_descriptors(void) {
    int fd = atoi(getenv("PX_FD"));
    CHECK(px_init(0) == PX_OK);
    for (int i = 0; i < 5000; i++) {
        /* Took of no chunk: true, and nothing to anybody. */
        static unsigned char nothing[24] = {1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        struct iovec part = {nothing, sizeof nothing};
        struct msghdr message = {NULL, 0, &part, 1, &control, sizeof control.bytes, 0};
        CHECK(sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)sizeof nothing);
    }
    take_all();
    CHECK(px_finalize() == PX_OK);
}

/* Where there is an argument it is a file that is waited for. */
static void until_told(void) {
    while (argument != NULL && access(argument, F_OK) != 0)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* Adds up, or says of each chunk, on stdout; emits nothing. */
static void prints_all(int each) {
    unsigned long records = 0;
    size_t length;
    const void *record;
    px_chunk *chunk;
    CHECK(px_init(0) == PX_OK);
    while (px_chunk_next(&chunk) == PX_OK) {
        while (px_record_next(chunk, &record, &length) == PX_OK) {
            if (each) printf("%.*s\n", (int)length, (const char *)record);
            records++;
        }
        fflush(stdout);
        if (records > 500) nanosleep(&(struct timespec){0, 5000000}, NULL);
        if (!each) fprintf(stderr, "so far %lu\n", records);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    }
    until_told();
    if (!each) printf("%lu\n", records);
    CHECK(px_finalize() == PX_OK);
}

static void prints_each(void) { prints_all(1); }
static void prints_sum(void) { prints_all(0); }

/* Adds up and sends the sum to rank 0. */
static void sends_sum(void) {
    uint64_t sum = 0;
    px_chunk *chunk;
    CHECK(px_init(0) == PX_OK);
    while (px_chunk_next(&chunk) == PX_OK) {
        sum += px_chunk_length(chunk);
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        fprintf(stderr, "so far %lu\n", (unsigned long)sum);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    }
    until_told();
    CHECK(px_send(0, 1, &sum, sizeof sum, -1) == PX_OK);
}

static atomic_ulong emitted;

static void *emits_much_for_each(void *unused) {
    static char bytes[256 << 10];
    px_chunk *chunk;
    (void)unused;
    for (; px_chunk_next(&chunk) == PX_OK; emitted++) {
        CHECK(px_emit(chunk, bytes, sizeof bytes) == PX_OK);
        give_back(chunk);
    }
    return NULL;
}

/* Rank 0 ends the job as soon as nobody takes what it emits any more. */
static void aborts_unheard(void) {
    pthread_t other;
    CHECK(px_init(0) == PX_OK);
    if (px_rank() == 0) CHECK(pthread_create(&other, NULL, emits_much_for_each, NULL) == 0);
    for (unsigned long before = 0; px_rank() != 0 || emitted == 0 || emitted != before;) {
        before = emitted;
        nanosleep(&(struct timespec){0, 200000000}, NULL);
    }
    px_abort(7, "nobody hears");
}

/* Every rank has sent a message; what follows takes its time. */
static void talks(void) {
    char byte = 'x';
    CHECK(px_init(0) == PX_OK);
    CHECK(px_send((px_rank() + 1) % px_size(), 7, &byte, 1, -1) == PX_OK);
    CHECK(px_recv(PX_ANY_SOURCE, 7, &byte, 1, -1, NULL) == PX_OK);
    px_chunk *chunk;
    while (px_chunk_next(&chunk) == PX_OK) {
        give_back(chunk);
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    until_told();
    CHECK(px_finalize() == PX_OK);
}

/* Where this process has the parts of the memory that the ranks of its host share; how many. */
static size_t shared(struct iovec *parts, size_t room) {
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long from, to;
    size_t found = 0;
    CHECK(maps != NULL);
    for (char line[4096]; found < room && fgets(line, sizeof line, maps) != NULL;)
        if (strstr(line, " rw-s ") != NULL && strstr(line, "memfd:") != NULL &&
            sscanf(line, "%lx-%lx", &from, &to) == 2)
            parts[found++] = (struct iovec){(void *)from, to - from};
    fclose(maps);
    return found;
}

enum { WALL = 100000 };

/* Receives a message, and looks whether anything else was written: in front of its buffer or behind,
 * or to the one before after that was received. */
static int receive_between_walls(size_t capacity, px_message *message) {
    static unsigned char all[3 * WALL];
    CHECK(all[0] == 0 && memcmp(all, all + 1, sizeof all - 1) == 0);
    int status = px_recv(PX_ANY_SOURCE, PX_ANY_TAG, all + WALL, capacity, 1, message);
    CHECK(status != PX_OK || message->length <= capacity);
    memset(all + WALL, 0, capacity);
    CHECK(all[0] == 0 && memcmp(all, all + 1, sizeof all - 1) == 0);
    return status;
}

/* Rank 0 writes all over the memory that is shared, while all talk; the argument is a seed. */
static void scribbles(void) {
    static char bytes[WALL];
    uint64_t state = strtoull(argument, NULL, 10) * 2654435761u + 88172645463325252u;
    struct iovec parts[8];
    memset(bytes, 'x', sizeof bytes);
    CHECK(px_init(0) == PX_OK);
    have_talked(px_rank());
    CHECK(px_send(0, 2, NULL, 0, LONG) == PX_OK);
    /* Once all have it. */
    for (int rank = 0; px_rank() == 0 && rank < px_size(); rank++)
        CHECK(px_recv(rank, 2, NULL, 0, LONG, NULL) == PX_OK);
    size_t count = shared(parts, sizeof parts / sizeof *parts);
    CHECK(count > 1);
    /* Most of the time a few words are spoilt again and again, and what else there is still works. */
    /* What was mapped first, at the highest place, is where ranks say what they wait for. */
    struct iovec part = parts[evenly(&state) % 2 ? count - 1 : evenly(&state) % count];
    size_t few = evenly(&state) % 4 ? evenly(&state) % 2048 / 256 * 256 : SIZE_MAX;
    state += (uint64_t)px_rank() * 0x9E3779B97F4A7C15u;
    for (int round = 0; round < 400; round++) {
        for (int i = 0; px_rank() == 0 && round % 4 == 0 && i < 8; i++) {
            if (few == SIZE_MAX) part = parts[evenly(&state) % count];
            size_t place = few == SIZE_MAX ? evenly(&state) : few + evenly(&state) % 256;
            char *at = (char *)part.iov_base + place % part.iov_len / 8 * 8;
            uint64_t value = number(&state), bit = UINT64_C(1) << evenly(&state) % 64, was;
            memcpy(&was, at, sizeof was);
            value = value % 2 ? value : was ^ bit;
            memcpy(at, &value, sizeof value);
        }
        px_message message = {0, 0, 0};
        int to = (int)(evenly(&state) % (uint64_t)px_size()), status;
        switch (evenly(&state) % 5) {
        case 0: /* Large enough to be written where it is waited for. */
            status = px_send(to, 1, bytes, WALL / 5 + evenly(&state) % (WALL / 5 * 4), 1);
            break;
        case 1: status = px_probe(to, PX_ANY_TAG, 0, &message); break;
        default: /* Often enough to be waiting when a message comes. */
            status = receive_between_walls(evenly(&state) % 2 ? WALL : WALL / 2, &message);
        }
        CHECK(status <= PX_OK && status > PX_ERR_INTERNAL && status != PX_ERR_POISONED);
    }
    take_all();
    CHECK(px_finalize() == PX_OK);
}

static void hangs_up(void) {
    int fd = atoi(getenv("PX_FD"));
    px_chunk *chunk = first();
    CHECK(shutdown(fd, SHUT_RDWR) == 0);
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_ERR_PROTOCOL);
    SAYS("pxrun is gone");
}

/* Who it is, as output. */
static void tells(void) {
    px_chunk *chunk;
    CHECK(px_init(0) == PX_OK);
    while (px_chunk_next(&chunk) == PX_OK) {
        char text[200];
        snprintf(text, sizeof text, "%d %d %d %d %s\n", px_rank(), px_size(), px_local_rank(),
                 px_local_size(), px_host());
        emit(chunk, text);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    }
    CHECK(px_finalize() == PX_OK);
}

/* The argument is a variable by which another launcher tells of its world. */
static void two_of_us(void) {
    CHECK(strcmp(getenv(argument), "8") == 0 && strcmp(getenv("PX_SINGLETON"), "1") == 0);
    CHECK(px_init(0) == PX_OK && px_size() == 2);
    take_all();
    CHECK(px_finalize() == PX_OK);
}

#define GUEST(name) {#name, name}
static const struct {
    const char *name;
    void (*run)(void);
} GUESTS[] = {
    GUEST(stranger), GUEST(keeps), GUEST(keeps_the_last), GUEST(leaves_early),
    GUEST(takes_nothing), GUEST(finalizes_early), GUEST(ends_unfinalized),
    GUEST(finalizes_with_chunks), GUEST(prints), GUEST(prints_once), GUEST(inherits),
    GUEST(leaves_things), GUEST(forks), GUEST(reads_what_is_cut), GUEST(has_copies),
    GUEST(grows), GUEST(eight), GUEST(moves), GUEST(threads), GUEST(fails), GUEST(garbage),
    GUEST(garbage_later), GUEST(hangs_up), GUEST(tells), GUEST(two_of_us), GUEST(emits_much),
    GUEST(dies_in), GUEST(tells_attempts), GUEST(liar), GUEST(talks), GUEST(prints_each),
    GUEST(prints_sum), GUEST(sends_sum), GUEST(aborts_unheard), GUEST(scribbles),
    GUEST(sends_descriptors),
};

int main(int argc, char **argv) {
    argument = argc > 2 ? argv[2] : NULL;
    for (size_t i = 0; i < sizeof GUESTS / sizeof *GUESTS; i++)
        if (argc > 1 && strcmp(argv[1], GUESTS[i].name) == 0) {
            GUESTS[i].run();
            return 0;
        }
    CHECK(!"a guest of that name");
}
