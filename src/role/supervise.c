#include "role/supervise.h"

#include "base/invariant.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

void supervise_arg(struct supervise_child *child, const char *arg)
{
    INVARIANT(child->args_count < SUPERVISE_ARGS_MAX - 1);
    INVARIANT(strlen(arg) < sizeof child->args[0]);
    (void)snprintf(child->args[child->args_count++], sizeof child->args[0], "%s", arg);
}

static void start(struct supervise *s, uint32_t which)
{
    struct supervise_child *child = &s->children[which];
    const char *argv[SUPERVISE_ARGS_MAX + 1] = {0};
    struct port_why why = {0};
    for (uint32_t i = 0; i < child->args_count; i++) {
        argv[i] = child->args[i];
    }
    struct port_spawn what = {.argv = argv,
                              .log_path = child->log_path[0] != '\0' ? child->log_path : NULL};
    enum port_result result = port_spawn(s->port, &what, child, &child->process, &why);
    if (result != PORT_OK) {
        (void)fprintf(stderr, "holdfast: %s cannot be started: %s\n", child->name, why.text);
        child->process = NULL;
        restart_exited(&child->restart, port_now_ms(s->port), 1, s->is_stopping);
        port_wake_at(child->wake,
                     child->restart.state == RESTART_WAITING ? child->restart.due_ms : UINT64_MAX);
    }
    if (s->changed != NULL) {
        s->changed(s->context, which);
    }
}

uint32_t supervise_add(struct supervise *s, const struct supervise_child *child)
{
    INVARIANT(s->count < SUPERVISE_CHILDREN_MAX);
    uint32_t which = s->count++;
    s->children[which] = *child;
    s->children[which].wake = port_wake_new(s->port, &s->children[which]);
    restart_init(&s->children[which].restart, port_now_ms(s->port));
    start(s, which);
    return which;
}

static bool all_ended(const struct supervise *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->children[i].process != NULL) {
            return false;
        }
    }
    return true;
}

static void exited(struct supervise *s, uint32_t which, int status)
{
    struct supervise_child *child = &s->children[which];
    child->process = NULL;
    restart_exited(&child->restart, port_now_ms(s->port), status, s->is_stopping);
    restart_check(&child->restart);
    if (!s->is_stopping) {
        (void)fprintf(stderr, "holdfast: %s ended with status %d; %s (%s)\n", child->name, status,
                      child->restart.state == RESTART_WAITING ? "starting it again"
                      : status == RESTART_STORAGE
                          ? "its storage failed: it stays stopped until you looked"
                          : "it cannot run like this: it stays stopped",
                      child->log_path);
    }
    port_wake_at(child->wake,
                 child->restart.state == RESTART_WAITING ? child->restart.due_ms : UINT64_MAX);
    if (s->changed != NULL) {
        s->changed(s->context, which);
        if (s->is_stopping && all_ended(s)) {
            s->changed(s->context, UINT32_MAX);
        }
    }
}

bool supervise_event(struct supervise *s, const struct port_event *ev)
{
    if (ev->kind == PORT_WOKE && s->deadline != NULL && ev->user == s) {
        for (uint32_t i = 0; i < s->count; i++) {
            if (s->children[i].process != NULL) {
                port_child_kill(s->children[i].process, SIGKILL);
            }
        }
        return true;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        struct supervise_child *child = &s->children[i];
        if (ev->user != child) {
            continue;
        }
        if (ev->kind == PORT_EXITED) {
            exited(s, i, ev->exited.status);
        } else if (ev->kind == PORT_WOKE && child->restart.state == RESTART_WAITING
                   && !s->is_stopping) {
            restart_started(&child->restart, port_now_ms(s->port));
            start(s, i);
        }
        return true;
    }
    return false;
}

void supervise_stop(struct supervise *s)
{
    if (s->is_stopping) {
        return;
    }
    s->is_stopping = true;
    s->deadline = port_wake_new(s->port, s);
    port_wake_at(s->deadline, port_now_ms(s->port) + SUPERVISE_STOP_MS);
    for (uint32_t i = s->count; i > 0; i--) {
        if (s->children[i - 1].process != NULL) {
            port_child_kill(s->children[i - 1].process, SIGTERM);
        }
    }
    if (all_ended(s) && s->changed != NULL) {
        s->changed(s->context, UINT32_MAX);
    }
}

int supervise_pid(const struct supervise *s, uint32_t which)
{
    return s->children[which].process == NULL ? 0 : port_child_pid(s->children[which].process);
}
