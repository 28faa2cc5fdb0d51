#include "sim/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *run_phase_name(enum run_phase phase)
{
    switch (phase) {
    case RUN_BUILDING: return "building";
    case RUN_STANDING: return "standing up";
    case RUN_SAFETY: return "safety";
    case RUN_LIVENESS: return "liveness";
    case RUN_CALM: return "calm";
    case RUN_CHECKING: return "checking";
    case RUN_OVER: return "over";
    }
    UNREACHABLE();
}

const char *run_outcome_name(enum run_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_NONE: return "not ended";
    case OUTCOME_WELL: return "well";
    case OUTCOME_FOUND: return "FOUND";
    case OUTCOME_CRASHED: return "CRASHED";
    case OUTCOME_NO_END: return "NO END";
    }
    UNREACHABLE();
}

const char *step_kind_name(enum step_kind kind)
{
    switch (kind) {
    case STEP_SESSION: return "gateway session";
    case STEP_ADMIT: return "ingest admit";
    case STEP_LINK: return "device link";
    case STEP_ENROLL: return "device enroll";
    case STEP_OUTBOX: return "device outbox";
    case STEP_SEQUENCE: return "device sequence";
    case STEP_GENERATION: return "device generation";
    case STEP_REGISTRY: return "gateway registry";
    case STEP_RECEIVED: return "ingest received";
    case STEP_ENROLMENT: return "control enrolment";
    case STEP_SIGNING: return "keeper signing";
    case STEP_RESTART: return "restart";
    }
    UNREACHABLE();
}

static void put(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct writer *w, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    write_text(w, text);
}

uint64_t report_steps(const struct report *r)
{
    uint64_t steps = 0;
    for (int i = 0; i < STEP_KIND_COUNT; i++) {
        steps += r->steps[i];
    }
    return steps;
}

uint64_t report_cpu_us(const struct report *r)
{
    uint64_t us = 0;
    for (int i = RUN_STANDING; i < RUN_CHECKING; i++) {
        us += r->cpu_us[i];
    }
    return us;
}

static uint64_t per_second(uint64_t count, uint64_t us)
{
    return us > 0 ? count * 1000000 / us : 0;
}

/* Simulated device-hours for each second of one core. */
static uint64_t device_hours_per_s(const struct report *r)
{
    uint64_t cpu_us = report_cpu_us(r);
    return cpu_us > 0 ? (uint64_t)((double)r->device_ms / 3.6e6 * 1e6 / (double)cpu_us) : 0;
}

static const char *cover_name(enum cover cover)
{
    switch (cover) {
    case COVER_HOLDS: return "must hold";
    case COVER_OTHERS: return "must hold of all others";
    case COVER_DETECTED: return "loss must be detected";
    case COVER_TOLD: return "loss must be shown, or damage told";
    case COVER_NOTHING: return "not asked: beyond what is promised";
    }
    UNREACHABLE();
}

/* ---- for people ---- */

static void write_phases(const struct report *r, struct writer *w)
{
    put(w, "  time      of the processor, ms:");
    for (int i = 0; i < RUN_OVER; i++) {
        put(w, "%s %s %llu", i > 0 ? "," : "", run_phase_name((enum run_phase)i),
            (unsigned long long)r->cpu_us[i] / 1000);
    }
    put(w, "\n");
}

static void write_steps(const struct report *r, struct writer *w)
{
    const char *between = "";
    put(w, "  steps     of cores:");
    for (int i = 0; i < STEP_KIND_COUNT; i++) {
        if (r->steps[i] > 0) {
            put(w, "%s %s %llu", between, step_kind_name((enum step_kind)i),
                (unsigned long long)r->steps[i]);
            between = ",";
        }
    }
    put(w, "\n");
}

static void write_faults(const struct report *r, struct writer *w)
{
    bool any = false;
    put(w, "  faults    %llu planned:", (unsigned long long)r->planned);
    for (int i = 0; i < FAULT_KIND_COUNT; i++) {
        if (r->faults[i] + r->pointless[i] > 0) {
            put(w, "%s %s %llu", any ? "," : "", fault_row((enum fault_kind)i)->name,
                (unsigned long long)r->faults[i]);
            any = true;
            if (r->pointless[i] > 0) {
                put(w, " (+%llu that met nothing)", (unsigned long long)r->pointless[i]);
            }
        }
    }
    put(w, "%s\n", any ? "" : " none");
}

static void write_checkers(const struct report *r, struct writer *w)
{
    for (int i = 0; i < CHECKER_COUNT; i++) {
        put(w, "  %-9s %s: %llu facts held against it, %llu wrong%s\n",
            checker_name((enum checker)i), cover_name(r->covers[i]),
            (unsigned long long)r->findings.looked[i], (unsigned long long)r->findings.count[i],
            r->findings.looked[i] == 0 && r->covers[i] != COVER_NOTHING ? " (NOT LOOKED AT)" : "");
    }
    put(w, "  invariants");
    for (int i = 0; i < PROMISE_COUNT; i++) {
        if (r->evaluations[i] > 0 || r->violations[i] > 0) {
            put(w, " %s %llu/%llu", promise_name((enum promise)i),
                (unsigned long long)r->violations[i], (unsigned long long)r->evaluations[i]);
        }
    }
    put(w, " (violations/evaluations), %llu breaches\n", (unsigned long long)r->breaches);
    if (r->breach[0] != '\0') {
        put(w, "  BROKEN    %s\n", r->breach);
    }
}

void report_write_text(const struct report *r, struct writer *w)
{
    put(w, "%s: %s", r->name, run_outcome_name(r->outcome));
    if (r->outcome == OUTCOME_CRASHED || r->outcome == OUTCOME_NO_END) {
        put(w, " (signal %d) while %s", r->signal, run_phase_name(r->phase));
    }
    put(w, "\n");
    for (uint32_t i = 0; i < r->findings.kept; i++) {
        put(w, "  >> %s\n", r->findings.text[i]);
    }
    put(w,
        "  world     seed %llu, %llu devices, %llu gateways; %llu.%03llu s of virtual time in "
        "%llu ms; hash %016llx\n",
        (unsigned long long)r->settings[PLAN_SEED], (unsigned long long)r->settings[PLAN_DEVICES],
        (unsigned long long)r->settings[PLAN_GATEWAYS], (unsigned long long)r->virtual_ms / 1000,
        (unsigned long long)r->virtual_ms % 1000, (unsigned long long)r->wall_us / 1000,
        (unsigned long long)r->hash);
    put(w,
        "  speed     %llu events, %llu turns, %llu core steps (%llu/s), %llu device-hours a "
        "second of one core\n",
        (unsigned long long)r->events, (unsigned long long)r->turns,
        (unsigned long long)report_steps(r),
        (unsigned long long)per_second(report_steps(r), report_cpu_us(r)),
        (unsigned long long)device_hours_per_s(r));
    write_steps(r, w);
    write_phases(r, w);
    put(w,
        "  fleet     stood after %llu ms, drained %llu ms after healing, %llu restarts, %llu "
        "refusals to start\n",
        (unsigned long long)r->stood_ms, (unsigned long long)r->drained_ms,
        (unsigned long long)r->restarts, (unsigned long long)r->refusals);
    put(w,
        "  values    %llu sent, %llu messages acknowledged, %llu values applied, %llu declared "
        "drops\n",
        (unsigned long long)r->sent, (unsigned long long)r->acked, (unsigned long long)r->applied,
        (unsigned long long)r->dropped);
    write_faults(r, w);
    write_checkers(r, w);
}

/* ---- for programs ---- */

static void put_text(struct writer *w, const char *text)
{
    write_text(w, "\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            write_u8(w, '\\');
        }
        write_u8(w, (uint8_t)*text < 0x20 ? ' ' : (uint8_t)*text);
    }
    write_text(w, "\"");
}

static void put_number(struct writer *w, const char *name, uint64_t value)
{
    put(w, ",\"%s\":%llu", name, (unsigned long long)value);
}

void report_write_json(const struct report *r, struct writer *w)
{
    write_text(w, "{\"name\":");
    put_text(w, r->name);
    put(w, ",\"outcome\":\"%s\",\"phase\":\"%s\",\"signal\":%d,\"hash\":\"%016llx\"",
        run_outcome_name(r->outcome), run_phase_name(r->phase), r->signal,
        (unsigned long long)r->hash);
    for (int i = 0; i < PLAN_SETTING_COUNT; i++) {
        put_number(w, plan_setting_name((enum plan_setting)i), r->settings[i]);
    }
    put_number(w, "events", r->events);
    put_number(w, "turns", r->turns);
    put_number(w, "virtual_ms", r->virtual_ms);
    put_number(w, "device_ms", r->device_ms);
    put_number(w, "wall_us", r->wall_us);
    put_number(w, "cpu_us", report_cpu_us(r));
    put_number(w, "stood_ms", r->stood_ms);
    put_number(w, "drained_ms", r->drained_ms);
    put_number(w, "steps", report_steps(r));
    put_number(w, "steps_per_s", per_second(report_steps(r), report_cpu_us(r)));
    put_number(w, "device_hours_per_s", device_hours_per_s(r));
    put_number(w, "sent", r->sent);
    put_number(w, "acked", r->acked);
    put_number(w, "applied", r->applied);
    put_number(w, "dropped", r->dropped);
    put_number(w, "refusals", r->refusals);
    put_number(w, "breaches", r->breaches);
    write_text(w, ",\"steps_of\":{");
    for (int i = 0, put_count = 0; i < STEP_KIND_COUNT; i++) {
        if (r->steps[i] > 0) {
            put(w, "%s\"%s\":%llu", put_count++ > 0 ? "," : "", step_kind_name((enum step_kind)i),
                (unsigned long long)r->steps[i]);
        }
    }
    write_text(w, "},\"faults\":{");
    for (int i = 0, put_count = 0; i < FAULT_KIND_COUNT; i++) {
        if (r->faults[i] > 0) {
            put(w, "%s\"%s\":%llu", put_count++ > 0 ? "," : "", fault_row((enum fault_kind)i)->name,
                (unsigned long long)r->faults[i]);
        }
    }
    write_text(w, "},\"checkers\":{");
    for (int i = 0; i < CHECKER_COUNT; i++) {
        put(w, "%s\"%s\":{\"cover\":\"%s\",\"looked\":%llu,\"wrong\":%llu}", i > 0 ? "," : "",
            checker_name((enum checker)i), cover_name(r->covers[i]),
            (unsigned long long)r->findings.looked[i], (unsigned long long)r->findings.count[i]);
    }
    write_text(w, "},\"invariants\":{");
    for (int i = 0, put_count = 0; i < PROMISE_COUNT; i++) {
        if (r->evaluations[i] + r->violations[i] > 0) {
            put(w, "%s\"%s\":{\"evaluations\":%llu,\"violations\":%llu}",
                put_count++ > 0 ? "," : "", promise_name((enum promise)i),
                (unsigned long long)r->evaluations[i], (unsigned long long)r->violations[i]);
        }
    }
    write_text(w, "},\"findings\":[");
    for (uint32_t i = 0; i < r->findings.kept; i++) {
        write_text(w, i > 0 ? "," : "");
        put_text(w, r->findings.text[i]);
    }
    write_text(w, "],\"breach\":");
    put_text(w, r->breach);
    write_text(w, "}\n");
}
