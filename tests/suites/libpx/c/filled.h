/* Messages of which every byte is known. */
#ifndef FILLED_H
#define FILLED_H

#include "check.h"

#define KIB 1024
#define MIB (1024 * KIB)
/* No message is longer. */
#define LARGEST (4 * MIB)
/* Long enough for any machine, and short enough to end a test that hangs. */
#define LONG 60000

/* Bytes that follow from a number, so that any other bytes are seen. */
static inline void fill(unsigned char *bytes, size_t length, uint64_t seed) {
    uint64_t state = seed * 0x9E3779B97F4A7C15u | 1;
    for (size_t at = 0; at < length; at++) {
        if (at % 8 == 0) state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        bytes[at] = (unsigned char)(state >> at % 8 * 8);
    }
}

static inline unsigned char *reserved(size_t length) {
    unsigned char *bytes = malloc(length + 1);
    CHECK(bytes != NULL);
    return bytes;
}

static inline void is_filled(const unsigned char *bytes, size_t length, uint64_t seed) {
    unsigned char *expected = reserved(length);
    fill(expected, length, seed);
    CHECK(memcmp(bytes, expected, length) == 0);
    free(expected);
}

static inline void send_filled(int to, int tag, size_t length, uint64_t seed) {
    unsigned char *bytes = reserved(length);
    fill(bytes, length, seed);
    CHECK(px_send(to, tag, bytes, length, LONG) == PX_OK);
    /* They are the caller's again. */
    memset(bytes, 0xEE, length);
    free(bytes);
}

static inline px_message receive_filled(int from, int tag, uint64_t seed) {
    unsigned char *bytes = reserved(LARGEST);
    px_message message;
    CHECK(px_recv(from, tag, bytes, LARGEST, LONG, &message) == PX_OK);
    is_filled(bytes, message.length, seed);
    free(bytes);
    return message;
}

/* A rank's first message waits for the job to take note of it; after it, time that is given is all
 * that is taken. */
static inline void have_talked(int rank) {
    CHECK(px_send(rank, 11, NULL, 0, LONG) == PX_OK);
    CHECK(px_recv(rank, 11, NULL, 0, LONG, NULL) == PX_OK);
}

#endif
