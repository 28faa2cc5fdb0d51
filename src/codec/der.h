/*
 * DER (X.690 10, 11) as far as certificates need it: a pull reader over struct reader and a forward
 * writer over struct writer. Strict: shortest lengths, no indefinite form, canonical INTEGER and
 * BOOLEAN, one-byte tags only, values of at most 16 MiB. Sticky like the reader itself: a decoder
 * reads like a schema.
 *
 *     struct reader seq = der_enter(&r, DER_SEQUENCE);
 *     struct slice serial = der_read_positive(&seq);
 *     der_leave(&r, &seq);          fails `r` unless `seq` was read to its end
 */
#ifndef CODEC_DER_H
#define CODEC_DER_H

#include "base/reader.h"
#include "base/slice.h"
#include "base/writer.h"

enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_UTF8_STRING = 0x0c,
    DER_NUMERIC_STRING = 0x12,
    DER_PRINTABLE_STRING = 0x13,
    DER_T61_STRING = 0x14,
    DER_IA5_STRING = 0x16,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_UNIVERSAL_STRING = 0x1c,
    DER_BMP_STRING = 0x1e,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT = 0x80,            /* | number: [n] IMPLICIT of a primitive type */
    DER_CONTEXT_CONSTRUCTED = 0xa0 /* | number: [n] EXPLICIT, or IMPLICIT of a constructed type */
};
enum { DER_VALUE_MAX = 16 * 1024 * 1024 };

/* ---- reading ---- */

struct der_item {
    uint8_t tag;
    struct slice value; /* the content octets */
    struct slice whole; /* tag, length and content */
};

/* The next element whatever its tag; a zero item where the reader has failed. */
struct der_item der_read_item(struct reader *r);

/* Is the next element of this tag? False at the end. */
bool der_next_is(const struct reader *r, uint8_t tag);

/* The content, or the whole encoding, of the next element, which must be of this tag. */
struct slice der_read(struct reader *r, uint8_t tag);
struct slice der_read_whole(struct reader *r, uint8_t tag);

/* A reader over the content of the next element; der_leave fails `outer` unless all of it was read
 * well. */
struct reader der_enter(struct reader *r, uint8_t tag);
void der_leave(struct reader *outer, const struct reader *inner);

bool der_read_bool(struct reader *r);    /* 00 or FF only */
uint32_t der_read_u32(struct reader *r); /* an INTEGER of 0 to 2^32 - 1 */
struct slice der_read_positive(
    struct reader *r); /* an INTEGER above 0: its octets without a leading zero */
struct slice der_read_bits(
    struct reader *r); /* a BIT STRING of whole octets, without the count octet */

/* A named bit list of at most 16 bits, bit 0 first (the highest of the result is bit 0 of the
 * list). */
uint16_t der_read_named_bits(struct reader *r);

/* UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 wants them: Z, seconds, no fraction, the form by
 * the year. */
int64_t der_read_time_ms(struct reader *r);

/* An OBJECT IDENTIFIER's content octets, held against X.690 8.19. */
struct slice der_read_oid(struct reader *r);
bool der_is_oid(struct slice octets);

/* ---- writing ---- */

/* Opens a constructed (or wrapping primitive) element; der_end sets its length. They nest. */
size_t der_begin(struct writer *w, uint8_t tag);
void der_end(struct writer *w, size_t mark);

void der_write(struct writer *w, uint8_t tag, struct slice value);
void der_write_bool(struct writer *w, bool value);
void der_write_u32(struct writer *w, uint32_t value);
void der_write_positive(struct writer *w,
                        struct slice magnitude); /* any leading zeros are dropped */
void der_write_null(struct writer *w);
void der_write_oid(struct writer *w, struct slice oid);     /* content octets */
void der_write_bits(struct writer *w, struct slice octets); /* a BIT STRING of whole octets */
void der_write_named_bits(struct writer *w, uint16_t bits); /* as der_read_named_bits gives them */

/* UTCTime up to 2049, GeneralizedTime from 2050 and before 1950; whole seconds. */
void der_write_time_ms(struct writer *w, int64_t unix_ms);

/* May `text` be a PrintableString (X.680 41.4)? */
bool der_is_printable(struct slice text);

#endif
