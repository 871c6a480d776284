/* pingpong ROUNDS: 8 bytes go there and back so often between processes 0 and 1. Process 0 prints
 * when it has begun, and when the last had come back, in nanoseconds, and how many rounds there
 * were. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BALL = 8, WARM_UP = 100 };

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv) {
    char ball[BALL] = "pingpon";
    long rounds = argc > 1 ? atol(argv[1]) : 0;
    long long first = 0;
    int rank;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (long round = -WARM_UP; rank < 2 && round < rounds; round++) {
        first = round == 0 ? now() : first;
        if (rank == 0)
            MPI_Send(ball, BALL, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
        MPI_Recv(ball, BALL, MPI_BYTE, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (rank == 1)
            MPI_Send(ball, BALL, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
    }
    if (rank == 0)
        printf("%lld %lld %ld\n", first, now(), rounds);
    return MPI_Finalize();
}
