/*
 * A borrowed run of bytes. Never owned, never NUL-terminated: whoever made the bytes keeps them,
 * and says for how long. Knows nothing of what the bytes mean.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_USE      __attribute__((warn_unused_result))
#define COUNT_OF(arr) (sizeof(arr) / sizeof((arr)[0]))

struct slice {
    const uint8_t *at;
    size_t len;
};

/* The bytes of a string literal or other NUL-terminated text, without the NUL. */
static inline struct slice slice_text(const char *text)
{
    return (struct slice){.at = (const uint8_t *)text, .len = strlen(text)};
}

/* The `len` bytes at `at`. */
static inline struct slice slice_of(const void *at, size_t len)
{
    return (struct slice){.at = (const uint8_t *)at, .len = len};
}

/* Are both the same bytes? Not for secrets: the time taken tells where they differ. */
bool slice_equal(struct slice a, struct slice b);
bool slice_is_text(struct slice a, const char *text);
bool slice_has_prefix(struct slice a, struct slice prefix);

/* Less than, equal to or greater than zero: the order of memcmp, a shorter run first. */
int slice_compare(struct slice a, struct slice b);

/* What is left of `a` without its first `count` bytes; empty where it has not as many. */
struct slice slice_after(struct slice a, size_t count);

/* Are both the same bytes? Takes the same time wherever they differ; for tags, tokens and secrets.
 */
bool equal_ct(const void *a, const void *b, size_t len);

/* Overwrites a secret; never removed by the compiler. */
void wipe(void *at, size_t len);

#endif
