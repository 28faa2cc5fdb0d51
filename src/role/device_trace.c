/* The recorder of a device: its link, its enrolment, its counters, the key it connects with. */
#include "role/device_inside.h"

void device_trace_link(struct device *d, const struct link_event *ev)
{
    uint8_t bytes[LINK_TRACE_PACKET_MAX];
    struct writer packet = writer_over(bytes, sizeof bytes);
    struct link_event_image image;
    if (d->config.trace != NULL) {
        link_trace_event(ev, &image, &packet);
        trace_event(d->config.trace, DEVICE_TRACE_LINK, d->config.trace_instance,
                    &d->traced[DEVICE_TRACE_LINK], &d->link, &image, writer_slice(&packet));
    }
}

void device_trace_enroll(struct device *d, const struct enroll_event *ev)
{
    trace_event(d->config.trace, DEVICE_TRACE_ENROLL, d->config.trace_instance,
                &d->traced[DEVICE_TRACE_ENROLL], &d->enroll, ev, (struct slice){0});
}

void device_trace_call(struct device *d, enum sequence_call call, uint64_t argument)
{
    const struct sequence_event_image image = {.argument = argument, .call = (uint8_t)call};
    trace_event(d->config.trace, DEVICE_TRACE_SEQUENCE, d->config.trace_instance,
                &d->traced[DEVICE_TRACE_SEQUENCE], &d->sequence, &image, (struct slice){0});
}

void device_trace_generation(struct device *d, enum generation_call call, bool old_is_valid)
{
    const struct generation_event_image image = {
        .now_ms = port_now_ms(d->port), .call = (uint8_t)call, .old_is_valid = old_is_valid};
    trace_event(d->config.trace, DEVICE_TRACE_GENERATION, d->config.trace_instance,
                &d->traced[DEVICE_TRACE_GENERATION], &d->generation, &image, (struct slice){0});
}
