/*
 * A rank of a job that has jobs of its own run: for each chunk one of a command, and one of a callback
 * that gives a file back. What they print is the chunk's output. `inside FILE COMMAND [ARG]...`
 */
#include "check.h"

static int rank, size;

/* Puts the output of a job into the chunk that it is for. */
static int take(const void *bytes, size_t length, void *chunk)
{
    return px_emit(chunk, bytes, length) == PX_OK ? 0 : 1;
}

/* Chunks of its own job, of which this rank is none. */
static int map(px_chunk *chunk, void *user)
{
    (void)user;
    CHECK(px_rank() == rank && px_size() == size);
    CHECK(px_emit(chunk, px_chunk_data(chunk), px_chunk_length(chunk)) == PX_OK);
    return PX_COMMIT;
}

static px_job *job_for(px_chunk *chunk)
{
    px_job *job;
    CHECK(px_job_new(&job) == PX_OK);
    CHECK(px_job_ranks(job, 3) == PX_OK && px_job_order(job, PX_ORDER_RANK) == PX_OK);
    CHECK(px_job_output_callback(job, take, chunk) == PX_OK);
    return job;
}

static void run(px_job *job)
{
    CHECK(px_job_run(job) == PX_OK);
    CHECK(px_job_free(job) == PX_OK);
    CHECK(px_rank() == rank && px_size() == size);
}

int main(int argc, char **argv)
{
    px_chunk *chunk;
    px_job *job;
    int status;
    CHECK(argc > 2);
    CHECK(px_init(0) == PX_OK);
    rank = px_rank();
    size = px_size();
    while ((status = px_chunk_next(&chunk)) == PX_OK) {
        job = job_for(chunk);
        CHECK(px_job_command(job, (const char *const *)argv + 2) == PX_OK);
        run(job);
        job = job_for(chunk);
        CHECK(px_job_input(job, argv[1]) == PX_OK);
        CHECK(px_job_callback(job, map, NULL) == PX_OK);
        run(job);
        CHECK(px_chunk_release(chunk, PX_COMMIT) == PX_OK);
    }
    CHECK(status == PX_END && px_finalize() == PX_OK);
    return 0;
}
