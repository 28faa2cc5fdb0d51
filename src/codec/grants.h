/*
 * What applications may do: which topics each may publish to and subscribe to, under which client
 * ids, and the keys of the certificates it has. Control writes this file for the gateways of its
 * site (DATA/grants/applications.toml), a strict subset of TOML:
 *
 *     number = 17                       # rises with each change
 *     [[application]]
 *     name = "historian"
 *     publish = ["plant/historian/#"]   # filters; none: it may publish nothing
 *     subscribe = ["hf/1/+/t/#"]
 *     client_ids = ["historian-*"]      # * is any run of characters; none: its name alone
 *     keys = ["9c4e..."]                # SHA-256 of the SubjectPublicKeyInfo, in hex
 *
 * An application is let in with a key that is listed, and with no other: a withdrawn grant is one
 * that is not here, so that nobody must remember what was withdrawn. `[[application]]` of
 * holdfast.toml has the same keys but number and keys.
 */
#ifndef CODEC_GRANTS_H
#define CODEC_GRANTS_H

#include "base/id.h"
#include "base/slice.h"
#include "base/writer.h"
#include "codec/toml.h"

enum {
    GRANTS_MAX = 256,
    GRANT_ITEMS_MAX = 16, /* filters of one kind, and patterns */
    GRANT_ITEM_MAX = 200, /* bytes of a filter or pattern */
    GRANT_KEYS_MAX = 4,
    GRANT_NAME_MAX = 63,
    GRANTS_TEXT_MAX = 4 * 1024 * 1024 /* bytes of the longest file there can be */
};

struct grant_list {
    uint32_t count;
    struct slice items[GRANT_ITEMS_MAX];
};

struct grant { /* slices borrow from the text it was read from */
    struct slice name;
    struct grant_list publish, subscribe, client_ids;
    uint32_t keys_count;
    struct digest keys[GRANT_KEYS_MAX];
};

struct grants {
    uint64_t number;
    uint32_t count;
    struct grant list[GRANTS_MAX];
};

enum grants_result {
    GRANTS_OK = 0,
    GRANTS_WRONG /* fault says where and what; nothing of `out` may be used */
};

MUST_USE enum grants_result grants_read(struct slice text,
                                        struct grants *out,
                                        struct toml_fault *fault);
/* As grants_read reads it; each grant must be one that grant_fault finds nothing wrong with. */
void grants_write(struct writer *w, const struct grants *grants);

/*
 * Takes a key of an [[application]] table. False, having said what is wrong, where it is no key of
 * one, or its value is not of that key's form. `seen` has a bit for each key met so far: 0 at the
 * beginning of a table.
 */
MUST_USE bool grant_take_key(const struct toml_entry *entry,
                             struct grant *grant,
                             uint32_t *seen,
                             const char **what);

/* What is wrong with a grant, in words, or NULL. `at` is the item that it is about, or empty. */
const char *grant_fault(const struct grant *grant, struct slice *at);

/* By its name; NULL where there is none. */
const struct grant *grants_find(const struct grants *grants, struct slice name);
bool grant_has_key(const struct grant *grant, const struct digest *key);

/* Without patterns the one client id of an application is its name. */
bool grant_allows_client_id(const struct grant *grant, struct slice client_id);

bool grant_equal(const struct grant *a, const struct grant *b);

#endif
