/*
 * The session on the wire: dials, encodes what the link orders, decodes what the gateway says, and
 * publishes what waits while the link allows it.
 */
#include "codec/mqtt.h"
#include "role/device_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECEIVE_CAP = 16384,
    SEND_CAP = 512 * 1024, /* a whole window of the longest messages */
    HANDSHAKE_MS = 15000,
    PACKET_IN_MAX = 8192,
    PACKET_OUT_MAX = OUTBOX_MESSAGE_MAX + 256
};

static void topic_of(const struct device *d,
                     enum message_topic_kind kind,
                     struct slice stream,
                     struct writer *w)
{
    message_topic_write(w,
                        &(struct message_topic){.kind = kind, .device = d->id, .stream = stream});
}

/* What this connection is, or will be, authenticated with. */
static const struct device_identity *identity_of_link(const struct device *d)
{
    return d->generation.uses_new ? &d->renewed : &d->own;
}

struct port_tls *device_link_tls(const struct device *d, const struct device_identity *as)
{
    const struct device_identity *own = d->tls_is_renewed ? &d->renewed : &d->own;
    return as == own && d->tls_has_clock == device_has_clock(d) ? d->tls : NULL;
}

void device_dial(struct device *d, uint32_t gateway)
{
    bool old_is_valid = device_is_valid(d, &d->own);
    device_trace_generation(d, GENERATION_CALL_DIAL, old_is_valid);
    bool uses_new = generation_dial(&d->generation, port_now_ms(d->port), old_is_valid);
    bool has_clock = device_has_clock(d);
    if (uses_new != d->tls_is_renewed || has_clock != d->tls_has_clock) {
        port_tls_free(d->tls);
        d->tls = NULL;
        d->tls_is_renewed = uses_new;
        d->tls_has_clock = has_clock;
    }
    struct port_why why = {0};
    const char *address = d->config.gateways[gateway];
    char host[DEVICE_TEXT_MAX];
    const char *colon = strrchr(address, ':');
    size_t len = colon == NULL ? strlen(address) : (size_t)(colon - address);
    struct port_listen_options options = {
        .receive_cap = RECEIVE_CAP, .send_cap = SEND_CAP, .handshake_ms = HANDSHAKE_MS};
    bool has_brackets = len >= 2 && address[0] == '[' && address[len - 1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", (int)(has_brackets ? len - 2 : len),
                   address + has_brackets);
    if ((d->tls == NULL && device_tls(d, identity_of_link(d), &d->tls, &why) != PORT_OK)
        || port_connect(d->port, address, host, d->tls, &options, &d->conn_tag, &d->conn, &why)
               != PORT_OK) {
        device_say(d, "%s: %s", address, why.text);
        d->conn = NULL;
        device_feed_link(d, &(struct link_event){.kind = LINK_CLOSED});
    }
}

/* ---- sending ---- */

static bool send_packet(struct device *d, const struct mqtt_packet *packet)
{
    static uint8_t bytes[PACKET_OUT_MAX + SEAL_HELLO_MAX]; /* one thread */
    struct writer w = writer_over(bytes, sizeof bytes);
    return d->conn != NULL && mqtt_encode(packet, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_OK
           && writer_slice(&w).len <= d->link.packet_max && port_send(d->conn, writer_slice(&w));
}

static void send_connect(struct device *d)
{
    struct mqtt_packet packet = {
        .type = MQTT_CONNECT,
        .connect = {.version = MQTT_5_0,
                    .clean_start = true,
                    .keep_alive_s = LINK_KEEP_ALIVE_S,
                    .client_id = slice_text(d->id_text)},
    };
    packet.connect.properties.maximum_packet_size = PACKET_IN_MAX;
    mqtt_set(&packet.connect.properties, MQTT_MAXIMUM_PACKET_SIZE);
    (void)send_packet(d, &packet);
}

/* The hello of this or an earlier boot, bound to this connection. */
static bool send_hello(struct device *d,
                       const struct device_boot *boot,
                       uint16_t packet_id,
                       bool is_repetition)
{
    uint8_t topic[MESSAGE_TOPIC_MAX];
    uint8_t payload[SEAL_HELLO_MAX];
    struct writer tw = writer_over(topic, sizeof topic);
    struct writer pw = writer_over(payload, sizeof payload);
    const struct device_identity *as = identity_of_link(d);
    struct digest exporter = hash_of(slice_of(d->exporter, sizeof d->exporter));
    struct hello_claims claims = {
        .boot = boot->boot,
        .first = boot->first,
        .version = MESSAGE_VERSION,
        .agent = slice_text(d->agent),
    };
    memcpy(claims.ephemeral, boot->ephemeral, sizeof claims.ephemeral);
    memcpy(claims.exporter_digest, exporter.bytes, sizeof claims.exporter_digest);
    memcpy(claims.ingest_key_id, boot->ingest_key_id, sizeof claims.ingest_key_id);
    claims.has_oldest_unsent = outbox_oldest(&d->outbox, &claims.oldest_unsent);
    topic_of(d, TOPIC_HELLO, (struct slice){0}, &tw);
    if (seal_hello(&pw, as->key, slice_of(as->certificate, as->certificate_len), writer_slice(&tw),
                   &claims)
            != KEY_OK
        || !writer_ok(&pw)) {
        return false;
    }
    return send_packet(d, &(struct mqtt_packet){.type = MQTT_PUBLISH,
                                                .publish = {.dup = is_repetition,
                                                            .qos = 1,
                                                            .packet_id = packet_id,
                                                            .topic = writer_slice(&tw),
                                                            .payload = writer_slice(&pw)}});
}

static bool send_own_hello(struct device *d)
{
    struct device_boot boot = {.boot = d->sequence.boot, .first = d->sequence.first};
    memcpy(boot.ephemeral, d->ephemeral_public.bytes, sizeof boot.ephemeral);
    memcpy(boot.ingest_key_id, d->ingest_key_id, sizeof boot.ingest_key_id);
    return send_hello(d, &boot, LINK_HELLO_ID, false);
}

/* An earlier boot's hello goes before what was sealed in that boot; our own is known to the gateway
 * by now. */
static bool publish_boot(struct device *d, const struct outbox_message *message)
{
    struct device_boot boot;
    bool is_known =
        !device_boot_decode(message->payload, message->seq, &boot) || boot.boot == d->sequence.boot;
    if (!is_known) {
        return send_hello(d, &boot, message->packet_id, message->is_repetition);
    }
    if (outbox_acked(&d->outbox, message->packet_id)) {
        device_note_acked(d);
    }
    return true;
}

static bool publish(struct device *d, const struct outbox_message *message)
{
    uint8_t topic[MESSAGE_TOPIC_MAX];
    struct writer tw = writer_over(topic, sizeof topic);
    if (message->stream.len == 0) {
        return publish_boot(d, message);
    }
    topic_of(d, TOPIC_TELEMETRY, message->stream, &tw);
    return send_packet(d, &(struct mqtt_packet){.type = MQTT_PUBLISH,
                                                .publish = {.dup = message->is_repetition,
                                                            .qos = 1,
                                                            .packet_id = message->packet_id,
                                                            .topic = writer_slice(&tw),
                                                            .payload = message->payload}});
}

void device_publish(struct device *d)
{
    uint64_t now_ms = port_now_ms(d->port);
    struct outbox_message message;
    bool has_sent = false;
    while (link_may_publish(&d->link, d->outbox.sent, now_ms)
           && outbox_send(&d->outbox, &message)) {
        if (!publish(d, &message)) {
            outbox_not_sent(&d->outbox, &message);
            break;
        }
        has_sent = true;
    }
    if (has_sent) {
        device_feed_link(d, &(struct link_event){.kind = LINK_SENT});
    }
}

/* ---- orders ---- */

static void hang_up(struct device *d, const char *why)
{
    if (!d->is_stopping) {
        device_say(d, "hangs up: %s", why);
    }
    if (d->conn != NULL) {
        port_close(d->conn);
    }
}

/* The session is live with the renewed certificate: the old key is not needed any more. */
static void switch_if_proven(struct device *d)
{
    device_trace_generation(d, GENERATION_CALL_LIVE, false);
    if (!generation_live(&d->generation)) {
        return;
    }
    if (!device_switch_identity(d)) {
        device_fail(d, "renewed.pem", "cannot take the place of identity.pem");
        return;
    }
    d->tls_is_renewed = false;
    device_say(d, "has used its new certificate; the old key is gone");
}

void device_perform_link(struct device *d, const struct link_effect *effect)
{
    switch (effect->kind) {
    case LINK_DIAL: device_dial(d, effect->gateway); break;
    case LINK_SEND_CONNECT: send_connect(d); break;
    case LINK_SEND_HELLO:
        if (!send_own_hello(d)) {
            hang_up(d, "the hello cannot be made or is longer than the gateway takes");
        }
        break;
    case LINK_SEND_PING: (void)send_packet(d, &(struct mqtt_packet){.type = MQTT_PINGREQ}); break;
    case LINK_SEND_DISCONNECT:
        (void)send_packet(d, &(struct mqtt_packet){.type = MQTT_DISCONNECT,
                                                   .disconnect = {.reason = effect->reason}});
        break;
    case LINK_HANG_UP: hang_up(d, effect->why); break;
    case LINK_UP:
        device_say(d, "is live: boot %u", d->sequence.boot);
        switch_if_proven(d);
        break;
    case LINK_DOWN: outbox_link_lost(&d->outbox); break;
    case LINK_ACKED:
        if (outbox_acked(&d->outbox, effect->packet_id)) {
            device_note_acked(d);
        }
        break;
    case LINK_REFUSED:
        device_say(d, "a message is refused for good: %s",
                   mqtt_reason_name((enum mqtt_reason)effect->reason));
        if (outbox_refused(&d->outbox, effect->packet_id)) {
            device_note_acked(d);
        }
        break;
    case LINK_AGAIN:
        if (!outbox_again(&d->outbox, effect->packet_id)) {
            device_say(d, "the gateway answers a message that was not sent");
        }
        break;
    }
}

/* ---- receiving ---- */

static void received(struct device *d, struct slice bytes)
{
    size_t used = 0;
    while (d->conn != NULL) {
        struct mqtt_frame frame;
        struct mqtt_packet packet;
        struct mqtt_fault fault = {0};
        enum mqtt_result result =
            mqtt_frame_next(slice_after(bytes, used), PACKET_IN_MAX, &frame, &fault);
        if (result == MQTT_MORE) {
            break;
        }
        if (result != MQTT_OK
            || mqtt_decode(&frame, MQTT_5_0, MQTT_FROM_SERVER, &packet, &fault) != MQTT_OK) {
            device_say(d, "the gateway sends what is no MQTT: %s", fault.clause);
            port_abort(d->conn);
            return;
        }
        used += frame.size;
        device_feed_link(d, &(struct link_event){.kind = LINK_GOT, .packet = &packet});
    }
    if (d->conn != NULL) {
        port_consume(d->conn, used);
    }
}

bool device_conn_event(struct device *d, const struct port_event *ev)
{
    if (ev->user != &d->conn_tag) {
        return false;
    }
    if (ev->kind == PORT_CONNECTED) {
        struct port_peer peer;
        port_conn_peer(ev->conn, &peer);
        memcpy(d->exporter, peer.exporter, sizeof d->exporter);
        device_feed_link(d, &(struct link_event){.kind = LINK_OPENED});
    } else if (ev->kind == PORT_RECEIVED) {
        received(d, ev->received.bytes);
    } else if (ev->kind == PORT_CLOSED) {
        d->conn = NULL;
        if (ev->closed.reason != PORT_CLOSE_LOCAL) {
            device_say(d, "lost the gateway: %s", ev->closed.detail);
        }
        device_feed_link(d, &(struct link_event){.kind = LINK_CLOSED});
    }
    return true;
}
