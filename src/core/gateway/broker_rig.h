/*
 * A broker with a journal in memory, as the gateway's role would use them: for unit tests, the
 * explorer and benchmarks. Every call does what the manual in broker.h asks: ask, stage, commit.
 */
#ifndef CORE_GATEWAY_BROKER_RIG_H
#define CORE_GATEWAY_BROKER_RIG_H

#include "core/gateway/broker.h"

enum { RIG_RECORDS_MAX = 8192, RIG_JOURNAL_MAX = 4 << 20, RIG_FIRST = 16 };

struct rig {
    struct gw_broker *b;
    struct gw_broker_limits limits;
    void *memory;
    uint8_t *journal; /* encoded records, one behind the other */
    uint64_t *starts; /* of each record, and behind the last */
    uint32_t count;
    uint64_t durable; /* positions below it; rig_sync makes it all */
    uint64_t clock_ms;
    uint32_t connections;
    uint64_t volatile_number;
    uint32_t blocked_by; /* of the last publish that had to wait */
    uint16_t packet_id;
};

/* Limits small enough to be reached. */
struct gw_broker_limits rig_limits(void);

bool rig_begin(struct rig *rig, const struct gw_broker_limits *limits, uint64_t seed);
void rig_end(struct rig *rig);

uint64_t rig_stage(struct rig *rig, const struct bus_record *record); /* and commit */
void rig_commit(struct rig *rig, const struct session_record *record);
void rig_sync(struct rig *rig);
uint64_t rig_head(const struct rig *rig);
void rig_read(const struct rig *rig, uint64_t at, struct bus_record *out);

/* A CONNECT; its session, 0 where it was refused. The old connection, if any, is taken over. */
struct rig_connect {
    const char *client_id;
    bool clean_start;
    uint32_t expiry_s;
    uint16_t receive_max; /* 0: 65,535 */
    const char *will_topic;
    uint8_t will_qos;
    bool will_retain;
    uint32_t will_delay_s;
};
uint32_t rig_connect(struct rig *rig, const struct rig_connect *connect);
/* The connection goes; `normal`: DISCONNECT 0x00, no will. */
void rig_disconnect(struct rig *rig, uint32_t session, bool normal);
void rig_disconnect_expiry(struct rig *rig, uint32_t session, bool normal, uint32_t expiry_s);

/* "filter" with options in front: '2' or '1' QoS, 'n' no local, 'r' as published, 'h1' handling. */
uint8_t rig_subscribe(struct rig *rig, uint32_t session, const char *filter, uint8_t qos);
uint8_t rig_subscribe_with(struct rig *rig,
                           uint32_t session,
                           const struct mqtt_subscription *subscription,
                           uint32_t id);
uint8_t rig_unsubscribe(struct rig *rig, uint32_t session, const char *filter);

struct rig_publish {
    uint32_t sender;
    const char *topic;
    const char *payload;
    uint8_t qos;
    bool retain;
    uint16_t packet_id;  /* QoS 2 */
    uint32_t expiry_s;   /* 0: none */
    bool is_from_device; /* BUS_PUBLISHED: staged in any case */
};
enum gw_route rig_publish(struct rig *rig, const struct rig_publish *publish);
enum gw_route rig_say(struct rig *rig, const char *topic, const char *payload, uint8_t qos);

/* What is next for the session, sent; dropped ones are committed. False: nothing. */
bool rig_take(struct rig *rig, uint32_t session, struct gw_delivery *out);
/* The payload of what was taken, as text in one static room. */
const char *rig_payload(struct rig *rig, const struct gw_delivery *delivery);
/* PUBACK, PUBREC or PUBCOMP. */
enum gw_ack rig_ack(
    struct rig *rig, uint32_t session, enum mqtt_type type, uint16_t packet_id, uint8_t reason);

/* Does all that is due; the number of things done. */
uint32_t rig_tick(struct rig *rig, uint64_t ms);
/* Writes the oldest thing again, wherever it lies; false: there is none. */
bool rig_keep_oldest(struct rig *rig);
void rig_keep_session(struct rig *rig, uint32_t session, size_t part_max);
void rig_keep_message(struct rig *rig, uint64_t at, const struct bus_delivery *delivery);

/* Another broker of the first `records` of the journal, from `floor` on, into `into`. */
enum gw_fold rig_replay(const struct rig *rig, uint64_t floor, uint32_t records, struct rig *into);
/* This process ends as at a power cut after `records`, and another begins. */
bool rig_restart(struct rig *rig, uint32_t records);

/* Both at `clock_ms` have the same durable state. */
bool rig_same(struct rig *a, struct rig *b, uint64_t clock_ms);

#endif
