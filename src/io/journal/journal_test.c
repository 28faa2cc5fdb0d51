#include "base/rng.h"
#include "io/journal/format.h"
#include "test/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One process that plays both: a writer, and readers of what it wrote. */
struct rig {
    struct port *port;
    struct bus_writer *bus;
    char dir[300];
    unsigned changes;
    struct port_why why;
};

static const struct bus_limits small = {
    .segment_bytes = 4096, .budget_bytes = 1 << 20, .record_max = 1000, .batch_max = 2000};

static void on_event(void *role, const struct port_event *ev)
{
    struct rig *rig = role;
    if (ev->kind == PORT_SYNCED && ev->user == rig->bus) {
        CHECK(bus_synced(rig->bus, ev->synced.result) == BUS_OK);
        port_stop(rig->port);
    }
    if (ev->kind == PORT_CHANGED) {
        rig->changes++;
        port_stop(rig->port);
    }
}

static enum bus_result open_writer(struct rig *rig, const struct bus_limits *limits)
{
    rig->why.text[0] = '\0';
    return bus_writer_open(rig->port, rig->dir, limits, &rig->bus, &rig->why);
}

static void set_up(struct rig *rig, const char *name)
{
    *rig = (struct rig){0};
    (void)snprintf(rig->dir, sizeof rig->dir, "%s/%s", test_scratch_dir(), name);
    rig->port = port_open(on_event, rig);
}

static void take_down(struct rig *rig)
{
    bus_writer_close(rig->bus);
    rig->bus = NULL;
    port_close_all(rig->port);
}

/* Everything staged becomes durable. */
static void commit(struct rig *rig)
{
    while (bus_durable(rig->bus) < bus_staged(rig->bus)) {
        if (bus_flush(rig->bus) != BUS_OK) {
            test_failed(__FILE__, __LINE__, "flush failed");
            return;
        }
        port_run(rig->port);
    }
}

/* Record i: its number, then bytes that follow from it; 8 to 507 bytes. */
static struct slice record_of(uint64_t i, uint8_t bytes[1000])
{
    struct rng rng = rng_from_seed(i);
    size_t len = 8 + (size_t)rng_below(&rng, 500);
    for (size_t at = 0; at < len; at++) {
        bytes[at] = (uint8_t)rng_u64(&rng);
    }
    for (size_t at = 0; at < 8; at++) {
        bytes[at] = (uint8_t)(i >> (56 - 8 * at));
    }
    return slice_of(bytes, len);
}

static void append(struct rig *rig, uint64_t from, uint64_t to)
{
    uint8_t bytes[1000];
    for (uint64_t i = from; i < to; i++) {
        bus_position position = 0;
        enum bus_result result = bus_publish(rig->bus, record_of(i, bytes), &position);
        if (result == BUS_FULL) {
            commit(rig);
            result = bus_publish(rig->bus, record_of(i, bytes), &position);
        }
        if (result != BUS_OK) {
            CHECK_U64(result, BUS_OK);
            return;
        }
        CHECK_U64(position, bus_staged(rig->bus));
    }
    commit(rig);
}

/* Reads from `cursor` on and holds every record against record_of(first ...); the number behind the
 * last. */
static uint64_t read_all(struct rig *rig, bus_position *cursor, uint64_t first)
{
    struct bus_reader *reader = NULL;
    if (bus_reader_open(rig->port, rig->dir, *cursor, rig, &reader, &rig->why) != BUS_OK) {
        test_failed(__FILE__, __LINE__, "the reader does not open: %s", rig->why.text);
        return first;
    }
    struct slice record;
    enum bus_result result;
    uint8_t bytes[1000];
    while ((result = bus_next(reader, &record, cursor)) == BUS_OK) {
        CHECK(slice_equal(record, record_of(first, bytes)));
        first++;
    }
    CHECK_U64(result, BUS_END);
    CHECK_U64(bus_reader_lag(reader), 0);
    bus_reader_close(reader);
    return first;
}

static uint64_t read_from_start(struct rig *rig)
{
    bus_position cursor = 0;
    return read_all(rig, &cursor, 0);
}

static int open_raw(const struct rig *rig, const char *name)
{
    return open(journal_path_of(rig->dir, name).text, O_RDWR);
}

static void poke(const struct rig *rig, const char *name, off_t at, const void *bytes, size_t len)
{
    int fd = open_raw(rig, name);
    CHECK(fd >= 0);
    CHECK(pwrite(fd, bytes, len, at) == (ssize_t)len);
    (void)close(fd);
}

TEST("records come back in order, whole and once, across many segments and restarts")
{
    struct rig rig;
    set_up(&rig, "bus");
    bus_position cursor = 0;
    for (uint64_t round = 0; round < 5; round++) {
        REQUIRE(open_writer(&rig, &small) == BUS_OK);
        append(&rig, round * 40, round * 40 + 40);
        CHECK_U64(read_all(&rig, &cursor, round * 40), round * 40 + 40);
        CHECK_U64(cursor, bus_durable(rig.bus));
        bus_writer_close(rig.bus);
        rig.bus = NULL;
    }
    CHECK_U64(read_from_start(&rig), 200);
    take_down(&rig);
}

TEST("an empty record and one of the greatest length are records like others")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    static uint8_t bytes[1001];
    memset(bytes, 7, sizeof bytes);
    bus_position position;
    CHECK_U64(bus_publish(rig.bus, slice_of(bytes, 1001), &position), BUS_TOO_LONG);
    CHECK_U64(bus_publish(rig.bus, slice_of(bytes, 0), &position), BUS_OK);
    CHECK_U64(bus_publish(rig.bus, slice_of(bytes, 1000), &position), BUS_OK);
    commit(&rig);
    struct bus_reader *reader = NULL;
    REQUIRE(bus_reader_open(rig.port, rig.dir, 0, &rig, &reader, &rig.why) == BUS_OK);
    struct slice record;
    CHECK_U64(bus_next(reader, &record, &position), BUS_OK);
    CHECK_U64(record.len, 0);
    CHECK_U64(bus_next(reader, &record, &position), BUS_OK);
    CHECK(slice_equal(record, slice_of(bytes, 1000)));
    CHECK_U64(bus_next(reader, &record, &position), BUS_END);
    bus_reader_close(reader);
    take_down(&rig);
}

TEST("a record longer than what is read ahead comes back whole")
{
    struct rig rig;
    set_up(&rig, "bus");
    struct bus_limits limits = {.segment_bytes = 4 << 20,
                                .budget_bytes = 16 << 20,
                                .record_max = 1 << 20,
                                .batch_max = 2 << 20};
    REQUIRE(open_writer(&rig, &limits) == BUS_OK);
    uint8_t *bytes = malloc(1 << 20);
    bus_position position;
    for (int i = 0; i < 9; i++) {
        memset(bytes, i, 1 << 20);
        CHECK_U64(bus_publish(rig.bus, slice_of(bytes, (1 << 20) - (size_t)i), &position), BUS_OK);
        commit(&rig);
    }
    struct bus_reader *reader = NULL;
    REQUIRE(bus_reader_open(rig.port, rig.dir, 0, &rig, &reader, &rig.why) == BUS_OK);
    struct slice record;
    for (int i = 0; i < 9; i++) {
        memset(bytes, i, 1 << 20);
        CHECK_U64(bus_next(reader, &record, &position), BUS_OK);
        CHECK(slice_equal(record, slice_of(bytes, (1 << 20) - (size_t)i)));
    }
    CHECK_U64(bus_next(reader, &record, &position), BUS_END);
    free(bytes);
    bus_reader_close(reader);
    take_down(&rig);
}

TEST("a reader never sees a record before it is durable, and is woken when it is")
{
    struct rig rig;
    set_up(&rig, "bus");
    struct bus_reader *reader = NULL;
    CHECK_U64(bus_reader_open(rig.port, rig.dir, 0, &rig, &reader, &rig.why), BUS_END);
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    REQUIRE(bus_reader_open(rig.port, rig.dir, 0, &rig, &reader, &rig.why) == BUS_OK);
    bus_position position;
    struct slice record;
    CHECK_U64(bus_publish(rig.bus, slice_text("one"), &position), BUS_OK);
    CHECK_U64(bus_next(reader, &record, &position), BUS_END);
    CHECK_U64(bus_flush(rig.bus), BUS_OK);
    CHECK_U64(bus_next(reader, &record, &position), BUS_END);
    while (bus_durable(rig.bus) < bus_staged(rig.bus)) {
        port_run(rig.port);
    }
    while (rig.changes == 0) {
        port_run(rig.port);
    }
    CHECK_U64(bus_reader_lag(reader), JOURNAL_RECORD_LEN + 3);
    CHECK_U64(bus_next(reader, &record, &position), BUS_OK);
    CHECK(slice_is_text(record, "one"));
    bus_reader_close(reader);
    take_down(&rig);
}

TEST("what is published while a sync is under way becomes one batch, and a full batch pushes back")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    bus_position position;
    uint8_t bytes[488] = {1};
    CHECK_U64(bus_publish(rig.bus, slice_of(bytes, sizeof bytes), &position), BUS_OK);
    CHECK_U64(bus_flush(rig.bus), BUS_OK);
    for (int i = 0; i < 4; i++) {
        CHECK_U64(bus_publish(rig.bus, slice_of(bytes, sizeof bytes), &position), BUS_OK);
        CHECK_U64(bus_flush(rig.bus), BUS_OK);
    }
    bus_position staged = bus_staged(rig.bus);
    CHECK_U64(bus_publish(rig.bus, slice_of(bytes, sizeof bytes), &position), BUS_FULL);
    CHECK_U64(bus_staged(rig.bus), staged);
    CHECK_U64(bus_durable(rig.bus), 0);
    while (bus_durable(rig.bus) == 0) {
        port_run(rig.port);
    }
    CHECK_U64(bus_durable(rig.bus), 500);
    CHECK_U64(bus_flush(rig.bus), BUS_OK);
    while (bus_durable(rig.bus) == 500) {
        port_run(rig.port);
    }
    CHECK_U64(bus_durable(rig.bus), 2500);
    take_down(&rig);
}

TEST("a second writer is refused while the first one lives")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    struct bus_writer *second = NULL;
    CHECK_U64(bus_writer_open(rig.port, rig.dir, &small, &second, &rig.why), BUS_BROKEN);
    CHECK(second == NULL);
    CHECK(strstr(rig.why.text, "lock") != NULL);
    take_down(&rig);
}

TEST("limits that cannot work are refused with the reason")
{
    struct rig rig;
    set_up(&rig, "bus");
    struct bus_limits bad[] = {small, small, small, small};
    bad[0].record_max = JOURNAL_RECORD_MAX + (size_t)1;
    bad[1].batch_max = bad[1].record_max;
    bad[2].segment_bytes = bad[2].batch_max;
    bad[3].budget_bytes = bad[3].segment_bytes;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK_U64(open_writer(&rig, &bad[i]), BUS_BROKEN);
        CHECK(strstr(rig.why.text, "budget") != NULL);
    }
    take_down(&rig);
}

TEST("a torn tail is cut, and nothing of it comes back later")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    append(&rig, 0, 3);
    bus_position end = bus_durable(rig.bus);
    bus_position position;
    uint8_t bytes[1000];
    for (uint64_t i = 3; i < 6; i++) {
        CHECK_U64(bus_publish(rig.bus, record_of(i, bytes), &position), BUS_OK);
    }
    CHECK_U64(bus_flush(rig.bus), BUS_OK);
    bus_writer_close(rig.bus); /* written, never told of */
    rig.bus = NULL;
    uint8_t wrong = 0xff;
    poke(&rig, "0000000000000000.seg", (off_t)(JOURNAL_HEADER_LEN + end + 20), &wrong, 1);
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    CHECK_U64(bus_durable(rig.bus), end);
    CHECK_U64(read_from_start(&rig), 3);
    /* The same record again: were the old ones behind it still there, they would follow it now. */
    CHECK_U64(bus_publish(rig.bus, record_of(3, bytes), &position), BUS_OK);
    commit(&rig);
    bus_writer_close(rig.bus);
    rig.bus = NULL;
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    CHECK_U64(read_from_start(&rig), 4);
    take_down(&rig);
}

TEST("whole records that nobody was told of are kept, and durable once the writer is open")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    append(&rig, 0, 3);
    bus_position position;
    uint8_t bytes[1000];
    CHECK_U64(bus_publish(rig.bus, record_of(3, bytes), &position), BUS_OK);
    CHECK_U64(bus_flush(rig.bus), BUS_OK);
    bus_writer_close(rig.bus);
    rig.bus = NULL;
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    CHECK_U64(bus_durable(rig.bus), position);
    CHECK_U64(read_from_start(&rig), 4);
    take_down(&rig);
}

TEST("damage of what had been durable is told from a torn tail, with its place")
{
    for (int mark_is_lost = 0; mark_is_lost < 2; mark_is_lost++) {
        struct rig rig;
        set_up(&rig, mark_is_lost ? "without-mark" : "with-mark");
        REQUIRE(open_writer(&rig, &small) == BUS_OK);
        append(&rig, 0, 1);
        bus_position first = bus_durable(rig.bus);
        append(&rig, 1, 2);
        append(&rig, 2, 3);
        bus_writer_close(rig.bus);
        rig.bus = NULL;
        uint8_t wrong[4] = {0};
        poke(&rig, "0000000000000000.seg", (off_t)(JOURNAL_HEADER_LEN + first), wrong, 4);
        if (mark_is_lost) {
            poke(&rig, "mark", 0, wrong, 4);
        }
        CHECK_U64(open_writer(&rig, &small), BUS_BROKEN);
        char place[64];
        (void)snprintf(place, sizeof place, "position %llu", (unsigned long long)first);
        CHECK(strstr(rig.why.text, place) != NULL);
        CHECK(strstr(rig.why.text, mark_is_lost ? "batch written later" : "mark") != NULL);
        take_down(&rig);
    }
}

TEST("a payload that looks like a later record does not turn a torn tail into damage")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    append(&rig, 0, 3);
    bus_position end = bus_durable(rig.bus);
    /* The sender knows where its record will lie, and all but the salt. */
    uint8_t bytes[600] = {0};
    journal_record_encode(journal_record_seed(0, end + 112), 0, slice_of(bytes + 112, 50),
                          bytes + 100);
    bus_position position;
    CHECK_U64(bus_publish(rig.bus, slice_of(bytes, sizeof bytes), &position), BUS_OK);
    CHECK_U64(bus_flush(rig.bus), BUS_OK);
    bus_writer_close(rig.bus);
    rig.bus = NULL;
    uint8_t wrong = 0xff;
    poke(&rig, "0000000000000000.seg", (off_t)(JOURNAL_HEADER_LEN + end), &wrong, 1);
    CHECK_U64(open_writer(&rig, &small), BUS_OK);
    CHECK_U64(read_from_start(&rig), 3);
    take_down(&rig);
}

TEST("a reader that meets damage in an old segment says where and does not go on")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    append(&rig, 0, 100);
    uint8_t wrong[4] = {9, 9, 9, 9};
    poke(&rig, "0000000000000000.seg", JOURNAL_HEADER_LEN + 40, wrong, 4);
    struct bus_reader *reader = NULL;
    REQUIRE(bus_reader_open(rig.port, rig.dir, 0, &rig, &reader, &rig.why) == BUS_OK);
    struct slice record;
    bus_position next;
    CHECK_U64(bus_next(reader, &record, &next), BUS_BROKEN);
    CHECK(strstr(bus_reader_why(reader), "position 0") != NULL);
    CHECK_U64(bus_next(reader, &record, &next), BUS_BROKEN);
    bus_reader_close(reader);
    take_down(&rig);
}

TEST("a lost segment between two others is damage to the reader, not an end")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    append(&rig, 0, 15);
    bus_position second = 0;
    while (access(journal_segment_path(rig.dir, second).text, F_OK) != 0 || second == 0) {
        second++;
    }
    append(&rig, 15, 60);
    CHECK(unlink(journal_segment_path(rig.dir, second).text) == 0);
    struct bus_reader *reader = NULL;
    REQUIRE(bus_reader_open(rig.port, rig.dir, 0, &rig, &reader, &rig.why) == BUS_OK);
    struct slice record;
    bus_position next;
    enum bus_result result;
    while ((result = bus_next(reader, &record, &next)) == BUS_OK) {
    }
    CHECK_U64(result, BUS_BROKEN);
    CHECK_U64(next, second);
    bus_reader_close(reader);
    take_down(&rig);
}

TEST(
    "a full budget pushes back, stages nothing, and ends when readers have acked and segments went")
{
    struct rig rig;
    set_up(&rig, "bus");
    struct bus_limits limits = small;
    limits.budget_bytes = 3 * 4096;
    REQUIRE(open_writer(&rig, &limits) == BUS_OK);
    struct bus_reader *reader = NULL;
    REQUIRE(bus_reader_open(rig.port, rig.dir, 0, &rig, &reader, &rig.why) == BUS_OK);
    uint64_t written = 0;
    uint64_t read = 0;
    uint8_t bytes[1000];
    struct slice record;
    bus_position cursor = 0;
    for (int round = 0; round < 20; round++) {
        enum bus_result result;
        bus_position position;
        bus_position staged = bus_staged(rig.bus);
        while ((result = bus_publish(rig.bus, record_of(written, bytes), &position)) == BUS_OK) {
            written++;
            staged = bus_staged(rig.bus);
            commit(&rig);
        }
        CHECK_U64(result, BUS_FULL);
        CHECK_U64(bus_staged(rig.bus), staged);
        CHECK(bus_bytes_on_disk(rig.bus) <= limits.budget_bytes);
        while ((result = bus_next(reader, &record, &cursor)) == BUS_OK) {
            CHECK(slice_equal(record, record_of(read, bytes)));
            read++;
        }
        CHECK_U64(result, BUS_END);
        CHECK_U64(read, written);
        CHECK_U64(bus_reader_ack(reader, "ingest", cursor), BUS_OK);
        CHECK_U64(bus_acked(rig.bus), cursor);
        CHECK_U64(bus_retain_from(rig.bus, bus_acked(rig.bus)), BUS_OK);
    }
    CHECK(written > 100);
    bus_reader_close(reader);
    take_down(&rig);
}

TEST("a reader goes to any record it has met, across segments and back, and not before the oldest")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    bus_position begins[200];
    uint8_t bytes[1000];
    for (uint64_t i = 0; i < COUNT_OF(begins); i++) {
        bus_position position;
        begins[i] = bus_staged(rig.bus);
        REQUIRE(bus_publish(rig.bus, record_of(i, bytes), &position) == BUS_OK);
        commit(&rig);
    }
    struct bus_reader *reader = NULL;
    REQUIRE(bus_reader_open(rig.port, rig.dir, 0, &rig, &reader, &rig.why) == BUS_OK);
    struct rng rng = rng_from_seed(7);
    for (int round = 0; round < 300; round++) {
        struct slice record;
        bus_position next;
        uint64_t i = rng_below(&rng, COUNT_OF(begins));
        REQUIRE(bus_reader_seek(reader, begins[i]) == BUS_OK);
        REQUIRE(bus_next(reader, &record, &next) == BUS_OK);
        CHECK(slice_equal(record, record_of(i, bytes)));
        CHECK(i + 1 == COUNT_OF(begins) || next == begins[i + 1]);
    }
    REQUIRE(bus_retain_from(rig.bus, begins[150]) == BUS_OK);
    CHECK_U64(bus_reader_seek(reader, begins[0]), BUS_GONE);
    CHECK_U64(bus_reader_seek(reader, begins[199]), BUS_OK);
    bus_reader_close(reader);
    take_down(&rig);
}

TEST("the slowest reader's ack counts, and an ack that cannot be read keeps everything")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    append(&rig, 0, 100);
    CHECK_U64(bus_acked(rig.bus), 0);
    struct bus_reader *reader = NULL;
    REQUIRE(bus_reader_open(rig.port, rig.dir, 0, &rig, &reader, &rig.why) == BUS_OK);
    CHECK(bus_reader_lag(reader) > 3000);
    CHECK_U64(bus_reader_ack(reader, "ingest", 3000), BUS_OK);
    CHECK_U64(bus_reader_ack(reader, "uplink-1", 2000), BUS_OK);
    CHECK_U64(bus_acked(rig.bus), 2000);
    poke(&rig, "ingest.ack", 0, "????", 4);
    CHECK_U64(bus_acked(rig.bus), 0);
    CHECK_U64(bus_reader_ack(reader, "ingest", 2500), BUS_OK);
    CHECK_U64(bus_acked(rig.bus), 2000);
    bus_reader_close(reader);
    take_down(&rig);
}

TEST("a reader whose records retention took is told so, a new one begins at the oldest")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    append(&rig, 0, 100);
    uint64_t before = bus_bytes_on_disk(rig.bus);
    struct bus_reader *slow = NULL;
    REQUIRE(bus_reader_open(rig.port, rig.dir, 0, &rig, &slow, &rig.why) == BUS_OK);
    CHECK_U64(bus_retain_from(rig.bus, 9000), BUS_OK);
    CHECK(bus_bytes_on_disk(rig.bus) < before);
    struct slice record;
    bus_position cursor = 1;
    enum bus_result result;
    while ((result = bus_next(slow, &record, &cursor)) == BUS_OK) {
    }
    CHECK_U64(result,
              BUS_GONE); /* the segment it had open was read to its end, the next one is gone */
    bus_reader_close(slow);
    CHECK_U64(bus_reader_open(rig.port, rig.dir, cursor, &rig, &slow, &rig.why), BUS_GONE);
    struct bus_reader *fresh = NULL;
    REQUIRE(bus_reader_open(rig.port, rig.dir, 0, &rig, &fresh, &rig.why) == BUS_OK);
    CHECK_U64(bus_next(fresh, &record, &cursor), BUS_OK);
    CHECK(cursor > cursor - 1 && cursor > 5000 && cursor < 10000);
    bus_reader_close(fresh);
    bus_position end = bus_durable(rig.bus);
    CHECK_U64(bus_retain_from(rig.bus, end), BUS_OK);
    bus_writer_close(rig.bus);
    rig.bus = NULL;
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    CHECK_U64(bus_durable(rig.bus), end);
    take_down(&rig);
}

static enum bus_result open_at(struct rig *rig, bus_position cursor)
{
    struct bus_reader *reader = NULL;
    enum bus_result result = bus_reader_open(rig->port, rig->dir, cursor, rig, &reader, &rig->why);
    bus_reader_close(reader);
    return result;
}

TEST("a reader is told where an older journal stands in the place of the one that it read")
{
    static const uint8_t nothing[4000];
    uint8_t mark[JOURNAL_HEADER_LEN];
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    append(&rig, 0, 3);
    bus_position older = bus_durable(rig.bus);
    int fd = open_raw(&rig, "mark");
    CHECK(pread(fd, mark, sizeof mark, 0) == (ssize_t)sizeof mark);
    (void)close(fd);
    append(&rig, 3, 6);
    bus_position cursor = bus_durable(rig.bus);
    poke(&rig, "mark", 0, mark, sizeof mark); /* as after a power cut: the records are there */
    CHECK_U64(open_at(&rig, cursor), BUS_OK);
    bus_writer_close(rig.bus);
    poke(&rig, "mark", 0, mark, sizeof mark);
    poke(&rig, "0000000000000000.seg", (off_t)(JOURNAL_HEADER_LEN + older), nothing,
         (size_t)(cursor - older));
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    CHECK_U64(bus_durable(rig.bus), older);
    CHECK_U64(open_at(&rig, older), BUS_OK);
    CHECK_U64(open_at(&rig, cursor), BUS_GONE); /* its records end before */
    CHECK(strstr(rig.why.text, "an older journal") != NULL);
    append(&rig, 20, 24);
    REQUIRE(bus_durable(rig.bus) > cursor);
    CHECK_U64(open_at(&rig, cursor), BUS_GONE); /* another lies across */
    CHECK_U64(open_at(&rig, bus_durable(rig.bus)), BUS_OK);
    poke(&rig, "0000000000000000.seg", JOURNAL_HEADER_LEN + 2, "\xa5\x5a", 2);
    CHECK_U64(open_at(&rig, bus_durable(rig.bus)), BUS_OK); /* damage of what was read is none */
    take_down(&rig);
}

TEST("a journal whose readers saw more than it holds does not open")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    append(&rig, 0, 3);
    struct bus_reader *reader = NULL;
    REQUIRE(bus_reader_open(rig.port, rig.dir, bus_durable(rig.bus), &rig, &reader, &rig.why)
            == BUS_OK);
    CHECK_U64(bus_reader_ack(reader, "ingest", bus_durable(rig.bus)), BUS_OK);
    bus_reader_close(reader);
    bus_writer_close(rig.bus);
    rig.bus = NULL;
    static const uint8_t nothing[4000];
    poke(&rig, "0000000000000000.seg", JOURNAL_HEADER_LEN, nothing, sizeof nothing);
    poke(&rig, "mark", 0, nothing, 4);
    CHECK_U64(open_writer(&rig, &small), BUS_BROKEN);
    CHECK(strstr(rig.why.text, "ingest.ack") != NULL);
    take_down(&rig);
}

TEST("a segment of another stream is not taken for one of this")
{
    struct rig one, two;
    set_up(&one, "one");
    set_up(&two, "two");
    REQUIRE(open_writer(&one, &small) == BUS_OK);
    REQUIRE(open_writer(&two, &small) == BUS_OK);
    append(&one, 0, 3);
    append(&two, 0, 3);
    bus_writer_close(one.bus);
    one.bus = NULL;
    CHECK(rename(journal_segment_path(two.dir, 0).text, journal_segment_path(one.dir, 0).text)
          == 0);
    CHECK_U64(open_writer(&one, &small), BUS_BROKEN);
    take_down(&one);
    take_down(&two);
}

TEST("a folder without its segments, or segments without their stream, do not pass for a new "
     "journal")
{
    struct rig rig;
    set_up(&rig, "bus");
    REQUIRE(open_writer(&rig, &small) == BUS_OK);
    append(&rig, 0, 3);
    bus_writer_close(rig.bus);
    rig.bus = NULL;
    struct journal_path segment = journal_segment_path(rig.dir, 0);
    struct journal_path aside = journal_path_of(rig.dir, "aside");
    CHECK(rename(segment.text, aside.text) == 0);
    CHECK_U64(open_writer(&rig, &small), BUS_BROKEN);
    CHECK(strstr(rig.why.text, "no segment left") != NULL);
    CHECK(rename(aside.text, segment.text) == 0);
    CHECK(unlink(journal_path_of(rig.dir, "stream").text) == 0);
    CHECK_U64(open_writer(&rig, &small), BUS_BROKEN);
    CHECK(strstr(rig.why.text, "`stream`") != NULL);
    take_down(&rig);
}

TEST("segments may change their length between runs")
{
    struct rig rig;
    set_up(&rig, "bus");
    uint64_t done = 0;
    static const uint64_t lengths[] = {4096, 16384, 3000, 8192};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct bus_limits limits = small;
        limits.segment_bytes = lengths[i];
        REQUIRE(open_writer(&rig, &limits) == BUS_OK);
        append(&rig, done, done + 30);
        done += 30;
        bus_writer_close(rig.bus);
        rig.bus = NULL;
    }
    CHECK_U64(read_from_start(&rig), done);
    take_down(&rig);
}
