/*
 * What recording costs the gateway: its session core alone, stepped through PUBLISH and GW_STAGED
 * with a GW_STORED for each window, with and without a recorder, in turn. Prints nanoseconds of
 * processor time a message, medians of all rounds.
 *
 * use: bench_trace [SESSIONS [WINDOW [ROUNDS]]]
 */
#define _POSIX_C_SOURCE 200809L
#include "core/gateway/session_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RING = 512 * 1024, MESSAGES = 400000, ROUNDS_MAX = 101 };

struct bench {
    struct gw_limits limits;
    struct gw_session *sessions;
    struct gw_pending *pendings;
    uint32_t *marks;
    uint32_t count, window;
    struct recorder recorder;
    uint64_t position;
};

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void step(struct bench *b, uint32_t i, const struct gw_event *ev, bool is_traced)
{
    struct gw_effects fx;
    if (is_traced) {
        gw_trace_event(&b->recorder, &b->marks[i], i, &b->sessions[i], ev, b->position);
    }
    gw_session_step(&b->sessions[i], ev, &fx);
}

static void begin(struct bench *b)
{
    struct mqtt_packet packet = {.type = MQTT_CONNECT};
    struct gw_event saw = {.kind = GW_SAW_PACKET, .packet = &packet};
    struct gw_event admitted = {.kind = GW_ADMITTED};
    packet.connect = (struct mqtt_connect){
        .version = MQTT_5_0, .clean_start = true, .client_id = slice_text("bench")};
    for (uint32_t i = 0; i < b->count; i++) {
        struct device_id device = {{(uint8_t)i, (uint8_t)(i >> 8)}};
        const struct gw_place place = {.limits = &b->limits,
                                       .inflight = b->pendings + (size_t)i * b->window};
        gw_session_init(&b->sessions[i], &place, &device, i, 0);
        step(b, i, &saw, false);
        step(b, i, &admitted, false);
    }
}

static double round_ns(struct bench *b, bool is_traced)
{
    uint8_t topic[GW_TOPIC_PREFIX_LEN + 8];
    struct mqtt_packet packet = {.type = MQTT_PUBLISH};
    uint64_t messages = 0;
    double began = now_ns();
    while (messages < MESSAGES) {
        for (uint32_t i = 0; i < b->count; i++) {
            struct writer w = writer_over(topic, sizeof topic);
            write_bytes(&w, b->sessions[i].prefix, sizeof b->sessions[i].prefix);
            write_text(&w, "t/bench");
            for (uint32_t k = 0; k < b->window; k++) {
                packet.publish = (struct mqtt_publish){
                    .qos = 1, .packet_id = (uint16_t)(k + 1), .topic = writer_slice(&w)};
                step(b, i,
                     &(struct gw_event){.kind = GW_SAW_PACKET, .now_ms = 1, .packet = &packet},
                     is_traced);
                b->position += 200;
                step(b, i,
                     &(struct gw_event){.kind = GW_STAGED, .staged = {.position = b->position}},
                     is_traced);
            }
            messages += b->window;
        }
        for (uint32_t i = 0; i < b->count; i++) {
            step(b, i, &(struct gw_event){.kind = GW_STORED, .now_ms = 1, .position = b->position},
                 is_traced);
        }
    }
    return (now_ns() - began) / (double)messages;
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
    static double with[ROUNDS_MAX], without[ROUNDS_MAX];
    b.count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100;
    b.window = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 20;
    size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 31;
    rounds = rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
    b.limits = (struct gw_limits){
        .packet_max = 131072, .inflight_max = b.window, .keep_alive_max_s = 1200, .connect_ms = 1};
    b.sessions = calloc(b.count, sizeof *b.sessions);
    b.pendings = calloc((size_t)b.count * b.window, sizeof *b.pendings);
    b.marks = calloc(b.count, sizeof *b.marks);
    void *ring = aligned_alloc(16, RING);
    if (b.count == 0 || b.window == 0 || b.sessions == NULL || b.pendings == NULL || b.marks == NULL
        || ring == NULL) {
        return 2;
    }
    recorder_init(&b.recorder, ring, RING);
    begin(&b);
    for (size_t i = 0; i < rounds; i++) {
        with[i] = round_ns(&b, true);
        without[i] = round_ns(&b, false);
    }
    qsort(with, rounds, sizeof *with, by_value);
    qsort(without, rounds, sizeof *without, by_value);
    (void)printf("session steps of a message %.1f ns, recorded %.1f ns: recording costs %.1f ns\n",
                 without[rounds / 2], with[rounds / 2], with[rounds / 2] - without[rounds / 2]);
    free(b.sessions);
    free(b.pendings);
    free(b.marks);
    free(ring);
    return 0;
}
