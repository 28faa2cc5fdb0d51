/* DISCONNECT (3.14) and AUTH (3.15): a reason code that may be left out, and properties that may
 * too. */
#include "codec/mqtt_wire.h"

void mqtt_decode_goodbye(struct mqtt_scan *s, enum mqtt_type type, struct mqtt_goodbye *out)
{
    if (s->version != MQTT_5_0) {
        return;
    }
    if (s->r.rest.len == 0) {
        /* 3.14.2.1: normal disconnection. 3.15.2.1: success, which only a server says. */
        if (type == MQTT_AUTH && s->sender == MQTT_FROM_CLIENT) {
            mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "success in an AUTH of a client (3.15.2.1)");
        }
        return;
    }
    out->reason = mqtt_read_reason(s, type);
    if (s->r.rest.len == 0 && type == MQTT_DISCONNECT) {
        return; /* 3.14.2.2.1: no property length either */
    }
    mqtt_read_properties(s, type, &out->properties);
    if (type == MQTT_AUTH && !mqtt_has(&out->properties, MQTT_AUTHENTICATION_METHOD)) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR,
                         "an AUTH without an authentication method (3.15.2.2.2)");
    }
}

void mqtt_encode_goodbye(struct writer *w, enum mqtt_type type, const struct mqtt_goodbye *goodbye)
{
    bool has_properties = !mqtt_properties_are_absent(&goodbye->properties);
    if (goodbye->reason == MQTT_SUCCESS && !has_properties) {
        return;
    }
    write_u8(w, goodbye->reason);
    if (has_properties || type == MQTT_AUTH) {
        mqtt_write_properties(w, &goodbye->properties);
    }
}
