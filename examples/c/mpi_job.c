/* An MPI program that has its ranks work through a file: for each number, one a line, after how
 * many steps it comes to 1 when it is halved if even, and else tripled and one added.
 *
 *     mpicc -std=c11 -O2 -o mpi_job mpi_job.c $(pkg-config --cflags --libs px_mpi_openmpi)
 *
 *     mpirun -n 4 ./mpi_job numbers steps
 *
 * With MPICH the package is px_mpi_mpich. The output is in the order of the input.
 */
#include <inttypes.h>
#include <mpi.h>
#include <px.h>
#include <px_mpi.h>
#include <stdio.h>
#include <string.h>

static void must(int status)
{
    if (status != PX_OK) {
        fprintf(stderr, "mpi_job: %s\n", px_last_error());
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

static int steps(uint64_t number)
{
    int steps = 0;
    for (; number > 1; steps++)
        number = number % 2 == 0 ? number / 2 : number * 3 + 1;
    return steps;
}

/* Does a chunk, on a thread of libpx. `user` counts what this rank has done. */
static int work(px_chunk *chunk, void *user)
{
    long long *done = user;
    const void *record;
    size_t length;
    int status;
    while ((status = px_record_next(chunk, &record, &length)) == PX_OK) {
        char text[32], line[64];
        uint64_t number;
        if (length >= sizeof text)
            return PX_FAIL;
        memcpy(text, record, length);
        text[length] = '\0';
        if (sscanf(text, "%" SCNu64, &number) != 1)
            return PX_FAIL;
        int written = snprintf(line, sizeof line, "%" PRIu64 " %d\n", number, steps(number));
        if (px_emit(chunk, line, (size_t)written) != PX_OK)
            return PX_FAIL;
        ++*done;
    }
    return status == PX_END ? PX_COMMIT : PX_FAIL;
}

int main(int argc, char **argv)
{
    int provided, rank, size;
    long long own = 0, all = 0;
    px_job *job;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc != 3) {
        if (rank == 0)
            fprintf(stderr, "usage: mpi_job INPUT OUTPUT\n");
        MPI_Finalize();
        return 2;
    }
    must(px_job_new(&job));
    must(px_job_callback(job, work, &own));
    if (rank == 0) {
        must(px_job_input(job, argv[1]));
        must(px_job_output_path(job, argv[2]));
        must(px_job_order(job, PX_ORDER_INPUT));
        must(px_job_deal(job, PX_DEAL_DYNAMIC));
        must(px_job_chunk_records(job, 100));
    }
    must(px_mpi_job_run(MPI_COMM_WORLD, job));
    must(px_job_free(job));

    MPI_Reduce(&own, &all, 1, MPI_LONG_LONG, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%lld numbers by %d ranks\n", all, size);
    MPI_Finalize();
    return 0;
}
