/* px_mpi.h: jobs of libpx inside an MPI program.
 *
 * Link libpx_mpi_openmpi or libpx_mpi_mpich, whichever MPI the program is compiled for:
 *
 *     mpicc.openmpi prog.c $(pkg-config --cflags --libs px_mpi_openmpi)
 *     mpicc.mpich   prog.c $(pkg-config --cflags --libs px_mpi_mpich)
 */
#ifndef PX_MPI_H
#define PX_MPI_H

#include <mpi.h>

#include "px.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs a job whose ranks are the processes of a communicator.
 *
 * Collective: every process of `comm` calls it, with a job of its own. What the setters of `job`
 * said counts on rank 0 alone, but for `px_job_callback`, which every process must set: it is what
 * runs there. Input and output are those of rank 0. Every process gets the same status, the same
 * `px_job_result` and, when the job has failed, the same text in `px_last_error`.
 *
 * MPI must have been initialised with MPI_THREAD_FUNNELED at least (PX_ERR_MPI_THREAD), and not yet
 * finalised (PX_ERR_MPI_STATE). It is called from the calling thread only, over a duplicate of
 * `comm`, so nothing here meets the program's own messages. Below MPI_THREAD_SERIALIZED the calling
 * thread must be the one that initialised MPI. The callback runs on another thread, one a process,
 * so it may itself call MPI only with MPI_THREAD_MULTIPLE.
 *
 * While the job runs a process waits without burning its core. A process that waits for others to
 * call this waits for ever, as in any collective call of MPI; so does one whose neighbour was
 * refused before it could tell: without MPI (PX_ERR_MPI_STATE), from a thread that may not call MPI
 * (PX_ERR_MPI_THREAD), or with MPI_COMM_NULL (PX_ERR_ARGUMENT). Whatever else is wrong for one
 * process is told to all. An intercommunicator is PX_ERR_ARGUMENT.
 */
int px_mpi_job_run(MPI_Comm comm, px_job *job);

/* The same for Fortran, whose communicators are integers. */
int px_mpi_job_run_f(MPI_Fint comm, px_job *job);

#ifdef __cplusplus
}
#endif

#endif
