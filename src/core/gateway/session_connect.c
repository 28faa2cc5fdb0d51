/*
 * CONNECT and CONNACK: which clients are taken, and what they are told of this gateway's limits
 * (MQTT 5.0 3.1, 3.2). No sessions beyond the connection and no wills yet: a client that asks for
 * them is told so, never silently short-changed.
 */
#include "base/invariant.h"
#include "core/gateway/session_inside.h"

#include <string.h>

static struct mqtt_fault fault_of(const struct gw_session *s, const struct mqtt_connect *c)
{
    if (c->version == MQTT_3_1_1 && !s->limits->allow_3_1_1) {
        return (struct mqtt_fault){MQTT_UNSUPPORTED_VERSION, "MQTT 3.1.1 is switched off here",
                                   c->version};
    }
    if (mqtt_has(&c->properties, MQTT_AUTHENTICATION_METHOD)) {
        return (struct mqtt_fault){MQTT_BAD_AUTHENTICATION_METHOD,
                                   "no authentication method but the certificate is taken (4.12)",
                                   c->version};
    }
    if (c->has_will && c->will.qos > 1) {
        return (struct mqtt_fault){MQTT_QOS_NOT_SUPPORTED, "the will's QoS is above 1 (3.2.2.3.4)",
                                   c->version};
    }
    if (c->has_will && c->will.retain) {
        return (struct mqtt_fault){MQTT_RETAIN_NOT_SUPPORTED, "the will is retained (3.2.2.3.5)",
                                   c->version};
    }
    if (c->has_will) {
        return (struct mqtt_fault){MQTT_IMPLEMENTATION_SPECIFIC,
                                   "this gateway takes no will messages", c->version};
    }
    if (c->client_id.len > GW_CLIENT_ID_MAX) {
        return (struct mqtt_fault){MQTT_CLIENT_ID_NOT_VALID,
                                   "the client id is longer than 128 bytes (3.1.3.1)", c->version};
    }
    if (c->client_id.len == 0 && c->version == MQTT_3_1_1 && !c->clean_start) {
        return (struct mqtt_fault){MQTT_CLIENT_ID_NOT_VALID,
                                   "no client id, and not a clean session (3.1.1: 3.1.3.1)",
                                   c->version};
    }
    return (struct mqtt_fault){0};
}

static void take_client_id(struct gw_session *s, const struct mqtt_connect *c)
{
    struct writer w = writer_over(s->client_id, sizeof s->client_id);
    s->was_assigned = c->client_id.len == 0;
    if (s->was_assigned) {
        write_text(&w, "auto-");
        write_decimal(&w, s->number);
    } else {
        write_slice(&w, c->client_id);
    }
    INVARIANT(writer_ok(&w));
    s->client_id_len = (uint32_t)w.len;
}

void gw_take_connect(struct gw_session *s, const struct mqtt_connect *c, struct gw_effects *out)
{
    const struct mqtt_properties *p = &c->properties;
    struct mqtt_fault fault = fault_of(s, c);
    s->version = c->version;
    s->wants_reasons =
        c->version == MQTT_5_0
        && (!mqtt_has(p, MQTT_REQUEST_PROBLEM_INFORMATION) || p->request_problem_information == 1);
    s->peer_packet_max =
        mqtt_has(p, MQTT_MAXIMUM_PACKET_SIZE) ? p->maximum_packet_size : UINT32_MAX;
    if (fault.clause != NULL) {
        gw_take_denial(s, fault, out);
        return;
    }
    s->may_keep_session = p->session_expiry_s > 0;
    s->asked_keep_alive_s = c->keep_alive_s;
    bool is_in_bounds = c->keep_alive_s > 0 && c->keep_alive_s <= s->limits->keep_alive_max_s;
    s->keep_alive_s = is_in_bounds ? c->keep_alive_s : (uint16_t)s->limits->keep_alive_max_s;
    take_client_id(s, c);
    gw_enter(s, GW_CHECKING);
    gw_order(out, GW_ASK_ADMISSION)->client_id = gw_session_client_id(s);
}

static struct mqtt_packet refusing_connack(const struct gw_session *s, struct mqtt_fault why)
{
    struct mqtt_packet p = {.type = MQTT_CONNACK};
    if (s->version == MQTT_5_0) {
        p.connack.reason = (uint8_t)why.reason;
        p.connack.properties.reason_string = slice_text(why.clause);
        mqtt_set(&p.connack.properties, MQTT_REASON_STRING);
    } else {
        p.connack.reason = mqtt_return_code(why.reason);
    }
    return p;
}

void gw_take_denial(struct gw_session *s, struct mqtt_fault why, struct gw_effects *out)
{
    if (why.version != 0 || why.reason == MQTT_UNSUPPORTED_VERSION) {
        /* A client of a version we do not know understands, if any, the CONNACK of 3.1.1. */
        s->version = why.version != 0 ? why.version : MQTT_3_1_1;
        gw_order(out, GW_SEND)->packet = refusing_connack(s, why);
    }
    gw_order(out, GW_REFUSE)->fault = why;
    gw_order(out, GW_CLOSE)->end = GW_END_REFUSED;
    gw_enter(s, GW_CLOSED);
}

/* What this gateway cannot do is said here, so that no client finds out by loss (3.2.2.3). */
static void tell_limits(const struct gw_session *s, struct mqtt_properties *p)
{
    p->receive_maximum = (uint16_t)s->limits->inflight_max;
    mqtt_set(p, MQTT_RECEIVE_MAXIMUM);
    p->maximum_packet_size = s->limits->packet_max;
    mqtt_set(p, MQTT_MAXIMUM_PACKET_SIZE);
    p->maximum_qos = 1;
    mqtt_set(p, MQTT_MAXIMUM_QOS);
    mqtt_set(p, MQTT_RETAIN_AVAILABLE);
    mqtt_set(p, MQTT_WILDCARD_SUBSCRIPTION_AVAILABLE);
    mqtt_set(p, MQTT_SUBSCRIPTION_IDENTIFIERS_AVAILABLE);
    mqtt_set(p, MQTT_SHARED_SUBSCRIPTION_AVAILABLE);
}

void gw_order_connack(struct gw_session *s, struct gw_effects *out)
{
    struct gw_effect *effect = gw_order(out, GW_SEND);
    effect->packet = (struct mqtt_packet){.type = MQTT_CONNACK};
    if (s->version != MQTT_5_0) {
        return;
    }
    struct mqtt_properties *p = &effect->packet.connack.properties;
    tell_limits(s, p);
    if (s->may_keep_session) {
        mqtt_set(p, MQTT_SESSION_EXPIRY_INTERVAL); /* 0: it ends with the connection */
    }
    if (s->was_assigned) {
        p->assigned_client_id = gw_session_client_id(s);
        mqtt_set(p, MQTT_ASSIGNED_CLIENT_IDENTIFIER);
    }
    if (s->keep_alive_s != s->asked_keep_alive_s) {
        p->server_keep_alive_s = s->keep_alive_s;
        mqtt_set(p, MQTT_SERVER_KEEP_ALIVE);
    }
}
