/*
 * The one writer of a journal, between writer_open.c, which finds it in order, and writer.c, which
 * adds to it.
 *
 *   GATHERING  --flush: one write, syncs begun-->  SYNCING  --all syncs done--> GATHERING
 *   any        --a write or sync failed-->         BROKEN    (for ever)
 *
 * What is true in each: durable <= written <= staged; in GATHERING durable == written; [written,
 * staged) is exactly what the batch buffer holds; in BROKEN nothing is written any more.
 */
#ifndef IO_JOURNAL_WRITER_H
#define IO_JOURNAL_WRITER_H

#include "io/journal/recover.h"

#define JOURNAL_NO_SPLIT SIZE_MAX

struct bus_writer {
    struct port *port;
    struct bus_limits limits;
    char dir[JOURNAL_DIR_MAX];
    uint64_t salt;
    struct port_file *lock;
    struct port_file *mark;

    struct journal_segment segment; /* the last one: records go here */
    struct port_file *next;         /* the one to come, or NULL */
    uint64_t next_filled;           /* bytes of it that are zeroes already */
    uint64_t next_synced;

    bus_position oldest;     /* where the oldest segment begins */
    bus_position oldest_end; /* and ends; equal to `oldest` while it is the only one */
    uint64_t bytes_on_disk;

    bus_position durable;
    bus_position written;
    bus_position staged;
    bus_position batch_start; /* of the batch that the next record joins */
    uint8_t *batch;
    size_t batch_len;
    size_t split; /* from here on the batch belongs to the next segment */

    unsigned syncs; /* under way */
    bool is_broken;
    struct port_why why;
};

/* What the folder says; one pass over its names. */
struct journal_survey {
    struct bus_writer *bus;
    bool wants_segments;
    bus_position first, second, last;
    uint64_t count;
    uint64_t bytes;
    bus_position acked; /* the lowest */
    bool has_ack;
    bus_position acked_most;
    char acked_most_by[JOURNAL_NAME_MAX];
    enum port_result result;
};
/* Without segments only the acks are looked at: a long backlog then costs their names alone. */
enum bus_result journal_survey(struct bus_writer *bus,
                               bool wants_segments,
                               struct journal_survey *out);

/* Zeroes up to `bytes` more of the next segment, made first where there is none. BUS_FULL,
 * BUS_BROKEN. */
enum bus_result journal_prepare_next(struct bus_writer *bus, uint64_t bytes);
bool journal_next_is_ready(const struct bus_writer *bus);

/* The next segment becomes the last one, beginning at `start`; its name is durable when this
 * returns. */
enum bus_result journal_roll(struct bus_writer *bus, bus_position start);

enum bus_result journal_mark(struct bus_writer *bus);

/* Remembers what failed, and stays so. */
enum bus_result journal_break(struct bus_writer *bus, const char *what, enum port_result result);

#endif
