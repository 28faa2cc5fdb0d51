/*
 * Short runs of bytes of any length in one pool of equal chunks: levels of topics, client ids,
 * names of shared groups, lists of identifiers. A text is known by its first chunk; its length is
 * its owner's to keep. An empty one has no chunk.
 */
#ifndef CORE_GATEWAY_TEXTS_H
#define CORE_GATEWAY_TEXTS_H

#include "base/slice.h"

enum { GW_TEXT_CHUNK = 28 };
#define GW_TEXT_NONE UINT32_MAX

struct gw_text_chunk {
    uint32_t next;
    uint8_t bytes[GW_TEXT_CHUNK];
};

struct gw_texts {
    struct gw_text_chunk *chunks;
    uint32_t cap, free_count, free_head;
};

void gw_texts_init(struct gw_texts *t, struct gw_text_chunk *chunks, uint32_t cap);

/* Chunks that a text of this length takes. */
uint32_t gw_texts_need(size_t len);

/* The pool has room (gw_texts_need within free_count), or an invariant breaks. */
uint32_t gw_texts_put(struct gw_texts *t, struct slice text);
void gw_texts_drop(struct gw_texts *t, uint32_t text, size_t len);

/* Copies `len` bytes of the text to `to`. */
void gw_texts_read(const struct gw_texts *t, uint32_t text, size_t len, uint8_t *to);
bool gw_texts_equal(const struct gw_texts *t, uint32_t text, size_t len, struct slice other);

#endif
