/*
 * Watches of files through one inotify descriptor. A file that is replaced by a rename is watched
 * on under its path; several events of one read are one PORT_CHANGED.
 */
#include "io/posix/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static const uint32_t wanted = IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;

static void mark(struct port *port, const struct inotify_event *ev)
{
    bool overflow = (ev->mask & IN_Q_OVERFLOW) != 0;
    for (struct port_watch *watch = port->watches; watch != NULL; watch = watch->next) {
        if (watch->wd != ev->wd && !overflow) {
            continue;
        }
        watch->changed = true;
        if ((ev->mask & (IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_IGNORED)) != 0) {
            int wd = inotify_add_watch(port->inotify, watch->path, wanted);
            watch->wd = wd >= 0 ? wd : watch->wd;
        }
    }
}

/* A handler may free watches while it is told: look for the next marked one from the start each
 * time. */
static void tell_changed(struct port *port)
{
    struct port_watch *watch = port->watches;
    while (watch != NULL) {
        if (!watch->changed) {
            watch = watch->next;
            continue;
        }
        watch->changed = false;
        port_tell(port, &(struct port_event){.kind = PORT_CHANGED, .user = watch->user});
        watch = port->watches;
    }
}

static void on_inotify(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct port *port = poll->data;
    _Alignas(struct inotify_event) char buffer[4096];
    ssize_t len = read(port->inotify, buffer, sizeof buffer);
    for (ssize_t at = 0; at < len;) {
        struct inotify_event ev;
        memcpy(&ev, buffer + at, sizeof ev);
        mark(port, &ev);
        at += (ssize_t)(sizeof ev + ev.len);
    }
    tell_changed(port);
}

static enum port_result open_inotify(struct port *port)
{
    if (port->inotify >= 0) {
        return PORT_OK;
    }
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) {
        return port_result_of_errno(errno);
    }
    port->inotify = fd;
    INVARIANT(uv_poll_init(&port->loop, &port->inotify_poll, fd) == 0);
    port->inotify_poll.data = port;
    INVARIANT(uv_poll_start(&port->inotify_poll, UV_READABLE, on_inotify) == 0);
    return PORT_OK;
}

enum port_result port_watch(struct port *port,
                            const char *path,
                            void *user,
                            struct port_watch **out)
{
    enum port_result result = open_inotify(port);
    if (result != PORT_OK) {
        return result;
    }
    int wd = inotify_add_watch(port->inotify, path, wanted);
    if (wd < 0) {
        return port_result_of_errno(errno);
    }
    struct port_watch *watch = port_alloc(sizeof *watch);
    *watch = (struct port_watch){.port = port, .user = user, .wd = wd, .path = strdup(path)};
    INVARIANT(watch->path != NULL);
    LIST_ADD(port->watches, watch);
    *out = watch;
    return PORT_OK;
}

/* Two watches of one file share the kernel's: it goes with the last of them. */
void port_watch_free(struct port_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    struct port *port = watch->port;
    LIST_REMOVE(port->watches, watch);
    bool shared = false;
    for (const struct port_watch *other = port->watches; other != NULL; other = other->next) {
        shared = shared || other->wd == watch->wd;
    }
    if (!shared) {
        (void)inotify_rm_watch(port->inotify, watch->wd);
    }
    free(watch->path);
    free(watch);
}

void watches_close_all(struct port *port)
{
    while (port->watches != NULL) {
        port_watch_free(port->watches);
    }
    if (port->inotify >= 0) {
        uv_close((uv_handle_t *)&port->inotify_poll, NULL);
        (void)close(port->inotify);
        port->inotify = -1;
    }
}
