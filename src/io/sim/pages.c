#include "io/sim/pages.h"

#include "base/invariant.h"

#include <stdlib.h>
#include <string.h>

struct page {
    unsigned users;
    bool is_hashed;
    uint64_t hash;
    uint8_t bytes[PAGES_LEN];
};

static const uint8_t zeroes[PAGES_LEN];

static size_t count_of(uint64_t len)
{
    return (size_t)((len + PAGES_LEN - 1) / PAGES_LEN);
}

static void drop(struct page *page)
{
    if (page != NULL && --page->users == 0) {
        free(page);
    }
}

/* The page at `index`, ours alone; what it holds only where not all of it is about to be written.
 */
static struct page *own(struct pages *p, size_t index, bool is_wanted)
{
    struct page *page = p->list[index];
    if (page == NULL || page->users > 1) {
        struct page *made = malloc(sizeof *made);
        INVARIANT(made != NULL);
        if (is_wanted) {
            memcpy(made->bytes, page != NULL ? page->bytes : zeroes, PAGES_LEN);
        }
        made->users = 1;
        drop(page);
        p->list[index] = made;
        page = made;
    }
    page->is_hashed = false;
    return page;
}

static void make_room(struct pages *p, size_t count)
{
    if (count > p->cap) {
        size_t cap = p->cap == 0 ? 8 : p->cap;
        while (cap < count) {
            cap *= 2;
        }
        struct page **list = realloc(p->list, cap * sizeof *list);
        INVARIANT(list != NULL);
        memset(list + p->cap, 0, (cap - p->cap) * sizeof *list);
        p->list = list;
        p->cap = cap;
    }
}

void pages_resize(struct pages *p, uint64_t len)
{
    size_t count = count_of(len);
    make_room(p, count);
    for (size_t i = count; i < count_of(p->len); i++) {
        drop(p->list[i]);
        p->list[i] = NULL;
    }
    size_t used = (size_t)(len % PAGES_LEN);
    if (len < p->len && used > 0 && p->list[count - 1] != NULL) {
        memset(own(p, count - 1, true)->bytes + used, 0, PAGES_LEN - used);
    }
    p->len = len;
}

void pages_put(struct pages *p, uint64_t offset, struct slice from)
{
    if (from.len == 0) {
        return;
    }
    if (p->len < offset + from.len) {
        pages_resize(p, offset + from.len);
    }
    while (from.len > 0) {
        size_t at = (size_t)(offset % PAGES_LEN);
        size_t len = from.len < PAGES_LEN - at ? from.len : PAGES_LEN - at;
        size_t index = (size_t)(offset / PAGES_LEN);
        bool stays_zero = p->list[index] == NULL && memcmp(from.at, zeroes, len) == 0;
        if (!stays_zero) {
            memcpy(own(p, index, len < PAGES_LEN)->bytes + at, from.at, len);
        }
        offset += len;
        from = slice_after(from, len);
    }
}

size_t pages_read(const struct pages *p, uint64_t offset, void *to, size_t len)
{
    if (offset >= p->len) {
        return 0;
    }
    size_t got = len < p->len - offset ? len : (size_t)(p->len - offset);
    for (size_t done = 0; done < got;) {
        size_t at = (size_t)((offset + done) % PAGES_LEN);
        size_t step = got - done < PAGES_LEN - at ? got - done : PAGES_LEN - at;
        const struct page *page = p->list[(offset + done) / PAGES_LEN];
        memcpy((uint8_t *)to + done, page != NULL ? page->bytes + at : zeroes, step);
        done += step;
    }
    return got;
}

void pages_copy(struct pages *to, const struct pages *from)
{
    size_t count = count_of(from->len);
    make_room(to, count);
    for (size_t i = 0; i < count; i++) {
        to->list[i] = from->list[i];
        if (to->list[i] != NULL) {
            to->list[i]->users++;
        }
    }
    to->len = from->len;
}

static uint64_t mixed(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t hash_of_bytes(const uint8_t bytes[PAGES_LEN])
{
    uint64_t hash = 1;
    for (size_t i = 0; i < PAGES_LEN; i += sizeof hash) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        hash = mixed(hash, word);
    }
    return hash;
}

static uint64_t hash_of_zeroes(void)
{
    static uint64_t hash;
    if (hash == 0) {
        hash = hash_of_bytes(zeroes);
    }
    return hash;
}

uint64_t pages_hash(const struct pages *p)
{
    uint64_t hash = mixed(2, p->len);
    for (size_t i = 0; i < count_of(p->len); i++) {
        struct page *page = p->list[i];
        if (page != NULL && !page->is_hashed) {
            page->hash = hash_of_bytes(page->bytes);
            page->is_hashed = true;
        }
        hash = mixed(hash, page != NULL ? page->hash : hash_of_zeroes());
    }
    return hash;
}

void pages_free(struct pages *p)
{
    for (size_t i = 0; i < count_of(p->len); i++) {
        drop(p->list[i]);
    }
    free(p->list);
    *p = (struct pages){0};
}
