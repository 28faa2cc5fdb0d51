/*
 * SenML (RFC 8428) in CBOR and JSON, and flat JSON objects, to resolved points: base fields
 * applied, times absolute. An iterator over the caller's bytes; names that had to be put together
 * live in the iterator.
 *
 *     struct senml_reader r;
 *     senml_open_cbor(&r, payload, received_ms);
 *     while (senml_next(&r, &point)) { ... }
 *     if (r.result != SENML_OK) { nothing of the pack may count: r.fault.clause }
 *
 * Taken: bn bt bu bv bver n u v vs vb t ut. Refused: sums (s, bs), data values (vd), a record
 * without a value, a name twice over the limits, an unknown label that must be understood (text
 * ending in '_'), in CBOR any unknown label at all, and in CBOR what is not deterministic.
 */
#ifndef CODEC_SENML_H
#define CODEC_SENML_H

#include "base/fault.h"
#include "base/slice.h"
#include "base/writer.h"
#include "codec/cbor.h"
#include "codec/json.h"

enum {
    SENML_RECORDS_MAX = 256, /* records of a pack, members of a flat object */
    SENML_NAME_MAX = 255,    /* bytes of a resolved name */
    SENML_UNIT_MAX = 31,
    SENML_TEXT_MAX = 1024,
    SENML_VERSION = 10
};

enum senml_result {
    SENML_OK = 0,
    SENML_MALFORMED,   /* not CBOR or JSON, or not SenML */
    SENML_UNSUPPORTED, /* SenML, but with what is listed above as refused, or of a newer version */
    SENML_TOO_LARGE    /* a limit above */
};

enum senml_kind { SENML_NUMBER = 1, SENML_TEXT, SENML_BOOL };

struct senml_point {
    struct slice name; /* valid until the next senml_next */
    struct slice unit; /* may be empty */
    bool has_time;     /* the sender said when; false: time_ms is `now_ms` */
    int64_t time_ms;   /* since 1970 */
    enum senml_kind kind;
    double number;     /* finite */
    struct slice text; /* valid until the next senml_next */
    bool truth;
};

enum senml_form { SENML_CBOR = 1, SENML_JSON, SENML_FLAT };

struct senml_reader {
    enum senml_form form;
    struct cbor_reader cbor;
    struct json_reader json;
    int64_t now_ms;
    uint64_t left; /* records of a CBOR pack */
    uint32_t seen;
    enum senml_result result;
    struct fault fault; /* `at`: the offset in the bytes */
    bool ended;
    /* base fields */
    uint8_t base_name[SENML_NAME_MAX];
    size_t base_name_len;
    uint8_t base_unit[SENML_UNIT_MAX];
    size_t base_unit_len;
    double base_time_s, base_value;
    bool has_base_time, has_base_value;
    /* flat: the object's own time */
    bool has_flat_time;
    int64_t flat_time_ms;
    /* the present point */
    uint8_t name[SENML_NAME_MAX];
    uint8_t unit[SENML_UNIT_MAX];
    uint8_t text[SENML_TEXT_MAX];
};

/* `now_ms` stands in for a missing time, and relative times (below 2^28 s) count from it. */
void senml_open_cbor(struct senml_reader *r, struct slice pack, int64_t now_ms);
void senml_open_json(struct senml_reader *r, struct slice pack, int64_t now_ms);

/*
 * {"time": ..., "temperature": 21.5, "door": "open", "on": true}: each member but the time is a
 * point. The time is "time", "timestamp", "datetime", "ts" or "t": a number of seconds (or of
 * milliseconds from 10^11 on), or text as base/time.h reads it. A null is no point. Names are made
 * SenML names as senml_name_write does.
 */
void senml_open_flat(struct senml_reader *r, struct slice object, int64_t now_ms);

/* senml_open_json for an array, senml_open_flat for anything else. */
void senml_open_any_json(struct senml_reader *r, struct slice text, int64_t now_ms);

bool senml_next(struct senml_reader *r, struct senml_point *out);

/* Letters, digits and -:./_ , the first a letter or digit (RFC 8428 4.5.1). */
bool senml_name_is_valid(struct slice name);

/* Writes `text` as a SenML name: every run of other characters becomes one '_', at the ends none.
 */
void senml_name_write(struct writer *w, struct slice text);

/* Is this a time since 1970 to every reader? One below 2^28 s counts from when it is read. */
bool senml_time_is_absolute(int64_t time_ms);

/* ---- writing CBOR packs: senml_pack_write, then `count` records ---- */

struct senml_record {
    struct slice base_name, base_unit;
    bool has_base_time;
    int64_t base_time_ms;
    struct slice name, unit;
    bool has_time;
    int64_t time_ms; /* added to the base time where one was given */
    enum senml_kind kind;
    double number;
    struct slice text;
    bool truth;
};
void senml_pack_write(struct writer *w, size_t count);
void senml_record_write(struct writer *w, const struct senml_record *record);

#endif
