/*
 * What is kept on NOR flash, cut: the power goes in every erase and program of a scenario, at
 * several depths, and again in the recoveries that follow; what was promised must be there each
 * time. Flashes that were seen, with the same promises, are not tried twice.
 */
#ifndef TESTS_CUTS_FLASH_H
#define TESTS_CUTS_FLASH_H

#include "core/device/flash_log.h"
#include "drive.h"
#include "io/sim/nor.h"

struct flash_thing {
    const char *name;
    struct flash_log_limits limits;
    size_t life_len; /* bytes of what was promised: the first are its number of starts */
    uint64_t seeds, seeds_long;

    /* A start on the flash, work, and a stop; `part` counts the lives of the scenario from 0.
     * False: the power went, or what was found is not what was promised (then is_broken). Promises
     * are noted in the life right after they were made. */
    bool (*live)(void *life, struct sim_nor *nor, unsigned part, bool *is_broken);
    unsigned parts;

    uint64_t (*promised)(const void *life);
};

extern const struct flash_thing flash_outbox_thing, flash_keys_thing;

bool drive_flash(const struct flash_thing *thing, enum effort effort);
bool drive_flash_rot(const struct flash_thing *thing, enum effort effort);

/* Carries an order out; false: the power went. */
bool flash_perform(struct sim_nor *nor, uint32_t block_len, const struct flash_order *order);

#endif
