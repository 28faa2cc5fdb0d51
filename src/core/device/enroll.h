/*
 * How a device gets its operational certificate and keeps it fresh (EST, RFC 7030): a key of its
 * own, stored before anybody hears of it; a request; the certificate stored before it is used. An
 * answer that is lost is asked for again with the same key: the server gives the same certificate.
 * What may have taken effect and what did not are both asked again, so that the difference never
 * has to be guessed.
 *
 *   NO_KEY --key stored--> WAITING --due--> ASKING --certificate--> STORING --stored--> ACTIVE
 *     ^                       ^               |                                          |
 *     |                       +---------------+ unanswered, later, refused               |
 *     +------- half of its life is over (the old certificate stays in use) --------------+
 *
 * After a start with both a certificate and a next key ACTIVE goes on to WAITING at once.
 *
 * Renewal begins at a random point between 50 % and 60 % of the certificate's life, by the wall
 * clock, which is looked at again every minute: it may have been wrong when the certificate came. A
 * certificate that is past that point when it comes, or not yet valid by a clock that is set
 * (somebody's clock is wrong, and no server will take it), is renewed at once the first time, then
 * after waits that double: nobody enrols in a loop. Without a wall clock a fresh certificate is
 * renewed after half of its life by our own clock, and one that was there at start soon.
 */
#ifndef CORE_DEVICE_ENROLL_H
#define CORE_DEVICE_ENROLL_H

#include "base/rng.h"
#include "base/slice.h"

enum {
    ENROLL_BACKOFF_MS = 2000,
    ENROLL_BACKOFF_MAX_MS = 300000,
    ENROLL_REFUSED_MS = 60000, /* least wait after a refusal: somebody has to change something */
    ENROLL_RETRY_AFTER_MAX_S = 86400,
    ENROLL_LOOK_MS = 60000,  /* between two looks at the wall clock */
    ENROLL_HURRY_MS = 10000, /* the wait before the second renewal in a row that is due at once */
    ENROLL_HURRY_MAX_MS = 21600000
};

enum enroll_state { ENROLL_NO_KEY, ENROLL_WAITING, ENROLL_ASKING, ENROLL_STORING, ENROLL_ACTIVE };
enum { ENROLL_STATE_COUNT = ENROLL_ACTIVE + 1 };

enum enroll_event_kind {
    ENROLL_STARTED, /* what is in stable storage: certificate, next key */
    ENROLL_TICK,
    ENROLL_KEY_STORED,
    ENROLL_CERTIFIED, /* 200 with a certificate for our next key */
    ENROLL_LATER, /* 202, 429, 503, or 200 with something else: retry_after_s, 0 where none was said
                   */
    ENROLL_REFUSED,    /* any other answer below 500 */
    ENROLL_UNANSWERED, /* none, or one of 500 and above: it may have taken effect or not */
    ENROLL_STORED      /* certificate and key are the device's identity now */
};

struct enroll_event {
    enum enroll_event_kind kind;
    uint64_t now_ms;
    int64_t wall_ms;
    bool has_clock;                      /* the wall clock is set, rightly or wrongly */
    bool has_certificate, has_next_key;  /* STARTED */
    int64_t not_before_ms, not_after_ms; /* STARTED with a certificate, STORED */
    uint32_t retry_after_s;              /* LATER */
};

enum enroll_effect_kind {
    ENROLL_MAKE_KEY = 1, /* make the next key, store it, then ENROLL_KEY_STORED */
    ENROLL_ASK,          /* simpleenroll, or simplereenroll where `is_renewal` */
    ENROLL_STORE,        /* certificate and next key become the identity, in one atomic step */
    ENROLL_USE           /* the identity may be used: at start, and after each STORE */
};
enum { ENROLL_EFFECTS_MAX = 2 };

struct enroll_effect {
    enum enroll_effect_kind kind;
    bool is_renewal;
};
struct enroll_effects {
    uint32_t count;
    struct enroll_effect list[ENROLL_EFFECTS_MAX];
};

struct enroll {
    enum enroll_state state;
    struct rng rng;
    bool is_renewal; /* a certificate is in use */
    uint32_t attempts;
    uint64_t due_ms;
    int64_t not_before_ms, renew_at_ms; /* ACTIVE: by the wall clock */
    uint64_t renew_own_ms;              /* ACTIVE: by our own, for want of a wall clock */
    uint64_t hurry_ms;                  /* least wait before the next renewal that is due at once */
    uint64_t asked, refused, unanswered; /* counts */
};

void enroll_init(struct enroll *e, uint64_t seed);
void enroll_step(struct enroll *e, const struct enroll_event *ev, struct enroll_effects *out);
uint64_t enroll_due_ms(const struct enroll *e);
void enroll_check(const struct enroll *e);

#endif
