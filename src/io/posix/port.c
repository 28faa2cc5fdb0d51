#include "io/posix/confine.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum {
    QUALITY_ASK_MS = 1000 /* how long the kernel's answer about its clock is believed */
};
static const int64_t plausible_wall_ms = INT64_C(1735689600000); /* 2025: no clock is set before */

void *port_alloc(size_t len)
{
    void *at = calloc(1, len);
    INVARIANT(at != NULL);
    return at;
}

void *port_alloc_bytes(size_t len)
{
    void *at = malloc(len);
    INVARIANT(at != NULL);
    return at;
}

void port_tell(struct port *port, const struct port_event *ev)
{
    port->handler(port->role, ev);
}

void port_why_set(struct port_why *why, const char *format, ...)
{
    if (why != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
    }
}

enum port_result port_result_of_errno(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR: return PORT_NOT_FOUND;
    case EEXIST: return PORT_EXISTS;
    case ENOSPC:
    case EDQUOT: return PORT_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS: return PORT_DENIED;
    case EAGAIN:
    case EBUSY:
    case EADDRINUSE: return PORT_BUSY;
    case EINVAL:
    case EISDIR:
    case ENAMETOOLONG:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT: return PORT_BAD;
    default: return PORT_FAILED;
    }
}

/* An invariant ends the process by abort(): the last words say which. Only async-signal-safe calls.
 */
static void on_abort(int number)
{
    struct invariant_breach breach = invariant_last();
    if (breach.text != NULL && breach.file != NULL) {
        char digits[12];
        size_t at = sizeof digits;
        unsigned line = (unsigned)breach.line;
        do {
            digits[--at] = (char)('0' + line % 10);
            line /= 10;
        } while (line > 0 && at > 0);
        (void)!write(STDERR_FILENO, "invariant broken: ", 18);
        (void)!write(STDERR_FILENO, breach.file, strlen(breach.file));
        (void)!write(STDERR_FILENO, ":", 1);
        (void)!write(STDERR_FILENO, digits + at, sizeof digits - at);
        (void)!write(STDERR_FILENO, ": ", 2);
        (void)!write(STDERR_FILENO, breach.text, strlen(breach.text));
        (void)!write(STDERR_FILENO, "\n", 1);
    }
    (void)signal(number, SIG_DFL);
}

static void on_terminate(uv_signal_t *handle, int number)
{
    (void)number;
    struct port *port = handle->data;
    port_tell(port, &(struct port_event){.kind = PORT_TERMINATE});
}

static void watch_signals(struct port *port)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    struct sigaction last_words = {.sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGABRT, &last_words, NULL);
    struct {
        uv_signal_t *handle;
        int number;
    } const both[] = {{&port->sigterm, SIGTERM}, {&port->sigint, SIGINT}};
    for (size_t i = 0; i < COUNT_OF(both); i++) {
        INVARIANT(uv_signal_init(&port->loop, both[i].handle) == 0);
        both[i].handle->data = port;
        INVARIANT(uv_signal_start(both[i].handle, on_terminate, both[i].number) == 0);
    }
}

struct port *port_open(port_handler *handler, void *role)
{
    struct port *port = calloc(1, sizeof *port);
    if (port == NULL) {
        return NULL;
    }
    port->handler = handler;
    port->role = role;
    port->ready_end = &port->ready;
    port->shaking_end = &port->shaking;
    port->inotify = -1;
    if (uv_loop_init(&port->loop) != 0) {
        free(port);
        return NULL;
    }
    port->wall = port_alloc(sizeof *port->wall);
    watch_signals(port);
    return port;
}

void port_run(struct port *port)
{
    port->stopping = false;
    bool is_first =
        true; /* what a role did before its first turn ends in a turn too: do not wait */
    while (!port->stopping) {
        port->turn++;
        bool waits = port->ready == NULL && port->shaking == NULL && !is_first;
        conn_run_ready(port);
        (void)uv_run(&port->loop, waits ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        conn_run_shaking(port);
        port_tell(port, &(struct port_event){.kind = PORT_TURN_ENDED});
        conn_flush_dirty(port);
        is_first = false;
    }
}

void port_stop(struct port *port)
{
    port->stopping = true;
}

void port_close_all(struct port *port)
{
    if (port == NULL) {
        return;
    }
    while (port->listeners != NULL) {
        port_listener_close(port->listeners);
    }
    while (port->conns != NULL) {
        conn_destroy(port->conns);
    }
    while (port->wakes != NULL) {
        port_wake_free(port->wakes);
    }
    files_close_all(port);
    watches_close_all(port);
    children_close_all(port);
    uv_close((uv_handle_t *)&port->sigterm, NULL);
    uv_close((uv_handle_t *)&port->sigint, NULL);
    (void)uv_run(&port->loop, UV_RUN_DEFAULT); /* syncs under way end, closing handles go */
    INVARIANT(uv_loop_close(&port->loop) == 0);
    free(port->wall);
    free(port);
}

/* ---- giving up rights ---- */

unsigned port_confine(struct port *port, const struct port_rights *rights, struct port_why *why)
{
    (void)port; /* rights are those of the process */
    if (confine_cannot(why)) {
        return 0;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        port_why_set(why, "no new privileges: %s", strerror(errno));
        return 0;
    }
    unsigned files = confine_files(rights, why);
    return files | confine_calls(rights, why);
}

uint64_t port_refused_calls(void)
{
    return confine_refused();
}

/* ---- time and chance ---- */

uint64_t port_now_us(const struct port *port)
{
    (void)port;
    struct timespec now;
    INVARIANT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t port_now_ms(const struct port *port)
{
    return port_now_us(port) / 1000u;
}

void port_host_name(const struct port *port, char out[PORT_HOST_NAME_MAX + 1])
{
    (void)port;
    if (gethostname(out, PORT_HOST_NAME_MAX + 1) != 0) {
        out[0] = '\0';
    }
    out[PORT_HOST_NAME_MAX] = '\0'; /* a longer name may be cut without an end */
}

static enum time_quality ask_quality(int64_t wall_ms)
{
    struct timex kernel = {0};
    if (wall_ms < plausible_wall_ms) {
        return TIME_UNKNOWN;
    }
    int state = adjtimex(&kernel);
    bool synced = state != -1 && state != TIME_ERROR && (kernel.status & STA_UNSYNC) == 0;
    return synced ? TIME_SYNCED : TIME_HOLDOVER;
}

uint32_t port_own_uid(const struct port *port)
{
    (void)port;
    return (uint32_t)geteuid();
}

int64_t port_wall_ms(const struct port *port, enum time_quality *quality)
{
    struct timespec now;
    INVARIANT(clock_gettime(CLOCK_REALTIME, &now) == 0);
    int64_t wall_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (quality != NULL) {
        uint64_t now_ms = port_now_ms(port);
        if (now_ms >= port->wall->until_ms) {
            port->wall->quality = ask_quality(wall_ms);
            port->wall->until_ms = now_ms + QUALITY_ASK_MS;
        }
        *quality = port->wall->quality;
    }
    return wall_ms;
}

void port_entropy(struct port *port, void *at, size_t len)
{
    (void)port;
    uint8_t *to = at;
    while (len > 0) {
        ssize_t got = getrandom(to, len, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        INVARIANT(got > 0);
        to += got;
        len -= (size_t)got;
    }
}

/* ---- wakes ---- */

static void on_wake(uv_timer_t *timer)
{
    struct port_wake *wake = timer->data;
    port_tell(wake->port, &(struct port_event){.kind = PORT_WOKE, .user = wake->user});
}

struct port_wake *port_wake_new(struct port *port, void *user)
{
    struct port_wake *wake = port_alloc(sizeof *wake);
    wake->port = port;
    wake->user = user;
    INVARIANT(uv_timer_init(&port->loop, &wake->timer) == 0);
    wake->timer.data = wake;
    LIST_ADD(port->wakes, wake);
    return wake;
}

void port_wake_at(struct port_wake *wake, uint64_t due_ms)
{
    if (due_ms == UINT64_MAX) {
        (void)uv_timer_stop(&wake->timer);
        return;
    }
    /* libuv counts from the loop's time, which stands still within a turn: count from there, too.
     */
    uint64_t now_ms = uv_now(&wake->port->loop);
    (void)uv_timer_start(&wake->timer, on_wake, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void on_wake_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void port_wake_free(struct port_wake *wake)
{
    if (wake != NULL) {
        LIST_REMOVE(wake->port->wakes, wake);
        uv_close((uv_handle_t *)&wake->timer, on_wake_closed);
    }
}
