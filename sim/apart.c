/* A run in a process of its own: what it learnt lies in memory that both share. */
#include "io/sim/sim.h"
#include "sim/run.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_S = 600, LARGE_BYTES = 128 * 1024 };

static struct report *shared; /* in the child: for its last words */

static void on_abort(int signal)
{
    struct invariant_breach breach = invariant_last();
    if (shared != NULL && breach.text != NULL) {
        (void)snprintf(shared->breach, sizeof shared->breach, "%s:%d: %s", breach.file, breach.line,
                       breach.text);
    }
    (void)signal;
}

/* SIGABRT comes back after its handler and ends the process. */
static void listen_for_abort(void)
{
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGABRT, &action, NULL);
}

static void be_silent(void)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)dup2(nowhere, STDOUT_FILENO);
    (void)dup2(nowhere, STDERR_FILENO);
    (void)close(nowhere);
}

static _Noreturn void live(const struct plan *plan, const struct run_how *how)
{
    /* What a role takes at its start is large and hardly touched: from the kernel it comes as
     * zeroes that cost nothing, from the heap, where the C library keeps it after a first role has
     * gone, it would be cleared at each start. */
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    (void)alarm(how->limit_s != 0 ? how->limit_s : (unsigned)LIMIT_S);
    listen_for_abort();
    if (how->is_loud) {
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    } else {
        be_silent();
    }
    sim_last_words_to(how->traces);
    run_plan(plan, shared);
    (void)fflush(NULL);
    _exit(0);
}

static void judge(struct report *report, int status)
{
    if (WIFSIGNALED(status)) {
        report->signal = WTERMSIG(status);
        report->outcome = report->signal == SIGALRM ? OUTCOME_NO_END : OUTCOME_CRASHED;
    } else if (report->outcome == OUTCOME_NONE) {
        report->outcome = OUTCOME_CRASHED; /* a sanitizer exits */
    }
}

void run_apart(const struct plan *plan, const struct run_how *how, struct report *report)
{
    struct report *memory =
        mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    INVARIANT(memory != MAP_FAILED);
    *memory = *report;
    shared = memory;
    (void)fflush(NULL);
    pid_t child = fork();
    INVARIANT(child >= 0);
    if (child == 0) {
        live(plan, how);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    shared = NULL;
    *report = *memory;
    (void)munmap(memory, sizeof *memory);
    judge(report, status);
}
