/* io/replace: the file is the old one or the new one, whole; once it is said to be new, it is. */
#include "io/replace.h"

#include "durable.h"
#include "io/read_all.h"

#include <string.h>

enum { VERSIONS = 5, LEN = 1700, PATH_COUNT = 1 };

struct replacing {
    uint8_t stored; /* the newest version that was said to be there; 0: none */
    uint8_t tried;
};

static const char path[] = "folder/file";

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

/* Each version has a length of its own, some shorter than the one before. */
static struct slice text_of(uint8_t version, uint8_t bytes[LEN])
{
    memset(bytes, version, LEN);
    return slice_of(bytes, (size_t)LEN - version * (version % 2 == 0 ? 300u : 20u));
}

static void scenario(void *context, struct sim_world *world)
{
    struct replacing *r = context;
    struct port *port = sim_start(world, CUTS_MACHINE, on_event, NULL);
    uint8_t bytes[LEN];
    bool ok = port_dir_make(port, "folder") == PORT_OK && port_dir_sync(port, ".") == PORT_OK;
    for (uint8_t version = 1; ok && version <= VERSIONS; version++) {
        r->tried = version;
        ok = port_file_replace(port, path, text_of(version, bytes)) == PORT_OK;
        if (ok) {
            r->stored = version;
        }
    }
    port_close_all(port);
}

/* The version that is there; 0: none, UINT8_MAX: something else. */
static uint8_t version_of(struct port *port)
{
    uint8_t want[LEN];
    uint8_t bytes[LEN];
    size_t len = 0;
    enum port_result result = port_file_read_all(port, path, bytes, sizeof bytes, &len);
    if (result != PORT_OK || len == 0) {
        return result == PORT_NOT_FOUND ? 0 : UINT8_MAX;
    }
    return slice_equal(slice_of(bytes, len), text_of(bytes[0], want)) ? bytes[0] : UINT8_MAX;
}

static enum verdict recover(void *context, struct sim_world *world)
{
    const struct replacing *r = context;
    struct port *port = sim_start(world, CUTS_MACHINE, on_event, NULL);
    uint8_t bytes[LEN];
    uint8_t version = version_of(port);
    bool ok = version >= r->stored && version <= r->tried;
    /* It can go on from whatever is left, also beside a half-made new file. */
    ok = ok
         && (r->tried == 0
             || (port_dir_make(port, "folder") == PORT_OK
                 && port_file_replace(port, path, text_of(r->tried, bytes)) == PORT_OK
                 && version_of(port) == r->tried));
    port_close_all(port);
    return ok ? KEPT : BROKEN;
}

static uint64_t promised(void *context)
{
    const struct replacing *r = context;
    return r->stored;
}

const struct durable durable_replace = {
    .name = "replace",
    .context_len = sizeof(struct replacing),
    .scenario = scenario,
    .recover = recover,
    .promised = promised,
    .seeded = 8,
};
