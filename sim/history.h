/*
 * What truly happened to telemetry in one run, seen from outside: what left each device, what was
 * acknowledged to it, what the store holds in the end, what was declared lost. On the heap, for a
 * run of a large fleet; devices are numbers from 0.
 */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include "sim/findings.h"

struct sent_point { /* a message that left a device has one for each value in it */
    uint32_t device;
    uint32_t boot;
    uint64_t seq;
    uint64_t message; /* digest of the whole message */
    uint64_t point;   /* digest of stream, name and value */
    int64_t time_ms;  /* INT64_MIN: it said none */
};

struct acked_message {
    uint32_t device;
    uint64_t seq;
};

struct applied_point {
    uint32_t device;
    uint64_t point;
    int64_t time_ms;
};

struct dropped_range { /* declared: a dead letter, a refusal that the device counted, a lost range
                        */
    uint32_t device;
    uint64_t from, to;  /* both inclusive */
    const char *reason; /* static; NULL or empty is a finding */
    bool is_gap; /* only shown as missing: enough where loss must be detected, not where it must not
                    be */
};

struct said_boot { /* a hello that left a device */
    uint32_t device;
    uint32_t boot;
    uint64_t first;
    uint64_t key;         /* digest of the ephemeral key */
    bool must_be_refused; /* said in a form that a site must not accept */
};

#define HISTORY_LIST(type)                                                                         \
    struct {                                                                                       \
        struct type *list;                                                                         \
        size_t count, cap;                                                                         \
    }

struct history {
    HISTORY_LIST(sent_point) sent;
    HISTORY_LIST(acked_message) acked;
    HISTORY_LIST(applied_point) applied;
    HISTORY_LIST(dropped_range) dropped;
    HISTORY_LIST(said_boot) boots;
    bool *spoilt; /* by device: its storage lied, or it was two */
    uint32_t spoilt_cap;
    bool loss_is_told; /* a server role says that its storage is damaged */
};

void history_sent(struct history *h, const struct sent_point *point);
void history_acked(struct history *h, uint32_t device, uint64_t seq);
void history_applied(struct history *h, uint32_t device, uint64_t point, int64_t time_ms);
void history_dropped(struct history *h, const struct dropped_range *range);
void history_boot(struct history *h, const struct said_boot *boot);
void history_free(struct history *h);

/* Forgets everything of this device: it has been somebody else's. */
void history_exclude(struct history *h, uint32_t device);

/* The storage of this device lied: of it less is asked. */
void history_spoil(struct history *h, uint32_t device);
bool history_is_spoilt(const struct history *h, uint32_t device);

/*
 * acked is inside applied plus declared drops; applied is inside sent, with the times it was sent
 * with; nothing is applied twice; each drop has a reason. Losses are classed by where they lie
 * among what the device sent. Of spoilt devices, with `detected_is_enough` of all, what was
 * acknowledged may be missing where a gap says so; where loss is told, anywhere. Sorts the lists.
 */
void check_telemetry(struct history *h, bool detected_is_enough, struct findings *out);

/* No sequence number names two messages, no boot two ephemeral keys, but for spoilt devices. Sorts
 * the lists. */
void check_numbers(struct history *h, struct findings *out);

/* Of a boot of which every hello had to be refused no value is applied. Sorts the lists. */
void check_versions(struct history *h, struct findings *out);

/* What was acknowledged to it is not asked for: it may wait for a hello that never comes. */
void history_forget_acks(struct history *h, uint32_t device);

#endif
