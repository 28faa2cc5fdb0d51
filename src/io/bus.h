/*
 * The bus: ordered, durable streams of records. One interface, two backends (the embedded journal
 * now, NATS JetStream later). Publish, subscribe from a cursor, ack: nothing else.
 *
 * Writing: bus_publish stages a record and gives its position; bus_flush writes all that is staged
 * in one write and begins one sync (group commit); when that sync is done, PORT_SYNCED is handed to
 * bus_synced and bus_durable tells the position below which everything is on stable storage. Only
 * then may anything be acknowledged. A failed sync is never retried: BUS_BROKEN stays, the role
 * stops.
 *
 * Reading: another process opens the same stream for reading, sees only durable records, and is
 * woken by PORT_CHANGED. Its cursor is stored by the reader itself, in the transaction that the
 * record caused.
 */
#ifndef IO_BUS_H
#define IO_BUS_H

#include "base/slice.h"
#include "io/port.h"

struct bus_writer;
struct bus_reader;

/* A place in a stream: the number of bytes of records ever written before it. Rises for ever. */
typedef uint64_t bus_position;

enum bus_result {
    BUS_OK = 0,
    BUS_FULL, /* no room on disk or over the budget: back-pressure; nothing was staged */
    BUS_TOO_LONG,
    BUS_END,  /* reader: nothing durable beyond the cursor */
    BUS_GONE, /* reader: the cursor points before the oldest record that retention left, or (when it
                 is opened) beyond what the journal holds: an older one was put in its place */
    BUS_BROKEN /* a write or sync failed, or the stream is damaged where it was durable: see why */
};

/* What broke it, in words for an operator, with file and position; empty where nothing did. */
const char *bus_why(const struct bus_writer *bus);
const char *bus_reader_why(const struct bus_reader *bus);

/* record_max + 16 <= batch_max <= segment_bytes - 16, and 2 * segment_bytes <= budget_bytes. */
struct bus_limits {
    uint64_t segment_bytes; /* a segment is this long, pre-written with zeroes */
    uint64_t budget_bytes;  /* of the whole stream on disk; beyond it BUS_FULL */
    size_t record_max;      /* bytes of one record; below 16 MiB */
    size_t batch_max;       /* bytes staged for one write; what waits beyond it is BUS_FULL */
};

/* Opens or makes the stream in `dir`; cuts a torn tail; one writer at a time (a lock says so). */
enum bus_result bus_writer_open(struct port *port,
                                const char *dir,
                                const struct bus_limits *limits,
                                struct bus_writer **out,
                                struct port_why *why);
/* What was not durable is not kept. No PORT_SYNCED for this writer may be handed on any more. */
void bus_writer_close(struct bus_writer *bus);

/* Stages a copy of the record. *position is the place just behind it: durable once bus_durable
 * reaches it. */
MUST_USE enum bus_result bus_publish(struct bus_writer *bus,
                                     struct slice record,
                                     bus_position *position);

/*
 * Writes what is staged and begins a sync unless one is under way. Call at the end of each turn.
 * BUS_FULL where the disk has no room even for what was promised room (copy-on-write): it stays
 * staged, call again.
 */
MUST_USE enum bus_result bus_flush(struct bus_writer *bus);

/* To be called with each PORT_SYNCED whose user is this writer. A batch may need more than one. */
MUST_USE enum bus_result bus_synced(struct bus_writer *bus, enum port_result result);

bus_position bus_durable(const struct bus_writer *bus);
bus_position bus_staged(const struct bus_writer *bus); /* behind the last staged record */
uint64_t bus_bytes_on_disk(const struct bus_writer *bus);

/* Readers below `position` are done: whole segments before it may go. Kept in the stream's own
 * folder. */
MUST_USE enum bus_result bus_retain_from(struct bus_writer *bus, bus_position position);

/*
 * The lowest position that the readers have acked (bus_reader_ack), for bus_retain_from; 0 while
 * none has. A reader whose ack cannot be read counts as 0.
 */
bus_position bus_acked(struct bus_writer *bus);

/*
 * Opens for reading at `from` (0: the oldest kept). PORT_CHANGED with `user` says that there may be
 * more. BUS_END where no writer has made the stream yet: try again later. *out is set on BUS_OK
 * alone.
 */
enum bus_result bus_reader_open(struct port *port,
                                const char *dir,
                                bus_position from,
                                void *user,
                                struct bus_reader **out,
                                struct port_why *why);
void bus_reader_close(struct bus_reader *bus);

/* The next durable record, borrowed until the next call; *next is the cursor behind it. */
MUST_USE enum bus_result bus_next(struct bus_reader *bus, struct slice *record, bus_position *next);

/* Goes on at `from`, where a record begins: the next bus_next gives that one. BUS_GONE: retention
 * took it; the cursor stays where it was. */
MUST_USE enum bus_result bus_reader_seek(struct bus_reader *bus, bus_position from);

bus_position bus_reader_at(const struct bus_reader *bus); /* the cursor */

/* How many durable bytes lie beyond the cursor: the lag. */
uint64_t bus_reader_lag(struct bus_reader *bus);

/* A reader tells the writer how far it is (a small file beside the stream), for retention and
 * metrics. */
MUST_USE enum bus_result bus_reader_ack(struct bus_reader *bus,
                                        const char *reader_name,
                                        bus_position done);

#endif
