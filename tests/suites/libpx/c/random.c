/*
 * Calls libpx in random order with random arguments, NULL and nonsense among them: each answer is a
 * status that there is, and each chunk that is released well is released once.
 *
 *   random SEED CALLS
 */
#include "check.h"

enum { KEPT = 16 };

static uint64_t state;

static uint64_t any(uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? (state >> 11) % below : state;
}

/* Chunks that were given at some time, most of them released since. */
static px_chunk *kept[KEPT];

static px_chunk *any_chunk(void) {
    switch (any(8)) {
    case 0: return NULL;
    case 1: return (px_chunk *)(uintptr_t)any(0);
    case 2: return (px_chunk *)((char *)kept[any(KEPT)] + any(64));
    default: return kept[any(KEPT)];
    }
}

static int a_status(int status) {
    CHECK(status <= PX_END && status >= PX_ERR_INTERNAL);
    CHECK(status != PX_ERR_INTERNAL && status != PX_ERR_POISONED);
    CHECK(status >= 0 || strlen(px_last_error()) > 0);
    return status;
}

static void one_call(void) {
    static char bytes[200000];
    px_chunk *chunk = any_chunk();
    const void *record;
    size_t length, nonsense = any(4) ? any(sizeof bytes) : any(0) | (size_t)1 << 63;
    switch (any(14)) {
    case 0: a_status(px_init((unsigned)any(3))); break;
    case 1: if (any(50) == 0) a_status(px_finalize()); break;
    case 2: CHECK(px_rank() == px_size() || px_rank() < px_size()); break;
    case 3: px_host(); break;
    case 4: case 5: {
        px_chunk **place = &kept[any(KEPT)], *next;
        if (px_chunk_data(*place) != NULL) break; /* it would be held for ever */
        if (any(10) == 0) a_status(px_chunk_next(NULL));
        else if (a_status(px_chunk_next(&next)) == PX_OK) *place = next;
        else CHECK(next == NULL);
        break;
    }
    case 6: {
        const char *data = px_chunk_data(chunk);
        length = px_chunk_length(chunk);
        CHECK((data == NULL) == (px_chunk_index(chunk) == UINT64_MAX));
        for (size_t at = 0; data && at <= length; at += 1 + length / 7) bytes[at % 100] = data[at];
        break;
    }
    case 7: px_chunk_offset(chunk); a_status(px_chunk_attempt(chunk) > 0 ? 0 : PX_ERR_HANDLE); break;
    case 8: case 9:
        a_status(px_record_next(chunk, any(9) ? &record : NULL, any(9) ? &length : NULL));
        break;
    case 10: a_status(px_emit(chunk, bytes, nonsense)); break;
    case 11: a_status(px_emit(chunk, NULL, any(2))); break;
    case 12: a_status(px_chunk_release(chunk, (int)any(3))); break;
    case 13: CHECK(px_strerror((int)any(0)) != NULL && a_status(px_abort(0, NULL)) < 0); break;
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    state = strtoull(argv[1], NULL, 10) * 2654435761u + 88172645463325252u;
    for (long calls = atol(argv[2]); calls > 0; calls--) one_call();
    for (int i = 0; i < KEPT; i++) a_status(px_chunk_release(kept[i], PX_FAIL));
    int status = px_finalize();
    CHECK(status == PX_OK || status == PX_ERR_STATE);
    return 0;
}
