/*
 * What a writer does with the last segment when it opens a journal: finds the end of what is whole,
 * tells a torn tail from damage, and makes the rest zeroes again. Earlier segments are not looked
 * at: the next one is named only when all of a segment is durable, so that their readers are their
 * judges.
 *
 * Let P be where the first record begins that is not whole, and `mark` what the mark file still
 * says (a lower bound: it is written after each sync and not synced itself). Then
 *
 *   P < mark                                     damage: it had been durable
 *   an intact record of a batch that begins
 *   behind P follows                             damage: that batch was written after P was durable
 *   otherwise                                    a torn tail: the one batch nobody was told of; cut
 */
#ifndef IO_JOURNAL_RECOVER_H
#define IO_JOURNAL_RECOVER_H

#include "io/journal/format.h"

struct journal_segment {
    struct port_file *file;
    struct journal_path path;
    uint64_t size; /* of the file */
    bus_position start;
};

/* Finds P. BUS_BROKEN with `why` for damage or where the file cannot be read. Memory: one small
 * buffer. */
MUST_USE enum bus_result journal_find_end(const struct journal_segment *segment,
                                          uint64_t salt,
                                          bus_position mark,
                                          bus_position *end,
                                          struct port_why *why);

/*
 * Makes the segment `bytes` long (or leaves it longer), all zeroes from `end` on, its header and
 * the records from `mark` on written again, and syncs it. Written again, because after a failed
 * sync the system may hold bytes that the disk does not, and believe them clean: a sync alone would
 * say yes and do nothing.
 */
MUST_USE enum bus_result journal_repair(struct journal_segment *segment,
                                        uint64_t salt,
                                        bus_position mark,
                                        bus_position end,
                                        uint64_t bytes,
                                        struct port_why *why);

/* Zeroes from `from` to `to`; PORT_OK, or what the write said. */
enum port_result journal_write_zeroes(struct port_file *file, uint64_t from, uint64_t to);

#endif
