#include "sim/explore/parts.h"

#include "base/invariant.h"

#include <string.h>

uint32_t parts_offer(const bool *can, uint8_t kinds, struct explore_event list[EXPLORE_OFFERS_MAX])
{
    uint32_t count = 0;
    for (uint8_t k = 0; k < kinds; k++) {
        if (can[k]) {
            list[count++] = (struct explore_event){.kind = k};
        }
    }
    return count;
}

void parts_tell_numbers(struct writer *out, const char *name, uint32_t bits)
{
    write_text(out, name);
    for (uint32_t n = 0; n < 32; n++) {
        if ((bits & BIT(n)) != 0) {
            write_text(out, " ");
            write_decimal(out, n);
        }
    }
}

/* ---- ingest's journal ---- */

const char *const journal_rows[JOURNAL_ROWS] = {"caught-up", "behind", "in-transaction"};

enum journal_row journal_row(const struct journal *j)
{
    return j->read > 0 ? ROW_IN_TRANSACTION : j->len > 0 ? ROW_BEHIND : ROW_CAUGHT_UP;
}

void journal_append(struct journal *j, uint8_t item)
{
    INVARIANT(j->len < JOURNAL_MAX);
    j->items[j->len++] = item;
}

uint8_t journal_read(struct journal *j)
{
    INVARIANT(j->read < j->len);
    return j->items[j->read++];
}

void journal_committed(struct journal *j)
{
    j->len -= j->read;
    memmove(j->items, j->items + j->read, j->len);
    memset(j->items + j->len, 0, sizeof j->items - j->len);
    j->read = 0;
}

void journal_cut(struct journal *j)
{
    j->read = 0;
}

uint32_t journal_offer(const struct journal *j,
                       struct journal_kinds kinds,
                       uint32_t count,
                       struct explore_event list[EXPLORE_OFFERS_MAX])
{
    if (j->read < j->len) {
        list[count++] = (struct explore_event){.kind = kinds.read};
    }
    if (j->read > 0) {
        list[count++] = (struct explore_event){.kind = kinds.commit};
    }
    list[count++] = (struct explore_event){.kind = kinds.cut};
    return count;
}
