#include "core/gateway/texts.h"

#include "base/invariant.h"

#include <string.h>

void gw_texts_init(struct gw_texts *t, struct gw_text_chunk *chunks, uint32_t cap)
{
    *t = (struct gw_texts){.chunks = chunks, .cap = cap, .free_count = cap};
    t->free_head = cap > 0 ? 0 : GW_TEXT_NONE;
    for (uint32_t i = 0; i < cap; i++) {
        chunks[i].next = i + 1 < cap ? i + 1 : GW_TEXT_NONE;
    }
}

uint32_t gw_texts_need(size_t len)
{
    return (uint32_t)((len + GW_TEXT_CHUNK - 1) / GW_TEXT_CHUNK);
}

uint32_t gw_texts_put(struct gw_texts *t, struct slice text)
{
    uint32_t first = GW_TEXT_NONE;
    uint32_t *link = &first;
    INVARIANT(gw_texts_need(text.len) <= t->free_count);
    while (text.len > 0) {
        size_t len = text.len < GW_TEXT_CHUNK ? text.len : GW_TEXT_CHUNK;
        uint32_t at = t->free_head;
        struct gw_text_chunk *chunk = &t->chunks[at];
        t->free_head = chunk->next;
        t->free_count--;
        memcpy(chunk->bytes, text.at, len);
        text = slice_after(text, len);
        *link = at;
        link = &chunk->next;
    }
    *link = GW_TEXT_NONE;
    return first;
}

void gw_texts_drop(struct gw_texts *t, uint32_t text, size_t len)
{
    for (uint32_t left = gw_texts_need(len); left > 0; left--) {
        uint32_t next = t->chunks[text].next;
        t->chunks[text].next = t->free_head;
        t->free_head = text;
        t->free_count++;
        text = next;
    }
    INVARIANT(text == GW_TEXT_NONE);
}

void gw_texts_read(const struct gw_texts *t, uint32_t text, size_t len, uint8_t *to)
{
    while (len > 0) {
        size_t run = len < GW_TEXT_CHUNK ? len : GW_TEXT_CHUNK;
        memcpy(to, t->chunks[text].bytes, run);
        to += run;
        len -= run;
        text = t->chunks[text].next;
    }
}

bool gw_texts_equal(const struct gw_texts *t, uint32_t text, size_t len, struct slice other)
{
    if (len != other.len) {
        return false;
    }
    while (other.len > 0) {
        size_t run = other.len < GW_TEXT_CHUNK ? other.len : GW_TEXT_CHUNK;
        if (memcmp(t->chunks[text].bytes, other.at, run) != 0) {
            return false;
        }
        other = slice_after(other, run);
        text = t->chunks[text].next;
    }
    return true;
}
