/*
 * What a message costs the gateway's broker: finding that nobody subscribes to its topic, and
 * routing and delivering it where somebody does, beside one lookup of a device id in a hash table
 * as the gateway's other tables are. Prints nanoseconds of processor time and their ratio to that
 * lookup, medians of all rounds, measured in turn.
 *
 * use: bench_broker [DEVICES [ROUNDS]]
 */
#define _POSIX_C_SOURCE 200809L
#include "core/gateway/broker.h"

#include "base/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MESSAGES = 200000, ROUNDS_MAX = 101, CASES = 4, TOPIC_MAX = 64 };

static const char *const names[CASES] = {"lookup of a device id", "nobody subscribes",
                                         "QoS 1 for a volatile subscriber",
                                         "QoS 1 for a durable subscriber"};

struct bench {
    struct gw_broker *b;
    struct table table;
    char (*topics)[TOPIC_MAX];
    uint8_t (*ids)[TABLE_KEY_LEN];
    uint32_t devices;
    uint64_t at;
    uint32_t volatile_session, durable_session;
    uint64_t sink;
};

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t open_session(struct bench *b, uint32_t who, uint32_t expiry_s)
{
    struct session_owner owner = {.kind = SESSION_OWNER_DEVICE};
    struct session_record record;
    memcpy(owner.id, &who, sizeof who);
    if (gw_broker_may_open(b->b, &owner, slice_text("c"), expiry_s, false, 0, &record) != 0) {
        return 0;
    }
    gw_broker_commit_session(b->b, &record, 1, expiry_s > 0 ? ++b->at : 0);
    gw_broker_attach(b->b, record.session, who, 1000);
    return record.session;
}

static void subscribe(struct bench *b, uint32_t session, const char *filter)
{
    uint8_t none[8];
    struct writer items = writer_over(none, sizeof none);
    struct session_record record;
    const struct mqtt_subscription want = {.filter = slice_text(filter), .qos = 1};
    if (gw_broker_may_subscribe(b->b, session, &want, 0, 1, &items, &record) <= 2) {
        gw_broker_commit_session(b->b, &record, 1,
                                 gw_broker_must_stage(b->b, &record) ? ++b->at : 0);
    }
}

static bool prepare(struct bench *b)
{
    struct gw_broker_limits limits = gw_broker_limits_default();
    limits.sessions_max = b->devices + 8;
    limits.nodes_max = 8 * b->devices + 64;
    limits.subscriptions_max = 4 * b->devices;
    uint32_t cap = 8;
    while (cap < 2 * b->devices) {
        cap *= 2;
    }
    size_t size = gw_broker_size(&limits);
    void *memory = malloc(size);
    struct table_slot *slots = calloc(cap, sizeof *slots);
    b->topics = calloc(b->devices, sizeof *b->topics);
    b->ids = calloc(b->devices, sizeof *b->ids);
    if (memory == NULL || slots == NULL || b->topics == NULL || b->ids == NULL) {
        return false;
    }
    b->b = gw_broker_init(&limits, memory, size, 12345);
    table_init(&b->table, slots, cap, 12345);
    for (uint32_t i = 0; i < b->devices; i++) {
        char filter[TOPIC_MAX];
        uint64_t x = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        memcpy(b->ids[i], &x, sizeof x);
        (void)snprintf(b->topics[i], TOPIC_MAX, "hf/1/hf1:%016llx%016llx/t/host",
                       (unsigned long long)x, (unsigned long long)~x);
        /* Each device hears its own commands and notices, as devices do. */
        uint32_t session = open_session(b, i + 1, 0);
        (void)snprintf(filter, sizeof filter, "%.*s/c", 41, b->topics[i]);
        subscribe(b, session, filter);
        (void)snprintf(filter, sizeof filter, "%.*s/n", 41, b->topics[i]);
        subscribe(b, session, filter);
        if (!table_put(&b->table, b->ids[i], i)) {
            return false;
        }
    }
    b->volatile_session = open_session(b, b->devices + 1, 0);
    b->durable_session = open_session(b, b->devices + 2, 60);
    subscribe(b, b->volatile_session, "v/+/#");
    subscribe(b, b->durable_session, "d/+/#");
    return true;
}

static void deliver(struct bench *b, uint32_t session)
{
    struct gw_delivery d;
    struct session_record record;
    if (gw_broker_next(b->b, session, UINT64_MAX / 2, 1, &d)) {
        gw_broker_sent(b->b, session, &d);
        (void)gw_broker_ack(b->b, session, MQTT_PUBACK, d.packet_id, 0, &record);
        gw_broker_commit_session(b->b, &record, 1,
                                 gw_broker_must_stage(b->b, &record) ? ++b->at : 0);
    }
}

static void route(struct bench *b, struct slice topic, uint32_t session)
{
    uint8_t targets[256];
    struct writer w = writer_over(targets, sizeof targets);
    struct gw_routing routing;
    const struct gw_message message = {.topic = topic, .qos = 1, .size = 200};
    if (gw_broker_route(b->b, &message, 1, &w, &routing) == GW_NOBODY) {
        b->sink++;
        return;
    }
    const struct bus_record record = {.kind = BUS_LOCAL,
                                      .clock_ms = 1,
                                      .topic = topic,
                                      .delivery = {.qos = 1, .targets = writer_slice(&w)}};
    gw_broker_commit(b->b, &record, ++b->at);
    deliver(b, session);
}

static double round_ns(struct bench *b, size_t which)
{
    double began = now_ns();
    for (uint32_t i = 0; i < MESSAGES; i++) {
        uint32_t device = (uint32_t)((uint64_t)i * 2654435761U % b->devices);
        uint32_t value = 0;
        switch (which) {
        case 0: b->sink += table_find(&b->table, b->ids[device], &value) + value; break;
        case 1: route(b, slice_text(b->topics[device]), 0); break;
        case 2: route(b, slice_text("v/press/temperature"), b->volatile_session); break;
        default: route(b, slice_text("d/press/temperature"), b->durable_session); break;
        }
    }
    return (now_ns() - began) / MESSAGES;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    static struct bench b;
    static double took[CASES][ROUNDS_MAX];
    b.devices = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10000;
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 11;
    rounds = rounds > 0 && rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
    if (b.devices == 0 || !prepare(&b)) {
        return 2;
    }
    for (size_t i = 0; i < rounds; i++) {
        for (size_t which = 0; which < CASES; which++) {
            took[which][i] = round_ns(&b, which);
        }
    }
    for (size_t which = 0; which < CASES; which++) {
        qsort(took[which], rounds, sizeof took[which][0], by_value);
        (void)printf("%-34s %7.1f ns  %5.2f lookups\n", names[which], took[which][rounds / 2],
                     took[which][rounds / 2] / took[0][rounds / 2]);
    }
    return b.sink == 0;
}
