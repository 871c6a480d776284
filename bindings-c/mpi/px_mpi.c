/* A transport of libpx over MPI.
 *
 * Nothing here waits inside MPI: a blocked call burns a core, which on a full machine slows down
 * what it waits for. MPI is asked, and libpx decides how long to leave it alone. That includes a
 * long message that comes in: it begins to be received, and is there once MPI says so.
 */
#define _POSIX_C_SOURCE 200809L

#include "px_mpi.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Messages to one process that MPI has not sent yet. */
#define OUTSTANDING 4
#define TAG 0
/* The first and the longest wait before MPI is asked again, in nanoseconds. */
#define SHORTEST 1000
#define LONGEST 1000000

/* A copy of what libpx wants sent; MPI reads it until the request beside it is done. */
struct sending {
    int to;
    void *bytes;
};

struct way {
    MPI_Comm comm;
    int ranks;
    /* Whether a call of MPI has failed, so that nothing is known of the others any more. */
    int broken;
    /* What is on its way out: so many requests, each with its message. */
    int sends;
    int room;
    MPI_Request *requests;
    struct sending *messages;
    int *done;
    /* Messages on their way to each process. */
    unsigned char *outstanding;
    /* The message on its way in, if there is one. */
    MPI_Request coming;
    int from;
    int length;
    void *bytes;
    size_t capacity;
};

static int failed(struct way *way, const char *call, int code)
{
    char why[MPI_MAX_ERROR_STRING] = "";
    char text[MPI_MAX_ERROR_STRING + 64];
    int length;

    if (way != NULL)
        way->broken = 1;
    if (MPI_Error_string(code, why, &length) != MPI_SUCCESS)
        snprintf(why, sizeof why, "error %d", code);
    snprintf(text, sizeof text, "%s: %s", call, why);
    return px_error_set(PX_ERR_MPI, text);
}

/* Forgets what MPI has sent. */
static int settle(struct way *way)
{
    int done, code, kept = 0;

    if (way->sends == 0)
        return PX_OK;
    code = MPI_Testsome(way->sends, way->requests, &done, way->done, MPI_STATUSES_IGNORE);
    if (code != MPI_SUCCESS)
        return failed(way, "MPI_Testsome", code);
    if (done == 0 || done == MPI_UNDEFINED)
        return PX_OK;
    for (int i = 0; i < way->sends; i++) {
        if (way->requests[i] == MPI_REQUEST_NULL) {
            way->outstanding[way->messages[i].to]--;
            free(way->messages[i].bytes);
            continue;
        }
        way->requests[kept] = way->requests[i];
        way->messages[kept] = way->messages[i];
        kept++;
    }
    way->sends = kept;
    return PX_OK;
}

/* Makes room for one more request. */
static int widen(struct way *way)
{
    int room = way->room == 0 ? OUTSTANDING : 2 * way->room;
    void *grown;

    if (way->sends < way->room)
        return PX_OK;
    if ((grown = realloc(way->requests, (size_t)room * sizeof *way->requests)) == NULL)
        return px_error_set(PX_ERR_MEMORY, NULL);
    way->requests = grown;
    if ((grown = realloc(way->messages, (size_t)room * sizeof *way->messages)) == NULL)
        return px_error_set(PX_ERR_MEMORY, NULL);
    way->messages = grown;
    if ((grown = realloc(way->done, (size_t)room * sizeof *way->done)) == NULL)
        return px_error_set(PX_ERR_MEMORY, NULL);
    way->done = grown;
    way->room = room;
    return PX_OK;
}

static int way_send(void *user, int to, const void *bytes, size_t length)
{
    struct way *way = user;
    struct sending message = {.to = to};
    int code;

    if (to < 0 || to >= way->ranks || length > INT_MAX)
        return px_error_set(PX_ERR_ARGUMENT, "a message that MPI cannot carry");
    if (way->outstanding[to] == OUTSTANDING) {
        if ((code = settle(way)) != PX_OK)
            return code;
        if (way->outstanding[to] == OUTSTANDING)
            return PX_ERR_BUSY;
    }
    if ((code = widen(way)) != PX_OK)
        return code;
    if ((message.bytes = malloc(length > 0 ? length : 1)) == NULL)
        return px_error_set(PX_ERR_MEMORY, NULL);
    if (length > 0)
        memcpy(message.bytes, bytes, length);
    code = MPI_Isend(message.bytes, (int)length, MPI_BYTE, to, TAG, way->comm,
                     &way->requests[way->sends]);
    if (code != MPI_SUCCESS) {
        free(message.bytes);
        return failed(way, "MPI_Isend", code);
    }
    way->messages[way->sends++] = message;
    way->outstanding[to]++;
    return PX_OK;
}

/* Begins to receive the next message, if there is one. */
static int begin_receive(struct way *way, size_t capacity)
{
    MPI_Message message;
    MPI_Status status;
    int there, code;

    code = MPI_Improbe(MPI_ANY_SOURCE, TAG, way->comm, &there, &message, &status);
    if (code != MPI_SUCCESS)
        return failed(way, "MPI_Improbe", code);
    if (!there)
        return PX_END;
    if ((code = MPI_Get_count(&status, MPI_BYTE, &way->length)) != MPI_SUCCESS)
        return failed(way, "MPI_Get_count", code);
    way->from = status.MPI_SOURCE;
    if (way->length < 0 || (size_t)way->length > capacity) {
        way->broken = 1;
        return px_error_set(PX_ERR_PROTOCOL, "a message that is longer than any should be");
    }
    if (way->capacity < capacity) {
        void *grown = realloc(way->bytes, capacity);
        if (grown == NULL) {
            way->broken = 1;
            return px_error_set(PX_ERR_MEMORY, NULL);
        }
        way->bytes = grown;
        way->capacity = capacity;
    }
    code = MPI_Imrecv(way->bytes, way->length, MPI_BYTE, &message, &way->coming);
    return code == MPI_SUCCESS ? PX_OK : failed(way, "MPI_Imrecv", code);
}

static int way_receive(void *user, int *from, void *bytes, size_t capacity, size_t *length)
{
    struct way *way = user;
    int there, code;

    if ((code = settle(way)) != PX_OK)
        return code;
    if (way->coming == MPI_REQUEST_NULL && (code = begin_receive(way, capacity)) != PX_OK)
        return code;
    if ((code = MPI_Test(&way->coming, &there, MPI_STATUS_IGNORE)) != MPI_SUCCESS)
        return failed(way, "MPI_Test", code);
    if (!there)
        return PX_END;
    if (way->length > 0)
        memcpy(bytes, way->bytes, (size_t)way->length);
    *from = way->from;
    *length = (size_t)way->length;
    return PX_OK;
}

static int way_flushed(void *user)
{
    struct way *way = user;
    int code = settle(way);

    if (code != PX_OK)
        return code;
    return way->sends == 0 ? PX_OK : PX_ERR_BUSY;
}

/* Tells all processes the worst that any of them has found, and who found it. Waits for all of
 * them to come here: so what follows need not wait. */
static int agree(MPI_Comm comm, int rank, int found, int *who)
{
    struct { int status, rank; } mine = {found, rank}, worst;
    struct timespec pause = {0, SHORTEST};
    MPI_Request request;
    int code, done = 0;

    code = MPI_Iallreduce(&mine, &worst, 1, MPI_2INT, MPI_MINLOC, comm, &request);
    if (code != MPI_SUCCESS)
        return failed(NULL, "MPI_Iallreduce", code);
    for (;;) {
        if ((code = MPI_Test(&request, &done, MPI_STATUS_IGNORE)) != MPI_SUCCESS)
            return failed(NULL, "MPI_Test", code);
        if (done)
            break;
        nanosleep(&pause, NULL);
        pause.tv_nsec = pause.tv_nsec < LONGEST / 2 ? 2 * pause.tv_nsec : LONGEST;
    }
    *who = worst.rank;
    return worst.status;
}

/* Whether this thread may call MPI now. */
static int may_call(void)
{
    int flag, level;

    if (MPI_Initialized(&flag) != MPI_SUCCESS || !flag)
        return px_error_set(PX_ERR_MPI_STATE, "MPI is not initialised: call MPI_Init_thread first");
    if (MPI_Finalized(&flag) != MPI_SUCCESS || flag)
        return px_error_set(PX_ERR_MPI_STATE, "MPI was finalised: no job can run after it");
    if (MPI_Query_thread(&level) != MPI_SUCCESS)
        return px_error_set(PX_ERR_MPI, "MPI_Query_thread failed");
    if (level < MPI_THREAD_SERIALIZED && (MPI_Is_thread_main(&flag) != MPI_SUCCESS || !flag))
        return px_error_set(PX_ERR_MPI_THREAD,
                            "not the thread that initialised MPI, and with less than "
                            "MPI_THREAD_SERIALIZED no other may call it");
    return PX_OK;
}

/* What is wrong on this process and can be told to the others. */
static int look(struct way *way)
{
    int level;

    if (MPI_Query_thread(&level) != MPI_SUCCESS || level < MPI_THREAD_FUNNELED)
        return PX_ERR_MPI_THREAD;
    way->outstanding = calloc((size_t)way->ranks, sizeof *way->outstanding);
    return way->outstanding == NULL ? PX_ERR_MEMORY : PX_OK;
}

static int refuse(int status, int who)
{
    char text[160];

    switch (status) {
    case PX_ERR_MPI_THREAD:
        snprintf(text, sizeof text,
                 "rank %d: MPI was initialised with MPI_THREAD_SINGLE, where px_mpi_job_run needs "
                 "MPI_THREAD_FUNNELED: call MPI_Init_thread",
                 who);
        break;
    case PX_ERR_MEMORY:
        snprintf(text, sizeof text, "rank %d: no memory left", who);
        break;
    default:
        /* Of `agree` itself, which has said why. */
        return status;
    }
    return px_error_set(status, text);
}

/* A message that is not sent yet stays MPI's: nobody knows until when it is read. */
static void leave(struct way *way)
{
    if (way->comm != MPI_COMM_NULL && !way->broken)
        MPI_Comm_free(&way->comm);
    if (way->sends == 0) {
        free(way->requests);
        free(way->messages);
    }
    if (way->coming == MPI_REQUEST_NULL)
        free(way->bytes);
    free(way->done);
    free(way->outstanding);
}

static int run(struct way *way, MPI_Comm comm, px_job *job)
{
    px_transport transport = {.size = sizeof transport,
                              .user = way,
                              .send = way_send,
                              .receive = way_receive,
                              .flushed = way_flushed};
    int rank, who = 0, status, code;

    if ((code = MPI_Comm_rank(comm, &rank)) != MPI_SUCCESS)
        return failed(way, "MPI_Comm_rank", code);
    if ((code = MPI_Comm_size(comm, &way->ranks)) != MPI_SUCCESS)
        return failed(way, "MPI_Comm_size", code);
    if ((status = agree(comm, rank, look(way), &who)) != PX_OK)
        return refuse(status, who);
    if ((code = MPI_Comm_dup(comm, &way->comm)) != MPI_SUCCESS)
        return failed(way, "MPI_Comm_dup", code);
    if ((code = MPI_Comm_set_errhandler(way->comm, MPI_ERRORS_RETURN)) != MPI_SUCCESS)
        return failed(way, "MPI_Comm_set_errhandler", code);
    transport.rank = rank;
    transport.ranks = way->ranks;
    return px_job_run_over(job, &transport);
}

int px_mpi_job_run(MPI_Comm comm, px_job *job)
{
    struct way way = {.comm = MPI_COMM_NULL, .coming = MPI_REQUEST_NULL};
    int status, inter, code;

    if ((status = may_call()) != PX_OK)
        return status;
    if (comm == MPI_COMM_NULL)
        return px_error_set(PX_ERR_ARGUMENT, "no communicator: MPI_COMM_NULL");
    if ((code = MPI_Comm_test_inter(comm, &inter)) != MPI_SUCCESS)
        return failed(NULL, "MPI_Comm_test_inter", code);
    if (inter)
        return px_error_set(PX_ERR_ARGUMENT, "an intercommunicator, which has no ranks of one job");
    status = run(&way, comm, job);
    leave(&way);
    return status;
}

int px_mpi_job_run_f(MPI_Fint comm, px_job *job)
{
    int status = may_call();

    return status == PX_OK ? px_mpi_job_run(MPI_Comm_f2c(comm), job) : status;
}
