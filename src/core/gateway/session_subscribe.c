/*
 * SUBSCRIBE and UNSUBSCRIBE (3.8 to 3.11): a device may hear its own commands and notices, and
 * nothing else. Each filter gets its own code; nothing is granted that would silently deliver
 * nothing.
 */
#include "codec/mqtt_topic.h"
#include "core/gateway/session_inside.h"

static bool *switch_of(struct gw_session *s, struct slice filter)
{
    if (!slice_has_prefix(filter, slice_of(s->prefix, sizeof s->prefix))) {
        return NULL;
    }
    struct slice rest = slice_after(filter, sizeof s->prefix);
    if (slice_is_text(rest, "c")) {
        return &s->takes_commands;
    }
    return slice_is_text(rest, "n") ? &s->takes_notices : NULL;
}

static struct mqtt_fault fault_of(struct slice filter)
{
    struct slice name, rest;
    if (mqtt_filter_is_shared(filter, &name, &rest)) {
        return (struct mqtt_fault){.reason = MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
                                   .clause = "shared subscriptions are not offered (3.2.2.3.13)"};
    }
    if (mqtt_filter_has_wildcard(filter)) {
        return (struct mqtt_fault){.reason = MQTT_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
                                   .clause = "wildcards are not offered (3.2.2.3.11)"};
    }
    return (struct mqtt_fault){.reason = MQTT_NOT_AUTHORIZED,
                               .clause = "a device hears only its own commands and notices"};
}

static uint8_t subscribe_one(struct gw_session *s,
                             const struct mqtt_subscription *sub,
                             struct mqtt_fault *refused)
{
    bool *on = switch_of(s, sub->filter);
    if (on == NULL) {
        *refused = fault_of(sub->filter);
        return s->version == MQTT_5_0 ? (uint8_t)refused->reason : MQTT_UNSPECIFIED_ERROR;
    }
    *on = true;
    return sub->qos > 0 ? MQTT_GRANTED_QOS_1 : MQTT_SUCCESS;
}

static void answer(struct gw_session *s,
                   enum mqtt_type type,
                   uint16_t packet_id,
                   uint32_t count,
                   struct gw_effects *out)
{
    bool has_codes = type == MQTT_SUBACK || s->version == MQTT_5_0;
    gw_order(out, GW_SEND)->packet = (struct mqtt_packet){
        .type = type,
        .suback = {.packet_id = packet_id, .codes = slice_of(s->codes, has_codes ? count : 0)},
    };
}

void gw_take_subscribe(struct gw_session *s,
                       const struct mqtt_packet *packet,
                       struct gw_effects *out)
{
    const struct mqtt_subscribe *subscribe = &packet->subscribe;
    if (mqtt_has(&subscribe->properties, MQTT_SUBSCRIPTION_IDENTIFIER)) {
        gw_refuse(s, out, MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED,
                  "subscription identifiers are not offered (3.2.2.3.12)");
        return;
    }
    if (subscribe->count > GW_FILTERS_MAX) {
        gw_refuse(s, out, MQTT_QUOTA_EXCEEDED, "more than 32 filters in one SUBSCRIBE");
        return;
    }
    struct mqtt_fault refused = {0};
    struct mqtt_subscription sub;
    uint32_t count = 0;
    for (struct slice rest = subscribe->entries; mqtt_subscription_next(&rest, s->version, &sub);) {
        s->codes[count++] = subscribe_one(s, &sub, &refused);
    }
    answer(s, MQTT_SUBACK, subscribe->packet_id, count, out);
    if (refused.clause != NULL) {
        gw_order(out, GW_REFUSE)->fault = refused;
    }
}

void gw_take_unsubscribe(struct gw_session *s,
                         const struct mqtt_packet *packet,
                         struct gw_effects *out)
{
    const struct mqtt_unsubscribe *unsubscribe = &packet->unsubscribe;
    if (unsubscribe->count > GW_FILTERS_MAX) {
        gw_refuse(s, out, MQTT_QUOTA_EXCEEDED, "more than 32 filters in one UNSUBSCRIBE");
        return;
    }
    struct slice filter;
    uint32_t count = 0;
    for (struct slice rest = unsubscribe->entries; mqtt_filter_next(&rest, &filter);) {
        bool *on = switch_of(s, filter);
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): given at init */
        s->codes[count++] = on != NULL && *on ? MQTT_SUCCESS : MQTT_NO_SUBSCRIPTION_EXISTED;
        if (on != NULL) {
            *on = false;
        }
    }
    answer(s, MQTT_UNSUBACK, unsubscribe->packet_id, count, out);
}
