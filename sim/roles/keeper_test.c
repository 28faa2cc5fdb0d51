/*
 * The keeper on its socket: what its policy does not allow is not signed, what is no request ends
 * the conversation, and a restart ends nothing else.
 */
#include "codec/keeper_message.h"
#include "codec/x509.h"
#include "crypto/key.h"
#include "sim/roles/fixture.h"
#include "test/test.h"

#include <string.h>

enum { ANSWERS_MAX = 256 };

static struct fixture world;

/* Somebody on the core who speaks to the keeper. */
struct caller {
    struct port *port;
    struct port_conn *conn;
    bool is_up, is_closed;
    unsigned answers;
    uint32_t ids[ANSWERS_MAX];
    enum keeper_outcome outcomes[ANSWERS_MAX];
    char clause[200]; /* of the last refusal */
};

static void take(struct caller *c, const struct port_event *ev)
{
    struct keeper_answer answer;
    size_t used = 0;
    struct slice rest = ev->received.bytes;
    while (keeper_answer_decode(rest, &answer, &used) == KEEPER_MESSAGE_OK
           && c->answers < ANSWERS_MAX) {
        c->ids[c->answers] = answer.id;
        c->outcomes[c->answers++] = answer.outcome;
        if (answer.outcome == KEEPER_REFUSED && answer.bytes.len < sizeof c->clause) {
            memcpy(c->clause, answer.bytes.at, answer.bytes.len);
            c->clause[answer.bytes.len] = '\0';
        }
        rest = slice_after(rest, used);
    }
    port_consume(ev->conn, ev->received.bytes.len - rest.len);
}

static void on_event(void *role, const struct port_event *ev)
{
    struct caller *c = role;
    switch (ev->kind) {
    case PORT_CONNECTED: c->is_up = true; return;
    case PORT_CLOSED: c->is_closed = true; return;
    case PORT_RECEIVED: take(c, ev); return;
    case PORT_ACCEPTED:
    case PORT_REFUSED:
    case PORT_DRAINED:
    case PORT_WOKE:
    case PORT_SYNCED:
    case PORT_CHANGED:
    case PORT_EXITED:
    case PORT_TERMINATE:
    case PORT_TURN_ENDED: return;
    }
}

static bool call(struct caller *c)
{
    struct port_listen_options options = {.receive_cap = KEEPER_FRAME_MAX,
                                          .send_cap = 2 * KEEPER_FRAME_MAX,
                                          .handshakes_max = 1,
                                          .connections_max = 1,
                                          .handshake_ms = 1000};
    struct port_why why;
    *c = (struct caller){.port = sim_start(world.world, "core", on_event, c)};
    CHECK(port_connect(c->port, "unix:/hf/run/keeper.sock", NULL, NULL, &options, c, &c->conn, &why)
          == PORT_OK);
    sim_run_for(world.world, 10);
    return c->is_up;
}

static void hang_up(struct caller *c)
{
    port_close_all(c->port);
}

static void send_request(struct caller *c,
                         uint32_t id,
                         enum keeper_purpose purpose,
                         struct slice bytes)
{
    static uint8_t room[KEEPER_FRAME_MAX];
    struct writer w = writer_over(room, sizeof room);
    keeper_request_write(&w,
                         &(struct keeper_request){.id = id, .purpose = purpose, .bytes = bytes});
    CHECK(writer_ok(&w) && port_send(c->conn, writer_slice(&w)));
}

static bool begin(void)
{
    static const struct plant_spec spec = {.seed = 31, .gateways = 1};
    bool begun = fixture_begin(&world, &spec);
    if (begun) {
        sim_run_for(world.world, 1000);
    }
    return begun;
}

/* ---- what it must not sign ---- */

struct forged {
    const char *what;
    struct x509_spec spec;
};

static struct slice write_tbs(struct x509_spec spec, uint8_t *room, size_t cap)
{
    static struct key_public own;
    static uint8_t name[128];
    static const uint8_t serial[16] = {1};
    struct key_private *key = NULL;
    struct writer nw = writer_over(name, sizeof name);
    struct writer w = writer_over(room, cap);
    CHECK(key_make(KEY_P256, &key) == KEY_OK);
    own = key_public_of(key);
    key_free(key);
    x509_subject_write(&nw, &(struct x509_subject){.serial_number = slice_text("dev-0000")});
    spec.serial = slice_of(serial, sizeof serial);
    spec.issuer = writer_slice(&nw);
    spec.subject = writer_slice(&nw);
    spec.key_kind = spec.sign_with = X509_P256;
    spec.public_key = slice_of(own.bytes, own.len);
    CHECK(x509_tbs_write(&w, &spec) == X509_OK);
    return writer_slice(&w);
}

TEST("the keeper refuses in words what its policy does not allow, and signs none of it")
{
    static const struct forged rows[] = {
        {"a CA",
         {.is_ca = true, .key_usage = X509_KEY_CERT_SIGN, .not_after_ms = INT64_C(1) << 42}},
        {"a server", {.ext_key_usage = X509_EKU_SERVER_AUTH, .key_usage = X509_DIGITAL_SIGNATURE}},
        {"a device of another issuer",
         {.ext_key_usage = X509_EKU_CLIENT_AUTH, .key_usage = X509_DIGITAL_SIGNATURE}},
    };
    static const char *const rubbish[] = {"", "0", "no certificate at all",
                                          "\x30\x82\xff\xff\x30\x80"};
    static struct caller c;
    uint8_t room[1024];
    REQUIRE(begin());
    REQUIRE(call(&c));
    uint32_t id = 1;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        send_request(&c, id++, KEEPER_DEVICE_CERTIFICATE,
                     write_tbs(rows[i].spec, room, sizeof room));
    }
    for (size_t i = 0; i < COUNT_OF(rubbish); i++) {
        send_request(&c, id++, KEEPER_DEVICE_CERTIFICATE, slice_text(rubbish[i]));
        send_request(&c, id++, KEEPER_TRUST_LIST, slice_text(rubbish[i]));
    }
    sim_run_for(world.world, 100);
    CHECK_U64(c.answers, id - 1);
    for (unsigned i = 0; i < c.answers; i++) {
        CHECK(c.outcomes[i] == KEEPER_REFUSED);
        CHECK_U64(c.ids[i], i + 1);
    }
    CHECK(c.clause[0] != '\0');
    CHECK(!c.is_closed && plant_is_up(world.plant, PLANT_KEEPER));
    hang_up(&c);
    fixture_end(&world);
}

TEST("what is no request ends the conversation, and only that one")
{
    static const struct {
        const uint8_t *bytes;
        size_t len;
    } rows[] = {
        {(const uint8_t *)"\xff\xff\xff\xff\x01", 5},                      /* longer than a frame */
        {(const uint8_t *)"\x00\x00\x00\x06\x02\x00\x00\x00\x01\x01", 10}, /* another version */
        {(const uint8_t *)"\x00\x00\x00\x06\x01\x00\x00\x00\x01\x63", 10}, /* another purpose */
        {(const uint8_t *)"\x00\x00\x00\x00", 4},                          /* nothing in it */
    };
    static struct caller good;
    static struct caller bad;
    REQUIRE(begin());
    REQUIRE(call(&good));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        REQUIRE(call(&bad));
        CHECK(port_send(bad.conn, slice_of(rows[i].bytes, rows[i].len)));
        sim_run_for(world.world, 100);
        CHECK(bad.is_closed && bad.answers == 0);
        hang_up(&bad);
    }
    send_request(&good, 7, KEEPER_TRUST_LIST, slice_text("still there"));
    sim_run_for(world.world, 100);
    CHECK(good.answers == 1 && good.ids[0] == 7 && good.outcomes[0] == KEEPER_REFUSED);
    hang_up(&good);
    fixture_end(&world);
}

TEST("requests that come in pieces or in a heap are answered one by one")
{
    static struct caller c;
    static uint8_t room[KEEPER_FRAME_MAX];
    struct writer w = writer_over(room, sizeof room);
    REQUIRE(begin());
    REQUIRE(call(&c));
    for (uint32_t id = 1; id <= 100; id++) {
        keeper_request_write(&w, &(struct keeper_request){.id = id,
                                                          .purpose = KEEPER_TRUST_LIST,
                                                          .bytes = slice_text("x")});
    }
    struct slice all = writer_slice(&w);
    CHECK(port_send(c.conn, slice_of(all.at, 300)));
    sim_run_for(world.world, 10);
    for (size_t at = 300; at < all.len; at += 7) {
        CHECK(port_send(c.conn, slice_of(all.at + at, all.len - at < 7 ? all.len - at : 7)));
        if (at % 3 == 0) {
            sim_run_for(world.world, 1);
        }
    }
    sim_run_for(world.world, 100);
    CHECK_U64(c.answers, 100);
    for (unsigned i = 0; i < c.answers; i++) {
        CHECK_U64(c.ids[i], i + 1);
    }
    hang_up(&c);
    fixture_end(&world);
}

TEST("after a kill or a power cut the keeper is there again with the same keys")
{
    static struct caller c;
    REQUIRE(begin());
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE(call(&c));
        if (i % 2 == 0) {
            plant_kill(world.plant, PLANT_KEEPER, 200);
            sim_run_for(world.world, 10);
            CHECK(c.is_closed);
            hang_up(&c);
        } else {
            hang_up(&c);
            plant_power_cut(world.plant, "core", 200);
        }
        sim_run_for(world.world, 2000);
        CHECK(plant_is_up(world.plant, PLANT_KEEPER));
    }
    REQUIRE(call(&c));
    send_request(&c, 1, KEEPER_TRUST_LIST, slice_text("x"));
    sim_run_for(world.world, 100);
    CHECK_U64(c.answers, 1);
    hang_up(&c);
    fixture_end(&world);
}
