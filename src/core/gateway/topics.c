#include "core/gateway/topics.h"

#include "base/invariant.h"

#include <string.h>

/* ---- levels ---- */

__extension__ typedef unsigned __int128 u128;

static uint64_t fold(uint64_t a, uint64_t b)
{
    u128 product = (u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const uint8_t *at, size_t len)
{
    uint64_t value = 0;
    memcpy(&value, at, len < sizeof value ? len : sizeof value);
    return value;
}

/* Keyed: who does not know the seed cannot choose levels that collide. */
static uint64_t key_of(uint64_t seed, struct slice level)
{
    uint64_t key = seed ^ level.len;
    while (level.len > 16) {
        key = fold(load(level.at, 8) ^ seed, load(level.at + 8, 8) ^ key);
        level = slice_after(level, 16);
    }
    uint64_t low = level.len > 0 ? load(level.at, level.len) : 0;
    uint64_t high = level.len > 8 ? load(level.at + 8, level.len - 8) : 0;
    return fold(low ^ seed ^ UINT64_C(0x9e3779b97f4a7c15), high ^ key);
}

bool gw_topics_split(const struct gw_topics *t, struct slice name, struct gw_levels *out)
{
    out->count = 0;
    for (;;) {
        const uint8_t *slash = name.len > 0 ? memchr(name.at, '/', name.len) : NULL;
        struct slice level = {name.at, slash != NULL ? (size_t)(slash - name.at) : name.len};
        if (out->count == GW_LEVELS_MAX) {
            return false;
        }
        out->level[out->count] = level;
        out->key[out->count] = key_of(t->seed, level);
        out->count++;
        if (slash == NULL) {
            return true;
        }
        name = slice_after(name, level.len + 1);
    }
}

static bool is_plus(struct slice level)
{
    return level.len == 1 && level.at[0] == '+';
}

static bool is_hash(struct slice level)
{
    return level.len == 1 && level.at[0] == '#';
}

/* ---- nodes ---- */

void gw_topics_init(struct gw_topics *t,
                    struct gw_node *nodes,
                    uint32_t cap,
                    uint32_t *buckets,
                    uint32_t bucket_count,
                    struct gw_texts *texts,
                    uint64_t seed)
{
    INVARIANT(cap > 1);
    INVARIANT((bucket_count & (bucket_count - 1)) == 0);
    *t = (struct gw_topics){.nodes = nodes,
                            .buckets = buckets,
                            .bucket_count = bucket_count,
                            .cap = cap,
                            .count = 1,
                            .free_head = 1,
                            .seed = seed,
                            .texts = texts};
    memset(buckets, 0xff, bucket_count * sizeof *buckets);
    for (uint32_t i = 0; i < cap; i++) {
        nodes[i] = (struct gw_node){.next = i + 1 < cap ? i + 1 : GW_NODE_NONE};
    }
    nodes[GW_NODE_ROOT] = (struct gw_node){.parent = GW_NODE_NONE,
                                           .first_child = GW_NODE_NONE,
                                           .next_sibling = GW_NODE_NONE,
                                           .previous_sibling = GW_NODE_NONE,
                                           .plus = GW_NODE_NONE,
                                           .hash = GW_NODE_NONE,
                                           .next = GW_NODE_NONE,
                                           .text = GW_TEXT_NONE,
                                           .subscriptions = GW_NODE_NONE,
                                           .groups = GW_NODE_NONE,
                                           .retained = GW_NODE_NONE};
}

static uint32_t *bucket_of(const struct gw_topics *t, uint32_t parent, uint64_t key)
{
    uint64_t mixed = (key ^ parent) * UINT64_C(0x9e3779b97f4a7c15);
    return &t->buckets[(mixed >> 32) & (t->bucket_count - 1)];
}

static uint32_t child_of(const struct gw_topics *t,
                         uint32_t parent,
                         struct slice level,
                         uint64_t key)
{
    if (t->nodes[parent].first_child == GW_NODE_NONE) {
        return GW_NODE_NONE;
    }
    for (uint32_t i = *bucket_of(t, parent, key); i != GW_NODE_NONE; i = t->nodes[i].next) {
        const struct gw_node *node = &t->nodes[i];
        if (node->key == key && node->parent == parent
            && gw_texts_equal(t->texts, node->text, node->len, level)) {
            return i;
        }
    }
    return GW_NODE_NONE;
}

uint32_t gw_topics_find(const struct gw_topics *t, const struct gw_levels *levels)
{
    uint32_t node = GW_NODE_ROOT;
    for (uint32_t i = 0; i < levels->count && node != GW_NODE_NONE; i++) {
        node = child_of(t, node, levels->level[i], levels->key[i]);
    }
    return node;
}

static uint32_t add_child(struct gw_topics *t, uint32_t parent, struct slice level, uint64_t key)
{
    if (t->free_head == GW_NODE_NONE || gw_texts_need(level.len) > t->texts->free_count) {
        return GW_NODE_NONE;
    }
    uint32_t at = t->free_head;
    uint32_t *bucket = bucket_of(t, parent, key);
    struct gw_node *up = &t->nodes[parent];
    t->free_head = t->nodes[at].next;
    t->count++;
    t->nodes[at] = (struct gw_node){.parent = parent,
                                    .first_child = GW_NODE_NONE,
                                    .next_sibling = up->first_child,
                                    .previous_sibling = GW_NODE_NONE,
                                    .plus = GW_NODE_NONE,
                                    .hash = GW_NODE_NONE,
                                    .next = *bucket,
                                    .text = gw_texts_put(t->texts, level),
                                    .len = (uint16_t)level.len,
                                    .is_wild = is_plus(level) || is_hash(level),
                                    .key = key,
                                    .subscriptions = GW_NODE_NONE,
                                    .groups = GW_NODE_NONE,
                                    .retained = GW_NODE_NONE};
    *bucket = at;
    if (up->first_child != GW_NODE_NONE) {
        t->nodes[up->first_child].previous_sibling = at;
    }
    up->first_child = at;
    up->plus = is_plus(level) ? at : up->plus;
    up->hash = is_hash(level) ? at : up->hash;
    return at;
}

uint32_t gw_topics_make(struct gw_topics *t, const struct gw_levels *levels)
{
    uint32_t node = GW_NODE_ROOT;
    for (uint32_t i = 0; i < levels->count; i++) {
        uint32_t next = child_of(t, node, levels->level[i], levels->key[i]);
        if (next == GW_NODE_NONE) {
            next = add_child(t, node, levels->level[i], levels->key[i]);
        }
        if (next == GW_NODE_NONE) {
            gw_topics_release(t, node);
            return GW_NODE_NONE;
        }
        node = next;
    }
    return node;
}

static void remove_node(struct gw_topics *t, uint32_t at)
{
    struct gw_node *node = &t->nodes[at];
    struct gw_node *up = &t->nodes[node->parent];
    uint32_t *link = bucket_of(t, node->parent, node->key);
    while (*link != at) {
        link = &t->nodes[*link].next;
    }
    *link = node->next;
    if (node->previous_sibling != GW_NODE_NONE) {
        t->nodes[node->previous_sibling].next_sibling = node->next_sibling;
    } else {
        up->first_child = node->next_sibling;
    }
    if (node->next_sibling != GW_NODE_NONE) {
        t->nodes[node->next_sibling].previous_sibling = node->previous_sibling;
    }
    up->plus = up->plus == at ? GW_NODE_NONE : up->plus;
    up->hash = up->hash == at ? GW_NODE_NONE : up->hash;
    gw_texts_drop(t->texts, node->text, node->len);
    *node = (struct gw_node){.next = t->free_head};
    t->free_head = at;
    t->count--;
}

void gw_topics_release(struct gw_topics *t, uint32_t at)
{
    while (at != GW_NODE_ROOT) {
        const struct gw_node *node = &t->nodes[at];
        if (node->first_child != GW_NODE_NONE || node->subscriptions != GW_NODE_NONE
            || node->groups != GW_NODE_NONE || node->retained != GW_NODE_NONE) {
            return;
        }
        uint32_t parent = node->parent;
        remove_node(t, at);
        at = parent;
    }
}

void gw_topics_write(const struct gw_topics *t, uint32_t at, struct writer *w)
{
    uint32_t path[GW_LEVELS_MAX];
    uint32_t depth = 0;
    for (; at != GW_NODE_ROOT; at = t->nodes[at].parent) {
        INVARIANT(depth < GW_LEVELS_MAX);
        path[depth++] = at;
    }
    for (uint32_t i = depth; i > 0; i--) {
        const struct gw_node *node = &t->nodes[path[i - 1]];
        uint8_t *to = write_reserve(w, node->len);
        if (to != NULL) {
            gw_texts_read(t->texts, node->text, node->len, to);
        }
        if (i > 1) {
            write_u8(w, '/');
        }
    }
}

void gw_topics_retain(struct gw_topics *t, uint32_t at, uint32_t retained)
{
    bool had = t->nodes[at].retained != GW_NODE_NONE;
    bool has = retained != GW_NODE_NONE;
    t->nodes[at].retained = retained;
    if (had == has) {
        return;
    }
    for (uint32_t i = at; i != GW_NODE_NONE; i = t->nodes[i].parent) {
        if (has) {
            t->nodes[i].retained_count++;
        } else {
            INVARIANT(t->nodes[i].retained_count > 0);
            t->nodes[i].retained_count--;
        }
    }
}

/* ---- a name against all filters ---- */

void gw_match_begin(struct gw_match *m, const struct gw_topics *t, const struct gw_levels *levels)
{
    m->topics = t;
    m->levels = levels;
    m->is_dollar = levels->level[0].len > 0 && levels->level[0].at[0] == '$';
    m->depth = 1;
    m->stack[0].node = GW_NODE_ROOT;
    m->stack[0].level = 0;
    m->found_count = 0;
}

static void found(struct gw_match *m, uint32_t at)
{
    if (at != GW_NODE_NONE
        && (m->topics->nodes[at].subscriptions != GW_NODE_NONE
            || m->topics->nodes[at].groups != GW_NODE_NONE)) {
        m->found[m->found_count++] = at;
    }
}

static void visit_later(struct gw_match *m, uint32_t at, uint32_t level)
{
    if (at != GW_NODE_NONE) {
        INVARIANT(m->depth < COUNT_OF(m->stack));
        m->stack[m->depth].node = at;
        m->stack[m->depth].level = level;
        m->depth++;
    }
}

bool gw_match_next(struct gw_match *m, uint32_t *node)
{
    while (m->found_count == 0 && m->depth > 0) {
        m->depth--;
        uint32_t at = m->stack[m->depth].node;
        uint32_t level = m->stack[m->depth].level;
        const struct gw_node *here = &m->topics->nodes[at];
        bool may_be_wild = level > 0 || !m->is_dollar; /* 4.7.2-1 */
        if (may_be_wild) {
            found(m, here->hash); /* also the parent level: "a/#" matches "a" */
        }
        if (level == m->levels->count) {
            found(m, at);
            continue;
        }
        if (may_be_wild) {
            visit_later(m, here->plus, level + 1);
        }
        visit_later(m, child_of(m->topics, at, m->levels->level[level], m->levels->key[level]),
                    level + 1);
    }
    if (m->found_count == 0) {
        return false;
    }
    *node = m->found[--m->found_count];
    return true;
}

/* ---- a filter against all retaining nodes ---- */

static const struct slice *level_at(const struct gw_walk *w, uint32_t level)
{
    return level < w->levels->count ? &w->levels->level[level] : NULL;
}

/* The node matched the levels before `level`: what below it is to be looked at? */
static void descend(struct gw_walk *w, uint32_t at, uint32_t level)
{
    const struct slice *want = level_at(w, level);
    const struct gw_node *here = &w->topics->nodes[at];
    bool is_end = want == NULL || is_hash(*want); /* "a/#" matches "a" */
    if (is_end && here->retained != GW_NODE_NONE) {
        w->found = at;
    }
    if (want == NULL || here->retained_count == (here->retained != GW_NODE_NONE ? 1 : 0)) {
        return;
    }
    uint32_t child = is_hash(*want) || is_plus(*want)
                         ? here->first_child
                         : child_of(w->topics, at, *want, w->levels->key[level]);
    if (child != GW_NODE_NONE) {
        INVARIANT(w->depth < COUNT_OF(w->stack));
        w->stack[w->depth].child = child;
        w->stack[w->depth].level = level;
        w->depth++;
    }
}

void gw_walk_begin(struct gw_walk *w, const struct gw_topics *t, const struct gw_levels *filter)
{
    w->topics = t;
    w->levels = filter;
    w->depth = 0;
    w->found = GW_NODE_NONE;
    descend(w, GW_NODE_ROOT, 0);
}

/* 4.7.2-1: a wildcard first does not match a name that begins with '$'. */
static bool is_hidden(const struct gw_topics *t, const struct gw_node *node)
{
    return node->parent == GW_NODE_ROOT && node->len > 0
           && t->texts->chunks[node->text].bytes[0] == '$';
}

bool gw_walk_next(struct gw_walk *w, uint32_t *node)
{
    while (w->found == GW_NODE_NONE && w->depth > 0) {
        uint32_t top = w->depth - 1;
        uint32_t at = w->stack[top].child;
        uint32_t level = w->stack[top].level;
        struct slice want = w->levels->level[level];
        bool is_any = is_hash(want) || is_plus(want);
        const struct gw_node *child = &w->topics->nodes[at];
        if (is_any && child->next_sibling != GW_NODE_NONE) {
            w->stack[top].child = child->next_sibling;
        } else {
            w->depth--;
        }
        if (child->retained_count > 0 && !(is_any && is_hidden(w->topics, child))) {
            descend(w, at, is_hash(want) ? level : level + 1);
        }
    }
    if (w->found == GW_NODE_NONE) {
        return false;
    }
    *node = w->found;
    w->found = GW_NODE_NONE;
    return true;
}

void gw_topics_check(const struct gw_topics *t)
{
    uint32_t seen = 1;
    uint32_t retained = t->nodes[GW_NODE_ROOT].retained != GW_NODE_NONE ? 1 : 0;
    for (uint32_t b = 0; b < t->bucket_count; b++) {
        for (uint32_t i = t->buckets[b]; i != GW_NODE_NONE; i = t->nodes[i].next) {
            const struct gw_node *node = &t->nodes[i];
            seen++;
            retained += node->retained != GW_NODE_NONE ? 1 : 0;
            INVARIANT(bucket_of(t, node->parent, node->key) == &t->buckets[b]);
            INVARIANT(node->retained_count <= t->nodes[node->parent].retained_count);
            INVARIANT(node->first_child != GW_NODE_NONE || node->subscriptions != GW_NODE_NONE
                      || node->groups != GW_NODE_NONE || node->retained != GW_NODE_NONE);
            INVARIANT(!node->is_wild || node->retained == GW_NODE_NONE);
        }
    }
    INVARIANT(seen == t->count);
    INVARIANT(retained == t->nodes[GW_NODE_ROOT].retained_count);
}
