/*
 * Sessions of the real gateway role in the simulated world: one application publishes QoS 1 and 2
 * in turn, another hears it and goes away again and again, the power goes at each operation of the
 * gateway's disk in turn. In the end everything that was finished for the publisher has reached the
 * subscriber: QoS 1 at least once, QoS 2 exactly once, and no session was lost that a CONNACK had
 * promised.
 */
#include "codec/grants.h"
#include "codec/mqtt.h"
#include "codec/pem.h"
#include "io/replace.h"
#include "io/sim/sim.h"
#include "role/gateway.h"
#include "role/pki_authority.h"
#include "test/test.h"
#include "trust/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    MESSAGES = 16,
    WINDOW = 4,
    HELD_MAX = 64,
    LEAVES_AFTER = 5, /* messages the subscriber hears before it goes away for a while */
    AGAIN_MS = 30,
    SILENCE_MS = 400,
    PATIENCE_MS = 120000,
    PEM_CAP = 4096,
    RESTARTS_MAX = 8
};

struct credentials {
    char certificate[PEM_CAP], key[PEM_CAP], anchor[PEM_CAP];
    struct digest key_digest;
};
enum who { PUBLISHER, SUBSCRIBER, GATEWAY };
static struct credentials of[GATEWAY + 1];
static const char *const names[] = {"pub", "sub"};

/* A client with a memory of its own, as the standard asks for: what it holds outlives connections.
 */
struct client {
    enum who who;
    struct trial *trial;
    struct port *port;
    struct port_tls *tls;
    struct port_wake *again;
    struct port_conn *conn;
    bool is_live, was_promised; /* CONNACK came; a session was, once */
    unsigned heard;             /* in this connection */
};

enum progress { UNSENT, SENT, RELEASED, DONE };

struct trial {
    struct sim_world *world;
    struct client clients[2];
    enum progress progress[MESSAGES]; /* of the publisher */
    unsigned received[MESSAGES];      /* by the subscriber, its own repeats of QoS 2 taken out */
    uint16_t held[HELD_MAX];          /* QoS 2 ids that wait for PUBREL */
    unsigned held_count;
    bool is_subscribed, is_over;
    unsigned sessions_lost;
    uint64_t cut_at, operations;
    bool was_cut;
};

static bool is_exactly_once(unsigned message)
{
    return message % 2 == 1;
}

/* ---- credentials ---- */

static void write_pem(char to[PEM_CAP], const char *label, struct slice der)
{
    struct writer w = writer_over(to, PEM_CAP - 1);
    pem_write(&w, label, der);
    to[w.len] = '\0';
}

static void make_one(struct port *port, struct pki_entity *root, enum who who)
{
    static struct pki_entity leaf;
    struct credentials *c = &of[who];
    uint8_t name[128], uri[256];
    struct writer w = writer_over(name, sizeof name), u = writer_over(uri, sizeof uri);
    x509_subject_write(&w, &(struct x509_subject){.common_name = slice_text("leaf")});
    struct x509_spec spec = {.not_before_ms = 0,
                             .not_after_ms = PKI_NEVER_MS,
                             .subject = writer_slice(&w),
                             .key_usage = X509_DIGITAL_SIGNATURE};
    if (who == GATEWAY) {
        spec.dns[0] = slice_text("server");
        spec.dns_count = 1;
    } else {
        identity_write_application_uri(&u, slice_text("holdfast.local"), slice_text(names[who]));
        spec.uri = writer_slice(&u);
    }
    CHECK(pki_entity_make(&leaf, port, KEY_P256, root, &spec));
    write_pem(c->certificate, "CERTIFICATE", slice_of(leaf.der, leaf.der_len));
    write_pem(c->anchor, "CERTIFICATE", slice_of(root->der, root->der_len));
    struct x509 parsed;
    struct fault fault;
    CHECK(x509_parse(slice_of(leaf.der, leaf.der_len), &parsed, &fault) == X509_OK);
    c->key_digest = identity_key_digest(parsed.spki);
    struct writer k = writer_over(c->key, PEM_CAP - 1);
    CHECK(key_to_pem(leaf.key, &k) == KEY_OK);
    c->key[k.len] = '\0';
    pki_entity_forget(&leaf);
}

static void make_credentials(struct port *port)
{
    static struct pki_entity root;
    uint8_t name[128];
    struct writer w = writer_over(name, sizeof name);
    x509_subject_write(&w, &(struct x509_subject){.common_name = slice_text("root")});
    struct x509_spec spec = {.not_before_ms = 0,
                             .not_after_ms = PKI_NEVER_MS,
                             .is_ca = true,
                             .subject = writer_slice(&w)};
    CHECK(pki_entity_make(&root, port, KEY_P256, NULL, &spec));
    for (unsigned who = PUBLISHER; who <= GATEWAY; who++) {
        make_one(port, &root, (enum who)who);
    }
    pki_entity_forget(&root);
}

static void write_grants(struct port *port)
{
    static struct grants grants; /* as large as many stacks are: no literal of it */
    static uint8_t text[2048];
    struct writer w = writer_over(text, sizeof text);
    memset(&grants, 0, sizeof grants);
    grants.number = 1;
    grants.count = 2;
    for (unsigned i = 0; i < 2; i++) {
        struct grant *g = &grants.list[i];
        g->name = slice_text(names[i]);
        g->publish = (struct grant_list){.count = 1, .items = {slice_text("#")}};
        g->subscribe = g->publish;
        g->client_ids = (struct grant_list){.count = 1, .items = {slice_text("*")}};
        g->keys_count = 1;
        g->keys[0] = of[i].key_digest;
    }
    grants_write(&w, &grants);
    CHECK(writer_ok(&w));
    CHECK(port_dir_make(port, "/hf/grants") == PORT_OK && port_dir_sync(port, "/hf") == PORT_OK);
    CHECK(port_file_replace(port, "/hf/grants/a.toml", writer_slice(&w)) == PORT_OK);
}

/* ---- the clients ---- */

static void send_packet(struct client *c, const struct mqtt_packet *packet)
{
    uint8_t bytes[512];
    struct writer w = writer_over(bytes, sizeof bytes);
    CHECK(mqtt_encode(packet, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_OK);
    (void)port_send(c->conn, writer_slice(&w)); /* the link may be going: then it comes again */
}

static void send_ack(struct client *c, enum mqtt_type type, uint16_t packet_id)
{
    send_packet(c, &(struct mqtt_packet){.type = type, .ack = {.packet_id = packet_id}});
}

static void send_message(struct client *c, unsigned message, bool is_dup)
{
    const uint8_t payload[1] = {(uint8_t)message};
    send_packet(c, &(struct mqtt_packet){.type = MQTT_PUBLISH,
                                         .publish = {.qos = is_exactly_once(message) ? 2 : 1,
                                                     .dup = is_dup,
                                                     .packet_id = (uint16_t)(message + 1),
                                                     .topic = slice_text("x/y"),
                                                     .payload = slice_of(payload, 1)}});
}

static void publish_on(struct client *c)
{
    struct trial *t = c->trial;
    unsigned out = 0;
    for (unsigned i = 0; i < MESSAGES; i++) {
        out += t->progress[i] == SENT || t->progress[i] == RELEASED;
    }
    for (unsigned i = 0; i < MESSAGES && out < WINDOW && t->is_subscribed; i++) {
        if (t->progress[i] == UNSENT) {
            t->progress[i] = SENT;
            send_message(c, i, false);
            out++;
        }
    }
}

/* 4.4: what was not finished goes out again, in its order. */
static void publish_again(struct client *c)
{
    struct trial *t = c->trial;
    for (unsigned i = 0; i < MESSAGES; i++) {
        if (t->progress[i] == SENT) {
            send_message(c, i, true);
        } else if (t->progress[i] == RELEASED) {
            send_ack(c, MQTT_PUBREL, (uint16_t)(i + 1));
        }
    }
    publish_on(c);
}

static bool all_is_done(const struct trial *t)
{
    bool all = t->held_count == 0;
    for (unsigned i = 0; i < MESSAGES; i++) {
        all = all && t->progress[i] == DONE && t->received[i] > 0;
    }
    return all;
}

static void take_at_publisher(struct client *c, const struct mqtt_packet *p)
{
    struct trial *t = c->trial;
    unsigned message = (p->ack.packet_id - 1u) % MESSAGES;
    CHECK(p->ack.reason < MQTT_UNSPECIFIED_ERROR || p->ack.reason == MQTT_PACKET_ID_NOT_FOUND);
    if (p->type == MQTT_PUBREC) {
        t->progress[message] = RELEASED;
        send_ack(c, MQTT_PUBREL, p->ack.packet_id);
    } else if (p->type == MQTT_PUBACK || p->type == MQTT_PUBCOMP) {
        t->progress[message] = DONE;
    }
    publish_on(c);
}

static int held_at(const struct trial *t, uint16_t packet_id)
{
    for (unsigned i = 0; i < t->held_count; i++) {
        if (t->held[i] == packet_id) {
            return (int)i;
        }
    }
    return -1;
}

static void take_message(struct client *c, const struct mqtt_publish *p)
{
    struct trial *t = c->trial;
    unsigned message = p->payload.len == 1 ? p->payload.at[0] % MESSAGES : 0;
    bool is_held = p->qos == 2 && held_at(t, p->packet_id) >= 0;
    CHECK(p->qos == (is_exactly_once(message) ? 2 : 1));
    t->received[message] += !is_held;
    if (p->qos == 2 && !is_held) {
        CHECK(t->held_count < HELD_MAX);
        t->held[t->held_count++ % HELD_MAX] = p->packet_id;
    }
    send_ack(c, p->qos == 2 ? MQTT_PUBREC : MQTT_PUBACK, p->packet_id);
    if (++c->heard == LEAVES_AFTER) {
        port_close(c->conn); /* what it said before still goes */
    }
}

static void take_at_subscriber(struct client *c, const struct mqtt_packet *p)
{
    struct trial *t = c->trial;
    if (p->type == MQTT_PUBLISH) {
        take_message(c, &p->publish);
    } else if (p->type == MQTT_PUBREL) {
        int at = held_at(t, p->ack.packet_id);
        if (at >= 0) {
            t->held[at] = t->held[--t->held_count];
        }
        send_ack(c, MQTT_PUBCOMP, p->ack.packet_id);
    } else if (p->type == MQTT_SUBACK) {
        t->is_subscribed = true;
    }
}

static void subscribe(struct client *c)
{
    uint8_t bytes[64];
    struct writer w = writer_over(bytes, sizeof bytes);
    mqtt_subscription_write(&w, &(struct mqtt_subscription){.filter = slice_text("x/+"), .qos = 2});
    send_packet(c, &(struct mqtt_packet){
                       .type = MQTT_SUBSCRIBE,
                       .subscribe = {.packet_id = 1, .count = 1, .entries = writer_slice(&w)}});
}

static void take_connack(struct client *c, const struct mqtt_connack *connack)
{
    struct trial *t = c->trial;
    CHECK(connack->reason == 0);
    c->is_live = true;
    t->sessions_lost += c->was_promised && !connack->session_present;
    c->was_promised = true;
    if (c->who == PUBLISHER) {
        publish_again(c);
    } else if (!t->is_subscribed) {
        subscribe(c);
    }
}

static void take_packet(struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_packet packet;
    struct mqtt_fault fault;
    if (mqtt_decode(frame, MQTT_5_0, MQTT_FROM_SERVER, &packet, &fault) != MQTT_OK) {
        test_failed(__FILE__, __LINE__, "%s", fault.clause);
        return;
    }
    if (packet.type == MQTT_CONNACK) {
        take_connack(c, &packet.connack);
    } else if (c->who == PUBLISHER) {
        take_at_publisher(c, &packet);
    } else {
        take_at_subscriber(c, &packet);
    }
    if (all_is_done(c->trial) && !c->trial->is_over) {
        c->trial->is_over = true;
        sim_terminate(c->trial->world, "gw");
    }
}

static void greet(struct client *c)
{
    struct mqtt_packet packet = {.type = MQTT_CONNECT,
                                 .connect = {.version = MQTT_5_0,
                                             .keep_alive_s = 60,
                                             .client_id = slice_text(names[c->who])}};
    packet.connect.properties.session_expiry_s = 100000;
    mqtt_set(&packet.connect.properties, MQTT_SESSION_EXPIRY_INTERVAL);
    c->is_live = false;
    c->heard = 0;
    send_packet(c, &packet);
}

static void on_wake(struct client *c)
{
    struct port_listen_options options = {
        .receive_cap = 4096, .send_cap = 4096, .handshake_ms = 200};
    struct port_conn *conn;
    struct port_why why;
    if (port_now_ms(c->port) > PATIENCE_MS) {
        sim_power_cut(c->trial->world, "gw");
        port_wake_at(c->again, port_now_ms(c->port) + SILENCE_MS);
    } else if (c->conn != NULL) {
        port_abort(c->conn);
    } else {
        CHECK(port_connect(c->port, "gw:8883", "server", c->tls, &options, c, &conn, &why)
              == PORT_OK);
    }
}

static void on_client_event(void *role, const struct port_event *ev)
{
    struct client *c = role;
    struct mqtt_frame frame;
    struct mqtt_fault fault;
    if (ev->kind == PORT_WOKE) {
        on_wake(c);
    } else if (ev->kind == PORT_CONNECTED) {
        c->conn = ev->conn;
        port_wake_at(c->again, port_now_ms(c->port) + SILENCE_MS);
        greet(c);
    } else if (ev->kind == PORT_RECEIVED) {
        port_wake_at(c->again, port_now_ms(c->port) + SILENCE_MS);
        for (struct slice rest = ev->received.bytes;
             mqtt_frame_next(rest, 4096, &frame, &fault) == MQTT_OK;
             rest = slice_after(rest, frame.size)) {
            port_consume(ev->conn, frame.size);
            take_packet(c, &frame);
        }
    } else if (ev->kind == PORT_CLOSED) {
        c->conn = NULL;
        port_wake_at(c->again, port_now_ms(c->port) + AGAIN_MS);
    }
}

static void start_client(struct trial *t, enum who who)
{
    struct client *c = &t->clients[who];
    struct port_why why;
    *c = (struct client){.who = who, .trial = t};
    c->port = sim_start(t->world, names[who], on_client_event, c);
    struct port_tls_config with = {.certificate_pem = slice_text(of[who].certificate),
                                   .key_pem = slice_text(of[who].key),
                                   .anchors = {{.pem = slice_text(of[who].anchor)}},
                                   .anchors_count = 1};
    CHECK(port_tls_make(c->port, &with, &c->tls, &why) == PORT_OK);
    c->again = port_wake_new(c->port, c);
    port_wake_at(c->again, port_now_ms(c->port) + 1 + who);
}

/* ---- the gateway's machine ---- */

static void on_nothing(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static void on_operation(void *context, struct sim_disk *disk)
{
    struct trial *t = context;
    (void)disk;
    if (++t->operations == t->cut_at) {
        t->was_cut = true;
        sim_power_cut(t->world, "gw");
    }
}

static const char *const listen[] = {"0.0.0.0:8883"};
static const struct gateway_config config = {
    .name = "gw",
    .domain = "holdfast.local",
    .listen = listen,
    .listen_count = 1,
    .certificate_path = "/hf/own.pem",
    .key_path = "/hf/own.key",
    .issuer_path = "/hf/issuer.pem",
    .grants_path = "/hf/grants/a.toml",
    .spool_dir = "/hf/spool",
    .limits = {.connections_max = 4,
               .handshakes_max = 4,
               .packet_max = 512,
               .messages_max = 1024,
               .spool_segment_bytes = 8704,
               .spool_budget_bytes = 1 << 20},
};

static void begin(struct trial *t, uint64_t seed, uint64_t cut_at)
{
    memset(t, 0, sizeof *t);
    t->world = sim_open(seed);
    t->cut_at = cut_at;
    if (of[GATEWAY].certificate[0] == '\0') {
        struct port *maker = sim_start(t->world, "maker", on_nothing, NULL);
        make_credentials(maker);
        port_close_all(maker);
    }
    struct port *port = sim_start(t->world, "gw", on_nothing, NULL);
    CHECK(port_dir_make(port, "/hf") == PORT_OK && port_dir_sync(port, "/") == PORT_OK);
    CHECK(port_file_replace(port, "/hf/own.pem", slice_text(of[GATEWAY].certificate)) == PORT_OK);
    CHECK(port_file_replace(port, "/hf/own.key", slice_text(of[GATEWAY].key)) == PORT_OK);
    CHECK(port_file_replace(port, "/hf/issuer.pem", slice_text(of[GATEWAY].anchor)) == PORT_OK);
    write_grants(port);
    port_close_all(port);
    start_client(t, PUBLISHER);
    start_client(t, SUBSCRIBER);
    sim_disk_watch(sim_disk_of(t->world, "gw"), on_operation, t);
}

static void end(struct trial *t)
{
    port_tls_free(t->clients[PUBLISHER].tls);
    port_tls_free(t->clients[SUBSCRIBER].tls);
    sim_close(t->world);
}

/* The role speaks to operators; here nobody listens. */
static int run_hushed(struct trial *t)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)fflush(stdout);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    (void)dup2(nowhere, STDOUT_FILENO);
    (void)dup2(nowhere, STDERR_FILENO);
    sim_next_open(t->world, "gw");
    int code = gateway_run(&config);
    (void)fflush(stdout);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(err, STDERR_FILENO);
    (void)close(out);
    (void)close(err);
    (void)close(nowhere);
    return code;
}

static bool live(struct trial *t)
{
    int code = -1;
    for (unsigned i = 0; i < RESTARTS_MAX && !(code == 0 && all_is_done(t)); i++) {
        code = run_hushed(t);
    }
    bool well = code == 0 && all_is_done(t) && t->sessions_lost == 0;
    for (unsigned i = 0; i < MESSAGES; i++) {
        if (t->received[i] == 0 || (is_exactly_once(i) && t->received[i] != 1)) {
            test_failed(__FILE__, __LINE__, "cut at %llu: message %u came %u times",
                        (unsigned long long)t->cut_at, i, t->received[i]);
            well = false;
        }
    }
    CHECK(well);
    return well;
}

static struct trial trial;

TEST(
    "whatever was finished reaches a session that comes and goes, QoS 2 exactly once, at whichever "
    "operation of the disk the power goes")
{
    bool goes_on = true;
    uint64_t cuts = 0;
    for (uint64_t at = 1; goes_on; at++) {
        begin(&trial, at, at);
        goes_on = live(&trial) && trial.was_cut;
        cuts += trial.was_cut;
        end(&trial);
    }
    CHECK(cuts > 50);
}
