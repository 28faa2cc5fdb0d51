/*
 * What a field trace keeps of a device at ingest: its row in memory with its gaps, and every record
 * that is decided about it. Derived MAC keys are not among it: whether a message was authentic is
 * recorded as what the step found out, and the replay seals those messages again with a key of its
 * own (admit_trace_seal). Payloads are kept, for the core looks into them.
 */
#ifndef CORE_INGEST_ADMIT_TRACE_H
#define CORE_INGEST_ADMIT_TRACE_H

#include "codec/trace.h"
#include "core/ingest/admit.h"

struct admit_device_image {     /* behind it the gaps, as struct received_run */
    struct admit_device device; /* without what is not in the table: its keys above all */
};

struct admit_event_image { /* a record behind it */
    uint8_t kind;          /* enum admit_event_kind */
    bool is_authentic;     /* what the step found out */
    bool is_void;          /* the step found no room and changed nothing */
    uint32_t points;
    uint64_t gateway;
    struct admit_older older; /* ADMIT_LOOKED; otherwise cut off */
};

struct admit_traced { /* what `save` takes */
    const struct admit *core;
    const struct admit_device *device;
};

extern const struct trace_core admit_device_trace;

/* The device that the event is about, if it is in memory; NULL where none is. */
const struct admit_device *admit_trace_device(const struct admit *a, const struct admit_event *ev);

/*
 * Records the event that `a` is about to be stepped with; `d` is what admit_trace_device gave. The
 * place of its image, for what the step will find out; NULL where it is not recorded. `mark` is of
 * the device's place in memory, and to be set to 0 whenever another device takes it.
 */
struct admit_event_image *admit_trace_event(struct recorder *r,
                                            uint32_t *mark,
                                            const struct admit *a,
                                            const struct admit_device *d,
                                            const struct admit_event *ev);

/* Puts a device into an empty core, by its own events. False where it cannot be like that. */
MUST_USE bool admit_trace_restore(const struct admit_device_image *image,
                                  struct slice gaps,
                                  struct admit *a,
                                  struct admit_effects *out);

/* The tag that a telemetry record of the device needs to be authentic to `a`, whose ingest key is
 * another than in the field. Nothing happens where it is no such record. */
void admit_trace_seal(struct admit *a, uint8_t *record, size_t len, struct admit_effects *scratch);

#endif
