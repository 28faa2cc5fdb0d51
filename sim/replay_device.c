/* The cores of a device, stepped again. They are flat: the image is the core. */
#include "core/device/device_trace.h"
#include "sim/replay_inside.h"

static struct {
    struct link link;
    struct enroll enroll;
    struct sequence sequence;
    struct generation generation;
    struct mqtt_packet packet;
} live;

/* ---- the session with a gateway ---- */

static bool restore_link(const void *image, struct slice behind)
{
    const struct link *link = image;
    live.link = *link;
    return behind.len == 0 && link_trace_is_sound(link);
}

static bool step_link(const void *image, struct slice behind)
{
    struct link_event ev;
    struct link_effects fx;
    if (!link_trace_restore(image, behind, &live.packet, &ev)) {
        return false;
    }
    link_step(&live.link, &ev, &fx);
    return true;
}

static const void *state_link(void)
{
    return &live.link;
}

/* ---- enrolment ---- */

static bool restore_enroll(const void *image, struct slice behind)
{
    const struct enroll *enroll = image;
    live.enroll = *enroll;
    return behind.len == 0;
}

static bool step_enroll(const void *image, struct slice behind)
{
    const struct enroll_event *ev = image;
    struct enroll_effects fx;
    enroll_step(&live.enroll, ev, &fx);
    return behind.len == 0;
}

static const void *state_enroll(void)
{
    return &live.enroll;
}

/* ---- the two counters ---- */

static bool restore_sequence(const void *image, struct slice behind)
{
    const struct sequence *sequence = image;
    live.sequence = *sequence;
    return behind.len == 0 && sequence_trace_is_sound(sequence);
}

static bool step_sequence(const void *image, struct slice behind)
{
    sequence_trace_call(&live.sequence, image);
    return behind.len == 0;
}

static const void *state_sequence(void)
{
    return &live.sequence;
}

/* ---- the key it connects with ---- */

static bool restore_generation(const void *image, struct slice behind)
{
    const struct generation *generation = image;
    live.generation = *generation;
    return behind.len == 0 && generation_trace_is_sound(generation);
}

static bool step_generation(const void *image, struct slice behind)
{
    generation_trace_call(&live.generation, image);
    return behind.len == 0;
}

static const void *state_generation(void)
{
    return &live.generation;
}

const struct replay_core replay_device_link = {.trace = &device_trace_cores[DEVICE_TRACE_LINK],
                                               .restore = restore_link,
                                               .step = step_link,
                                               .state = state_link};
const struct replay_core replay_device_enroll = {.trace = &device_trace_cores[DEVICE_TRACE_ENROLL],
                                                 .restore = restore_enroll,
                                                 .step = step_enroll,
                                                 .state = state_enroll};
const struct replay_core replay_device_sequence = {.trace =
                                                       &device_trace_cores[DEVICE_TRACE_SEQUENCE],
                                                   .restore = restore_sequence,
                                                   .step = step_sequence,
                                                   .state = state_sequence};
const struct replay_core replay_device_generation = {
    .trace = &device_trace_cores[DEVICE_TRACE_GENERATION],
    .restore = restore_generation,
    .step = step_generation,
    .state = state_generation};
