/* The loop, the clock, wakes, files, watches and children of the posix port. */
#include "base/invariant.h"
#include "io/port.h"
#include "io/read_all.h"
#include "io/replace.h"
#include "test/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A role that remembers what it was told and stops after the event it waits for, or after ten
 * seconds. */
struct witness {
    struct port *port;
    struct port_wake *deadline;
    enum port_event_kind until;
    unsigned until_count;
    unsigned seen[PORT_TURN_ENDED + 1];
    bool late;
    int status;
    enum port_result synced;
    void *user;
    void (*act)(struct witness *w, const struct port_event *ev);
};

static void on_event(void *role, const struct port_event *ev)
{
    struct witness *w = role;
    if (ev->kind == PORT_WOKE && ev->user == w) {
        w->late = true;
        port_stop(w->port);
        return;
    }
    w->seen[ev->kind]++;
    if (ev->kind == PORT_EXITED) {
        w->status = ev->exited.status;
    } else if (ev->kind == PORT_SYNCED) {
        w->synced = ev->synced.result;
    }
    if (ev->kind != PORT_TURN_ENDED) {
        w->user = ev->user;
    }
    if (w->act != NULL) {
        w->act(w, ev);
    }
    if (ev->kind == w->until && w->seen[ev->kind] >= w->until_count) {
        port_stop(w->port);
    }
}

static void witness_open(struct witness *w)
{
    *w = (struct witness){0};
    w->port = port_open(on_event, w);
    w->deadline = port_wake_new(w->port, w);
}

static bool witness_until(struct witness *w, enum port_event_kind kind, unsigned count)
{
    w->until = kind;
    w->until_count = count;
    port_wake_at(w->deadline, port_now_ms(w->port) + 60000);
    port_run(w->port);
    return !w->late;
}

static const char *in_scratch(const char *name)
{
    static char path[4][300];
    static unsigned next;
    char *at = path[next++ % 4];
    (void)snprintf(at, 300, "%s/%s", test_scratch_dir(), name);
    return at;
}

TEST("a wake comes at its time and never before")
{
    struct witness w;
    witness_open(&w);
    struct port_wake *wake = port_wake_new(w.port, &w.seen);
    uint64_t due_ms = port_now_ms(w.port) + 30;
    port_wake_at(wake, due_ms);
    CHECK(witness_until(&w, PORT_WOKE, 1));
    CHECK(port_now_ms(w.port) >= due_ms);
    CHECK(w.user == &w.seen);
    port_close_all(w.port);
}

TEST("a wake that was put off or freed does not come")
{
    struct witness w;
    witness_open(&w);
    struct port_wake *never = port_wake_new(w.port, &w.until);
    struct port_wake *freed = port_wake_new(w.port, &w.until);
    struct port_wake *comes = port_wake_new(w.port, &w.seen);
    uint64_t now_ms = port_now_ms(w.port);
    port_wake_at(never, now_ms + 1);
    port_wake_at(never, UINT64_MAX);
    port_wake_at(freed, now_ms + 1);
    port_wake_free(freed);
    port_wake_at(comes, now_ms + 20);
    CHECK(witness_until(&w, PORT_WOKE, 1));
    CHECK_U64(w.seen[PORT_WOKE], 1);
    CHECK(w.user == &w.seen);
    port_close_all(w.port);
}

TEST("what was done before the first turn is followed by a turn's end")
{
    struct witness w;
    witness_open(&w);
    CHECK(witness_until(&w, PORT_TURN_ENDED, 1));
    port_close_all(w.port);
}

TEST("SIGTERM is told as PORT_TERMINATE")
{
    struct witness w;
    witness_open(&w);
    CHECK(kill(getpid(), SIGTERM) == 0);
    CHECK(witness_until(&w, PORT_TERMINATE, 1));
    port_close_all(w.port);
}

TEST("a broken invariant says where it stood before the process ends")
{
    int both[2];
    REQUIRE(pipe(both) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct witness w;
        (void)dup2(both[1], STDERR_FILENO);
        witness_open(&w);
        invariant_stop("some/file.c", 4711, "count <= cap");
    }
    (void)close(both[1]);
    char said[200] = "";
    ssize_t len = read(both[0], said, sizeof said - 1);
    for (ssize_t more = len; more > 0 && len < (ssize_t)sizeof said - 1; len += more) {
        more = read(both[0], said + len, sizeof said - 1 - (size_t)len);
    }
    (void)close(both[0]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(said, "invariant broken: some/file.c:4711: count <= cap\n") != NULL);
}

TEST("entropy fills all it is asked for")
{
    struct witness w;
    witness_open(&w);
    uint8_t a[64] = {0};
    uint8_t b[64] = {0};
    port_entropy(w.port, a, sizeof a);
    port_entropy(w.port, b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(a[62] != 0 || a[63] != 0 || b[62] != 0 || b[63] != 0);
    port_close_all(w.port);
}

TEST("a file gives back what was written, and tells its end")
{
    struct witness w;
    witness_open(&w);
    struct port_file *file = NULL;
    const char *path = in_scratch("a");
    REQUIRE(port_file_open(w.port, path, PORT_READ | PORT_WRITE | PORT_CREATE, &file) == PORT_OK);
    CHECK(port_file_write(file, 3, slice_text("hello")) == PORT_OK);
    CHECK(port_file_sync(file) == PORT_OK);
    uint64_t size = 0;
    CHECK(port_file_size(file, &size) == PORT_OK);
    CHECK_U64(size, 8);
    char to[16];
    size_t got = 0;
    CHECK(port_file_read(file, 0, to, sizeof to, &got) == PORT_OK);
    CHECK(got == 8 && memcmp(to, "\0\0\0hello", 8) == 0);
    CHECK(port_file_truncate(file, 4) == PORT_OK);
    CHECK(port_file_size(file, &size) == PORT_OK);
    CHECK_U64(size, 4);
    port_file_close(file);
    port_close_all(w.port);
}

TEST("opening says what is there, what is missing and what is locked")
{
    struct witness w;
    witness_open(&w);
    struct port_file *file = NULL;
    struct port_file *second = NULL;
    const char *path = in_scratch("locked");
    CHECK(port_file_open(w.port, path, PORT_READ, &file) == PORT_NOT_FOUND);
    unsigned flags = PORT_WRITE | PORT_CREATE | PORT_EXCLUSIVE | PORT_LOCK;
    REQUIRE(port_file_open(w.port, path, flags, &file) == PORT_OK);
    CHECK(port_file_open(w.port, path, flags, &second) == PORT_EXISTS);
    CHECK(port_file_open(w.port, path, PORT_READ | PORT_LOCK, &second) == PORT_BUSY);
    port_file_close(file);
    REQUIRE(port_file_open(w.port, path, PORT_READ | PORT_LOCK, &second) == PORT_OK);
    port_file_close(second);
    port_close_all(w.port);
}

TEST("a sync off the loop is told with its user and its result")
{
    struct witness w;
    witness_open(&w);
    struct port_file *file = NULL;
    REQUIRE(port_file_open(w.port, in_scratch("s"), PORT_WRITE | PORT_CREATE, &file) == PORT_OK);
    CHECK(port_file_write(file, 0, slice_text("x")) == PORT_OK);
    w.synced = PORT_FAILED;
    CHECK(port_file_sync_begin(file, &file) == PORT_OK);
    CHECK(witness_until(&w, PORT_SYNCED, 1));
    CHECK(w.synced == PORT_OK && w.user == &file);
    CHECK(port_file_sync_begin(file, &file) == PORT_OK);
    port_file_close(file); /* under way: nobody is told, nothing leaks */
    port_close_all(w.port);
}

static void collect(void *context, const char *name)
{
    char *all = context;
    strcat(all, name);
    strcat(all, " ");
}

TEST("folders are made with their parents and listed in byte order")
{
    struct witness w;
    witness_open(&w);
    char dir[300];
    (void)snprintf(dir, sizeof dir, "%s", in_scratch("x/y/z"));
    CHECK(port_dir_make(w.port, dir) == PORT_OK);
    CHECK(port_dir_make(w.port, dir) == PORT_OK);
    static const char *const names[] = {"b", "a", "B", "10", "9"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[320];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        CHECK(port_file_replace(w.port, path, slice_text("1")) == PORT_OK);
    }
    char all[64] = "";
    CHECK(port_dir_list(w.port, dir, collect, all) == PORT_OK);
    CHECK(strcmp(all, "10 9 B a b ") == 0);
    CHECK(port_dir_sync(w.port, dir) == PORT_OK);
    uint64_t room = 0;
    CHECK(port_dir_room(w.port, dir, &room) == PORT_OK && room > 0);
    CHECK(port_dir_list(w.port, in_scratch("absent"), collect, all) == PORT_NOT_FOUND);
    port_close_all(w.port);
}

TEST("a replaced file holds the new bytes whole, a longer remnant notwithstanding")
{
    struct witness w;
    witness_open(&w);
    char path[300];
    (void)snprintf(path, sizeof path, "%s", in_scratch("cursor"));
    CHECK(port_file_replace(w.port, in_scratch("cursor.new"), slice_text("left behind"))
          == PORT_OK);
    CHECK(port_file_replace(w.port, path, slice_text("old")) == PORT_OK);
    CHECK(port_file_replace(w.port, path, slice_text("new")) == PORT_OK);
    char to[8];
    size_t len = 0;
    REQUIRE(port_file_read_all(w.port, path, to, sizeof to, &len) == PORT_OK);
    CHECK(len == 3 && memcmp(to, "new", 3) == 0);
    CHECK(port_file_read_all(w.port, path, to, 2, &len) == PORT_BAD);
    CHECK(port_file_read_all(w.port, in_scratch("none"), to, 2, &len) == PORT_NOT_FOUND);
    CHECK(access(in_scratch("cursor.new"), F_OK) != 0);
    port_close_all(w.port);
}

static void append(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

TEST("a watched file tells when it was written, also after it was replaced")
{
    struct witness w;
    witness_open(&w);
    struct port_watch *watch = NULL;
    char path[300];
    (void)snprintf(path, sizeof path, "%s", in_scratch("watched"));
    CHECK(port_watch(w.port, path, &watch, &watch) == PORT_NOT_FOUND);
    append(path, "1");
    REQUIRE(port_watch(w.port, path, &watch, &watch) == PORT_OK);
    append(path, "2");
    CHECK(witness_until(&w, PORT_CHANGED, 1));
    CHECK(w.user == &watch);
    CHECK(port_file_replace(w.port, path, slice_text("3")) == PORT_OK);
    CHECK(witness_until(&w, PORT_CHANGED, w.seen[PORT_CHANGED] + 1));
    append(path, "4");
    CHECK(witness_until(&w, PORT_CHANGED, w.seen[PORT_CHANGED] + 1));
    port_watch_free(watch);
    port_close_all(w.port);
}

TEST("a child's end comes with its status, its output is in the log, its environment is ours and "
     "more")
{
    struct witness w;
    witness_open(&w);
    char log[300];
    (void)snprintf(log, sizeof log, "%s", in_scratch("log"));
    struct port_child *child = NULL;
    struct port_why why;
    const char *const argv[] = {"/bin/sh", "-c", "echo $WHAT; echo ${PATH:+path} >&2; exit 7",
                                NULL};
    const char *const env[] = {"WHAT=seven", NULL};
    const struct port_spawn what = {.argv = argv, .env = env, .log_path = log};
    REQUIRE(port_spawn(w.port, &what, &child, &child, &why) == PORT_OK);
    CHECK(port_child_pid(child) > 0);
    CHECK(witness_until(&w, PORT_EXITED, 1));
    CHECK_U64(w.status, 7);
    char to[64] = "";
    size_t len = 0;
    CHECK(port_file_read_all(w.port, log, to, sizeof to - 1, &len) == PORT_OK);
    CHECK(strcmp(to, "seven\npath\n") == 0);
    const char *const sleeper[] = {"/bin/sleep", "60", NULL};
    const struct port_spawn sleep_long = {.argv = sleeper};
    REQUIRE(port_spawn(w.port, &sleep_long, &child, &child, &why) == PORT_OK);
    port_child_kill(child, SIGKILL);
    CHECK(witness_until(&w, PORT_EXITED, 2));
    CHECK_U64(w.status, 128 + SIGKILL);
    const char *const absent[] = {"/nowhere/at-all", NULL};
    const struct port_spawn missing = {.argv = absent};
    CHECK(port_spawn(w.port, &missing, &child, &child, &why) == PORT_NOT_FOUND);
    CHECK(strstr(why.text, "/nowhere/at-all") != NULL);
    port_close_all(w.port);
}
