/*
 * A tree of topic levels: at its nodes hang the subscriptions whose filter ends there, and the
 * messages that topics retain. Finds the nodes of all filters that match a topic name (4.7), and
 * the retaining nodes that match a filter. Knows neither subscriptions nor messages: what hangs at
 * a node is a number of its user's.
 *
 * Bounded: a name has at most GW_LEVELS_MAX levels. A match visits at most the nodes that filters
 * made of its levels and '+' have, a walk those that retain something below.
 */
#ifndef CORE_GATEWAY_TOPICS_H
#define CORE_GATEWAY_TOPICS_H

#include "base/writer.h"
#include "core/gateway/texts.h"

enum { GW_NODE_ROOT = 0, GW_LEVELS_MAX = 32 }; /* levels of a topic or filter */
#define GW_NODE_NONE UINT32_MAX

struct gw_node {
    uint32_t parent, first_child, next_sibling, previous_sibling;
    uint32_t plus, hash; /* the children "+" and "#" */
    uint32_t next;       /* in its bucket, or in the free list */
    uint32_t text;
    uint16_t len;
    bool is_wild;
    uint64_t key; /* hash of the level */
    /* the user's: GW_NODE_NONE where there is none */
    uint32_t subscriptions, groups, retained;
    uint32_t retained_count; /* here and below */
};

struct gw_topics {
    struct gw_node *nodes;
    uint32_t *buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t cap, count, free_head;
    uint64_t seed;
    struct gw_texts *texts;
};

/* A name or filter, taken apart. Borrows it. */
struct gw_levels {
    uint32_t count;
    struct slice level[GW_LEVELS_MAX];
    uint64_t key[GW_LEVELS_MAX];
};

/* `bucket_count` is a power of two. Node 0 is the root and counts. */
void gw_topics_init(struct gw_topics *t,
                    struct gw_node *nodes,
                    uint32_t cap,
                    uint32_t *buckets,
                    uint32_t bucket_count,
                    struct gw_texts *texts,
                    uint64_t seed);

/* False where it has more levels than any node may be deep. */
bool gw_topics_split(const struct gw_topics *t, struct slice name, struct gw_levels *out);

/* The node of exactly these levels, '+' and '#' as they stand. */
uint32_t gw_topics_find(const struct gw_topics *t, const struct gw_levels *levels);
/* As find, and makes what is missing; GW_NODE_NONE where nodes or texts run out. Nothing hangs
 * there yet: hang something there, or release it. */
uint32_t gw_topics_make(struct gw_topics *t, const struct gw_levels *levels);
/* Removes the node and those above it as far as nothing hangs there. */
void gw_topics_release(struct gw_topics *t, uint32_t node);

/* The node's whole name or filter, appended. */
void gw_topics_write(const struct gw_topics *t, uint32_t node, struct writer *w);

/* Sets or, with GW_NODE_NONE, clears what the node retains. */
void gw_topics_retain(struct gw_topics *t, uint32_t node, uint32_t retained);

/* ---- a name against all filters ---- */

struct gw_match {
    const struct gw_topics *topics;
    const struct gw_levels *levels;
    bool is_dollar; /* 4.7.2 */
    uint32_t depth; /* of the stack */
    struct {
        uint32_t node, level;
    } stack[GW_LEVELS_MAX + 2];
    uint32_t found[2];
    uint32_t found_count;
};
void gw_match_begin(struct gw_match *m, const struct gw_topics *t, const struct gw_levels *levels);
/* Each node at which a subscription or group hangs whose filter matches, once. */
bool gw_match_next(struct gw_match *m, uint32_t *node);

/* ---- a filter against all retaining nodes ---- */

struct gw_walk {
    const struct gw_topics *topics;
    const struct gw_levels *levels;
    uint32_t depth;
    struct {
        uint32_t child; /* the next one to look at */
        uint32_t level; /* that it must match */
    } stack[GW_LEVELS_MAX + 2];
    uint32_t found;
};
void gw_walk_begin(struct gw_walk *w, const struct gw_topics *t, const struct gw_levels *filter);
bool gw_walk_next(struct gw_walk *w, uint32_t *node);

void gw_topics_check(const struct gw_topics *t); /* walks everything */

#endif
