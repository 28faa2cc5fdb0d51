/* What session.c and session_connect.c share. */
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

/* session_connect.c */
void gw_take_connect(struct gw_session *s,
                     const struct mqtt_connect *connect,
                     struct gw_effects *out);
void gw_take_denial(struct gw_session *s, struct mqtt_fault why, struct gw_effects *out);
void gw_order_connack(struct gw_session *s, struct gw_effects *out);

/* session_subscribe.c */
void gw_take_subscribe(struct gw_session *s,
                       const struct mqtt_packet *packet,
                       struct gw_effects *out);
void gw_take_unsubscribe(struct gw_session *s,
                         const struct mqtt_packet *packet,
                         struct gw_effects *out);

#endif
