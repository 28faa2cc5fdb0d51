/*
 * The agent's outbox between a recorded file and the gateway. Rows of the file become messages,
 * durable before they are sent; acknowledged ones leave. Wherever it ends: every row that is not
 * acknowledged is in the outbox or still to be read from the file; a row that was sent keeps the
 * number it was sent with; numbers rise.
 */
#include "base/invariant.h"
#include "base/reader.h"
#include "durable.h"
#include "role/device_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 20, STARTS = 2 };

struct sending {
    bool has_recording;
    uint64_t acked;          /* rows below it are acknowledged */
    uint64_t sent;           /* rows below it were sent at least once */
    uint64_t numbers[ROWS];  /* under which */
    uint64_t highest_number; /* that was ever sent */
};

static const char recording[] = "/var/recording.csv";

static void on_event(void *role, const struct port_event *ev)
{
    struct device *d = *(struct device **)role;
    if (d != NULL) {
        (void)device_bus_event(d, ev);
    }
}

struct sender {
    struct port *port;
    struct device *d;
};

static bool open_device(struct device *d)
{
    struct port_why why;
    d->config.outbox = DEVICE_JOURNAL;
    d->config.source = "csv:/var/recording.csv,rate=1000";
    d->config.journal_budget = 1; /* the least */
    memcpy(d->state_dir, "/var/state", sizeof "/var/state");
    memcpy(d->stream, "press", sizeof "press");
    d->has_trust = true;
    return device_lock(d, &why) == PORT_OK && device_load_sequence(d, &why) == PORT_OK
           && device_open_outbox(d, &why) == PORT_OK
           && source_open(d->port, d->config.source, d->sequence.row, 1, 1, &d->source, &why)
                  == PORT_OK;
}

static bool open_sender(struct sender *s, struct sim_world *world)
{
    *s = (struct sender){0};
    s->port = sim_start(world, CUTS_MACHINE, on_event, &s->d);
    struct device *d = calloc(1, sizeof *d);
    INVARIANT(d != NULL);
    d->port = s->port;
    s->d = d;
    return open_device(d);
}

static void close_sender(struct sender *s)
{
    struct device *d = s->d;
    s->d = NULL;
    device_close_outbox(d);
    source_close(d->source);
    free(d);
    port_close_all(s->port);
}

/* The number of the row that the message with this number carries, plus one: as the journal says.
 */
static bool row_of(struct slice record, uint64_t *seq, uint64_t *row)
{
    struct reader r = reader_over(record);
    uint8_t version = read_u8(&r);
    *seq = read_u64(&r);
    *row = read_u64(&r);
    return reader_ok(&r) && version == 1;
}

static bool is_known(const struct sending *life, uint64_t seq)
{
    for (uint64_t row = 0; row < life->sent; row++) {
        if (life->numbers[row] == seq) {
            return true;
        }
    }
    return false;
}

/* Sends what is in the window; the gateway acknowledges the first `acks` of it. */
static bool send(struct device *d, struct sending *life, unsigned acks)
{
    struct outbox_message message;
    uint16_t ids[ROWS + STARTS];
    uint64_t seqs[ROWS + STARTS];
    unsigned count = 0;
    while (count < COUNT_OF(ids) && outbox_send(&d->outbox, &message)) {
        seqs[count] = message.seq;
        ids[count++] = message.packet_id;
        if (message.stream.len > 0 && !is_known(life, message.seq)) {
            return false; /* what a failing read hid from us we cannot judge */
        }
        if (message.stream.len > 0) {
            life->highest_number =
                message.seq > life->highest_number ? message.seq : life->highest_number;
        }
    }
    for (unsigned i = 0; i < count && i < acks && !d->is_over; i++) {
        INVARIANT(outbox_acked(&d->outbox, ids[i]));
        for (uint64_t row = 0; row < life->sent; row++) {
            life->acked =
                life->numbers[row] == seqs[i] && row >= life->acked ? row + 1 : life->acked;
        }
        device_note_acked(d);
    }
    outbox_link_lost(&d->outbox);
    return !d->is_over;
}

/* What the journal now holds durably becomes what may be sent: with its rows. */
static bool learn(struct device *d, struct sending *life)
{
    struct bus_reader *reader = NULL;
    struct port_why why;
    struct slice record;
    bus_position next;
    int tag;
    char dir[DEVICE_PATH_MAX];
    if (!device_path(d, dir, "outbox")
        || bus_reader_open(d->port, dir, d->done, &tag, &reader, &why) != BUS_OK) {
        return false;
    }
    enum bus_result result;
    while ((result = bus_next(reader, &record, &next)) == BUS_OK) {
        uint64_t seq = 0;
        uint64_t row = 0;
        INVARIANT(row_of(record, &seq, &row));
        if (row > 0 && row <= ROWS) {
            life->numbers[row - 1] = seq;
            life->sent = row > life->sent ? row : life->sent;
        }
    }
    bus_reader_close(reader);
    return result == BUS_END;
}

static bool put_recording(struct sim_world *world)
{
    struct port *port = sim_start(world, CUTS_MACHINE, on_event, &(struct device *){NULL});
    struct port_file *file = NULL;
    char text[600] = "datetime,n\n";
    for (int i = 0; i < ROWS; i++) {
        size_t len = strlen(text);
        (void)snprintf(text + len, sizeof text - len, "2026-01-01T00:00:%02dZ,%d\n", i, i);
    }
    bool ok = port_dir_make(port, "/var") == PORT_OK && port_dir_sync(port, "/") == PORT_OK
              && port_file_open(port, recording, PORT_WRITE | PORT_CREATE, &file) == PORT_OK
              && port_file_write(file, 0, slice_text(text)) == PORT_OK
              && port_file_sync(file) == PORT_OK && port_dir_sync(port, "/var") == PORT_OK;
    port_close_all(port);
    return ok;
}

static bool turn(struct sim_world *world, struct sender *s, struct sending *life, unsigned acks)
{
    device_sample(s->d);
    s->d->acks_unsaved = DEVICE_DONE_EVERY - 1; /* as if so many had come: the next one is saved */
    if (acks > 0 && !send(s->d, life, 1)) {
        return false;
    }
    device_flush(s->d);
    (void)sim_run_for(world, 3);
    device_flush(s->d);
    (void)sim_run_for(world, 3);
    device_read_journal(s->d);
    return !s->d->is_over && learn(s->d, life) && send(s->d, life, acks);
}

static void scenario(void *context, struct sim_world *world)
{
    struct sending *life = context;
    bool ok = put_recording(world);
    life->has_recording = ok;
    for (int start = 0; ok && start < STARTS; start++) {
        struct sender s;
        ok = open_sender(&s, world);
        for (unsigned i = 0; ok && i < 4; i++) {
            ok = turn(world, &s, life, i + 1);
        }
        if (ok && start == 0) {
            struct sequence_store last;
            sequence_stop(&s.d->sequence, &last);
            ok = device_store_sequence(s.d, &last);
        }
        close_sender(&s);
    }
}

/* Reads the outbox as a start finds it. */
static enum verdict look(struct device *d, const struct sending *life)
{
    struct bus_reader *reader = NULL;
    struct port_why why;
    struct slice record;
    bus_position next;
    int tag;
    enum bus_result result;
    char dir[DEVICE_PATH_MAX];
    uint64_t rows = UINT64_MAX; /* the next row, once one was seen */
    uint64_t last = 0;
    if (!device_path(d, dir, "outbox")
        || bus_reader_open(d->port, dir, d->done, &tag, &reader, &why) != BUS_OK) {
        return TOLD;
    }
    enum verdict verdict = KEPT;
    while (verdict == KEPT && (result = bus_next(reader, &record, &next)) == BUS_OK) {
        uint64_t seq = 0;
        uint64_t row = 0;
        bool ok = row_of(record, &seq, &row) && seq >= last && seq < d->sequence.first;
        last = seq;
        if (row > 0) {
            ok = ok && (rows == UINT64_MAX ? row <= life->acked + 1 : row == rows + 1)
                 && (row > life->sent || life->numbers[row - 1] == seq);
            rows = row;
        }
        verdict = ok ? KEPT : BROKEN;
    }
    bus_reader_close(reader);
    if (verdict == KEPT && result != BUS_END) {
        return TOLD;
    }
    bool continues = rows == UINT64_MAX ? d->sequence.row <= life->acked || life->acked >= ROWS
                                        : d->sequence.row == rows;
    return verdict == KEPT && continues && d->sequence.row >= life->sent
                   && d->sequence.first > life->highest_number
               ? KEPT
               : BROKEN;
}

static enum verdict recover(void *context, struct sim_world *world)
{
    struct sending life = *(const struct sending *)context;
    struct sender s;
    if (!life.has_recording) {
        return KEPT;
    }
    enum verdict verdict = open_sender(&s, world) ? look(s.d, &life) : TOLD;
    if (verdict == KEPT) {
        /* Acknowledges nothing: the start after a cut of this one would not know of it. */
        verdict = turn(world, &s, &life, 0) ? KEPT : TOLD;
    }
    close_sender(&s);
    if (verdict == KEPT) {
        verdict = open_sender(&s, world) ? look(s.d, &life) : TOLD;
        close_sender(&s);
    }
    return verdict;
}

static uint64_t promised(void *context)
{
    const struct sending *life = context;
    return life->acked << 40 | life->sent << 20 | life->highest_number;
}

const struct durable durable_outbox = {
    .name = "outbox",
    .context_len = sizeof(struct sending),
    .scenario = scenario,
    .recover = recover,
    .promised = promised,
    .sees_rot = true,
    .seeded = 4,
};
