#include "core/gateway/rights.h"

#include "base/invariant.h"
#include "base/writer.h"
#include "codec/message.h"
#include "codec/mqtt_topic.h"

#include <string.h>

void gw_device_prefix(const struct device_id *device, uint8_t out[GW_TOPIC_PREFIX_LEN])
{
    struct writer w = writer_over(out, GW_TOPIC_PREFIX_LEN);
    write_text(&w, "hf/1/");
    device_id_write_text(&w, device);
    write_u8(&w, '/');
    INVARIANT(writer_ok(&w) && w.len == GW_TOPIC_PREFIX_LEN);
}

static struct mqtt_fault device_may_publish(const uint8_t *prefix, struct slice topic)
{
    if (!slice_has_prefix(topic, slice_of(prefix, GW_TOPIC_PREFIX_LEN))) {
        return (struct mqtt_fault){.reason = MQTT_NOT_AUTHORIZED,
                                   .clause = "a device publishes below its own hf/1/ID/ only"};
    }
    struct slice rest = slice_after(topic, GW_TOPIC_PREFIX_LEN);
    bool is_stream =
        slice_has_prefix(rest, slice_text("t/")) || slice_has_prefix(rest, slice_text("j/"));
    if ((is_stream && message_stream_is_valid(slice_after(rest, 2))) || slice_is_text(rest, "hello")
        || slice_is_text(rest, "r")) {
        return (struct mqtt_fault){0};
    }
    return (struct mqtt_fault){.reason = MQTT_TOPIC_NAME_INVALID,
                               .clause = "a device publishes hello, r, t/STREAM and j/STREAM"};
}

struct mqtt_fault gw_may_publish(const struct gw_rights *rights,
                                 const uint8_t prefix[GW_TOPIC_PREFIX_LEN],
                                 struct slice topic)
{
    if (rights == NULL) {
        return device_may_publish(prefix, topic);
    }
    if (slice_is_text(topic, "hf") || slice_has_prefix(topic, slice_text("hf/"))) {
        return (struct mqtt_fault){.reason = MQTT_NOT_AUTHORIZED,
                                   .clause = "below hf/ devices speak, and no application"};
    }
    for (uint32_t i = 0; i < rights->publish.count; i++) {
        if (mqtt_filter_matches(rights->publish.items[i], topic)) {
            return (struct mqtt_fault){0};
        }
    }
    return (struct mqtt_fault){.reason = MQTT_NOT_AUTHORIZED,
                               .clause =
                                   "the topic is outside of what this application may publish"};
}

struct mqtt_fault gw_may_subscribe(const struct gw_rights *rights,
                                   const uint8_t prefix[GW_TOPIC_PREFIX_LEN],
                                   struct slice filter)
{
    struct slice name, inner = filter;
    (void)mqtt_filter_is_shared(filter, &name, &inner);
    if (rights == NULL) {
        struct slice rest = slice_has_prefix(inner, slice_of(prefix, GW_TOPIC_PREFIX_LEN))
                                ? slice_after(inner, GW_TOPIC_PREFIX_LEN)
                                : (struct slice){0};
        if (slice_is_text(rest, "c") || slice_is_text(rest, "n")) {
            return (struct mqtt_fault){0};
        }
        return (struct mqtt_fault){.reason = MQTT_NOT_AUTHORIZED,
                                   .clause = "a device hears only its own commands and notices"};
    }
    for (uint32_t i = 0; i < rights->subscribe.count; i++) {
        if (mqtt_filter_covers(rights->subscribe.items[i], inner)) {
            return (struct mqtt_fault){0};
        }
    }
    return (struct mqtt_fault){
        .reason = MQTT_NOT_AUTHORIZED,
        .clause = "the filter reaches outside of what this application may subscribe to"};
}

/* '*' stands for any run: the shortest first, back to the newest star where it does not fit. */
static bool fits(struct slice pattern, struct slice text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.len && pattern.at[p] == text.at[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

bool gw_may_be_called(const struct gw_rights *rights, struct slice client_id)
{
    if (rights == NULL) {
        return true;
    }
    for (uint32_t i = 0; i < rights->client_ids.count; i++) {
        if (fits(rights->client_ids.items[i], client_id)) {
            return true;
        }
    }
    return false;
}
