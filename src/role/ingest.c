#include "role/ingest.h"

#include "role/ingest_inside.h"

#include <stdio.h>
#include <stdlib.h>

void ingest_fail(struct ingest *in, const char *what, const char *why)
{
    if (!in->is_over) {
        (void)fprintf(stderr, "ingest: %s: %s\n", what, why);
    }
    in->is_over = true;
    in->exit_code = 1;
}

/* Reads a turn's worth; what is left, or the rest of the batch's time, has its wake. */
static void pump(struct ingest *in)
{
    struct ingest_source *source = NULL;
    struct slice record;
    bus_position next;
    uint32_t taken = 0;
    while (taken < INGEST_TURN_RECORDS && !in->is_over
           && (source = ingest_next(in, &record, &next)) != NULL) {
        ingest_take(in, source, record, next);
        taken++;
    }
    uint64_t now = port_now_ms(in->port);
    uint64_t due = in->batch_began_ms + in->config.batch_ms;
    if (in->in_batch && now >= due) {
        ingest_commit(in);
    }
    if (taken == INGEST_TURN_RECORDS) {
        port_wake_at(in->batch_wake, now);
    } else {
        port_wake_at(in->batch_wake, in->in_batch ? due : UINT64_MAX);
    }
}

static void woke(struct ingest *in, const void *which)
{
    uint64_t now = port_now_ms(in->port);
    if (which == &in->rescan_wake) {
        ingest_rescan(in);
        port_wake_at(in->rescan_wake, now + INGEST_RESCAN_MS);
    } else if (which == &in->report_wake) {
        ingest_report(in);
        port_wake_at(in->report_wake, now + INGEST_REPORT_MS);
    } else if (which == &in->retain_wake) {
        ingest_retain(in);
        port_wake_at(in->retain_wake, now + INGEST_RETAIN_MS);
    }
}

struct ingest_process {
    struct port *port;
    struct ingest *in; /* NULL until it is up */
};

static void handle(void *role, const struct port_event *ev)
{
    struct ingest *in = ((struct ingest_process *)role)->in;
    if (in == NULL) {
        return;
    }
    switch (ev->kind) {
    case PORT_WOKE: woke(in, ev->user); break;
    case PORT_TERMINATE:
        ingest_commit(in);
        in->is_over = true;
        break;
    case PORT_CHANGED: break;
    case PORT_TURN_ENDED: pump(in); break;
    case PORT_ACCEPTED:
    case PORT_REFUSED:
    case PORT_CONNECTED:
    case PORT_RECEIVED:
    case PORT_DRAINED:
    case PORT_CLOSED:
    case PORT_SYNCED:
    case PORT_EXITED: break;
    }
    if (in->is_over) {
        port_stop(in->port);
    }
}

static void begin_to_listen(struct ingest *in)
{
    uint64_t now = port_now_ms(in->port);
    in->batch_wake = port_wake_new(in->port, &in->batch_wake);
    in->rescan_wake = port_wake_new(in->port, &in->rescan_wake);
    in->report_wake = port_wake_new(in->port, &in->report_wake);
    in->retain_wake = port_wake_new(in->port, &in->retain_wake);
    port_wake_at(in->batch_wake, now);
    port_wake_at(in->rescan_wake, now + INGEST_RESCAN_MS);
    port_wake_at(in->report_wake, now);
    port_wake_at(in->retain_wake, now + INGEST_RETAIN_MS);
}

int ingest_begin(const struct ingest_config *config, struct ingest_process **out)
{
    struct port_why why = {{0}};
    struct ingest_process *process = calloc(1, sizeof *process);
    if (process != NULL) {
        process->port = port_open(handle, process);
    }
    if (process == NULL || process->port == NULL) {
        (void)fprintf(stderr, "ingest: the machine gives no event loop\n");
        free(process);
        return 1;
    }
    struct ingest *in = ingest_open(process->port, config, &why);
    if (in == NULL) {
        (void)fprintf(stderr, "ingest: %s\n", why.text);
        port_close_all(process->port);
        free(process);
        return 1;
    }
    process->in = in;
    begin_to_listen(in);
    if (in->is_over) {
        return ingest_end(process);
    }
    *out = process;
    return 0;
}

int ingest_end(struct ingest_process *process)
{
    struct ingest *in = process->in;
    ingest_report(in);
    int code = in->exit_code;
    process->in = NULL;
    ingest_close(in);
    port_close_all(process->port);
    free(process);
    return code;
}

/* It reads the gateways' spools and leaves in each how far it is, writes the store and its report;
 * it has no network. */
static bool give_up_rights(struct ingest *in)
{
    const char *data = in->config.data_dir;
    struct confine_paths reads = {0};
    struct confine_paths writes = {0};
    confine_path(&reads, data, "pki");
    confine_path(&reads, data, "keys/ingest");
    confine_path(&writes, data, "gateway");
    confine_path(&writes, data, "store");
    confine_path(&writes, data, "run");
    return confine(in->port, "ingest", in->config.sandbox,
                   &(struct port_rights){.reads = reads.list, .writes = writes.list});
}

int ingest_run(const struct ingest_config *config)
{
    struct ingest_process *process = NULL;
    int code = ingest_begin(config, &process);
    if (process != NULL) {
        if (give_up_rights(process->in)) {
            port_run(process->port);
        } else {
            process->in->exit_code = 1;
        }
        code = ingest_end(process);
    }
    return code;
}
