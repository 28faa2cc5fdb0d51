/* TLS on connections, with keys and certificates made by the openssl command line, and refusals by
 * alert. */
#include "io/posix/tls_pair.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void echo(struct pair *p, const struct port_event *ev)
{
    if (ev->kind == PORT_RECEIVED && ev->conn == p->server) {
        CHECK(port_send(ev->conn, ev->received.bytes));
        port_consume(ev->conn, ev->received.bytes.len);
    }
}

static bool both_up(struct pair *p)
{
    return p->server != NULL && p->client_up;
}

static bool client_closed(struct pair *p)
{
    return p->client_closed == 1;
}

static bool refused_and_closed(struct pair *p)
{
    return p->refused == 1 && p->client_closed == 1;
}

static bool both_closed(struct pair *p)
{
    return p->client_closed == 1 && p->server_closed == 1;
}

static bool got_half_a_mebi(struct pair *p)
{
    return p->client_in_len == 512 * 1024;
}

TEST("TLS carries bytes both ways, tells who the peer is, and both ends have the same exporter")
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    p.act = echo;
    REQUIRE(pair_connect(&p) == PORT_OK);
    REQUIRE(pair_until(&p, both_up));
    struct port_peer server_sees;
    port_conn_peer(p.server, &server_sees);
    CHECK(server_sees.has_tls && server_sees.has_certificate);
    CHECK_U64(server_sees.anchors, 1);
    CHECK(server_sees.certificate_der.len > 200);
    CHECK(strncmp(server_sees.address, "127.0.0.1:", 10) == 0);
    CHECK(p.client_peer.has_certificate);
    CHECK(memcmp(server_sees.exporter, p.client_peer.exporter, PORT_EXPORTER_LEN) == 0);
    static const uint8_t zero[PORT_EXPORTER_LEN];
    CHECK(memcmp(server_sees.exporter, zero, sizeof zero) != 0);
    static uint8_t big[512 * 1024];
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (uint8_t)(i * 7);
    }
    CHECK(port_send(p.client, slice_of(big, sizeof big)));
    CHECK(pair_until(&p, got_half_a_mebi));
    CHECK(memcmp(p.client_in, big, sizeof big) == 0);
    port_close(p.client);
    CHECK(pair_until(&p, both_closed));
    CHECK(p.server_reason == PORT_CLOSE_PEER && p.client_reason == PORT_CLOSE_LOCAL);
    pair_close(&p);
}

static void speak_first(struct pair *p, const struct port_event *ev)
{
    if (ev->kind == PORT_CONNECTED) {
        CHECK(port_send(ev->conn, slice_text("first")));
    }
    echo(p, ev);
}

static bool client_got_five(struct pair *p)
{
    return p->client_in_len == 5;
}

TEST("bytes that come along with the end of the handshake are told")
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    p.act = speak_first;
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, client_got_five));
    pair_close(&p);
}

struct refusal {
    const char *what;
    const char *detail; /* part of what the server says; NULL: the client refuses */
    struct tls_setup setup;
};

static const struct refusal refusals[] = {
    {"a client without a certificate",
     "peer did not return a certificate",
     {"server", NULL, {"devices.pem"}, {false}, "root.pem", .server_name = "localhost"}},
    {"a client of another anchor",
     "unable to get local issuer",
     {"server", "alien", {"devices.pem"}, {false}, "root.pem", .server_name = "localhost"}},
    {"a client whose certificate is for servers",
     "unsuitable certificate purpose",
     {"server", "server", {"root.pem"}, {false}, "root.pem", .server_name = "localhost"}},
    {"a client whose time is over, where time counts",
     "certificate has expired",
     {"server", "ancient", {"maker.pem"}, {false}, "root.pem", .server_name = "localhost"}},
    {"a client in date by the wall, over by the time floor",
     "certificate has expired",
     {"server",
      "device",
      {"devices.pem"},
      {false},
      "root.pem",
      .server_name = "localhost",
      .time_floor_ms = INT64_C(4102444800000)}},
    {"a client that offers another protocol",
     "no application protocol",
     {"server",
      "device",
      {"devices.pem"},
      {false},
      "root.pem",
      "mqtt",
      "http/1.1",
      .server_name = "localhost"}},
    {"a server of another anchor",
     NULL,
     {"server", "device", {"devices.pem"}, {false}, "maker.pem", .server_name = "localhost"}},
    {"a server of another name",
     NULL,
     {"server", "device", {"devices.pem"}, {false}, "root.pem", .server_name = "example.org"}},
    {"a server of another address",
     NULL,
     {"server", "device", {"devices.pem"}, {false}, "root.pem", .server_name = "127.0.0.2"}},
    {"a server whose certificate is for clients",
     NULL,
     {"device", "device", {"devices.pem"}, {false}, "root.pem", .server_name = "localhost"}},
};

TEST("whoever must be refused in the handshake is refused, and nobody is told of a connection")
{
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        const struct refusal *row = &refusals[i];
        struct pair p;
        REQUIRE(tls_pair_prepare(&p, &row->setup));
        REQUIRE(pair_connect(&p) == PORT_OK);
        bool ended = pair_until(&p, refused_and_closed);
        bool told = row->detail == NULL || strstr(p.refused_detail, row->detail) != NULL;
        if (!ended || p.accepted != 0 || p.client_reason != PORT_CLOSE_TLS || !told
            || p.refused_reason != PORT_CLOSE_TLS || (row->detail == NULL && p.client_up)) {
            test_failed(__FILE__, __LINE__, "%s: server says %s, client says %s", row->what,
                        p.refused_detail, p.client_detail);
        }
        pair_close(&p);
    }
}

static void check_accepted(const struct tls_setup *setup, size_t anchors)
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, setup));
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, both_up));
    struct port_peer peer = {0};
    if (p.server != NULL) {
        port_conn_peer(p.server, &peer);
    }
    CHECK(peer.has_certificate == (setup->client_leaf != NULL));
    CHECK_U64(peer.anchors, anchors);
    pair_close(&p);
}

TEST("an anchor set without time accepts a certificate that is over, and the next set is not asked")
{
    struct tls_setup setup = tls_usual;
    setup.client_leaf = "ancient";
    setup.no_time[0] = true;
    check_accepted(&setup, 0);
}

TEST("a certificate with an RSA key is understood, as vendors make them")
{
    struct tls_setup setup = tls_usual;
    setup.client_leaf = "vendor";
    check_accepted(&setup, 0);
}

TEST("a certificate with an Ed25519 key is understood")
{
    struct tls_setup setup = tls_usual;
    setup.client_leaf = "edwards";
    check_accepted(&setup, 0);
}

TEST("a client without a certificate is let in where none is required")
{
    struct tls_setup setup = tls_usual;
    setup.client_leaf = NULL;
    setup.optional_peer = true;
    check_accepted(&setup, 0);
}

TEST("an expected protocol is demanded only of those who offer any; an address can be the server's "
     "name")
{
    struct tls_setup setup = tls_usual;
    setup.server_alpn = "mqtt";
    check_accepted(&setup, 1);
    setup.client_alpn = "mqtt";
    setup.server_name = "127.0.0.1";
    check_accepted(&setup, 1);
}

static bool refused(struct pair *p)
{
    return p->refused > 0;
}

/* Runs openssl s_client beside the loop; its output is in the scratch folder's `out`. */
static bool run_client(struct pair *p, const char *arguments, bool (*until)(struct pair *p))
{
    char command[1000];
    const char *dir = test_scratch_dir();
    (void)snprintf(
        command, sizeof command,
        "openssl s_client -connect 127.0.0.1:%u -CAfile '%s/root.pem' -cert '%s/device.pem' "
        "-key '%s/device.key' %s </dev/null >'%s/out' 2>&1",
        port_listener_port(p->listener), dir, dir, dir, arguments, dir);
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    const struct port_spawn what = {.argv = argv};
    struct port_child *child;
    return port_spawn(p->port, &what, NULL, &child, &p->why) == PORT_OK && pair_until(p, until)
           && pair_until(p, pair_child_exited);
}

static bool output_has(struct pair *p, const char *text)
{
    static struct tls_text out;
    struct slice all = tls_pair_file(p, &out, "out");
    return memmem(all.at, all.len, text, strlen(text)) != NULL;
}

TEST("a TLS 1.2 hello gets alert 70, protocol_version")
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    CHECK(run_client(&p, "-tls1_2", refused));
    CHECK(p.refused_reason == PORT_CLOSE_TLS);
    CHECK(output_has(&p, "SSL alert number 70"));
    pair_close(&p);
}

TEST("a foreign client gets TLS 1.3 by X25519, no ticket, and our server's chain verifies")
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    CHECK(run_client(&p, "-verify_return_error", pair_accepted));
    CHECK(output_has(&p, "New, TLSv1.3"));
    CHECK(output_has(&p, "Server Temp Key: X25519"));
    CHECK(!output_has(&p, "New Session Ticket"));
    CHECK(output_has(&p, "Verify return code: 0 (ok)"));
    pair_close(&p);
}

TEST("a handshake that does not go on is refused when its time is over, and the next one is taken")
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    port_listener_close(p.listener);
    p.options.handshakes_max = 1;
    p.options.handshake_ms = 400; /* of the next one, too: enough for it on a busy machine */
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    int silent = pair_raw_connect(&p);
    REQUIRE(silent >= 0);
    p.options.handshake_ms = 30000;
    REQUIRE(pair_connect(&p) == PORT_OK); /* waits in the backlog behind the silent one */
    CHECK(pair_until(&p, both_up));
    CHECK_U64(p.refused, 1);
    CHECK(p.refused_reason == PORT_CLOSE_TIMEOUT);
    (void)close(silent);
    pair_close(&p);
}

TEST("our own handshake has a limit, too")
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    int deaf = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(deaf >= 0 && listen(deaf, 1) == 0);
    (void)snprintf(p.address, sizeof p.address, "127.0.0.1:%u", pair_port_of(deaf));
    p.options.handshake_ms = 50;
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, client_closed));
    CHECK(p.client_reason == PORT_CLOSE_TIMEOUT);
    (void)close(deaf);
    pair_close(&p);
}

TEST("bytes that are no TLS are refused")
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    int fd = pair_raw_connect(&p);
    REQUIRE(fd >= 0);
    CHECK(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
    CHECK(pair_until(&p, refused));
    CHECK(p.refused_reason == PORT_CLOSE_TLS);
    (void)close(fd);
    pair_close(&p);
}

TEST("a configuration that would accept anybody, or cannot work, is refused in words")
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    static struct tls_text cert;
    static struct tls_text key;
    static struct tls_text other;
    struct port_tls *tls = NULL;
    struct slice server = tls_pair_file(&p, &cert, "server.pem");
    struct slice server_key = tls_pair_file(&p, &key, "server.key");
    struct slice device_key = tls_pair_file(&p, &other, "device.key");
    struct slice broken =
        slice_text("-----BEGIN CERTIFICATE-----\nMAMCAQEwAA==\n-----END CERTIFICATE-----\n");
    const struct port_tls_config rows[] = {
        {.is_server = false},
        {.is_server = true},
        {.is_server = true, .certificate_pem = server, .key_pem = server_key, .require_peer = true},
        {.is_server = true, .certificate_pem = server, .key_pem = device_key},
        {.is_server = true, .certificate_pem = server_key, .key_pem = server_key},
        {.is_server = true, .certificate_pem = server, .key_pem = server},
        {.anchors = {{.pem = server_key}}, .anchors_count = 1},
        {.anchors = {{.pem = broken}}, .anchors_count = 1},
        {.anchors_count = PORT_ANCHOR_SETS_MAX + 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        p.why.text[0] = '\0';
        CHECK(port_tls_make(p.port, &rows[i], &tls, &p.why) == PORT_BAD);
        CHECK(strncmp(p.why.text, "TLS: ", 5) == 0);
    }
    pair_close(&p);
}
