/* Counts lines, words and bytes as wc does, and emits the three numbers for each chunk.
 *
 *     cc -std=c11 -O2 -o word_count word_count.c $(pkg-config --cflags --libs px)
 *
 *     pxrun --contract px ./word_count < text |
 *         awk '{ lines += $1; words += $2; bytes += $3 } END { print lines, words, bytes }'
 */
#include <ctype.h>
#include <px.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static void must(int status)
{
    if (status != PX_OK) {
        fprintf(stderr, "word_count: %s\n", px_last_error());
        exit(1);
    }
}

static void count(px_chunk *chunk)
{
    const unsigned char *text = px_chunk_data(chunk);
    size_t length = px_chunk_length(chunk), lines = 0, words = 0;
    bool inside = false;
    for (size_t at = 0; at < length; at++) {
        bool letter = !isspace(text[at]);
        words += letter && !inside;
        inside = letter;
        lines += text[at] == '\n';
    }
    char counts[80];
    int written = snprintf(counts, sizeof counts, "%zu %zu %zu\n", lines, words, length);
    must(px_emit(chunk, counts, (size_t)written));
}

int main(void)
{
    px_chunk *chunk;
    int status;
    must(px_init(0));
    while ((status = px_chunk_next(&chunk)) == PX_OK) {
        count(chunk);
        must(px_chunk_release(chunk, PX_COMMIT));
    }
    if (status != PX_END)
        must(status);
    must(px_finalize());
    return 0;
}
