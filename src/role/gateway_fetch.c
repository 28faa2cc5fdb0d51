#include "role/gateway_fetch.h"

#include "base/invariant.h"

#include <stdlib.h>
#include <string.h>

/* ---- the newest ---- */

bool gateway_recent_init(struct gateway_recent *r, size_t bytes_cap, uint32_t kept_cap)
{
    *r = (struct gateway_recent){.bytes_cap = bytes_cap, .kept_cap = kept_cap};
    r->bytes = malloc(bytes_cap);
    r->kept = calloc(kept_cap, sizeof *r->kept);
    return r->bytes != NULL && r->kept != NULL;
}

void gateway_recent_free(struct gateway_recent *r)
{
    free(r->bytes);
    free(r->kept);
    *r = (struct gateway_recent){0};
}

static struct gateway_kept *kept_at(const struct gateway_recent *r, uint32_t i)
{
    uint32_t at = r->head + i;
    return &r->kept[at < r->kept_cap ? at : at - r->kept_cap];
}

static void drop_oldest(struct gateway_recent *r)
{
    r->head = r->head + 1 < r->kept_cap ? r->head + 1 : 0;
    r->count--;
}

/* What lies in the way goes: it is the oldest, for bytes are given out in the order of keys. */
static void make_room(struct gateway_recent *r, size_t at, size_t len)
{
    while (r->count > 0 && kept_at(r, 0)->at < at + len
           && at < kept_at(r, 0)->at + kept_at(r, 0)->len) {
        drop_oldest(r);
    }
}

void gateway_recent_put(struct gateway_recent *r, uint64_t key, struct slice record)
{
    if (record.len == 0 || record.len > r->bytes_cap) {
        return;
    }
    INVARIANT(r->count == 0 || key > kept_at(r, r->count - 1)->key);
    if (record.len > r->bytes_cap - r->at) { /* to the end, and round */
        make_room(r, r->at, r->bytes_cap - r->at);
        r->at = 0;
    }
    make_room(r, r->at, record.len);
    if (r->count == r->kept_cap) {
        drop_oldest(r);
    }
    *kept_at(r, r->count) = (struct gateway_kept){.key = key, .at = r->at, .len = record.len};
    r->count++;
    memcpy(r->bytes + r->at, record.at, record.len);
    r->at += record.len;
}

bool gateway_recent_find(const struct gateway_recent *r, uint64_t key, struct slice *record)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (kept_at(r, middle)->key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == r->count || kept_at(r, low)->key != key) {
        return false;
    }
    *record = slice_of(r->bytes + kept_at(r, low)->at, kept_at(r, low)->len);
    return true;
}

/* ---- the journal ---- */

bool gateway_fetch_at(struct bus_reader *reader,
                      bus_position *cursor,
                      bus_position at,
                      struct slice *record)
{
    if (*cursor != at && bus_reader_seek(reader, at) != BUS_OK) {
        return false;
    }
    *cursor = at;
    return bus_next(reader, record, cursor) == BUS_OK;
}
