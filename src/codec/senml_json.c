/*
 * SenML in JSON (RFC 8428 5), and the flat objects that stock clients send.
 */
#include "base/time.h"
#include "codec/senml_record.h"

#include <string.h>

static const double millis_from = 1e11;   /* a flat number of this size counts milliseconds */
static const double flat_least_s = 1.0e8; /* 1973: below it is an uptime or a counter, not a time */
static const double flat_most_s = 2.5e11;

static bool json_stands(struct senml_reader *r)
{
    if (r->json.result != JSON_OK) {
        bool is_large = r->json.result == JSON_TOO_LARGE || r->json.result == JSON_TOO_DEEP;
        senml_fail(r, is_large ? SENML_TOO_LARGE : SENML_MALFORMED, r->json.clause, r->json.at);
    }
    return r->result == SENML_OK;
}

/* The text of a string: itself, or resolved at the end of the room. */
static struct slice text_in(struct senml_reader *r,
                            const struct json_string *string,
                            uint8_t *room,
                            size_t cap,
                            size_t *len)
{
    if (!string->has_escapes) {
        return string->raw;
    }
    struct writer w = writer_over(room + *len, cap - *len);
    json_string_write(&w, string);
    if (!writer_ok(&w)) {
        senml_fail(r, SENML_TOO_LARGE, "a text that is too long", r->json.at);
        return (struct slice){0};
    }
    *len += w.len;
    return writer_slice(&w);
}

static struct slice read_short(struct senml_reader *r, struct senml_fields *fields)
{
    struct json_string string = json_read_string(&r->json);
    return text_in(r, &string, fields->room, sizeof fields->room, &fields->room_len);
}

static struct slice read_value_text(struct senml_reader *r)
{
    struct json_string string = json_read_string(&r->json);
    size_t len = 0;
    return text_in(r, &string, r->text, sizeof r->text, &len);
}

/* ---- packs ---- */

void senml_open_json(struct senml_reader *r, struct slice pack, int64_t now_ms)
{
    *r =
        (struct senml_reader){.form = SENML_JSON, .json = json_reader_over(pack), .now_ms = now_ms};
    json_read_array(&r->json);
    (void)json_stands(r);
}

static const char *const names[] = {"bver", "bn", "bt", "bu", "bv", "bs", "n", "u",
                                    "v",    "vs", "vb", "s",  "t",  "ut", "vd"};
static const enum senml_label labels[] = {SENML_BVER, SENML_BN, SENML_BT, SENML_BU, SENML_BV,
                                          SENML_BS,   SENML_N,  SENML_U,  SENML_V,  SENML_VS,
                                          SENML_VB,   SENML_S,  SENML_T,  SENML_UT, SENML_VD};

static void value_of(struct senml_fields *fields, enum senml_kind kind)
{
    fields->kind = kind;
    fields->values++;
}

static void read_field(struct senml_reader *r, enum senml_label label, struct senml_fields *fields)
{
    struct json_reader *j = &r->json;
    size_t at = j->at;
    switch (label) {
    case SENML_BVER:
        if (json_read_int(j, 0, INT32_MAX) > SENML_VERSION) {
            senml_fail(r, SENML_UNSUPPORTED, "RFC 8428 4.4: a newer version of SenML", at);
        }
        break;
    case SENML_BN: (void)senml_keep_base_name(r, read_short(r, fields), at); break;
    case SENML_BU: (void)senml_keep_base_unit(r, read_short(r, fields), at); break;
    case SENML_BT:
        r->base_time_s = json_read_double(j);
        r->has_base_time = true;
        break;
    case SENML_BV:
        r->base_value = json_read_double(j);
        r->has_base_value = true;
        break;
    case SENML_N: fields->name = read_short(r, fields); break;
    case SENML_U:
        fields->unit = read_short(r, fields);
        fields->has_unit = true;
        break;
    case SENML_V:
        fields->number = json_read_double(j);
        value_of(fields, SENML_NUMBER);
        break;
    case SENML_VS:
        fields->text = read_value_text(r);
        value_of(fields, SENML_TEXT);
        break;
    case SENML_VB:
        fields->truth = json_read_bool(j);
        value_of(fields, SENML_BOOL);
        break;
    case SENML_T:
        fields->time_s = json_read_double(j);
        fields->has_time = true;
        break;
    case SENML_UT: (void)json_read_double(j); break;
    case SENML_BS:
    case SENML_S:
    case SENML_VD:
        senml_fail(r, SENML_UNSUPPORTED, "sums and data values are not taken", at);
        break;
    }
}

static void skip_unknown(struct senml_reader *r, const struct json_string *name)
{
    if (name->raw.len > 0 && name->raw.at[name->raw.len - 1] == '_') {
        senml_fail(r, SENML_UNSUPPORTED, "RFC 8428 4.4: a label that must be understood",
                   r->json.at);
        return;
    }
    json_skip(&r->json);
}

bool senml_next_json(struct senml_reader *r, struct senml_point *out)
{
    struct json_reader *j = &r->json;
    if (!json_next_element(j)) {
        if (j->result == JSON_OK) {
            (void)json_reader_done(j);
        }
        if (json_stands(r) && r->seen == 0) {
            senml_fail(r, SENML_MALFORMED, "RFC 8428 4.1: a pack without a record", j->at);
        }
        r->ended = true;
        return false;
    }
    struct senml_fields fields = {0};
    struct json_string name;
    uint64_t seen = 0;
    size_t at = j->at;
    json_read_object(j);
    while (r->result == SENML_OK && json_next_name(j, &name)) {
        int which = json_name_once(j, &name, names, COUNT_OF(names), &seen);
        if (which >= 0) {
            read_field(r, labels[which], &fields);
        } else if (j->result == JSON_OK) {
            skip_unknown(r, &name);
        }
    }
    return json_stands(r) && senml_resolve(r, &fields, at, out);
}

/* ---- flat objects ---- */

static bool is_time_name(const struct json_string *name)
{
    return json_string_is(name, "time") || json_string_is(name, "timestamp")
           || json_string_is(name, "datetime") || json_string_is(name, "ts");
}

static bool flat_time_from_number(double number, int64_t *ms)
{
    double seconds = number >= millis_from ? number / 1000.0 : number;
    if (!(seconds >= flat_least_s && seconds <= flat_most_s)) {
        return false;
    }
    *ms = (int64_t)(seconds * 1000.0 + 0.5);
    return true;
}

static bool flat_time(struct senml_reader *r, struct json_reader *j, int64_t *ms)
{
    if (json_peek(j) == JSON_STRING) {
        struct json_string string = json_read_string(j);
        size_t len = 0;
        return time_from_text(text_in(r, &string, r->text, sizeof r->text, &len), ms);
    }
    double number = json_read_double(j);
    return j->result == JSON_OK && flat_time_from_number(number, ms);
}

/* The time stands anywhere in the object and belongs to all its points: look for it first. */
static void find_flat_time(struct senml_reader *r)
{
    struct json_reader j = r->json;
    struct json_string name;
    while (r->result == SENML_OK && json_next_name(&j, &name)) {
        if (!is_time_name(&name)) {
            json_skip(&j);
            continue;
        }
        if (r->has_flat_time) {
            senml_fail(r, SENML_MALFORMED, "two times in one object", j.at);
            return;
        }
        r->has_flat_time = true;
        if (!flat_time(r, &j, &r->flat_time_ms)) {
            senml_fail(r, SENML_MALFORMED, "a time that is neither text nor a number since 1970",
                       j.at);
        }
    }
}

void senml_open_flat(struct senml_reader *r, struct slice object, int64_t now_ms)
{
    struct json_string scratch[SENML_RECORDS_MAX + 8];
    *r = (struct senml_reader){
        .form = SENML_FLAT, .json = json_reader_over(object), .now_ms = now_ms};
    enum json_result whole = json_check(object, scratch, COUNT_OF(scratch));
    if (whole != JSON_OK) {
        bool is_large = whole == JSON_TOO_LARGE || whole == JSON_TOO_DEEP;
        senml_fail(r, is_large ? SENML_TOO_LARGE : SENML_MALFORMED,
                   whole == JSON_DUPLICATE ? "a name twice" : "not JSON, or too much of it", 0);
        return;
    }
    json_read_object(&r->json);
    if (json_stands(r)) {
        find_flat_time(r);
    }
}

void senml_open_any_json(struct senml_reader *r, struct slice text, int64_t now_ms)
{
    struct json_reader peek = json_reader_over(text);
    if (json_peek(&peek) == JSON_ARRAY) {
        senml_open_json(r, text, now_ms);
    } else {
        senml_open_flat(r, text, now_ms);
    }
}

/* A member's value; false where it is no point (null) or none can be made of it. */
static bool flat_value(struct senml_reader *r, struct senml_point *point)
{
    struct json_reader *j = &r->json;
    switch (json_peek(j)) {
    case JSON_NUMBER:
        point->kind = SENML_NUMBER;
        point->number = json_read_double(j);
        return true;
    case JSON_STRING:
        point->kind = SENML_TEXT;
        point->text = read_value_text(r);
        if (point->text.len > SENML_TEXT_MAX) {
            senml_fail(r, SENML_TOO_LARGE, "a text that is too long", j->at);
        }
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        point->kind = SENML_BOOL;
        point->truth = json_read_bool(j);
        return true;
    case JSON_NULL: json_skip(j); return false;
    case JSON_NONE:
    case JSON_OBJECT:
    case JSON_OBJECT_END:
    case JSON_ARRAY:
    case JSON_ARRAY_END:
    case JSON_NAME: break;
    }
    senml_fail(r, SENML_UNSUPPORTED, "an object or array in a flat object", j->at);
    return false;
}

static struct slice flat_name(struct senml_reader *r, const struct json_string *name)
{
    uint8_t room[SENML_NAME_MAX + 1];
    size_t len = 0;
    struct slice text = text_in(r, name, room, sizeof room, &len);
    struct writer w = writer_over(r->name, sizeof r->name);
    senml_name_write(&w, text);
    if (!writer_ok(&w)) {
        senml_fail(r, SENML_TOO_LARGE, "a name that is too long", r->json.at);
    } else if (w.len == 0) {
        senml_fail(r, SENML_MALFORMED, "a name without a letter or digit", r->json.at);
    }
    return writer_slice(&w);
}

bool senml_next_flat(struct senml_reader *r, struct senml_point *out)
{
    struct json_string name;
    while (r->result == SENML_OK && json_next_name(&r->json, &name)) {
        if (is_time_name(&name)) {
            json_skip(&r->json);
            continue;
        }
        struct senml_point point = {
            .has_time = r->has_flat_time,
            .time_ms = r->has_flat_time ? r->flat_time_ms : r->now_ms,
        };
        bool is_point = flat_value(r, &point);
        if (!json_stands(r)) {
            return false;
        }
        if (!is_point) {
            continue;
        }
        if (r->seen++ >= SENML_RECORDS_MAX) {
            senml_fail(r, SENML_TOO_LARGE, "more members than an object may have", r->json.at);
            return false;
        }
        point.name = flat_name(r, &name);
        if (r->result != SENML_OK) {
            return false;
        }
        *out = point;
        return true;
    }
    r->ended = true;
    if (r->result == SENML_OK) {
        (void)json_reader_done(&r->json);
        (void)json_stands(r);
    }
    return false;
}
