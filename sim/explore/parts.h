/* What worlds are written with: sets of small numbers, lists of what can happen, ingest's journal.
 */
#ifndef SIM_EXPLORE_PARTS_H
#define SIM_EXPLORE_PARTS_H

#include "sim/explore/explore.h"

#define BIT EXPLORE_BIT

/* Begins a list with an event of each kind below `kinds` that can happen; how many these are. */
uint32_t parts_offer(const bool *can, uint8_t kinds, struct explore_event list[EXPLORE_OFFERS_MAX]);

void parts_tell_numbers(struct writer *out, const char *name, uint32_t bits); /* "NAME 1 4 7" */

/*
 * A gateway's journal as ingest has it, from the durable cursor on. The first `read` are in the
 * transaction that is open: a commit moves the cursor behind them, a power cut gives them back.
 */
enum { JOURNAL_MAX = 4 };

struct journal {
    uint8_t items[JOURNAL_MAX];
    uint32_t len, read;
};

/* The rows of a world whose states are told apart by it. */
enum journal_row { ROW_CAUGHT_UP, ROW_BEHIND, ROW_IN_TRANSACTION, JOURNAL_ROWS };
extern const char *const journal_rows[JOURNAL_ROWS];
enum journal_row journal_row(const struct journal *j);

void journal_append(struct journal *j, uint8_t item);
uint8_t journal_read(struct journal *j);
void journal_committed(struct journal *j);
void journal_cut(struct journal *j);

/* Adds reading, committing and a power cut, as far as they can happen, as events of these kinds. */
struct journal_kinds {
    uint8_t read, commit, cut;
};
uint32_t journal_offer(const struct journal *j,
                       struct journal_kinds kinds,
                       uint32_t count,
                       struct explore_event list[EXPLORE_OFFERS_MAX]);

#endif
