/*
 * CBOR (RFC 8949): a pull reader and a writer over the caller's bytes. Definite lengths only.
 * Sticky like struct reader: after the first wrong item every read gives zero, so a decoder reads
 * like a schema and asks cbor_done once. Refused always: indefinite lengths, reserved heads, text
 * that is not UTF-8, counts that cannot fit the bytes left, nesting deeper than CBOR_DEPTH_MAX, a
 * map key twice. CBOR_DETERMINISTIC (4.2.1) demands besides: shortest heads, shortest floats, keys
 * in the order of their encoded bytes.
 *
 *     struct cbor_reader r = cbor_over(bytes, CBOR_DETERMINISTIC);
 *     struct cbor_map map = cbor_enter_map(&r);
 *     while (cbor_next_key(&r, &map)) {
 *         switch (cbor_read_i64(&r)) {
 *         case 1: boot = cbor_read_u64(&r); break;
 *         default: cbor_fail(&r, "unknown label");
 *         }
 *     }
 *     if (!cbor_done(&r)) { r.fault }
 */
#ifndef CODEC_CBOR_H
#define CODEC_CBOR_H

#include "base/fault.h"
#include "base/reader.h"
#include "base/slice.h"
#include "base/writer.h"

enum {
    CBOR_DEPTH_MAX = 16,
    CBOR_LAX_KEYS_MAX =
        64,           /* keys of one map that CBOR_ANY compares with each other; more are refused */
    CBOR_HEAD_MAX = 9 /* bytes of an item's head */
};

enum cbor_mode { CBOR_ANY, CBOR_DETERMINISTIC };

enum cbor_kind {
    CBOR_NONE, /* at the end, and after a failure */
    CBOR_UINT,
    CBOR_NINT,
    CBOR_BYTES,
    CBOR_TEXT,
    CBOR_ARRAY,
    CBOR_MAP,
    CBOR_TAG,
    CBOR_BOOL,
    CBOR_NULL,
    CBOR_UNDEFINED,
    CBOR_SIMPLE, /* any other simple value */
    CBOR_FLOAT
};

struct cbor_reader {
    struct reader in;
    size_t size; /* of all the bytes */
    enum cbor_mode mode;
    struct fault fault; /* clause NULL while all is well; `at` is an offset in the bytes */
};

struct cbor_reader cbor_over(struct slice bytes, enum cbor_mode mode);

/* The kind of the next item without taking it; CBOR_NONE at the end, too. */
enum cbor_kind cbor_peek(const struct cbor_reader *r);

/* From here on nothing can be read; the first clause stays. */
void cbor_fail(struct cbor_reader *r, const char *clause);
bool cbor_ok(const struct cbor_reader *r);
/* No failure and nothing left over. */
bool cbor_done(struct cbor_reader *r);

/* ---- sticky reads; each fails the reader where the next item is of another kind ---- */

uint64_t cbor_read_u64(struct cbor_reader *r);
uint64_t cbor_read_u64_most(struct cbor_reader *r, uint64_t most); /* fails beyond `most` */
int64_t cbor_read_i64(struct cbor_reader *r);                      /* fails where it does not fit */
struct slice cbor_read_bytes(struct cbor_reader *r);
struct slice cbor_read_bytes_of(struct cbor_reader *r, size_t len); /* of exactly this length */
struct slice cbor_read_text(struct cbor_reader *r);
bool cbor_read_bool(struct cbor_reader *r);
void cbor_read_null(struct cbor_reader *r);
double cbor_read_double(struct cbor_reader *r); /* a float of any width */
double cbor_read_number(struct cbor_reader *r); /* a float, or an integer (rounded beyond 2^53) */
uint64_t cbor_read_tag(struct cbor_reader *r);
uint8_t cbor_read_simple(struct cbor_reader *r);  /* a simple value of kind CBOR_SIMPLE */
uint64_t cbor_enter_array(struct cbor_reader *r); /* how many items follow */

/* Takes one whole item with all in it and gives its encoding; holds it against every rule of the
 * mode. */
struct slice cbor_skip(struct cbor_reader *r);

/* ---- maps ---- */

struct cbor_map {
    uint64_t left;      /* pairs not yet begun */
    uint64_t seen;      /* pairs begun */
    struct reader from; /* at the first key, for CBOR_ANY */
    struct slice key;   /* the encoding of the key that cbor_next_key stands before */
};
struct cbor_map cbor_enter_map(struct cbor_reader *r);

/*
 * Is there another pair? Then its key comes next (read it, then its value). Fails the reader where
 * the key was there before, or breaks the order. The value of the pair before must have been read
 * whole.
 */
bool cbor_next_key(struct cbor_reader *r, struct cbor_map *map);

/* ---- writing: always deterministic heads and floats; maps are as sorted as their writer ---- */

void cbor_write_u64(struct writer *w, uint64_t value);
void cbor_write_i64(struct writer *w, int64_t value);
void cbor_write_bytes(struct writer *w, struct slice bytes);
void cbor_write_bytes_head(struct writer *w, uint64_t len); /* the bytes themselves follow */
void cbor_write_text(struct writer *w, struct slice text); /* `text` must be UTF-8; else overflow */
void cbor_write_array(struct writer *w, uint64_t count);
void cbor_write_map(struct writer *w, uint64_t pairs);
void cbor_write_tag(struct writer *w, uint64_t tag);
void cbor_write_bool(struct writer *w, bool value);
void cbor_write_null(struct writer *w);
void cbor_write_double(struct writer *w,
                       double value); /* as the shortest float that is the same number */

#endif
