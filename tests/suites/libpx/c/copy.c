/*
 * Gives every record of its chunks back, and looks at each on the way.
 *
 *   copy [private] [hold=N] [whole]
 *
 * private  chunks are copies
 * hold=N   up to N chunks are held at once, and released newest first
 * whole    a chunk is given back by one call instead of record by record
 */
#include "check.h"

struct held {
    px_chunk *chunk;
    const char *bytes;
    size_t length;
};

/* Emits all of a chunk, which is none but its records and what ends them. */
static void give_back(struct held held, int whole) {
    if (whole) {
        CHECK(px_emit(held.chunk, held.bytes, held.length) == PX_OK);
        return;
    }
    const void *record;
    size_t length, at = 0;
    int status;
    while ((status = px_record_next(held.chunk, &record, &length)) == PX_OK) {
        CHECK(record == held.bytes + at);
        CHECK(memchr(record, '\n', length) == NULL);
        CHECK(px_emit(held.chunk, record, length) == PX_OK);
        at += length;
        if (at < held.length) {
            CHECK(held.bytes[at] == '\n');
            CHECK(px_emit(held.chunk, "\n", 1) == PX_OK);
            at++;
        }
    }
    CHECK(status == PX_END && record == NULL && length == 0 && at == held.length);
}

int main(int argc, char **argv) {
    unsigned flags = 0;
    size_t most = 1, holding = 0;
    int whole = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "private") == 0) flags = PX_INIT_PRIVATE;
        else if (strncmp(argv[i], "hold=", 5) == 0) most = strtoul(argv[i] + 5, NULL, 10);
        else if (strcmp(argv[i], "whole") == 0) whole = 1;
        else CHECK(!"a known word");
    }
    CHECK(most >= 1 && most <= PX_CHUNKS_MAX);
    CHECK(px_init(flags) == PX_OK);
    CHECK(px_rank() >= 0 && px_rank() < px_size());
    CHECK(px_local_rank() >= 0 && px_local_rank() < px_local_size());
    CHECK(px_local_size() <= px_size() && px_host() != NULL && px_host()[0] != 0);

    struct held held[PX_CHUNKS_MAX];
    volatile char behind;
    uint64_t index = 0;
    int first = 1, status;
    do {
        px_chunk *chunk;
        status = px_chunk_next(&chunk);
        CHECK(status == PX_OK || (status == PX_END && chunk == NULL));
        if (status == PX_OK) {
            struct held now = {chunk, px_chunk_data(chunk), px_chunk_length(chunk)};
            CHECK(now.bytes != NULL && now.length > 0);
            CHECK(first || px_chunk_index(chunk) > index);
            CHECK(px_chunk_offset(chunk) >= px_chunk_index(chunk));
            CHECK(px_chunk_attempt(chunk) == 1);
            index = px_chunk_index(chunk);
            first = 0;
            behind = now.bytes[now.length];
            held[holding++] = now;
            give_back(now, whole);
        }
        while (holding > 0 && (holding == most || status == PX_END))
            CHECK(px_chunk_release(held[--holding].chunk, PX_COMMIT) == PX_OK);
    } while (status != PX_END);
    (void)behind;
    CHECK(px_chunk_next(&held[0].chunk) == PX_END);
    CHECK(px_finalize() == PX_OK);
    return 0;
}
