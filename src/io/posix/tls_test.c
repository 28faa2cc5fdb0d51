/* TLS on connections, with keys and certificates made by the openssl command line, and refusals by
 * alert. */
#include "io/posix/pair.h"
#include "io/read_all.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * root: a CA for servers.  devices: an issuing CA under root, the anchor of devices.  maker:
 * another root. Leaves: server (localhost, 127.0.0.1), device (by devices), ancient (by maker, over
 * since 2011), alien (by maker).
 */
static const char make_certificates[] =
    "set -e; cd '%s'; WANT=%s; test ! -e ancient.pem || exit 0; {\n"
    "key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }\n"
    "root() { key $1; openssl req -x509 -new -key $1.key -subj /CN=$1 -days 30 -out $1.pem"
    " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign; }\n"
    "signed() { key $1; printf '%%b' \"$3\" >$1.ext; openssl req -new -key $1.key -subj /CN=$1 |"
    " openssl x509 -req -CA $2.pem -CAkey $2.key -CAcreateserial -extfile $1.ext $4 -out $1.pem; "
    "}\n"
    "root root; root maker\n"
    "signed devices root 'basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign' "
    "'-days 30'\n"
    "signed server root 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nextendedKeyUsage=serverAuth' "
    "'-days 30'\n"
    "signed device devices 'extendedKeyUsage=clientAuth' '-days 30'\n"
    "signed alien maker 'extendedKeyUsage=clientAuth' '-days 30'\n"
    "case $WANT in vendor|edwards)\n"
    "  key() { openssl genpkey -algorithm $KIND -out $1.key; }\n"
    "  KIND=ED25519; test $WANT = edwards || KIND='RSA -pkeyopt rsa_keygen_bits:2048'\n"
    "  signed $WANT maker 'extendedKeyUsage=clientAuth' '-days 30'\n"
    "esac\n"
    "openssl ecparam -name prime256v1 -genkey -noout -out ancient.key\n"
    "printf extendedKeyUsage=clientAuth >ancient.ext\n"
    "openssl req -new -key ancient.key -subj /CN=ancient -out ancient.csr\n"
    "touch index.txt; echo 01 >serial\n"
    "printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\nserial=serial\\nnew_certs_dir=.\\n"
    "default_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' >ca.cnf\n"
    "openssl ca -batch -config ca.cnf -cert maker.pem -keyfile maker.key -extfile ancient.ext "
    "-notext"
    " -startdate 20100101000000Z -enddate 20110101000000Z -in ancient.csr -out ancient.pem\n"
    "} >made.log 2>&1";

struct text {
    uint8_t bytes[8192];
    size_t len;
};

static struct slice pem(struct pair *p, struct text *to, const char *name)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", test_scratch_dir(), name);
    if (port_file_read_all(p->port, path, to->bytes, sizeof to->bytes, &to->len) != PORT_OK) {
        test_failed(__FILE__, __LINE__, "cannot read %s", path);
        to->len = 0;
    }
    return slice_of(to->bytes, to->len);
}

/* What a test may change before the two sides are made. NULL names: none. */
struct setup {
    const char *server_leaf, *client_leaf;
    const char *server_anchors[2]; /* those of clients */
    bool no_time[2];
    const char *client_anchors;
    const char *server_alpn, *client_alpn;
    bool optional_peer;
    int64_t time_floor_ms;
    const char *server_name;
};

static const struct setup usual = {.server_leaf = "server",
                                   .client_leaf = "device",
                                   .server_anchors = {"maker.pem", "devices.pem"},
                                   .client_anchors = "root.pem",
                                   .server_name = "localhost"};

static void read_own(struct pair *p,
                     struct port_tls_config *config,
                     const char *leaf,
                     struct text own[2])
{
    char name[64];
    if (leaf != NULL) {
        (void)snprintf(name, sizeof name, "%s.pem", leaf);
        config->certificate_pem = pem(p, &own[0], name);
        (void)snprintf(name, sizeof name, "%s.key", leaf);
        config->key_pem = pem(p, &own[1], name);
    }
}

static enum port_result make_server(struct pair *p, const struct setup *s)
{
    static struct text own[2];
    static struct text anchors[2];
    struct port_tls_config config = {.is_server = true,
                                     .require_peer = !s->optional_peer,
                                     .alpn = s->server_alpn,
                                     .time_floor_ms = s->time_floor_ms};
    read_own(p, &config, s->server_leaf, own);
    for (size_t i = 0; i < 2 && s->server_anchors[i] != NULL; i++) {
        config.anchors[i].pem = pem(p, &anchors[i], s->server_anchors[i]);
        config.anchors[i].no_time = s->no_time[i];
        config.anchors_count++;
    }
    return port_tls_make(p->port, &config, &p->server_tls, &p->why);
}

static enum port_result make_client(struct pair *p, const struct setup *s)
{
    static struct text own[2];
    static struct text anchors;
    struct port_tls_config config = {.alpn = s->client_alpn};
    read_own(p, &config, s->client_leaf, own);
    if (s->client_anchors != NULL) {
        config.anchors[0].pem = pem(p, &anchors, s->client_anchors);
        config.anchors_count = 1;
    }
    p->server_name = s->server_name;
    return port_tls_make(p->port, &config, &p->client_tls, &p->why);
}

static bool prepare(struct pair *p, const struct setup *s)
{
    char command[sizeof make_certificates + 300];
    pair_open(p);
    (void)snprintf(command, sizeof command, make_certificates, test_scratch_dir(),
                   s->client_leaf != NULL ? s->client_leaf : "none");
    if (system(command) != 0) {
        test_failed(__FILE__, __LINE__, "certificates cannot be made: %s/made.log",
                    test_scratch_dir());
        return false;
    }
    if (make_server(p, s) != PORT_OK || make_client(p, s) != PORT_OK
        || pair_listen(p, "127.0.0.1:0") != PORT_OK) {
        test_failed(__FILE__, __LINE__, "%s", p->why.text);
        return false;
    }
    return true;
}

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
    REQUIRE(prepare(&p, &usual));
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
    REQUIRE(prepare(&p, &usual));
    p.act = speak_first;
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, client_got_five));
    pair_close(&p);
}

struct refusal {
    const char *what;
    const char *detail; /* part of what the server says; NULL: the client refuses */
    struct setup setup;
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
        REQUIRE(prepare(&p, &row->setup));
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

static void check_accepted(const struct setup *setup, size_t anchors)
{
    struct pair p;
    REQUIRE(prepare(&p, setup));
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
    struct setup setup = usual;
    setup.client_leaf = "ancient";
    setup.no_time[0] = true;
    check_accepted(&setup, 0);
}

TEST("a certificate with an RSA key is understood, as vendors make them")
{
    struct setup setup = usual;
    setup.client_leaf = "vendor";
    check_accepted(&setup, 0);
}

TEST("a certificate with an Ed25519 key is understood")
{
    struct setup setup = usual;
    setup.client_leaf = "edwards";
    check_accepted(&setup, 0);
}

TEST("a client without a certificate is let in where none is required")
{
    struct setup setup = usual;
    setup.client_leaf = NULL;
    setup.optional_peer = true;
    check_accepted(&setup, 0);
}

TEST("an expected protocol is demanded only of those who offer any; an address can be the server's "
     "name")
{
    struct setup setup = usual;
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
    static struct text out;
    struct slice all = pem(p, &out, "out");
    return memmem(all.at, all.len, text, strlen(text)) != NULL;
}

TEST("a TLS 1.2 hello gets alert 70, protocol_version")
{
    struct pair p;
    REQUIRE(prepare(&p, &usual));
    CHECK(run_client(&p, "-tls1_2", refused));
    CHECK(p.refused_reason == PORT_CLOSE_TLS);
    CHECK(output_has(&p, "SSL alert number 70"));
    pair_close(&p);
}

TEST("a foreign client gets TLS 1.3 by X25519, no ticket, and our server's chain verifies")
{
    struct pair p;
    REQUIRE(prepare(&p, &usual));
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
    REQUIRE(prepare(&p, &usual));
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
    REQUIRE(prepare(&p, &usual));
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
    REQUIRE(prepare(&p, &usual));
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
    REQUIRE(prepare(&p, &usual));
    static struct text cert;
    static struct text key;
    static struct text other;
    struct port_tls *tls = NULL;
    struct slice server = pem(&p, &cert, "server.pem");
    struct slice server_key = pem(&p, &key, "server.key");
    struct slice device_key = pem(&p, &other, "device.key");
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
