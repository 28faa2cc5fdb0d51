#include "sim/forge.h"

#include "base/invariant.h"
#include "base/rng.h"
#include "codec/bus_record.h"
#include "role/gateway_inside.h"
#include "sim/captured.h"
#include "sim/watch.h"

#include <stdio.h>
#include <string.h>

enum { GATEWAYS_MAX = 8, PAYLOAD_MAX = 8192 };

static struct {
    struct forger {
        char gateway[32];
        uint32_t left;
    } list[GATEWAYS_MAX];
    struct rng rng;
    uint64_t made;
} forging;

void forge_begin(const char *gateway, uint32_t count, uint64_t seed)
{
    for (int i = 0; i < GATEWAYS_MAX; i++) {
        struct forger *f = &forging.list[i];
        if (f->left == 0 || strcmp(f->gateway, gateway) == 0) {
            (void)snprintf(f->gateway, sizeof f->gateway, "%s", gateway);
            f->left += count;
            forging.rng = rng_from_seed(seed ^ forging.made ^ count);
            return;
        }
    }
}

void forge_end(void)
{
    memset(forging.list, 0, sizeof forging.list);
}

uint64_t forge_made(void)
{
    return forging.made;
}

static bool hear(struct captured *out)
{
    return captured_get((uint32_t)rng_below(&forging.rng, captured_count()), out);
}

enum trick {
    TRICK_REPEAT,
    TRICK_REPLAY,
    TRICK_ALTER,
    TRICK_SWAP_DEVICE,
    TRICK_SWAP_TOPIC,
    TRICK_INVENT_DEVICE,
    TRICK_LINK,
    TRICK_UNLINK,
    TRICK_GARBAGE
};
enum { TRICK_COUNT = TRICK_GARBAGE + 1 };

static void random_bytes(void *to, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)to)[i] = (uint8_t)rng_u64(&forging.rng);
    }
}

/* One byte of the payload is another. */
static void alter(struct bus_record *r, uint8_t *room)
{
    if (r->payload.len == 0 || r->payload.len > PAYLOAD_MAX) {
        return;
    }
    memcpy(room, r->payload.at, r->payload.len);
    uint64_t at = rng_below(&forging.rng, r->payload.len); /* one draw a statement: an order */
    room[at] ^= (uint8_t)(1 + rng_below(&forging.rng, 255));
    r->payload = slice_of(room, r->payload.len);
}

static void replay(struct bus_record *r)
{
    struct captured heard;
    if (hear(&heard)) {
        r->device = heard.device;
        r->topic = heard.topic;
        r->payload = heard.payload;
    }
}

static void make(struct bus_record *r, uint8_t *room)
{
    struct captured heard;
    switch ((enum trick)rng_below(&forging.rng, TRICK_COUNT)) {
    case TRICK_REPEAT: return;
    case TRICK_REPLAY: replay(r); return;
    case TRICK_ALTER: alter(r, room); return;
    case TRICK_SWAP_DEVICE:
        if (hear(&heard)) {
            r->device = heard.device;
        }
        return;
    case TRICK_SWAP_TOPIC:
        if (hear(&heard)) {
            r->topic = heard.topic;
        }
        return;
    case TRICK_INVENT_DEVICE: random_bytes(r->device.bytes, sizeof r->device.bytes); return;
    case TRICK_LINK:
        r->kind = BUS_LINKED;
        r->delivery = (struct bus_delivery){0};
        r->topic = r->payload = (struct slice){0};
        random_bytes(r->exporter_digest, sizeof r->exporter_digest);
        return;
    case TRICK_UNLINK:
        r->kind = BUS_UNLINKED;
        r->delivery = (struct bus_delivery){0};
        r->topic = (struct slice){0};
        r->payload = slice_text("so it is said");
        return;
    case TRICK_GARBAGE:
        random_bytes(room, 300);
        r->payload = slice_of(room, 1 + rng_below(&forging.rng, 300));
        return;
    }
    UNREACHABLE();
}

PASSES_THROUGH(gateway_stage);
enum bus_result __wrap_gateway_stage(struct gateway *g,
                                     struct bus_record *record,
                                     bus_position *position)
{
    static uint8_t room[PAYLOAD_MAX]; /* one thread */
    enum bus_result result = __real_gateway_stage(g, record, position);
    const bus_position at = g->record_at; /* of the true one: what the role goes on with */
    for (int i = 0; i < GATEWAYS_MAX && result == BUS_OK; i++) {
        struct forger *f = &forging.list[i];
        if (f->left > 0 && record->kind == BUS_PUBLISHED
            && strcmp(f->gateway, g->config->name) == 0) {
            struct bus_record forged = *record;
            bus_position behind;
            make(&forged, room);
            f->left--;
            forging.made++;
            (void)__real_gateway_stage(g, &forged, &behind);
        }
    }
    g->record_at = at;
    return result;
}
