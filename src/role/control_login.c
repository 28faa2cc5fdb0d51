/* Who asks: credentials on requests, login links, sessions, and certificates for stock clients. */
#include "codec/pem.h"
#include "role/control_inside.h"

#include <string.h>

enum { LOGIN_FAILURES_MAX = 20, SWEEP_MS = 60 * 60 * 1000 };

/* ---- the credential of a request ---- */

/* The value of our cookie among those of the Cookie fields; empty where there is none. */
static struct slice cookie_of(const struct control *c, const struct http_head *head)
{
    struct slice wanted = slice_text(c->cookie);
    for (size_t i = 0; i < head->field_count; i++) {
        struct slice name = head->fields[i].name;
        struct slice rest = head->fields[i].value;
        if (name.len != 6
            || (memcmp(name.at, "Cookie", 6) != 0 && memcmp(name.at, "cookie", 6) != 0)) {
            continue;
        }
        while (rest.len > 0) {
            const uint8_t *end = memchr(rest.at, ';', rest.len);
            struct slice pair = slice_of(rest.at, end == NULL ? rest.len : (size_t)(end - rest.at));
            rest = slice_after(rest, pair.len + 1);
            while (pair.len > 0 && pair.at[0] == ' ') {
                pair = slice_after(pair, 1);
            }
            if (slice_has_prefix(pair, wanted) && pair.len > wanted.len
                && pair.at[wanted.len] == '=') {
                return slice_after(pair, wanted.len + 1);
            }
        }
    }
    return (struct slice){0};
}

static struct slice bearer_of(const struct http_head *head)
{
    static const char scheme[] = "Bearer ";
    struct slice value = http_field_find(head, "Authorization");
    return slice_has_prefix(value, slice_text(scheme)) ? slice_after(value, sizeof scheme - 1)
                                                       : (struct slice){0};
}

static bool find_token(struct ask *a, struct slice text)
{
    struct digest digest;
    return access_digest(ACCESS_TOKEN, text, &digest)
           && operators_by_token(a->control->operators, &digest, &a->who) == REGISTRY_OK;
}

static bool find_session(struct ask *a, struct slice text)
{
    struct digest digest;
    struct operator_session session;
    if (!access_digest(ACCESS_SESSION, text, &digest)
        || operators_session_get(a->control->operators, &digest, &session) != REGISTRY_OK) {
        return false;
    }
    struct access_session facts = {.created_ms = session.created_ms, .used_ms = session.used_ms};
    if (access_session_is_over(&facts, a->now_ms)) {
        return false;
    }
    if (a->now_ms - session.used_ms >= ACCESS_SESSION_REFRESH_MS
        && operators_session_used(a->control->operators, session.id, a->now_ms)
               == REGISTRY_BROKEN) {
        control_fail(a->control, "the registry cannot be written", "a session's use");
    }
    a->who = session.who;
    return true;
}

/* access_decide, recorded. */
static enum access_verdict decide(struct control *c, const struct access_request *request)
{
    struct access_image asked;
    uint8_t bytes[3 * ACCESS_TRACE_TEXT_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    access_keep(request, &asked, &w);
    trace_event(c->trace, CONTROL_TRACE_ACCESS, 0, NULL, NULL, &asked, writer_slice(&w));
    enum access_verdict verdict = access_decide(request);
    trace_left(c->trace);
    return verdict;
}

enum access_verdict login_decide(struct ask *a, uint32_t needs)
{
    const struct http_head *head = &a->call->head;
    struct slice bearer = bearer_of(head);
    struct slice cookie = cookie_of(a->control, head);
    bool is_cookie = http_field_count(head, "Authorization") == 0;
    if (needs == 0) {
        return ACCESS_ALLOWED;
    }
    struct access_request request = {
        .has_credential = is_cookie ? cookie.len > 0 : true,
        .is_cookie = is_cookie,
        .changes = head->method != HTTP_GET && head->method != HTTP_HEAD,
        .has_mark = slice_is_text(http_field_find(head, "X-Holdfast"), "1"),
        .origin = http_field_find(head, "Origin"),
        .fetch_site = http_field_find(head, "Sec-Fetch-Site"),
        .own_origin = slice_text(a->control->origin),
        .needs = needs,
    };
    request.is_known = is_cookie ? find_session(a, cookie) : find_token(a, bearer);
    request.rights = a->who.rights;
    return decide(a->control, &request);
}

/* ---- signing in ---- */

static bool may_try(struct control *c)
{
    uint64_t minute = port_now_ms(c->port) / 60000;
    if (minute != c->login_minute) {
        c->login_minute = minute;
        c->login_failures = 0;
    }
    return c->login_failures < LOGIN_FAILURES_MAX;
}

static void write_cookie(struct control *c, struct writer *w, struct slice session)
{
    write_text(w, "Set-Cookie: ");
    write_text(w, c->cookie);
    write_u8(w, '=');
    write_slice(w, session);
    write_text(w, "; Path=/; HttpOnly; SameSite=Lax; Max-Age=");
    write_decimal(w, session.len > 0 ? (uint64_t)(ACCESS_SESSION_LIFE_MS / 1000) : 0);
    write_text(w, c->config->console_tls ? "; Secure\r\n" : "\r\n");
}

/* Uses the code up; on true `fields` sets the cookie of the session that it began. */
static bool use_code(
    struct control *c, struct slice code, struct operator_row *who, char *fields, size_t cap)
{
    uint8_t random[ACCESS_SECRET_LEN];
    char text[ACCESS_TEXT_MAX];
    struct digest link;
    struct digest session;
    struct writer t = writer_over(text, sizeof text);
    port_entropy(c->port, random, sizeof random);
    access_write(&t, ACCESS_SESSION, random);
    INVARIANT(access_digest(ACCESS_SESSION, writer_slice(&t), &session));
    bool good = false;
    if (access_digest(ACCESS_LINK, code, &link)) {
        enum registry_result result =
            operators_link_take(c->operators, &link, &session, control_now(c), who);
        good = result == REGISTRY_OK;
        if (result == REGISTRY_BROKEN) {
            control_fail(c, "the registry cannot be written", "a session");
        }
    }
    if (good) {
        struct writer w = writer_over(fields, cap - 1);
        write_cookie(c, &w, writer_slice(&t));
        write_text(&w, "Cache-Control: no-store\r\n");
        INVARIANT(writer_ok(&w));
        fields[w.len] = '\0';
    } else {
        c->login_failures++;
    }
    wipe(text, sizeof text);
    wipe(random, sizeof random);
    return good;
}

void login_by_link(struct control *c, struct http_call *call, struct slice code)
{
    struct operator_row who;
    char fields[512];
    struct http_response response = {.status = 303};
    if (may_try(c) && use_code(c, code, &who, fields, sizeof fields - sizeof "Location: /\r\n")) {
        memcpy(fields + strlen(fields), "Location: /\r\n", sizeof "Location: /\r\n");
        response.fields = fields;
    } else {
        response.fields = "Location: /login?failed=1\r\nCache-Control: no-store\r\n";
    }
    http_answer(call, &response);
    wipe(fields, sizeof fields);
}

static void put_operator(struct ask *a, const struct operator_row *who)
{
    static const enum access_right rights[] = {ACCESS_READ, ACCESS_OPERATE, ACCESS_ADMIN};
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_text(&a->json, "name", who->name);
    json_name(&a->json, "rights");
    json_array(&a->json);
    for (size_t i = 0; i < COUNT_OF(rights); i++) {
        if ((who->rights & rights[i]) != 0) {
            json_text(&a->json, access_right_name(rights[i]));
        }
    }
    json_array_end(&a->json);
    json_object_end(&a->json);
}

/* The one member that the body must have, decoded to `room`; false: answered. */
static bool body_text(struct ask *a, const char *member, char *out, size_t cap)
{
    struct json_reader r = json_reader_over(a->call->body);
    struct json_string name;
    struct json_string value = {0};
    uint64_t seen = 0;
    json_read_object(&r);
    while (json_next_name(&r, &name)) {
        if (json_name_once(&r, &name, &member, 1, &seen) == 0) {
            value = json_read_string(&r);
        } else {
            json_reader_fail(&r, JSON_UNEXPECTED, "a member that is not known");
        }
    }
    struct writer w = writer_over(out, cap - 1);
    json_string_write(&w, &value);
    bool good = json_reader_done(&r) && seen == 1 && writer_ok(&w) && memchr(out, 0, w.len) == NULL;
    if (!good) {
        ask_problem(a, 400, "HF-3005", r.clause);
        return false;
    }
    out[w.len] = '\0';
    return true;
}

void login_post(struct ask *a)
{
    struct control *c = a->control;
    const struct http_head *head = &a->call->head;
    char code[ACCESS_TEXT_MAX + 1];
    char fields[512];
    /* Else another site could sign a browser in as somebody else. */
    if (!slice_is_text(http_field_find(head, "X-Holdfast"), "1")
        || !slice_is_text(http_field_find(head, "Origin"), c->origin)) {
        c->refused[ACCESS_BAD_ORIGIN]++;
        ask_problem(a, 403, "HF-3303", NULL);
        return;
    }
    if (!body_text(a, "token", code, sizeof code)) {
        return;
    }
    if (!may_try(c)) {
        ask_problem(a, 429, "HF-3306", NULL);
        return;
    }
    if (!use_code(c, slice_text(code), &a->who, fields, sizeof fields)) {
        ask_problem(a, 401, "HF-3305", NULL);
        return;
    }
    put_operator(a, &a->who);
    ask_done_fields(a, 200, fields);
    wipe(fields, sizeof fields);
}

void login_out(struct ask *a)
{
    struct control *c = a->control;
    struct digest digest;
    char fields[256];
    struct writer w = writer_over(fields, sizeof fields - 1);
    if (access_digest(ACCESS_SESSION, cookie_of(c, &a->call->head), &digest)) {
        enum registry_result result = operators_session_end(c->operators, &digest, a->now_ms);
        if (result == REGISTRY_BROKEN) {
            control_fail(c, "the registry cannot be written", "the end of a session");
        }
    }
    write_cookie(c, &w, (struct slice){0});
    fields[w.len] = '\0';
    http_answer(a->call, &(struct http_response){.status = 204, .fields = fields});
}

void login_whoami(struct ask *a)
{
    put_operator(a, &a->who);
    ask_done(a);
}

void login_link_post(struct ask *a)
{
    struct control *c = a->control;
    uint8_t random[ACCESS_LINK_LEN];
    char text[ACCESS_TEXT_MAX];
    char url[400];
    struct digest digest;
    struct writer t = writer_over(text, sizeof text);
    struct writer u = writer_over(url, sizeof url);
    port_entropy(c->port, random, sizeof random);
    access_write(&t, ACCESS_LINK, random);
    INVARIANT(access_digest(ACCESS_LINK, writer_slice(&t), &digest));
    int64_t expires = a->now_ms + ACCESS_LINK_LIFE_MS;
    enum registry_result result = operators_link_add(c->operators, a->who.id, &digest, a->now_ms,
                                                     expires, slice_text(a->who.name));
    if (result != REGISTRY_OK) {
        control_fail(c, "the registry cannot be written", "a login link");
        ask_problem(a, 500, "HF-3403", NULL);
        return;
    }
    write_text(&u, c->origin);
    write_text(&u, "/?login=");
    write_slice(&u, writer_slice(&t));
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_slice(&a->json, "url", writer_slice(&u));
    json_put_slice(&a->json, "code", writer_slice(&t));
    json_put_time(&a->json, "expires_at", expires);
    json_object_end(&a->json);
    ask_done_fields(a, 201, NULL);
    wipe(text, sizeof text);
    wipe(url, sizeof url);
}

void login_sweep(struct control *c)
{
    uint64_t now = port_now_ms(c->port);
    if (c->swept_ms != 0 && now - c->swept_ms < SWEEP_MS) {
        return;
    }
    c->swept_ms = now;
    int64_t wall = control_now(c);
    if (operators_sweep(c->operators, wall - ACCESS_SESSION_LIFE_MS, wall - ACCESS_SESSION_IDLE_MS,
                        wall)
        == REGISTRY_BROKEN) {
        control_fail(c, "the registry cannot be written", "sessions that are over");
    }
}

/* ---- bundles: certificates for stock clients ---- */

enum { DER_MAX = 4096, PEM_TEXT_MAX = 8192 };

static void put_pem(struct json_writer *j, const char *name, struct slice der)
{
    static uint8_t text[PEM_TEXT_MAX];
    struct writer w = writer_over(text, sizeof text);
    pem_write(&w, "CERTIFICATE", der);
    INVARIANT(writer_ok(&w)); /* certificates are at most REGISTRY_CERTIFICATE_MAX */
    json_put_slice(j, name, writer_slice(&w));
}

static void answer_bundle(struct ask *a, const char *name, const struct bundle_answer *answer)
{
    char id[DEVICE_ID_TEXT_LEN];
    struct writer w = writer_over(id, sizeof id);
    switch (answer->outcome) {
    case BUNDLE_ISSUED: break;
    case BUNDLE_BAD: ask_problem(a, 400, "HF-3502", answer->reason); return;
    case BUNDLE_TAKEN: ask_problem(a, 409, "HF-3501", NULL); return;
    case BUNDLE_UNAVAILABLE: ask_problem(a, 503, "HF-3503", NULL); return;
    case BUNDLE_NO_ROOM: ask_problem(a, 503, "HF-3221", NULL); return;
    case BUNDLE_FAILED: ask_problem(a, 500, "HF-3403", NULL); return;
    }
    device_id_write_text(&w, &answer->device);
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_text(&a->json, "name", name);
    json_put_slice(&a->json, "id", writer_slice(&w));
    put_pem(&a->json, "certificate", answer->certificate);
    put_pem(&a->json, "chain", answer->issuer);
    put_pem(&a->json, "root", answer->root);
    json_object_end(&a->json);
    ask_done_fields(a, 201, NULL);
}

static void bundle_answered(void *context, const struct bundle_answer *answer)
{
    struct bundle_ask *b = context;
    struct control *c = b->control;
    struct http_call *call = http_call_find(c->console, b->call);
    b->used = false;
    if (answer->outcome == BUNDLE_FAILED) {
        control_fail(c, "the registry cannot be written", "a bundle");
    }
    if (call == NULL) {
        return; /* who asked is gone; the device is in the registry, and its name is taken */
    }
    struct ask a = {
        .control = c,
        .call = call,
        .out = writer_over(c->answer, CONTROL_ANSWER_MAX),
        .now_ms = control_now(c),
    };
    a.json = json_writer_to(&a.out);
    answer_bundle(&a, b->name, answer);
}

static const char *const bundle_members[] = {"name", "csr"};

/* Name and request (DER) of the body; false: answered. */
static bool read_bundle(struct ask *a,
                        char name_room[REGISTRY_NAME_MAX + 1],
                        uint8_t der[DER_MAX],
                        size_t *der_len)
{
    static char pem[PEM_TEXT_MAX];
    struct json_reader r = json_reader_over(a->call->body);
    struct json_string member;
    struct json_string values[2] = {{{0}, false}, {{0}, false}};
    uint64_t seen = 0;
    json_read_object(&r);
    while (json_next_name(&r, &member)) {
        int at = json_name_once(&r, &member, bundle_members, COUNT_OF(bundle_members), &seen);
        if (at < 0) {
            json_reader_fail(&r, JSON_UNEXPECTED, "a member that is not known");
        } else {
            values[at] = json_read_string(&r);
        }
    }
    struct writer n = writer_over(name_room, REGISTRY_NAME_MAX);
    struct writer p = writer_over(pem, sizeof pem);
    json_string_write(&n, &values[0]);
    json_string_write(&p, &values[1]);
    if (!json_reader_done(&r) || seen != 3 || !writer_ok(&n) || n.len == 0 || !writer_ok(&p)) {
        ask_problem(a, 400, "HF-3005",
                    r.clause != NULL ? r.clause
                                     : "\"name\" (1 to 63 bytes) and \"csr\" (PEM) are needed");
        return false;
    }
    name_room[n.len] = '\0';
    struct writer d = writer_over(der, DER_MAX);
    struct slice rest = writer_slice(&p);
    struct slice label;
    struct slice bytes;
    if (pem_next(&rest, &label, &d, &bytes) != PEM_OK
        || !slice_is_text(label, "CERTIFICATE REQUEST")) {
        ask_problem(a, 400, "HF-3502", "it is not one PEM block CERTIFICATE REQUEST");
        return false;
    }
    *der_len = d.len;
    return true;
}

void login_bundle(struct ask *a)
{
    struct control *c = a->control;
    static uint8_t der[DER_MAX];
    size_t der_len = 0;
    struct bundle_ask *b = NULL;
    for (size_t i = 0; i < CONTROL_BUNDLES_MAX && b == NULL; i++) {
        b = c->bundle_asks[i].used ? NULL : &c->bundle_asks[i];
    }
    if (c->devices == NULL || b == NULL) {
        ask_problem(a, 503, "HF-3503", NULL);
        return;
    }
    *b = (struct bundle_ask){.control = c, .call = http_call_id(a->call)};
    if (!read_bundle(a, b->name, der, &der_len)) {
        return;
    }
    char actor[OPERATOR_NAME_MAX + 16];
    struct writer w = writer_over(actor, sizeof actor);
    write_text(&w, "operator ");
    write_text(&w, a->who.name);
    b->used = true;
    control_bundle_issue(c->devices, slice_text(b->name), slice_of(der, der_len), writer_slice(&w),
                         bundle_answered, b);
}
