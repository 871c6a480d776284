/* first: takes all chunks, and prints how long after it was executed it had the first one, in
 * nanoseconds, as a time that began at 0. Without a word it notes the time and executes itself. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <px.h>

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv) {
    char word[24];
    long long first = 0;
    px_chunk *chunk;
    int status;
    if (argc < 2) {
        snprintf(word, sizeof word, "%lld", now());
        execl("/proc/self/exe", argv[0], word, (char *)NULL);
        perror("first: exec");
        return 1;
    }
    status = px_init(0);
    while (status == PX_OK && (status = px_chunk_next(&chunk)) == PX_OK) {
        first = first ? first : now();
        status = px_chunk_release(chunk, PX_COMMIT);
    }
    if (status == PX_END)
        status = px_finalize();
    if (status != PX_OK)
        fprintf(stderr, "first: %s\n", px_last_error());
    printf("0 %lld 1\n", first - atoll(argv[1]));
    return status != PX_OK;
}
