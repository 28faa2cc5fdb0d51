#include "base/recorder.h"
#include "test/test.h"

#include <stdalign.h>
#include <string.h>

struct thing {
    uint32_t mark;
    uint32_t state;
};

static bool record(struct recorder *r, struct thing *t, uint32_t instance, uint32_t extra)
{
    struct recorder_head state = {
        .image_len = sizeof t->state, .instance = instance, .what = RECORDER_STATE};
    struct recorder_head event = {
        .image_len = sizeof extra, .instance = instance, .what = RECORDER_EVENT};
    void *at = recorder_put_quickly(r, &t->mark, event);
    if (at == NULL) {
        if (!recorder_make_room(r, &t->mark, sizeof t->state, sizeof extra)) {
            return false;
        }
        if (!recorder_knows(r, &t->mark)) {
            t->mark = r->turn;
            memcpy(recorder_put(r, state), &t->state, sizeof t->state);
        }
        at = recorder_put(r, event);
    }
    memcpy(at, &extra, sizeof extra);
    t->state += extra;
    return true;
}

TEST("what the ring still holds replays every instance from a state to its newest event")
{
    alignas(16) uint8_t memory[512];
    struct recorder r;
    struct thing things[3] = {{0}};
    recorder_init(&r, memory, sizeof memory);
    for (uint32_t i = 0; i < 500; i++) {
        CHECK(record(&r, &things[i * 7 % 3], i * 7 % 3, i));
        uint32_t seen[3] = {0};
        bool has_state[3] = {false};
        uint32_t events = 0;
        uint64_t at = 0;
        struct recorder_record it;
        while (recorder_next(&r, &at, &it)) {
            uint32_t value;
            REQUIRE(it.image.len == sizeof value && it.instance < 3);
            memcpy(&value, it.image.at, sizeof value);
            if (it.what == RECORDER_STATE) {
                CHECK(!has_state[it.instance] || seen[it.instance] == value);
                has_state[it.instance] = true;
                seen[it.instance] = value;
            } else {
                CHECK(has_state[it.instance]);
                seen[it.instance] += value;
                events++;
            }
        }
        CHECK(events >= 1);
        CHECK(has_state[i * 7 % 3]);
        CHECK_U64(seen[i * 7 % 3], things[i * 7 % 3].state);
    }
    CHECK_U64(r.events, 500);
    CHECK(r.turn > 2);
}

TEST("an event that can never fit is counted, and its instance begins anew")
{
    alignas(16) uint8_t memory[512];
    struct recorder r;
    struct thing t = {0};
    recorder_init(&r, memory, sizeof memory);
    CHECK(record(&r, &t, 1, 1));
    CHECK(!recorder_make_room(&r, &t.mark, 4, 400));
    CHECK_U64(r.unseen, 1);
    CHECK_U64(t.mark, 0);
    CHECK(record(&r, &t, 1, 1));
    CHECK(recorder_knows(&r, &t.mark));
}

TEST("an event beyond the largest record is not recorded, however much room there is")
{
    static alignas(16) uint8_t memory[8 * RECORDER_RECORD_MAX];
    const struct recorder_head largest = {.image_len = RECORDER_RECORD_MAX - RECORDER_HEAD,
                                          .what = RECORDER_EVENT};
    struct recorder_head larger = largest;
    struct recorder r;
    struct thing t = {0};
    recorder_init(&r, memory, sizeof memory);
    REQUIRE(record(&r, &t, 1, 1));
    larger.bytes_len = 1;
    CHECK(recorder_put_quickly(&r, &t.mark, larger) == NULL);
    CHECK(!recorder_make_room(&r, &t.mark, sizeof t.state, larger.image_len + larger.bytes_len));
    CHECK_U64(r.unseen, 1);
    REQUIRE(record(&r, &t, 1, 1));
    CHECK(recorder_put_quickly(&r, &t.mark, largest) != NULL);
}

TEST("a recorder without memory records nothing and counts nothing")
{
    struct recorder r;
    struct thing t = {0};
    uint64_t at = 0;
    struct recorder_record it;
    recorder_init(&r, NULL, 0);
    CHECK(!record(&r, &t, 1, 1));
    CHECK_U64(r.unseen, 0);
    CHECK(!recorder_next(&r, &at, &it));
}
