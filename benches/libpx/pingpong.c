/* pingpong ROUNDS [pipes]: 8 bytes go there and back so often, between ranks 0 and 1 by libpx, or
 * between this process and one of its own through two pipes. Who begins prints when it has, and
 * when the last had come back, in nanoseconds, and how many rounds there were. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <px.h>

enum { BALL = 8, WARM_UP = 100 };

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* The two directions of a player. */
typedef int (*move)(char *ball);

static int peer, to, from;

static int px_out(char *ball) { return px_send(peer, 0, ball, BALL, -1) == PX_OK; }
static int px_in(char *ball) { return px_recv(peer, 0, ball, BALL, -1, NULL) == PX_OK; }
static int pipe_out(char *ball) { return write(to, ball, BALL) == BALL; }
static int pipe_in(char *ball) { return read(from, ball, BALL) == BALL; }

static int play(int begins, long rounds, move out, move in) {
    char ball[BALL] = "pingpon";
    long long first = 0;
    for (long round = -WARM_UP; round < rounds; round++) {
        first = round == 0 ? now() : first;
        if (!(begins ? out(ball) && in(ball) : in(ball) && out(ball)))
            return 1;
    }
    if (begins)
        printf("%lld %lld %ld\n", first, now(), rounds);
    return 0;
}

static int by_pipes(long rounds) {
    int there[2], back[2], status = 1;
    if (pipe(there) < 0 || pipe(back) < 0)
        return 1;
    pid_t other = fork();
    to = other ? there[1] : back[1];
    from = other ? back[0] : there[0];
    if (other == 0)
        _exit(play(0, rounds, pipe_out, pipe_in));
    return other < 0 || play(1, rounds, pipe_out, pipe_in) || waitpid(other, &status, 0) < 0 || status;
}

static int by_libpx(long rounds) {
    int failed = px_init(0) != PX_OK;
    peer = 1 - px_rank();
    /* Any further rank is there to be too many. */
    failed = failed || (peer >= 0 && play(peer, rounds, px_out, px_in)) || px_finalize() != PX_OK;
    if (failed)
        fprintf(stderr, "pingpong: %s\n", px_last_error());
    return failed;
}

int main(int argc, char **argv) {
    long rounds = argc > 1 ? atol(argv[1]) : 0;
    return argc > 2 && strcmp(argv[2], "pipes") == 0 ? by_pipes(rounds) : by_libpx(rounds);
}
