/*
 * What a field trace keeps of a device: its session with a gateway (link), its enrolment, its two
 * counters (sequence), and which key it connects with (generation), each with the events that came.
 * All four are flat: a state's image is the struct itself. The outbox is not among them: its state
 * is the window of messages itself, larger than the ring of a fleet's process. Of a gateway's
 * packet the packet is kept; no key is in any of them.
 */
#ifndef CORE_DEVICE_DEVICE_TRACE_H
#define CORE_DEVICE_DEVICE_TRACE_H

#include "codec/trace.h"
#include "core/device/enroll.h"
#include "core/device/generation.h"
#include "core/device/link.h"
#include "core/device/sequence.h"

enum { LINK_TRACE_PACKET_MAX = 8192 };

/* The order of the device's cores in a trace. */
enum device_trace_core {
    DEVICE_TRACE_LINK,
    DEVICE_TRACE_ENROLL,
    DEVICE_TRACE_SEQUENCE,
    DEVICE_TRACE_GENERATION
};
enum { DEVICE_TRACE_CORES = DEVICE_TRACE_GENERATION + 1 };
extern const struct trace_core device_trace_cores[DEVICE_TRACE_CORES];

struct link_event_image { /* LINK_GOT: the packet behind it */
    uint64_t now_ms;
    uint32_t slots, slot_ms;
    uint8_t kind; /* enum link_event_kind */
};

/* The calls of core/device/sequence.h that change it, but for sequence_start. */
enum sequence_call {
    SEQUENCE_CALL_STORED,
    SEQUENCE_CALL_WANTS,
    SEQUENCE_CALL_TAKE,
    SEQUENCE_CALL_NOTE_ROW,
    SEQUENCE_CALL_NOTE_DONE,
    SEQUENCE_CALL_NOTE_TRUST,
    SEQUENCE_CALL_SAVE,
    SEQUENCE_CALL_STOP,
    SEQUENCE_CALL_BEGIN_BOOT
};
enum { SEQUENCE_CALL_COUNT = SEQUENCE_CALL_BEGIN_BOOT + 1 };

struct sequence_event_image {
    uint64_t argument; /* of NOTE_ROW, NOTE_DONE and NOTE_TRUST */
    uint8_t call;      /* enum sequence_call */
};

/* The calls of core/device/generation.h that change it, but for generation_init. */
enum generation_call {
    GENERATION_CALL_RENEWED,
    GENERATION_CALL_DIAL,
    GENERATION_CALL_LIVE,
    GENERATION_CALL_FAILED
};
enum { GENERATION_CALL_COUNT = GENERATION_CALL_FAILED + 1 };

struct generation_event_image {
    uint64_t now_ms;   /* of DIAL and FAILED */
    uint8_t call;      /* enum generation_call */
    bool old_is_valid; /* of DIAL */
};

/* The image of an event of the link; the packet, encoded, goes to `packet`. */
void link_trace_event(const struct link_event *ev,
                      struct link_event_image *image,
                      struct writer *packet);

/* And back; `packet` outlives the event. False where there is none like it. */
MUST_USE bool link_trace_restore(const struct link_event_image *image,
                                 struct slice bytes,
                                 struct mqtt_packet *packet,
                                 struct link_event *out);

/* Does a state of this image keep the cores from going beyond an array or a table? */
bool link_trace_is_sound(const struct link *l);
bool sequence_trace_is_sound(const struct sequence *s);
bool generation_trace_is_sound(const struct generation *g);

/* Makes the call again. */
void sequence_trace_call(struct sequence *s, const struct sequence_event_image *image);

void generation_trace_call(struct generation *g, const struct generation_event_image *image);

#endif
