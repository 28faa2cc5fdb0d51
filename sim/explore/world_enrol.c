/*
 * A device that enrols and renews, and the site's control that issues: core/device/enroll,
 * core/control/enrolment and core/control/identity, with the device's two files (identity, next
 * key), the registry's rows and the keeper's queue between them. Answers are lost at every stage,
 * the power goes before and after every durable step on either side, a request outlives the
 * connection it came by, what was seen in use is learnt late, an operator removes an identity.
 *
 * OneIdentity: a key gets one certificate for ever, at most two are live, one is current.
 * KnownTransition: the device's state moves along the table only. KeptIdentity: the certificate
 * that a device has stored is live: it is never without one that works.
 *
 * The keeper answers in the order in which it was asked. Without that an old request of a device
 * whose identity was removed could overtake its new one, and supersede what it has just got.
 */
#include "base/invariant.h"
#include "core/control/enrolment.h"
#include "core/device/enroll.h"
#include "sim/explore/parts.h"
#include "sim/explore/world_enrol_rows.h"

#include <string.h>

enum { PENDING_MAX = 2 };
enum bound { KEYS, RESETS, PENDINGS };

struct pending {    /* at the keeper, which answers in the order in which it was asked */
    uint8_t key;    /* 0: free */
    bool is_first;  /* by the hardware's identity */
    bool is_waited; /* the device still listens */
    bool is_new_device;
    enum identity_state from, to;
};

enum writing { NOTHING, A_KEY, AN_IDENTITY };
enum call { NO_CALL, ASKED, SIGNING, SAYS_CERTIFICATE, SAYS_REFUSED, SAYS_LATER };

struct world {
    uint32_t keys_max, resets_left, pending_max;
    bool is_on;
    struct enroll enroll;
    enum writing writing;
    uint8_t made;               /* keys so far; the newest while one is written is `made` */
    uint8_t identity, next_key; /* the files; 0: none */
    bool lingers; /* next.key of the identity may come back: its removal is not synced */
    enum call call;
    uint8_t call_key, call_peer; /* call_peer 0: the hardware's identity */
    struct pending pending[PENDING_MAX];
    struct rows registry;
    uint32_t reports; /* certificates seen in use, which control has not heard of: bits by key */
};

enum { CERTIFICATE_LIFE_MS = 1000 };

enum kind {
    START,
    DUE,
    KEY_STORED,
    DECIDE,
    SIGNED,
    KEEPER_AWAY,
    ANSWER,
    UNANSWERED,
    STORED,
    USE,
    SEEN,
    CUT,
    SERVER_CUT,
    RESET
};
enum { KINDS = RESET + 1 };
static const char *const kinds[KINDS] = {"start",       "due",    "key-stored", "decide", "signed",
                                         "keeper-away", "answer", "unanswered", "stored", "use",
                                         "seen",        "cut",    "server-cut", "reset"};
enum row { ROW_OFF = ENROLL_STATE_COUNT, ROWS };
static const char *const rows[ROWS] = {
    [ENROLL_NO_KEY] = "no-key",   [ENROLL_WAITING] = "waiting", [ENROLL_ASKING] = "asking",
    [ENROLL_STORING] = "storing", [ENROLL_ACTIVE] = "active",   [ROW_OFF] = "off"};

static void begin(void *at, const struct explore_config *config)
{
    struct world *w = at;
    memset(w, 0, sizeof *w);
    w->keys_max = config->bounds[KEYS];
    w->resets_left = config->bounds[RESETS];
    w->pending_max = config->bounds[PENDINGS];
    w->registry.state = IDENTITY_EXPECTED;
    INVARIANT(w->keys_max <= KEYS_MAX && w->pending_max <= PENDING_MAX);
}

static uint32_t row(const void *at)
{
    const struct world *w = at;
    return w->is_on ? (uint32_t)w->enroll.state : (uint32_t)ROW_OFF;
}

/* Is a key needed next, and none may be made any more? */
static bool may_go_on(const struct world *w)
{
    bool needs_key =
        w->is_on ? w->enroll.state == ENROLL_ACTIVE : w->identity == 0 && w->next_key == 0;
    return !needs_key || w->made < w->keys_max;
}

static uint32_t offer(const void *at, struct explore_event list[EXPLORE_OFFERS_MAX])
{
    const struct world *w = at;
    bool offered[KINDS] = {
        [START] = !w->is_on && may_go_on(w),
        [DUE] = w->is_on && enroll_due_ms(&w->enroll) != UINT64_MAX && may_go_on(w),
        [KEY_STORED] = w->writing == A_KEY,
        [DECIDE] = w->call == ASKED,
        [SIGNED] = w->pending[0].key != 0,
        [KEEPER_AWAY] = w->pending[0].key != 0,
        [ANSWER] = w->call >= SAYS_CERTIFICATE,
        [UNANSWERED] = w->call != NO_CALL,
        [STORED] = w->writing == AN_IDENTITY,
        [USE] = w->is_on && w->identity != 0 && (w->reports & BIT(w->identity)) == 0,
        [SERVER_CUT] = true,
        [RESET] = !w->is_on && w->resets_left > 0 && w->identity != 0,
    };
    uint32_t count = parts_offer(offered, KINDS, list);
    for (uint8_t key = 1; key <= w->made; key++) {
        if ((w->reports & BIT(key)) != 0) {
            list[count++] = (struct explore_event){.kind = SEEN, .a = key};
        }
    }
    if (w->is_on) {
        list[count++] = (struct explore_event){.kind = CUT};
    }
    if (w->is_on && (w->writing != NOTHING || w->lingers)) {
        list[count++] = (struct explore_event){.kind = CUT, .a = 1};
    }
    return count;
}

/* ---- the device, as its role does it ---- */

static void stop_listening(struct world *w)
{
    for (uint32_t i = 0; i < w->pending_max; i++) {
        w->pending[i].is_waited = false;
    }
    w->call = NO_CALL;
    w->call_key = 0;
    w->call_peer = 0;
}

static void feed(struct world *w, struct enroll_event ev)
{
    struct enroll_effects fx;
    ev.not_after_ms = CERTIFICATE_LIFE_MS;
    enroll_step(&w->enroll, &ev, &fx);
    enroll_check(&w->enroll);
    for (uint32_t i = 0; i < fx.count; i++) {
        switch (fx.list[i].kind) {
        case ENROLL_MAKE_KEY:
            w->made++;
            w->writing = A_KEY;
            break;
        case ENROLL_ASK:
            w->call = ASKED;
            w->call_key = w->next_key;
            w->call_peer = fx.list[i].is_renewal ? w->identity : 0;
            break;
        case ENROLL_STORE: w->writing = AN_IDENTITY; break;
        case ENROLL_USE: break;
        }
    }
}

static void start(struct world *w)
{
    if (w->next_key == w->identity) { /* cut after the identity was stored: the key is spent */
        w->next_key = 0;
    }
    w->is_on = true;
    w->lingers = false;
    enroll_init(&w->enroll, 1);
    feed(w, (struct enroll_event){.kind = ENROLL_STARTED,
                                  .has_certificate = w->identity != 0,
                                  .has_next_key = w->next_key != 0});
}

static void land(struct world *w)
{
    if (w->writing == A_KEY) {
        w->next_key = w->made;
    } else {
        w->identity = w->next_key;
        w->next_key = 0;
        w->lingers = true;
    }
    w->writing = NOTHING;
}

/* `landed`: what was being written is there; or, where nothing was, a removed file is. */
static void cut(struct world *w, bool landed)
{
    if (w->writing == NOTHING && landed) {
        w->next_key = w->next_key == 0 ? w->identity : w->next_key;
    } else if (landed) {
        land(w);
    } else if (w->writing == A_KEY) {
        w->made--; /* nobody heard of it: it was never made */
    }
    w->writing = NOTHING;
    w->is_on = false;
    w->lingers = false;
    w->enroll = (struct enroll){0};
    stop_listening(w);
}

static void answer(struct world *w, struct explore_breach *breach)
{
    enum call said = w->call;
    explore_expect(breach, w->call_key == w->next_key, "an answer for another key");
    stop_listening(w);
    feed(w, (struct enroll_event){.kind = said == SAYS_CERTIFICATE ? ENROLL_CERTIFIED
                                          : said == SAYS_REFUSED   ? ENROLL_REFUSED
                                                                   : ENROLL_LATER});
}

/* ---- control ---- */

static void decide(struct world *w, struct explore_breach *breach)
{
    struct rows *r = &w->registry;
    const struct enrol_request request = {
        .operation = w->call_peer == 0 ? ENROL_FIRST : ENROL_AGAIN,
        .peer = w->call_peer == 0 ? ENROL_HARDWARE : ENROL_DEVICE};
    bool is_known = r->certificates[w->call_key] != NONE;
    const struct enrol_facts facts = {.has_device = r->has_device,
                                      .state = r->state,
                                      .peer_is_live =
                                          w->call_peer != 0 && rows_is_live(r, w->call_peer),
                                      .key = is_known ? ENROL_KEY_OWN : ENROL_KEY_FRESH,
                                      .key_certificate_is_live = rows_is_live(r, w->call_key)};
    struct enrol_decision decision;
    enrol_decide(&request, &facts, &decision);
    if (decision.verdict != ENROL_REFUSE && w->call_peer != 0) {
        rows_mark_seen(r, w->call_peer, breach);
    }
    switch (decision.verdict) {
    case ENROL_RETURN: w->call = SAYS_CERTIFICATE; return;
    case ENROL_REFUSE: w->call = SAYS_REFUSED; return;
    case ENROL_ISSUE: break;
    }
    explore_expect(breach, !is_known, "OneIdentity: a second certificate is made for a key");
    w->call = SAYS_LATER;
    for (uint32_t i = 0; i < w->pending_max; i++) {
        if (w->pending[i].key == 0) {
            w->pending[i] = (struct pending){.key = w->call_key,
                                             .is_first = w->call_peer == 0,
                                             .is_waited = true,
                                             .is_new_device = decision.is_new_device,
                                             .from = facts.state,
                                             .to = decision.state};
            w->call = SIGNING;
            return;
        }
    }
}

/* The keeper has signed the first. Where the device moved since the decision, it is decided anew.
 */
static void finish(struct world *w, struct explore_breach *breach)
{
    struct rows *r = &w->registry;
    struct pending done = w->pending[0];
    memmove(w->pending, w->pending + 1, sizeof w->pending - sizeof w->pending[0]);
    w->pending[PENDING_MAX - 1] = (struct pending){0};
    bool is_taken = r->certificates[done.key] != NONE || (done.is_new_device && r->has_device);
    bool may_be = done.from == r->state || identity_after_issue(r->state, done.is_first, &done.to);
    if (!is_taken && may_be) {
        rows_issue(r, done.key, done.to, breach);
    }
    if (done.is_waited) {
        w->call = r->certificates[done.key] != NONE ? SAYS_CERTIFICATE : SAYS_REFUSED;
    }
}

static void check(const struct world *w, struct explore_breach *breach)
{
    const struct rows *r = &w->registry;
    uint32_t current = 0;
    uint32_t live = 0;
    for (uint8_t key = 1; key <= KEYS_MAX; key++) {
        current += r->certificates[key] == CURRENT;
        live += rows_is_live(r, key);
    }
    explore_expect(breach, live <= 2, "OneIdentity: more than two live generations");
    explore_expect(breach, current == (r->has_device ? 1 : 0), "OneIdentity: not one is current");
    explore_expect(breach, w->identity == 0 || rows_is_live(r, w->identity),
                   "KeptIdentity: the certificate that the device has is dead");
}

static void step(void *at, const struct explore_event *event, struct explore_breach *breach)
{
    struct world *w = at;
    switch ((enum kind)event->kind) {
    case START: start(w); break;
    case DUE:
        feed(w, (struct enroll_event){.kind = ENROLL_TICK,
                                      .now_ms = enroll_due_ms(&w->enroll),
                                      .wall_ms = CERTIFICATE_LIFE_MS});
        break;
    case KEY_STORED:
        land(w);
        feed(w, (struct enroll_event){.kind = ENROLL_KEY_STORED});
        break;
    case DECIDE: decide(w, breach); break;
    case SIGNED: finish(w, breach); break;
    case KEEPER_AWAY:
        w->call = w->call == SIGNING ? SAYS_LATER : w->call;
        memset(w->pending, 0, sizeof w->pending);
        break;
    case ANSWER: answer(w, breach); break;
    case UNANSWERED:
        stop_listening(w);
        feed(w, (struct enroll_event){.kind = ENROLL_UNANSWERED});
        break;
    case STORED:
        land(w);
        feed(w, (struct enroll_event){.kind = ENROLL_STORED});
        break;
    case USE: w->reports |= BIT(w->identity); break;
    case SEEN:
        w->reports &= ~BIT(event->a);
        rows_mark_seen(&w->registry, event->a, breach);
        break;
    case CUT: cut(w, event->a != 0); break;
    case SERVER_CUT:
        memset(w->pending, 0, sizeof w->pending);
        if (w->call != NO_CALL) { /* the connection broke: the device is told by its end */
            stop_listening(w);
            feed(w, (struct enroll_event){.kind = ENROLL_UNANSWERED});
        }
        break;
    case RESET:
        w->resets_left--;
        w->identity = 0;
        w->next_key = 0;
        break;
    }
    check(w, breach);
}

/* ---- views ---- */

static void write_pending(const struct pending *p, struct writer *out)
{
    write_u8(out, p->key);
    write_u8(out, p->is_first);
    write_u8(out, p->is_waited);
    write_u8(out, p->is_new_device);
    write_u8(out, p->key == 0 ? 0 : (uint8_t)p->from);
    write_u8(out, p->key == 0 ? 0 : (uint8_t)p->to);
}

static void pack(const void *at, struct writer *out)
{
    const struct world *w = at;
    const struct rows *r = &w->registry;
    write_u8(out, (uint8_t)row(w));
    write_u8(out, w->is_on && w->enroll.is_renewal);
    write_u8(out, (uint8_t)w->resets_left);
    write_u8(out, (uint8_t)w->writing);
    write_u8(out, w->made);
    write_u8(out, w->identity);
    write_u8(out, w->next_key);
    write_u8(out, w->lingers);
    write_u8(out, (uint8_t)w->call);
    write_u8(out, w->call_key);
    write_u8(out, w->call_peer);
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        write_pending(&w->pending[i], out);
    }
    write_u8(out, r->has_device);
    write_u8(out, (uint8_t)r->state);
    for (uint32_t key = 1; key <= w->keys_max; key++) {
        write_u8(out, (uint8_t)r->certificates[key]);
        write_u8(out, r->generations[key]);
        write_u8(out, r->seen[key]);
    }
    write_u32(out, w->reports);
}

static void tell(const void *at, struct writer *out)
{
    static const char *const calls[] = {"",
                                        ", a request is on its way",
                                        ", it waits for the keeper",
                                        ", a certificate is on its way",
                                        ", a refusal is on its way",
                                        ", \"later\" is on its way"};
    static const char *const states[] = {"", " current", " previous", " superseded"};
    const struct world *w = at;
    write_text(out, "device ");
    write_text(out, rows[row(w)]);
    write_text(out, ", identity ");
    write_decimal(out, w->identity);
    write_text(out, ", next key ");
    write_decimal(out, w->next_key);
    write_text(out, calls[w->call]);
    write_text(out, "; registry: ");
    write_text(out, identity_state_name(w->registry.state));
    for (uint32_t key = 1; key <= w->keys_max; key++) {
        if (w->registry.certificates[key] != NONE) {
            write_text(out, ", ");
            write_decimal(out, key);
            write_text(out, states[w->registry.certificates[key]]);
            write_text(out, w->registry.seen[key] ? " seen" : "");
        }
    }
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        if (w->pending[i].key != 0) {
            write_text(out, "; at the keeper: ");
            write_decimal(out, w->pending[i].key);
        }
    }
}

static void tell_event(const struct explore_event *event, struct writer *out)
{
    static const char *const texts[KINDS] = {
        "the device starts",
        "the device's time to ask, or to renew, has come",
        "the new key is stored",
        "control reads the request and decides",
        "the keeper has signed the oldest request, and control makes it durable",
        "the keeper goes away, with all it was to sign",
        "the answer reaches the device",
        "the device gets no answer",
        "key and certificate are stored as the device's identity",
        "the device uses its certificate at a gateway",
        "control hears that a certificate was used: of key ",
        "the device's power goes",
        "control's power goes, and it starts again",
        "an operator removes the device's identity"};
    write_text(out, texts[event->kind]);
    if (event->kind == SEEN) {
        write_decimal(out, event->a);
    } else if (event->kind == CUT && event->a != 0) {
        write_text(out, "; what was being changed on its disk is there");
    }
}

/* It has an identity that works; or has run out of the keys that a world has. */
static bool is_settled(const void *at)
{
    const struct world *w = at;
    bool is_active = w->is_on && w->enroll.state == ENROLL_ACTIVE;
    return !may_go_on(w) && (is_active ? rows_is_live(&w->registry, w->identity) : !w->is_on);
}

enum { ALL_ON = (1 << ENROLL_STATE_COUNT) - 1 };
static const struct explore_unreached unreached[] = {
    {ALL_ON, BIT(START) | BIT(RESET), "it is running"},
    {BIT(ROW_OFF),
     BIT(DUE) | BIT(KEY_STORED) | BIT(DECIDE) | BIT(ANSWER) | BIT(UNANSWERED) | BIT(STORED)
         | BIT(USE) | BIT(CUT),
     "without power it does nothing, and hears nothing"},
    {ALL_ON & ~BIT(ENROLL_NO_KEY), BIT(KEY_STORED), "no key is being stored"},
    {ALL_ON & ~BIT(ENROLL_STORING), BIT(STORED), "no identity is being stored"},
    {ALL_ON & ~BIT(ENROLL_ASKING), BIT(DECIDE) | BIT(ANSWER) | BIT(UNANSWERED),
     "nothing was asked"},
    {BIT(ENROLL_NO_KEY) | BIT(ENROLL_ASKING) | BIT(ENROLL_STORING), BIT(DUE),
     "it waits for something else"},
};

static const struct explore_config configs[] = {
    {.name = "small", .bounds = {2, 0, 1}},
    {.name = "races", .bounds = {3, 1, 2}},
    {.name = "large", .bounds = {5, 2, 2}},
};

const struct explore_world explore_enrol = {
    .name = "enrol",
    .spec = "Enrolment",
    .rows = rows,
    .rows_count = ROWS,
    .kinds = kinds,
    .kinds_count = KINDS,
    .unreached = unreached,
    .unreached_count = COUNT_OF(unreached),
    .configs = configs,
    .configs_count = COUNT_OF(configs),
    .size = sizeof(struct world),
    .begin = begin,
    .offer = offer,
    .step = step,
    .row = row,
    .pack = pack,
    .image = pack,
    .tell = tell,
    .tell_event = tell_event,
    .restless = BIT(KEEPER_AWAY) | BIT(UNANSWERED) | BIT(USE) | BIT(SEEN) | BIT(CUT)
                | BIT(SERVER_CUT) | BIT(RESET),
    .fair = BIT(SIGNED),
    .is_settled = is_settled,
};
