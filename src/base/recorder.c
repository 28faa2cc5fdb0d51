#include "base/recorder.h"

#include "base/invariant.h"

#include <assert.h>

static_assert(sizeof(struct recorder_head) == RECORDER_HEAD, "images are aligned behind it");

void recorder_init(struct recorder *r, void *memory, uint32_t len)
{
    INVARIANT((uintptr_t)memory % 16 == 0);
    *r = (struct recorder){.memory = memory, .half_cap = len / 32 * 16, .turn = 1};
}

static void turn(struct recorder *r)
{
    r->turn++;
    r->used[r->turn % 2] = 0;
}

bool recorder_make_room(struct recorder *r, uint32_t *mark, uint32_t state_len, uint32_t event_len)
{
    uint32_t both = recorder_size(event_len) + recorder_size(state_len);
    uint32_t need = recorder_knows(r, mark) ? recorder_size(event_len) : both;
    if (both > RECORDER_RECORD_MAX || both > r->half_cap) {
        r->unseen += r->half_cap > 0;
        *mark = 0;
        return false;
    }
    if (need > r->half_cap - r->used[r->turn % 2]) {
        turn(r);
    }
    return true;
}

bool recorder_next(const struct recorder *r, uint64_t *at, struct recorder_record *out)
{
    uint32_t older = (r->turn + 1) % 2;
    uint32_t half = *at < r->used[older] ? older : r->turn % 2;
    uint64_t within = half == older ? *at : *at - r->used[older];
    struct recorder_head head;
    if (within >= r->used[half]) {
        return false;
    }
    const uint8_t *place = r->memory + (uint64_t)half * r->half_cap + within;
    memcpy(&head, place, sizeof head);
    place += RECORDER_HEAD;
    *out = (struct recorder_record){.what = (enum recorder_what)head.what,
                                    .core = head.core,
                                    .instance = head.instance,
                                    .image = slice_of(place, head.image_len),
                                    .bytes = slice_of(place + head.image_len, head.bytes_len)};
    *at += recorder_size(head.image_len + head.bytes_len);
    return true;
}
