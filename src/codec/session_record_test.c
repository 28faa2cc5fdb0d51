#include "codec/session_record.h"
#include "test/test.h"

#include <string.h>

static const struct session_owner owner = {.kind = SESSION_OWNER_DEVICE, .id = {1, [15] = 9}};

static size_t encode(const struct session_record *record, uint8_t *room, size_t cap)
{
    struct writer w = writer_over(room, cap);
    return session_record_encode(record, &w) == SESSION_RECORD_OK ? w.len : 0;
}

static bool is_refused(const struct session_record *record)
{
    uint8_t room[2048];
    struct session_record back;
    size_t len = encode(record, room, sizeof room);
    return len == 0 || session_record_decode(slice_of(room, len), &back) != SESSION_RECORD_OK;
}

TEST("each kind of record comes back, no prefix of one is a record, and nothing may follow it")
{
    uint8_t items[256], moves[64], room[1024];
    struct writer w = writer_over(items, sizeof items);
    session_item_write(&w, &(struct session_item){.kind = SESSION_ITEM_DELIVERY,
                                                  .position = 7,
                                                  .expires_ms = 5,
                                                  .size = 3,
                                                  .qos = 2,
                                                  .is_retained = true,
                                                  .ids_count = 1,
                                                  .ids = {9}});
    struct slice brought = writer_slice(&w);
    struct writer m = writer_over(moves, sizeof moves);
    session_move_write(&m, &(struct session_move){.n = 3, .to = 4, .share = 1, .position = 9});
    const struct session_record records[] = {
        {.kind = SESSION_OPENED,
         .session = 1,
         .owner = owner,
         .client_id = slice_text("press"),
         .expiry_s = 60,
         .has_will = true},
        {.kind = SESSION_CLOSED, .session = 1, .expiry_s = 60, .has_will = true, .sent = 4},
        {.kind = SESSION_ENDED, .session = 1, .end = SESSION_END_STALLED},
        {.kind = SESSION_SUBSCRIBED,
         .session = 1,
         .filter = slice_text("a/+/#"),
         .options = {.qos = 2, .no_local = true, .retain_handling = 1},
         .subscription_id = 9,
         .items = brought},
        {.kind = SESSION_UNSUBSCRIBED, .session = 1, .filter = slice_text("$share/g/a")},
        {.kind = SESSION_RELEASED, .session = 1, .packet_id = 65535},
        {.kind = SESSION_ACKED, .session = 1, .first = 4, .last = 6},
        {.kind = SESSION_RECEIVED, .session = 1, .first = 4},
        {.kind = SESSION_MOVED, .session = 1, .items = writer_slice(&m)},
        {.kind = SESSION_KEPT,
         .session = 1,
         .owner = owner,
         .is_open = true,
         .next = 8,
         .next_share = 2,
         .sent = 7},
        {.kind = SESSION_KEPT, .session = 1, .part = 1, .is_last = true},
    };
    for (size_t i = 0; i < COUNT_OF(records); i++) {
        struct session_record back;
        size_t len = encode(&records[i], room, sizeof room);
        CHECK(len > 0);
        for (size_t cut = 0; cut < len; cut++) {
            CHECK(session_record_decode(slice_of(room, cut), &back) == SESSION_RECORD_MALFORMED);
        }
        REQUIRE(session_record_decode(slice_of(room, len), &back) == SESSION_RECORD_OK);
        CHECK(back.kind == records[i].kind && back.session == 1);
        CHECK(slice_equal(back.items, records[i].items));
        CHECK(slice_equal(back.filter, records[i].filter));
        CHECK(slice_equal(back.client_id, records[i].client_id));
        CHECK_U64(back.expiry_s, records[i].expiry_s);
        CHECK_U64(back.sent, records[i].sent);
        CHECK_U64(back.first, records[i].first);
        room[len] = 0;
        CHECK(session_record_decode(slice_of(room, len + 1), &back) == SESSION_RECORD_MALFORMED);
    }
}

TEST("what no gateway writes is refused")
{
    const struct session_record wrong[] = {
        {.kind = SESSION_OPENED, .session = 0, .owner = owner},
        {.kind = SESSION_OPENED, .session = 1},
        {.kind = SESSION_OPENED, .session = 1, .owner = owner, .client_id = slice_of("\xff", 1)},
        {.kind = SESSION_ENDED, .session = 1},
        {.kind = SESSION_ENDED, .session = 1, .end = (enum session_end)SESSION_END_COUNT},
        {.kind = SESSION_SUBSCRIBED, .session = 1, .filter = slice_text("a/#/b")},
        {.kind = SESSION_SUBSCRIBED,
         .session = 1,
         .filter = slice_text("a"),
         .options = {.qos = 3}},
        {.kind = SESSION_SUBSCRIBED,
         .session = 1,
         .filter = slice_text("$share/g/a"),
         .options = {.no_local = true}},
        {.kind = SESSION_RELEASED, .session = 1},
        {.kind = SESSION_ACKED, .session = 1, .first = 4, .last = 3},
        {.kind = SESSION_ACKED, .session = 1},
        {.kind = SESSION_RECEIVED, .session = 1},
        {.kind = SESSION_MOVED, .session = 1},
        {.kind = SESSION_KEPT, .session = 1, .owner = owner, .next = 1, .next_share = 1, .sent = 1},
        {.kind = SESSION_KEPT, .session = 1, .part = 1, .is_open = true},
        {.kind = SESSION_KEPT,
         .session = 1,
         .owner = owner,
         .is_open = true,
         .closed_ms = 1,
         .next = 1,
         .next_share = 1},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        CHECK(is_refused(&wrong[i]));
        if (!is_refused(&wrong[i])) {
            test_failed(__FILE__, __LINE__, "row %zu", i);
        }
    }
}

TEST("a thing that has no place in its record is refused")
{
    static const struct session_item things[] = {
        {.kind = SESSION_ITEM_INBOUND, .packet_id = 1},
        {.kind = SESSION_ITEM_DELIVERY, .n = 1, .position = 1, .qos = 1},
        {.kind = SESSION_ITEM_DELIVERY, .is_received = true, .qos = 2},
        {.kind = SESSION_ITEM_DELIVERY, .position = 0, .qos = 1},
        {.kind = SESSION_ITEM_DELIVERY, .position = 1, .qos = 3},
        {.kind = SESSION_ITEM_DELIVERY, .position = 1, .qos = 1, .ids_count = 1},
    };
    for (size_t i = 0; i < COUNT_OF(things); i++) {
        uint8_t items[128];
        struct writer w = writer_over(items, sizeof items);
        session_item_write(&w, &things[i]);
        CHECK(is_refused(&(struct session_record){.kind = SESSION_SUBSCRIBED,
                                                  .session = 1,
                                                  .filter = slice_text("a"),
                                                  .items = writer_slice(&w)}));
    }
    uint8_t items[128];
    struct writer w = writer_over(items, sizeof items);
    session_item_write(
        &w, &(struct session_item){.kind = SESSION_ITEM_DELIVERY, .position = 1, .qos = 1});
    CHECK(is_refused(&(struct session_record){
        .kind = SESSION_KEPT, .session = 1, .part = 1, .items = writer_slice(&w)}));
}

TEST("each end of a session has a name of its own")
{
    for (int a = 1; a < SESSION_END_COUNT; a++) {
        CHECK(strcmp(session_end_name((enum session_end)a), "unknown") != 0);
        for (int b = 1; b < a; b++) {
            CHECK(
                strcmp(session_end_name((enum session_end)a), session_end_name((enum session_end)b))
                != 0);
        }
    }
    CHECK(strcmp(session_end_name((enum session_end)SESSION_END_COUNT), "unknown") == 0);
}
