/*
 * Field traces of a role: its recorder, and what happens when something that must hold does not.
 * The role records each event before it steps a core with it; where an invariant breaks, what the
 * ring holds goes to a file in the role's own folder, which holdfast-sim --replay steps through the
 * same cores again. docs/verification.md, "Field traces".
 *
 *     trace_at(&role->trace, CORE, instance, &the_core);
 *     x_trace_event(&role->trace.recorder, &mark, instance, &the_core, &ev);
 *     x_step(&the_core, &ev, &effects);
 *
 * A breach that ends the process is written at once, without heap. One that only counts is written
 * when the step is over: with the next event, or trace_settle.
 *
 * At most TRACES_KEPT_MAX files are kept, and two of one kind, so that a role that ends again and
 * again neither fills the disk nor loses the trace of what came first; who has read a trace deletes
 * it.
 */
#ifndef ROLE_TRACE_H
#define ROLE_TRACE_H

#include "base/invariant.h"
#include "codec/trace.h"
#include "io/port.h"

enum {
    TRACE_RING_BYTES = 512 * 1024,       /* of a server role */
    TRACE_DEVICE_RING_BYTES = 64 * 1024, /* of an agent, or of all devices of one process */
    TRACES_KEPT_MAX = 8,
    TRACES_OF_ONE_MAX = 2,
    TRACE_NAMES_TRIED = 64, /* milliseconds later, where a file has the name */
    TRACE_NAME_MAX = 128,
    TRACE_DIR_MAX = 1024,
    TRACE_ROLE_MAX = 32,
    TRACE_CHUNK = TRACE_ENTRY_MAX + 2 * TRACE_CONTEXT_MAX
};
#define TRACE_SUFFIX ".trace"

struct trace {
    struct recorder recorder;
    struct trace *next; /* of this process's */
    struct port *port;
    const struct trace_core *cores;
    uint32_t cores_count;
    uint64_t cipher;
    uint32_t kept;            /* files in the folder, as far as we know */
    uint64_t written, failed; /* of ours; and breaches that left none */

    /* the core that is being stepped */
    bool is_at;
    uint16_t core;
    uint32_t instance;
    const void *state;
    const bool *verdict; /* what the step found out, for its event: both NULL where nothing */
    bool *verdict_place;

    struct trace_note note; /* a breach that waits for its step to end */
    uint64_t written_at;    /* the event that the newest trace ends with */

    /* of the file that is being written */
    struct trace_note told;
    enum { TRACE_HEAD, TRACE_ENTRIES, TRACE_END, TRACE_DONE } part;
    uint64_t position;

    char role[TRACE_ROLE_MAX];
    char dir[TRACE_DIR_MAX];
    char names[TRACES_KEPT_MAX][TRACE_NAME_MAX];
    size_t context_len;
    uint8_t context[TRACE_CONTEXT_MAX];
    _Alignas(16) uint8_t image[TRACE_IMAGE_MAX];
    uint8_t behind[RECORDER_RECORD_MAX];
    uint8_t chunk[TRACE_CHUNK];
    uint8_t *memory;
};

/*
 * A recorder of `ring_bytes`, and the listener of this process's breaches. `port` NULL: no clock,
 * and what the folder holds is not known. `dir` need not be there; its parent must. NULL where
 * `dir` is NULL or there is no memory: then nothing is traced, and every function here takes NULL.
 */
struct trace *trace_start(struct port *port,
                          const char *role,
                          const char *dir,
                          const struct trace_core *cores,
                          uint32_t cores_count,
                          uint32_t ring_bytes);
void trace_stop(struct trace *t);

/* What the cores of this role were configured with, for the head of each file; cut off at none: too
 * long a context is left out. */
void trace_set_context(struct trace *t, struct slice context);

/* Writes the trace of a breach that waits. */
void trace_settle(struct trace *t);

/* Whose step it is: where several roles live in one process, breaches are told to this one. */
extern struct trace *trace_current;
void trace_focus(struct trace *t);

/* Before an event is recorded: which core of the role, which of its instances. */
static inline void trace_at(struct trace *t, uint16_t core, uint32_t instance, const void *state)
{
    if (t->note.is_due || trace_current != t) {
        trace_focus(t);
    }
    t->is_at = true;
    t->core = core;
    t->instance = instance;
    t->state = state;
}

/*
 * trace_at, and the event with the state before it, both by the tables: for cores whose event is an
 * image and bytes, and that are stepped seldom enough that saving a state does not count. A core
 * without state has neither `mark` nor `state`.
 */
void trace_event(struct trace *t,
                 uint16_t core,
                 uint32_t instance,
                 uint32_t *mark,
                 const void *state,
                 const void *event,
                 struct slice bytes);

/* What breaks from here on breaks outside of the cores. */
static inline void trace_left(struct trace *t)
{
    if (t == NULL) {
        return;
    }
    if (t->note.is_due) {
        trace_settle(t);
    }
    t->is_at = false;
}

/* Files in the folder, as far as is known. */
uint32_t trace_kept(const struct trace *t);

/*
 * Writes what every recorder of this process holds, as if `text` had broken there: for a simulation
 * whose checker found something. How many were written.
 */
uint32_t trace_claim_all(const char *file, int line, const char *text);

/* holdfast_traces and holdfast_traces_failed_total, beside the invariants. */
void trace_metrics(const struct trace *t, struct writer *w);

#endif
