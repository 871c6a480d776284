/* Runs a job and looks at its own process before and after; a second thread waits for children all the
 * time, of which there is none. Says what is not as it was, and ends with 0 where there is nothing.
 *
 *   guest INPUT COMMAND [ARG]...        a job of a command
 *   guest INPUT                         a job of a callback
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <px.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static atomic_ulong looks;
static atomic_int found, over, children;

static void *look_for_children(void *unused)
{
    (void)unused;
    while (!over) {
        if (wait(NULL) != -1 || errno != ECHILD) found++;
        looks++;
    }
    return NULL;
}

static void count(int signal)
{
    (void)signal;
    children++;
}

static void signals(FILE *out)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        if (sigaction(signal, NULL, &action) != 0) continue;
        fprintf(out, "signal %d: %p %x, blocked %d\n", signal, (void *)action.sa_handler,
                (unsigned)action.sa_flags, sigismember(&mask, signal));
    }
}

static void status(FILE *out)
{
    static const char *const kept[] = {"Umask:",  "Uid:",    "Gid:",        "Groups:", "Threads:",
                                       "SigPnd:", "ShdPnd:", "NoNewPrivs:", "Seccomp:"};
    char line[4096];
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            if (strncmp(line, kept[i], strlen(kept[i])) == 0) fputs(line, out);
    if (file != NULL) fclose(file);
    if (getcwd(line, sizeof line) != NULL) fprintf(out, "directory %s\n", line);
}

static int threads(void)
{
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;
    while (directory != NULL && (entry = readdir(directory)) != NULL) count += atoi(entry->d_name) > 0;
    if (directory != NULL) closedir(directory);
    return count;
}

static void descriptors(FILE *out)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char target[4096] = "";
        if (atoi(entry->d_name) == dirfd(directory)) continue;
        if (readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1) >= 0)
            fprintf(out, "descriptor %s: %s\n", entry->d_name, target);
    }
    if (directory != NULL) closedir(directory);
}

static char *snapshot(void)
{
    char *text = NULL;
    size_t length = 0;
    int subreaper = -1, parent_death = -1;
    FILE *out = open_memstream(&text, &length);
    signals(out);
    status(out);
    descriptors(out);
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        if (getrlimit((__rlimit_resource_t)which, &limit) == 0)
            fprintf(out, "limit %d: %llu %llu\n", which, (unsigned long long)limit.rlim_cur,
                    (unsigned long long)limit.rlim_max);
    }
    for (char **variable = environ; *variable != NULL; variable++)
        fprintf(out, "variable %p: %s\n", (void *)*variable, *variable);
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
    prctl(PR_GET_PDEATHSIG, &parent_death);
    fprintf(out, "dumpable %d, subreaper %d, signal at the parent's death %d\n",
            prctl(PR_GET_DUMPABLE), subreaper, parent_death);
    fprintf(out, "session %d, group %d, nice %d\n", getsid(0), getpgid(0),
            getpriority(PRIO_PROCESS, 0));
    fclose(out);
    return text;
}

static int emit_all(px_chunk *chunk, void *user)
{
    (void)user;
    return px_emit(chunk, px_chunk_data(chunk), px_chunk_length(chunk)) == PX_OK ? PX_COMMIT
                                                                                 : PX_FAIL;
}

static int take(const void *bytes, size_t length, void *user)
{
    (void)bytes;
    *(size_t *)user += length;
    return 0;
}

int main(int argc, char **argv)
{
    px_job *job;
    pthread_t thread;
    size_t output = 0;
    struct sigaction child = {.sa_handler = count};
    sigaction(SIGCHLD, &child, NULL);
    if (argc < 2 || pthread_create(&thread, NULL, look_for_children, NULL) != 0) return 9;
    char *before = snapshot();
    unsigned long before_looks = looks;
    if (px_job_new(&job) != PX_OK || px_job_input(job, argv[1]) != PX_OK ||
        px_job_ranks(job, 2) != PX_OK ||
        px_job_output_callback(job, take, &output) != PX_OK)
        return 9;
    if (argc > 2) px_job_command(job, (const char *const *)argv + 2);
    else px_job_callback(job, emit_all, NULL);
    if (px_job_run(job) != PX_OK) printf("%s\n", px_last_error());
    if (output == 0) printf("no output came\n");
    px_job_free(job);
    while (looks == before_looks) sched_yield();
    /* A thread that was joined may be counted for a moment. */
    for (int i = 0; i < 10000 && threads() > 2; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    char *after = snapshot();
    over = 1;
    pthread_join(thread, NULL);
    if (strcmp(before, after) != 0) printf("before:\n%s\nafter:\n%s\n", before, after);
    if (found != 0) printf("wait() found a child %d times\n", found);
    if (children != 0) printf("SIGCHLD came %d times\n", children);
    int as_it_was = strcmp(before, after) == 0 && found == 0 && children == 0 && output > 0;
    free(before);
    free(after);
    return as_it_was ? 0 : 1;
}
