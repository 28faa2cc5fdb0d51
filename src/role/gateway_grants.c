#include "role/gateway_grants.h"

#include "base/invariant.h"
#include "crypto/hash.h"
#include "io/folder.h"
#include "trust/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 10000 };

/* What was read last, with the text that its slices are in. */
struct version {
    struct grants grants;
    uint8_t *text;
    size_t len;
};

struct gateway_grants {
    struct port *port;
    const char *path, *who;
    struct port_watch *watch;
    struct version now;
    struct digest tried; /* SHA-256 of the file that was looked at last */
    uint64_t refused, due_ms;
};

static enum port_result read_file(struct gateway_grants *g, struct version *to)
{
    struct port_file *file = NULL;
    uint64_t size = 0;
    enum port_result result = port_file_open(g->port, g->path, PORT_READ, &file);
    if (result != PORT_OK) {
        return result;
    }
    result = port_file_size(file, &size);
    if (result == PORT_OK && size <= GRANTS_TEXT_MAX) {
        to->text = malloc((size_t)size + 1);
        INVARIANT(to->text != NULL);
        result = port_file_read(file, 0, to->text, (size_t)size, &to->len);
    } else if (result == PORT_OK) {
        result = PORT_BAD;
    }
    port_file_close(file);
    return result;
}

/* Reads the file; true where it says something else than before, and can be used. */
static bool take_file(struct gateway_grants *g)
{
    struct version *next = calloc(1, sizeof *next);
    struct toml_fault fault = {.what = "it cannot be read"};
    INVARIANT(next != NULL);
    enum port_result result = read_file(g, next);
    struct digest digest = hash_of(slice_of(next->text, next->len));
    bool is_same = memcmp(&digest, &g->tried, sizeof digest) == 0;
    bool is_good =
        result == PORT_OK && !is_same
        && grants_read(slice_of(next->text, next->len), &next->grants, &fault) == GRANTS_OK;
    g->tried = digest;
    if (is_good) {
        free(g->now.text);
        g->now = *next;
    } else {
        free(next->text);
        if (!is_same && result != PORT_NOT_FOUND) {
            g->refused++;
            (void)fprintf(stderr, "gateway %s keeps the grants it has: %s:%u:%u: %s\n", g->who,
                          g->path, (unsigned)fault.line, (unsigned)fault.column, fault.what);
        }
    }
    free(next);
    return is_good;
}

static void watch(struct gateway_grants *g)
{
    if (g->watch == NULL && port_watch(g->port, g->path, g, &g->watch) != PORT_OK) {
        g->watch = NULL; /* control has not written it yet */
    }
}

/* Its folder, which must be there when the role gives up its rights, even where control has not
 * come so far. */
static void make_folder(struct gateway_grants *g)
{
    char folder[512];
    const char *slash = strrchr(g->path, '/');
    int len = slash != NULL ? (int)(slash - g->path) : 0;
    if (len > 0 && snprintf(folder, sizeof folder, "%.*s", len, g->path) < (int)sizeof folder) {
        (void)!port_folder_make(g->port, folder);
    }
}

struct gateway_grants *gateway_grants_open(struct port *port, const char *path, const char *who)
{
    if (path == NULL) {
        return NULL;
    }
    struct gateway_grants *g = calloc(1, sizeof *g);
    INVARIANT(g != NULL);
    g->port = port;
    g->path = path;
    g->who = who;
    make_folder(g);
    watch(g); /* before it is read: what is written between the two is told */
    (void)take_file(g);
    return g;
}

void gateway_grants_close(struct gateway_grants *g)
{
    if (g == NULL) {
        return;
    }
    if (g->watch != NULL) {
        port_watch_free(g->watch);
    }
    free(g->now.text);
    free(g);
}

bool gateway_grants_refresh(struct gateway_grants *g)
{
    if (g == NULL) {
        return false;
    }
    uint64_t now_ms = port_now_ms(g->port);
    if (g->watch != NULL && now_ms < g->due_ms) {
        return false;
    }
    g->due_ms = now_ms + LOOK_MS;
    watch(g);
    return take_file(g);
}

bool gateway_grants_event(struct gateway_grants *g, const struct port_event *ev, bool *changed)
{
    *changed = false;
    if (g == NULL || ev->user != g) {
        return false;
    }
    if (ev->kind == PORT_CHANGED) {
        *changed = take_file(g);
    }
    return true;
}

const struct grant *gateway_grants_find(const struct gateway_grants *g,
                                        struct slice name,
                                        const struct digest *key)
{
    const struct grant *grant = g != NULL ? grants_find(&g->now.grants, name) : NULL;
    return grant != NULL && grant_has_key(grant, key) ? grant : NULL;
}

const struct grant *gateway_grants_of(const struct gateway_grants *g, const struct device_id *owner)
{
    for (uint32_t i = 0; g != NULL && i < g->now.grants.count; i++) {
        struct device_id id = identity_application_id(g->now.grants.list[i].name);
        if (device_id_equal(&id, owner)) {
            return &g->now.grants.list[i];
        }
    }
    return NULL;
}

uint64_t gateway_grants_number(const struct gateway_grants *g)
{
    return g != NULL ? g->now.grants.number : 0;
}

uint64_t gateway_grants_refused(const struct gateway_grants *g)
{
    return g != NULL ? g->refused : 0;
}
