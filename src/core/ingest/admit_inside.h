/*
 * What the files of admit share.
 */
#ifndef CORE_INGEST_ADMIT_INSIDE_H
#define CORE_INGEST_ADMIT_INSIDE_H

#include "core/ingest/admit.h"

/* The device in memory, or NULL. */
struct admit_device *admit_find(struct admit *a, const struct device_id *id);

/* A place for a device that is not in memory: a free one, or that of a clean one not used lately.
 * NULL: all dirty. */
struct admit_device *admit_place(struct admit *a, const struct device_id *id);

/* One block of the pool is free afterwards; false where all that could be given up is dirty. */
bool admit_make_block(struct admit *a, const struct admit_device *keep);

void admit_mark_dirty(struct admit *a, struct admit_device *d);
void admit_mark_clean(struct admit *a);
void admit_load(struct admit *a, const struct admit_loaded *loaded);

struct admit_effect *admit_order(struct admit_effects *out, enum admit_effect_kind kind);

/* The record is refused; `d` may be NULL. */
void admit_refuse(struct admit_effects *out, struct admit_device *d, enum admit_reason reason);

/* Orders ADMIT_LOSE for each. */
void admit_order_losses(struct admit_effects *out, const struct received_losses *losses);

void admit_hello(struct admit *a,
                 struct admit_device *d,
                 const struct admit_record *in,
                 struct admit_effects *out);
void admit_link(struct admit_device *d, uint64_t gateway, struct admit_effects *out);

/* Does the link's certificate say that an issuer of ours made this device known? Otherwise the
 * record is refused, or the machine failed. */
MUST_USE bool admit_enrols(struct admit *a, struct admit_device *d, struct admit_effects *out);

enum admit_boot_state {
    ADMIT_BOOT_KNOWN,
    ADMIT_BOOT_UNKNOWN,
    ADMIT_BOOT_STALE,
    ADMIT_BOOT_ELSEWHERE /* in the store, if anywhere: ADMIT_LOOK_UP was ordered */
};

/* A boot of a device, and the numbers it may issue: [boot->first, end). */
struct admit_boot_found {
    enum admit_boot_state state;
    const struct admit_boot *boot; /* KNOWN */
    uint64_t end;                  /* KNOWN; UINT64_MAX: the newest boot */
};
struct admit_boot_found admit_boot_find(const struct admit_device *d,
                                        uint32_t boot,
                                        struct admit_effects *out);

/* The MAC key of one of the device's boots. NULL: `result` says why (UNKNOWN_KEY, or the machine).
 */
const struct mac_key *admit_mac_key(struct admit *a,
                                    struct admit_device *d,
                                    const struct admit_boot *boot,
                                    enum key_result *result);

#endif
