#include "base/rng.h"
#include "core/device/outbox.h"
#include "test/test.h"

#include <string.h>

enum { CAP = 8, BYTES = 2 * (OUTBOX_MESSAGE_MAX + OUTBOX_STREAM_MAX) };

struct rig {
    struct outbox o;
    struct outbox_entry entries[CAP];
    uint8_t bytes[BYTES];
};

static void init(struct rig *r)
{
    outbox_init(&r->o, r->entries, CAP, r->bytes, sizeof r->bytes);
}

static bool put(struct rig *r, uint64_t seq, const char *text)
{
    bool ok = outbox_put(&r->o, seq, seq * 100, slice_text("s"), slice_text(text));
    outbox_check(&r->o);
    return ok;
}

TEST("messages go out oldest first, each under an id of its own, and leave when acknowledged")
{
    static struct rig r;
    struct outbox_message a;
    struct outbox_message b;
    init(&r);
    CHECK(put(&r, 1, "one") && put(&r, 2, "two"));
    REQUIRE(outbox_send(&r.o, &a) && outbox_send(&r.o, &b));
    CHECK(!outbox_send(&r.o, &a));
    CHECK(a.seq == 1 && b.seq == 2 && a.packet_id != b.packet_id);
    CHECK(slice_is_text(a.payload, "one") && slice_is_text(a.stream, "s") && !a.is_repetition);
    CHECK(outbox_acked(&r.o, b.packet_id));
    CHECK_U64(outbox_done_position(&r.o, 9), 100);
    CHECK(outbox_acked(&r.o, a.packet_id));
    CHECK_U64(outbox_done_position(&r.o, 9), 9);
    CHECK(outbox_is_empty(&r.o));
    outbox_check(&r.o);
}

TEST("a message without a stream, as a boot's description is, goes in and comes out")
{
    static struct rig r;
    struct outbox_message out;
    init(&r);
    CHECK(outbox_put(&r.o, 1, 0, (struct slice){0}, slice_text("boot")));
    REQUIRE(outbox_send(&r.o, &out));
    CHECK(out.stream.len == 0 && slice_is_text(out.payload, "boot"));
}

TEST("an acknowledgement of what was not sent is refused and changes nothing")
{
    static struct rig r;
    struct outbox_message a;
    init(&r);
    CHECK(put(&r, 1, "one"));
    CHECK(!outbox_acked(&r.o, 1) && !outbox_refused(&r.o, 1) && !outbox_again(&r.o, 1));
    REQUIRE(outbox_send(&r.o, &a));
    CHECK(outbox_acked(&r.o, a.packet_id));
    CHECK(!outbox_acked(&r.o, a.packet_id));
    CHECK_U64(r.o.acked_count, 1);
}

TEST("after a lost link everything unacknowledged is sent again, in order, as a repetition")
{
    static struct rig r;
    struct outbox_message m;
    init(&r);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        CHECK(put(&r, seq, "x"));
    }
    for (int i = 0; i < 3; i++) {
        CHECK(outbox_send(&r.o, &m));
    }
    CHECK(outbox_acked(&r.o, 2)); /* the second */
    outbox_link_lost(&r.o);
    outbox_check(&r.o);
    static const uint64_t want[] = {1, 3, 4};
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        REQUIRE(outbox_send(&r.o, &m));
        CHECK_U64(m.seq, want[i]);
        CHECK(m.is_repetition == (m.seq != 4));
    }
    CHECK_U64(r.o.repeated_count, 2);
}

TEST("what could not leave after all is no repetition when it does")
{
    static struct rig r;
    struct outbox_message m;
    init(&r);
    CHECK(put(&r, 1, "x"));
    REQUIRE(outbox_send(&r.o, &m));
    outbox_not_sent(&r.o, &m);
    REQUIRE(outbox_send(&r.o, &m));
    CHECK(!m.is_repetition);
    CHECK(outbox_again(&r.o, m.packet_id));
    REQUIRE(outbox_send(&r.o, &m));
    CHECK(m.is_repetition);
}

TEST("a full outbox takes nothing and loses nothing")
{
    static struct rig r;
    struct outbox_message m;
    init(&r);
    for (uint64_t seq = 1; seq <= CAP; seq++) {
        CHECK(put(&r, seq, "x"));
    }
    CHECK(!put(&r, 100, "x"));
    CHECK(!outbox_has_room(&r.o));
    REQUIRE(outbox_send(&r.o, &m));
    CHECK_U64(m.seq, 1);
    CHECK(outbox_acked(&r.o, m.packet_id));
    CHECK(put(&r, 100, "x"));
}

/* Random lengths and orders: every message comes out as it went in. */
TEST("messages of any length survive the ring, whatever order they leave in")
{
    static struct rig r;
    static uint8_t payload[OUTBOX_MESSAGE_MAX];
    struct rng rng = rng_from_seed(7);
    uint64_t put_seq = 0;
    uint16_t sent[CAP];
    uint32_t count = 0;
    init(&r);
    for (int i = 0; i < 20000; i++) {
        uint64_t dice = rng_below(&rng, 3);
        struct outbox_message m;
        if (dice == 0) {
            size_t len = 9 + rng_below(&rng, sizeof payload - 8);
            memset(payload, (int)((put_seq + 1) % 251), len);
            if (outbox_put(&r.o, put_seq + 1, 0, slice_text("stream"), slice_of(payload, len))) {
                put_seq++;
            }
        } else if (dice == 1 && count < CAP && outbox_send(&r.o, &m)) {
            CHECK(m.payload.at[0] == m.seq % 251 && m.payload.at[m.payload.len - 1] == m.seq % 251);
            CHECK(slice_is_text(m.stream, "stream"));
            sent[count++] = m.packet_id;
        } else if (dice == 2 && count > 0) {
            uint32_t which = (uint32_t)rng_below(&rng, count);
            CHECK(outbox_acked(&r.o, sent[which]));
            sent[which] = sent[--count];
        }
        outbox_check(&r.o);
    }
    CHECK(put_seq > 1000);
}

TEST("what is longer than a message may be is not taken, at any free room")
{
    static struct rig r;
    static uint8_t much[OUTBOX_MESSAGE_MAX + 1];
    init(&r);
    CHECK(!outbox_put(&r.o, 1, 0, slice_text("s"), slice_of(much, sizeof much)));
    CHECK(!outbox_put(&r.o, 1, 0, slice_of(much, OUTBOX_STREAM_MAX + 1), slice_text("x")));
    CHECK(!outbox_put(&r.o, 1, 0, (struct slice){0}, (struct slice){0}));
    CHECK(outbox_is_empty(&r.o));
    CHECK(outbox_put(&r.o, 1, 0, slice_of(much, OUTBOX_STREAM_MAX),
                     slice_of(much, OUTBOX_MESSAGE_MAX)));
    outbox_check(&r.o);
}

TEST("packet ids begin again after 65,535 and step over one that is still under way")
{
    static struct rig r;
    struct outbox_message first;
    struct outbox_message next;
    init(&r);
    CHECK(put(&r, 1, "slow"));
    REQUIRE(outbox_send(&r.o, &first));
    CHECK_U64(first.packet_id, 1);
    r.o.last_packet_id = UINT16_MAX - 1; /* as after that many messages */
    CHECK(put(&r, 2, "last") && put(&r, 3, "again"));
    REQUIRE(outbox_send(&r.o, &next));
    CHECK_U64(next.packet_id, UINT16_MAX);
    REQUIRE(outbox_send(&r.o, &next));
    CHECK_U64(next.packet_id, 2);
    CHECK(outbox_acked(&r.o, first.packet_id) && outbox_acked(&r.o, UINT16_MAX));
    CHECK(outbox_acked(&r.o, 2) && outbox_is_empty(&r.o));
}
