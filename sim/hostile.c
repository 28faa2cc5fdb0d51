#include "sim/hostile.h"

#include "base/invariant.h"
#include "base/rng.h"
#include "codec/message.h"
#include "codec/mqtt.h"
#include "io/read_all.h"
#include "sim/captured.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEM_MAX = 8192, PACKET_MAX = 8192, AGAIN_MS = 400, STEP_MS = 20, HANDSHAKE_MS = 5000 };

struct hostile {
    struct hostile *next;
    struct hostiles *all;
    struct device_id id;
    uint32_t left;
    uint16_t packet_id;
    struct port *port;
    struct port_tls *tls;
    struct port_wake *wake;
    struct port_conn *conn;
    bool is_up;
};

struct hostiles {
    struct plant *plant;
    struct hostile *list;
    struct rng rng;
    uint32_t count; /* ever: names of machines */
};

struct hostiles *hostiles_new(struct plant *plant)
{
    struct hostiles *all = calloc(1, sizeof *all);
    INVARIANT(all != NULL);
    *all = (struct hostiles){.plant = plant, .rng = rng_from_seed(0x686f7374)};
    return all;
}

static void gone(struct hostile *h)
{
    port_close_all(h->port);
    port_tls_free(h->tls);
    free(h);
}

void hostiles_end(struct hostiles *all)
{
    while (all->list != NULL) {
        struct hostile *h = all->list;
        all->list = h->next;
        gone(h);
    }
}

void hostiles_free(struct hostiles *all)
{
    hostiles_end(all);
    free(all);
}

/* ---- what it says ---- */

static void random_bytes(struct rng *rng, uint8_t *to, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        to[i] = (uint8_t)rng_u64(rng);
    }
}

static void say(struct hostile *h, const struct mqtt_packet *packet)
{
    static uint8_t bytes[PACKET_MAX]; /* one thread */
    struct writer w = writer_over(bytes, sizeof bytes);
    if (mqtt_encode(packet, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_OK) {
        (void)port_send(h->conn, writer_slice(&w));
    }
}

static void publish(struct hostile *h, struct slice topic, struct slice payload)
{
    h->packet_id = h->packet_id == UINT16_MAX ? 1 : (uint16_t)(h->packet_id + 1);
    say(h,
        &(struct mqtt_packet){
            .type = MQTT_PUBLISH,
            .publish = {.qos = 1, .packet_id = h->packet_id, .topic = topic, .payload = payload}});
}

static struct slice own_topic(const struct hostile *h, enum message_topic_kind kind)
{
    static uint8_t bytes[MESSAGE_TOPIC_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    message_topic_write(
        &w, &(struct message_topic){.kind = kind, .device = h->id, .stream = slice_text("sim")});
    return writer_slice(&w);
}

/* A well-formed message with a number of its choice and a MAC of nobody. */
static void forge_number(struct hostile *h)
{
    static const uint64_t numbers[] = {
        0, 1, 2, 1000, UINT64_MAX - 1, UINT64_MAX, UINT64_C(1) << 62};
    uint8_t protected[64], payload[32], mac[MESSAGE_MAC_LEN], bytes[256];
    struct rng *rng = &h->all->rng;
    struct writer p = writer_over(protected, sizeof protected);
    struct writer w = writer_over(bytes, sizeof bytes);
    uint32_t boot = (uint32_t)rng_below(rng, 4); /* one draw a statement: an order */
    uint64_t number = numbers[rng_below(rng, COUNT_OF(numbers))];
    telemetry_protected_write(&p, boot, number);
    random_bytes(rng, payload, sizeof payload);
    random_bytes(rng, mac, sizeof mac);
    cose_write(&w, COSE_MAC0, writer_slice(&p), slice_of(payload, sizeof payload),
               slice_of(mac, sizeof mac));
    publish(h, own_topic(h, TOPIC_TELEMETRY), writer_slice(&w));
}

static void replay(struct hostile *h, bool under_its_own_name)
{
    struct captured heard;
    if (captured_get((uint32_t)rng_below(&h->all->rng, captured_count()), &heard)) {
        publish(h, under_its_own_name ? own_topic(h, heard.kind) : heard.topic, heard.payload);
    }
}

static void speak_garbage(struct hostile *h)
{
    uint8_t bytes[128];
    size_t len = 1 + rng_below(&h->all->rng, sizeof bytes);
    random_bytes(&h->all->rng, bytes, len);
    (void)port_send(h->conn, slice_of(bytes, len));
}

static void connect_again(struct hostile *h)
{
    say(h, &(struct mqtt_packet){.type = MQTT_CONNECT,
                                 .connect = {.version = MQTT_5_0,
                                             .clean_start = true,
                                             .keep_alive_s = 60,
                                             .client_id = slice_text("nobody")}});
}

static void do_one(struct hostile *h)
{
    uint8_t bytes[256];
    struct rng *rng = &h->all->rng;
    switch (rng_below(rng, 8)) {
    case 0: replay(h, true); return;
    case 1: replay(h, false); return;
    case 2: forge_number(h); return;
    case 3:
        random_bytes(rng, bytes, sizeof bytes);
        publish(h, own_topic(h, TOPIC_TELEMETRY), slice_of(bytes, rng_below(rng, sizeof bytes)));
        return;
    case 4:
        random_bytes(rng, bytes, sizeof bytes);
        publish(h, own_topic(h, TOPIC_HELLO), slice_of(bytes, rng_below(rng, sizeof bytes)));
        return;
    case 5: publish(h, slice_text("hf/1/#"), slice_text("x")); return;
    case 6: connect_again(h); return;
    default: speak_garbage(h); return;
    }
}

/* ---- its connection ---- */

static void call(struct hostile *h)
{
    struct port_listen_options options = {
        .receive_cap = PACKET_MAX, .send_cap = PACKET_MAX, .handshake_ms = HANDSHAKE_MS};
    struct device_config config = plant_device_config(h->all->plant, 0);
    const char *host = plant_machine(h->all->plant, plant_gateway(h->all->plant, 0));
    struct port_why why;
    if (port_connect(h->port, config.gateways[0], host, h->tls, &options, h, &h->conn, &why)
        != PORT_OK) {
        h->left = 0;
    }
}

static void on_woke(struct hostile *h)
{
    if (h->left == 0) {
        if (h->conn != NULL) {
            port_close(h->conn);
        }
        return;
    }
    if (h->conn == NULL) {
        call(h);
        return;
    }
    if (h->is_up) {
        h->left--;
        do_one(h);
    }
    port_wake_at(h->wake, port_now_ms(h->port) + STEP_MS);
}

static void on_event(void *role, const struct port_event *ev)
{
    struct hostile *h = role;
    if (ev->kind == PORT_WOKE) {
        on_woke(h);
    } else if (ev->kind == PORT_CONNECTED) {
        h->is_up = true;
        connect_again(h); /* the first time it is right */
        port_wake_at(h->wake, port_now_ms(h->port) + STEP_MS);
    } else if (ev->kind == PORT_RECEIVED) {
        port_consume(ev->conn, ev->received.bytes.len);
    } else if (ev->kind == PORT_CLOSED) {
        h->conn = NULL;
        h->is_up = false;
        port_wake_at(h->wake, port_now_ms(h->port) + AGAIN_MS);
    }
}

/* The stolen identity: key and certificate as they lie on the device's disk, and its root. */
static bool steal(struct hostile *h, const char *machine)
{
    static uint8_t identity[PEM_MAX], root[PEM_MAX]; /* one thread */
    struct port_why why;
    struct port_tls_config tls = {.anchors_count = 1};
    struct device_config config = plant_device_config(h->all->plant, 0);
    char path[256];
    size_t identity_len = 0, root_len = 0;
    struct port *thief = sim_start(plant_world(h->all->plant), machine, on_event, h);
    (void)snprintf(path, sizeof path, "%s/identity.pem", config.state_dir);
    bool stolen =
        port_file_read_all(thief, path, identity, sizeof identity, &identity_len) == PORT_OK
        && port_file_read_all(thief, config.root_path, root, sizeof root, &root_len) == PORT_OK;
    port_close_all(thief);
    tls.certificate_pem = tls.key_pem = slice_of(identity, identity_len);
    tls.anchors[0].pem = slice_of(root, root_len);
    return stolen && port_tls_make(h->port, &tls, &h->tls, &why) == PORT_OK;
}

bool hostiles_device(struct hostiles *all, uint32_t device, uint32_t count)
{
    char machine[SIM_NAME_MAX];
    struct hostile *h = calloc(1, sizeof *h);
    INVARIANT(h != NULL);
    *h = (struct hostile){.all = all, .id = *plant_device_id(all->plant, device), .left = count};
    (void)snprintf(machine, sizeof machine, "evil-%u", ++all->count);
    h->port = sim_start(plant_world(all->plant), machine, on_event, h);
    if (!steal(h, plant_name(all->plant, plant_device(all->plant, device)))) {
        gone(h);
        return false;
    }
    h->wake = port_wake_new(h->port, h);
    port_wake_at(h->wake, port_now_ms(h->port));
    h->next = all->list;
    all->list = h;
    return true;
}
