/*
 * Applications (plant software that is no device): what each may do, and its certificates, in
 * tables of their own beside the registry's. Every change is one transaction with its entry,
 * durable when it returns. What an application may do is kept as the text of codec/grants.h, of one
 * application, without keys. A key is of one application or of one device, never of both: the
 * database refuses the second.
 */
#ifndef IO_APPLICATIONS_H
#define IO_APPLICATIONS_H

#include "io/registry.h"

struct applications;

enum {
    APPLICATION_RULES_MAX = 12288,
    APPLICATION_LIVE_MAX = 2 /* certificates of one application: the newest, and the one before */
};

enum application_state { APPLICATION_GRANTED = 1, APPLICATION_WITHDRAWN };

struct application {
    char name[REGISTRY_NAME_MAX + 1];
    enum application_state state;
    int64_t created_ms, changed_ms;
    uint16_t rules_len; /* 0: none here; those of the configuration hold */
    uint8_t rules[APPLICATION_RULES_MAX];
};

struct application_certificate {
    char application[REGISTRY_NAME_MAX + 1];
    struct digest key; /* SHA-256 of its SubjectPublicKeyInfo */
    uint8_t serial[20];
    uint8_t serial_len;
    bool is_live; /* listed for the gateways, unless it has expired */
    int64_t not_before_ms, not_after_ms, issued_ms;
    uint16_t der_len;
    uint8_t der[REGISTRY_CERTIFICATE_MAX];
};

/* Makes or completes the tables; `r` stays the caller's and must outlive it. */
enum registry_result applications_open(struct registry *r,
                                       struct applications **out,
                                       struct port_why *why);
void applications_close(struct applications *apps);

MUST_USE enum registry_result applications_get(struct applications *apps,
                                               struct slice name,
                                               struct application *out);
/* In the order of names, until `each` says false. */
MUST_USE enum registry_result applications_each(struct applications *apps,
                                                bool (*each)(void *context,
                                                             const struct application *application),
                                                void *context);
/* Newest first. */
MUST_USE enum registry_result applications_certificates_each(
    struct applications *apps,
    struct slice name,
    bool (*each)(void *context, const struct application_certificate *certificate),
    void *context);
MUST_USE enum registry_result applications_certificate_by_key(struct applications *apps,
                                                              const struct digest *key,
                                                              struct application_certificate *out);

/*
 * Grants: `what` (name, rules) is made, or takes the place of what it was; the state becomes
 * granted. `certificate`, where it is not NULL, becomes the application's newest; of its live ones
 * the newest APPLICATION_LIVE_MAX stay. REGISTRY_TAKEN where its key or serial is anybody's
 * already.
 */
MUST_USE enum registry_result applications_grant(struct applications *apps,
                                                 const struct application *what,
                                                 const struct application_certificate *certificate,
                                                 const struct registry_note *note);

/* Withdraws the grant and every certificate of it, for ever. REGISTRY_NOT_FOUND; REGISTRY_STALE
 * where it was withdrawn before. */
MUST_USE enum registry_result applications_withdraw(struct applications *apps,
                                                    struct slice name,
                                                    const struct registry_note *note);

/* A number above all before it, for the file that gateways read. */
MUST_USE enum registry_result applications_number_next(struct applications *apps, uint64_t *number);

#endif
