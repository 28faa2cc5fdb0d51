/*
 * The fold: a replay of any prefix of a history, from any floor the broker gave at the time, is the
 * live durable state as it was there.
 */
#include "base/rng.h"
#include "core/gateway/broker_rig.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

enum { CLIENTS = 5, STEPS = 260 };

struct play {
    struct rig rig;
    struct rng rng;
    uint32_t session[CLIENTS]; /* 0: no session known */
    bool is_on[CLIENTS];
    uint16_t packet_id[CLIENTS];
};

/* What was true after each record: the live digest, and the floor it gave. */
struct truth {
    struct digest digest;
    uint64_t floor;
    bool is_known;
};

static const char *const filters[] = {
    "a/+", "a/#", "a/b", "#", "$share/g/a/#", "$share/h/+/b", "long-level-of-a-filter/+/x"};
static const char *const topics[] = {"a/b", "a/c", "a", "b/b", "long-level-of-a-filter/q/x"};

static bool flip(struct play *p, uint32_t of)
{
    return rng_below(&p->rng, of) == 0;
}

static void connect(struct play *p, uint32_t who)
{
    char id[8];
    static const uint32_t expiries[] = {0, 5, 50, UINT32_MAX};
    (void)snprintf(id, sizeof id, "c%u", who);
    p->session[who] = rig_connect(
        &p->rig, &(struct rig_connect){.client_id = id,
                                       .clean_start = flip(p, 4),
                                       .expiry_s = expiries[rng_below(&p->rng, 4)],
                                       .receive_max = (uint16_t)(1 + rng_below(&p->rng, 5)),
                                       .will_topic = flip(p, 3) ? topics[0] : NULL,
                                       .will_qos = (uint8_t)rng_below(&p->rng, 3),
                                       .will_retain = flip(p, 4),
                                       .will_delay_s = (uint32_t)rng_below(&p->rng, 12)});
    p->is_on[who] = p->session[who] != 0;
}

static void publish(struct play *p, uint32_t who)
{
    static const char *const payloads[] = {"", "x", "a longer payload", "y"};
    uint8_t qos = (uint8_t)rng_below(&p->rng, 3);
    struct rig_publish message = {.topic = topics[rng_below(&p->rng, COUNT_OF(topics))],
                                  .payload = payloads[rng_below(&p->rng, 4)],
                                  .qos = qos,
                                  .retain = flip(p, 4),
                                  .expiry_s = flip(p, 4) ? 1 + (uint32_t)rng_below(&p->rng, 20) : 0,
                                  .is_from_device = flip(p, 3)};
    if (p->is_on[who]) {
        message.sender = p->session[who];
        message.packet_id = qos == 2 ? ++p->packet_id[who] : 0;
        if (qos == 2
            && (!gw_broker_inbound_may(p->rig.b, message.sender)
                || gw_broker_inbound_has(p->rig.b, message.sender, message.packet_id))) {
            return;
        }
    }
    if (rig_publish(&p->rig, &message) == GW_WAIT) {
        (void)rig_tick(&p->rig, 0);
    }
}

static void answer(struct play *p, uint32_t who)
{
    struct gw_delivery d;
    if (!p->is_on[who] || !rig_take(&p->rig, p->session[who], &d) || flip(p, 3)) {
        return;
    }
    enum mqtt_type type = d.kind == GW_SEND_PUBREL ? MQTT_PUBCOMP
                          : d.qos == 2             ? MQTT_PUBREC
                                                   : MQTT_PUBACK;
    if (d.n != 0) {
        (void)rig_ack(&p->rig, p->session[who], type, d.packet_id, flip(p, 8) ? 0x97 : 0);
    }
}

static void release(struct play *p, uint32_t who)
{
    struct session_record record;
    bool must_stage;
    for (uint16_t id = 1; p->is_on[who] && id <= p->packet_id[who]; id++) {
        if (gw_broker_release(p->rig.b, p->session[who], id, &record, &must_stage)
            == MQTT_SUCCESS) {
            if (must_stage) {
                rig_commit(&p->rig, &record);
            }
            return;
        }
    }
}

/* Sessions may have ended meanwhile. */
static void look(struct play *p)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        p->is_on[i] = p->is_on[i] && gw_broker_has(p->rig.b, p->session[i])
                      && gw_broker_connection(p->rig.b, p->session[i]) != GW_NOWHERE;
    }
}

static void step(struct play *p, uint32_t keeps)
{
    uint32_t who = (uint32_t)rng_below(&p->rng, CLIENTS);
    look(p);
    switch (rng_below(&p->rng, 16)) {
    case 0:
    case 1: connect(p, who); break;
    case 2:
        if (p->is_on[who]) {
            rig_disconnect(&p->rig, p->session[who], flip(p, 2));
        }
        break;
    case 3:
    case 4:
    case 5:
        if (p->is_on[who]) {
            (void)rig_subscribe_with(
                &p->rig, p->session[who],
                &(struct mqtt_subscription){
                    .filter = slice_text(filters[rng_below(&p->rng, COUNT_OF(filters))]),
                    .qos = (uint8_t)rng_below(&p->rng, 3),
                    .retain_as_published = flip(p, 2),
                    .retain_handling = (uint8_t)rng_below(&p->rng, 3)},
                (uint32_t)rng_below(&p->rng, 3));
        }
        break;
    case 6:
        if (p->is_on[who]) {
            (void)rig_unsubscribe(&p->rig, p->session[who],
                                  filters[rng_below(&p->rng, COUNT_OF(filters))]);
        }
        break;
    case 7: (void)rig_tick(&p->rig, rng_below(&p->rng, 4000)); break;
    case 8: rig_sync(&p->rig); break;
    case 9: release(p, who); break;
    case 10:
        for (uint32_t i = 0; i < rng_below(&p->rng, keeps + 1); i++) {
            (void)rig_keep_oldest(&p->rig);
        }
        break;
    case 11:
    case 12:
    case 13: answer(p, who); break;
    default: publish(p, who); break;
    }
}

static void learn(struct play *p, struct truth *truth)
{
    struct truth *now = &truth[p->rig.count];
    gw_broker_digest(p->rig.b, p->rig.clock_ms, &now->digest);
    now->floor = gw_broker_floor(p->rig.b, rig_head(&p->rig));
    now->is_known = true;
}

/* A history of one seed; false where a replay of it is not what was. */
static bool history(uint64_t seed, uint32_t keeps, bool cuts_in_between)
{
    static struct truth truth[RIG_RECORDS_MAX + 1];
    struct gw_broker_limits limits = rig_limits();
    struct play p = {.rng = rng_from_seed(seed)};
    limits.keep_after_bytes = 0;
    memset(truth, 0, sizeof truth);
    if (!rig_begin(&p.rig, &limits, seed)) {
        return false;
    }
    uint64_t clocks[STEPS + 1];
    uint32_t counts[STEPS + 1];
    for (uint32_t i = 0; i < STEPS; i++) {
        step(&p, keeps);
        gw_broker_check(p.rig.b);
        learn(&p, truth);
        clocks[i] = p.rig.clock_ms;
        counts[i] = p.rig.count;
        if (cuts_in_between && flip(&p, 40)) { /* the live side begins again, too */
            if (!rig_restart(&p.rig, p.rig.count)) {
                return false;
            }
            memset(p.is_on, 0, sizeof p.is_on);
            gw_broker_check(p.rig.b);
        }
    }
    bool is_well = true;
    for (uint32_t i = 0; i < STEPS && is_well; i += 1 + i / 16) {
        struct rig again;
        uint64_t floor = truth[counts[i]].floor;
        if (i + 1 < STEPS && counts[i + 1] == counts[i]) {
            continue; /* only the newest digest of a count is known */
        }
        for (unsigned from = 0; from < 2 && is_well; from++) {
            if (!rig_begin(&again, &limits, seed + 1)) {
                return false;
            }
            again.b = gw_broker_init(&limits, again.memory, gw_broker_size(&limits), seed + 1);
            enum gw_fold result = rig_replay(&p.rig, from == 0 ? 0 : floor, counts[i], &again);
            struct digest got;
            gw_broker_digest(again.b, clocks[i], &got);
            gw_broker_check(again.b);
            is_well =
                result == GW_FOLDED && memcmp(&got, &truth[counts[i]].digest, sizeof got) == 0;
            if (!is_well) {
                test_failed(__FILE__, __LINE__, "seed %llu, step %u, %u records, from %s: fold %d",
                            (unsigned long long)seed, i, counts[i],
                            from == 0 ? "the beginning" : "the floor", (int)result);
            }
            rig_end(&again);
        }
    }
    rig_end(&p.rig);
    return is_well;
}

TEST("a replay of any prefix is the state as it was")
{
    for (uint64_t seed = 1; seed <= 150 && history(seed, 0, false); seed++) {
    }
}

TEST("so it is from the floor on, while everything is kept again and again")
{
    for (uint64_t seed = 1001; seed <= 1150 && history(seed, 6, false); seed++) {
    }
}

TEST("and across processes, each of which began with a replay")
{
    for (uint64_t seed = 2001; seed <= 2150 && history(seed, 6, true); seed++) {
    }
}
