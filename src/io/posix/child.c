#include "io/posix/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void let_go(struct port_child *child)
{
    LIST_REMOVE(child->port->children, child);
    uv_close((uv_handle_t *)&child->process, on_closed);
}

static void on_exited(uv_process_t *process, int64_t status, int signal)
{
    struct port_child *child = process->data;
    int told = signal != 0 ? 128 + signal : (int)status;
    port_tell(
        child->port,
        &(struct port_event){.kind = PORT_EXITED, .user = child->user, .exited = {.status = told}});
    let_go(child);
}

static size_t count_of(const char *const *list)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL) {
        count++;
    }
    return count;
}

static bool is_same_name(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");
    return strcspn(b, "=") == len && memcmp(a, b, len) == 0;
}

/* Our own environment with `added` over it. The strings are borrowed, the array is the caller's to
 * free. */
static char **environment(const char *const *added)
{
    size_t added_count = count_of(added);
    size_t own_count = count_of((const char *const *)environ);
    char **made = port_alloc((own_count + added_count + 1) * sizeof *made);
    size_t count = 0;
    for (size_t i = 0; i < own_count; i++) {
        bool replaced = false;
        for (size_t j = 0; j < added_count; j++) {
            replaced = replaced || is_same_name(environ[i], added[j]);
        }
        if (!replaced) {
            made[count++] = environ[i];
        }
    }
    if (added_count > 0) {
        memcpy(made + count, added, added_count * sizeof *made);
    }
    return made;
}

static enum port_result open_log(const char *path, int *fd, struct port_why *why)
{
    *fd = -1;
    if (path == NULL) {
        return PORT_OK;
    }
    *fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) {
        port_why_set(why, "%s: %s", path, strerror(errno));
        return port_result_of_errno(errno);
    }
    return PORT_OK;
}

enum port_result port_spawn(struct port *port,
                            const struct port_spawn *what,
                            void *user,
                            struct port_child **out,
                            struct port_why *why)
{
    int log;
    enum port_result result = open_log(what->log_path, &log, why);
    if (result != PORT_OK) {
        return result;
    }
    size_t argc = count_of(what->argv);
    char **argv = port_alloc((argc + 1) * sizeof *argv);
    memcpy(argv, what->argv, argc * sizeof *argv);
    char **env = environment(what->env);
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = log >= 0 ? log : STDOUT_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = log >= 0 ? log : STDERR_FILENO},
    };
    struct port_child *child = port_alloc(sizeof *child);
    child->port = port;
    child->user = user;
    child->process.data = child;
    LIST_ADD(port->children, child);
    uv_process_options_t options = {.exit_cb = on_exited,
                                    .file = argv[0],
                                    .args = argv,
                                    .env = env,
                                    .stdio_count = 3,
                                    .stdio = stdio};
    int error = uv_spawn(&port->loop, &child->process, &options);
    free(argv);
    free(env);
    if (log >= 0) {
        (void)close(log);
    }
    if (error != 0) {
        port_why_set(why, "%s: %s", what->argv[0], uv_strerror(error));
        let_go(child);
        return port_result_of_errno(-error);
    }
    *out = child;
    return PORT_OK;
}

int port_child_pid(const struct port_child *child)
{
    return uv_process_get_pid(&child->process);
}

void port_child_kill(struct port_child *child, int signal)
{
    (void)uv_process_kill(&child->process, signal);
}

/* The processes live on; whoever wants them gone kills them and waits for PORT_EXITED. */
void children_close_all(struct port *port)
{
    while (port->children != NULL) {
        let_go(port->children);
    }
}
