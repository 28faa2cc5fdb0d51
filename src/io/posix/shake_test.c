/* Before a handshake and while it goes on: who may begin one, who gives way, whose turn it is. */
#include "io/posix/tls_pair.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool both_up(struct pair *p)
{
    return p->server != NULL && p->client_up;
}

static bool client_closed(struct pair *p)
{
    return p->client_closed == 1;
}

/* ---- who may begin ---- */

static struct {
    unsigned asked;
    struct port_peer peer;
    bool may;
} gate;

static bool admit(void *role, void *user, const struct port_peer *peer)
{
    CHECK(role != NULL && user == NULL);
    gate.asked++;
    gate.peer = *peer;
    return gate.may;
}

static bool listen_again(struct pair *p, const char *address)
{
    port_listener_close(p->listener);
    p->options.admit = admit;
    memset(&gate, 0, sizeof gate);
    return pair_listen(p, address) == PORT_OK;
}

TEST("whom the role turns away is reset before TLS, and the role hears no more of it")
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    REQUIRE(listen_again(&p, "127.0.0.1:0"));
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, client_closed));
    CHECK(p.client_reason == PORT_CLOSE_RESET || p.client_reason == PORT_CLOSE_UNREACHABLE);
    CHECK_U64(gate.asked, 1);
    CHECK_U64(p.refused, 0);
    CHECK(strncmp(gate.peer.address, "127.0.0.1:", 10) == 0);
    static const uint8_t loopback[PORT_SOURCE_LEN] = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1};
    CHECK(memcmp(gate.peer.source, loopback, sizeof loopback) == 0);
    p.client_closed = 0;
    gate.may = true;
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, both_up));
    struct port_peer peer;
    port_conn_peer(p.server, &peer);
    CHECK(memcmp(peer.source, loopback, sizeof loopback) == 0);
    CHECK_U64(gate.asked, 2);
    pair_close(&p);
}

TEST("the source of an IPv6 address is its first 64 bits, of a local socket nothing")
{
    static const uint8_t zero[PORT_SOURCE_LEN];
    char local[300];
    (void)snprintf(local, sizeof local, "unix:%s/sock", test_scratch_dir());
    const char *const addresses[] = {"[::1]:0", local};
    for (size_t i = 0; i < 2; i++) {
        struct pair p;
        pair_open(&p);
        p.options.admit = admit;
        gate.may = true;
        if (pair_listen(&p, addresses[i]) != PORT_OK) { /* a machine without IPv6 */
            pair_close(&p);
            continue;
        }
        memset(&gate.peer.source, 1, sizeof gate.peer.source);
        REQUIRE(pair_connect(&p) == PORT_OK);
        CHECK(pair_until(&p, both_up));
        CHECK(memcmp(gate.peer.source, zero, sizeof zero) == 0);
        pair_close(&p);
    }
}

/* ---- who gives way ---- */

TEST(
    "silent peers that hold all handshakes give way to one that speaks, and not before their grace")
{
    enum { SILENT = 4 };
    struct pair p;
    int silent[SILENT];
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    port_listener_close(p.listener);
    p.options.handshakes_max = SILENT;
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    uint64_t began_ms = port_now_ms(p.port);
    for (unsigned i = 0; i < SILENT; i++) {
        silent[i] = pair_raw_connect(&p);
        REQUIRE(silent[i] >= 0);
    }
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, both_up));
    CHECK(port_now_ms(p.port) - began_ms >= PORT_HANDSHAKE_GRACE_MS - 1);
    CHECK_U64(p.refused, 1); /* one place was wanted: one went */
    CHECK(p.refused_reason == PORT_CLOSE_TIMEOUT);
    CHECK(strncmp(p.refused_detail, "gave way", 8) == 0);
    for (unsigned i = 0; i < SILENT; i++) {
        (void)close(silent[i]);
    }
    pair_close(&p);
}

/* ---- whose turn it is ---- */

enum { CALLERS = 48 };

static struct {
    uint64_t turn;
    unsigned in_turn, most_in_turn, up;
} storm;

static void count_per_turn(struct pair *p, const struct port_event *ev)
{
    if (ev->kind == PORT_ACCEPTED) {
        storm.in_turn = storm.turn == p->turns ? storm.in_turn + 1 : 1;
        storm.turn = p->turns;
        storm.most_in_turn =
            storm.in_turn > storm.most_in_turn ? storm.in_turn : storm.most_in_turn;
        storm.up++;
    }
}

static bool all_up(struct pair *p)
{
    (void)p;
    return storm.up == CALLERS;
}

TEST("many handshakes at once have only a share of each turn of the loop")
{
    struct pair p;
    REQUIRE(tls_pair_prepare(&p, &tls_usual));
    memset(&storm, 0, sizeof storm);
    p.act = count_per_turn;
    for (unsigned i = 0; i < CALLERS; i++) {
        REQUIRE(pair_connect(&p) == PORT_OK);
    }
    CHECK(pair_until(&p, all_up));
    /* Half a millisecond is enough for a few; without a share all that are ready would follow each
     * other. */
    CHECK(storm.most_in_turn <= CALLERS / 4);
    pair_close(&p);
}
