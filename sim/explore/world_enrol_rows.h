/*
 * A site's registry in world_enrol.c: the rows of one device, by the rules of
 * src/io/sqlite/registry_write.c, in one transaction each as there.
 */
#ifndef SIM_EXPLORE_WORLD_ENROL_ROWS_H
#define SIM_EXPLORE_WORLD_ENROL_ROWS_H

#include "core/control/identity.h"
#include "sim/explore/explore.h"

enum { KEYS_MAX = 5 };

enum certificate { NONE, CURRENT, PREVIOUS, SUPERSEDED };

struct rows {
    bool has_device;
    enum identity_state state;
    enum certificate certificates[KEYS_MAX + 1]; /* by key, from 1 on */
    uint8_t generations[KEYS_MAX + 1];
    bool seen[KEYS_MAX + 1];
    uint8_t generation; /* the newest */
};

bool rows_is_live(const struct rows *r, uint8_t key);

/* The certificate of `key` was seen in use. */
void rows_mark_seen(struct rows *r, uint8_t key, struct explore_breach *breach);

/* A certificate is made for `key`, and the device moves. */
void rows_issue(struct rows *r, uint8_t key, enum identity_state to, struct explore_breach *breach);

#endif
