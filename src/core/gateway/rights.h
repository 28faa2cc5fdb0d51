/*
 * What a client may publish, subscribe to and be called. A device: its own topics and nothing else.
 * An application: what its grant lists, but nothing published below hf/, where devices speak. Knows
 * no certificate and no connection.
 */
#ifndef CORE_GATEWAY_RIGHTS_H
#define CORE_GATEWAY_RIGHTS_H

#include "base/id.h"
#include "codec/mqtt.h"

enum { GW_TOPIC_PREFIX_LEN = 5 + DEVICE_ID_TEXT_LEN + 1 /* "hf/1/hf1:.../" */ };

struct gw_filters {
    const struct slice *items; /* valid topic filters; of client ids: patterns, '*' is any run */
    uint32_t count;
};

struct gw_rights { /* of an application; the caller's, and it may change between two steps */
    struct gw_filters publish, subscribe, client_ids;
};

/* "hf/1/hf1:.../": what every topic of a device begins with. */
void gw_device_prefix(const struct device_id *device, uint8_t out[GW_TOPIC_PREFIX_LEN]);

/* Where `fault.clause` is NULL the client may. `prefix` is looked at where `rights` is NULL: a
 * device. */
struct mqtt_fault gw_may_publish(const struct gw_rights *rights,
                                 const uint8_t prefix[GW_TOPIC_PREFIX_LEN],
                                 struct slice topic);

/* Granted only where every topic that the filter can match is inside one granted filter. */
struct mqtt_fault gw_may_subscribe(const struct gw_rights *rights,
                                   const uint8_t prefix[GW_TOPIC_PREFIX_LEN],
                                   struct slice filter);

/* A device is called as it likes: its client ids mean something below it alone. */
bool gw_may_be_called(const struct gw_rights *rights, struct slice client_id);

#endif
