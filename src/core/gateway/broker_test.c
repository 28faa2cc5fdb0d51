#include "core/gateway/broker.h"
#include "core/gateway/broker_rig.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;

static bool begin(void)
{
    struct gw_broker_limits limits = rig_limits();
    return rig_begin(&rig, &limits, 42);
}

static void end(void)
{
    gw_broker_check(rig.b);
    rig_end(&rig);
}

static uint32_t client(const char *id, uint32_t expiry_s)
{
    return rig_connect(&rig, &(struct rig_connect){.client_id = id, .expiry_s = expiry_s});
}

/* What this session gets now is exactly one PUBLISH of this payload. */
static bool gets(uint32_t session, const char *payload, uint8_t qos)
{
    struct gw_delivery d;
    rig_sync(&rig);
    return rig_take(&rig, session, &d) && d.kind == GW_SEND_PUBLISH && d.qos == qos
           && strcmp(rig_payload(&rig, &d), payload) == 0
           && (qos == 0
               || rig_ack(&rig, session, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, d.packet_id, 0)
                      == GW_ACK_TAKEN);
}

static bool gets_nothing(uint32_t session)
{
    struct gw_delivery d;
    rig_sync(&rig);
    return !rig_take(&rig, session, &d);
}

TEST("a subscriber gets what matches and nothing else, at the lower of both QoS")
{
    REQUIRE(begin());
    uint32_t s = client("s", 60);
    CHECK(rig_subscribe(&rig, s, "a/+", 1) == 1);
    CHECK(rig_say(&rig, "b/c", "no", 1) == GW_NOBODY);
    CHECK(rig_say(&rig, "a/b", "one", 1) == GW_ROUTED);
    CHECK(gets(s, "one", 1));
    CHECK(rig_say(&rig, "a/b", "two", 2) == GW_ROUTED);
    CHECK(gets(s, "two", 1));
    CHECK(
        rig_publish(
            &rig, &(struct rig_publish){.topic = "a/b", .payload = "three", .is_from_device = true})
        == GW_ROUTED);
    CHECK(gets(s, "three", 0));
    CHECK(gets_nothing(s));
    CHECK(rig_unsubscribe(&rig, s, "a/#") == MQTT_NO_SUBSCRIPTION_EXISTED);
    CHECK(rig_unsubscribe(&rig, s, "a/+") == MQTT_SUCCESS);
    CHECK(rig_say(&rig, "a/b", "four", 1) == GW_NOBODY);
    end();
}

TEST("nothing is delivered before the journal is durable beyond it")
{
    REQUIRE(begin());
    struct gw_delivery d;
    uint32_t s = client("s", 60);
    (void)rig_subscribe(&rig, s, "a", 2);
    rig_sync(&rig);
    (void)rig_say(&rig, "a", "one", 2);
    CHECK(!gw_broker_next(rig.b, s, rig.durable, rig.clock_ms, &d));
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &d));
    REQUIRE(rig_ack(&rig, s, MQTT_PUBREC, d.packet_id, 0) == GW_ACK_TAKEN);
    CHECK(!gw_broker_next(rig.b, s, rig.durable, rig.clock_ms, &d)); /* the PUBREC is not durable */
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(d.kind == GW_SEND_PUBREL);
    CHECK(rig_ack(&rig, s, MQTT_PUBCOMP, d.packet_id, 0) == GW_ACK_TAKEN);
    CHECK(gets_nothing(s));
    end();
}
