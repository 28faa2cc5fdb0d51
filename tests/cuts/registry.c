/*
 * The registry: each change is one transaction with its entry, durable when it is answered. A
 * certificate that left is in the registry; an entry never lacks its effect, nor an effect its
 * entry; a login link that was used stays used.
 */
#include "durable.h"
#include "io/operators.h"

#include <string.h>

struct keeping {
    uint32_t done; /* the first so many steps were answered */
};

struct clerk {
    struct port *port;
    struct registry *registry;
    struct operators *operators;
};

static const struct digest link = {{7}};
static const struct digest session = {{8}};

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static bool open_clerk(struct clerk *c, struct sim_world *world)
{
    struct port_why why;
    *c = (struct clerk){.port = sim_start(world, CUTS_MACHINE, on_event, NULL)};
    return port_dir_make(c->port, "/data/control") == PORT_OK
           && port_dir_sync(c->port, "/data") == PORT_OK && port_dir_sync(c->port, "/") == PORT_OK
           && registry_open(c->port, "/data/control/registry.db", true, &c->registry, &why)
                  == REGISTRY_OK
           && operators_open(c->registry, &c->operators, &why) == REGISTRY_OK;
}

static void close_clerk(struct clerk *c)
{
    operators_close(c->operators);
    registry_close(c->registry);
    port_close_all(c->port);
}

static struct registry_device device_of(uint8_t n)
{
    struct registry_device device = {
        .origin = REGISTRY_HARDWARE, .state = IDENTITY_EXPECTED, .created_ms = 5};
    device.id.bytes[0] = n;
    device.hardware_key.bytes[0] = n;
    device.name[0] = (char)('a' + n);
    device.serial[0] = (char)('a' + n);
    return device;
}

static enum registry_result issue(struct registry *r, uint8_t serial, const struct registry_note *n)
{
    static struct registry_certificate c; /* large */
    struct registry_device two = device_of(2);
    c = (struct registry_certificate){
        .serial_len = 16, .not_after_ms = 9000, .issued_ms = 10, .der_len = 700};
    c.device.bytes[0] = 2;
    c.serial[0] = serial;
    c.key.bytes[0] = serial;
    return serial == 1
               ? registry_certificate_issue(r, &two, &c, IDENTITY_EXPECTED, IDENTITY_ENROLLED, n)
               : registry_certificate_issue(r, NULL, &c, IDENTITY_ACTIVE, IDENTITY_ACTIVE, n);
}

static struct slice serial_of(uint8_t n)
{
    static uint8_t serial[16];
    serial[0] = n;
    return slice_of(serial, sizeof serial);
}

static enum registry_result take_link(struct operators *ops)
{
    struct operator_row who;
    return operators_link_take(ops, &link, &session, 100, &who);
}

enum {
    CREATE,
    ENROL,
    SEE,
    TRUST,
    RENEW,
    OPERATOR,
    LINK,
    LOGIN,
    REVOKE,
    TRUST_AGAIN,
    STEPS /* how many */
};

/* Those that carry our own entry, about "x". */
static bool has_note(uint32_t step)
{
    return step != OPERATOR && step != LINK && step != LOGIN;
}

static enum registry_result do_step(struct clerk *c, uint32_t step)
{
    struct registry_note note = {.at_ms = 1000,
                                 .kind = slice_text("step"),
                                 .actor = slice_text("system"),
                                 .object = slice_text("x"),
                                 .detail = slice_text("{}")};
    struct registry_device one = device_of(1);
    struct operator_new anna = {.name = slice_text("anna"),
                                .rights = 1,
                                .label = slice_text("l"),
                                .actor = slice_text("system")};
    struct operator_row who;
    struct device_id two = {{2}};
    switch (step) {
    case CREATE: return registry_device_create(c->registry, &one, &note);
    case ENROL: return issue(c->registry, 1, &note);
    case SEE: return registry_certificate_seen(c->registry, serial_of(1), 50, &note);
    case TRUST:
        return registry_trust_list_add(c->registry, 1, slice_text("p"), slice_text("1"), &note);
    case RENEW: return issue(c->registry, 2, &note);
    case OPERATOR: return operators_add(c->operators, &anna);
    case LINK:
        return operators_by_name(c->operators, slice_text("anna"), &who) == REGISTRY_OK
                   ? operators_link_add(c->operators, who.id, &link, 10, 1000, slice_text("system"))
                   : REGISTRY_BROKEN;
    case LOGIN: return take_link(c->operators);
    case REVOKE:
        return registry_device_move(c->registry, &two, IDENTITY_ACTIVE, IDENTITY_REVOKED, &note);
    default:
        return registry_trust_list_add(c->registry, 2, slice_text("p"), slice_text("2"), &note);
    }
}

static void scenario(void *context, struct sim_world *world)
{
    struct keeping *k = context;
    struct clerk c;
    bool ok = open_clerk(&c, world);
    for (uint32_t step = 0; ok && step < STEPS; step++) {
        ok = do_step(&c, step) == REGISTRY_OK;
        k->done = ok ? step + 1 : k->done;
    }
    close_clerk(&c);
}

/* Is the effect of the step there? REGISTRY_OK or REGISTRY_NOT_FOUND. */
static enum registry_result see_step(struct clerk *c, uint32_t step)
{
    static struct registry_certificate cert; /* large */
    struct registry_device device;
    struct operator_row who;
    struct operator_session in_use;
    struct device_id ids[2] = {{{1}}, {{2}}};
    uint64_t number = 0;
    uint8_t bytes[64];
    struct writer payload = writer_over(bytes, 32);
    struct writer whole = writer_over(bytes + 32, 32);
    enum registry_result result;
    switch (step) {
    case CREATE: return registry_device_by_id(c->registry, &ids[0], &device);
    case ENROL: return registry_certificate_by_serial(c->registry, serial_of(1), &cert);
    case SEE:
        result = registry_certificate_by_serial(c->registry, serial_of(1), &cert);
        return result == REGISTRY_OK && cert.seen_ms == 0 ? REGISTRY_NOT_FOUND : result;
    case RENEW: return registry_certificate_by_serial(c->registry, serial_of(2), &cert);
    case OPERATOR: return operators_by_name(c->operators, slice_text("anna"), &who);
    case LOGIN: return operators_session_get(c->operators, &session, &in_use);
    case REVOKE:
        result = registry_device_by_id(c->registry, &ids[1], &device);
        return result == REGISTRY_OK && device.state != IDENTITY_REVOKED ? REGISTRY_NOT_FOUND
                                                                         : result;
    default:
        result = registry_trust_list(c->registry, &number, &payload, &whole);
        return result == REGISTRY_OK && number < (step == TRUST ? 1 : 2) ? REGISTRY_NOT_FOUND
                                                                         : result;
    }
}

static bool count_entry(void *context, const struct registry_entry *entry)
{
    uint32_t *count = context;
    (*count) += slice_is_text(entry->kind, "step");
    return true;
}

/* How many steps are there; TOLD where the registry cannot say. */
static enum verdict count_steps(struct clerk *c, uint32_t *count)
{
    uint32_t notes = 0;
    uint32_t entries = 0;
    bool has_gap = false;
    *count = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        if (step == LINK) { /* seen by what follows alone */
            continue;
        }
        enum registry_result result = see_step(c, step);
        if (result != REGISTRY_OK && result != REGISTRY_NOT_FOUND) {
            return TOLD;
        }
        if (result == REGISTRY_OK) {
            has_gap = has_gap || (*count < step && !(step == LOGIN && *count == LINK));
            *count = step + 1;
            notes += has_note(step);
        }
    }
    if (registry_entries_each(c->registry, slice_text("x"), INT64_MAX, count_entry, &entries)
        != REGISTRY_OK) {
        return TOLD;
    }
    return has_gap || entries != notes ? BROKEN : KEPT;
}

/* What is left to do can still be done, and what can be done once is not done twice. */
static enum verdict go_on(struct clerk *c, uint32_t from)
{
    if (from > LOGIN && take_link(c->operators) == REGISTRY_OK) {
        return BROKEN;
    }
    for (uint32_t step = from; step < STEPS; step++) {
        enum registry_result result = do_step(c, step);
        if (result != REGISTRY_OK && !(step == LINK && result == REGISTRY_TAKEN)) {
            return TOLD;
        }
    }
    uint32_t count = 0;
    enum verdict verdict = count_steps(c, &count);
    return verdict == KEPT && count != STEPS ? BROKEN : verdict;
}

static enum verdict recover(void *context, struct sim_world *world)
{
    const struct keeping *k = context;
    struct clerk c;
    uint32_t count = 0;
    enum verdict verdict = open_clerk(&c, world) ? count_steps(&c, &count) : TOLD;
    if (verdict == KEPT && count < (k->done == LINK + 1 ? LINK : k->done)) {
        verdict = BROKEN;
    }
    verdict = verdict == KEPT ? go_on(&c, count) : verdict;
    close_clerk(&c);
    return verdict;
}

static uint64_t promised(void *context)
{
    const struct keeping *k = context;
    return k->done;
}

const struct durable durable_registry = {
    .name = "registry",
    .context_len = sizeof(struct keeping),
    .scenario = scenario,
    .recover = recover,
    .promised = promised,
    .seeded = 2,
    .one_in = 200,
    .one_in_of_recovery = 200,
    .sees_rot = true,
    .calls_step = 2,
};
