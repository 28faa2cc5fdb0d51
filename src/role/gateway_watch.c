/* The message trace of one device: what it says and hears at this gateway, kept in a ring while an
 * operator looks. */
#include "base/invariant.h"
#include "role/gateway_admin.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT = 512, TOPIC_MAX = 160 };

struct watched {
    int64_t wall_ms;
    const char *what; /* static: "PUBLISH" */
    bool is_ours;     /* the gateway said it */
    bool has_reason;
    uint8_t reason, qos;
    uint16_t packet_id;
    uint32_t bytes, place, count;
    char topic[TOPIC_MAX];
};

struct gateway_watch {
    struct device_id device;
    uint64_t count; /* of events since it began; the newest is at (count - 1) % KEPT */
    struct watched kept[KEPT];
};

void gateway_watch_begin(struct gateway *g, const struct device_id *device, uint32_t seconds)
{
    bool is_same = g->watch != NULL && device_id_equal(&g->watch->device, device);
    if (!is_same) {
        gateway_watch_end(g);
        g->watch = calloc(1, sizeof *g->watch);
        INVARIANT(g->watch != NULL);
        g->watch->device = *device;
    }
    g->watch_until_ms = port_now_ms(g->port) + (uint64_t)seconds * 1000;
}

void gateway_watch_end(struct gateway *g)
{
    free(g->watch);
    g->watch = NULL;
}

static struct watched *keep(struct gateway *g, const struct gateway_conn *c)
{
    struct gateway_watch *watch = g->watch;
    if (!device_id_equal(&watch->device, &c->session.owner)) {
        return NULL;
    }
    struct watched *e = &watch->kept[watch->count++ % KEPT];
    *e = (struct watched){.wall_ms = g->wall_ms, .place = c->index, .count = 1};
    return e;
}

static void keep_topic(struct watched *e, struct slice topic)
{
    size_t len = topic.len < TOPIC_MAX - 1 ? topic.len : TOPIC_MAX - 1;
    if (len > 0) {
        memcpy(e->topic, topic.at, len);
    }
}

void gateway_watch_packet(struct gateway *g,
                          const struct gateway_conn *c,
                          const struct mqtt_packet *packet,
                          bool is_ours)
{
    struct watched *e = keep(g, c);
    if (e == NULL) {
        return;
    }
    e->what = mqtt_type_name(packet->type);
    e->is_ours = is_ours;
    switch (packet->type) {
    case MQTT_PUBLISH:
        keep_topic(e, packet->publish.topic);
        e->qos = packet->publish.qos;
        e->packet_id = packet->publish.packet_id;
        e->bytes = (uint32_t)packet->publish.payload.len;
        return;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        e->packet_id = packet->ack.packet_id;
        e->reason = packet->ack.reason;
        e->has_reason = true;
        return;
    case MQTT_CONNECT: keep_topic(e, packet->connect.client_id); return;
    case MQTT_CONNACK:
        e->reason = packet->connack.reason;
        e->has_reason = true;
        return;
    case MQTT_DISCONNECT:
        e->reason = packet->disconnect.reason;
        e->has_reason = true;
        return;
    case MQTT_SUBSCRIBE:
    case MQTT_SUBACK:
    case MQTT_UNSUBSCRIBE:
    case MQTT_UNSUBACK:
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
    case MQTT_AUTH: return;
    }
}

void gateway_watch_acks(struct gateway *g,
                        const struct gateway_conn *c,
                        const struct gw_pending *list,
                        uint32_t count)
{
    struct watched *e = count > 0 ? keep(g, c) : NULL;
    if (e != NULL) {
        e->what = mqtt_type_name((enum mqtt_type)list[0].type);
        e->is_ours = true;
        e->packet_id = list[0].packet_id;
        e->reason = list[0].reason;
        e->has_reason = true;
        e->count = count;
    }
}

void gateway_watch_note(struct gateway *g,
                        const struct gateway_conn *c,
                        const char *what,
                        const char *words)
{
    struct watched *e = keep(g, c);
    if (e != NULL) {
        e->what = what;
        e->is_ours = true;
        keep_topic(e, slice_text(words));
    }
}

static void write_event(struct json_writer *j, uint64_t number, const struct watched *e)
{
    json_object(j);
    json_put_u64(j, "number", number);
    json_put_time(j, "at", e->wall_ms);
    json_put_text(j, "from", e->is_ours ? "gateway" : "device");
    json_put_text(j, "what", e->what);
    json_put_text(j, "topic", e->topic);
    json_put_u64(j, "qos", e->qos);
    json_put_u64(j, "packet_id", e->packet_id);
    json_put_u64(j, "bytes", e->bytes);
    json_put_u64(j, "count", e->count);
    if (e->has_reason) {
        json_put_u64(j, "reason", e->reason);
        json_put_text(j, "reason_name", mqtt_reason_name((enum mqtt_reason)e->reason));
    } else {
        json_put_null(j, "reason");
        json_put_null(j, "reason_name");
    }
    json_put_u64(j, "place", e->place);
    json_object_end(j);
}

void gateway_watch_write(struct gateway *g, struct json_writer *j, uint64_t after)
{
    const struct gateway_watch *watch = g->watch;
    uint64_t count = watch != NULL ? watch->count : 0;
    uint64_t oldest = count > KEPT ? count - KEPT : 0;
    uint64_t first = after > count ? count : after > oldest ? after : oldest;
    uint64_t now_ms = port_now_ms(g->port);
    json_object(j);
    json_put_u64(j, "v", 1);
    json_put_double(j, "left_s",
                    watch != NULL && g->watch_until_ms > now_ms
                        ? (double)(g->watch_until_ms - now_ms) / 1000
                        : 0);
    json_put_u64(j, "last", count);
    json_put_u64(j, "missed", after < oldest ? oldest - after : 0);
    json_name(j, "items");
    json_array(j);
    for (uint64_t i = first; i < count; i++) {
        write_event(j, i + 1, &watch->kept[i % KEPT]);
    }
    json_array_end(j);
    json_object_end(j);
}
