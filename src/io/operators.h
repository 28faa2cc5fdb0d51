/*
 * Operators and their credentials, in tables of their own beside the registry's. Only digests of
 * credentials are kept (core/control/access.h makes and reads their text forms). Every change is
 * one transaction with its entry, durable when it returns; using a session is written without one.
 *
 * The first operator of a site, before any role runs:
 *
 *     registry_open(port, DATA/control/registry.db, true, &r, &why); operators_open(r, &ops, &why);
 *     access_write(&w, ACCESS_TOKEN, 32 random bytes); access_digest(ACCESS_TOKEN, text, &digest);
 *     operators_add(ops, &(struct operator_new){.name = "operator-1", .rights = 7, .token =
 * &digest, ...});
 */
#ifndef IO_OPERATORS_H
#define IO_OPERATORS_H

#include "base/id.h"
#include "io/registry.h"

struct operators;

enum { OPERATOR_NAME_MAX = 63, OPERATOR_LABEL_MAX = 63 };

struct operator_row {
    int64_t id;
    char name[OPERATOR_NAME_MAX + 1]; /* unique */
    uint32_t rights;                  /* enum access_right, or'ed */
    int64_t created_ms;
};

struct operator_session {
    int64_t id;
    struct operator_row who;
    int64_t created_ms, used_ms;
};

struct operator_new {
    struct slice name;
    uint32_t rights;
    const struct digest *token; /* of a first bearer token; NULL: none */
    struct slice label;         /* of that token: "first operator's env" */
    struct slice actor;         /* who does this, for the entry */
    int64_t at_ms;
};

/* Makes or completes the tables; `r` stays the caller's and must outlive it. */
enum registry_result operators_open(struct registry *r,
                                    struct operators **out,
                                    struct port_why *why);
void operators_close(struct operators *ops);

/* REGISTRY_TAKEN: there is one of that name. */
MUST_USE enum registry_result operators_add(struct operators *ops, const struct operator_new *what);
MUST_USE enum registry_result operators_by_name(struct operators *ops,
                                                struct slice name,
                                                struct operator_row *out);
MUST_USE enum registry_result operators_count(struct operators *ops, uint64_t *count);

/* A further bearer token of an operator. */
MUST_USE enum registry_result operators_token_add(struct operators *ops,
                                                  int64_t operator_id,
                                                  const struct digest *token,
                                                  struct slice label,
                                                  struct slice actor,
                                                  int64_t at_ms);
MUST_USE enum registry_result operators_by_token(struct operators *ops,
                                                 const struct digest *token,
                                                 struct operator_row *out);

/* A login link for an operator, until `expires_ms`. */
MUST_USE enum registry_result operators_link_add(struct operators *ops,
                                                 int64_t operator_id,
                                                 const struct digest *link,
                                                 int64_t at_ms,
                                                 int64_t expires_ms,
                                                 struct slice actor);

/*
 * Uses a login link up and begins a session with it, in one transaction: of two that come at once
 * one finds it. REGISTRY_NOT_FOUND: unknown, used, or expired at `at_ms`.
 */
MUST_USE enum registry_result operators_link_take(struct operators *ops,
                                                  const struct digest *link,
                                                  const struct digest *session,
                                                  int64_t at_ms,
                                                  struct operator_row *who);

MUST_USE enum registry_result operators_session_get(struct operators *ops,
                                                    const struct digest *session,
                                                    struct operator_session *out);
MUST_USE enum registry_result operators_session_used(struct operators *ops,
                                                     int64_t id,
                                                     int64_t at_ms);
MUST_USE enum registry_result operators_session_end(struct operators *ops,
                                                    const struct digest *session,
                                                    int64_t at_ms);

/* Deletes sessions created before or last used before these times, and links that expired before
 * `now_ms`. */
MUST_USE enum registry_result operators_sweep(struct operators *ops,
                                              int64_t created_before_ms,
                                              int64_t used_before_ms,
                                              int64_t now_ms);

#endif
