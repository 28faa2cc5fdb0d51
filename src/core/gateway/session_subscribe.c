/*
 * SUBSCRIBE and UNSUBSCRIBE (3.8 to 3.11). Each filter gets its own code; nothing is granted that
 * would silently deliver nothing. SUBACK and UNSUBACK follow what they promise to stable storage.
 */
#include "codec/mqtt_topic.h"
#include "core/gateway/session_inside.h"

#include <string.h>

static struct mqtt_fault fault_of(const struct gw_session *s, const struct mqtt_subscription *sub)
{
    struct slice name, rest;
    if (sub->filter.len > GW_TOPIC_MAX) {
        return (struct mqtt_fault){.reason = MQTT_IMPLEMENTATION_SPECIFIC,
                                   .clause = "a topic filter longer than 512 bytes"};
    }
    if (sub->no_local && mqtt_filter_is_shared(sub->filter, &name, &rest)) {
        return (struct mqtt_fault){.reason = MQTT_PROTOCOL_ERROR,
                                   .clause = "No Local on a shared subscription (3.8.3.1)"};
    }
    return gw_may_subscribe(s->rights, s->prefix, sub->filter);
}

void gw_order_suback(struct gw_session *s, struct gw_effects *out)
{
    enum mqtt_type type = (enum mqtt_type)s->answer_type;
    bool has_codes = type == MQTT_SUBACK || s->version == MQTT_5_0;
    gw_order(out, GW_SEND)->packet = (struct mqtt_packet){
        .type = type,
        .suback = {.packet_id = s->answer_packet_id,
                   .codes = slice_of(s->codes, has_codes ? s->answer_count : 0)},
    };
}

/* 3.1.1 has one code for all that is refused (3.9.3). */
static uint8_t refusal(const struct gw_session *s, uint8_t reason)
{
    return s->version == MQTT_5_0 ? reason : MQTT_UNSPECIFIED_ERROR;
}

void gw_take_subscribe(struct gw_session *s,
                       const struct mqtt_packet *packet,
                       struct gw_effects *out)
{
    const struct mqtt_subscribe *subscribe = &packet->subscribe;
    struct mqtt_fault refused = {0};
    struct mqtt_subscription sub;
    uint32_t granted = 0;
    if (subscribe->count > GW_FILTERS_MAX) {
        gw_refuse(s, out, MQTT_QUOTA_EXCEEDED, "more than 32 filters in one SUBSCRIBE");
        return;
    }
    s->answer_type = MQTT_SUBACK;
    s->answer_packet_id = subscribe->packet_id;
    s->answer_count = 0;
    for (struct slice rest = subscribe->entries; mqtt_subscription_next(&rest, s->version, &sub);) {
        struct mqtt_fault fault = fault_of(s, &sub);
        if (fault.reason == MQTT_PROTOCOL_ERROR) {
            gw_close(s, out, GW_END_REFUSED, fault);
            return;
        }
        refused = fault.clause != NULL ? fault : refused;
        granted += fault.clause == NULL;
        s->codes[s->answer_count++] =
            fault.clause == NULL ? sub.qos : refusal(s, (uint8_t)fault.reason);
    }
    if (refused.clause != NULL) {
        gw_order(out, GW_REFUSE)->fault = refused;
    }
    if (granted == 0) {
        gw_order_suback(s, out);
        return;
    }
    uint32_t id = 0;
    struct slice ids = subscribe->properties.repeated;
    (void)mqtt_subscription_id_next(&ids, &id); /* at most one (3.8.2.1.2), which the codec sees */
    gw_await(s, MQTT_SUBSCRIBE, subscribe->packet_id);
    struct gw_effect *effect = gw_order(out, GW_SUBSCRIBE);
    effect->filters.entries = subscribe->entries;
    effect->filters.count = subscribe->count;
    effect->filters.subscription_id = id;
    effect->filters.codes = s->codes;
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
    s->answer_type = MQTT_UNSUBACK;
    s->answer_packet_id = unsubscribe->packet_id;
    s->answer_count = (uint8_t)unsubscribe->count;
    memset(s->codes, 0, unsubscribe->count);
    gw_await(s, MQTT_UNSUBSCRIBE, unsubscribe->packet_id);
    struct gw_effect *effect = gw_order(out, GW_UNSUBSCRIBE);
    effect->filters.entries = unsubscribe->entries;
    effect->filters.count = unsubscribe->count;
    effect->filters.subscription_id = 0;
    effect->filters.codes = s->codes;
}

void gw_filters_staged(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    for (uint32_t i = 0; ev->staged.codes != NULL && i < s->answer_count; i++) {
        uint8_t code = ev->staged.codes[i];
        s->codes[i] = code < MQTT_UNSPECIFIED_ERROR ? code : refusal(s, code);
    }
    if (ev->staged.position > s->durable) {
        gw_hold(s, (enum mqtt_type)s->answer_type, ev->staged.position, out);
    } else {
        gw_order_suback(s, out);
    }
}
