/* Devices between the core, which holds some of them in memory, and the store, which has all. */
#include "base/invariant.h"
#include "role/ingest_inside.h"

#include <stdio.h>
#include <string.h>

/* ---- devices between core and store ---- */

void ingest_device_row(const struct ingest *in,
                       const struct admit_device *d,
                       struct store_device *row)
{
    struct writer links = writer_over(row->links, sizeof row->links);
    memset(row, 0, sizeof *row);
    row->device = d->id;
    (void)snprintf(row->gateway, sizeof row->gateway, "%s", ingest_gateway_name(in, d->gateway));
    row->connected = d->connected;
    row->linked_ms = d->linked_ms;
    row->seen_ms = d->seen_ms;
    row->boot = d->boot_count > 0 ? d->boots[0].boot : 0;
    row->hello_ms = d->boot_count > 0 ? d->boots[0].received_ms : 0;
    row->boots = d->boots_total;
    memcpy(row->agent, d->agent, d->agent_len);
    row->has_clock_offset = d->has_clock_offset;
    row->clock_offset_ms = d->clock_offset_ms;
    row->clock_quality = d->clock_quality;
    row->messages = d->messages;
    row->points = d->points;
    row->dead_letters = d->dead_letters;
    row->dead_letter_ms = d->dead_letter_ms;
    row->link_mismatches = d->link_mismatches;
    admit_received_report(&in->core, d, &row->received);
    admit_links_encode(d, &links);
    row->links_len = links.len;
    row->certificate = d->certificate;
}

static struct admit_boot boot_of(const struct store_hello *hello)
{
    struct admit_boot boot = {
        .boot = hello->boot, .first = hello->first, .received_ms = hello->received_ms};
    memcpy(boot.ephemeral, hello->ephemeral, sizeof boot.ephemeral);
    memcpy(boot.key_id, hello->key_id, sizeof boot.key_id);
    return boot;
}

static void device_of(const struct store_device *row,
                      const struct store_hello *hellos,
                      size_t hellos_count,
                      struct admit_device *d)
{
    memset(d, 0, sizeof *d);
    d->id = row->device;
    d->gateway = row->gateway[0] != '\0' ? admit_gateway_of(slice_text(row->gateway)) : 0;
    d->connected = row->connected;
    d->linked_ms = row->linked_ms;
    d->seen_ms = row->seen_ms;
    d->boots_total = row->boots;
    d->agent_len = (uint8_t)strnlen(row->agent, sizeof d->agent);
    memcpy(d->agent, row->agent, d->agent_len);
    d->has_clock_offset = row->has_clock_offset;
    d->clock_offset_ms = row->clock_offset_ms;
    d->clock_quality = row->clock_quality;
    d->messages = row->messages;
    d->points = row->points;
    d->dead_letters = row->dead_letters;
    d->dead_letter_ms = row->dead_letter_ms;
    d->link_mismatches = row->link_mismatches;
    d->certificate = row->certificate;
    d->boot_count = (uint32_t)hellos_count;
    for (size_t i = 0; i < hellos_count; i++) {
        d->boots[i] = boot_of(&hellos[i]);
    }
}

void ingest_device_load(struct ingest *in)
{
    struct admit_event ev = {.kind = ADMIT_LOADED};
    struct store_device row;
    struct store_hello hellos[ADMIT_BOOTS];
    struct admit_device device;
    size_t count = 0;
    ev.loaded.device = in->fx.device;
    enum store_result result = store_device_get(in->store, &in->fx.device, &row);
    if (result != STORE_NOT_FOUND) {
        if (!ingest_is_ok(in, result, "a device cannot be read")
            || !ingest_is_ok(
                in,
                store_hellos(in->store, &row.device, UINT32_MAX, hellos, COUNT_OF(hellos), &count),
                "hellos cannot be read")) {
            return;
        }
        device_of(&row, hellos, count, &device);
        ev.loaded.is_known = true;
        ev.loaded.row = &device;
        ev.loaded.received = &row.received;
        ev.loaded.links = slice_of(row.links, row.links_len);
    }
    ingest_step(in, &ev);
}

void ingest_boot_look_up(struct ingest *in, uint32_t boot)
{
    struct store_hello_around around;
    struct admit_event ev = {.kind = ADMIT_LOOKED};
    if (!ingest_is_ok(in, store_hello_around(in->store, &in->fx.device, boot, &around),
                      "a hello cannot be read")) {
        return;
    }
    ev.looked.device = in->fx.device;
    ev.looked.older = (struct admit_older){.boot = boot_of(&around.hello),
                                           .is_known = around.is_known,
                                           .is_stale = around.is_stale,
                                           .above_first = around.above_first,
                                           .below_first = around.below_first};
    ev.looked.older.boot.boot = boot;
    ingest_step(in, &ev);
}
