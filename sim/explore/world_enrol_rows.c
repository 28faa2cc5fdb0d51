#include "sim/explore/world_enrol_rows.h"

bool rows_is_live(const struct rows *r, uint8_t key)
{
    return r->certificates[key] == CURRENT || r->certificates[key] == PREVIOUS;
}

static void move(struct rows *r, enum identity_state to, struct explore_breach *breach)
{
    explore_expect(breach, identity_may_move(r->state, to),
                   "KnownTransition: a move that is not in the table");
    r->state = to;
}

static void supersede_below(struct rows *r, uint8_t generation)
{
    for (uint32_t key = 1; key <= KEYS_MAX; key++) {
        if (r->generations[key] < generation && r->certificates[key] != NONE) {
            r->certificates[key] = SUPERSEDED;
        }
    }
}

void rows_mark_seen(struct rows *r, uint8_t key, struct explore_breach *breach)
{
    bool is_waiting = r->state == IDENTITY_ENROLLED || r->state == IDENTITY_REENROLLING;
    if (!rows_is_live(r, key) || (r->certificates[key] == CURRENT && r->seen[key] && !is_waiting)) {
        return;
    }
    r->seen[key] = true;
    supersede_below(r, r->generations[key]);
    if (is_waiting) {
        move(r, IDENTITY_ACTIVE, breach);
    }
}

/* The newest that was seen in use, or where none was, the newest. */
static uint8_t kept_certificate(const struct rows *r)
{
    uint8_t kept = 0;
    for (uint8_t key = 1; key <= KEYS_MAX; key++) {
        bool is_better =
            kept == 0 || (r->seen[key] && !r->seen[kept])
            || (r->seen[key] == r->seen[kept] && r->generations[key] > r->generations[kept]);
        if (rows_is_live(r, key) && is_better) {
            kept = key;
        }
    }
    return kept;
}

void rows_issue(struct rows *r, uint8_t key, enum identity_state to, struct explore_breach *breach)
{
    uint8_t kept = kept_certificate(r);
    r->has_device = true;
    supersede_below(r, ++r->generation);
    if (kept != 0) {
        r->certificates[kept] = PREVIOUS;
    }
    r->certificates[key] = CURRENT;
    r->generations[key] = r->generation;
    move(r, to, breach);
}
