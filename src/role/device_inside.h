/* What the files device*.c share. Not for anybody else. */
#ifndef ROLE_DEVICE_INSIDE_H
#define ROLE_DEVICE_INSIDE_H

#include "codec/message.h"
#include "codec/x509.h"
#include "core/device/device_trace.h"
#include "core/device/enroll.h"
#include "core/device/generation.h"
#include "core/device/link.h"
#include "core/device/outbox.h"
#include "core/device/seal.h"
#include "core/device/sequence.h"
#include "io/bus.h"
#include "io/port.h"
#include "role/device.h"
#include "role/http_client.h"
#include "role/source.h"
#include "role/trace.h"

enum {
    DEVICE_PATH_MAX = 512,
    DEVICE_TEXT_MAX = 256,
    DEVICE_PEM_MAX = 4096,
    DEVICE_CERT_MAX = 2048, /* bytes of a certificate of ours */
    DEVICE_TRUST_MAX = 32768,
    DEVICE_DONE_EVERY = 256 /* acknowledgements between two records of how far we are */
};

enum device_job { DEVICE_NO_JOB, DEVICE_ENROLS, DEVICE_FETCHES_TRUST };

/* A key and the certificate over it. */
struct device_identity {
    struct key_private *key; /* NULL: there is none */
    uint8_t certificate[DEVICE_CERT_MAX];
    size_t certificate_len;
    int64_t not_before_ms, not_after_ms;
};

/*
 * What every turn touches stands first and close together: a fleet in one process, or a small
 * board's cache, holds many of these. What is asked for once an hour, and is large, stands behind.
 */
struct device {
    struct port *port;
    bool is_stopping, is_over;
    uint8_t wake_tag, conn_tag, reader_tag; /* users of our handles: their addresses */
    struct port_wake *wake;
    struct port_conn *conn;
    struct http_client *http; /* one conversation with the device services at a time */
    enum device_job job;

    struct link link;
    bool is_linked; /* link was started */
    struct generation generation;
    struct enroll enroll;
    uint32_t traced[DEVICE_TRACE_CORES]; /* the recorder's marks */

    bool has_trust;
    uint64_t trust_due_ms;

    bool source_ended, has_sample, source_has_rows;
    uint64_t source_due_ms; /* when it waits: 0 until it was asked */
    uint64_t full_until_ms; /* the journal had no room: try again then */

    /* what waits */
    struct bus_writer *bus;
    struct bus_reader *reader;
    bus_position read_to; /* the reader stands here */
    struct outbox outbox;
    struct outbox_entry *entries;
    uint8_t *outbox_bytes;
    bus_position done; /* all before it is acknowledged */
    uint32_t acks_unsaved;
    struct source *source;
    struct source_sample sample;
    uint64_t queued;

    struct device_config config;
    struct sequence sequence;
    bool has_sequence_file;
    struct device_id id;
    char id_text[DEVICE_ID_TEXT_LEN + 1];

    /* the trust list in use; its ingest key stays that of the boot: another one begins a new boot
     */
    struct digest trust_stored;         /* of the list as it lies in trust.cbor; zeroes: unknown */
    int64_t trust_from_ms, trust_to_ms; /* when those who vouched for it are valid */
    uint32_t trust_attempts;
    struct key_public ingest_key;
    uint8_t ingest_key_id[MESSAGE_KEY_ID_LEN];
    struct mac_key mac_key;
    bool is_boot_recorded; /* the outbox holds this boot's description before its first message */
    struct key_private *ephemeral; /* of this boot */
    struct key_public ephemeral_public;

    /* the session, and the conversation with the device services */
    struct port_tls *tls;
    bool tls_is_renewed; /* made of `renewed`, not of `own` */
    bool tls_has_clock;  /* made while the wall clock could be believed */
    uint8_t exporter[PORT_EXPORTER_LEN];
    struct port_tls *http_tls;
    bool asks_as_renewal; /* with an operational certificate, not the IDevID */
    bool is_turned_away;  /* the last renewal was, by TLS or by control: next time by the IDevID */

    /* The identity that has been used, a renewed one that has not, and the key that is being
     * enrolled. The old one goes when a session with the renewed one is live. */
    struct device_identity own, renewed;
    struct key_private *next_key;
    uint8_t issued[DEVICE_CERT_MAX]; /* from the last answer, not yet stored */
    size_t issued_len;

    struct port_file *lock;
    uint8_t serial[64]; /* of the IDevID's subject */
    size_t serial_len;
    char state_dir[DEVICE_PATH_MAX];
    char idevid_path[DEVICE_PATH_MAX], idevid_key_path[DEVICE_PATH_MAX], root_path[DEVICE_PATH_MAX];
    char devices_address[DEVICE_TEXT_MAX],
        devices_host[DEVICE_TEXT_MAX]; /* "localhost:9443", "localhost" */
    char stream[MESSAGE_STREAM_MAX + 1];
    char log_name[DEVICE_TEXT_MAX];
    char agent[MESSAGE_AGENT_MAX + 1];
    char why[DEVICE_TEXT_MAX];
};

/* ---- device.c ---- */
void device_fail(struct device *d,
                 const char *what,
                 const char *why); /* our storage or machine: it is over */
void device_say(const struct device *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void device_feed_enroll(struct device *d, const struct enroll_event *ev);
void device_feed_link(struct device *d, const struct link_event *ev);
void device_identity_changed(struct device *d);

/* ---- device_trace.c: recording, before the core is stepped; trace_left follows the step ---- */
void device_trace_link(struct device *d, const struct link_event *ev);
void device_trace_enroll(struct device *d, const struct enroll_event *ev);
void device_trace_call(struct device *d, enum sequence_call call, uint64_t argument);
void device_trace_generation(struct device *d, enum generation_call call, bool old_is_valid);

/* ---- device_files.c ---- */
bool device_path(const struct device *d, char out[DEVICE_PATH_MAX], const char *name);
enum port_result device_lock(struct device *d, struct port_why *why);
bool device_begin_boot(struct device *d); /* a new one, while we run */
enum port_result device_load_sequence(struct device *d, struct port_why *why); /* and raises boot */
bool device_store_sequence(struct device *d, const struct sequence_store *store);
bool device_save_sequence(struct device *d); /* as it stands; false after device_fail */
bool device_load_trust(struct device *d);
bool device_store_trust(struct device *d, struct slice list);
bool device_raise_trust(struct device *d, uint64_t number); /* the durable floor of lists */
bool device_take_trust(struct device *d, struct slice list, bool is_stored); /* verifies it first */

/* ---- device_identity.c ---- */
enum port_result device_load_idevid(struct device *d, struct port_why *why);
/* Reads identity.pem, renewed.pem and next.key where they are. PORT_BAD with `why`: identity.pem is
 * damaged; others: something is there and the disk does not give it, which says nothing about it.
 */
enum port_result device_load_keys(struct device *d, struct port_why *why);
bool device_make_next_key(struct device *d);
/* Certificate and next key become the identity, or, where there is one, the renewed one. */
bool device_store_identity(struct device *d);
/* The renewed identity has been used: it takes the place of the old one, whose key is gone then. */
bool device_switch_identity(struct device *d);
void device_identity_set(struct device_identity *identity,
                         struct key_private *key,
                         struct slice der,
                         const struct x509 *certificate);
/* There is one, and it has not expired as far as we know the time. */
bool device_is_valid(const struct device *d, const struct device_identity *identity);

/* False where the wall clock cannot be believed: a board that woke up in 1970. */
bool device_has_clock(const struct device *d);
/* What the device services are spoken to with: the identity that has been used, while it is valid.
 * NULL: the IDevID, before there is another and again after all others have expired. */
const struct device_identity *device_identity_for_services(const struct device *d);
/* TLS as this device towards our servers: `as` this identity, or (NULL) with the IDevID. */
enum port_result device_tls(struct device *d,
                            const struct device_identity *as,
                            struct port_tls **out,
                            struct port_why *why);

/* ---- device_enroll.c ---- */
void device_ask(struct device *d);
void device_fetch_trust(struct device *d);
bool device_http_event(struct device *d, const struct port_event *ev);
void device_end_job(struct device *d);

/* ---- device_link.c ---- */
/* The session's TLS context, where it shows this identity by the rules of now; NULL: it does not.
 * Borrowed: valid until the identity changes, for a connection beyond that. */
struct port_tls *device_link_tls(const struct device *d, const struct device_identity *as);
void device_dial(struct device *d, uint32_t gateway);
void device_perform_link(struct device *d, const struct link_effect *effect);
bool device_conn_event(struct device *d, const struct port_event *ev);
void device_publish(struct device *d);

/* What a hello says of a boot, as the outbox keeps it until it is certain that the gateway has it.
 */
struct device_boot {
    uint32_t boot;
    uint64_t first;
    uint8_t ephemeral[MESSAGE_POINT_LEN];
    uint8_t ingest_key_id[MESSAGE_KEY_ID_LEN];
};

/* ---- device_outbox.c ---- */
bool device_boot_decode(struct slice body, uint64_t first, struct device_boot *out);
enum port_result device_open_outbox(struct device *d, struct port_why *why);
void device_close_outbox(struct device *d);
void device_read_journal(struct device *d);            /* durable messages into the window */
void device_sample(struct device *d);                  /* what the source has, into the outbox */
bool device_keep(struct device *d, struct slice pack); /* what somebody gave, likewise */
void device_note_acked(struct device *d);
bool device_bus_event(struct device *d, const struct port_event *ev);
void device_flush(struct device *d);

#endif
