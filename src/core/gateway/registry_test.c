#include "base/rng.h"
#include "core/gateway/refusals.h"
#include "core/gateway/registry.h"
#include "test/test.h"

#include <string.h>

enum { CAP = 64, MAX = 40, PER_DEVICE = 3 };

static struct table_slot sessions[CAP], devices[CAP];

static struct gw_registry fresh(void)
{
    struct gw_registry r;
    gw_registry_init(&r, sessions, devices, CAP, MAX, 5);
    return r;
}

static struct device_id device_of(uint8_t n)
{
    return (struct device_id){{n}};
}

TEST("the newest connection takes a client id over, and only within one device")
{
    struct gw_registry r = fresh();
    struct device_id a = device_of(1), b = device_of(2);
    uint32_t displaced = 99;
    CHECK(gw_registry_enter(&r, &a, slice_text("x"), 10, PER_DEVICE, &displaced) == GW_ENTERED);
    CHECK(gw_registry_enter(&r, &b, slice_text("x"), 11, PER_DEVICE, &displaced) == GW_ENTERED);
    CHECK(gw_registry_enter(&r, &a, slice_text("x"), 12, PER_DEVICE, &displaced)
          == GW_ENTERED_OVER);
    CHECK_U64(displaced, 10);
    CHECK(!gw_registry_leave(&r, &a, slice_text("x"), 10)); /* not its place any more */
    CHECK(gw_registry_has(&r, &a) && gw_registry_count(&r) == 2);
    CHECK(gw_registry_leave(&r, &a, slice_text("x"), 12));
    CHECK(!gw_registry_has(&r, &a) && gw_registry_has(&r, &b));
    gw_registry_check(&r);
}

TEST("one owner cannot take all the places, and another may have more")
{
    struct gw_registry r = fresh();
    struct device_id a = device_of(1), b = device_of(2);
    uint32_t displaced;
    CHECK(gw_registry_enter(&r, &a, slice_text("1"), 1, PER_DEVICE, &displaced) == GW_ENTERED);
    CHECK(gw_registry_enter(&r, &a, slice_text("2"), 2, PER_DEVICE, &displaced) == GW_ENTERED);
    CHECK(gw_registry_enter(&r, &a, slice_text("3"), 3, PER_DEVICE, &displaced) == GW_ENTERED);
    CHECK(gw_registry_enter(&r, &a, slice_text("4"), 4, PER_DEVICE, &displaced) == GW_DEVICE_FULL);
    CHECK(gw_registry_enter(&r, &a, slice_text("3"), 5, PER_DEVICE, &displaced) == GW_ENTERED_OVER);
    CHECK(gw_registry_enter(&r, &b, slice_text("1"), 6, PER_DEVICE, &displaced) == GW_ENTERED);
    CHECK(gw_registry_enter(&r, &a, slice_text("4"), 7, PER_DEVICE + 1, &displaced) == GW_ENTERED);
    gw_registry_check(&r);
}

TEST("the registry agrees with a plain list through random comings and goings")
{
    enum { DEVICES = 16, IDS = 4 };
    static const char *const ids[IDS] = {"a", "b", "", "long-client-id"};
    struct gw_registry r = fresh();
    int64_t holder[DEVICES][IDS];
    memset(holder, 0xff, sizeof holder);
    struct rng rng = rng_from_seed(3);
    uint32_t total = 0;
    for (uint32_t step = 0; step < 50000; step++) {
        uint8_t d = (uint8_t)rng_below(&rng, DEVICES);
        size_t i = (size_t)rng_below(&rng, IDS);
        struct device_id device = device_of(d);
        if (rng_below(&rng, 2) == 0) {
            uint32_t count = 0, displaced = 0;
            for (size_t k = 0; k < IDS; k++) {
                count += holder[d][k] >= 0;
            }
            enum gw_admission want = holder[d][i] >= 0     ? GW_ENTERED_OVER
                                     : total == MAX        ? GW_REGISTRY_FULL
                                     : count == PER_DEVICE ? GW_DEVICE_FULL
                                                           : GW_ENTERED;
            REQUIRE(gw_registry_enter(&r, &device, slice_text(ids[i]), step, PER_DEVICE, &displaced)
                    == want);
            CHECK(want != GW_ENTERED_OVER || displaced == (uint32_t)holder[d][i]);
            total += want == GW_ENTERED;
            holder[d][i] =
                want == GW_ENTERED || want == GW_ENTERED_OVER ? (int64_t)step : holder[d][i];
        } else {
            bool there = holder[d][i] >= 0;
            uint32_t who = there ? (uint32_t)holder[d][i] : 0;
            REQUIRE(gw_registry_leave(&r, &device, slice_text(ids[i]), who) == there);
            total -= there;
            holder[d][i] = -1;
        }
        gw_registry_check(&r);
        CHECK_U64(gw_registry_count(&r), total);
    }
}

TEST("the newest 256 refusals are kept in full, all are counted by reason")
{
    static struct gw_refusals r;
    struct digest fingerprint = {{0xaa}};
    gw_refusals_add(&r, 0, GW_GATE_TLS, MQTT_SUCCESS, "no certificate", "10.0.0.1:1", NULL);
    for (int i = 0; i < 300; i++) {
        gw_refusals_add(&r, i, GW_GATE_MQTT, MQTT_PACKET_TOO_LARGE, "too large", "[::1]:2",
                        &fingerprint);
    }
    CHECK_U64(r.total, 301);
    CHECK_U64(r.by_gate[GW_GATE_TLS], 1);
    CHECK_U64(r.by_reason[MQTT_PACKET_TOO_LARGE], 300);
    CHECK(gw_refusals_newest(&r, 0)->wall_ms == 299);
    CHECK(gw_refusals_newest(&r, 255)->wall_ms == 44);
    CHECK(gw_refusals_newest(&r, 256) == NULL);
    uint8_t line[512];
    struct writer w = writer_over(line, sizeof line);
    gw_refusal_write(&w, gw_refusals_newest(&r, 0));
    CHECK(slice_has_prefix(
        writer_slice(&w),
        slice_text("1970-01-01T00:00:00.299Z packet-too-large 0x95 [::1]:2 aa00")));
}

TEST("a refusal before MQTT has no code, one of somebody known has a fingerprint, words are cut")
{
    static struct gw_refusals r;
    static char text[1024];
    struct digest certificate = {{0xAB}};
    char words[400];
    memset(words, 'w', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    gw_refusals_add(&r, 0, GW_GATE_IDENTITY, MQTT_SUCCESS, words, "10.0.0.1:1", &certificate);
    struct writer w = writer_over(text, sizeof text - 1);
    gw_refusal_write(&w, gw_refusals_newest(&r, 0));
    text[w.len] = '\0';
    CHECK(strncmp(text, "1970-01-01T00:00:00.000Z identity - 10.0.0.1:1 ab00", 50) == 0);
    CHECK(strstr(text, "www\n") != NULL && w.len < sizeof words);
}
