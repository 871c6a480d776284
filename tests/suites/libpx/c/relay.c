/*
 * Gives all that comes back, record by record, under pxrun.
 *
 *   relay [ends=BYTE | width=N] [hold=N] [slow=MICROSECONDS] [private] [large]
 *
 * ends=BYTE  what ends a record, as a number (10)
 * width=N    records have N bytes each instead
 * hold=N     up to N chunks are held; whichever comes up is worked on, and released, next
 * slow=N     so long for each chunk
 * private    chunks are copies
 * large      a chunk is given back in two calls, one of them of more than a frame
 */
#define _GNU_SOURCE
#include "check.h"

#include <time.h>

static int ends = '\n', large;
static size_t width;
static long slow;

static void pause_a_while(void) {
    struct timespec pause = {slow / 1000000, slow % 1000000 * 1000};
    if (slow > 0) nanosleep(&pause, NULL);
}

/* Its records, and what ends them, are all of a chunk. */
static void by_records(px_chunk *chunk, const char *bytes, size_t length) {
    const void *record;
    size_t size, at = 0;
    int status;
    while ((status = px_record_next(chunk, &record, &size)) == PX_OK) {
        CHECK(record == bytes + at && at + size <= length);
        at += size;
        CHECK(px_emit(chunk, record, size) == PX_OK);
        if (width > 0) {
            CHECK(size == width || at == length);
        } else if (at < length) {
            CHECK(bytes[at++] == (char)ends);
            CHECK(px_emit(chunk, bytes + at - 1, 1) == PX_OK);
        }
    }
    CHECK(status == PX_END && at == length);
}

static void give_back(px_chunk *chunk) {
    const char *bytes = px_chunk_data(chunk);
    size_t length = px_chunk_length(chunk);
    CHECK(bytes != NULL && length > 0);
    CHECK(px_chunk_attempt(chunk) >= 1);
    CHECK(px_chunk_index(chunk) <= px_chunk_offset(chunk));
    if (large) {
        CHECK(px_emit(chunk, bytes, length / 7) == PX_OK);
        pause_a_while();
        CHECK(px_emit(chunk, bytes + length / 7, length - length / 7) == PX_OK);
    } else {
        pause_a_while();
        by_records(chunk, bytes, length);
    }
    volatile char behind = bytes[length];
    (void)behind;
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_ERR_HANDLE);
}

int main(int argc, char **argv) {
    px_chunk *held[PX_CHUNKS_MAX];
    size_t most = 1, holding = 0, turn = 0;
    unsigned flags = 0;
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        value = value ? value + 1 : argv[i];
        if (strncmp(argv[i], "ends=", 5) == 0) ends = atoi(value);
        else if (strncmp(argv[i], "width=", 6) == 0) width = strtoul(value, NULL, 10);
        else if (strncmp(argv[i], "hold=", 5) == 0) most = strtoul(value, NULL, 10);
        else if (strncmp(argv[i], "slow=", 5) == 0) slow = atol(value);
        else if (strcmp(argv[i], "private") == 0) flags = PX_INIT_PRIVATE;
        else if (strcmp(argv[i], "large") == 0) large = 1;
        else CHECK(!"a known word");
    }
    CHECK(most >= 1 && most <= PX_CHUNKS_MAX);
    CHECK(px_init(flags) == PX_OK);
    CHECK(px_rank() >= 0 && px_rank() < px_size());
    CHECK(px_local_rank() >= 0 && px_local_rank() < px_local_size());
    CHECK(px_local_size() <= px_size() && px_host() != NULL && px_host()[0] != '\0');
    int status;
    do {
        status = px_chunk_next(&held[holding]);
        CHECK(status == PX_OK || status == PX_END);
        CHECK((held[holding] == NULL) == (status == PX_END));
        holding += status == PX_OK;
        while (holding > 0 && (holding == most || status == PX_END)) {
            size_t which = turn++ * 5 % holding;
            px_chunk *chunk = held[which];
            held[which] = held[--holding];
            give_back(chunk);
        }
    } while (status == PX_OK);
    CHECK(px_finalize() == PX_OK);
    CHECK(px_chunk_next(&held[0]) == PX_ERR_STATE);
    return 0;
}
