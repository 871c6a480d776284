/* stream BYTES [apart]: rank 0 sends so much to rank 1, a MiB a message. Rank 1 prints when the
 * first message had come, when the last had, in nanoseconds, and how many bytes there were. With
 * `apart` no process may look into the memory of another one, as in many a container. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include <px.h>

enum { MESSAGE = 1 << 20 };

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int keep_apart(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv) {
    static char message[MESSAGE];
    long long left = argc > 1 ? atoll(argv[1]) : 0, got = 0, first = 0;
    int rank, status;
    px_message what = {0};
    if (argc > 2 && strcmp(argv[2], "apart") == 0 && keep_apart()) {
        perror("stream: seccomp");
        return 1;
    }
    status = px_init(0);
    rank = px_rank();
    memset(message, 'x', sizeof message);
    while (status == PX_OK && rank < 2 && left > 0) {
        if (rank == 0) {
            what.length = left < MESSAGE ? left : MESSAGE;
            status = px_send(1, 0, message, what.length, -1);
        } else {
            status = px_recv(0, 0, message, sizeof message, -1, &what);
            got += what.length;
            first = first ? first : now();
        }
        left -= what.length;
    }
    if (rank == 1)
        printf("%lld %lld %lld\n", first, now(), got);
    if (status == PX_OK)
        status = px_finalize();
    if (status != PX_OK)
        fprintf(stderr, "stream: %s\n", px_last_error());
    return status != PX_OK;
}
