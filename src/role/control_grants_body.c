/* What POST /grants asks for: its body, taken apart. Whether it can be granted is not looked at. */
#include "codec/pem.h"
#include "role/control_grants.h"
#include "role/control_inside.h"

#include <string.h>

enum { PEM_TEXT_MAX = 8192 };

static struct slice take_text(struct grant_body *b, const struct json_string *s)
{
    size_t at = b->text.len;
    json_string_write(&b->text, s);
    return slice_of(b->room + at, b->text.len - at);
}

static void take_list(struct json_reader *r, struct grant_body *b, struct grant_list *list)
{
    json_read_array(r);
    while (json_next_element(r)) {
        struct json_string item = json_read_string(r);
        if (list->count == GRANT_ITEMS_MAX) {
            json_reader_fail(r, JSON_UNEXPECTED, "more than 16 of one kind");
        } else {
            list->items[list->count++] = take_text(b, &item);
        }
    }
}

static bool take_csr(struct grant_body *b, const struct json_string *s)
{
    static char pem[PEM_TEXT_MAX];
    struct writer p = writer_over(pem, sizeof pem);
    struct writer d = writer_over(b->der, sizeof b->der);
    struct slice label;
    struct slice bytes;
    json_string_write(&p, s);
    struct slice rest = writer_slice(&p);
    if (!writer_ok(&p) || pem_next(&rest, &label, &d, &bytes) != PEM_OK
        || !slice_is_text(label, "CERTIFICATE REQUEST")) {
        return false;
    }
    b->der_len = d.len;
    return true;
}

enum grant_member { M_NAME, M_PUBLISH, M_SUBSCRIBE, M_CLIENT_IDS, M_DAYS, M_CSR };
static const char *const members[] = {"name", "publish", "subscribe", "client_ids", "days", "csr"};

static void take_member(struct json_reader *r, struct grant_body *b, int member, bool *has_csr)
{
    struct json_string s;
    switch ((enum grant_member)member) {
    case M_NAME:
        s = json_read_string(r);
        b->grant.name = take_text(b, &s);
        return;
    case M_PUBLISH: take_list(r, b, &b->grant.publish); return;
    case M_SUBSCRIBE: take_list(r, b, &b->grant.subscribe); return;
    case M_CLIENT_IDS: take_list(r, b, &b->grant.client_ids); return;
    case M_DAYS: b->days = json_read_int(r, 1, GRANT_DAYS_MAX); return;
    case M_CSR:
        s = json_read_string(r);
        *has_csr = take_csr(b, &s);
        return;
    }
}

bool grant_body_read(struct ask *a, struct grant_body *b)
{
    struct json_reader r = json_reader_over(a->call->body);
    struct json_string name;
    uint64_t seen = 0;
    bool has_csr = false;
    memset(b, 0, sizeof *b);
    b->days = GRANT_DAYS_USUAL;
    b->text = writer_over(b->room, sizeof b->room);
    json_read_object(&r);
    while (json_next_name(&r, &name)) {
        int at = json_name_once(&r, &name, members, COUNT_OF(members), &seen);
        if (at < 0) {
            json_reader_fail(&r, JSON_UNEXPECTED, "a member that is not known");
        } else {
            take_member(&r, b, at, &has_csr);
        }
    }
    if (!json_reader_done(&r) || (seen & 1) == 0 || !writer_ok(&b->text)) {
        ask_problem(a, 400, "HF-3005",
                    r.clause != NULL ? r.clause : "\"name\" and \"csr\" (PEM) are needed");
        return false;
    }
    if (!has_csr) {
        ask_problem(a, 400, "HF-3502", "it is not one PEM block CERTIFICATE REQUEST");
        return false;
    }
    return true;
}
