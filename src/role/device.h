/*
 * One device: its identity, its counters and its outbox in a folder of its own, its enrolment, its
 * session with a gateway, and what it measures. Any number of them live in one process, on one
 * port.
 *
 * The folder holds:
 *   lock          one process at a time
 *   sequence      boot and reserved numbers, two copies
 *   identity.pem  the operational key (LDevID) and its certificate, replaced together
 *   next.key      the key of an enrolment that is under way
 *   trust.cbor    the newest trust list
 *   outbox/       the journal, where the outbox is one
 * Keys are files of mode 0600 for now.
 */
#ifndef ROLE_DEVICE_H
#define ROLE_DEVICE_H

#include "base/id.h"
#include "io/port.h"

struct device;
struct trace;

enum device_outbox { DEVICE_MEMORY, DEVICE_JOURNAL };

struct device_config { /* everything is copied but the lists of strings, which must outlive the
                          device */
    const char *state_dir;
    const char *idevid_path, *idevid_key_path;
    const char *root_path;       /* PEM: anchor of servers and of the trust list */
    const char *devices_url;     /* "https://localhost:9443" */
    const char *const *gateways; /* "localhost:8883" */
    size_t gateways_count;
    const uint8_t *priorities; /* of each, the lowest number is the best; NULL: all are equal */
    uint32_t preferred;        /* number of the gateway to try first, of equal ones */
    const char *stream;
    const char *source; /* as source_open's spec */
    uint32_t period_ms; /* of a sensor source; 0: 1,000 */
    enum device_outbox outbox;
    uint64_t journal_budget;                /* bytes on disk; 0: 64 MiB */
    uint32_t window_messages, window_bytes; /* held in memory; 0: 256 and 256 KiB */
    const char *agent;                      /* what the hello says: "holdfast-agent 0.1.0" */
    struct trace *trace;     /* of this process, shared by its devices; NULL: nothing is traced */
    uint32_t trace_instance; /* of this device in it */
    const char *log_name;    /* begins each line on stderr; NULL: says nothing but troubles */
};

struct device_counts {
    bool is_enrolled, is_live;
    uint32_t boot;
    uint64_t next_seq;
    uint64_t queued, acked, refused, repeated, missed;
    bool source_ended;
    bool has_waiting; /* something kept is not acknowledged yet */
};

/* Raises and stores boot before it returns. PORT_BUSY: another process has the folder. */
enum port_result device_open(struct port *port,
                             const struct device_config *config,
                             struct device **out,
                             struct port_why *why);

/* Was the event this device's? PORT_TURN_ENDED is everybody's, and never taken. */
bool device_event(struct device *device, const struct port_event *ev);

/* Seals one SenML-CBOR pack and keeps it in the outbox, as a sample of the source would be. False:
 * nothing was kept, for there is no room now, no trust list yet, or an end is near. */
bool device_put(struct device *device, struct slice pack);

/* Begins to stop: no new samples, a goodbye to the gateway, the exact next number stored. */
void device_stop(struct device *device);

/* Stopped, or its storage failed (then device_why says what): nothing more will happen. */
bool device_is_over(const struct device *device);
const char *device_why(const struct device *device); /* empty after a clean stop */

/* Source ended and everything acknowledged? */
bool device_is_drained(const struct device *device);

void device_counts(const struct device *device, struct device_counts *out);
const struct device_id *device_id(const struct device *device);

void device_close(struct device *device); /* zero is accepted */

#endif
