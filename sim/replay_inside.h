/* What the files of the replay share. */
#ifndef SIM_REPLAY_INSIDE_H
#define SIM_REPLAY_INSIDE_H

#include "codec/trace.h"

/* A core that can be stepped again. One instance lives at a time. */
struct replay_core {
    const struct trace_core *trace;
    bool needs_cipher; /* it verifies signatures that came from outside */
    /* The core's configuration, from the trace's context. NULL: it has none. */
    bool (*begin)(struct slice context);
    /* The instance as it was; NULL for a core without state. */
    bool (*restore)(const void *image, struct slice behind);
    /* One event. False: there is no such event. */
    bool (*step)(const void *image, struct slice behind);
    /* What trace->save takes. */
    const void *(*state)(void);
    void (*end)(void); /* gives back what begin and restore took */
};

extern const struct replay_core replay_gateway_session;
extern const struct replay_core replay_ingest_device;
extern const struct replay_core replay_device_link, replay_device_enroll, replay_device_sequence,
    replay_device_generation;
extern const struct replay_core replay_enrol_identify, replay_enrol_decide, replay_access;
extern const struct replay_core replay_signing;

#endif
