/*
 * The routes of grants. A change is durable in the registry first, then in the file that gateways
 * read, and answered after both.
 */
#include "codec/pem.h"
#include "role/control_grants_inside.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS UINT64_C(86400000)

enum { PEM_TEXT_MAX = 8192, WHY_MAX = 400 };

/* ---- answers ---- */

static void put_pem(struct json_writer *j, const char *name, struct slice der)
{
    static uint8_t text[PEM_TEXT_MAX];
    struct writer w = writer_over(text, sizeof text);
    pem_write(&w, "CERTIFICATE", der);
    INVARIANT(writer_ok(&w));
    json_put_slice(j, name, writer_slice(&w));
}

static void put_list(struct json_writer *j, const char *name, const struct grant_list *list)
{
    json_name(j, name);
    json_array(j);
    for (uint32_t i = 0; i < list->count; i++) {
        json_slice(j, list->items[i]);
    }
    json_array_end(j);
}

static bool put_certificate(void *context, const struct application_certificate *c)
{
    struct ask *a = context;
    struct json_writer *j = &a->json;
    json_object(j);
    json_name(j, "serial");
    json_hex(j, slice_of(c->serial, c->serial_len));
    json_name(j, "key");
    json_hex(j, slice_of(c->key.bytes, sizeof c->key.bytes));
    json_put_text(j, "state",
                  !c->is_live                    ? "withdrawn"
                  : c->not_after_ms <= a->now_ms ? "expired"
                                                 : "live");
    json_put_time(j, "not_before", c->not_before_ms);
    json_put_time(j, "not_after", c->not_after_ms);
    json_put_time(j, "issued_at", c->issued_ms);
    json_object_end(j);
    return true;
}

/* Which gateways go by the newest grants: true, false, or null where one does not say. */
static void put_gateways(struct ask *a)
{
    struct control *c = a->control;
    json_name(&a->json, "gateways");
    json_array(&a->json);
    for (uint32_t i = 0; i < c->reports_count; i++) {
        const struct report *r = &c->reports[i];
        double number = 0;
        if (!r->is_gateway) {
            continue;
        }
        bool is_known =
            strcmp(report_state(c, r), "connected") == 0
            && metrics_first(slice_of(r->text, r->len), "holdfast_gateway_grants_number", &number);
        json_object(&a->json);
        json_put_text(&a->json, "name", r->role);
        if (is_known) {
            json_put_bool(&a->json, "in_force", number >= (double)c->grants->number);
        } else {
            json_put_null(&a->json, "in_force");
        }
        json_object_end(&a->json);
    }
    json_array_end(&a->json);
}

/* `row` NULL: of the configuration alone. */
static void put_grant_members(struct ask *a,
                              const struct grant *grant,
                              const struct application *row,
                              bool is_configured)
{
    struct json_writer *j = &a->json;
    bool is_withdrawn = row != NULL && row->state == APPLICATION_WITHDRAWN;
    json_put_u64(j, "v", 1);
    json_put_slice(j, "name", grant->name);
    json_put_text(j, "state", is_withdrawn && !is_configured ? "withdrawn" : "granted");
    json_put_text(j, "from", is_configured ? "configuration" : "command");
    put_list(j, "publish", &grant->publish);
    put_list(j, "subscribe", &grant->subscribe);
    put_list(j, "client_ids", &grant->client_ids);
    json_put_time(j, "created_at", row != NULL ? row->created_ms : 0);
    json_put_time(j, "changed_at", row != NULL ? row->changed_ms : 0);
    json_name(j, "certificates");
    json_array(j);
    if (applications_certificates_each(a->control->grants->apps, grant->name, put_certificate, a)
        != REGISTRY_OK) {
        control_fail(a->control, "the registry cannot be read", "certificates of an application");
    }
    json_array_end(j);
}

/* What a row or the configuration grants under this name; false: nothing ever did. */
static bool find_grant(struct control *c,
                       struct slice name,
                       struct application *row,
                       struct grant *grant,
                       bool *has_row,
                       bool *is_configured)
{
    const struct grant *of_configuration = grants_configured(c, name);
    *has_row = applications_get(c->grants->apps, name, row) == REGISTRY_OK;
    *is_configured = of_configuration != NULL;
    if (*is_configured) {
        *grant = *of_configuration;
        return true;
    }
    return *has_row && grants_read_rules(c->grants, slice_of(row->rules, row->rules_len), grant);
}

struct listing {
    struct ask *ask;
    uint64_t count;
};

static bool list_row(void *context, const struct application *row)
{
    struct listing *l = context;
    struct control *c = l->ask->control;
    struct grant grant;
    if (grants_configured(c, slice_text(row->name)) == NULL
        && grants_read_rules(c->grants, slice_of(row->rules, row->rules_len), &grant)) {
        json_object(&l->ask->json);
        put_grant_members(l->ask, &grant, row, false);
        json_object_end(&l->ask->json);
        l->count++;
    }
    return true;
}

void grants_list(struct ask *a)
{
    static struct application row;
    struct control *c = a->control;
    struct listing l = {.ask = a};
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_time(&a->json, "now", a->now_ms);
    json_put_u64(&a->json, "number", c->grants->number);
    json_name(&a->json, "items");
    json_array(&a->json);
    for (size_t i = 0; i < c->config->applications_count; i++) {
        const struct grant *grant = &c->config->applications[i];
        bool has_row = applications_get(c->grants->apps, grant->name, &row) == REGISTRY_OK;
        json_object(&a->json);
        put_grant_members(a, grant, has_row ? &row : NULL, true);
        json_object_end(&a->json);
        l.count++;
    }
    if (applications_each(c->grants->apps, list_row, &l) != REGISTRY_OK) {
        control_fail(c, "the registry cannot be read", "grants of applications");
    }
    json_array_end(&a->json);
    json_put_null(&a->json, "next");
    json_put_u64(&a->json, "total", l.count);
    put_gateways(a);
    json_object_end(&a->json);
    ask_done(a);
}

static void answer_grant(struct ask *a, int status, struct slice name, struct slice certificate)
{
    static struct application row;
    static struct grant grant;
    bool has_row = false;
    bool is_configured = false;
    if (!find_grant(a->control, name, &row, &grant, &has_row, &is_configured)) {
        ask_problem(a, 404, "HF-3604", NULL);
        return;
    }
    json_object(&a->json);
    put_grant_members(a, &grant, has_row ? &row : NULL, is_configured);
    json_put_time(&a->json, "now", a->now_ms);
    put_gateways(a);
    if (certificate.len > 0) {
        struct slice issuer;
        struct slice root;
        control_devices_chain(a->control->devices, &issuer, &root);
        put_pem(&a->json, "certificate", certificate);
        put_pem(&a->json, "chain", issuer);
        put_pem(&a->json, "root", root);
    }
    json_object_end(&a->json);
    ask_done_fields(a, status, NULL);
}

void grants_show(struct ask *a)
{
    answer_grant(a, 200, a->variable, (struct slice){0});
}

/* ---- changes ---- */

static struct registry_note note_of(struct ask *a,
                                    const char *kind,
                                    char actor[OPERATOR_NAME_MAX + 16],
                                    struct slice name,
                                    struct slice detail)
{
    (void)snprintf(actor, OPERATOR_NAME_MAX + 16, "operator %s", a->who.name);
    return (struct registry_note){.at_ms = a->now_ms,
                                  .kind = slice_text(kind),
                                  .actor = slice_text(actor),
                                  .object = name,
                                  .detail = detail};
}

/* Which rules, which certificate: the entry's detail. */
static struct slice detail_of(struct writer *w, const struct grant *grant, struct slice serial)
{
    struct json_writer j = json_writer_to(w);
    json_object(&j);
    put_list(&j, "publish", &grant->publish);
    put_list(&j, "subscribe", &grant->subscribe);
    put_list(&j, "client_ids", &grant->client_ids);
    json_name(&j, "serial");
    if (serial.len > 0) {
        json_hex(&j, serial);
    } else {
        json_null(&j);
    }
    json_object_end(&j);
    return writer_ok(w) && w->len <= REGISTRY_DETAIL_MAX ? writer_slice(w)
                                                         : slice_text("{\"long\":true}");
}

static void failed(struct ask *a, enum registry_result result)
{
    if (result == REGISTRY_TAKEN) {
        ask_problem(a, 409, "HF-3603", NULL);
    } else if (result == REGISTRY_FULL) {
        ask_problem(a, 503, "HF-3221", NULL);
    } else {
        control_fail(a->control, "the registry cannot be written", "a grant");
        ask_problem(a, 500, "HF-3403", NULL);
    }
}

/* Durable, then told to the gateways, then answered. */
static void settle(struct ask *a,
                   const struct application *what,
                   const struct application_certificate *certificate,
                   struct slice der,
                   const char *actor)
{
    static uint8_t detail[GRANT_ROOM];
    struct control *c = a->control;
    struct writer w = writer_over(detail, sizeof detail);
    struct grant grant = {0};
    const struct grant *of_configuration = grants_configured(c, slice_text(what->name));
    if (of_configuration != NULL) {
        grant = *of_configuration;
    } else {
        (void)HOLDS(grants_read_rules(c->grants, slice_of(what->rules, what->rules_len), &grant));
    }
    struct registry_note note = {
        .at_ms = a->now_ms,
        .kind = slice_text("application-granted"),
        .actor = slice_text(actor),
        .object = slice_text(what->name),
        .detail =
            detail_of(&w, &grant,
                      certificate != NULL ? slice_of(certificate->serial, certificate->serial_len)
                                          : (struct slice){0}),
    };
    enum registry_result result = applications_grant(c->grants->apps, what, certificate, &note);
    if (result != REGISTRY_OK) {
        failed(a, result);
    } else if (!grants_publish(c)) {
        ask_problem(a, 503, "HF-3605", NULL);
    } else {
        answer_grant(a, 201, slice_text(what->name), der);
    }
}

static void answered(void *context, const struct application_answer *answer)
{
    static struct application_certificate certificate;
    struct grant_ask *ask = context;
    struct control *c = ask->control;
    struct http_call *call = http_call_find(c->console, ask->call);
    ask->used = false;
    if (call == NULL) {
        return; /* who asked is gone, and nothing was kept: it may ask again */
    }
    struct ask a = {.control = c,
                    .call = call,
                    .out = writer_over(c->answer, CONTROL_ANSWER_MAX),
                    .now_ms = control_now(c)};
    a.json = json_writer_to(&a.out);
    if (answer->outcome != APPLICATION_SIGNED) {
        bool is_bad = answer->outcome == APPLICATION_BAD_REQUEST;
        ask_problem(&a, is_bad ? 400 : 503, is_bad ? "HF-3502" : "HF-3503", answer->reason);
        return;
    }
    certificate = (struct application_certificate){.key = answer->key,
                                                   .serial_len = (uint8_t)answer->serial.len,
                                                   .is_live = true,
                                                   .not_before_ms = answer->not_before_ms,
                                                   .not_after_ms = answer->not_after_ms,
                                                   .issued_ms = answer->issued_ms,
                                                   .der_len = (uint16_t)answer->certificate.len};
    memcpy(certificate.application, ask->what.name, sizeof certificate.application);
    memcpy(certificate.serial, answer->serial.at, answer->serial.len);
    memcpy(certificate.der, answer->certificate.at, answer->certificate.len);
    settle(&a, &ask->what, &certificate, answer->certificate, ask->actor);
}

/* ---- what is asked for ---- */

static bool says_rights(const struct grant *g)
{
    return g->publish.count + g->subscribe.count + g->client_ids.count > 0;
}

static void refuse_grant(struct ask *a, const char *clause, struct slice at)
{
    char why[WHY_MAX];
    (void)snprintf(why, sizeof why, "\"%.*s\": %s", (int)(at.len < 200 ? at.len : 200),
                   at.len > 0 ? (const char *)at.at : "", clause);
    ask_problem(a, 400, "HF-3601", why);
}

/* What is to be granted: what the body says, else what holds already. False: answered. */
static bool settle_rules(struct ask *a, const struct grant *said, struct application *what)
{
    static struct application row;
    static struct grant kept;
    struct control_grants *g = a->control->grants;
    struct slice at;
    bool has_row = false;
    bool is_configured = false;
    struct grant named = {.name = said->name,
                          .subscribe = {.count = 1, .items = {slice_text("x")}}};
    const char *clause = grant_fault(&named, &at);
    if (clause != NULL) {
        refuse_grant(a, clause, at);
        return false;
    }
    bool is_known = find_grant(a->control, said->name, &row, &kept, &has_row, &is_configured);
    if (is_configured && says_rights(said)) {
        ask_problem(a, 409, "HF-3602", NULL);
        return false;
    }
    if (!is_known && g->composed.count == GRANTS_MAX) {
        ask_problem(a, 409, "HF-3607", NULL);
        return false;
    }
    memset(what, 0, sizeof *what);
    memcpy(what->name, said->name.at, said->name.len);
    if (is_configured) {
        return true; /* the rules stay in the configuration */
    }
    const struct grant *rules = says_rights(said) ? said : &kept;
    clause = says_rights(said) || is_known ? grant_fault(rules, &at)
                                           : "it may publish nothing and subscribe to nothing";
    if (clause != NULL) {
        refuse_grant(a, clause, says_rights(said) ? at : said->name);
        return false;
    }
    struct writer w = writer_over(what->rules, sizeof what->rules);
    g->asked.number = 1; /* no literal: it is larger than a frame may be */
    g->asked.count = 1;
    g->asked.list[0] = *rules;
    g->asked.list[0].keys_count = 0;
    grants_write(&w, &g->asked);
    if (!writer_ok(&w)) {
        refuse_grant(a, "its filters are longer than 12 KiB together", said->name);
        return false;
    }
    what->rules_len = (uint16_t)w.len;
    return true;
}

void grants_post(struct ask *a)
{
    static struct grant_body body;
    static struct application_certificate kept;
    static struct application what;
    struct control *c = a->control;
    struct grant_ask *ask = NULL;
    struct digest key;
    const char *clause = "";
    for (size_t i = 0; i < GRANT_ASKS_MAX && ask == NULL; i++) {
        ask = c->grants->asks[i].used ? NULL : &c->grants->asks[i];
    }
    if (!grant_body_read(a, &body) || !settle_rules(a, &body.grant, &what)) {
        return;
    }
    if (!control_application_key(slice_of(body.der, body.der_len), &key, &clause)) {
        ask_problem(a, 400, "HF-3502", clause);
        return;
    }
    if (c->devices == NULL || ask == NULL) {
        ask_problem(a, 503, "HF-3503", NULL);
        return;
    }
    uint64_t most_ms = c->config->application_lifetime_ms;
    uint64_t life_ms = (uint64_t)body.days * DAY_MS;
    if (most_ms != 0 && life_ms > most_ms) {
        if (body.days != GRANT_DAYS_USUAL) {
            refuse_grant(a, "[ca] application_lifetime lets no certificate live so long",
                         body.grant.name);
            return;
        }
        life_ms = most_ms;
    }
    char actor[OPERATOR_NAME_MAX + 16];
    (void)snprintf(actor, sizeof actor, "operator %s", a->who.name);
    enum registry_result result = applications_certificate_by_key(c->grants->apps, &key, &kept);
    if (result == REGISTRY_OK) {
        /* An answer was lost, or the rights alone are to change: the key keeps its certificate. */
        bool is_own = strcmp(kept.application, what.name) == 0 && kept.is_live
                      && kept.not_after_ms > a->now_ms;
        if (is_own) {
            settle(a, &what, NULL, slice_of(kept.der, kept.der_len), actor);
        } else {
            ask_problem(a, 409, "HF-3603", NULL);
        }
        return;
    }
    if (result != REGISTRY_NOT_FOUND) {
        failed(a, result);
        return;
    }
    *ask = (struct grant_ask){.used = true, .call = http_call_id(a->call), .control = c};
    ask->what = what;
    memcpy(ask->actor, actor, sizeof ask->actor);
    control_application_issue(c->devices, slice_text(ask->what.name),
                              slice_of(body.der, body.der_len), life_ms, answered, ask);
}

void grants_withdraw(struct ask *a)
{
    struct control *c = a->control;
    char actor[OPERATOR_NAME_MAX + 16];
    char name[REGISTRY_NAME_MAX + 1];
    if (a->variable.len > REGISTRY_NAME_MAX) {
        ask_problem(a, 404, "HF-3604", NULL);
        return;
    }
    memcpy(name, a->variable.at, a->variable.len);
    name[a->variable.len] = '\0';
    struct registry_note note =
        note_of(a, "application-withdrawn", actor, slice_text(name), slice_text("{}"));
    enum registry_result result = applications_withdraw(c->grants->apps, slice_text(name), &note);
    if (result == REGISTRY_NOT_FOUND) {
        ask_problem(a, 404, "HF-3604", NULL);
    } else if (result == REGISTRY_STALE) {
        ask_problem(a, 409, "HF-3606", NULL);
    } else if (result != REGISTRY_OK) {
        failed(a, result);
    } else if (!grants_publish(c)) {
        ask_problem(a, 503, "HF-3605", NULL);
    } else {
        answer_grant(a, 200, slice_text(name), (struct slice){0});
    }
}
