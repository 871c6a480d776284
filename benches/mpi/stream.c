/* stream BYTES: process 0 sends so much to process 1, a MiB a message, by MPI_Send and MPI_Recv.
 * Process 1 prints when the first message had come, when the last had, in nanoseconds, and how
 * many bytes there were. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 1 << 20 };

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* MPI_Finalize of MPICH 4.0 may hang over TCP when large messages were sent: its launcher is told
 * of the end here, as MPI_Finalize does, and the process goes. */
static int end(void) {
    const char *wire = getenv("PMI_FD");
    char answer[256];
    if (!wire)
        return MPI_Finalize();
    fflush(stdout);
    if (write(atoi(wire), "cmd=finalize\n", 13) != 13 || read(atoi(wire), answer, sizeof answer) <= 0)
        _exit(1);
    _exit(0);
}

int main(int argc, char **argv) {
    static char message[MESSAGE];
    long long left = argc > 1 ? atoll(argv[1]) : 0, got = 0, first = 0;
    int rank, count;
    MPI_Status status;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    memset(message, 'x', sizeof message);
    MPI_Barrier(MPI_COMM_WORLD);
    while (rank < 2 && left > 0) {
        count = left < MESSAGE ? (int)left : MESSAGE;
        if (rank == 0) {
            MPI_Send(message, count, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
        } else {
            MPI_Recv(message, count, MPI_BYTE, 0, 0, MPI_COMM_WORLD, &status);
            MPI_Get_count(&status, MPI_BYTE, &count);
            got += count;
            first = first ? first : now();
        }
        left -= count;
    }
    if (rank == 1)
        printf("%lld %lld %lld\n", first, now(), got);
    MPI_Barrier(MPI_COMM_WORLD);
    return end();
}
