/* A sweep: how much of a cube is inside of the ball that touches its sides, by dimension?
 *
 *     cc -std=c11 -O2 -o monte_carlo monte_carlo.c $(pkg-config --cflags --libs px)
 *
 *     pxrun -k --contract px --chunk-records 1 --deal dynamic ./monte_carlo < sweep.txt
 *
 * Each line of the input is a case, `DIMENSION POINTS`, to which the result adds how many of the
 * points are inside. The random numbers of a case come from its line alone, so a result is the
 * same wherever it is computed, and when it has to be computed again. All is whole numbers.
 */
#include <inttypes.h>
#include <px.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Random numbers: two generators together (P. L'Ecuyer, CACM 31:6, 1988). */
struct random {
    int64_t first, second;
};

static void must(int status)
{
    if (status != PX_OK) {
        fprintf(stderr, "monte_carlo: %s\n", px_last_error());
        exit(1);
    }
}

static struct random seeded(const char *line)
{
    struct random random = {1, 1};
    for (; *line != '\0'; line++) {
        random.first = 1 + (random.first * 257 + (unsigned char)*line) % 2147483562;
        random.second = 1 + (random.second * 263 + (unsigned char)*line) % 2147483398;
    }
    return random;
}

/* The next coordinate, 0 to 2^24 - 1. */
static int64_t coordinate(struct random *random)
{
    random->first = random->first * 40014 % 2147483563;
    random->second = random->second * 40692 % 2147483399;
    int64_t difference = random->first - random->second;
    return (difference < 1 ? difference + 2147483562 : difference) >> 7;
}

static int64_t points_inside(const char *line, int dimension, int64_t points)
{
    struct random random = seeded(line);
    int64_t inside = 0;
    for (int64_t point = 0; point < points; point++) {
        int64_t square = 0;
        for (int axis = 0; axis < dimension; axis++) {
            int64_t x = coordinate(&random);
            square += x * x;
        }
        inside += square < INT64_C(1) << 48;
    }
    return inside;
}

static int run(px_chunk *chunk, const char *record, size_t length)
{
    char line[64], result[128];
    int dimension;
    int64_t points;
    if (length < sizeof line) {
        memcpy(line, record, length);
        line[length] = '\0';
        if (sscanf(line, "%d %" SCNd64, &dimension, &points) == 2 && 1 <= dimension &&
            dimension <= 1000 && 0 <= points) {
            int64_t inside = points_inside(line, dimension, points);
            int written = snprintf(result, sizeof result, "%d %" PRId64 " %" PRId64 "\n",
                                   dimension, points, inside);
            must(px_emit(chunk, result, (size_t)written));
            return PX_COMMIT;
        }
    }
    fprintf(stderr, "monte_carlo: a case must be `DIMENSION POINTS`, found `%.*s`\n",
            (int)(length < 64 ? length : 64), record);
    return PX_FAIL;
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
            how = run(chunk, record, length);
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
