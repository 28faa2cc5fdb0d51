/*
 * Field traces: the last events of a role and the states they met, as a file that
 * `holdfast-sim --replay` steps through the same cores again. docs/protocol/trace.cddl is the
 * format. Here are the tables that say what of a struct is worth keeping, and the way from structs
 * to CBOR and back; which structs there are, the cores say (core/.../..._trace.h).
 *
 * A trace is read by the build that wrote it, or one whose structs have the same fields: each core
 * has a layout, a number made of its tables, and another number is refused by name.
 */
#ifndef CODEC_TRACE_H
#define CODEC_TRACE_H

#include "base/invariant.h"
#include "base/recorder.h"
#include "codec/cbor.h"

enum {
    TRACE_VERSION = 1,
    TRACE_CORES_MAX = 8,
    TRACE_ENTRY_MAX = 3 * RECORDER_RECORD_MAX, /* bytes of one entry, encoded */
    TRACE_TEXT_MAX = 200,
    TRACE_IMAGE_MAX = 4096, /* bytes of any image */
    TRACE_CONTEXT_MAX = 16384
};

/* ---- tables ---- */

enum trace_kind {
    TRACE_UINT,    /* of 1, 2, 4 or 8 bytes; an enum is one */
    TRACE_INT,     /* of 8 bytes */
    TRACE_FLAG,    /* bool */
    TRACE_OCTETS,  /* an array of bytes */
    TRACE_LEFT_OUT /* is not kept: a pointer, a place in somebody's list, a secret */
};

struct trace_field {
    const char *name;
    uint16_t at, len;
    enum trace_kind kind;
    uint64_t most;            /* TRACE_UINT: what is larger is refused */
    const char *const *names; /* of the values 0 to `most`, for people; NULL: none */
};

/* A TRACE_UINT whose values have names: an array with one for each, NULL where there is none. */
#define TRACE_NAMED(type, member, names_)                                                          \
    {                                                                                              \
        .name = #member, .at = offsetof(type, member), .len = sizeof(((type *)0)->member),         \
        .kind = TRACE_UINT, .most = COUNT_OF(names_) - 1, .names = (names_)                        \
    }

#define TRACE_FIELD(type, member, kind_, most_)                                                    \
    {                                                                                              \
        .name = #member, .at = offsetof(type, member), .len = sizeof(((type *)0)->member),         \
        .kind = (kind_), .most = (most_)                                                           \
    }

/* What a struct keeps. Behind it may lie bytes or, where `rows` is not NULL, rows of a struct. */
struct trace_shape {
    const struct trace_field *fields;
    uint32_t count;
    uint32_t image_len; /* of the struct; at most TRACE_IMAGE_MAX */
    const struct trace_shape *rows;
};

struct trace_core {
    const char *name;                /* "gateway-session" */
    const struct trace_shape *state; /* NULL: a decision that keeps nothing */
    const struct trace_shape *event;
    /* The state as it is now: fills the image, writes the bytes behind it. NULL with `state`. */
    void (*save)(const void *core, void *image, struct writer *bytes);
};

/* Tells whether two builds mean the same by their traces of this core. */
uint64_t trace_layout(const struct trace_core *core);

/* The first eight bytes of the digest of nothing: another number is another cipher. */
uint64_t trace_cipher(const uint8_t digest_of_nothing[32]);

/*
 * Where the struct has a member that the shape does not name: the offset of its first byte;
 * image_len where every byte is named or is padding. A test asks this of every shape, so that a
 * member that is added is not forgotten.
 */
size_t trace_unnamed(const struct trace_shape *shape);

/* ---- what broke ---- */

struct trace_note {
    bool is_due; /* something broke */
    struct invariant_breach breach;
    const char *promise; /* its name; NULL: an invariant without one */
};

/*
 * Adds what a listener is told (base/invariant.h). The first breach of a step is the cause; of a
 * promise inside INVARIANT or HOLDS both are told, the name first and then the place: one breach.
 */
void trace_note(struct trace_note *note, const struct invariant_breach *breach);

/* A place in the sources as every build names it: "src/core/gateway/session.c", whatever folder the
 * compiler was called in. */
struct slice trace_file(const char *file);

/* ---- writing ---- */

struct trace_breach {
    struct slice file, text;
    uint64_t line;
    struct slice promise; /* empty: none */
};

struct trace_head {
    struct slice role;  /* "gateway" */
    struct slice build; /* "holdfast 0.1.0" */
    int64_t wall_ms;
    struct trace_breach breach;
    struct slice context; /* what the cores were configured with: the role's */
    uint64_t cores_count;
    struct slice cores[TRACE_CORES_MAX]; /* names */
    uint64_t layouts[TRACE_CORES_MAX];
    uint64_t cipher; /* tells the cipher of a simulation from the real one: trace_cipher */
    uint64_t unseen; /* events too large to be recorded */
    bool has_at;     /* the breach happened in a step: */
    uint64_t at_core, at_instance;
    uint64_t entries;
};

/* Everything up to the first entry; the entries follow, then trace_end_write. Texts are cut. */
void trace_head_write(struct writer *w, const struct trace_head *head);

/* One record of the ring; at most TRACE_ENTRY_MAX bytes. */
void trace_entry_write(struct writer *w,
                       const struct trace_core *cores,
                       const struct recorder_record *record);

/* The state in which the breach left the core; `shape` NULL: it was in none. */
void trace_end_write(struct writer *w,
                     const struct trace_shape *shape,
                     const void *image,
                     struct slice bytes);

/* One image with what lies behind it: the encoding whose digest is the state's hash. */
void trace_image_write(struct writer *w,
                       const struct trace_shape *shape,
                       const void *image,
                       struct slice bytes);

/* ---- reading ---- */

struct trace_entry {
    uint64_t core, instance;
    enum recorder_what what;
    struct slice body; /* CBOR, for trace_image_read */
};

struct trace_reader {
    struct cbor_reader cbor;
    uint64_t left; /* entries */
};

/* The first clause that is broken is in reader->cbor.fault, here and below. */
MUST_USE bool trace_open(struct trace_reader *reader, struct slice file, struct trace_head *head);
bool trace_next(struct trace_reader *reader, struct trace_entry *out);

/* After the last entry: the end's body, empty where there is none. False: not a whole trace. */
MUST_USE bool trace_end(struct trace_reader *reader, struct slice *body);

/*
 * Fills the image (zero before) and writes what lies behind it: bytes, or rows as structs. False
 * where the body is not of this shape, holds a number beyond its most, or does not fit.
 */
MUST_USE bool trace_image_read(struct slice body,
                               const struct trace_shape *shape,
                               void *image,
                               struct writer *bytes);

#endif
