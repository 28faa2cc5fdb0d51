/*
 * The real gateway role in the simulated world: devices publish, the power goes at each operation
 * of its disk in turn, the machine comes back, and in the end every acknowledged message is in the
 * journal (AckedIsKept).
 */
#include "codec/bus_record.h"
#include "codec/mqtt.h"
#include "codec/pem.h"
#include "io/bus.h"
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
    DEVICES = 2,
    MESSAGES = 12,       /* of each device */
    WINDOW = 3,          /* published and not yet acknowledged */
    AGAIN_MS = 40,       /* from a lost connection to the next call */
    SILENCE_MS = 500,    /* without a word from the gateway a connection counts as lost */
    PATIENCE_MS = 60000, /* then a device gives up */
    PEM_CAP = 4096,
    RESTARTS_MAX = 8
};

struct credentials {
    char certificate[PEM_CAP], key[PEM_CAP], anchor[PEM_CAP];
    struct device_id id;
};

static struct credentials of_gateway;
static struct credentials of_devices[DEVICES];

struct device {
    const struct credentials *own;
    unsigned index;
    struct trial *trial;
    struct port *port;
    struct port_tls *tls;
    struct port_wake *again;
    struct port_conn *conn; /* NULL: not connected */
    unsigned next, done;    /* in this connection: next message to publish, PUBACKs received */
    bool acked[MESSAGES];
};

/* One life of the world: what is to fail, and what was seen. */
struct trial {
    struct sim_world *world;
    struct device devices[DEVICES];
    uint64_t cut_at;           /* operation of the gateway's disk; 0: at none */
    uint64_t cut_at_ack;       /* PUBACK that a device receives; 0: at none */
    uint64_t operations, acks; /* so far */
    bool was_cut;
    bool found[DEVICES][MESSAGES];
};

/* ---- credentials: real certificates, for the role reads them ---- */

static void write_pem(char to[PEM_CAP], const char *label, struct slice der)
{
    struct writer w = writer_over(to, PEM_CAP - 1);
    pem_write(&w, label, der);
    to[w.len] = '\0';
}

static void make_credentials(struct port *port)
{
    static struct pki_entity root;
    static struct pki_entity leaf;
    uint8_t name[128];
    char text[64];
    struct x509_spec spec = {.not_before_ms = 0, .not_after_ms = PKI_NEVER_MS, .is_ca = true};
    struct writer w = writer_over(name, sizeof name);
    x509_subject_write(&w, &(struct x509_subject){.common_name = slice_text("root")});
    spec.subject = writer_slice(&w);
    CHECK(pki_entity_make(&root, port, KEY_P256, NULL, &spec));
    for (unsigned i = 0; i <= DEVICES; i++) {
        struct credentials *c = i < DEVICES ? &of_devices[i] : &of_gateway;
        (void)snprintf(text, sizeof text, "server %u", i);
        w = writer_over(name, sizeof name);
        x509_subject_write(&w, &(struct x509_subject){.common_name = slice_text(text)});
        c->id.bytes[0] = (uint8_t)(i + 1);
        uint8_t uri[IDENTITY_URI_MAX];
        struct writer u = writer_over(uri, sizeof uri);
        identity_write_uri(&u, slice_text("holdfast.local"), &c->id);
        spec = (struct x509_spec){.not_before_ms = 0,
                                  .not_after_ms = PKI_NEVER_MS,
                                  .subject = writer_slice(&w),
                                  .key_usage = X509_DIGITAL_SIGNATURE,
                                  .uri = writer_slice(&u),
                                  .dns = {slice_text("server")},
                                  .dns_count = i == DEVICES ? 1 : 0};
        CHECK(pki_entity_make(&leaf, port, KEY_P256, &root, &spec));
        write_pem(c->certificate, "CERTIFICATE", slice_of(leaf.der, leaf.der_len));
        write_pem(c->anchor, "CERTIFICATE", slice_of(root.der, root.der_len));
        struct writer k = writer_over(c->key, PEM_CAP - 1);
        CHECK(key_to_pem(leaf.key, &k) == KEY_OK);
        c->key[k.len] = '\0';
        pki_entity_forget(&leaf);
    }
    pki_entity_forget(&root);
}

/* ---- a device: publishes until everything is acknowledged ---- */

static void send_packet(struct device *d, const struct mqtt_packet *packet)
{
    uint8_t bytes[512];
    struct writer w = writer_over(bytes, sizeof bytes);
    CHECK(mqtt_encode(packet, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_OK);
    CHECK(port_send(d->conn, writer_slice(&w)));
}

static void publish_on(struct device *d)
{
    char topic[80];
    char id[DEVICE_ID_TEXT_LEN + 1] = "";
    struct writer w = writer_over(id, sizeof id);
    device_id_write_text(&w, &d->own->id);
    (void)snprintf(topic, sizeof topic, "hf/1/%s/t/x", id);
    unsigned out = 0;
    for (unsigned i = 0; i < d->next; i++) {
        out += d->acked[i] ? 0 : 1;
    }
    for (; d->next < MESSAGES && out < WINDOW; d->next++) {
        uint8_t payload[2] = {(uint8_t)d->index, (uint8_t)d->next};
        if (!d->acked[d->next]) {
            send_packet(d, &(struct mqtt_packet){.type = MQTT_PUBLISH,
                                                 .publish = {.qos = 1,
                                                             .packet_id = (uint16_t)(d->next + 1),
                                                             .topic = slice_text(topic),
                                                             .payload = slice_of(payload, 2)}});
            out++;
        }
    }
}

static bool all_is_acked(const struct trial *t)
{
    bool all = true;
    for (unsigned i = 0; i < DEVICES; i++) {
        for (unsigned j = 0; j < MESSAGES; j++) {
            all = all && t->devices[i].acked[j];
        }
    }
    return all;
}

static void take_packet(struct device *d, const struct mqtt_frame *frame)
{
    struct mqtt_packet packet;
    struct mqtt_fault fault;
    if (mqtt_decode(frame, MQTT_5_0, MQTT_FROM_SERVER, &packet, &fault) != MQTT_OK) {
        test_failed(__FILE__, __LINE__, "%s", fault.clause);
        return;
    }
    if (packet.type == MQTT_PUBACK && packet.ack.reason < MQTT_UNSPECIFIED_ERROR) {
        CHECK(packet.ack.packet_id >= 1 && packet.ack.packet_id <= MESSAGES);
        d->acked[(packet.ack.packet_id - 1) % MESSAGES] = true;
        if (++d->trial->acks == d->trial->cut_at_ack) {
            d->trial->was_cut = true;
            sim_power_cut(d->trial->world, "gw");
        }
    }
    if (packet.type == MQTT_PUBACK || packet.type == MQTT_CONNACK) {
        publish_on(d);
    }
    if (all_is_acked(d->trial)) {
        sim_terminate(d->trial->world, "gw");
    }
}

static void call(struct device *d)
{
    struct port_listen_options options = {
        .receive_cap = 4096, .send_cap = 4096, .handshake_ms = 200};
    struct port_conn *conn;
    struct port_why why;
    CHECK(port_connect(d->port, "gw:8883", "server", d->tls, &options, d, &conn, &why) == PORT_OK);
}

/* Time to call, or too long a silence on a connection whose other end may have lost its power. */
static void on_wake(struct device *d)
{
    if (port_now_ms(d->port)
        > PATIENCE_MS) { /* a gateway that does not even stop is not waited for */
        sim_power_cut(d->trial->world, "gw");
        port_wake_at(d->again, port_now_ms(d->port) + SILENCE_MS);
    } else if (d->conn != NULL) {
        port_abort(d->conn);
    } else {
        call(d);
    }
}

static void on_device_event(void *role, const struct port_event *ev)
{
    struct device *d = role;
    struct mqtt_frame frame;
    struct mqtt_fault fault;
    switch (ev->kind) {
    case PORT_WOKE: on_wake(d); return;
    case PORT_CONNECTED:
        d->conn = ev->conn;
        d->next = 0;
        port_wake_at(d->again, port_now_ms(d->port) + SILENCE_MS);
        send_packet(d, &(struct mqtt_packet){.type = MQTT_CONNECT,
                                             .connect = {.version = MQTT_5_0,
                                                         .clean_start = true,
                                                         .keep_alive_s = 60,
                                                         .client_id = slice_text("sim")}});
        return;
    case PORT_RECEIVED:
        port_wake_at(d->again, port_now_ms(d->port) + SILENCE_MS);
        for (struct slice rest = ev->received.bytes;
             mqtt_frame_next(rest, 4096, &frame, &fault) == MQTT_OK;
             rest = slice_after(rest, frame.size)) {
            port_consume(ev->conn, frame.size);
            take_packet(d, &frame);
        }
        return;
    case PORT_CLOSED:
        d->conn = NULL;
        port_wake_at(d->again, port_now_ms(d->port) + AGAIN_MS);
        return;
    case PORT_ACCEPTED:
    case PORT_REFUSED:
    case PORT_DRAINED:
    case PORT_SYNCED:
    case PORT_CHANGED:
    case PORT_EXITED:
    case PORT_TERMINATE:
    case PORT_TURN_ENDED: return;
    }
}

static struct port_tls *tls_of(struct port *port, const struct credentials *own)
{
    struct port_why why;
    struct port_tls *tls = NULL;
    struct port_tls_config with = {.certificate_pem = slice_text(own->certificate),
                                   .key_pem = slice_text(own->key),
                                   .anchors = {{.pem = slice_text(own->anchor)}},
                                   .anchors_count = 1};
    CHECK(port_tls_make(port, &with, &tls, &why) == PORT_OK);
    return tls;
}

static void start_device(struct trial *t, unsigned index)
{
    struct device *d = &t->devices[index];
    char name[8];
    (void)snprintf(name, sizeof name, "dev-%u", index);
    *d = (struct device){.own = &of_devices[index], .index = index, .trial = t};
    d->port = sim_start(t->world, name, on_device_event, d);
    d->tls = tls_of(d->port, d->own);
    d->again = port_wake_new(d->port, d);
    port_wake_at(d->again, port_now_ms(d->port) + 1 + index);
}

/* ---- the gateway's machine ---- */

static void on_nothing(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static void install(struct trial *t)
{
    struct port *port = sim_start(t->world, "gw", on_nothing, NULL);
    CHECK(port_dir_make(port, "/hf") == PORT_OK && port_dir_sync(port, "/") == PORT_OK);
    CHECK(port_file_replace(port, "/hf/own.pem", slice_text(of_gateway.certificate)) == PORT_OK);
    CHECK(port_file_replace(port, "/hf/own.key", slice_text(of_gateway.key)) == PORT_OK);
    CHECK(port_file_replace(port, "/hf/issuer.pem", slice_text(of_gateway.anchor)) == PORT_OK);
    port_close_all(port);
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
    .spool_dir = "/hf/spool",
    .limits = {.connections_max = 4,
               .handshakes_max = 4,
               .packet_max = 512,
               .messages_max = 1024,
               .spool_segment_bytes = 8704,
               .spool_budget_bytes = 1 << 20},
};

static int run_gateway(struct trial *t)
{
    sim_next_open(t->world, "gw");
    return gateway_run(&config);
}

static void read_journal(struct trial *t)
{
    struct port *port = sim_start(t->world, "gw", on_nothing, NULL);
    struct bus_reader *reader = NULL;
    struct port_why why = {""};
    struct slice bytes;
    bus_position next;
    if (bus_reader_open(port, "/hf/spool", 0, NULL, &reader, &why) == BUS_OK) {
        while (bus_next(reader, &bytes, &next) == BUS_OK) {
            struct bus_record record;
            if (bus_record_decode(bytes, &record) == BUS_RECORD_OK && record.kind == BUS_PUBLISHED
                && record.payload.len == 2 && record.payload.at[0] < DEVICES
                && record.payload.at[1] < MESSAGES) {
                t->found[record.payload.at[0]][record.payload.at[1]] = true;
            }
        }
        bus_reader_close(reader);
    } else {
        test_failed(__FILE__, __LINE__, "the journal cannot be read: %s", why.text);
    }
    port_close_all(port);
}

/* The role speaks to operators; here nobody listens. */
static int hush(int to[2])
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)fflush(stdout);
    to[0] = dup(STDOUT_FILENO);
    to[1] = dup(STDERR_FILENO);
    (void)dup2(nowhere, STDOUT_FILENO);
    (void)dup2(nowhere, STDERR_FILENO);
    return nowhere;
}

static void speak(const int from[2], int nowhere)
{
    (void)fflush(stdout);
    (void)dup2(from[0], STDOUT_FILENO);
    (void)dup2(from[1], STDERR_FILENO);
    (void)close(from[0]);
    (void)close(from[1]);
    (void)close(nowhere);
}

static void begin_without_devices(struct trial *t, uint64_t seed)
{
    memset(t, 0, sizeof *t);
    t->world = sim_open(seed);
    if (of_gateway.certificate[0] == '\0') {
        struct port *port = sim_start(t->world, "maker", on_nothing, NULL);
        make_credentials(port);
        port_close_all(port);
    }
    install(t);
}

static void begin(struct trial *t, uint64_t seed)
{
    begin_without_devices(t, seed);
    for (unsigned i = 0; i < DEVICES; i++) {
        start_device(t, i);
    }
}

static void end(struct trial *t)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        port_tls_free(t->devices[i].tls);
    }
    sim_close(t->world);
}

static bool acked_is_kept(const struct trial *t)
{
    bool kept = true;
    for (unsigned i = 0; i < DEVICES; i++) {
        for (unsigned j = 0; j < MESSAGES; j++) {
            kept = kept && (t->found[i][j] || !t->devices[i].acked[j]);
        }
    }
    return kept;
}

static struct trial trial;

/* Lets the gateway live, die and come back until the devices are done; then looks into the journal.
 */
static bool live(struct trial *t)
{
    int saved[2];
    int nowhere = hush(saved);
    int code = -1;
    /* Not after a cut: the last acknowledgements may have come with the power's last moment, and
     * what a reader believes of the tail is less than what the next start makes sure of. */
    for (unsigned i = 0; i < RESTARTS_MAX && !(code == 0 && all_is_acked(t)); i++) {
        bool was_cut = t->was_cut;
        code = run_gateway(t);
        code = t->was_cut != was_cut ? -1 : code;
    }
    speak(saved, nowhere);
    read_journal(t);
    bool all_done = code == 0 && all_is_acked(t);
    bool kept = acked_is_kept(t);
    CHECK(all_done);
    CHECK(kept);
    return all_done && kept;
}

TEST("every acknowledged message is in the journal, at whichever operation of the disk the power "
     "goes")
{
    bool goes_on = true; /* until a run ends before its cut, or something broke */
    uint64_t cuts = 0;
    for (uint64_t at = 1; goes_on; at++) {
        begin(&trial, at);
        trial.cut_at = at;
        sim_disk_watch(sim_disk_of(trial.world, "gw"), on_operation, &trial);
        goes_on = live(&trial) && trial.was_cut;
        cuts += trial.was_cut ? 1 : 0;
        end(&trial);
    }
    CHECK(cuts > 30);
}

TEST("every acknowledged message is in the journal, at whichever PUBACK the power goes")
{
    for (uint64_t at = 1; at <= (uint64_t)DEVICES * MESSAGES - 1; at++) {
        for (uint64_t seed = 0; seed < 4; seed++) {
            begin(&trial, at * 4 + seed);
            trial.cut_at_ack = at;
            bool well = live(&trial);
            CHECK(trial.was_cut);
            end(&trial);
            REQUIRE(well);
        }
    }
}

TEST("a sync that fails ends the role, nothing unsynced is acknowledged, and it goes on after a "
     "restart")
{
    unsigned failures = 0;
    for (uint64_t nth = 1; nth < 100; nth++) {
        int saved[2];
        begin(&trial, nth);
        sim_fail(trial.world, "gw", SIM_SYNC, nth, PORT_FAILED, true);
        int nowhere = hush(saved);
        bool failed = run_gateway(&trial) == GATEWAY_STORAGE_FAILED;
        failures += failed ? 1 : 0;
        speak(saved, nowhere);
        sim_power_cut(trial.world, "gw"); /* forgets what no sync saved, and heals the disk */
        bool well = live(&trial);         /* what was acknowledged before is checked, too */
        end(&trial);
        if (!failed || !well) {
            break;
        }
    }
    CHECK(failures > 3);
}

/* ---- time ---- */

/* A client that falls silent: at once, or once it has a session. */
struct silent {
    struct port *port;
    struct port_tls *tls;
    const char *name;
    uint16_t keep_alive_s; /* 0: not even CONNECT */
    uint64_t up_ms, over_ms;
};

static void on_silent_event(void *role, const struct port_event *ev)
{
    struct silent *s = role;
    struct mqtt_packet packet = {.type = MQTT_CONNECT,
                                 .connect = {.version = MQTT_5_0,
                                             .clean_start = true,
                                             .keep_alive_s = s->keep_alive_s,
                                             .client_id = slice_text(s->name)}};
    uint8_t bytes[128];
    struct writer w = writer_over(bytes, sizeof bytes);
    if (ev->kind == PORT_CONNECTED) {
        s->up_ms = port_now_ms(s->port);
        CHECK(mqtt_encode(&packet, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_OK);
        CHECK(s->keep_alive_s == 0 || port_send(ev->conn, writer_slice(&w)));
    } else if (ev->kind == PORT_RECEIVED) {
        port_consume(ev->conn, ev->received.bytes.len);
    } else if (ev->kind == PORT_CLOSED) {
        s->over_ms = port_now_ms(s->port);
    }
}

static void start_silent(struct trial *t, struct silent *s)
{
    struct port_listen_options options = {
        .receive_cap = 4096, .send_cap = 4096, .handshake_ms = 200};
    struct port_conn *conn;
    struct port_why why;
    s->port = sim_start(t->world, s->name, on_silent_event, s);
    s->tls = tls_of(s->port, &of_devices[0]);
    CHECK(port_connect(s->port, "gw:8883", "server", s->tls, &options, s, &conn, &why) == PORT_OK);
}

TEST("whoever falls silent is sent away when its own time is over, however late that of others is")
{
    struct silent clients[] = {{.name = "long", .keep_alive_s = 60},
                               {.name = "short", .keep_alive_s = 2},
                               {.name = "mute"}};
    static const uint64_t patience_ms[] = {90000, 3000, 10000};
    struct gateway *gateway = NULL;
    int saved[2];
    begin_without_devices(&trial, 1);
    int nowhere = hush(saved);
    sim_next_open(trial.world, "gw");
    REQUIRE(gateway_begin(&config, &gateway) == 0);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        start_silent(&trial, &clients[i]);
        sim_run_for(trial.world, 20000);
    }
    sim_run_for(trial.world, 60000);
    CHECK(gateway_end(gateway) == 0);
    speak(saved, nowhere);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        CHECK(clients[i].over_ms >= clients[i].up_ms + patience_ms[i]);
        CHECK(clients[i].over_ms <= clients[i].up_ms + patience_ms[i] + 300);
        port_tls_free(clients[i].tls);
    }
    end(&trial);
}
