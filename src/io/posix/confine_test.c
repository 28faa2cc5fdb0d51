/* Rights that were given up are gone: each look is taken by a child, which cannot take them back.
 */
#include "io/port.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD = 0, NOT_HELD = 1, NOT_REACHED = 2 };

static char readable[512], writable[512], secret[512];

static void nothing(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static bool make_file(const char *dir, const char *name, char *path)
{
    (void)snprintf(path, 512, "%.400s/%.20s", dir, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    return fd >= 0 && close(fd) == 0;
}

/* The status of a child that gave up all but these rights and then looked. */
static int status_after(bool dials_local, bool (*look)(void), unsigned *reached)
{
    char dirs[3][400];
    static const char *const names[] = {"reads", "writes", "others"};
    char *files[] = {readable, writable, secret};
    int pipe_ends[2];
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(dirs[i], sizeof dirs[i], "%s/%s", test_scratch_dir(), names[i]);
        (void)mkdir(dirs[i], 0700);
        if (!make_file(dirs[i], "file", files[i])) {
            return -1;
        }
    }
    if (pipe(pipe_ends) != 0) {
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        struct port *port = port_open(nothing, NULL);
        const char *const reads[] = {dirs[0], NULL};
        const char *const writes[] = {dirs[1], "/nowhere/at/all", NULL};
        struct port_why why = {{0}};
        unsigned bits = port_confine(
            port,
            &(struct port_rights){.reads = reads, .writes = writes, .dials_local = dials_local},
            &why);
        (void)!write(pipe_ends[1], &bits, sizeof bits);
        _exit(bits != PORT_CONFINED_ALL ? NOT_REACHED : look() ? HELD : NOT_HELD);
    }
    (void)close(pipe_ends[1]);
    *reached = 0;
    (void)!read(pipe_ends[0], reached, sizeof *reached);
    (void)close(pipe_ends[0]);
    int status = 0;
    return waitpid(child, &status, 0) == child ? status : -1;
}

static bool opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

static bool files_as_named(void)
{
    char renamed[600];
    (void)snprintf(renamed, sizeof renamed, "%s.new", writable);
    return opens(readable, O_RDONLY) && !opens(readable, O_WRONLY) && opens(writable, O_RDWR)
           && opens(renamed, O_CREAT | O_EXCL | O_WRONLY) && rename(renamed, writable) == 0
           && unlink(writable) == 0 && !opens(secret, O_RDONLY) && unlink(secret) != 0
           && !opens("/proc/1/environ", O_RDONLY) && opens("/etc/passwd", O_RDONLY)
           && !opens("/etc/passwd", O_WRONLY);
}

static bool no_network(void)
{
    uint64_t before = port_refused_calls();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool is_refused = fd < 0 && errno == EPERM;
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_refused && port_refused_calls() == before + 1;
}

static bool local_only(void)
{
    struct sockaddr_in anywhere = {.sin_family = AF_INET, .sin_port = htons(1)};
    anywhere.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool is_refused = local >= 0 && fd >= 0
                      && connect(fd, (struct sockaddr *)&anywhere, sizeof anywhere) != 0
                      && errno == EACCES;
    return close(local) == 0 && close(fd) == 0 && is_refused;
}

static bool no_new_code(void)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at != MAP_FAILED && mprotect(at, 4096, PROT_READ | PROT_EXEC) != 0 && code == MAP_FAILED;
}

static bool start_a_program(void)
{
    static char name[] = "/bin/true";
    char *argv[] = {name, NULL};
    char *env[] = {NULL};
    (void)execve("/bin/true", argv, env);
    return true; /* it came back: refused, but alive */
}

static bool trace_another(void)
{
    (void)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
    return true;
}

/* False, and said aloud, where this machine or build cannot show it. */
static bool can_show(int status, unsigned reached)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_REACHED) {
        char why[80];
        (void)snprintf(why, sizeof why, "this build or kernel reached %u of %u", reached,
                       (unsigned)PORT_CONFINED_ALL);
        test_skipped(why);
        return false;
    }
    return true;
}

static void holds(bool dials_local, bool (*look)(void))
{
    unsigned reached = 0;
    int status = status_after(dials_local, look, &reached);
    if (can_show(status, reached)) {
        CHECK(WIFEXITED(status));
        CHECK_U64(WEXITSTATUS(status), HELD);
    }
}

static void kills(bool (*look)(void))
{
    unsigned reached = 0;
    int status = status_after(false, look, &reached);
    if (can_show(status, reached)) {
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    }
}

TEST("a confined process opens what was named for it, as it was named, and nothing else")
{
    holds(false, files_as_named);
}

TEST("a confined process has no network, and its try is counted")
{
    holds(false, no_network);
}

TEST("a process that may call local sockets reaches no TCP port")
{
    holds(true, local_only);
}

TEST("a confined process makes no memory executable")
{
    holds(false, no_new_code);
}

TEST("a confined process that starts a program or traces another one ends")
{
    kills(start_a_program);
    kills(trace_another);
}
