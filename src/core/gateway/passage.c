#include "core/gateway/passage.h"

#include "base/invariant.h"

#include <string.h>

static const bool allowed[PASSAGE_STATE_COUNT][PASSAGE_STATE_COUNT] = {
    [PASSAGE_READING] = {[PASSAGE_CALLING] = true, [PASSAGE_CLOSED] = true},
    [PASSAGE_CALLING] = {[PASSAGE_FLOWING] = true, [PASSAGE_CLOSED] = true},
    [PASSAGE_FLOWING] = {[PASSAGE_CLOSED] = true},
};

static void enter(struct passage *p, enum passage_state next, uint64_t now_ms)
{
    INVARIANT(allowed[p->state][next]);
    p->state = next;
    p->stage_ms = now_ms;
}

void passage_init(struct passage *p, const struct passage_limits *limits, uint64_t now_ms)
{
    *p = (struct passage){
        .limits = limits, .began_ms = now_ms, .stage_ms = now_ms, .heard_ms = now_ms};
}

const char *passage_end_name(enum passage_end end)
{
    static const char *const names[PASSAGE_END_COUNT] = {
        [PASSAGE_END_DONE] = "done",         [PASSAGE_END_STRANGER] = "stranger",
        [PASSAGE_END_TOO_SLOW] = "too-slow", [PASSAGE_END_UNREACHED] = "unreached",
        [PASSAGE_END_IDLE] = "idle",         [PASSAGE_END_TOO_LONG] = "too-long",
        [PASSAGE_END_TOO_MUCH] = "too-much", [PASSAGE_END_STOPPING] = "stopping",
    };
    return names[end];
}

static void close_it(struct passage *p,
                     struct passage_effect *out,
                     enum passage_end end,
                     const char *why,
                     uint64_t now_ms)
{
    *out = (struct passage_effect){.order = PASSAGE_CLOSE, .end = end, .why = why};
    enter(p, PASSAGE_CLOSED, now_ms);
}

static uint8_t lower(uint8_t letter)
{
    return letter >= 'A' && letter <= 'Z' ? (uint8_t)(letter + 32) : letter;
}

/* DNS names know no case (RFC 4343). */
static bool is_named(const struct passage_limits *limits, struct slice name)
{
    for (uint32_t i = 0; i < limits->names_count; i++) {
        const char *known = limits->names[i];
        size_t at = 0;
        while (at < name.len && known[at] != '\0' && lower(name.at[at]) == (uint8_t)known[at]) {
            at++;
        }
        if (name.len > 0 && at == name.len && known[at] == '\0') {
            return true;
        }
    }
    return false;
}

static void take_bytes(struct passage *p,
                       const struct passage_event *ev,
                       struct passage_effect *out)
{
    uint8_t scratch[CLIENT_HELLO_MAX];
    struct client_hello hello;
    struct fault fault = {0};
    switch (client_hello_read(ev->bytes, scratch, &hello, &fault)) {
    case CLIENT_HELLO_MORE: return;
    case CLIENT_HELLO_MALFORMED:
        close_it(p, out, PASSAGE_END_STRANGER, fault.clause, ev->now_ms);
        return;
    case CLIENT_HELLO_OK: break;
    }
    if (!hello.offers_tls_1_3) {
        close_it(p, out, PASSAGE_END_STRANGER, "a client without TLS 1.3", ev->now_ms);
        return;
    }
    if (!is_named(p->limits, hello.server_name)) {
        close_it(p, out, PASSAGE_END_STRANGER, "a server name that is not passed through",
                 ev->now_ms);
        return;
    }
    enter(p, PASSAGE_CALLING, ev->now_ms);
    out->order = PASSAGE_CALL;
}

static void take_passed(struct passage *p,
                        const struct passage_event *ev,
                        struct passage_effect *out)
{
    uint64_t *sum = ev->is_up ? &p->up : &p->down;
    INVARIANT(ev->count <= passage_room(p, ev->is_up));
    *sum += ev->count;
    p->heard_ms = ev->now_ms;
    if (passage_room(p, ev->is_up) == 0) {
        close_it(p, out, PASSAGE_END_TOO_MUCH, "more bytes than one connection may pass",
                 ev->now_ms);
        return;
    }
    out->order = PASSAGE_PASS;
}

uint64_t passage_room(const struct passage *p, bool is_up)
{
    return p->limits->bytes_max - (is_up ? p->up : p->down);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t passage_due_ms(const struct passage *p)
{
    uint64_t life = p->began_ms + p->limits->life_ms;
    switch (p->state) {
    case PASSAGE_READING: return sooner(life, p->stage_ms + p->limits->hello_ms);
    case PASSAGE_CALLING: return sooner(life, p->stage_ms + p->limits->call_ms);
    case PASSAGE_FLOWING: return sooner(life, p->heard_ms + p->limits->idle_ms);
    case PASSAGE_CLOSED: return UINT64_MAX;
    }
    UNREACHABLE();
}

static void take_tick(struct passage *p, uint64_t now_ms, struct passage_effect *out)
{
    if (now_ms < passage_due_ms(p)) {
        return;
    }
    if (now_ms >= p->began_ms + p->limits->life_ms) {
        close_it(p, out, PASSAGE_END_TOO_LONG, "a connection beyond its longest life", now_ms);
    } else if (p->state == PASSAGE_READING) {
        close_it(p, out, PASSAGE_END_TOO_SLOW, "no whole ClientHello in time", now_ms);
    } else if (p->state == PASSAGE_CALLING) {
        close_it(p, out, PASSAGE_END_UNREACHED, "the service did not answer in time", now_ms);
    } else {
        close_it(p, out, PASSAGE_END_IDLE, "silent in both directions", now_ms);
    }
}

static void step_reading(struct passage *p,
                         const struct passage_event *ev,
                         struct passage_effect *out)
{
    switch (ev->kind) {
    case PASSAGE_SAW: take_bytes(p, ev, out); return;
    case PASSAGE_LOST: close_it(p, out, PASSAGE_END_DONE, NULL, ev->now_ms); return;
    case PASSAGE_STOP: close_it(p, out, PASSAGE_END_STOPPING, NULL, ev->now_ms); return;
    case PASSAGE_TICK: take_tick(p, ev->now_ms, out); return;
    case PASSAGE_ANSWERED:
    case PASSAGE_PASSED: (void)HOLDS(p->state != PASSAGE_READING); return; /* nobody was called */
    }
    UNREACHABLE();
}

static void step_calling(struct passage *p,
                         const struct passage_event *ev,
                         struct passage_effect *out)
{
    switch (ev->kind) {
    case PASSAGE_ANSWERED:
        enter(p, PASSAGE_FLOWING, ev->now_ms);
        p->heard_ms = ev->now_ms;
        out->order = PASSAGE_PASS;
        return;
    case PASSAGE_LOST:
        close_it(p, out, PASSAGE_END_UNREACHED, "the service cannot be reached", ev->now_ms);
        return;
    case PASSAGE_STOP: close_it(p, out, PASSAGE_END_STOPPING, NULL, ev->now_ms); return;
    case PASSAGE_TICK: take_tick(p, ev->now_ms, out); return;
    case PASSAGE_SAW: return; /* waits where it is */
    case PASSAGE_PASSED: (void)HOLDS(p->state != PASSAGE_CALLING); return;
    }
    UNREACHABLE();
}

static void step_flowing(struct passage *p,
                         const struct passage_event *ev,
                         struct passage_effect *out)
{
    switch (ev->kind) {
    case PASSAGE_SAW: out->order = PASSAGE_PASS; return;
    case PASSAGE_PASSED: take_passed(p, ev, out); return;
    case PASSAGE_LOST: close_it(p, out, PASSAGE_END_DONE, NULL, ev->now_ms); return;
    case PASSAGE_STOP: close_it(p, out, PASSAGE_END_STOPPING, NULL, ev->now_ms); return;
    case PASSAGE_TICK: take_tick(p, ev->now_ms, out); return;
    case PASSAGE_ANSWERED: (void)HOLDS(p->state != PASSAGE_FLOWING); return;
    }
    UNREACHABLE();
}

void passage_step(struct passage *p, const struct passage_event *ev, struct passage_effect *out)
{
    *out = (struct passage_effect){.order = PASSAGE_WAIT};
    switch (p->state) {
    case PASSAGE_READING: step_reading(p, ev, out); break;
    case PASSAGE_CALLING: step_calling(p, ev, out); break;
    case PASSAGE_FLOWING: step_flowing(p, ev, out); break;
    case PASSAGE_CLOSED: break;
    }
    passage_check(p);
}

void passage_check(const struct passage *p)
{
    INVARIANT(promise_holds(PROMISE_BOUNDED_COST,
                            p->up <= p->limits->bytes_max && p->down <= p->limits->bytes_max));
    INVARIANT(p->state >= PASSAGE_FLOWING || (p->up == 0 && p->down == 0));
}
