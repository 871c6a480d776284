/* Ranks that talk to each other, one promise each: `talk NAME [NUMBER]`. */
#define _GNU_SOURCE
#include "filled.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static int rank, size;
static long number;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void wait_for_all(void) {
    for (int other = 0; other < size; other++) CHECK(px_send(other, 999, NULL, 0, LONG) == PX_OK);
    for (int other = 0; other < size; other++)
        CHECK(px_recv(other, 999, NULL, 0, LONG, NULL) == PX_OK);
}

/* A message goes around, of any length; with a world of one, to oneself. */
static void ring(void) {
    size_t lengths[] = {0, 1, 8, 4095, 16 * KIB, 200000, MIB, 3 * MIB + 7};
    for (size_t i = 0; i < 8 * 20; i++) {
        size_t length = lengths[i % 8];
        if (size == 1 && length > MIB) continue;
        int next = (rank + 1) % size, before = (rank + size - 1) % size;
        if (rank == 0) send_filled(next, 3, length, i);
        px_message message = receive_filled(before, 3, i);
        CHECK(message.source == before && message.tag == 3 && message.length == length);
        if (rank != 0) send_filled(next, 3, length, i);
    }
}

/* What comes with one tag stays in order while another tag overtakes it. */
static void order(void) {
    int next = (rank + 1) % size, before = (rank + size - 1) % size;
    for (int i = 0; i < 300; i++) {
        send_filled(next, 1, (size_t)(i * 7), (uint64_t)i);
        send_filled(next, 2, (size_t)(i % 5), (uint64_t)i + 1000);
    }
    for (int i = 0; i < 300; i++) CHECK(receive_filled(before, 2, (uint64_t)i + 1000).tag == 2);
    for (int i = 0; i < 300; i++) {
        px_message probed;
        CHECK(px_probe(before, PX_ANY_TAG, LONG, &probed) == PX_OK);
        CHECK(probed.source == before && probed.tag == 1 && probed.length == (size_t)(i * 7));
        CHECK(receive_filled(before, PX_ANY_TAG, (uint64_t)i).length == probed.length);
    }
}

/* Whoever has sent something is heard, and nobody twice before all others. */
static void any(void) {
    if (rank > 0) {
        for (int i = 0; i < 200; i++) send_filled(0, rank, (size_t)i, (uint64_t)(rank * 1000 + i));
        wait_for_all();
        return;
    }
    int heard[64] = {0};
    /* All of it is there once the last of each has come, which was sent after it. */
    for (int other = 0; other < size; other++) CHECK(px_send(other, 999, NULL, 0, LONG) == PX_OK);
    for (int other = 0; other < size; other++)
        CHECK(px_recv(other, 999, NULL, 0, LONG, NULL) == PX_OK);
    for (int i = 0; i < 200 * (size - 1); i++) {
        px_message probed;
        CHECK(px_probe(PX_ANY_SOURCE, PX_ANY_TAG, LONG, &probed) == PX_OK);
        int from = probed.source, before = heard[from];
        for (int other = 1; other < size; other++) CHECK(heard[other] >= before);
        /* It may be another one's turn after that, so who is received is who was asked for. */
        px_message message = receive_filled(from, PX_ANY_TAG, (uint64_t)(from * 1000 + before));
        CHECK(message.source == from && message.tag == from && message.length == (size_t)before);
        heard[from]++;
    }
}

/* A buffer that is too small says how large it must be, and loses nothing. */
static void truncated(void) {
    unsigned char bytes[64];
    if (rank == 1) {
        send_filled(0, 4, 100, 9);
        send_filled(0, 4, 3 * MIB, 10);
    }
    if (rank == 0) {
        for (size_t capacity = 0; capacity < 64; capacity += 21) {
            px_message message = {-7, -7, 0};
            CHECK(px_recv(1, 4, bytes, capacity, LONG, &message) == PX_ERR_TRUNCATED);
            CHECK(message.source == 1 && message.tag == 4 && message.length == 100);
            SAYS("has 100 bytes");
        }
        CHECK(px_recv(PX_ANY_SOURCE, PX_ANY_TAG, bytes, 64, LONG, NULL) == PX_ERR_TRUNCATED);
        CHECK(receive_filled(1, 4, 9).length == 100);
        px_message message;
        CHECK(px_recv(1, 4, bytes, 64, LONG, &message) == PX_ERR_TRUNCATED);
        CHECK(message.length == 3 * MIB);
        CHECK(receive_filled(1, 4, 10).length == 3 * MIB);
    }
}

/* Time runs out, and what comes later is received all the same. */
static void timeouts(void) {
    static unsigned char bytes[3 * MIB];
    int other = (rank + 1) % size, before = (rank + size - 1) % size;
    have_talked(rank);
    double start = now();
    CHECK(px_recv(before, 5, bytes, 1, 30, NULL) == PX_ERR_TIMEOUT);
    SAYS("within 30 ms");
    CHECK(now() - start >= 0.030);
    CHECK(px_recv(PX_ANY_SOURCE, 5, bytes, 1, 0, NULL) == PX_ERR_TIMEOUT);
    CHECK(px_probe(before, 5, 0, NULL) == PX_ERR_TIMEOUT);
    /* A MiB is buffered and not much more: to oneself, where nobody else can take it out. */
    int sent = 0;
    while (px_send(rank, 6, bytes, 64 * KIB, 0) == PX_OK) sent++;
    CHECK(sent >= 16 && sent <= 17);
    start = now();
    CHECK(px_send(rank, 6, bytes, 64 * KIB, 30) == PX_ERR_TIMEOUT);
    SAYS("no room for 65536 bytes");
    CHECK(now() - start >= 0.030);
    while (sent-- > 0) CHECK(px_recv(rank, 6, bytes, 64 * KIB, 0, NULL) == PX_OK);
    CHECK(px_recv(rank, 6, bytes, 64 * KIB, 0, NULL) == PX_ERR_TIMEOUT);
    /* A message that was begun and given up is never received. */
    CHECK(px_send(other, 7, bytes, sizeof bytes, 30) == PX_ERR_TIMEOUT);
    wait_for_all();
    CHECK(px_recv(before, 7, bytes, sizeof bytes, 0, NULL) == PX_ERR_TIMEOUT);
    CHECK(px_recv(before, 7, bytes, sizeof bytes, 30, NULL) == PX_ERR_TIMEOUT);
    wait_for_all();
    send_filled(other, 7, 900 * KIB, 77);
    /* A part of one that came before the time ran out is not lost. */
    int status;
    px_message message;
    while ((status = px_recv(before, 7, bytes, sizeof bytes, 0, &message)) == PX_ERR_TIMEOUT) {
    }
    CHECK(status == PX_OK && message.length == 900 * KIB);
    is_filled(bytes, message.length, 77);
}

/* What a finished rank has sent is received; after that it is gone. */
static void gone(void) {
    unsigned char byte;
    if (rank == 1) {
        for (int i = 0; i < 3; i++) send_filled(0, 8, 50000, (uint64_t)i);
        return;
    }
    if (rank > 1) {
        CHECK(px_recv(1, 9, &byte, 1, -1, NULL) == PX_ERR_PEER_GONE);
        SAYS("rank 1 has finished or died");
        return;
    }
    for (int i = 0; i < 3; i++) CHECK(receive_filled(1, 8, (uint64_t)i).length == 50000);
    CHECK(px_recv(1, 8, &byte, 1, -1, NULL) == PX_ERR_PEER_GONE);
    CHECK(px_probe(1, PX_ANY_TAG, 0, NULL) == PX_ERR_PEER_GONE);
    CHECK(px_send(1, 8, &byte, 1, -1) == PX_ERR_PEER_GONE);
    CHECK(px_recv(PX_ANY_SOURCE, PX_ANY_TAG, &byte, 1, -1, NULL) == PX_ERR_PEER_GONE);
    SAYS("all other ranks have finished or died");
}

/* Everybody has a MiB for everybody, and only then does anybody receive. */
static void flood(void) {
    for (int i = 0; i < 16; i++)
        for (int to = 0; to < size; to++)
            send_filled(to, 10, 64 * KIB, (uint64_t)(rank * 100 + to * 10000 + i));
    for (int from = 0; from < size; from++)
        for (int i = 0; i < 16; i++) {
            uint64_t seed = (uint64_t)(from * 100 + rank * 10000 + i);
            CHECK(receive_filled(from, 10, seed).length == 64 * KIB);
        }
}

/* What the rank sends, by its own number and that of the message. */
struct plan {
    int to, tag;
    size_t length;
    uint64_t seed;
};

static struct plan planned(int from, long message) {
    uint64_t x = (uint64_t)from * 1000003 + (uint64_t)message + 1;
    for (int i = 0; i < 3; i++) x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    x *= 0x2545F4914F6CDD1Du;
    size_t most = x % 1000 == 0 ? 2 * MIB : x % 50 == 0 ? 64 * KIB : 700;
    return (struct plan){(int)(x >> 10) & (size - 1), (int)(x >> 20 & 3), (x >> 24) % most, x >> 5};
}

static void *send_plan(void *unused) {
    for (long message = 0; message < number; message++) {
        struct plan plan = planned(rank, message);
        send_filled(plan.to, plan.tag, plan.length, plan.seed);
    }
    return unused;
}

/* Two ranks, or four and so on, that send NUMBER messages each to anybody while they receive. */
static void chaos(void) {
    long next[64][4] = {{0}}, left = 0;
    for (int from = 0; from < size; from++)
        for (long message = 0; message < number; message++)
            left += planned(from, message).to == rank;
    CHECK(left > 0);
    pthread_t sender;
    CHECK(pthread_create(&sender, NULL, send_plan, NULL) == 0);
    for (int done = 0; left > 0 || done < size;) {
        static unsigned char bytes[LARGEST];
        px_message message;
        int from = left % 3 || !left ? PX_ANY_SOURCE : (int)(left / 3 % size), tag = PX_ANY_TAG;
        int status = px_recv(from, tag, bytes, sizeof bytes, from < 0 ? LONG : 0, &message);
        if (status == PX_ERR_TIMEOUT && from >= 0)
            status = px_recv(PX_ANY_SOURCE, tag, bytes, sizeof bytes, LONG, &message);
        CHECK(status == PX_OK);
        if (message.tag == 999) {
            done++;
            continue;
        }
        long *at = &next[message.source][message.tag];
        struct plan plan = planned(message.source, *at);
        while (plan.to != rank || plan.tag != message.tag) plan = planned(message.source, ++*at);
        ++*at;
        CHECK(message.length == plan.length);
        is_filled(bytes, message.length, plan.seed);
        if (--left > 0) continue;
        CHECK(pthread_join(sender, NULL) == 0);
        for (int to = 0; to < size; to++) CHECK(px_send(to, 999, NULL, 0, LONG) == PX_OK);
    }
}

static void *receive_one(void *unused) {
    CHECK(receive_filled(rank, 11, 42).length == 100000);
    return unused;
}

/* A thread that waits for a message gets it from another one of the same rank. */
static void threads(void) {
    pthread_t receiver;
    CHECK(pthread_create(&receiver, NULL, receive_one, NULL) == 0);
    CHECK(px_send((rank + 1) % size, 12, NULL, 0, LONG) == PX_OK);
    send_filled(rank, 11, 100000, 42);
    CHECK(pthread_join(receiver, NULL) == 0);
    CHECK(px_recv((rank + size - 1) % size, 12, NULL, 0, LONG, NULL) == PX_OK);
}

/* What cannot be right is an error and changes nothing. */
static void arguments(void) {
    unsigned char byte = 1;
    have_talked(rank);
    CHECK(px_send(size, 0, &byte, 1, 0) == PX_ERR_ARGUMENT);
    SAYS("`rank` must be from 0 to");
    CHECK(px_send(-1, 0, &byte, 1, 0) == PX_ERR_ARGUMENT);
    CHECK(px_send(0, -1, &byte, 1, 0) == PX_ERR_ARGUMENT);
    CHECK(px_send(0, 0, NULL, 1, 0) == PX_ERR_ARGUMENT);
    CHECK(px_send(0, 0, &byte, 1, -2) == PX_ERR_ARGUMENT);
    CHECK(px_recv(-2, 0, &byte, 1, 0, NULL) == PX_ERR_ARGUMENT);
    CHECK(px_recv(0, -2, &byte, 1, 0, NULL) == PX_ERR_ARGUMENT);
    CHECK(px_recv(0, 0, NULL, 1, 0, NULL) == PX_ERR_ARGUMENT);
    CHECK(px_recv(0, 0, &byte, 1, 0, (px_message *)1) == PX_ERR_ARGUMENT);
    CHECK(px_probe(size, 0, 0, NULL) == PX_ERR_ARGUMENT);
    CHECK(px_probe(PX_ANY_SOURCE, 0, -5, NULL) == PX_ERR_ARGUMENT);
    CHECK(px_send(rank, 2147483647, &byte, 1, 0) == PX_OK);
    CHECK(px_recv(rank, 2147483647, &byte, 1, 0, NULL) == PX_OK);
}

/* A job without messages says so. */
static void mode(void) {
    unsigned char byte = 1;
    CHECK(px_send(0, 0, &byte, 1, 0) == PX_ERR_MODE);
    SAYS("`pxrun --contract px`");
    CHECK(px_recv(0, 0, &byte, 1, 0, NULL) == PX_ERR_MODE);
    CHECK(px_probe(0, 0, 0, NULL) == PX_ERR_MODE);
}

static const struct {
    const char *name;
    void (*run)(void);
} promises[] = {
    {"ring", ring},         {"order", order}, {"any", any},     {"truncated", truncated},
    {"timeouts", timeouts}, {"gone", gone},   {"flood", flood}, {"chaos", chaos},
    {"threads", threads},   {"mode", mode},   {"arguments", arguments},
};

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    if (argc > 2) number = atol(argv[2]);
    /* Nobody may look into such a process, or write to it, but root. */
    if (argc > 3 && strcmp(argv[3], "closed") == 0) CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
    CHECK(px_init(0) == PX_OK);
    rank = px_rank();
    size = px_size();
    for (size_t i = 0; i < sizeof promises / sizeof *promises; i++) {
        if (strcmp(promises[i].name, argv[1]) != 0) continue;
        promises[i].run();
        /* Fed by stdin, there are no chunks to be taken. */
        if (argc > 2 && strcmp(argv[2], "stdin") == 0) return 0;
        px_chunk *chunk;
        int status;
        while ((status = px_chunk_next(&chunk)) == PX_OK)
            CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
        CHECK(status == PX_END);
        CHECK(px_finalize() == PX_OK);
        return 0;
    }
    CHECK(!"a known promise");
}
