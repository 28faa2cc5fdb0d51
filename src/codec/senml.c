#include "codec/senml.h"

#include "codec/senml_record.h"

#include <string.h>

/* RFC 8428 4.5.3: a time below this counts from now. */
static const double relative_below_s = 268435456.0;

bool senml_time_is_absolute(int64_t time_ms)
{
    return (double)time_ms / 1000.0 >= relative_below_s;
}

static const double time_most_s = 253402300799.0; /* the year 9999 */
static const double finite_most = 1.7976931348623157e308;

void senml_fail(struct senml_reader *r, enum senml_result result, const char *clause, size_t at)
{
    if (r->result == SENML_OK) {
        r->result = result;
        fault_note(&r->fault, clause, at);
    }
    r->ended = true;
}

/* ---- names ---- */

static bool is_letter_or_digit(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_name_byte(uint8_t c)
{
    return is_letter_or_digit(c) || c == '-' || c == ':' || c == '.' || c == '/' || c == '_';
}

bool senml_name_is_valid(struct slice name)
{
    if (name.len == 0 || name.len > SENML_NAME_MAX || !is_letter_or_digit(name.at[0])) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_byte(name.at[i])) {
            return false;
        }
    }
    return true;
}

void senml_name_write(struct writer *w, struct slice text)
{
    size_t from = 0;
    while (from < text.len && !is_letter_or_digit(text.at[from])) {
        from++;
    }
    bool owes_mark = false;
    for (size_t i = from; i < text.len; i++) {
        if (!is_name_byte(text.at[i])) {
            owes_mark = true;
            continue;
        }
        if (owes_mark) {
            write_u8(w, '_');
            owes_mark = false;
        }
        write_u8(w, text.at[i]);
    }
}

/* ---- base fields ---- */

static bool keep(
    struct senml_reader *r, struct slice given, uint8_t *to, size_t cap, size_t *len, size_t at)
{
    if (given.len > cap) {
        senml_fail(r, SENML_TOO_LARGE, "a name or unit that is too long", at);
        return false;
    }
    if (given.len > 0) {
        memcpy(to, given.at, given.len);
    }
    *len = given.len;
    return true;
}

bool senml_keep_base_name(struct senml_reader *r, struct slice name, size_t at)
{
    return keep(r, name, r->base_name, sizeof r->base_name, &r->base_name_len, at);
}

bool senml_keep_base_unit(struct senml_reader *r, struct slice unit, size_t at)
{
    return keep(r, unit, r->base_unit, sizeof r->base_unit, &r->base_unit_len, at);
}

static bool resolve_name(struct senml_reader *r, struct slice name, size_t at, struct slice *out)
{
    struct writer w = writer_over(r->name, sizeof r->name);
    write_bytes(&w, r->base_name, r->base_name_len);
    write_slice(&w, name);
    if (!writer_ok(&w)) {
        senml_fail(r, SENML_TOO_LARGE, "a name that is too long", at);
        return false;
    }
    *out = writer_slice(&w);
    if (!senml_name_is_valid(*out)) {
        senml_fail(r, SENML_MALFORMED, "RFC 8428 4.5.1: not a name", at);
        return false;
    }
    return true;
}

static bool resolve_unit(struct senml_reader *r,
                         const struct senml_fields *fields,
                         size_t at,
                         struct slice *out)
{
    struct slice unit = fields->has_unit ? fields->unit : slice_of(r->base_unit, r->base_unit_len);
    size_t len = 0;
    if (!keep(r, unit, r->unit, sizeof r->unit, &len, at)) {
        return false;
    }
    *out = slice_of(r->unit, len);
    return true;
}

static bool resolve_time(struct senml_reader *r,
                         const struct senml_fields *fields,
                         size_t at,
                         int64_t *out)
{
    double seconds = r->base_time_s + (fields->has_time ? fields->time_s : 0);
    if (!(seconds <= time_most_s && seconds >= -time_most_s)) {
        senml_fail(r, SENML_MALFORMED, "a time beyond every calendar", at);
        return false;
    }
    double ms = seconds * 1000.0;
    int64_t whole = (int64_t)(ms + (ms < 0 ? -0.5 : 0.5));
    *out = seconds < relative_below_s ? r->now_ms + whole : whole;
    return true;
}

bool senml_resolve(struct senml_reader *r,
                   struct senml_fields *fields,
                   size_t at,
                   struct senml_point *out)
{
    struct senml_point point = {.kind = fields->kind, .text = fields->text, .truth = fields->truth};
    if (r->seen++ >= SENML_RECORDS_MAX) {
        senml_fail(r, SENML_TOO_LARGE, "more records than a pack may have", at);
        return false;
    }
    if (fields->values != 1) {
        senml_fail(r, SENML_MALFORMED, "RFC 8428 4.2: not exactly one value in a record", at);
        return false;
    }
    if (fields->kind == SENML_NUMBER) {
        point.number = r->has_base_value ? r->base_value + fields->number : fields->number;
        if (!(point.number <= finite_most && point.number >= -finite_most)) {
            senml_fail(r, SENML_MALFORMED, "a number that is not finite", at);
            return false;
        }
    }
    if (fields->kind == SENML_TEXT && fields->text.len > SENML_TEXT_MAX) {
        senml_fail(r, SENML_TOO_LARGE, "a text that is too long", at);
        return false;
    }
    point.has_time = r->has_base_time || fields->has_time;
    if (!resolve_name(r, fields->name, at, &point.name) || !resolve_unit(r, fields, at, &point.unit)
        || !resolve_time(r, fields, at, &point.time_ms)) {
        return false;
    }
    *out = point;
    return true;
}

/* ---- CBOR ---- */

void senml_open_cbor(struct senml_reader *r, struct slice pack, int64_t now_ms)
{
    *r = (struct senml_reader){
        .form = SENML_CBOR, .cbor = cbor_over(pack, CBOR_DETERMINISTIC), .now_ms = now_ms};
    r->left = cbor_enter_array(&r->cbor);
    if (!cbor_ok(&r->cbor)) {
        senml_fail(r, SENML_MALFORMED, r->cbor.fault.clause, r->cbor.fault.at);
    } else if (r->left == 0) {
        senml_fail(r, SENML_MALFORMED, "RFC 8428 4.1: a pack without a record", 0);
    } else if (r->left > SENML_RECORDS_MAX) {
        senml_fail(r, SENML_TOO_LARGE, "more records than a pack may have", 0);
    }
}

static void value_of(struct senml_fields *fields, enum senml_kind kind)
{
    fields->kind = kind;
    fields->values++;
}

static void read_cbor_field(struct senml_reader *r, int64_t label, struct senml_fields *fields)
{
    struct cbor_reader *c = &r->cbor;
    size_t at = c->size - c->in.rest.len;
    switch (label) {
    case SENML_BVER:
        if (cbor_read_u64(c) > SENML_VERSION) {
            senml_fail(r, SENML_UNSUPPORTED, "RFC 8428 4.4: a newer version of SenML", at);
        }
        break;
    case SENML_BN: (void)senml_keep_base_name(r, cbor_read_text(c), at); break;
    case SENML_BU: (void)senml_keep_base_unit(r, cbor_read_text(c), at); break;
    case SENML_BT:
        r->base_time_s = cbor_read_number(c);
        r->has_base_time = true;
        break;
    case SENML_BV:
        r->base_value = cbor_read_number(c);
        r->has_base_value = true;
        break;
    case SENML_N: fields->name = cbor_read_text(c); break;
    case SENML_U:
        fields->unit = cbor_read_text(c);
        fields->has_unit = true;
        break;
    case SENML_V:
        fields->number = cbor_read_number(c);
        value_of(fields, SENML_NUMBER);
        break;
    case SENML_VS:
        fields->text = cbor_read_text(c);
        value_of(fields, SENML_TEXT);
        break;
    case SENML_VB:
        fields->truth = cbor_read_bool(c);
        value_of(fields, SENML_BOOL);
        break;
    case SENML_T:
        fields->time_s = cbor_read_number(c);
        fields->has_time = true;
        break;
    case SENML_UT: (void)cbor_read_number(c); break;
    case SENML_BS:
    case SENML_S:
    case SENML_VD:
        senml_fail(r, SENML_UNSUPPORTED, "sums and data values are not taken", at);
        break;
    default: cbor_fail(c, "an unknown label in a record"); break;
    }
}

static bool next_cbor(struct senml_reader *r, struct senml_point *out)
{
    struct cbor_reader *c = &r->cbor;
    if (r->left == 0) {
        if (!cbor_done(c)) {
            senml_fail(r, SENML_MALFORMED, c->fault.clause, c->fault.at);
        }
        r->ended = true;
        return false;
    }
    r->left--;
    struct senml_fields fields = {0};
    size_t at = c->size - c->in.rest.len;
    struct cbor_map map = cbor_enter_map(c);
    while (r->result == SENML_OK && cbor_next_key(c, &map)) {
        read_cbor_field(r, cbor_read_i64(c), &fields);
    }
    if (!cbor_ok(c)) {
        senml_fail(r, SENML_MALFORMED, c->fault.clause, c->fault.at);
    }
    return r->result == SENML_OK && senml_resolve(r, &fields, at, out);
}

bool senml_next(struct senml_reader *r, struct senml_point *out)
{
    if (r->ended) {
        return false;
    }
    switch (r->form) {
    case SENML_CBOR: return next_cbor(r, out);
    case SENML_JSON: return senml_next_json(r, out);
    case SENML_FLAT: return senml_next_flat(r, out);
    }
    return false;
}

/* ---- writing ---- */

void senml_pack_write(struct writer *w, size_t count)
{
    cbor_write_array(w, count);
}

static void write_time(struct writer *w, enum senml_label label, int64_t ms)
{
    cbor_write_i64(w, label);
    if (ms % 1000 == 0) {
        cbor_write_i64(w, ms / 1000);
    } else {
        cbor_write_double(w, (double)ms / 1000.0);
    }
}

static void write_text_field(struct writer *w, enum senml_label label, struct slice text)
{
    if (text.len > 0) {
        cbor_write_i64(w, label);
        cbor_write_text(w, text);
    }
}

void senml_record_write(struct writer *w, const struct senml_record *record)
{
    uint64_t pairs = 1;
    pairs += record->name.len > 0;
    pairs += record->unit.len > 0;
    pairs += record->has_time;
    pairs += record->base_name.len > 0;
    pairs += record->has_base_time;
    pairs += record->base_unit.len > 0;
    cbor_write_map(w, pairs);
    write_text_field(w, SENML_N, record->name);
    write_text_field(w, SENML_U, record->unit);
    switch (record->kind) {
    case SENML_NUMBER:
        cbor_write_i64(w, SENML_V);
        cbor_write_double(w, record->number);
        break;
    case SENML_TEXT:
        cbor_write_i64(w, SENML_VS);
        cbor_write_text(w, record->text);
        break;
    case SENML_BOOL:
        cbor_write_i64(w, SENML_VB);
        cbor_write_bool(w, record->truth);
        break;
    }
    if (record->has_time) {
        write_time(w, SENML_T, record->time_ms);
    }
    write_text_field(w, SENML_BN, record->base_name);
    if (record->has_base_time) {
        write_time(w, SENML_BT, record->base_time_ms);
    }
    write_text_field(w, SENML_BU, record->base_unit);
}
