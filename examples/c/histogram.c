/* How bright are pictures? Each line of the input names a file, a binary PGM or PPM; its line of
 * the output adds how many of its pixels are in each eighth from black to white.
 *
 *     cc -std=c11 -O2 -o histogram histogram.c $(pkg-config --cflags --libs px)
 *
 *     find pictures -name '*.p[gp]m' | pxrun -k --contract px --deal dynamic ./histogram
 */
#include <ctype.h>
#include <inttypes.h>
#include <px.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BINS = 8, LONGEST_NAME = 4095, LARGEST_SIDE = 65535 };

static void must(int status)
{
    if (status != PX_OK) {
        fprintf(stderr, "histogram: %s\n", px_last_error());
        exit(1);
    }
}

/* The next number of a header, and the one byte that ends it; -1 where there is none. */
static long number(FILE *file)
{
    int byte = getc(file);
    while (isspace(byte) || byte == '#') {
        if (byte == '#')
            while (byte != '\n' && byte != EOF)
                byte = getc(file);
        byte = getc(file);
    }
    long value = isdigit(byte) ? 0 : -1;
    for (; isdigit(byte) && value <= LARGEST_SIDE; byte = getc(file))
        value = value * 10 + (byte - '0');
    return isspace(byte) ? value : -1;
}

/* Counts the pixels of a picture. Returns what is wrong with it, NULL where nothing is. */
static const char *count(FILE *file, uint64_t bins[BINS])
{
    int magic = getc(file) == 'P' ? getc(file) : EOF;
    long width = number(file), height = number(file), white = number(file);
    if ((magic != '5' && magic != '6') || width < 1 || width > LARGEST_SIDE || height < 1 ||
        height > LARGEST_SIDE || white != 255)
        return "not a binary PGM or PPM of 8 bits";
    for (uint64_t pixel = 0; pixel < (uint64_t)width * (uint64_t)height; pixel++) {
        int red = getc(file), green = red, blue = red;
        if (magic == '6') {
            green = getc(file);
            blue = getc(file);
        }
        if (blue == EOF)
            return "it ends before its last pixel";
        bins[(299 * red + 587 * green + 114 * blue) / 1000 * BINS / 256]++;
    }
    return NULL;
}

static int emit_histogram(px_chunk *chunk, const char *record, size_t length)
{
    char name[LONGEST_NAME + 1], line[LONGEST_NAME + 1 + BINS * 24];
    uint64_t bins[BINS] = {0};
    const char *wrong = "its name is too long";
    if (length <= LONGEST_NAME) {
        memcpy(name, record, length);
        name[length] = '\0';
        FILE *file = fopen(name, "rb");
        wrong = file == NULL ? "it cannot be opened" : count(file, bins);
        if (file != NULL)
            fclose(file);
    }
    if (wrong != NULL) {
        fprintf(stderr, "histogram: %.*s: %s\n", (int)length, record, wrong);
        return PX_FAIL;
    }
    int at = sprintf(line, "%s", name);
    for (int bin = 0; bin < BINS; bin++)
        at += sprintf(line + at, " %" PRIu64, bins[bin]);
    line[at++] = '\n';
    must(px_emit(chunk, line, (size_t)at));
    return PX_COMMIT;
}

int main(void)
{
    px_chunk *chunk;
    int status, failed = 0;
    must(px_init(0));
    while ((status = px_chunk_next(&chunk)) == PX_OK) {
        const void *record;
        size_t length;
        int how = PX_COMMIT;
        while (how == PX_COMMIT && (status = px_record_next(chunk, &record, &length)) == PX_OK)
            how = emit_histogram(chunk, record, length);
        if (how == PX_COMMIT && status != PX_END)
            must(status);
        failed |= how == PX_FAIL;
        must(px_chunk_release(chunk, how));
    }
    if (status != PX_END)
        must(status);
    must(px_finalize());
    return failed;
}
