/* Ranks that talk, of which one is killed from outside: `lost NAME [FILE]`. */
#define _GNU_SOURCE
#include "filled.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static int rank, size;
static const char *argument;
static unsigned char bytes[3 * MIB];

/* Whoever looks on knows that this rank has come so far. */
static void tells(const char *what) { fprintf(stderr, "rank %d %s\n", rank, what); }

/* Rank 1 is killed while all wait: ranks with an even number for room to send to it, the others for
 * a message of its. What it has sent is received, of what it was sending nothing; and the others go
 * on without it. */
static void waits(void) {
    px_message message;
    if (rank == 1) {
        send_filled(0, 8, 50000, 5);
        tells("waits");
        px_send(0, 9, bytes, sizeof bytes, -1);
        CHECK(!"it lives");
    }
    if (rank % 2 == 0) {
        int sent = 0;
        have_talked(rank);
        while (px_send(1, 6, bytes, 64 * KIB, 0) == PX_OK) sent++;
        CHECK(sent >= 16);
        tells("waits");
        CHECK(px_send(1, 6, bytes, 64 * KIB, -1) == PX_ERR_PEER_GONE);
    } else {
        tells("waits");
        CHECK(px_recv(1, 9, bytes, sizeof bytes, -1, NULL) == PX_ERR_PEER_GONE);
    }
    SAYS("rank 1 has finished or died");
    if (rank == 0) {
        CHECK(receive_filled(1, 8, 5).length == 50000);
        CHECK(px_recv(1, 9, bytes, sizeof bytes, -1, NULL) == PX_ERR_PEER_GONE);
    }
    CHECK(px_recv(1, PX_ANY_TAG, bytes, sizeof bytes, 0, NULL) == PX_ERR_PEER_GONE);
    CHECK(px_probe(1, PX_ANY_TAG, -1, NULL) == PX_ERR_PEER_GONE);
    CHECK(px_send(1, 6, NULL, 0, -1) == PX_ERR_PEER_GONE);
    for (int other = 0; other < size; other++)
        if (other != 1) send_filled(other, 10, 100000, (uint64_t)(rank * 100 + other));
    for (int left = size - 1; left > 0; left--) {
        CHECK(px_probe(PX_ANY_SOURCE, 10, LONG, &message) == PX_OK && message.source != 1);
        receive_filled(message.source, 10, (uint64_t)(message.source * 100 + rank));
    }
    if (rank != 0) return;
    CHECK(px_recv(PX_ANY_SOURCE, PX_ANY_TAG, bytes, sizeof bytes, -1, NULL) == PX_ERR_PEER_GONE);
    SAYS("all other ranks have finished or died");
}

static atomic_int over;

static size_t length_of(uint64_t number) {
    static const size_t lengths[] = {8, 300000, 0, 5000, 64 * KIB, 900, 2 * MIB};
    return lengths[number % 7];
}

static void *send_on_and_on(void *unused) {
    int next = (rank + 1) % size, status = PX_OK;
    for (uint64_t number = 0; status == PX_OK && !over; number++) {
        size_t length = length_of(number);
        unsigned char *message = reserved(length);
        fill(message, length, number);
        status = px_send(next, 3, message, length, -1);
        free(message);
    }
    CHECK(status == PX_OK || status == PX_ERR_PEER_GONE);
    return unused;
}

/* Messages go around without end, until rank 1 is killed. It is found out by those who talk to it,
 * who end; and that by those who talk to these. */
static void around(void) {
    static unsigned char message[LARGEST];
    int before = (rank + size - 1) % size, status;
    px_message received;
    pthread_t sender;
    CHECK(pthread_create(&sender, NULL, send_on_and_on, NULL) == 0);
    for (uint64_t number = 0;; number++) {
        status = px_recv(before, PX_ANY_TAG, message, sizeof message, -1, &received);
        if (status != PX_OK) break;
        CHECK(received.length == length_of(number));
        is_filled(message, received.length, number);
        if (number == 2) tells("has heard");
    }
    CHECK(status == PX_ERR_PEER_GONE);
    over = 1;
    CHECK(pthread_join(sender, NULL) == 0);
}

/* Rank 0 dies of the first message that there is. It is sent once the file is there. */
static void first(void) {
    unsigned char byte;
    if (rank == 0) {
        CHECK(px_recv(1, 4, &byte, 1, -1, NULL) == PX_OK);
        raise(SIGKILL);
    }
    tells("waits");
    while (access(argument, F_OK) != 0) nanosleep(&(struct timespec){0, 1000000}, NULL);
    CHECK(px_send(0, 4, "x", 1, -1) == PX_OK);
    CHECK(px_recv(0, 4, &byte, 1, LONG, NULL) == PX_ERR_PEER_GONE);
}

static const struct {
    const char *name;
    void (*run)(void);
} promises[] = {{"waits", waits}, {"around", around}, {"first", first}};

int main(int argc, char **argv) {
    px_chunk *chunk;
    CHECK(argc >= 2);
    argument = argc > 2 ? argv[2] : NULL;
    CHECK(px_init(0) == PX_OK);
    rank = px_rank();
    size = px_size();
    for (size_t i = 0; i < sizeof promises / sizeof *promises; i++) {
        if (strcmp(promises[i].name, argv[1]) != 0) continue;
        promises[i].run();
        CHECK(px_chunk_next(&chunk) == PX_END);
        CHECK(px_finalize() == PX_OK);
        return 0;
    }
    CHECK(!"a known promise");
}
