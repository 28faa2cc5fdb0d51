#include "core/gateway/registry.h"

#include "base/invariant.h"
#include "crypto/hash.h"

#include <string.h>

struct key {
    uint8_t bytes[TABLE_KEY_LEN];
};

static struct key key_of(const struct device_id *device, struct slice client_id)
{
    struct hash h;
    struct digest digest;
    struct key key;
    hash_init(&h);
    hash_add(&h, slice_of(device->bytes, sizeof device->bytes));
    hash_add(&h, client_id);
    hash_end(&h, &digest);
    memcpy(key.bytes, digest.bytes, sizeof key.bytes);
    return key;
}

void gw_registry_init(struct gw_registry *r,
                      struct table_slot *sessions,
                      struct table_slot *devices,
                      uint32_t cap,
                      uint32_t sessions_max,
                      uint64_t seed)
{
    INVARIANT(sessions_max <= cap / 8 * 7);
    *r = (struct gw_registry){.sessions_max = sessions_max};
    table_init(&r->sessions, sessions, cap, seed);
    table_init(&r->devices, devices, cap, seed ^ 1);
}

static uint32_t sessions_of(const struct gw_registry *r, const struct device_id *device)
{
    uint32_t count = 0;
    (void)table_find(&r->devices, device->bytes, &count);
    return count;
}

enum gw_admission gw_registry_enter(struct gw_registry *r,
                                    const struct device_id *device,
                                    struct slice client_id,
                                    uint32_t connection,
                                    uint32_t most,
                                    uint32_t *displaced)
{
    struct key key = key_of(device, client_id);
    if (table_find(&r->sessions, key.bytes, displaced)) {
        INVARIANT(table_put(&r->sessions, key.bytes, connection));
        return GW_ENTERED_OVER;
    }
    uint32_t count = sessions_of(r, device);
    if (r->sessions.count >= r->sessions_max) {
        return GW_REGISTRY_FULL;
    }
    if (count >= most) {
        return GW_DEVICE_FULL;
    }
    INVARIANT(table_put(&r->sessions, key.bytes, connection));
    INVARIANT(table_put(&r->devices, device->bytes, count + 1));
    return GW_ENTERED;
}

bool gw_registry_leave(struct gw_registry *r,
                       const struct device_id *device,
                       struct slice client_id,
                       uint32_t connection)
{
    struct key key = key_of(device, client_id);
    uint32_t holder = 0;
    if (!table_find(&r->sessions, key.bytes, &holder) || holder != connection) {
        return false;
    }
    INVARIANT(table_remove(&r->sessions, key.bytes));
    uint32_t count = sessions_of(r, device);
    INVARIANT(count > 0);
    if (count > 1) {
        INVARIANT(table_put(&r->devices, device->bytes, count - 1));
    } else {
        INVARIANT(table_remove(&r->devices, device->bytes));
    }
    return true;
}

bool gw_registry_has(const struct gw_registry *r, const struct device_id *device)
{
    return sessions_of(r, device) > 0;
}

uint32_t gw_registry_count(const struct gw_registry *r)
{
    return r->sessions.count;
}

uint32_t gw_registry_device_count(const struct gw_registry *r)
{
    return r->devices.count;
}

void gw_registry_check(const struct gw_registry *r)
{
    INVARIANT(r->devices.count <= r->sessions.count);
    INVARIANT(r->sessions.count <= r->sessions_max);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < r->devices.cap; i++) {
        const struct table_slot *slot = &r->devices.slots[i];
        if (slot->used != 0) {
            INVARIANT(slot->value > 0);
            sum += slot->value;
        }
    }
    INVARIANT(sum == r->sessions.count);
}
