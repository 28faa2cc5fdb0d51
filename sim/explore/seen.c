#include "sim/explore/seen.h"

#include "base/invariant.h"

#include <stdlib.h>
#include <string.h>

static void *grown(void *old, size_t count, size_t size)
{
    void *bytes = realloc(old, count * size);
    if (bytes == NULL) {
        abort();
    }
    return bytes;
}

static uint64_t mixed(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Eight bytes at a time, little end first on every machine. */
uint64_t seen_hash(struct slice bytes)
{
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15) ^ bytes.len;
    for (size_t i = 0; i < bytes.len; i += 8) {
        uint64_t word = 0;
        for (size_t b = 0; b < 8 && i + b < bytes.len; b++) {
            word |= (uint64_t)bytes.at[i + b] << (8 * b);
        }
        hash = mixed(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
    }
    return mixed(hash);
}

void seen_init(struct seen *s, uint32_t limit)
{
    *s = (struct seen){.limit = limit, .slots_count = 1024, .cap = 512, .bytes_cap = 65536};
    s->bytes = grown(NULL, s->bytes_cap, 1);
    s->starts = grown(NULL, s->cap + 1, sizeof *s->starts);
    s->starts[0] = 0;
    s->slots = grown(NULL, s->slots_count, sizeof *s->slots);
    memset(s->slots, 0, s->slots_count * sizeof *s->slots);
}

void seen_free(struct seen *s)
{
    free(s->bytes);
    free(s->starts);
    free(s->slots);
    *s = (struct seen){0};
}

static struct slice string_at(const struct seen *s, uint32_t index)
{
    return slice_of(s->bytes + s->starts[index], s->starts[index + 1] - s->starts[index]);
}

static void more_slots(struct seen *s)
{
    s->slots_count *= 2;
    s->slots = grown(s->slots, s->slots_count, sizeof *s->slots);
    memset(s->slots, 0, s->slots_count * sizeof *s->slots);
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t at = (uint32_t)seen_hash(string_at(s, i)) & (s->slots_count - 1);
        while (s->slots[at] != 0) {
            at = (at + 1) & (s->slots_count - 1);
        }
        s->slots[at] = i + 1;
    }
}

static void keep(struct seen *s, struct slice bytes)
{
    if (s->count == s->cap) {
        s->cap *= 2;
        s->starts = grown(s->starts, (size_t)s->cap + 1, sizeof *s->starts);
    }
    while (s->bytes_len + bytes.len > s->bytes_cap) {
        s->bytes_cap *= 2;
        s->bytes = grown(s->bytes, s->bytes_cap, 1);
    }
    if (bytes.len > 0) {
        memcpy(s->bytes + s->bytes_len, bytes.at, bytes.len);
    }
    s->bytes_len += bytes.len;
    s->starts[++s->count] = s->bytes_len;
}

enum seen_result seen_add(struct seen *s, struct slice bytes, uint32_t *index)
{
    uint64_t hash = seen_hash(bytes);
    uint32_t at = (uint32_t)hash & (s->slots_count - 1);
    while (s->slots[at] != 0) {
        *index = s->slots[at] - 1;
        if (slice_equal(string_at(s, *index), bytes)) {
            return SEEN_BEFORE;
        }
        at = (at + 1) & (s->slots_count - 1);
    }
    if (s->count == s->limit) {
        return SEEN_FULL;
    }
    *index = s->count;
    s->digest += hash;
    keep(s, bytes);
    s->slots[at] = s->count;
    if (s->count > s->slots_count / 2) {
        more_slots(s);
    }
    return SEEN_NEW;
}

/* ---- pairs ---- */

void pairs_init(struct pairs *p)
{
    *p = (struct pairs){.slots_count = 1024};
    p->slots = grown(NULL, p->slots_count, sizeof *p->slots);
    memset(p->slots, 0, p->slots_count * sizeof *p->slots);
}

void pairs_free(struct pairs *p)
{
    free(p->slots);
    *p = (struct pairs){0};
}

static bool put(struct pairs *p, uint64_t pair)
{
    uint64_t at = mixed(pair) & (p->slots_count - 1);
    while (p->slots[at] != 0 && p->slots[at] != pair) {
        at = (at + 1) & (p->slots_count - 1);
    }
    bool is_new = p->slots[at] == 0;
    p->slots[at] = pair;
    return is_new;
}

void pairs_add(struct pairs *p, uint32_t from, uint32_t to)
{
    if (!put(p, ((uint64_t)from << 32 | to) + 1) || ++p->count <= p->slots_count / 2) {
        return;
    }
    uint64_t *old = p->slots;
    uint64_t old_count = p->slots_count;
    p->slots_count *= 2;
    p->slots = grown(NULL, p->slots_count, sizeof *p->slots);
    memset(p->slots, 0, p->slots_count * sizeof *p->slots);
    for (uint64_t i = 0; i < old_count; i++) {
        if (old[i] != 0) {
            (void)put(p, old[i]);
        }
    }
    free(old);
}

uint32_t pairs_depth(const struct pairs *p, uint32_t count)
{
    uint32_t *first = grown(NULL, (size_t)count + 2, sizeof *first);
    uint32_t *to = grown(NULL, p->count + 1, sizeof *to);
    uint32_t *depth = grown(NULL, (size_t)count + 1, sizeof *depth);
    uint32_t *queue = grown(NULL, (size_t)count + 1, sizeof *queue);
    memset(first, 0, ((size_t)count + 2) * sizeof *first);
    memset(depth, 0xff, ((size_t)count + 1) * sizeof *depth);
    for (uint64_t i = 0; i < p->slots_count; i++) {
        first[p->slots[i] == 0 ? count + 1 : ((p->slots[i] - 1) >> 32) + 1]++;
    }
    for (uint32_t i = 1; i <= count; i++) {
        first[i] += first[i - 1];
    }
    for (uint64_t i = 0; i < p->slots_count; i++) { /* first[n] ends as the end of n's run */
        if (p->slots[i] != 0) {
            to[first[(p->slots[i] - 1) >> 32]++] = (uint32_t)(p->slots[i] - 1);
        }
    }
    uint32_t head = 0;
    uint32_t tail = 1;
    uint32_t most = 0;
    queue[0] = 0;
    depth[0] = 0;
    while (head < tail) {
        uint32_t node = queue[head++];
        most = depth[node];
        for (uint32_t i = node == 0 ? 0 : first[node - 1]; i < first[node]; i++) {
            /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.ArraySubscript): filled above */
            if (depth[to[i]] == UINT32_MAX) {
                depth[to[i]] = depth[node] + 1;
                queue[tail++] = to[i];
            }
        }
    }
    INVARIANT(tail == count);
    free(first);
    free(to);
    free(depth);
    free(queue);
    return most;
}
