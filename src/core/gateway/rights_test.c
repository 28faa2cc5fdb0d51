#include "codec/mqtt_topic.h"
#include "core/gateway/rights.h"
#include "test/test.h"

static const struct device_id device = {{0xab, 0xcd}};
#define OWN "hf/1/hf1:abcd0000000000000000000000000000/"

static struct slice s(const char *text)
{
    return slice_text(text);
}

TEST("a filter covers another only where it matches everything the other can match")
{
    static const struct {
        const char *outer, *inner;
        bool covers;
    } rows[] = {
        {"a", "b", false},        {"a/b", "a", false},        {"a", "a/b", false},
        {"a/+", "a/#", false},    {"a/+", "a/+/c", false},    {"a/b", "a/+", false},
        {"a/b", "+/b", false},    {"a/+/#", "a/#", false},    {"#", "$SYS/#", false},
        {"+/x", "$SYS/x", false}, {"a/b/#", "a/+/#", false},  {"+", "#", false},
        {"+/+", "a", false},      {"a", "a", true},           {"#", "#", true},
        {"#", "a/+/b", true},     {"#", "+", true},           {"#", "+/#", true},
        {"a/#", "a", true},       {"a/#", "a/#", true},       {"a/#", "a/b/#", true},
        {"a/#", "a/+", true},     {"a/+", "a/b", true},       {"a/+", "a/+", true},
        {"a/+/c", "a/b/c", true}, {"$SYS/#", "$SYS/#", true}, {"+/+", "/a", true},
        {"+/#", "a", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (mqtt_filter_covers(s(rows[i].outer), s(rows[i].inner)) != rows[i].covers) {
            test_failed(__FILE__, __LINE__, "%s over %s", rows[i].outer, rows[i].inner);
        }
    }
}

TEST("a device hears its own commands and notices, shared or not, and no filter that reaches "
     "further")
{
    static const struct {
        const char *filter;
        bool may;
    } rows[] = {
        {OWN "t/x", false},
        {OWN "+", false},
        {OWN "#", false},
        {OWN "", false},
        {"#", false},
        {"+/+/+/c", false},
        {"c", false},
        {"$share/g/#", false},
        {"hf/1/hf1:abcd0000000000000000000000000001/c", false},
        {OWN "c", true},
        {OWN "n", true},
        {"$share/g/" OWN "c", true},
    };
    uint8_t prefix[GW_TOPIC_PREFIX_LEN];
    gw_device_prefix(&device, prefix);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mqtt_fault fault = gw_may_subscribe(NULL, prefix, s(rows[i].filter));
        CHECK((fault.clause == NULL) == rows[i].may);
        CHECK(rows[i].may || fault.reason == MQTT_NOT_AUTHORIZED);
    }
}

TEST("an application publishes, hears and is called what its grant lists, and nothing else")
{
    const struct slice publish[] = {s("plant/1/#"), s("ping")};
    const struct slice subscribe[] = {s("plant/#"), s("hf/1/+/j/+")};
    const struct slice ids[] = {s("hist-*-v*"), s("one")};
    const struct gw_rights rights = {.publish = {publish, COUNT_OF(publish)},
                                     .subscribe = {subscribe, COUNT_OF(subscribe)},
                                     .client_ids = {ids, COUNT_OF(ids)}};
    uint8_t prefix[GW_TOPIC_PREFIX_LEN] = {0};
    static const char *const no_topics[] = {"plant/2/x", "pin", "ping/x", "$SYS/x", "plant"};
    static const char *const no_filters[] = {"#", "+", "+/1", "hf/1/#", "hf/1/+/+/+", "$share/g/#"};
    static const char *const no_ids[] = {"", "hist-", "hist-1", "One", "one1", "xhist-1-v2"};
    for (size_t i = 0; i < COUNT_OF(no_topics); i++) {
        struct mqtt_fault fault = gw_may_publish(&rights, prefix, s(no_topics[i]));
        CHECK(fault.clause != NULL && fault.reason == MQTT_NOT_AUTHORIZED);
    }
    for (size_t i = 0; i < COUNT_OF(no_filters); i++) {
        struct mqtt_fault fault = gw_may_subscribe(&rights, prefix, s(no_filters[i]));
        CHECK(fault.clause != NULL && fault.reason == MQTT_NOT_AUTHORIZED);
    }
    for (size_t i = 0; i < COUNT_OF(no_ids); i++) {
        CHECK(!gw_may_be_called(&rights, s(no_ids[i])));
    }
    CHECK(gw_may_publish(&rights, prefix, s("plant/1/a/b")).clause == NULL);
    CHECK(gw_may_publish(&rights, prefix, s("ping")).clause == NULL);
    CHECK(gw_may_subscribe(&rights, prefix, s("plant/+/x")).clause == NULL);
    CHECK(gw_may_subscribe(&rights, prefix, s("$share/g/plant/#")).clause == NULL);
    CHECK(gw_may_subscribe(&rights, prefix, s("hf/1/+/j/s")).clause == NULL);
    CHECK(gw_may_be_called(&rights, s("hist-1-v2")) && gw_may_be_called(&rights, s("one")));
    CHECK(gw_may_be_called(&rights, s("hist--v-v")));
}

TEST("an application whose grant lists nothing may nothing; one that lists # and * may all but $ "
     "and to speak for devices")
{
    const struct slice all[] = {s("#")}, any[] = {s("*")};
    const struct gw_rights none = {0};
    const struct gw_rights full = {
        .publish = {all, 1}, .subscribe = {all, 1}, .client_ids = {any, 1}};
    uint8_t prefix[GW_TOPIC_PREFIX_LEN] = {0};
    CHECK(gw_may_publish(&none, prefix, s("a")).clause != NULL);
    CHECK(gw_may_subscribe(&none, prefix, s("a")).clause != NULL);
    CHECK(!gw_may_be_called(&none, s("a")) && !gw_may_be_called(&none, s("")));
    CHECK(gw_may_publish(&full, prefix, s("TopicA/B")).clause == NULL);
    CHECK(gw_may_subscribe(&full, prefix, s("#")).clause == NULL);
    CHECK(gw_may_subscribe(&full, prefix, s("+/+")).clause == NULL);
    CHECK(gw_may_be_called(&full, s("")) && gw_may_be_called(&full, s("anything")));
    CHECK(gw_may_publish(&full, prefix, s("$SYS/x")).clause != NULL);
    CHECK(gw_may_publish(&full, prefix, s("hf/1/hf1:ab/c")).clause
          != NULL); /* devices speak there */
    CHECK(gw_may_publish(&full, prefix, s("hf")).clause != NULL);
    CHECK(gw_may_publish(&full, prefix, s("hfx/y")).clause == NULL);
    CHECK(gw_may_subscribe(&full, prefix, s("$SYS/#")).clause != NULL);
}
