#include "base/invariant.h"
#include "base/rng.h"
#include "core/ingest/admit.h"
#include "core/ingest/craft.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES = 4, SLOTS = 16, SPILLS = 2, HELLOS = 100 };

/* The core with its memory, and a store that is a few arrays. */
struct bench {
    struct craft_site site;
    struct craft_device devices[DEVICES + 2];
    struct admit core;
    struct admit_device memory[DEVICES];
    struct table_slot slots[SLOTS];
    struct received_spill spills[SPILLS];
    uint8_t scratch[ADMIT_SCRATCH_BYTES];
    struct admit_effects fx;
    uint8_t record_bytes[CRAFT_RECORD_MAX];
    struct writer record;
    struct admit_boot hellos[HELLOS]; /* the store's, of one device, in the order of arrival */
    size_t hellos_count;
    bool hellos_are_full; /* no more could be kept */
};
static struct bench b;
static const uint64_t gw_1 = 11;
static const uint64_t gw_2 = 22;

static bool begin(uint32_t devices_cap)
{
    memset(&b, 0, sizeof b);
    b.record = writer_over(b.record_bytes, sizeof b.record_bytes);
    if (!craft_site_make(&b.site)) {
        return false;
    }
    for (uint32_t i = 0; i < COUNT_OF(b.devices); i++) {
        if (!craft_device_make(&b.site, i, &b.devices[i])
            || !craft_boot(&b.site, &b.devices[i], 1, 1)) {
            return false;
        }
    }
    struct admit_config config = {.keys_count = 1,
                                  .issuers = {.list = &b.site.issuer_certificate, .count = 1},
                                  .domain = slice_text("holdfast.local")};
    config.keys[0].key = b.site.ingest;
    memcpy(config.keys[0].id, b.site.ingest_id, sizeof config.keys[0].id);
    struct admit_memory memory = {.devices = b.memory,
                                  .devices_cap = devices_cap,
                                  .slots = b.slots,
                                  .slots_cap = SLOTS,
                                  .spills = b.spills,
                                  .spills_cap = SPILLS,
                                  .scratch = b.scratch,
                                  .seed = 5};
    admit_init(&b.core, &config, &memory);
    return true;
}

static void end(void)
{
    for (uint32_t i = 0; i < COUNT_OF(b.devices); i++) {
        craft_device_forget(&b.devices[i]);
    }
    craft_site_forget(&b.site);
    admit_wipe(&b.core);
}

static enum admit_outcome step(enum admit_event_kind kind, uint64_t gateway)
{
    struct admit_event ev = {.kind = kind};
    ev.record.gateway = gateway;
    ev.record.bytes = writer_slice(&b.record);
    admit_step(&b.core, &ev, &b.fx);
    admit_check(&b.core);
    for (uint32_t i = 0; i < b.fx.count; i++) {
        if (b.fx.list[i].kind == ADMIT_KEEP_HELLO && b.hellos_count < HELLOS) {
            b.hellos[b.hellos_count++] = b.fx.list[i].hello;
        }
    }
    return b.fx.outcome;
}

/* What the store says of a boot. */
static void look_up(uint32_t boot)
{
    struct admit_event ev = {.kind = ADMIT_LOOKED};
    struct admit_older *older = &ev.looked.older;
    uint32_t above = UINT32_MAX;
    uint32_t below = 0;
    ev.looked.device = b.fx.device;
    older->above_first = UINT64_MAX;
    for (size_t i = 0; i < b.hellos_count; i++) {
        const struct admit_boot *hello = &b.hellos[i];
        if (hello->boot == boot) {
            older->boot = *hello;
            older->is_known = true;
        } else if (hello->boot > boot && hello->boot < above) {
            above = hello->boot;
            older->above_first = hello->first;
        } else if (hello->boot < boot && hello->boot > below) {
            below = hello->boot;
            older->below_first = hello->first;
        }
    }
    older->boot.boot = boot;
    older->is_stale = !older->is_known && below == 0 && b.hellos_are_full;
    admit_step(&b.core, &ev, &b.fx);
}

/* The record in b.record; a device that the core does not hold is one that no store knows. */
static enum admit_outcome feed(uint64_t gateway)
{
    enum admit_outcome outcome = step(ADMIT_SAW_RECORD, gateway);
    for (unsigned turn = 0; turn < 2 && outcome == ADMIT_AGAIN && b.fx.count == 1; turn++) {
        const struct admit_effect order = b.fx.list[0];
        if (order.kind == ADMIT_LOAD) {
            struct admit_event ev = {.kind = ADMIT_LOADED};
            ev.loaded.device = b.fx.device;
            admit_step(&b.core, &ev, &b.fx);
        } else if (order.kind == ADMIT_LOOK_UP) {
            look_up(order.boot);
        }
        outcome = step(ADMIT_SAW_RECORD, gateway);
    }
    writer_reset(&b.record);
    return outcome;
}

static bool refused(enum admit_outcome outcome, enum admit_reason reason)
{
    return outcome == ADMIT_REFUSED && b.fx.count > 0
           && b.fx.list[b.fx.count - 1].kind == ADMIT_REFUSE
           && b.fx.list[b.fx.count - 1].reason == reason;
}

static bool ordered(enum admit_effect_kind kind)
{
    for (uint32_t i = 0; i < b.fx.count; i++) {
        if (b.fx.list[i].kind == kind) {
            return true;
        }
    }
    return false;
}

static enum admit_outcome link_up(struct craft_device *d, uint32_t link)
{
    craft_linked(&b.site, d, link, &b.record);
    return feed(gw_1);
}

static enum admit_outcome greet(struct craft_device *d)
{
    craft_hello(&b.site, d, &b.record);
    return feed(gw_1);
}

static enum admit_outcome tell(struct craft_device *d, uint64_t seq)
{
    struct craft_value values[] = {{"temperature", b.site.now_ms - 1000, 21.5},
                                   {"pressure", b.site.now_ms, 3}};
    craft_telemetry(&b.site, d, seq, "env", values, COUNT_OF(values), &b.record);
    return feed(gw_1);
}

/* A hello with other claims than the device would make, over its own topic. */
static enum admit_outcome greet_with(struct craft_device *d, const struct hello_claims *claims)
{
    uint8_t topic_bytes[MESSAGE_TOPIC_MAX];
    uint8_t payload_bytes[2048];
    struct writer topic = writer_over(topic_bytes, sizeof topic_bytes);
    struct writer payload = writer_over(payload_bytes, sizeof payload_bytes);
    craft_topic(&d->id, TOPIC_HELLO, "", &topic);
    craft_sign1(d, claims, writer_slice(&topic), &payload);
    craft_record(&b.site, &d->id, writer_slice(&topic), writer_slice(&payload), &b.record);
    return feed(gw_1);
}

TEST("a message of a device that said hello is stored with its names, times and provenance, once")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    CHECK(link_up(d, 1) == ADMIT_NOTED);
    CHECK(greet(d) == ADMIT_GREETED && ordered(ADMIT_KEEP_HELLO) && ordered(ADMIT_RELEASE));
    CHECK(tell(d, 1) == ADMIT_APPLIED && ordered(ADMIT_STORE));
    CHECK_U64(b.fx.points_count, 2);
    CHECK(slice_is_text(b.fx.stream, "env") && slice_is_text(b.fx.points[0].name, "temperature"));
    CHECK(slice_is_text(b.fx.points[1].unit, "Cel") && b.fx.points[0].point.value == 21.5);
    CHECK(b.fx.points[0].point.time_ms == b.site.now_ms - 1000);
    CHECK(b.fx.points[0].point.provenance == PROVENANCE_DEVICE);
    CHECK(b.fx.points[0].point.quality == TIME_SYNCED); /* its clock agrees with a synced one */
    CHECK(tell(d, 1) == ADMIT_DUPLICATE && !ordered(ADMIT_STORE));
    CHECK(tell(d, 3) == ADMIT_APPLIED);
    CHECK(tell(d, 2) == ADMIT_APPLIED);
    CHECK(tell(d, 2) == ADMIT_DUPLICATE);
    CHECK(promise_violations(PROMISE_ONCE_APPLIED) == 0
          && promise_evaluations(PROMISE_ONCE_APPLIED) > 4);
    CHECK(promise_violations(PROMISE_ONLY_AUTHENTIC) == 0);
    end();
}

enum { TOPIC_AT = 35, DELIVERY_LEN = 1 }; /* in a record (docs/protocol/bus-record.md) */

TEST("a message altered in any byte is refused and moves nothing")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    (void)link_up(d, 1);
    (void)greet(d);
    struct craft_value value = {"t", b.site.now_ms, 21.5};
    craft_telemetry(&b.site, d, 1, "env", &value, 1, &b.record);
    size_t len = b.record.len;
    static uint8_t whole[CRAFT_RECORD_MAX];
    memcpy(whole, b.record_bytes, len);
    struct received before = b.memory[0].received;
    /* From the topic to the payload: what stands around them is the gateway's word. */
    for (size_t i = TOPIC_AT; i < len - DELIVERY_LEN; i++) {
        memcpy(b.record_bytes, whole, len);
        b.record_bytes[i] ^= 1;
        b.record.len = len;
        enum admit_outcome outcome = feed(gw_1);
        CHECK(outcome == ADMIT_REFUSED
              || outcome == ADMIT_WAITING); /* another boot waits for its hello */
        CHECK(memcmp(&before, &b.memory[0].received, sizeof before) == 0);
    }
    memcpy(b.record_bytes, whole, len);
    b.record.len = len;
    CHECK(feed(gw_1) == ADMIT_APPLIED);
    end();
}

TEST("what a hostile gateway can make of true messages is refused by its reason")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    struct craft_device *other = &b.devices[1];
    uint8_t topic_bytes[MESSAGE_TOPIC_MAX];
    uint8_t payload_bytes[2048];
    struct writer topic = writer_over(topic_bytes, sizeof topic_bytes);
    struct writer payload = writer_over(payload_bytes, sizeof payload_bytes);
    uint8_t pack[] = {0x81, 0xa2, 0x00, 0x61, 't', 0x02, 0x05}; /* [{n: "t", v: 5}] */
    (void)link_up(d, 1);
    (void)greet(d);
    (void)link_up(other, 2);
    (void)greet(other);
    /* a message of one device on the topic of another, and on another stream */
    craft_topic(&other->id, TOPIC_TELEMETRY, "env", &topic);
    craft_mac0(d, 1, writer_slice(&topic), slice_of(pack, sizeof pack), &payload);
    craft_record(&b.site, &other->id, writer_slice(&topic), writer_slice(&payload), &b.record);
    CHECK(refused(feed(gw_1), ADMIT_BAD_MAC));
    craft_record(&b.site, &d->id, writer_slice(&topic), writer_slice(&payload), &b.record);
    CHECK(refused(feed(gw_1), ADMIT_TOPIC_MISMATCH));
    writer_reset(&topic);
    craft_topic(&d->id, TOPIC_TELEMETRY, "elsewhere", &topic);
    craft_record(&b.site, &d->id, writer_slice(&topic), writer_slice(&payload), &b.record);
    CHECK(refused(feed(gw_1), ADMIT_BAD_MAC));
    /* topics that nobody takes */
    craft_record(&b.site, &d->id, slice_text("hf/1/x/t/env"), writer_slice(&payload), &b.record);
    CHECK(refused(feed(gw_1), ADMIT_NOT_ALLOWED));
    /* no record at all */
    write_text(&b.record, "not a record");
    CHECK(refused(feed(gw_1), ADMIT_MALFORMED));
    CHECK_U64(b.memory[0].received.next, 1);
    CHECK_U64(b.memory[1].received.next, 1);
    end();
}

TEST("a hello is refused unless certificate, signature, topic, connection and key are all right")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    struct craft_device *other = &b.devices[1];
    uint8_t topic_bytes[MESSAGE_TOPIC_MAX];
    uint8_t payload_bytes[2048];
    struct writer topic = writer_over(topic_bytes, sizeof topic_bytes);
    struct writer payload = writer_over(payload_bytes, sizeof payload_bytes);
    craft_topic(&d->id, TOPIC_HELLO, "", &topic);
    CHECK(refused(greet(d), ADMIT_NOT_ENROLLED)); /* no link is known */
    (void)link_up(d, 1);
    struct craft_device elsewhere = *d;
    elsewhere.exporter[0] ^= 1;
    CHECK(refused(greet(&elsewhere), ADMIT_LINK_MISMATCH)); /* none with that exporter */
    struct hello_claims claims = craft_claims(&b.site, d);
    claims.exporter_digest[5] ^= 1;
    CHECK(refused(greet_with(d, &claims), ADMIT_LINK_MISMATCH));
    CHECK_U64(b.memory[0].link_mismatches, 2);
    craft_hello(&b.site, d, &b.record);
    CHECK(refused(feed(gw_2), ADMIT_LINK_MISMATCH)); /* linked at the other gateway */
    claims = craft_claims(&b.site, d);
    claims.ingest_key_id[0] ^= 1;
    CHECK(refused(greet_with(d, &claims), ADMIT_UNKNOWN_KEY));
    claims = craft_claims(&b.site, d);
    claims.ephemeral[40] ^= 1; /* not on the curve */
    CHECK(refused(greet_with(d, &claims), ADMIT_MALFORMED));
    /* signed by another device, with its own certificate */
    claims = craft_claims(&b.site, d);
    craft_sign1(other, &claims, writer_slice(&topic), &payload);
    craft_record(&b.site, &d->id, writer_slice(&topic), writer_slice(&payload), &b.record);
    CHECK(refused(feed(gw_1), ADMIT_TOPIC_MISMATCH));
    /* signed over another topic */
    writer_reset(&payload);
    craft_sign1(d, &claims, slice_text("hf/1/elsewhere"), &payload);
    craft_record(&b.site, &d->id, writer_slice(&topic), writer_slice(&payload), &b.record);
    CHECK(refused(feed(gw_1), ADMIT_BAD_SIGNATURE));
    /* a device of another authority */
    struct craft_site stranger;
    struct craft_device clone;
    REQUIRE(craft_site_make(&stranger));
    REQUIRE(craft_device_make(&stranger, 0, &clone));
    writer_reset(&payload);
    craft_sign1(&clone, &claims, writer_slice(&topic), &payload);
    craft_record(&b.site, &d->id, writer_slice(&topic), writer_slice(&payload), &b.record);
    enum admit_outcome outcome = feed(gw_1);
    CHECK(refused(outcome, ADMIT_NOT_ALLOWED) || refused(outcome, ADMIT_BAD_SIGNATURE));
    craft_device_forget(&clone);
    craft_site_forget(&stranger);
    /* every byte of the payload */
    craft_hello(&b.site, d, &b.record);
    static uint8_t whole[CRAFT_RECORD_MAX];
    size_t len = b.record.len;
    memcpy(whole, b.record_bytes, len);
    for (size_t i = TOPIC_AT; i < len - DELIVERY_LEN; i++) {
        memcpy(b.record_bytes, whole, len);
        b.record_bytes[i] ^= 0x40;
        b.record.len = len;
        CHECK(feed(gw_1) == ADMIT_REFUSED);
    }
    CHECK_U64(b.memory[0].boot_count, 0);
    CHECK(greet(d) == ADMIT_GREETED);
    end();
}

TEST("within a boot the key never changes, and a boot that goes back in numbers is a clone")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    (void)link_up(d, 1);
    CHECK(greet(d) == ADMIT_GREETED);
    CHECK(tell(d, 1) == ADMIT_APPLIED);
    (void)link_up(d, 2);
    CHECK(greet(d) == ADMIT_GREETED
          && b.fx.count == 0); /* the same boot and certificate again: nothing new to keep */
    struct craft_device twin = *d;
    REQUIRE(craft_boot(&b.site, &twin, 1, 1));
    CHECK(refused(greet(&twin), ADMIT_BOOT_REUSED));
    REQUIRE(craft_boot(&b.site, &twin, 2, 1)); /* a rolled-back flash: a new boot, old numbers */
    CHECK(refused(greet(&twin), ADMIT_BOOT_REUSED));
    REQUIRE(craft_boot(&b.site, &twin, 2, 1001));
    CHECK(greet(&twin) == ADMIT_GREETED);
    CHECK(tell(&twin, 1001) == ADMIT_APPLIED);
    CHECK(tell(d, 2) == ADMIT_APPLIED); /* late, of the boot before */
    CHECK(refused(tell(d, 1500),
                  ADMIT_BOOT_REUSED)); /* a number of the next boot under the old key */
    CHECK(refused(tell(&twin, 7), ADMIT_BOOT_REUSED));
    struct received_report report;
    admit_received_report(&b.core, &b.memory[0], &report);
    CHECK_U64(received_report_missing(&report, GAP_RESTART), 998);
    end();
}

TEST("boots below those in memory are looked up: a spool that was away for forty boots loses "
     "nothing")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    static struct craft_device life[41]; /* by boot */
    (void)link_up(d, 1);
    for (uint32_t boot = 1; boot <= 40; boot++) {
        REQUIRE(craft_boot(&b.site, d, boot, boot * 1000ull));
        life[boot] = *d;
        if (boot != 20) { /* its hello is in the spool that is away */
            CHECK(greet(d) == ADMIT_GREETED);
            CHECK(tell(d, boot * 1000ull) == ADMIT_APPLIED);
        }
    }
    CHECK(tell(&life[3], 3001) == ADMIT_APPLIED); /* late, its hello long out of memory */
    CHECK(tell(&life[3], 3001) == ADMIT_DUPLICATE);
    CHECK(tell(&life[20], 20001) == ADMIT_WAITING && b.fx.list[0].boot == 20);
    CHECK(greet(&life[20]) == ADMIT_GREETED && ordered(ADMIT_RELEASE));
    CHECK(greet(&life[20]) == ADMIT_GREETED && b.fx.count == 0);
    CHECK(tell(&life[20], 20001) == ADMIT_APPLIED);
    CHECK(refused(tell(&life[20], 21500), ADMIT_BOOT_REUSED)); /* a number of the boot after */
    struct craft_device twin = life[7]; /* another key under a boot that only the store remembers */
    REQUIRE(craft_boot(&b.site, &twin, 7, 7000));
    CHECK(refused(greet(&twin), ADMIT_BOOT_REUSED));
    end();
}

TEST("what is below all boots that the store keeps is stale, and a hello must fit its neighbours")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    struct craft_device old = *d;
    (void)link_up(d, 1);
    memcpy(old.exporter, d->exporter, sizeof old.exporter);
    for (uint32_t boot = 2; boot <= ADMIT_BOOTS + 4; boot++) {
        REQUIRE(craft_boot(&b.site, d, boot * 2, boot * 1000ull));
        CHECK(greet(d) == ADMIT_GREETED);
    }
    REQUIRE(craft_boot(&b.site, &old, 1, 1));
    CHECK(tell(&old, 1) == ADMIT_WAITING);
    b.hellos_are_full = true;
    b.memory[0].older = (struct admit_older){0}; /* as after another boot was looked up */
    CHECK(refused(tell(&old, 1), ADMIT_STALE_BOOT));
    CHECK(refused(greet(&old), ADMIT_STALE_BOOT));
    REQUIRE(craft_boot(&b.site, &old, 7, 4500)); /* between boots 6 and 8, numbers of boot 8 */
    CHECK(refused(greet(&old), ADMIT_BOOT_REUSED));
    REQUIRE(craft_boot(&b.site, &old, 7, 2500)); /* numbers of boot 4 */
    CHECK(refused(greet(&old), ADMIT_BOOT_REUSED));
    REQUIRE(craft_boot(&b.site, &old, 7, 3500));
    CHECK(greet(&old) == ADMIT_GREETED);
    CHECK(tell(&old, 3500) == ADMIT_APPLIED);
    /* the same in memory, between 22 and 24 */
    REQUIRE(craft_boot(&b.site, &old, 23, 12500));
    CHECK(refused(greet(&old), ADMIT_BOOT_REUSED));
    REQUIRE(craft_boot(&b.site, &old, 23, 11500));
    CHECK(greet(&old) == ADMIT_GREETED);
    end();
}

TEST("nothing that a gateway invents leaves a trace of a device that was never enrolled")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    struct craft_device *other = &b.devices[1];
    struct craft_site stranger;
    struct craft_device forged;
    REQUIRE(craft_site_make(&stranger));
    REQUIRE(craft_device_make(&stranger, 0, &forged)); /* the same id, of another authority */
    craft_linked(&stranger, &forged, 1, &b.record);
    CHECK(refused(feed(gw_1), ADMIT_NOT_ENROLLED));
    struct craft_device borrowed = *d; /* a true certificate, for another id */
    memcpy(borrowed.der, other->der, other->der_len);
    borrowed.der_len = other->der_len;
    craft_linked(&b.site, &borrowed, 1, &b.record);
    CHECK(refused(feed(gw_1), ADMIT_NOT_ENROLLED));
    borrowed.der_len = 0;
    craft_linked(&b.site, &borrowed, 1, &b.record);
    CHECK(refused(feed(gw_1), ADMIT_NOT_ENROLLED));
    craft_json(&b.site, d, "line", "{\"t\": 1}", &b.record);
    CHECK(refused(feed(gw_1), ADMIT_NOT_ENROLLED));
    CHECK(refused(greet(d), ADMIT_NOT_ENROLLED));
    CHECK(refused(tell(d, 1), ADMIT_NOT_ENROLLED));
    craft_unlinked(&b.site, d, &b.record);
    CHECK(refused(feed(gw_1), ADMIT_NOT_ENROLLED));
    CHECK(admit_dirty_next(&b.core, NULL) == NULL);
    CHECK(link_up(d, 1) == ADMIT_NOTED && ordered(ADMIT_BEGIN_LINK));
    CHECK(admit_dirty_next(&b.core, NULL) != NULL);
    craft_device_forget(&forged);
    craft_site_forget(&stranger);
    end();
}

TEST("invented ids do not push devices out of memory")
{
    REQUIRE(begin(2));
    struct craft_device *d = &b.devices[0];
    CHECK(link_up(d, 1) == ADMIT_NOTED);
    CHECK(greet(d) == ADMIT_GREETED);
    struct admit_event ev = {.kind = ADMIT_COMMITTED};
    admit_step(&b.core, &ev, &b.fx);
    for (uint32_t i = 1; i < 40; i++) {
        struct craft_device invented = b.devices[1];
        memcpy(invented.id.bytes, &i, sizeof i);
        craft_json(&b.site, &invented, "line", "{\"t\": 1}", &b.record);
        CHECK(refused(feed(gw_1), ADMIT_NOT_ENROLLED));
        craft_json(&b.site, d, "line", "{\"t\": 1}", &b.record);
        CHECK(step(ADMIT_SAW_RECORD, gw_1) == ADMIT_APPLIED); /* no ADMIT_LOAD */
        writer_reset(&b.record);
        admit_step(&b.core, &ev, &b.fx);
    }
    end();
}

TEST("each certificate that signs a hello is told once, whatever boot it is of")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    (void)link_up(d, 1);
    CHECK(greet(d) == ADMIT_GREETED && ordered(ADMIT_KEEP_CERTIFICATE));
    CHECK(greet(d) == ADMIT_GREETED && !ordered(ADMIT_KEEP_CERTIFICATE));
    REQUIRE(craft_renew(&b.site, d));
    (void)link_up(d, 2);
    CHECK(!ordered(ADMIT_KEEP_CERTIFICATE)); /* a link is the gateway's word alone */
    CHECK(greet(d) == ADMIT_GREETED && ordered(ADMIT_KEEP_CERTIFICATE));
    struct x509 certificate;
    REQUIRE(x509_parse(slice_of(d->der, d->der_len), &certificate, NULL) == X509_OK);
    struct digest key = hash_of(certificate.spki);
    const struct admit_effect *told = &b.fx.list[b.fx.count - 1];
    CHECK(memcmp(&told->certificate.key, &key, sizeof key) == 0 && told->boot == 1);
    CHECK(slice_equal(slice_of(told->certificate.serial, told->certificate.serial_len),
                      certificate.serial));
    end();
}

TEST("a gateway that starts ends the links of its earlier process, and no device's but its own")
{
    REQUIRE(begin(DEVICES));
    craft_started(&b.site, &b.record);
    CHECK(feed(gw_1) == ADMIT_NOTED && b.fx.count == 1 && ordered(ADMIT_END_LINKS));
    CHECK_U64(b.core.table.count, 0);
    end();
}

TEST("what a gateway wrote for itself is passed by: no device is loaded and nothing is ordered")
{
    static const enum bus_record_kind kinds[] = {BUS_LOCAL, BUS_KEPT, BUS_SESSION, BUS_WILL};
    REQUIRE(begin(DEVICES));
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct bus_record record = {.kind = kinds[i], .device = b.devices[0].id};
        record.delivery.was = kinds[i] == BUS_KEPT ? 1 : 0;
        record.delivery.will_of = kinds[i] == BUS_WILL ? 1 : 0;
        REQUIRE(bus_record_encode(&record, &b.record) == BUS_RECORD_OK);
        CHECK(feed(gw_1) == ADMIT_PASSED && b.fx.count == 0);
    }
    CHECK_U64(b.core.table.count, 0);
    end();
}

TEST("a message without its hello waits, and becomes a dead letter where there is no room")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    (void)link_up(d, 1);
    CHECK(tell(d, 1) == ADMIT_WAITING && ordered(ADMIT_WAIT));
    struct craft_value value = {"t", 5, 1};
    craft_telemetry(&b.site, d, 2, "env", &value, 1, &b.record);
    CHECK(refused(step(ADMIT_WAIT_REFUSED, gw_1), ADMIT_NO_HELLO));
    CHECK_U64(b.memory[0].dead_letters, 1);
    CHECK(refused(step(ADMIT_WAIT_EXPIRED, gw_1), ADMIT_STALE_BOOT));
    CHECK_U64(b.memory[0].received.next, 1);
    end();
}

TEST("an authentic message with an unusable payload is refused, and its number is not missing")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    uint8_t topic_bytes[MESSAGE_TOPIC_MAX];
    uint8_t payload_bytes[2048];
    struct writer topic = writer_over(topic_bytes, sizeof topic_bytes);
    struct writer payload = writer_over(payload_bytes, sizeof payload_bytes);
    (void)link_up(d, 1);
    (void)greet(d);
    craft_topic(&d->id, TOPIC_TELEMETRY, "env", &topic);
    craft_mac0(d, 1, writer_slice(&topic), slice_text("no senml"), &payload);
    craft_record(&b.site, &d->id, writer_slice(&topic), writer_slice(&payload), &b.record);
    CHECK(refused(feed(gw_1), ADMIT_MALFORMED));
    CHECK(!ordered(ADMIT_STORE));
    CHECK_U64(b.memory[0].received.next, 2);
    CHECK_U64(b.memory[0].received.count, 0);
    end();
}

TEST("plain JSON is stored on the gateway's word, with its clock where the payload has no time")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    (void)link_up(d, 1);
    craft_json(&b.site, d, "line", "{\"temperature\": 21.5, \"door\": \"open\", \"on\": true}",
               &b.record);
    CHECK(feed(gw_1) == ADMIT_APPLIED);
    CHECK_U64(b.fx.points_count, 2);
    CHECK_U64(b.fx.texts, 1);
    CHECK(b.fx.points[0].point.time_ms == b.site.now_ms);
    CHECK(b.fx.points[0].point.quality == TIME_SYNCED);
    CHECK(b.fx.points[1].point.value == 1);
    CHECK(b.fx.points[0].point.provenance == PROVENANCE_GATEWAY);
    craft_json(&b.site, d, "line", "[{\"n\": \"t\", \"t\": 1583748873, \"v\": 5}]", &b.record);
    CHECK(feed(gw_1) == ADMIT_APPLIED);
    CHECK(b.fx.points[0].point.time_ms == 1583748873000
          && b.fx.points[0].point.quality == TIME_UNKNOWN);
    craft_json(&b.site, d, "line", "{\"temperature\": 21.5", &b.record);
    CHECK(refused(feed(gw_1), ADMIT_MALFORMED));
    CHECK_U64(b.memory[0].received.next, 1);
    CHECK(promise_violations(PROMISE_ONLY_AUTHENTIC) == 0);
    end();
}

TEST("a device is connected where it linked last, and an old gateway's late word does not cut it")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    (void)link_up(d, 1);
    b.site.now_ms += 1000;
    craft_linked(&b.site, d, 2, &b.record);
    CHECK(feed(gw_2) == ADMIT_NOTED);
    b.site.now_ms += 1000;
    craft_unlinked(&b.site, d, &b.record);
    CHECK(feed(gw_1) == ADMIT_NOTED);
    CHECK(b.memory[0].connected && b.memory[0].gateway == gw_2);
    craft_unlinked(&b.site, d, &b.record);
    CHECK(feed(gw_2) == ADMIT_NOTED);
    CHECK(!b.memory[0].connected);
    end();
}

TEST("what is dirty is never given up: the core asks for a commit first, then makes room")
{
    REQUIRE(begin(2));
    CHECK(link_up(&b.devices[0], 1) == ADMIT_NOTED);
    CHECK(link_up(&b.devices[1], 1) == ADMIT_NOTED);
    craft_linked(&b.site, &b.devices[2], 1, &b.record);
    CHECK(step(ADMIT_SAW_RECORD, gw_1) == ADMIT_AGAIN);
    CHECK(b.fx.count == 1 && b.fx.list[0].kind == ADMIT_COMMIT_FIRST);
    uint32_t dirty = 0;
    for (const struct admit_device *d = NULL; (d = admit_dirty_next(&b.core, d)) != NULL;) {
        dirty++;
    }
    CHECK_U64(dirty, 2);
    struct admit_event ev = {.kind = ADMIT_COMMITTED};
    admit_step(&b.core, &ev, &b.fx);
    CHECK(admit_dirty_next(&b.core, NULL) == NULL);
    CHECK(feed(gw_1) == ADMIT_NOTED);
    CHECK_U64(b.core.table.count, 2);
    end();
}

TEST("a device that was given up comes back from its row as it was")
{
    REQUIRE(begin(1));
    struct craft_device *d = &b.devices[0];
    (void)link_up(d, 1);
    (void)greet(d);
    for (uint64_t seq = 2; seq <= 20; seq += 2) {
        CHECK(tell(d, seq) == ADMIT_APPLIED);
    }
    struct admit_device row = b.memory[0];
    struct received_report report;
    uint8_t links[ADMIT_LINKS_BYTES];
    struct writer w = writer_over(links, sizeof links);
    admit_received_report(&b.core, &b.memory[0], &report);
    admit_links_encode(&b.memory[0], &w);
    struct admit_event committed = {.kind = ADMIT_COMMITTED};
    admit_step(&b.core, &committed, &b.fx);
    CHECK(link_up(&b.devices[1], 9) == ADMIT_NOTED); /* takes the one place */
    admit_step(&b.core, &committed, &b.fx);
    struct craft_value value = {"t", 5, 1};
    craft_telemetry(&b.site, d, 3, "env", &value, 1, &b.record);
    CHECK(step(ADMIT_SAW_RECORD, gw_1) == ADMIT_AGAIN && b.fx.list[0].kind == ADMIT_LOAD);
    struct admit_event loaded = {.kind = ADMIT_LOADED};
    loaded.loaded = (struct admit_loaded){.device = d->id,
                                          .is_known = true,
                                          .row = &row,
                                          .received = &report,
                                          .links = writer_slice(&w)};
    admit_step(&b.core, &loaded, &b.fx);
    CHECK(step(ADMIT_SAW_RECORD, gw_1) == ADMIT_APPLIED);
    CHECK(step(ADMIT_SAW_RECORD, gw_1) == ADMIT_DUPLICATE);
    writer_reset(&b.record);
    CHECK(greet(d) == ADMIT_GREETED); /* its link is remembered, its boot known */
    CHECK(tell(d, 4) == ADMIT_DUPLICATE);
    end();
}

TEST("random histories of many devices in little memory apply each number once, whatever is given "
     "up between")
{
    REQUIRE(begin(2));
    struct rng rng = rng_from_seed(77);
    static bool applied[DEVICES + 2][400];
    static struct admit_device rows[DEVICES + 2];
    static struct received_report reports[DEVICES + 2];
    static uint8_t links[DEVICES + 2][ADMIT_LINKS_BYTES];
    static size_t links_len[DEVICES + 2];
    static bool known[DEVICES + 2];
    memset(applied, 0, sizeof applied);
    memset(known, 0, sizeof known);
    for (unsigned i = 0; i < 4000; i++) {
        uint32_t who = (uint32_t)rng_below(&rng, COUNT_OF(b.devices));
        struct craft_device *d = &b.devices[who];
        uint64_t seq = 1 + rng_below(&rng, 399);
        struct craft_value value = {"t", 5, 1};
        if (i % 50 == who) {
            craft_linked(&b.site, d, 1, &b.record);
        } else if (rng_below(&rng, 10) == 0) {
            memset(d->exporter, 0, sizeof d->exporter);
            d->exporter[0] = 1;
            craft_hello(&b.site, d, &b.record);
        } else {
            craft_telemetry(&b.site, d, seq, "env", &value, 1, &b.record);
        }
        bool is_message = b.record.len > 0 && i % 50 != who;
        enum admit_outcome outcome = step(ADMIT_SAW_RECORD, gw_1);
        for (unsigned turn = 0; outcome == ADMIT_AGAIN && turn < 4; turn++) {
            struct admit_event ev = {.kind = ADMIT_COMMITTED};
            if (b.fx.list[0].kind == ADMIT_COMMIT_FIRST) {
                for (const struct admit_device *dirty = NULL;
                     (dirty = admit_dirty_next(&b.core, dirty)) != NULL;) {
                    for (uint32_t k = 0; k < COUNT_OF(b.devices); k++) {
                        if (device_id_equal(&dirty->id, &b.devices[k].id)) {
                            struct writer w = writer_over(links[k], sizeof links[k]);
                            known[k] = true;
                            rows[k] = *dirty;
                            admit_received_report(&b.core, dirty, &reports[k]);
                            admit_links_encode(dirty, &w);
                            links_len[k] = w.len;
                        }
                    }
                }
            } else {
                CHECK(b.fx.list[0].kind == ADMIT_LOAD);
                ev.kind = ADMIT_LOADED;
                ev.loaded = (struct admit_loaded){.device = d->id,
                                                  .is_known = known[who],
                                                  .row = &rows[who],
                                                  .received = &reports[who],
                                                  .links = slice_of(links[who], links_len[who])};
            }
            admit_step(&b.core, &ev, &b.fx);
            outcome = step(ADMIT_SAW_RECORD, gw_1);
        }
        writer_reset(&b.record);
        CHECK(outcome != ADMIT_AGAIN);
        if (is_message && outcome == ADMIT_APPLIED) {
            CHECK(!applied[who][seq]);
            applied[who][seq] = true;
        }
    }
    unsigned total = 0;
    for (uint32_t k = 0; k < COUNT_OF(b.devices); k++) {
        for (uint32_t s = 0; s < 400; s++) {
            total += applied[k][s];
        }
    }
    CHECK(total > 500);
    CHECK(promise_violations(PROMISE_ONCE_APPLIED) == 0);
    end();
}

/* A sealed message of the device with this number and payload. */
static enum admit_outcome seal_and_feed(struct craft_device *d, uint64_t seq, struct slice payload)
{
    uint8_t topic_bytes[MESSAGE_TOPIC_MAX];
    uint8_t message_bytes[2048];
    struct writer topic = writer_over(topic_bytes, sizeof topic_bytes);
    struct writer message = writer_over(message_bytes, sizeof message_bytes);
    craft_topic(&d->id, TOPIC_TELEMETRY, "env", &topic);
    craft_mac0(d, seq, writer_slice(&topic), payload, &message);
    craft_record(&b.site, &d->id, writer_slice(&topic), writer_slice(&message), &b.record);
    return feed(gw_1);
}

TEST("numbers at the ends of their range are refused, and points without a time tell no clock")
{
    static const uint8_t timeless[] = {0x81, 0xa2, 0x00, 0x61, 't', 0x02, 0x01};
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    (void)link_up(d, 1);
    (void)greet(d);
    CHECK(refused(seal_and_feed(d, UINT64_MAX, slice_of(timeless, sizeof timeless)),
                  ADMIT_MALFORMED));
    CHECK(seal_and_feed(d, 1, slice_of(timeless, sizeof timeless)) == ADMIT_APPLIED);
    CHECK_U64(b.fx.points_count, 1);
    CHECK(!b.memory[0].has_clock_offset);
    end();
}

TEST("a gateway's clock at either end of time is held there, and makes no time good")
{
    static const struct {
        int64_t now_ms, offset_ms;
    } rows[] = {{INT64_MIN, INT64_MAX}, {INT64_MAX, 1700000000000 - INT64_MAX}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        REQUIRE(begin(DEVICES));
        struct craft_device *d = &b.devices[0];
        struct craft_value value = {"t", 1700000000000, 1};
        (void)link_up(d, 1);
        (void)greet(d);
        b.site.now_ms = rows[i].now_ms;
        craft_telemetry(&b.site, d, 1, "env", &value, 1, &b.record);
        CHECK(feed(gw_1) == ADMIT_APPLIED);
        CHECK(b.memory[0].clock_offset_ms == rows[i].offset_ms);
        CHECK(b.fx.points[0].point.quality == TIME_UNKNOWN);
        end();
    }
}

TEST("a payload of words alone is applied and stores nothing")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    (void)link_up(d, 1);
    craft_json(&b.site, d, "line", "{\"door\": \"open\"}", &b.record);
    CHECK(feed(gw_1) == ADMIT_APPLIED && !ordered(ADMIT_STORE));
    CHECK_U64(b.fx.texts, 1);
    end();
}

TEST("once the ingest key of a hello is retired, what it would verify is refused as such")
{
    REQUIRE(begin(DEVICES));
    struct craft_device *d = &b.devices[0];
    struct craft_value value = {"t", 1700000000000, 1};
    (void)link_up(d, 1);
    (void)greet(d);
    memset(b.core.config.keys[0].id, 0xEE, sizeof b.core.config.keys[0].id); /* another key now */
    memset(b.memory[0].mac_boots, 0, sizeof b.memory[0].mac_boots);
    craft_telemetry(&b.site, d, 1, "env", &value, 1, &b.record);
    CHECK(refused(feed(gw_1), ADMIT_UNKNOWN_KEY));
    CHECK_U64(b.memory[0].received.next, 1);
    end();
}

TEST("what was given up and cannot be read, or is of a device that is not in memory, does no harm")
{
    REQUIRE(begin(DEVICES));
    struct craft_value value = {"t", 5, 1};
    write_text(&b.record, "no record");
    CHECK(refused(step(ADMIT_WAIT_EXPIRED, gw_1), ADMIT_MALFORMED));
    writer_reset(&b.record);
    craft_telemetry(&b.site, &b.devices[1], 2, "env", &value, 1, &b.record);
    CHECK(step(ADMIT_WAIT_EXPIRED, gw_1) == ADMIT_AGAIN && ordered(ADMIT_LOAD));
    end();
}
