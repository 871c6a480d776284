/* A program of MPI that has jobs run: counts the words of each line. What it is to do otherwise than
 * usual its words say, as NAME=VALUE; what came of it goes to REPORT.RANK, a line each.
 *
 * All calls of MPI come by here first: those from another thread than the one that initialised MPI
 * end the program, but for the few that any thread may make.
 */
#define _GNU_SOURCE
#include <px_mpi.h>

#include <ctype.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static pthread_t owner;
static int watching;

static void watch(const char *name)
{
    if (watching && !pthread_equal(owner, pthread_self())) {
        fprintf(stderr, "%s was called from another thread\n", name);
        abort();
    }
}

#define WATCHED(name, parameters, arguments) \
    int name parameters                      \
    {                                        \
        watch(#name);                        \
        return P##name arguments;            \
    }

WATCHED(MPI_Comm_dup, (MPI_Comm comm, MPI_Comm *copy), (comm, copy))
WATCHED(MPI_Comm_free, (MPI_Comm *comm), (comm))
WATCHED(MPI_Comm_rank, (MPI_Comm comm, int *rank), (comm, rank))
WATCHED(MPI_Comm_set_errhandler, (MPI_Comm comm, MPI_Errhandler handler), (comm, handler))
WATCHED(MPI_Comm_size, (MPI_Comm comm, int *size), (comm, size))
WATCHED(MPI_Comm_test_inter, (MPI_Comm comm, int *flag), (comm, flag))
WATCHED(MPI_Error_string, (int code, char *text, int *length), (code, text, length))
WATCHED(MPI_Get_count, (const MPI_Status *status, MPI_Datatype type, int *count),
        (status, type, count))
WATCHED(MPI_Iallreduce,
        (const void *mine, void *all, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
         MPI_Request *request),
        (mine, all, count, type, op, comm, request))
WATCHED(MPI_Improbe,
        (int source, int tag, MPI_Comm comm, int *flag, MPI_Message *message, MPI_Status *status),
        (source, tag, comm, flag, message, status))
WATCHED(MPI_Imrecv,
        (void *buffer, int count, MPI_Datatype type, MPI_Message *message, MPI_Request *request),
        (buffer, count, type, message, request))
WATCHED(MPI_Isend,
        (const void *buffer, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
         MPI_Request *request),
        (buffer, count, type, to, tag, comm, request))
WATCHED(MPI_Test, (MPI_Request * request, int *flag, MPI_Status *status), (request, flag, status))
WATCHED(MPI_Testsome,
        (int count, MPI_Request requests[], int *done, int indices[], MPI_Status statuses[]),
        (count, requests, done, indices, statuses))
#ifdef OPEN_MPI
MPI_Comm MPI_Comm_f2c(MPI_Fint comm)
{
    watch("MPI_Comm_f2c");
    return PMPI_Comm_f2c(comm);
}
#endif

static char **words;

/* The value of a word, NULL if it is not there. */
static const char *value_of(const char *name)
{
    size_t length = strlen(name);

    for (char **word = words; *word != NULL; word++)
        if (strncmp(*word, name, length) == 0 && (*word)[length] == '=')
            return *word + length + 1;
    return NULL;
}

static int is_for(const char *name, int rank)
{
    const char *value = value_of(name);

    return value != NULL && (strcmp(value, "all") == 0 || atoi(value) == rank);
}

/* As the launcher says, since MPI cannot say it before it is initialised. */
static int launched_rank(void)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");

    if (rank == NULL)
        rank = getenv("PMI_RANK");
    return rank == NULL ? 0 : atoi(rank);
}

static FILE *report;

static void tell(int status, const px_job *job)
{
    px_result result;

    fprintf(report, "status %d\n", status);
    for (const char *text = px_last_error(); status < 0; text++) {
        if (text == px_last_error())
            fputs("text ", report);
        if (*text == '\0') {
            fputs("\n", report);
            break;
        }
        fputc(*text == '\n' ? '|' : *text, report);
    }
    if (job != NULL && px_job_result(job, &result) == PX_OK)
        fprintf(report, "result %d %llu %llu\n", result.status,
                (unsigned long long)result.input_bytes, (unsigned long long)result.output_bytes);
}

/* What the callback is to do, and what it has seen. */
struct task {
    int rank;
    int dies;
    int fails;
    int naps;
    long chunks;
    int in_owner;
};

static int count_words(px_chunk *chunk, void *user)
{
    struct task *task = user;
    const void *record;
    size_t length;
    char line[32];

    task->chunks++;
    task->in_owner += pthread_equal(owner, pthread_self()) != 0;
    if (task->dies)
        raise(SIGKILL);
    if (task->naps)
        sleep(1);
    if (task->fails || px_chunk_release(chunk, PX_COMMIT) != PX_ERR_HANDLE)
        return PX_FAIL;
    while (px_record_next(chunk, &record, &length) == PX_OK) {
        const unsigned char *at = record, *end = at + length;
        int count = 0, inside = 0;
        for (; at < end; at++) {
            count += !inside && !isspace(*at);
            inside = !isspace(*at);
        }
        if (px_emit(chunk, line, (size_t)sprintf(line, "%d\n", count)) != PX_OK)
            return PX_FAIL;
    }
    return PX_COMMIT;
}

static int take_output(const void *bytes, size_t length, void *user)
{
    return fwrite(bytes, 1, length, user) == length ? 0 : 1;
}

static void check(int status, const char *what)
{
    if (status == PX_OK)
        return;
    fprintf(report, "%s %d %s\n", what, status, px_last_error());
    fclose(report);
    abort();
}

static px_job *describe(struct task *task)
{
    const char *const cat[] = {"cat", NULL};
    FILE *output;
    px_job *job;

    check(px_job_new(&job), "px_job_new");
    if (!is_for("uncalled", task->rank))
        check(px_job_callback(job, count_words, task), "px_job_callback");
    if (task->rank != 0)
        return job;
    if (value_of("input") != NULL)
        check(px_job_input(job, value_of("input")), "px_job_input");
    if (value_of("chunk") != NULL)
        check(px_job_chunk_size(job, strtoull(value_of("chunk"), NULL, 10)), "px_job_chunk_size");
    if (value_of("ranks") != NULL)
        check(px_job_ranks(job, atoi(value_of("ranks"))), "px_job_ranks");
    if (value_of("hosts") != NULL)
        check(px_job_hosts(job, value_of("hosts")), "px_job_hosts");
    if (value_of("command") != NULL)
        check(px_job_command(job, cat), "px_job_command");
    check(px_job_order(job, PX_ORDER_INPUT), "px_job_order");
    if (value_of("output") != NULL)
        check(px_job_output_path(job, value_of("output")), "px_job_output_path");
    if (value_of("taken") != NULL) {
        output = fopen(value_of("taken"), "w");
        setbuf(output, NULL);
        check(px_job_output_callback(job, take_output, output), "px_job_output_callback");
    }
    return job;
}

static void *elsewhere(void *job)
{
    return (void *)(long)px_mpi_job_run(MPI_COMM_WORLD, job);
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static int run(px_job *job, int rank)
{
    struct rusage before, after;
    struct timespec begun, ended;
    px_job *given = job;
    double wall, busy;
    pthread_t thread;
    void *answer;
    int status;

    if (value_of("elsewhere") != NULL) {
        pthread_create(&thread, NULL, elsewhere, job);
        pthread_join(thread, &answer);
        /* What it said is that thread's. */
        fprintf(report, "status %ld\n", (long)answer);
        return PX_OK;
    }
    if (is_for("jobless", rank))
        given = NULL;
    if (is_for("freed", rank)) {
        check(px_job_new(&given), "px_job_new");
        check(px_job_free(given), "px_job_free");
    }
    getrusage(RUSAGE_SELF, &before);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    status = value_of("fortran") != NULL
                 ? px_mpi_job_run_f(MPI_Comm_c2f(MPI_COMM_WORLD), job)
                 : px_mpi_job_run(MPI_COMM_WORLD, given);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    getrusage(RUSAGE_SELF, &after);
    wall = (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
    busy = seconds(after.ru_utime) + seconds(after.ru_stime) - seconds(before.ru_utime) -
           seconds(before.ru_stime);
    tell(status, job);
    fprintf(report, "busy %.0f%%\n", 100 * busy / wall);
    return status;
}

/* Offers a communicator between the first process and all others. */
static void between_two_groups(px_job *job, int rank, int size)
{
    MPI_Comm group, between;

    MPI_Comm_split(MPI_COMM_WORLD, rank == 0, 0, &group);
    MPI_Intercomm_create(group, 0, MPI_COMM_WORLD, rank == 0 ? 1 : 0, size, &between);
    tell(px_mpi_job_run(between, job), job);
    MPI_Comm_free(&between);
    MPI_Comm_free(&group);
}

int main(int argc, char **argv)
{
    int level, size, flag, times = 1, early = PX_OK, own = 0;
    struct task task = {.rank = launched_rank()};
    MPI_Request request;
    char name[4096];
    px_job *job;

    words = argv + argc - (argc > 1 ? argc - 1 : 0);
    snprintf(name, sizeof name, "%s.%d", value_of("report"), task.rank);
    report = fopen(name, "w");
    /* A tool may end processes that libpx starts as if their buffers were their own. */
    setvbuf(report, NULL, _IOLBF, BUFSIZ);
    task.fails = is_for("fails", task.rank);
    task.dies = is_for("dies", task.rank);
    task.naps = is_for("naps", task.rank);
    job = describe(&task);
    if (value_of("early") != NULL) {
        early = px_mpi_job_run(MPI_COMM_WORLD, job);
        tell(early, job);
    }
    level = is_for("single", task.rank) ? MPI_THREAD_SINGLE : MPI_THREAD_FUNNELED;
    MPI_Init_thread(&argc, &argv, level, &level);
    owner = pthread_self();
    watching = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    fprintf(report, "size %d\n", size);
    if (value_of("null") != NULL)
        tell(px_mpi_job_run(MPI_COMM_NULL, job), job);
    if (value_of("between") != NULL)
        between_two_groups(job, task.rank, size);
    /* Nothing of a job's may come to this. */
    MPI_Irecv(&own, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &request);
    if (value_of("times") != NULL)
        times = atoi(value_of("times"));
    for (int time = 0; early == PX_OK && time < times; time++)
        run(job, task.rank);
    MPI_Test(&request, &flag, MPI_STATUS_IGNORE);
    fprintf(report, "disturbed %d\n", flag);
    MPI_Barrier(MPI_COMM_WORLD);
    flag = 77;
    MPI_Send(&flag, 1, MPI_INT, (task.rank + 1) % size, 5, MPI_COMM_WORLD);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    fprintf(report, "own %d\nchunks %ld\nin_owner %d\n", own, task.chunks, task.in_owner);
    check(px_job_free(job), "px_job_free");
    MPI_Finalize();
    if (value_of("late") != NULL)
        tell(px_mpi_job_run(MPI_COMM_WORLD, NULL), NULL);
    fclose(report);
    return 0;
}
