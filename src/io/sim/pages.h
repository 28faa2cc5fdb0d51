/*
 * The bytes of a simulated file in pages that copies share until one of them is written: a disk can
 * be copied for every imagined cut, and told from others by its hash, at the cost of what differs.
 */
#ifndef IO_SIM_PAGES_H
#define IO_SIM_PAGES_H

#include "base/slice.h"

enum { PAGES_LEN = 4096 };

struct page;

struct pages {
    struct page **list; /* NULL: a page of zeroes */
    size_t cap;
    uint64_t len; /* bytes; what lies behind them in the last page is zero */
};

void pages_put(struct pages *p, uint64_t offset, struct slice from); /* grows it where needed */
void pages_resize(struct pages *p, uint64_t len);                    /* with zeroes */
size_t pages_read(const struct pages *p, uint64_t offset, void *to, size_t len);
void pages_copy(struct pages *to, const struct pages *from); /* `to` was empty */
uint64_t pages_hash(const struct pages *p);                  /* of length and contents */
void pages_free(struct pages *p);

#endif
