/* What session.c and its parts share. */
#ifndef CORE_GATEWAY_SESSION_INSIDE_H
#define CORE_GATEWAY_SESSION_INSIDE_H

#include "core/gateway/session.h"

struct gw_effect *gw_order(struct gw_effects *out, enum gw_effect_kind kind);
void gw_enter(struct gw_session *s, enum gw_state next);

/* A DISCONNECT with the reason, where version and state have one; the refusal, where it is one; the
 * end. */
void gw_close(struct gw_session *s, struct gw_effects *out, enum gw_end end, struct mqtt_fault why);
void gw_refuse(struct gw_session *s,
               struct gw_effects *out,
               enum mqtt_reason reason,
               const char *clause);

/* Something was asked for `type`, whose answer is GW_STAGED, GW_NO_ROOM or GW_QUEUE_FULL. */
void gw_await(struct gw_session *s, enum mqtt_type type, uint16_t packet_id);
/* Reads no more until `position` is stored; then CONNACK, SUBACK or UNSUBACK go out. */
void gw_hold(struct gw_session *s,
             enum mqtt_type answer,
             uint64_t position,
             struct gw_effects *out);

/* session_connect.c */
void gw_take_connect(struct gw_session *s,
                     const struct mqtt_connect *connect,
                     struct gw_effects *out);
void gw_take_denial(struct gw_session *s, struct mqtt_fault why, struct gw_effects *out);
void gw_take_verdict(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out);
void gw_order_connack(struct gw_session *s, struct gw_effects *out);

/* session_publish.c */
void gw_take_publish(struct gw_session *s,
                     const struct mqtt_packet *packet,
                     struct gw_effects *out);
void gw_take_pubrel(struct gw_session *s, const struct mqtt_packet *packet, struct gw_effects *out);
void gw_take_ack(struct gw_session *s, const struct mqtt_packet *packet, struct gw_effects *out);
void gw_publish_staged(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out);
void gw_pubrel_staged(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out);
void gw_ack_taken(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out);
void gw_release(struct gw_session *s, struct gw_effects *out);
struct gw_pending *gw_ring_at(const struct gw_session *s, uint32_t i);

/* session_alias.c: what a PUBLISH without a topic means, empty where nobody knows */
struct slice gw_alias_topic(const struct gw_session *s, const struct mqtt_publish *p);
/* The topic of a PUBLISH; false where its alias ended the connection. */
bool gw_alias_in(struct gw_session *s,
                 const struct mqtt_publish *p,
                 struct slice *topic,
                 struct gw_effects *out);

/* session_subscribe.c */
void gw_take_subscribe(struct gw_session *s,
                       const struct mqtt_packet *packet,
                       struct gw_effects *out);
void gw_take_unsubscribe(struct gw_session *s,
                         const struct mqtt_packet *packet,
                         struct gw_effects *out);
void gw_filters_staged(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out);
void gw_order_suback(struct gw_session *s, struct gw_effects *out);

#endif
