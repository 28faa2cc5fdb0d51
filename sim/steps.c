/*
 * Steps of the cores that sim/watch.c does not look into: counted on their way through, and nothing
 * else. A call that only asks, or that finds nothing to do, is no step.
 */
#include "core/control/enrolment.h"
#include "core/control/restart.h"
#include "core/control/signing.h"
#include "core/device/generation.h"
#include "core/device/outbox.h"
#include "core/device/sequence.h"
#include "core/gateway/registry.h"
#include "core/ingest/received.h"
#include "sim/watch.h"

#define THROUGH(type, name, parameters)                                                            \
    PASSES_THROUGH(name);                                                                          \
    type __wrap_##name parameters

/* ---- device ---- */

THROUGH(
    bool,
    outbox_put,
    (struct outbox * o, uint64_t seq, uint64_t before, struct slice stream, struct slice payload))
{
    bool done = __real_outbox_put(o, seq, before, stream, payload);
    watch_count(STEP_OUTBOX, done);
    return done;
}

THROUGH(bool, outbox_again, (struct outbox * o, uint16_t packet_id))
{
    bool done = __real_outbox_again(o, packet_id);
    watch_count(STEP_OUTBOX, done);
    return done;
}

THROUGH(void, outbox_link_lost, (struct outbox * o))
{
    watch_count(STEP_OUTBOX, true);
    __real_outbox_link_lost(o);
}

THROUGH(bool, sequence_wants, (struct sequence * s, struct sequence_store *out))
{
    bool wants = __real_sequence_wants(s, out);
    watch_count(STEP_SEQUENCE, wants);
    return wants;
}

THROUGH(bool, sequence_take, (struct sequence * s, uint64_t *seq))
{
    bool taken = __real_sequence_take(s, seq);
    watch_count(STEP_SEQUENCE, taken);
    return taken;
}

THROUGH(void,
        sequence_start,
        (struct sequence * s, const struct sequence_record *last, struct sequence_store *out))
{
    watch_count(STEP_SEQUENCE, true);
    __real_sequence_start(s, last, out);
}

THROUGH(void, sequence_stored, (struct sequence * s))
{
    watch_count(STEP_SEQUENCE, true);
    __real_sequence_stored(s);
}

THROUGH(void, sequence_note_done, (struct sequence * s, uint64_t position))
{
    watch_count(STEP_SEQUENCE, true);
    __real_sequence_note_done(s, position);
}

THROUGH(bool, generation_dial, (struct generation * g, uint64_t now_ms, bool old_is_valid))
{
    watch_count(STEP_GENERATION, true);
    return __real_generation_dial(g, now_ms, old_is_valid);
}

THROUGH(bool, generation_live, (struct generation * g))
{
    watch_count(STEP_GENERATION, true);
    return __real_generation_live(g);
}

THROUGH(void, generation_failed, (struct generation * g, uint64_t now_ms))
{
    watch_count(STEP_GENERATION, true);
    __real_generation_failed(g, now_ms);
}

/* ---- gateway ---- */

THROUGH(enum gw_admission,
        gw_registry_enter,
        (struct gw_registry * r,
         const struct device_id *device,
         struct slice client_id,
         uint32_t connection,
         uint32_t most,
         uint32_t *displaced))
{
    watch_count(STEP_REGISTRY, true);
    return __real_gw_registry_enter(r, device, client_id, connection, most, displaced);
}

THROUGH(bool,
        gw_registry_leave,
        (struct gw_registry * r,
         const struct device_id *device,
         struct slice client_id,
         uint32_t connection))
{
    watch_count(STEP_REGISTRY, true);
    return __real_gw_registry_leave(r, device, client_id, connection);
}

/* ---- ingest ---- */

THROUGH(enum received_result,
        received_offer,
        (struct received * r,
         struct received_pool *pool,
         uint64_t seq,
         uint32_t now_s,
         struct received_losses *losses))
{
    watch_count(STEP_RECEIVED, true);
    return __real_received_offer(r, pool, seq, now_s, losses);
}

THROUGH(bool,
        received_restart,
        (struct received * r,
         struct received_pool *pool,
         uint64_t first,
         uint32_t now_s,
         struct received_losses *losses))
{
    watch_count(STEP_RECEIVED, true);
    return __real_received_restart(r, pool, first, now_s, losses);
}

/* ---- control and keeper ---- */

THROUGH(bool,
        enrol_identify,
        (const struct enrol_policy *policy,
         const struct enrol_request *request,
         struct device_id *device,
         enum enrol_refusal *refusal))
{
    watch_count(STEP_ENROLMENT, true);
    return __real_enrol_identify(policy, request, device, refusal);
}

THROUGH(void,
        enrol_decide,
        (const struct enrol_request *request,
         const struct enrol_facts *facts,
         struct enrol_decision *out))
{
    watch_count(STEP_ENROLMENT, true);
    __real_enrol_decide(request, facts, out);
}

THROUGH(bool,
        signing_allows,
        (const struct signing_policy *policy,
         enum keeper_purpose purpose,
         struct slice bytes,
         struct fault *fault))
{
    watch_count(STEP_SIGNING, true);
    return __real_signing_allows(policy, purpose, bytes, fault);
}

THROUGH(void, restart_exited, (struct restart * r, uint64_t now_ms, int status, bool is_stopping))
{
    watch_count(STEP_RESTART, true);
    __real_restart_exited(r, now_ms, status, is_stopping);
}

THROUGH(void, restart_started, (struct restart * r, uint64_t now_ms))
{
    watch_count(STEP_RESTART, true);
    __real_restart_started(r, now_ms);
}
