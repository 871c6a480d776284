/* Adds up numbers, one a line. Each rank adds those of its own chunks; then the sums go round: rank
 * 0 sends its own to rank 1, which adds its own, and so on until rank 0 has all and prints it.
 *
 *     cc -std=c11 -O2 -o ring ring.c $(pkg-config --cflags --libs px)
 *
 *     seq 1000000 | pxrun -np 8 --contract px ./ring
 *
 * What is sent is the memory of two numbers, so all hosts must be of one kind.
 */
#include <inttypes.h>
#include <px.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOR_EVER = -1, TAG = 0, OWN = 1 };

static void must(int status)
{
    if (status != PX_OK) {
        fprintf(stderr, "ring: %s\n", px_last_error());
        exit(1);
    }
}

/* Has a kill end the job. From the first message of a job on, be it to oneself, no copy is started again in
 * place of one that was killed, whose sum is gone with its memory. Alone there are no messages. */
static void keep_memory(void)
{
    int status = px_send(px_rank(), OWN, NULL, 0, FOR_EVER);
    if (status == PX_ERR_MODE)
        return;
    must(status);
    must(px_recv(px_rank(), OWN, NULL, 0, FOR_EVER, NULL));
}

/* Adds a line to a sum. */
static void add(int64_t sum[2], const char *record, size_t length)
{
    char line[32];
    if (length >= sizeof line) {
        fprintf(stderr, "ring: a line of %zu bytes is no number\n", length);
        exit(1);
    }
    memcpy(line, record, length);
    line[length] = '\0';
    sum[0] += strtoll(line, NULL, 10);
    sum[1] += 1;
}

int main(void)
{
    int64_t own[2] = {0, 0}, all[2] = {0, 0};
    px_chunk *chunk;
    int status;
    must(px_init(0));
    keep_memory();
    while ((status = px_chunk_next(&chunk)) == PX_OK) {
        const void *record;
        size_t length;
        while ((status = px_record_next(chunk, &record, &length)) == PX_OK)
            add(own, record, length);
        if (status != PX_END)
            must(status);
        must(px_chunk_release(chunk, PX_COMMIT));
    }
    if (status != PX_END)
        must(status);

    int rank = px_rank(), size = px_size();
    if (rank > 0)
        must(px_recv(rank - 1, TAG, all, sizeof all, FOR_EVER, NULL));
    all[0] += own[0];
    all[1] += own[1];
    if (size > 1)
        must(px_send((rank + 1) % size, TAG, all, sizeof all, FOR_EVER));
    if (size > 1 && rank == 0)
        must(px_recv(size - 1, TAG, all, sizeof all, FOR_EVER, NULL));
    if (rank == 0)
        printf("%" PRId64 " in %" PRId64 " lines\n", all[0], all[1]);
    must(px_finalize());
    return 0;
}
