#include "role/trace.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A core of one number. */
struct counter {
    uint64_t sum;
};
struct added {
    uint64_t by;
};
static const struct trace_field state_fields[] = {
    TRACE_FIELD(struct counter, sum, TRACE_UINT, UINT64_MAX)};
static const struct trace_field event_fields[] = {
    TRACE_FIELD(struct added, by, TRACE_UINT, UINT64_MAX)};
static const struct trace_shape state_shape = {
    .fields = state_fields, .count = 1, .image_len = sizeof(struct counter)};
static const struct trace_shape event_shape = {
    .fields = event_fields, .count = 1, .image_len = sizeof(struct added)};

static void save(const void *core, void *image, struct writer *bytes)
{
    (void)bytes;
    memcpy(image, core, sizeof(struct counter));
}

static const struct trace_core counter_core = {
    .name = "counter", .state = &state_shape, .event = &event_shape, .save = save};

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static void add(struct trace *t, struct counter *c, uint32_t *mark, uint64_t by)
{
    const struct recorder_head state = {.image_len = sizeof *c, .what = RECORDER_STATE};
    const struct recorder_head event = {.image_len = sizeof(struct added), .what = RECORDER_EVENT};
    trace_at(t, 0, 0, c);
    REQUIRE(recorder_make_room(&t->recorder, mark, sizeof *c, sizeof by));
    if (!recorder_knows(&t->recorder, mark)) {
        *mark = t->recorder.turn;
        memcpy(recorder_put(&t->recorder, state), c, sizeof *c);
    }
    memcpy(recorder_put(&t->recorder, event), &by, sizeof by);
    (void)HOLDS(by != 13);
    (void)promise_holds(PROMISE_BOUNDED_COST, by != 14);
    (void)HOLDS(promise_holds(PROMISE_GATE_HOLDS, by != 15));
    c->sum += by;
    trace_left(t);
}

struct bench {
    struct port *port;
    struct trace *trace;
    struct counter counter;
    uint32_t mark;
    char dir[512];
};

static void begin(struct bench *b)
{
    memset(b, 0, sizeof *b);
    test_breaks_invariants();
    (void)snprintf(b->dir, sizeof b->dir, "%s/traces", test_scratch_dir());
    b->port = port_open(ignore, NULL);
    b->trace = trace_start(b->port, "tester", b->dir, &counter_core, 1, 4096);
}

static void again(struct bench *b)
{
    trace_stop(b->trace);
    b->mark = 0;
    b->trace = trace_start(b->port, "tester", b->dir, &counter_core, 1, 4096);
}

static void end(struct bench *b)
{
    trace_stop(b->trace);
    port_close_all(b->port);
}

static size_t read_newest(const struct bench *b, uint8_t *to, size_t cap)
{
    char path[700];
    (void)snprintf(path, sizeof path, "%s/%s", b->dir, b->trace->names[b->trace->kept - 1]);
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        return 0;
    }
    size_t len = fread(to, 1, cap, in);
    struct stat st;
    CHECK(fstat(fileno(in), &st) == 0 && (st.st_mode & 0777) == 0600);
    (void)fclose(in);
    return len;
}

TEST("a breach that only counts is written when its step is over, with the state it left")
{
    struct bench b;
    static uint8_t file[8192];
    struct trace_reader r;
    struct trace_head head;
    struct trace_entry entry;
    struct slice body;
    struct counter last;
    begin(&b);
    REQUIRE(b.trace != NULL);
    add(b.trace, &b.counter, &b.mark, 1);
    struct stat st;
    CHECK(stat(b.dir, &st) != 0); /* nothing is made where nothing broke */
    add(b.trace, &b.counter, &b.mark, 13);
    add(b.trace, &b.counter, &b.mark, 2);
    CHECK_U64(b.trace->written, 1);
    size_t len = read_newest(&b, file, sizeof file);
    REQUIRE(trace_open(&r, slice_of(file, len), &head));
    CHECK(slice_is_text(head.role, "tester"));
    CHECK(slice_is_text(head.breach.text, "by != 13"));
    CHECK(slice_is_text(head.breach.file, "src/role/trace_test.c"));
    CHECK(head.has_at && head.at_core == 0 && head.at_instance == 0);
    CHECK_U64(head.entries, 3);
    CHECK_U64(head.layouts[0], trace_layout(&counter_core));
    while (trace_next(&r, &entry)) {
    }
    struct writer none = writer_over(NULL, 0);
    REQUIRE(trace_end(&r, &body) && trace_image_read(body, &state_shape, &last, &none));
    CHECK_U64(last.sum, 14);
    end(&b);
}

TEST("a promise is named in the file and in its name, with its place where it has one")
{
    struct bench b;
    static uint8_t file[8192];
    struct trace_reader r;
    struct trace_head head;
    begin(&b);
    REQUIRE(b.trace != NULL);
    add(b.trace, &b.counter, &b.mark, 14);
    size_t len = read_newest(&b, file, sizeof file);
    REQUIRE(trace_open(&r, slice_of(file, len), &head));
    CHECK(slice_is_text(head.breach.promise, "BoundedCost"));
    CHECK_U64(head.breach.line, 0);
    add(b.trace, &b.counter, &b.mark, 15);
    len = read_newest(&b, file, sizeof file);
    REQUIRE(trace_open(&r, slice_of(file, len), &head));
    CHECK(slice_is_text(head.breach.promise, "GateHolds"));
    CHECK(head.breach.line > 0);
    CHECK(strncmp(b.trace->names[1], "tester-GateHolds-", 17) == 0);
    CHECK_U64(b.trace->written, 2);
    end(&b);
}

TEST("two traces of one kind are kept and eight in all, whoever wrote them and how often it ends")
{
    struct bench b;
    begin(&b);
    REQUIRE(b.trace != NULL);
    for (int i = 0; i < 4; i++) {
        char name[700];
        add(b.trace, &b.counter, &b.mark, 13);
        again(&b);
        CHECK_U64(b.trace->kept, i == 0 ? 1 : i + 1 < 2 ? i + 1 : 2);
        (void)snprintf(name, sizeof name, "%s/other-%d.txt", b.dir, i);
        FILE *other = fopen(name, "w"); /* no trace: does not count */
        CHECK(other != NULL && fclose(other) == 0);
    }
    for (int i = 0; i < 9; i++) {
        char name[700];
        (void)snprintf(name, sizeof name, "%s/older-%d%s", b.dir, i, TRACE_SUFFIX);
        FILE *old = fopen(name, "w");
        CHECK(old != NULL && fclose(old) == 0);
    }
    again(&b);
    CHECK_U64(b.trace->kept, 11);
    add(b.trace, &b.counter, &b.mark, 14);
    CHECK_U64(b.trace->written, 0);
    CHECK_U64(b.trace->failed, 1);
    end(&b);
}
