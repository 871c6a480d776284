/* count lines|ahead|words chunks|stdin|FILE: prints how many lines or words there are, in a line or
 * several whose numbers add up. What it counts comes in chunks by libpx, by read() from stdin, or
 * lies in a file, which is mapped as a whole. `ahead` counts lines too. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <px.h>

/* Read at once; asked for ahead of what is looked at, a cache line at a time; all in bytes. */
enum { BLOCK = 256 << 10, AHEAD = 4 << 10, LINE = 64 };

/* Counts in one block after the other; `inside` says whether the last one ended inside of a word. */
typedef unsigned long count(const char *bytes, size_t length, int *inside);

static unsigned long lines(const char *bytes, size_t length, int *inside) {
    const char *end = bytes + length;
    unsigned long found = 0;
    (void)inside;
    while ((bytes = memchr(bytes, '\n', end - bytes))) {
        bytes++;
        found++;
    }
    return found;
}

/* The same, asking memory for what is to come: a search that ends with each line is over before the
 * processor has guessed that. */
static unsigned long ahead(const char *bytes, size_t length, int *inside) {
    const char *end = bytes + length, *asked = bytes;
    unsigned long found = 0;
    (void)inside;
    while ((bytes = memchr(bytes, '\n', end - bytes))) {
        for (; asked < bytes + AHEAD && asked < end; asked += LINE)
            __builtin_prefetch(asked);
        bytes++;
        found++;
    }
    return found;
}

static unsigned long words(const char *bytes, size_t length, int *inside) {
    unsigned long found = 0;
    int is, was = *inside;
    for (size_t at = 0; at < length; at++) {
        is = bytes[at] != ' ' && (bytes[at] < '\t' || bytes[at] > '\r');
        found += is & !was;
        was = is;
    }
    *inside = was;
    return found;
}

static int by_chunks(count *count) {
    char line[24];
    px_chunk *chunk;
    int status = px_init(0);
    while (status == PX_OK && (status = px_chunk_next(&chunk)) == PX_OK) {
        int inside = 0;
        unsigned long found = count(px_chunk_data(chunk), px_chunk_length(chunk), &inside);
        status = px_emit(chunk, line, snprintf(line, sizeof line, "%lu\n", found));
        if (status == PX_OK)
            status = px_chunk_release(chunk, PX_COMMIT);
    }
    if (status == PX_END)
        status = px_finalize();
    if (status != PX_OK)
        fprintf(stderr, "count: %s\n", px_last_error());
    return status != PX_OK;
}

static int by_reading(count *count) {
    static char block[BLOCK];
    unsigned long found = 0;
    int inside = 0;
    ssize_t length;
    while ((length = read(0, block, sizeof block)) > 0)
        found += count(block, length, &inside);
    printf("%lu\n", found);
    return length < 0;
}

static int by_mapping(count *count, const char *path) {
    struct stat file;
    int inside = 0, fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &file) < 0)
        return 1;
    const char *bytes = mmap(NULL, file.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return 1;
    printf("%lu\n", count(bytes, file.st_size, &inside));
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    count *count = strcmp(argv[1], "words") == 0   ? words
                   : strcmp(argv[1], "ahead") == 0 ? ahead
                                                   : lines;
    if (strcmp(argv[2], "chunks") == 0)
        return by_chunks(count);
    if (strcmp(argv[2], "stdin") == 0)
        return by_reading(count);
    return by_mapping(count, argv[2]);
}
