/*
 * The n-th call that the journal makes fails, n = 1, 2, ... until a run is clean; once only that
 * call, once all from then on; once as an error, once as a full disk. The linker puts these
 * wrappers before the posix port.
 */
#include "base/rng.h"
#include "io/bus.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    unsigned calls;
    unsigned fail_at; /* 0: never */
    bool for_ever;
    enum port_result how;
} fault;

static bool fails(void)
{
    fault.calls++;
    return fault.fail_at != 0
           && (fault.calls == fault.fail_at || (fault.for_ever && fault.calls > fault.fail_at));
}

#define WRAPPED(name, params, args)                                                                \
    enum port_result __real_##name params;                                                         \
    enum port_result __wrap_##name params;                                                         \
    enum port_result __wrap_##name params                                                          \
    {                                                                                              \
        return fails() ? fault.how : __real_##name args;                                           \
    }

WRAPPED(port_file_open,
        (struct port * port, const char *path, unsigned flags, struct port_file **out),
        (port, path, flags, out))
WRAPPED(port_file_size, (struct port_file * file, uint64_t *size), (file, size))
WRAPPED(port_file_read,
        (struct port_file * file, uint64_t offset, void *to, size_t len, size_t *got),
        (file, offset, to, len, got))
WRAPPED(port_file_sync, (struct port_file * file), (file))
WRAPPED(port_file_sync_begin, (struct port_file * file, void *user), (file, user))
WRAPPED(port_rename, (struct port * port, const char *from, const char *to), (port, from, to))
WRAPPED(port_unlink, (struct port * port, const char *path), (port, path))
WRAPPED(port_dir_make, (struct port * port, const char *path), (port, path))
WRAPPED(port_dir_sync, (struct port * port, const char *path), (port, path))
WRAPPED(port_dir_list,
        (struct port * port,
         const char *path,
         void (*each)(void *context, const char *name),
         void *context),
        (port, path, each, context))

enum port_result __real_port_file_write(struct port_file *file,
                                        uint64_t offset,
                                        struct slice bytes);
enum port_result __wrap_port_file_write(struct port_file *file,
                                        uint64_t offset,
                                        struct slice bytes);

/* A write that fails leaves half of its bytes behind. */
enum port_result __wrap_port_file_write(struct port_file *file, uint64_t offset, struct slice bytes)
{
    if (fails()) {
        bytes.len /= 2;
        (void)__real_port_file_write(file, offset, bytes);
        return fault.how;
    }
    return __real_port_file_write(file, offset, bytes);
}

/* No power is cut here, so the many syncs need no disk: memory will do where there is such a
 * folder. */
__attribute__((constructor)) static void use_memory(void)
{
    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0);
    }
}

static const struct bus_limits small = {
    .segment_bytes = 2048, .budget_bytes = 8192, .record_max = 500, .batch_max = 1200};

struct run {
    struct port *port;
    char dir[300];
    struct bus_writer *bus;
    struct bus_reader *reader;
    uint64_t staged;  /* records */
    uint64_t durable; /* of these, the first so many were reported durable */
    bus_position ends[200];
    uint64_t read;
    bus_position cursor;
    bool broke;
};

static void on_event(void *role, const struct port_event *ev)
{
    struct run *run = role;
    if (ev->kind == PORT_SYNCED && ev->user == run->bus) {
        enum port_result result = fails() ? PORT_FAILED : ev->synced.result;
        bus_position before = bus_durable(run->bus);
        if (bus_synced(run->bus, result) != BUS_OK) {
            run->broke = true;
        }
        if (result
            != PORT_OK) { /* the bytes may be readable still: only saying so keeps the promise */
            CHECK(run->broke);
            CHECK_U64(bus_durable(run->bus), before);
        }
        port_stop(run->port);
    }
}

static void note_durable(struct run *run)
{
    while (run->durable < run->staged && run->ends[run->durable] <= bus_durable(run->bus)) {
        run->durable++;
    }
}

static bool commit(struct run *run)
{
    for (int tries = 0; bus_durable(run->bus) < bus_staged(run->bus); tries++) {
        enum bus_result result = bus_flush(run->bus);
        if (run->broke || (result != BUS_OK && result != BUS_FULL) || tries > 20) {
            return false;
        }
        if (result == BUS_OK) {
            port_run(run->port);
        }
        if (run->broke) {
            return false;
        }
        note_durable(run);
    }
    return true;
}

static struct slice record_of(uint64_t i, uint8_t bytes[500])
{
    struct rng rng = rng_from_seed(i);
    size_t len = 8 + (size_t)rng_below(&rng, 400);
    memset(bytes, (int)i, len);
    memcpy(bytes, &i, sizeof i);
    return slice_of(bytes, len);
}

static bool read_on(struct run *run)
{
    struct slice record;
    bus_position next;
    uint8_t bytes[500];
    enum bus_result result;
    while ((result = bus_next(run->reader, &record, &next)) == BUS_OK) {
        CHECK(slice_equal(record, record_of(run->read, bytes)));
        run->read++;
        run->cursor = next;
        CHECK(run->read <= run->durable);
    }
    return result == BUS_END && bus_reader_ack(run->reader, "r", run->cursor) == BUS_OK
           && bus_retain_from(run->bus, bus_acked(run->bus)) == BUS_OK;
}

/* Fills segments, reads, acks, retains; false at the first call that does not succeed. */
static bool work(struct run *run)
{
    struct port_why why;
    if (bus_writer_open(run->port, run->dir, &small, &run->bus, &why) != BUS_OK) {
        CHECK(why.text[0] != '\0');
        return false;
    }
    if (bus_reader_open(run->port, run->dir, run->cursor, run, &run->reader, &why) != BUS_OK) {
        return false;
    }
    for (int i = 0; i < 40; i++) {
        uint8_t bytes[500];
        bus_position end;
        enum bus_result result = bus_publish(run->bus, record_of(run->staged, bytes), &end);
        if (result == BUS_FULL) {
            if (!commit(run) || !read_on(run)) {
                return false;
            }
            result = bus_publish(run->bus, record_of(run->staged, bytes), &end);
        }
        if (result != BUS_OK) {
            return false;
        }
        run->ends[run->staged++] = end;
        if (i % 3 == 0 && !commit(run)) {
            return false;
        }
        if (i % 7 == 0 && !read_on(run)) {
            return false;
        }
    }
    return commit(run) && read_on(run);
}

/* The role stops at a failure and is started again on what is there. */
static void stop(struct run *run)
{
    if (run->broke) {
        uint8_t bytes[500];
        bus_position end;
        CHECK_U64(bus_publish(run->bus, record_of(0, bytes), &end), BUS_BROKEN);
        CHECK_U64(bus_flush(run->bus), BUS_BROKEN);
        CHECK(bus_why(run->bus)[0] != '\0');
    }
    bus_writer_close(run->bus);
    bus_reader_close(run->reader);
    run->bus = NULL;
    run->reader = NULL;
    run->broke = false;
    port_close_all(run->port);
}

static bool one_run(unsigned n, bool for_ever, enum port_result how)
{
    struct run run = {0};
    (void)snprintf(run.dir, sizeof run.dir, "%s/%u-%d-%d", test_scratch_dir(), n, for_ever,
                   (int)how);
    run.port = port_open(on_event, &run);
    fault.calls = 0;
    fault.fail_at = n;
    fault.for_ever = for_ever;
    fault.how = how;
    bool clean = work(&run);
    bool reached = fault.calls >= n;
    fault.fail_at = 0;
    if (!reached) {
        CHECK(clean);
    }
    stop(&run);

    /* What was staged and not reported may be there or not; the numbers then go on from what is. */
    struct port_why why = {""};
    run.port = port_open(on_event, &run);
    if (bus_writer_open(run.port, run.dir, &small, &run.bus, &why) != BUS_OK) {
        test_failed(__FILE__, __LINE__, "n = %u: %s", n, why.text);
        port_close_all(run.port);
        return reached;
    }
    uint64_t kept = run.durable;
    while (kept < run.staged && run.ends[kept] <= bus_durable(run.bus)) {
        kept++;
    }
    CHECK(run.durable == 0 || bus_durable(run.bus) >= run.ends[run.durable - 1]);
    CHECK_U64(bus_durable(run.bus), kept == 0 ? 0 : run.ends[kept - 1]);
    run.durable = kept;
    run.staged = kept;
    CHECK(bus_reader_open(run.port, run.dir, run.cursor, &run, &run.reader, &why) == BUS_OK);
    CHECK(run.reader != NULL && read_on(&run));
    CHECK_U64(run.read, kept);
    bus_reader_close(run.reader);
    bus_writer_close(run.bus);
    run.reader = NULL;
    run.bus = NULL;
    CHECK(work(&run));
    CHECK_U64(run.read, kept + 40);
    stop(&run);
    return reached;
}

static void all_runs(bool for_ever, enum port_result how)
{
    unsigned n = 1;
    while (one_run(n, for_ever, how)) {
        n++;
    }
    printf("  %u calls failed in turn\n", n - 1);
    CHECK(n > 150);
}

TEST("whichever call fails once, nothing reported durable is lost and the journal opens again")
{
    all_runs(false, PORT_FAILED);
}

TEST("whichever call all fail from, nothing reported durable is lost and the journal opens again")
{
    all_runs(true, PORT_FAILED);
}

TEST("wherever the disk is full once, nothing reported durable is lost and the journal opens again")
{
    all_runs(false, PORT_NO_SPACE);
}

TEST("wherever the disk becomes full for good, nothing reported durable is lost")
{
    all_runs(true, PORT_NO_SPACE);
}
