/*
 * Who is connected: the live sessions of this process by owner and client id, and how many each
 * owner has. An owner is a device, or an application by its id of the same form. One client id of
 * an owner has one session; the newest takes it over (MQTT 5.0 3.1.4-3). A client id means
 * something only below its owner: two devices may use the same one.
 */
#ifndef CORE_GATEWAY_REGISTRY_H
#define CORE_GATEWAY_REGISTRY_H

#include "base/id.h"
#include "base/table.h"

struct gw_registry {
    struct table sessions; /* (device, client id) -> connection */
    struct table devices;  /* device -> count of its sessions */
    uint32_t sessions_max;
};

enum gw_admission {
    GW_ENTERED,
    GW_ENTERED_OVER, /* *displaced had this client id and no longer has */
    GW_DEVICE_FULL,
    GW_REGISTRY_FULL
};

/* Both arrays have `cap` slots, a power of two above 8/7 of sessions_max. */
void gw_registry_init(struct gw_registry *r,
                      struct table_slot *sessions,
                      struct table_slot *devices,
                      uint32_t cap,
                      uint32_t sessions_max,
                      uint64_t seed);

/* `connection` is the caller's number for the connection; the owner may have `most` sessions. */
enum gw_admission gw_registry_enter(struct gw_registry *r,
                                    const struct device_id *device,
                                    struct slice client_id,
                                    uint32_t connection,
                                    uint32_t most,
                                    uint32_t *displaced);

/* False where another connection has taken the place over since. */
bool gw_registry_leave(struct gw_registry *r,
                       const struct device_id *device,
                       struct slice client_id,
                       uint32_t connection);

bool gw_registry_has(const struct gw_registry *r, const struct device_id *device); /* any session */
uint32_t gw_registry_count(const struct gw_registry *r);
uint32_t gw_registry_device_count(const struct gw_registry *r); /* devices with a session */
void gw_registry_check(const struct gw_registry *r);

#endif
