/* A process of MPI that has a job of its own run: two copies of a command, whose output goes to
 * FILE.RANK. `launched FILE COMMAND [ARG]...` */
#include "check.h"

#include <mpi.h>

int main(int argc, char **argv)
{
    int level, rank, size, one = 1, all;
    char output[4096];
    px_job *job;
    px_result result;

    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    CHECK(argc > 2);
    snprintf(output, sizeof output, "%s.%d", argv[1], rank);
    CHECK(px_job_new(&job) == PX_OK);
    CHECK(px_job_ranks(job, 2) == PX_OK && px_job_order(job, PX_ORDER_RANK) == PX_OK);
    CHECK(px_job_command(job, (const char *const *)argv + 2) == PX_OK);
    CHECK(px_job_output_path(job, output) == PX_OK);
    CHECK(px_job_run(job) == PX_OK);
    CHECK(px_job_result(job, &result) == PX_OK && result.output_bytes > 0);
    CHECK(px_job_free(job) == PX_OK);
    /* The world is what it was. */
    MPI_Allreduce(&one, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    CHECK(all == size);
    printf("%d of %d\n", rank, size);
    return MPI_Finalize();
}
