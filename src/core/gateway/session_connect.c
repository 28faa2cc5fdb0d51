/*
 * CONNECT and CONNACK: which clients are taken, and what they are told of this gateway's limits
 * (MQTT 5.0 3.1, 3.2).
 */
#include "base/invariant.h"
#include "core/gateway/session_inside.h"

#include <string.h>

static struct mqtt_fault will_fault(const struct gw_session *s, const struct mqtt_connect *c)
{
    if (c->will.topic.len > GW_TOPIC_MAX) {
        return (struct mqtt_fault){MQTT_TOPIC_NAME_INVALID, "the will's topic is above 512 bytes",
                                   c->version};
    }
    struct mqtt_fault fault = gw_may_publish(s->rights, s->prefix, c->will.topic);
    fault.version = c->version;
    return fault;
}

static struct mqtt_fault client_id_fault(const struct mqtt_connect *c)
{
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
    struct mqtt_fault fault = client_id_fault(c);
    return fault.clause == NULL && c->has_will ? will_fault(s, c) : fault;
}

/* Its own, or one of this process alone (3.1.3.1). */
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

/* 3.1.1 knows sessions that are kept for ever, and such that end with the connection. */
static void take_expiry(struct gw_session *s, const struct mqtt_connect *c)
{
    s->asked_expiry_s = c->version == MQTT_5_0 ? c->properties.session_expiry_s
                        : c->clean_start       ? 0
                                               : UINT32_MAX;
    s->expiry_s = s->asked_expiry_s < s->limits->session_expiry_max_s
                      ? s->asked_expiry_s
                      : s->limits->session_expiry_max_s;
}

static void take_properties(struct gw_session *s, const struct mqtt_connect *c)
{
    const struct mqtt_properties *p = &c->properties;
    s->version = c->version;
    s->wants_reasons =
        c->version == MQTT_5_0
        && (!mqtt_has(p, MQTT_REQUEST_PROBLEM_INFORMATION) || p->request_problem_information == 1);
    s->peer_packet_max =
        mqtt_has(p, MQTT_MAXIMUM_PACKET_SIZE) ? p->maximum_packet_size : UINT32_MAX;
    s->peer_alias_max = p->topic_alias_maximum;
    s->asked_keep_alive_s = c->keep_alive_s;
    bool is_in_bounds = c->keep_alive_s > 0 && c->keep_alive_s <= s->limits->keep_alive_max_s;
    s->keep_alive_s = is_in_bounds ? c->keep_alive_s : (uint16_t)s->limits->keep_alive_max_s;
    take_expiry(s, c);
}

void gw_take_connect(struct gw_session *s, const struct mqtt_connect *c, struct gw_effects *out)
{
    struct mqtt_fault fault = fault_of(s, c);
    take_properties(s, c);
    if (fault.clause == NULL) {
        take_client_id(s, c);
        if (!gw_may_be_called(s->rights, gw_session_client_id(s))) {
            fault = (struct mqtt_fault){MQTT_CLIENT_ID_NOT_VALID,
                                        "a client id this application may not use (3.1.3.1)",
                                        c->version};
        }
    }
    if (fault.clause != NULL) {
        gw_take_denial(s, fault, out);
        return;
    }
    gw_enter(s, GW_CHECKING);
    struct gw_effect *effect = gw_order(out, GW_ASK_ADMISSION);
    effect->admission.client_id = gw_session_client_id(s);
    effect->admission.expiry_s = s->expiry_s;
    effect->admission.receive_max =
        mqtt_has(&c->properties, MQTT_RECEIVE_MAXIMUM) ? c->properties.receive_maximum : UINT16_MAX;
    effect->admission.connect = c;
}

static struct mqtt_packet refusing_connack(const struct gw_session *s,
                                           struct mqtt_fault why,
                                           struct slice server_reference)
{
    struct mqtt_packet p = {.type = MQTT_CONNACK};
    if (s->version == MQTT_5_0) {
        p.connack.reason = (uint8_t)why.reason;
        p.connack.properties.reason_string = slice_text(why.clause);
        mqtt_set(&p.connack.properties, MQTT_REASON_STRING);
        if (server_reference.len > 0) {
            p.connack.properties.server_reference = server_reference;
            mqtt_set(&p.connack.properties, MQTT_SERVER_REFERENCE);
        }
    } else {
        p.connack.reason = mqtt_return_code(why.reason);
    }
    return p;
}

static void deny(struct gw_session *s,
                 struct mqtt_fault why,
                 struct slice server_reference,
                 struct gw_effects *out)
{
    if (why.version != 0 || why.reason == MQTT_UNSUPPORTED_VERSION) {
        /* A client of a version we do not know understands, if any, the CONNACK of 3.1.1. */
        s->version = why.version != 0 ? why.version : MQTT_3_1_1;
        gw_order(out, GW_SEND)->packet = refusing_connack(s, why, server_reference);
    }
    gw_order(out, GW_REFUSE)->fault = why;
    struct gw_effect *effect = gw_order(out, GW_CLOSE);
    effect->close.end = GW_END_REFUSED;
    effect->close.expiry_s = s->expiry_s;
    effect->close.drops_will = true; /* it was never taken */
    gw_enter(s, GW_CLOSED);
}

void gw_take_denial(struct gw_session *s, struct mqtt_fault why, struct gw_effects *out)
{
    deny(s, why, (struct slice){0}, out);
}

void gw_take_verdict(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    struct mqtt_fault why = {.reason = ev->stop.reason,
                             .clause = ev->stop.clause != NULL ? ev->stop.clause
                                                               : mqtt_reason_name(ev->stop.reason),
                             .version = s->version};
    deny(s, why, ev->stop.server_reference, out);
}

/* What is below the standard's default is said here, so that no client finds out by loss (3.2.2.3).
 * Left out, and so available: QoS 2, retained messages, wildcards, identifiers, shared
 * subscriptions. */
static void tell_limits(const struct gw_session *s, struct mqtt_properties *p)
{
    p->receive_maximum = (uint16_t)s->limits->inflight_max;
    mqtt_set(p, MQTT_RECEIVE_MAXIMUM);
    p->maximum_packet_size = s->limits->packet_max;
    mqtt_set(p, MQTT_MAXIMUM_PACKET_SIZE);
    if (s->aliases != NULL) {
        p->topic_alias_maximum = GW_ALIASES_MAX;
        mqtt_set(p, MQTT_TOPIC_ALIAS_MAXIMUM);
    }
}

void gw_order_connack(struct gw_session *s, struct gw_effects *out)
{
    struct gw_effect *effect = gw_order(out, GW_SEND);
    effect->packet =
        (struct mqtt_packet){.type = MQTT_CONNACK, .connack = {.session_present = s->has_session}};
    if (s->version != MQTT_5_0) {
        return;
    }
    struct mqtt_properties *p = &effect->packet.connack.properties;
    tell_limits(s, p);
    if (s->expiry_s != s->asked_expiry_s) {
        p->session_expiry_s = s->expiry_s;
        mqtt_set(p, MQTT_SESSION_EXPIRY_INTERVAL);
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
