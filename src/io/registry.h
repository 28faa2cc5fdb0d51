/*
 * The registry: which devices there are, their certificates, and what happened to them (entries),
 * in one database. Durable before it returns: every function that changes something commits one
 * transaction with a full sync, and its entry is in that same transaction. One process writes
 * (control); others may read.
 *
 * Reading functions copy into the caller's struct. Operators, sessions and login links are
 * control's own tables in the same database: io/operators.h.
 */
#ifndef IO_REGISTRY_H
#define IO_REGISTRY_H

#include "base/id.h"
#include "base/slice.h"
#include "base/writer.h"
#include "codec/identity_state.h"
#include "io/port.h"

struct registry;

enum registry_result {
    REGISTRY_OK = 0,
    REGISTRY_NOT_FOUND,
    REGISTRY_TAKEN, /* a name, hardware key or certificate key that is another's; nothing was
                       changed */
    REGISTRY_STALE, /* the state is not the one the caller decided by; nothing was changed */
    REGISTRY_FULL,  /* no room on disk: back-pressure */
    REGISTRY_NEWER, /* the file was written by a newer Holdfast; it was not opened */
    REGISTRY_BROKEN /* a write or sync failed, or the file is damaged: the role stops */
};

enum {
    REGISTRY_NAME_MAX = 63,
    REGISTRY_SERIAL_MAX = 64,
    REGISTRY_MODEL_MAX = 64,
    REGISTRY_MANUFACTURER_MAX = 128,
    REGISTRY_CERTIFICATE_MAX = 4096,
    REGISTRY_DETAIL_MAX = 4096,
    REGISTRY_DEVICES_MAX = 1000000
};

/* What stands at the beginning of a device's life here. */
enum registry_origin {
    REGISTRY_HARDWARE = 1 /* an IDevID */,
    REGISTRY_BUNDLE /* a key an operator made */
};

struct registry_device {
    int64_t row; /* rises in the order of creation; a cursor for lists */
    struct device_id id;
    char name[REGISTRY_NAME_MAX + 1]; /* unique */
    char serial[REGISTRY_SERIAL_MAX + 1];
    char model[REGISTRY_MODEL_MAX + 1];
    char manufacturer[REGISTRY_MANUFACTURER_MAX + 1];
    enum registry_origin origin;
    struct digest
        hardware_key; /* SHA-256 of the IDevID's (or bundle key's) SubjectPublicKeyInfo; unique */
    enum identity_state state;
    int64_t created_ms;
};

enum certificate_state {
    CERTIFICATE_CURRENT = 1, /* the newest */
    CERTIFICATE_PREVIOUS,    /* still accepted: the newest was not yet seen in use */
    CERTIFICATE_SUPERSEDED,
    CERTIFICATE_REVOKED
};

struct registry_certificate {
    struct device_id device;
    uint32_t generation; /* 1, 2, ... per device */
    uint8_t serial[20];
    uint8_t serial_len;
    struct digest key; /* SHA-256 of its SubjectPublicKeyInfo; unique over all devices */
    enum certificate_state state;
    int64_t not_before_ms, not_after_ms, issued_ms;
    int64_t seen_ms; /* first seen in use; 0: not yet */
    uint16_t der_len;
    uint8_t der[REGISTRY_CERTIFICATE_MAX];
};

/* Something that happened, in an append-only list. Given by the caller with borrowed text. */
struct registry_note {
    int64_t at_ms;
    struct slice kind;   /* "certificate-issued", "device-created", "state-changed",
                            "enrolment-refused", ... */
    struct slice actor;  /* "device hf1:...", "operator anna", "system" */
    struct slice object; /* the text form of a device id, or what it is about */
    struct slice detail; /* one JSON object */
};

struct registry_entry {
    int64_t index; /* 1, 2, ... without holes */
    int64_t at_ms;
    struct slice kind, actor, object, detail; /* valid during the call they are given to */
};

/* ---- opening ---- */

/* Makes the database where there is none and `for_writing`. The port outlives it. */
enum registry_result registry_open(struct port *port,
                                   const char *path,
                                   bool for_writing,
                                   struct registry **out,
                                   struct port_why *why);
void registry_close(struct registry *r);

/* Of the newest REGISTRY_FULL or REGISTRY_BROKEN, the database's own words; valid until the next
 * call. */
const char *registry_why(const struct registry *r);

/* ---- reading ---- */

MUST_USE enum registry_result registry_device_by_id(struct registry *r,
                                                    const struct device_id *id,
                                                    struct registry_device *out);
MUST_USE enum registry_result registry_device_by_name(struct registry *r,
                                                      struct slice name,
                                                      struct registry_device *out);
MUST_USE enum registry_result registry_device_by_hardware_key(struct registry *r,
                                                              const struct digest *key,
                                                              struct registry_device *out);

/* Devices with row > `after`, in that order, until `each` says false. */
MUST_USE enum registry_result registry_devices_each(
    struct registry *r,
    int64_t after,
    bool (*each)(void *context, const struct registry_device *device),
    void *context);
MUST_USE enum registry_result registry_devices_count(struct registry *r,
                                                     uint64_t by_state[IDENTITY_STATE_COUNT]);

/* The certificate with this key, whichever device it is of. */
MUST_USE enum registry_result registry_certificate_by_key(struct registry *r,
                                                          const struct digest *key,
                                                          struct registry_certificate *out);
MUST_USE enum registry_result registry_certificate_by_serial(struct registry *r,
                                                             struct slice serial,
                                                             struct registry_certificate *out);
/* A device's certificates, newest generation first. */
MUST_USE enum registry_result registry_certificates_each(
    struct registry *r,
    const struct device_id *device,
    bool (*each)(void *context, const struct registry_certificate *certificate),
    void *context);

/* How many certificates were issued to the device since then. */
MUST_USE enum registry_result registry_certificates_since(struct registry *r,
                                                          const struct device_id *device,
                                                          int64_t since_ms,
                                                          uint64_t *count);

/* Entries with index < `before` (INT64_MAX: from the newest), newest first; `object` empty: about
 * anything. */
MUST_USE enum registry_result registry_entries_each(
    struct registry *r,
    struct slice object,
    int64_t before,
    bool (*each)(void *context, const struct registry_entry *entry),
    void *context);
MUST_USE enum registry_result registry_last_entry(struct registry *r, int64_t *index);

/* ---- changing: each is one transaction, durable when it returns REGISTRY_OK ---- */

MUST_USE enum registry_result registry_append(struct registry *r, const struct registry_note *note);

/* A new device; `device.row` is set. REGISTRY_TAKEN where its id, name or hardware key is. */
MUST_USE enum registry_result registry_device_create(struct registry *r,
                                                     struct registry_device *device,
                                                     const struct registry_note *note);

/* Moves a device from one state to another; REGISTRY_STALE where it is not in `from`. */
MUST_USE enum registry_result registry_device_move(struct registry *r,
                                                   const struct device_id *id,
                                                   enum identity_state from,
                                                   enum identity_state to,
                                                   const struct registry_note *note);
MUST_USE enum registry_result registry_device_rename(struct registry *r,
                                                     const struct device_id *id,
                                                     struct slice name,
                                                     const struct registry_note *note);

/*
 * A certificate was signed: keeps it as the device's newest generation (certificate.generation is
 * set), moves the device from `from` to `to`, and makes the device first where `create` is not
 * NULL. Of the older certificates the newest that was seen in use (or, where none was, the newest)
 * becomes PREVIOUS, the others SUPERSEDED. REGISTRY_TAKEN where the key has a certificate;
 * REGISTRY_STALE where the device has left `from` since the caller decided.
 */
MUST_USE enum registry_result registry_certificate_issue(struct registry *r,
                                                         struct registry_device *create,
                                                         struct registry_certificate *certificate,
                                                         enum identity_state from,
                                                         enum identity_state to,
                                                         const struct registry_note *note);

/*
 * The device was seen to use this certificate: sets seen_ms once, supersedes older generations, and
 * moves an enrolled or re-enrolling device to active. REGISTRY_OK and nothing written where all
 * that was so before.
 */
MUST_USE enum registry_result registry_certificate_seen(struct registry *r,
                                                        struct slice serial,
                                                        int64_t at_ms,
                                                        const struct registry_note *note);

/* ---- the trust list ---- */

/* The newest signed trust list: its number, what was signed and the whole. */
MUST_USE enum registry_result registry_trust_list(struct registry *r,
                                                  uint64_t *number,
                                                  struct writer *payload,
                                                  struct writer *bytes);
/* REGISTRY_STALE where `number` is not above all before it. */
MUST_USE enum registry_result registry_trust_list_add(struct registry *r,
                                                      uint64_t number,
                                                      struct slice payload,
                                                      struct slice bytes,
                                                      const struct registry_note *note);

#endif
