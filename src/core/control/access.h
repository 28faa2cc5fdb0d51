/*
 * Who may ask the API what. Credentials are random texts that are shown once and kept as digests:
 * bearer tokens of programs, sessions of browsers (a cookie), and login links, which work once and
 * for ten minutes. Pure: randomness, time and what the tables hold come in.
 */
#ifndef CORE_CONTROL_ACCESS_H
#define CORE_CONTROL_ACCESS_H

#include "base/id.h"
#include "base/slice.h"
#include "base/writer.h"

enum {
    ACCESS_SECRET_LEN = 32, /* random bytes of a token or session */
    ACCESS_LINK_LEN = 10,   /* random bytes of a login link */
    ACCESS_TEXT_MAX = 64,   /* any of their text forms */
    ACCESS_LINK_LIFE_MS = 10 * 60 * 1000,
    ACCESS_SESSION_IDLE_MS = 12 * 60 * 60 * 1000,
    ACCESS_SESSION_REFRESH_MS = 5 * 60 * 1000 /* a session in use is written back this often */
};
#define ACCESS_SESSION_LIFE_MS (INT64_C(7) * 24 * 60 * 60 * 1000)
#define ACCESS_COOKIE          "holdfast_session"

enum access_kind {
    ACCESS_TOKEN,   /* "hft_" and 52 characters */
    ACCESS_SESSION, /* "hfs_" and 52 characters */
    ACCESS_LINK     /* "7KQ2-M9XD-4T1C-0YJE" */
};

/* Writes the text form of `random` (ACCESS_LINK_LEN bytes for a link, else ACCESS_SECRET_LEN). */
void access_write(struct writer *w, enum access_kind kind, const uint8_t *random);

/*
 * The digest under which a text is kept. False where it cannot be one of that kind. Links may be
 * typed in either case and without hyphens, and O, I and L count as 0, 1 and 1 (Crockford's base
 * 32).
 */
MUST_USE bool access_digest(enum access_kind kind, struct slice text, struct digest *out);

/* ---- rights ---- */

enum access_right {
    ACCESS_READ = 1,
    ACCESS_OPERATE = 2, /* acts on devices: rename, bundles */
    ACCESS_ADMIN = 4    /* operators, tokens, login links */
};
const char *access_right_name(enum access_right right); /* "read", "operate", "admin" */

/* ---- one request ---- */

enum access_verdict {
    ACCESS_ALLOWED = 0,
    ACCESS_NO_CREDENTIAL,
    ACCESS_UNKNOWN_CREDENTIAL, /* no such token or session, or it is over */
    ACCESS_BAD_ORIGIN,         /* CSRF: see access_decide */
    ACCESS_NO_RIGHT
};
enum { ACCESS_VERDICT_COUNT = ACCESS_NO_RIGHT + 1 };
const char *access_verdict_name(enum access_verdict verdict);

struct access_session { /* as kept */
    int64_t created_ms, used_ms;
    bool is_ended;
};

/* Is it over: ended, unused for ACCESS_SESSION_IDLE_MS, or ACCESS_SESSION_LIFE_MS old? */
bool access_session_is_over(const struct access_session *session, int64_t now_ms);

struct access_request {
    bool has_credential;
    bool is_known;           /* the credential was found and is not over */
    bool is_cookie;          /* it came as a cookie, which browsers send by themselves */
    bool changes;            /* any method but GET and HEAD */
    bool has_mark;           /* the header X-Holdfast: 1, which no form can send */
    struct slice origin;     /* the Origin header; empty: absent */
    struct slice fetch_site; /* Sec-Fetch-Site; empty: absent */
    struct slice own_origin; /* "http://localhost:8080" */
    uint32_t rights;         /* of the operator */
    uint32_t needs;          /* of the route */
};

/*
 * A request that changes something and came with a cookie needs the mark and our own Origin (a
 * browser always sends one with it); another Origin is refused whatever the method.
 */
enum access_verdict access_decide(const struct access_request *request);

#endif
