/*
 * Between senml.c (base fields, times, CBOR) and senml_json.c: one record as it was read, before
 * the base fields are applied. Not for anybody else.
 */
#ifndef CODEC_SENML_RECORD_H
#define CODEC_SENML_RECORD_H

#include "codec/senml.h"

/* RFC 8428 table 4: labels in CBOR; senml_labels has their names in JSON. */
enum senml_label {
    SENML_BVER = -1,
    SENML_BN = -2,
    SENML_BT = -3,
    SENML_BU = -4,
    SENML_BV = -5,
    SENML_BS = -6,
    SENML_N = 0,
    SENML_U = 1,
    SENML_V = 2,
    SENML_VS = 3,
    SENML_VB = 4,
    SENML_S = 5,
    SENML_T = 6,
    SENML_UT = 7,
    SENML_VD = 8
};

struct senml_fields {
    struct slice name, unit, text; /* of this record; `room` holds what had escapes */
    bool has_unit, has_time;
    uint32_t values; /* how many of v, vs, vb */
    enum senml_kind kind;
    double number, time_s;
    bool truth;
    uint8_t room[SENML_NAME_MAX + SENML_UNIT_MAX];
    size_t room_len;
};

/* The pack ends here with this result. */
void senml_fail(struct senml_reader *r, enum senml_result result, const char *clause, size_t at);

/* Applies the base fields; fails the reader where no point comes of it. */
bool senml_resolve(struct senml_reader *r,
                   struct senml_fields *fields,
                   size_t at,
                   struct senml_point *out);

/* Keeps a base field for this and all further records. */
bool senml_keep_base_name(struct senml_reader *r, struct slice name, size_t at);
bool senml_keep_base_unit(struct senml_reader *r, struct slice unit, size_t at);

bool senml_next_json(struct senml_reader *r, struct senml_point *out);
bool senml_next_flat(struct senml_reader *r, struct senml_point *out);

#endif
