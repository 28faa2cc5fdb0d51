/* Who may connect in the simulated world: rows as those of io/posix/tls_test.c. */
#include "codec/pem.h"
#include "crypto/hash.h"
#include "io/sim/sim.h"
#include "test/test.h"
#include "trust/signature.h"

#include <stdio.h>
#include <string.h>

#define NOW_MS   INT64_C(1795435200000) /* of a world that has just begun */
#define DAY_MS   INT64_C(86400000)
#define NEVER_MS INT64_C(253402300799000)

enum { PEM_CAP = 3000 };

/* ---- certificates ---- */

struct entity {
    struct key_private *key;
    char certificate[PEM_CAP], key_pem[PEM_CAP];
    uint8_t name[128];
    size_t name_len;
};

static struct entity root, issuer, other_root, maker;
static struct entity server_id, device_id, device_2_id, alien_id, expired_id, early_id,
    wrong_use_id, ca_id, idevid_id, thief_id;

static void text_of(char to[PEM_CAP], const struct writer *w)
{
    REQUIRE(writer_ok(w) && w->len < PEM_CAP);
    to[w->len] = '\0';
}

static void make(struct entity *e, const char *name, const struct entity *by, struct x509_spec spec)
{
    uint8_t tbs[1024];
    uint8_t der[1200];
    uint8_t serial[16] = {1};
    REQUIRE(key_make(KEY_P256, &e->key) == KEY_OK);
    struct key_public own = key_public_of(e->key);
    struct writer nw = writer_over(e->name, sizeof e->name);
    x509_subject_write(&nw, &(struct x509_subject){.common_name = slice_text(name)});
    e->name_len = nw.len;
    by = by != NULL ? by : e;
    spec.serial = slice_of(serial, sizeof serial);
    spec.issuer = slice_of(by->name, by->name_len);
    spec.subject = writer_slice(&nw);
    spec.not_after_ms = spec.not_after_ms != 0 ? spec.not_after_ms : NEVER_MS;
    spec.key_kind = spec.sign_with = X509_P256;
    spec.public_key = slice_of(own.bytes, own.len);
    struct writer tw = writer_over(tbs, sizeof tbs);
    struct writer dw = writer_over(der, sizeof der);
    REQUIRE(x509_tbs_write(&tw, &spec) == X509_OK);
    REQUIRE(signature_certificate(&dw, writer_slice(&tw), by->key));
    struct writer pem = writer_over(e->certificate, PEM_CAP);
    pem_write(&pem, "CERTIFICATE", writer_slice(&dw));
    text_of(e->certificate, &pem);
    struct writer key = writer_over(e->key_pem, PEM_CAP);
    REQUIRE(key_to_pem(e->key, &key) == KEY_OK);
    text_of(e->key_pem, &key);
}

static void make_all(void)
{
    if (root.key != NULL) {
        return;
    }
    static const uint8_t loopback[] = {127, 0, 0, 1};
    struct x509_spec ca = {.is_ca = true, .key_usage = X509_KEY_CERT_SIGN};
    struct x509_spec server = {.key_usage = X509_DIGITAL_SIGNATURE,
                               .ext_key_usage = X509_EKU_SERVER_AUTH,
                               .dns = {slice_text("gw.plant"), slice_text("*.site")},
                               .dns_count = 2,
                               .ip = {slice_of(loopback, sizeof loopback)},
                               .ip_count = 1};
    struct x509_spec device = {.key_usage = X509_DIGITAL_SIGNATURE,
                               .ext_key_usage = X509_EKU_CLIENT_AUTH};
    make(&root, "root", NULL, ca);
    make(&other_root, "root", NULL, ca);
    make(&maker, "maker", NULL, ca);
    make(&issuer, "issuer", &root, ca);
    make(&server_id, "server", &root, server);
    make(&device_id, "device", &issuer, device);
    make(&device_2_id, "device 2", &issuer, device);
    make(&thief_id, "thief", &issuer, device);
    make(&alien_id, "device", &other_root, device);
    make(&ca_id, "ca", &issuer, ca);
    make(&wrong_use_id, "device", &issuer, server);
    device.not_before_ms = NOW_MS + DAY_MS;
    make(&early_id, "early", &issuer, device);
    device.not_before_ms = NOW_MS - 2 * DAY_MS;
    device.not_after_ms = NOW_MS - DAY_MS;
    make(&expired_id, "expired", &issuer, device);
    make(&idevid_id, "idevid", &maker, device);
}

/* ---- the two ends ---- */

struct end {
    struct port *port;
    struct port_tls *tls;
    unsigned seen[PORT_TURN_ENDED + 1];
    struct port_peer peer;
    struct digest peer_certificate;
    enum port_close_reason reason;
    char detail[100];
};

static struct end server, client;

static void on_event(void *role, const struct port_event *ev)
{
    struct end *e = role;
    e->seen[ev->kind]++;
    if (ev->kind == PORT_ACCEPTED || ev->kind == PORT_CONNECTED) {
        port_conn_peer(ev->conn, &e->peer);
        e->peer_certificate = hash_of(e->peer.certificate_der);
    } else if (ev->kind == PORT_CLOSED || ev->kind == PORT_REFUSED) {
        e->reason = ev->closed.reason;
        (void)snprintf(e->detail, sizeof e->detail, "%s", ev->closed.detail);
    }
}

static struct port_tls_config client_config(const struct entity *own)
{
    struct port_tls_config config = {.anchors = {{.pem = slice_text(root.certificate)}},
                                     .anchors_count = 1};
    if (own != NULL) {
        config.certificate_pem = slice_text(own->certificate);
        config.key_pem = slice_text(own->key_pem);
    }
    return config;
}

static struct port_tls_config server_config(void)
{
    return (struct port_tls_config){
        .certificate_pem = slice_text(server_id.certificate),
        .key_pem = slice_text(server_id.key_pem),
        .anchors = {{.pem = slice_text(issuer.certificate)},
                    {.pem = slice_text(maker.certificate), .no_time = true}},
        .anchors_count = 2,
        .is_server = true,
        .require_peer = true,
        .alpn = "mqtt",
    };
}

struct case_of {
    struct port_tls_config server, client;
    const char *name; /* that the client wants */
    struct slice forged_key;
    bool server_is_forged;
};

/* One handshake in a world of its own; the ends tell how it went. */
static void shake(const struct case_of *c)
{
    struct port_why why = {""};
    struct port_listener *listener;
    struct port_conn *conn;
    struct port_listen_options options = {.receive_cap = 100,
                                          .send_cap = 100,
                                          .handshakes_max = 8,
                                          .connections_max = 8,
                                          .handshake_ms = 1000};
    struct sim_world *world = sim_open(1);
    memset(&server, 0, sizeof server);
    memset(&client, 0, sizeof client);
    server.port = sim_start(world, "gw", on_event, &server);
    client.port = sim_start(world, "dev", on_event, &client);
    REQUIRE(port_tls_make(server.port, &c->server, &server.tls, &why) == PORT_OK);
    REQUIRE(port_tls_make(client.port, &c->client, &client.tls, &why) == PORT_OK);
    if (c->forged_key.len > 0) {
        sim_forge_tls(c->server_is_forged ? server.tls : client.tls, c->forged_key);
    }
    REQUIRE(port_listen(server.port, "0.0.0.0:8883", server.tls, &options, NULL, &listener, &why)
            == PORT_OK);
    REQUIRE(port_connect(client.port, "gw:8883", c->name, client.tls, &options, NULL, &conn, &why)
            == PORT_OK);
    sim_run_for(world, 50);
    port_tls_free(server.tls);
    port_tls_free(client.tls);
    sim_close(world);
}

static void refused_by_server(const struct case_of *c, const char *what)
{
    shake(c);
    CHECK_U64(server.seen[PORT_ACCEPTED], 0);
    CHECK(server.seen[PORT_REFUSED] == 1 && server.reason == PORT_CLOSE_TLS);
    CHECK(client.seen[PORT_CLOSED] == 1 && client.reason == PORT_CLOSE_TLS);
    CHECK(strstr(server.detail, what) != NULL);
    if (strstr(server.detail, what) == NULL) {
        test_failed(__FILE__, __LINE__, "refused with \"%s\", not \"%s\"", server.detail, what);
    }
}

static void refused_by_client(const struct case_of *c, const char *what)
{
    shake(c);
    CHECK_U64(server.seen[PORT_ACCEPTED], 0);
    CHECK_U64(client.seen[PORT_CONNECTED], 0);
    CHECK(client.seen[PORT_CLOSED] == 1 && client.reason == PORT_CLOSE_TLS);
    if (strstr(client.detail, what) == NULL) {
        test_failed(__FILE__, __LINE__, "refused with \"%s\", not \"%s\"", client.detail, what);
    }
}

TEST("both ends learn who the other is and have the same exporter, another connection another one")
{
    make_all();
    struct case_of c = {server_config(), client_config(&device_id), "gw.plant", {0}, false};
    shake(&c);
    CHECK(client.seen[PORT_CONNECTED] == 1 && server.seen[PORT_ACCEPTED] == 1);
    CHECK(server.peer.has_certificate && server.peer.anchors == 0);
    CHECK(memcmp(server.peer.exporter, client.peer.exporter, PORT_EXPORTER_LEN) == 0);
    uint8_t first[PORT_EXPORTER_LEN];
    struct digest shown = server.peer_certificate;
    memcpy(first, server.peer.exporter, sizeof first);
    c.client = client_config(&device_2_id);
    shake(&c);
    CHECK(memcmp(first, server.peer.exporter, sizeof first) != 0);
    CHECK(memcmp(&shown, &server.peer_certificate, sizeof shown) != 0);
}

TEST("a client is refused after the handshake's end, as in TLS 1.3, and the server tells nobody")
{
    make_all();
    struct case_of c = {server_config(), client_config(NULL), "gw.plant", {0}, false};
    refused_by_server(&c, "no certificate");
    CHECK_U64(client.seen[PORT_CONNECTED], 1);
}

TEST("clients whose chain, time, purpose or issuer is wrong are refused, each with its reason")
{
    make_all();
    const struct {
        const struct entity *who;
        const char *what;
    } rows[] = {
        {&alien_id, "no accepted CA"},  {&expired_id, "expired"},   {&early_id, "not yet valid"},
        {&wrong_use_id, "extKeyUsage"}, {&ca_id, "CA certificate"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct case_of c = {server_config(), client_config(rows[i].who), "gw.plant", {0}, false};
        refused_by_server(&c, rows[i].what);
    }
}

TEST("a set without time takes a certificate that is over, and says which set it was")
{
    make_all();
    struct case_of c = {server_config(), client_config(&idevid_id), "gw.plant", {0}, false};
    shake(&c);
    CHECK(server.seen[PORT_ACCEPTED] == 1 && server.peer.anchors == 1);
    c.server.anchors[1].no_time = false;
    refused_by_server(&c, "expired");
}

TEST("the time floor stands in for a clock that is behind, and never moves one back")
{
    make_all();
    struct case_of c = {server_config(), client_config(&early_id), "gw.plant", {0}, false};
    c.server.time_floor_ms = NOW_MS + 2 * DAY_MS;
    shake(&c);
    CHECK_U64(server.seen[PORT_ACCEPTED], 1);
    c.client = client_config(&expired_id);
    c.server.time_floor_ms = NOW_MS - 2 * DAY_MS;
    refused_by_server(&c, "expired");
}

TEST("a stolen certificate without its key opens nothing, for a client or a server")
{
    make_all();
    struct case_of c = {server_config(), client_config(&device_id), "gw.plant",
                        slice_text(thief_id.key_pem), false};
    refused_by_server(&c, "does not hold the key");
    c.server_is_forged = true;
    refused_by_client(&c, "does not hold the key");
    c.forged_key = slice_text(server_id.key_pem);
    shake(&c);
    CHECK_U64(server.seen[PORT_ACCEPTED], 1);
}

TEST("a server is taken only under a name or an address of its certificate, and by its anchor")
{
    make_all();
    static const struct {
        const char *name;
        bool fits;
    } rows[] = {{"gw.plant", true},   {"GW.plant", true}, {"127.0.0.1", true},  {"a.site", true},
                {"a.b.site", false},  {"site", false},    {"gw.plants", false}, {"w.plant", false},
                {"127.0.0.2", false}, {"server", false},  {"xgw.plant", false}, {"::1", false}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct case_of c = {server_config(), client_config(&device_id), rows[i].name, {0}, false};
        if (rows[i].fits) {
            shake(&c);
            CHECK_U64(client.seen[PORT_CONNECTED], 1);
        } else {
            refused_by_client(&c, "another name");
        }
    }
    struct case_of c = {server_config(), client_config(&device_id), "gw.plant", {0}, false};
    c.client.anchors[0].pem = slice_text(other_root.certificate);
    refused_by_client(&c, "the issuer's key did not sign it");
    c.client.anchors[0].pem = slice_text(maker.certificate);
    refused_by_client(&c, "no accepted CA");
    c.server.certificate_pem = slice_text(device_id.certificate);
    c.server.key_pem = slice_text(device_id.key_pem);
    c.client.anchors[0].pem = slice_text(issuer.certificate);
    refused_by_client(&c, "extKeyUsage");
}

TEST("a protocol is demanded only of those who offer any")
{
    make_all();
    struct case_of c = {server_config(), client_config(&device_id), "gw.plant", {0}, false};
    c.client.alpn = "mqtt";
    shake(&c);
    CHECK_U64(server.seen[PORT_ACCEPTED], 1);
    c.client.alpn = "http/1.1";
    refused_by_client(&c, "no application protocol");
}

TEST("a configuration that would accept anybody, or cannot work, is refused in words")
{
    make_all();
    struct port_tls_config rows[6];
    rows[0] = client_config(NULL);
    rows[0].anchors_count = 0;
    rows[1] = server_config();
    rows[1].anchors_count = 0;
    rows[2] = server_config();
    rows[2].certificate_pem = (struct slice){0};
    rows[3] = server_config();
    rows[3].key_pem = slice_text(device_id.key_pem);
    rows[4] = client_config(NULL);
    rows[4].anchors[0].pem = slice_text("no certificate");
    rows[5] = client_config(&device_id);
    rows[5].certificate_pem.len -= 40;
    struct sim_world *world = sim_open(1);
    struct port *port = sim_start(world, "gw", on_event, &server);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct port_tls *tls = NULL;
        struct port_why why = {""};
        CHECK(port_tls_make(port, &rows[i], &tls, &why) == PORT_BAD);
        CHECK(tls == NULL && strncmp(why.text, "TLS: ", 5) == 0);
    }
    sim_close(world);
}

/* ---- coming back ---- */

static bool stands_answer;

static bool stands(void *role, struct slice certificate_der)
{
    return role == &server && certificate_der.len > 0 && stands_answer;
}

/* Both ends of one world, which meet again and again. */
static struct {
    struct sim_world *world;
    struct port_listener *listener;
    struct port_sessions *sessions;
} again;

static const struct port_listen_options again_options = {.receive_cap = 100,
                                                         .send_cap = 100,
                                                         .handshakes_max = 8,
                                                         .connections_max = 64,
                                                         .handshake_ms = 1000};

static void serve(struct port_tls_config config)
{
    struct port_why why = {""};
    struct port_tls *before = server.tls;
    config.sessions = again.sessions;
    REQUIRE(port_tls_make(server.port, &config, &server.tls, &why) == PORT_OK);
    if (before != NULL) {
        port_listener_set_tls(again.listener, server.tls);
        port_tls_free(before);
    }
}

static void begin_again(uint32_t max, uint32_t lifetime_s)
{
    struct port_why why = {""};
    make_all();
    struct port_tls_config config = client_config(&device_id);
    config.resumes = true;
    memset(&server, 0, sizeof server);
    memset(&client, 0, sizeof client);
    stands_answer = true;
    again.world = sim_open(1);
    server.port = sim_start(again.world, "gw", on_event, &server);
    client.port = sim_start(again.world, "dev", on_event, &client);
    again.sessions = port_sessions_make(server.port, max, lifetime_s, stands);
    serve(server_config());
    REQUIRE(port_tls_make(client.port, &config, &client.tls, &why) == PORT_OK);
    REQUIRE(port_listen(server.port, "0.0.0.0:8883", server.tls, &again_options, NULL,
                        &again.listener, &why)
            == PORT_OK);
}

static void end_again(void)
{
    port_sessions_free(again.sessions);
    port_tls_free(server.tls);
    port_tls_free(client.tls);
    sim_close(again.world);
}

/* Is the next connection a resumed one? Both ends must say the same. */
static bool comes_back(void)
{
    struct port_why why = {""};
    struct port_conn *conn;
    unsigned before = server.seen[PORT_ACCEPTED];
    CHECK(port_connect(client.port, "gw:8883", "gw.plant", client.tls, &again_options, NULL, &conn,
                       &why)
          == PORT_OK);
    sim_run_for(again.world, 50);
    CHECK_U64(server.seen[PORT_ACCEPTED], before + 1);
    CHECK(server.peer.is_resumed == client.peer.is_resumed);
    CHECK(memcmp(server.peer.exporter, client.peer.exporter, PORT_EXPORTER_LEN) == 0);
    CHECK(server.peer.has_certificate && client.peer.has_certificate);
    return server.peer.is_resumed;
}

TEST("a client that resumes is who it was, with another exporter, until nobody vouches for it")
{
    begin_again(8, 3600);
    CHECK(!comes_back());
    struct digest shown = server.peer_certificate;
    uint8_t first[PORT_EXPORTER_LEN];
    memcpy(first, server.peer.exporter, sizeof first);
    CHECK(comes_back() && comes_back());
    CHECK(memcmp(&shown, &server.peer_certificate, sizeof shown) == 0);
    CHECK(memcmp(first, server.peer.exporter, sizeof first) != 0);
    stands_answer = false;
    CHECK(!comes_back()); /* and is let in by a full handshake */
    CHECK_U64(port_sessions_count(again.sessions).no_standing, 1);
    CHECK_U64(port_sessions_count(again.sessions).resumed, 2);
    end_again();
}

TEST("a session ends with its lifetime, with other issuers and with its process")
{
    begin_again(8, 60);
    CHECK(!comes_back());
    sim_run_for(again.world, 40000);
    CHECK(comes_back());
    sim_run_for(again.world, 21000); /* since its client signed, and not since it came back */
    CHECK(!comes_back());
    CHECK_U64(port_sessions_count(again.sessions).out_of_time, 1);
    struct port_tls_config other = server_config();
    serve(other); /* renewed, under the same issuers */
    CHECK(comes_back());
    other.anchors_count = 1;
    serve(other);
    CHECK(!comes_back());
    CHECK_U64(port_sessions_count(again.sessions).other_issuers, 1);
    port_sessions_free(again.sessions);
    again.sessions = port_sessions_make(server.port, 8, 60, stands);
    serve(other);
    CHECK(!comes_back());
    CHECK_U64(port_sessions_count(again.sessions).unknown, 1);
    end_again();
}

TEST("a certificate has one session, and a table that is full forgets the oldest")
{
    begin_again(1, 3600);
    struct port_why why = {""};
    struct port_tls *first = client.tls;
    struct port_tls *second;
    struct port_tls_config config = client_config(&device_2_id);
    config.resumes = true;
    REQUIRE(port_tls_make(client.port, &config, &second, &why) == PORT_OK);
    CHECK(!comes_back() && comes_back());
    CHECK_U64(port_sessions_count(again.sessions).kept, 1);
    client.tls = second;
    CHECK(!comes_back() && comes_back());
    CHECK_U64(port_sessions_count(again.sessions).kept, 1);
    client.tls = first;
    CHECK(!comes_back());
    port_tls_free(second);
    end_again();
}
