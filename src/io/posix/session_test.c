/* Resumption: who may come back without signatures, and what a refusal to resume looks like. */
#include "io/posix/inside.h"
#include "io/posix/tls_pair.h"
#include "test/test.h"

#include <string.h>

enum { LIFETIME_S = 3600, DAY_MS = 86400000 };

static bool stands_answer;
static unsigned stands_asked;

static bool stands(void *role, struct slice certificate_der)
{
    CHECK(role != NULL && certificate_der.len > 200);
    stands_asked++;
    return stands_answer;
}

static void greet(struct pair *p, const struct port_event *ev)
{
    (void)p;
    if (ev->kind == PORT_ACCEPTED) {
        CHECK(port_send(ev->conn, slice_text("x"))); /* follows the ticket */
    }
}

static bool greeted(struct pair *p)
{
    return p->client_in_len == 1;
}

static bool both_closed(struct pair *p)
{
    return p->client_closed == 1 && p->server_closed == 1;
}

static bool client_closed(struct pair *p)
{
    return p->client_closed == 1;
}

struct meeting {
    struct port_peer server_sees, client_sees;
    uint8_t certificate[2048];
    bool is_up;
};

/* One connection from its beginning to its end. */
static struct meeting meet(struct pair *p)
{
    struct meeting m = {0};
    p->client_in_len = 0;
    p->client_up = false;
    p->client_closed = p->server_closed = p->refused = 0;
    p->server = NULL;
    CHECK(pair_connect(p) == PORT_OK);
    m.is_up = pair_until(p, greeted);
    if (m.is_up) {
        port_conn_peer(p->server, &m.server_sees);
        m.client_sees = p->client_peer;
        CHECK(m.server_sees.certificate_der.len <= sizeof m.certificate);
        memcpy(m.certificate, m.server_sees.certificate_der.at, m.server_sees.certificate_der.len);
        CHECK(m.server_sees.is_resumed == m.client_sees.is_resumed);
        CHECK(memcmp(m.server_sees.exporter, m.client_sees.exporter, PORT_EXPORTER_LEN) == 0);
        port_close(p->client);
        CHECK(pair_until(p, both_closed));
    }
    return m;
}

static struct port_sessions *sessions;

static bool begin(struct pair *p, uint32_t max, uint32_t lifetime_s)
{
    struct tls_setup setup = tls_usual;
    setup.resumes = true;
    stands_answer = true;
    stands_asked = 0;
    if (!tls_pair_prepare(p, &setup)) {
        return false;
    }
    sessions = port_sessions_make(p->port, max, lifetime_s, stands);
    setup.sessions = sessions;
    port_tls_free(p->server_tls);
    p->act = greet;
    if (tls_pair_server(p, &setup) != PORT_OK) {
        return false;
    }
    port_listener_set_tls(p->listener, p->server_tls);
    return true;
}

static void end(struct pair *p)
{
    port_sessions_free(sessions);
    pair_close(p);
}

/* The server goes on with another context. */
static bool change_server(struct pair *p, const struct tls_setup *setup)
{
    port_tls_free(p->server_tls);
    p->server_tls = NULL;
    if (tls_pair_server(p, setup) != PORT_OK) {
        test_failed(__FILE__, __LINE__, "%s", p->why.text);
        return false;
    }
    port_listener_set_tls(p->listener, p->server_tls);
    return true;
}

TEST("a client comes back without its certificate, is known by it, and has another exporter each "
     "time")
{
    struct pair p;
    REQUIRE(begin(&p, 8, LIFETIME_S));
    struct meeting first = meet(&p);
    REQUIRE(first.is_up && !first.server_sees.is_resumed);
    for (int i = 0; i < 3; i++) {
        struct meeting again = meet(&p);
        REQUIRE(again.is_up && again.server_sees.is_resumed);
        CHECK(again.server_sees.has_certificate && again.client_sees.has_certificate);
        CHECK_U64(again.server_sees.anchors, 1);
        CHECK_U64(again.server_sees.certificate_der.len, first.server_sees.certificate_der.len);
        CHECK(memcmp(again.certificate, first.certificate, first.server_sees.certificate_der.len)
              == 0);
        CHECK(memcmp(again.server_sees.exporter, first.server_sees.exporter, PORT_EXPORTER_LEN)
              != 0);
    }
    CHECK_U64(stands_asked, 3);
    CHECK_U64(port_sessions_count(sessions).resumed, 3);
    CHECK_U64(port_sessions_count(sessions).kept, 1);
    end(&p);
}

TEST("whoever does not stand any more gets a full handshake and no alert")
{
    struct pair p;
    REQUIRE(begin(&p, 8, LIFETIME_S));
    REQUIRE(meet(&p).is_up);
    stands_answer = false;
    struct meeting again = meet(&p);
    CHECK(again.is_up && !again.server_sees.is_resumed && again.server_sees.has_certificate);
    CHECK_U64(port_sessions_count(sessions).no_standing, 1);
    stands_answer = true;
    CHECK(meet(&p).server_sees.is_resumed); /* that full handshake was good for a session again */
    end(&p);
}

TEST("a session ends with its lifetime")
{
    struct pair p;
    REQUIRE(begin(&p, 8, 0));
    REQUIRE(meet(&p).is_up);
    struct meeting again = meet(&p);
    CHECK(again.is_up && !again.server_sees.is_resumed);
    CHECK_U64(port_sessions_count(sessions).resumed, 0);
    end(&p);
}

TEST("a lifetime is counted from the signature, however often the session is used")
{
    struct pair p;
    REQUIRE(begin(&p, 8, 1));
    REQUIRE(meet(&p).is_up);
    uint64_t until_ms = port_now_ms(p.port) + 1000;
    struct meeting again;
    do { /* coming back all the time keeps nothing alive */
        again = meet(&p);
        REQUIRE(again.is_up);
    } while (again.server_sees.is_resumed && port_now_ms(p.port) < until_ms + 10000);
    CHECK(!again.server_sees.is_resumed);
    CHECK_U64(port_sessions_count(sessions).out_of_time, 1);
    end(&p);
}

TEST("other issuers in force end every session, the same ones under a new context do not")
{
    struct pair p;
    struct tls_setup setup = tls_usual;
    REQUIRE(begin(&p, 8, LIFETIME_S));
    REQUIRE(meet(&p).is_up);
    setup.sessions = sessions;
    REQUIRE(change_server(&p, &setup)); /* as after a renewal of its certificate */
    CHECK(meet(&p).server_sees.is_resumed);
    setup.server_anchors[0] = "devices.pem";
    setup.server_anchors[1] = NULL;
    REQUIRE(change_server(&p, &setup));
    struct meeting again = meet(&p);
    CHECK(again.is_up && !again.server_sees.is_resumed);
    CHECK_U64(again.server_sees.anchors, 0);
    CHECK_U64(port_sessions_count(sessions).other_issuers, 1);
    setup.server_anchors[0] = "maker.pem"; /* this issuer is not accepted any more */
    REQUIRE(change_server(&p, &setup));
    p.client_closed = p.refused = 0;
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, client_closed));
    CHECK(p.client_reason == PORT_CLOSE_TLS);
    end(&p);
}

TEST("a certificate that has run out resumes nothing")
{
    struct pair p;
    struct tls_setup setup = tls_usual;
    REQUIRE(begin(&p, 8, LIFETIME_S));
    REQUIRE(meet(&p).is_up);
    setup.sessions = sessions;
    setup.time_floor_ms = port_wall_ms(p.port, NULL) + INT64_C(40) * DAY_MS; /* they live 30 days */
    REQUIRE(change_server(&p, &setup));
    p.client_closed = p.refused = 0;
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, client_closed));
    CHECK(p.client_reason == PORT_CLOSE_TLS);
    CHECK_U64(port_sessions_count(sessions).out_of_time, 1);
    CHECK_U64(port_sessions_count(sessions).resumed, 0);
    end(&p);
}

TEST("sessions end with the process that gave them")
{
    struct pair p;
    struct tls_setup setup = tls_usual;
    REQUIRE(begin(&p, 8, LIFETIME_S));
    REQUIRE(meet(&p).is_up);
    port_sessions_free(sessions);
    sessions = port_sessions_make(p.port, 8, LIFETIME_S, stands); /* as another process has them */
    setup.sessions = sessions;
    REQUIRE(change_server(&p, &setup));
    struct meeting again = meet(&p);
    CHECK(again.is_up && !again.server_sees.is_resumed);
    CHECK_U64(port_sessions_count(sessions).unknown, 1);
    end(&p);
}

TEST("a table of sessions has a size, and the oldest makes room")
{
    struct pair p;
    struct tls_setup setup = tls_usual;
    REQUIRE(begin(&p, 1, LIFETIME_S));
    REQUIRE(meet(&p).is_up);
    struct port_tls *device = p.client_tls;
    setup.resumes = true;
    setup.client_leaf = "alien"; /* by maker, the other set */
    REQUIRE(tls_pair_client(&p, &setup) == PORT_OK);
    struct port_tls *alien = p.client_tls;
    REQUIRE(meet(&p).is_up);
    CHECK_U64(port_sessions_count(sessions).kept, 1);
    struct meeting second = meet(&p);
    CHECK(second.server_sees.is_resumed && second.server_sees.anchors == 0);
    p.client_tls = device;
    struct meeting first = meet(&p);
    CHECK(first.is_up && !first.server_sees.is_resumed && first.server_sees.anchors == 1);
    CHECK_U64(port_sessions_count(sessions).kept, 1);
    port_tls_free(alien);
    end(&p);
}

/* Tickets travel in the clear: this is another's, under a key of our own and for another cipher. */
static void steal(struct port_tls *thief, const struct offer *from)
{
    static const uint8_t key[32] = "not what the server has";
    struct offer *to = &thief->offers[0];
    SSL *ssl = SSL_new(thief->ctx);
    *to = (struct offer){.name = strdup(from->name),
                         .session = SSL_SESSION_dup(from->session),
                         .validity = from->validity,
                         .order = 1};
    CHECK(SSL_SESSION_set1_master_key(to->session, key, sizeof key) == 1);
    CHECK(SSL_SESSION_set_cipher(to->session, SSL_CIPHER_find(ssl, (const uint8_t *)"\x13\x01")));
    CHECK(SSL_CTX_set_ciphersuites(thief->ctx, "TLS_AES_128_GCM_SHA256") == 1);
    SSL_free(ssl);
}

TEST("a stolen ticket that cannot be used leaves the thief who it is")
{
    struct pair p;
    struct tls_setup setup = tls_usual;
    REQUIRE(begin(&p, 8, LIFETIME_S));
    struct meeting victim = meet(&p);
    REQUIRE(victim.is_up && p.client_tls->offers[0].name != NULL);
    struct port_tls *device = p.client_tls;
    setup.resumes = true;
    setup.client_leaf = "alien";
    REQUIRE(tls_pair_client(&p, &setup) == PORT_OK);
    steal(p.client_tls, &device->offers[0]);
    struct meeting thief = meet(&p);
    REQUIRE(thief.is_up);
    CHECK(!thief.server_sees.is_resumed && thief.server_sees.anchors == 0);
    CHECK(thief.server_sees.certificate_der.len != victim.server_sees.certificate_der.len
          || memcmp(thief.certificate, victim.certificate, thief.server_sees.certificate_der.len)
                 != 0);
    CHECK_U64(stands_asked, 1); /* the ticket was found */
    port_tls_free(device);
    end(&p);
}

TEST("a client that was not told to resume keeps nothing and offers nothing")
{
    struct pair p;
    REQUIRE(begin(&p, 8, LIFETIME_S));
    port_tls_free(p.client_tls);
    REQUIRE(tls_pair_client(&p, &tls_usual) == PORT_OK);
    for (int i = 0; i < 2; i++) {
        struct meeting m = meet(&p);
        CHECK(m.is_up && !m.server_sees.is_resumed);
    }
    CHECK_U64(stands_asked, 0);
    end(&p);
}
