/* Runs the job that its words describe, and says what came of it on descriptor 3.
 *
 *   job [WORD | NAME=VALUE]... [-- COMMAND [ARG]...]
 */
#include <px.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct taken {
    unsigned long long bytes, limit;
};

/* Prints output as it comes, until there was too much of it. */
static int print(const void *bytes, size_t length, void *user)
{
    struct taken *taken = user;
    fwrite(bytes, 1, length, stdout);
    fflush(stdout);
    taken->bytes += length;
    return taken->bytes > taken->limit ? 7 : 0;
}

static int set(px_job *job, char *word, struct taken *taken)
{
    char *value = strchr(word, '=');
    if (value != NULL) *value++ = '\0';
    if (strcmp(word, "input") == 0) return px_job_input(job, value);
    if (strcmp(word, "records") == 0) return px_job_records(job, value);
    if (strcmp(word, "chunk-size") == 0) return px_job_chunk_size(job, strtoull(value, NULL, 10));
    if (strcmp(word, "chunk-records") == 0)
        return px_job_chunk_records(job, strtoull(value, NULL, 10));
    if (strcmp(word, "ranks") == 0) return px_job_ranks(job, atoi(value));
    if (strcmp(word, "deal") == 0) return px_job_deal(job, atoi(value));
    if (strcmp(word, "order") == 0) return px_job_order(job, atoi(value));
    if (strcmp(word, "output") == 0) return px_job_output_path(job, value);
    if (strcmp(word, "output-fd") == 0) return px_job_output_fd(job, atoi(value));
    if (strcmp(word, "output-callback") == 0) {
        if (value != NULL) taken->limit = strtoull(value, NULL, 10);
        return px_job_output_callback(job, print, taken);
    }
    if (strcmp(word, "errors-fd") == 0) return px_job_errors_fd(job, atoi(value));
    if (strcmp(word, "hosts") == 0) return px_job_hosts(job, value);
    if (strcmp(word, "hostfile") == 0) return px_job_hostfile(job, value);
    return px_job_option(job, word, value);
}

int main(int argc, char **argv)
{
    struct taken taken = {0, (unsigned long long)-1};
    px_job *job = NULL;
    FILE *account = fdopen(3, "w");
    int times = 1, at = 1, status = px_job_new(&job);
    if (account == NULL || status != PX_OK) return 9;
    for (; at < argc && strcmp(argv[at], "--") != 0 && status == PX_OK; at++) {
        if (strcmp(argv[at], "twice") == 0) times = 2;
        else status = set(job, argv[at], &taken);
    }
    if (status == PX_OK && at < argc)
        status = px_job_command(job, (const char *const *)argv + at + 1);
    if (status != PX_OK) {
        fprintf(account, "set %d\n%s\n", status, px_last_error());
        times = 0;
    }
    while (times-- > 0) {
        px_result result;
        status = px_job_run(job);
        fprintf(account, "run %d\n", status);
        if (status != PX_OK) fprintf(account, "%s\n", px_last_error());
        if (px_job_result(job, &result) == PX_OK)
            fprintf(account, "result %d chunks %llu input %llu output %llu\n", result.status,
                    (unsigned long long)result.chunks, (unsigned long long)result.input_bytes,
                    (unsigned long long)result.output_bytes);
    }
    return px_job_free(job) == PX_OK ? 0 : 9;
}
