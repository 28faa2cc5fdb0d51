/*
 * A device's keys on NOR flash: at every start there is the identity that was promised or the one
 * that is to take its place, whole, key and certificate together; the old one is there until the
 * renewed one was used; a key that was asked for is asked for again.
 */
#include "core/device/flash_keys.h"

#include "base/invariant.h"
#include "flash.h"

#include <stdio.h>
#include <string.h>

enum { BLOCKS = 4, BLOCK = 1024, UNIT = 16 };

/* Generations from 1; 0: none. What is about to be stored is named before, what is, after. */
struct ringing {
    uint32_t starts;
    uint32_t made; /* keys, each of another number */
    uint32_t own, renewed, next;
    uint32_t own_to, renewed_to, next_to;
};

struct ring {
    struct ringing *life;
    struct sim_nor *nor;
    struct flash_keys keys;
    struct flash_block blocks[BLOCKS];
    uint8_t buffer[BLOCK], record[BLOCK];
};

static bool perform(struct ring *r)
{
    struct flash_order order;
    while (flash_keys_wants(&r->keys, &order)) {
        if (!flash_perform(r->nor, BLOCK, &order)) {
            return false;
        }
        flash_keys_did(&r->keys);
    }
    r->life->own = r->life->own_to;
    r->life->renewed = r->life->renewed_to;
    r->life->next = r->life->next_to;
    return true;
}

static struct slice text_of(char out[300], const char *what, uint32_t number, size_t len)
{
    memset(out, '.', 300);
    (void)snprintf(out, 300, "%s %u", what, number);
    return slice_of(out, len);
}

static uint32_t number_of(struct slice bytes)
{
    char text[32] = {0};
    unsigned number = 0;
    memcpy(text, bytes.at, bytes.len < sizeof text - 1 ? bytes.len : sizeof text - 1);
    return bytes.len > 0 && sscanf(text, "%*s %u", &number) == 1 ? number : 0;
}

/* Which generation it is, 0: none; UINT32_MAX: key and certificate are not of one. */
static uint32_t generation_of(const struct flash_identity *identity)
{
    char text[300];
    if (identity->key.len == 0) {
        return 0;
    }
    uint32_t key = number_of(slice_of(identity->key.bytes, identity->key.len));
    return slice_equal(slice_of(identity->certificate, identity->certificate_len),
                       text_of(text, "certificate", key, 250 + key % 40))
               ? key
               : UINT32_MAX;
}

static bool is_as_promised(const struct ring *r)
{
    const struct ringing *life = r->life;
    uint32_t own = generation_of(&r->keys.own);
    uint32_t renewed = generation_of(&r->keys.renewed);
    uint32_t next = number_of(slice_of(r->keys.next.bytes, r->keys.next.len));
    bool is_before = own == life->own && renewed == life->renewed && next == life->next;
    bool is_after = own == life->own_to && renewed == life->renewed_to && next == life->next_to;
    return is_before || is_after;
}

static bool start(struct ring *r, bool *is_broken)
{
    struct flash_order order;
    flash_keys_init(&r->keys, &flash_keys_thing.limits, r->blocks, r->buffer, r->record, BLOCK,
                    ++r->life->starts);
    while (flash_keys_wants(&r->keys, &order)) {
        if (!flash_perform(r->nor, BLOCK, &order)) {
            return false;
        }
        flash_keys_did(&r->keys);
    }
    if (r->keys.log.is_hurt || r->keys.state == FLASH_KEYS_DAMAGED) {
        return false; /* told: rot, and never a cut */
    }
    *is_broken = !is_as_promised(r);
    struct ringing *life = r->life;
    life->own = life->own_to = generation_of(&r->keys.own);
    life->renewed = life->renewed_to = generation_of(&r->keys.renewed);
    life->next = life->next_to = number_of(slice_of(r->keys.next.bytes, r->keys.next.len));
    return !*is_broken;
}

static bool make_next(struct ring *r)
{
    char text[300];
    struct slice key = text_of(text, "key", ++r->life->made, 121);
    enum flash_keys_result result = flash_keys_next(&r->keys, key);
    INVARIANT(result == FLASH_KEYS_OK);
    r->life->next_to = r->life->made;
    return perform(r);
}

static bool certify(struct ring *r)
{
    char text[300];
    uint32_t next = r->life->next;
    enum flash_keys_result result =
        flash_keys_certified(&r->keys, text_of(text, "certificate", next, 250 + next % 40));
    INVARIANT(result == FLASH_KEYS_OK);
    *(r->life->own == 0 ? &r->life->own_to : &r->life->renewed_to) = next;
    r->life->next_to = 0;
    return perform(r);
}

static bool use(struct ring *r)
{
    enum flash_keys_result result = flash_keys_used(&r->keys);
    INVARIANT(result == FLASH_KEYS_OK);
    r->life->own_to = r->life->renewed;
    r->life->renewed_to = 0;
    return perform(r);
}

/* From wherever the last life was left: until a renewed identity has been used. */
static bool live(void *context, struct sim_nor *nor, unsigned part, bool *is_broken)
{
    struct ring r = {.life = context, .nor = nor};
    if (!start(&r, is_broken)) {
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        if ((r.life->next == 0 && !make_next(&r)) || !certify(&r)) {
            return false;
        }
        if (r.life->renewed != 0 && (i + part) % 2 == 0 && !use(&r)) {
            return false; /* every other renewed one is replaced before it was used */
        }
    }
    return true;
}

static uint64_t promised(const void *context)
{
    const struct ringing *l = context;
    uint64_t now = (uint64_t)l->own << 40 | (uint64_t)l->renewed << 20 | l->next;
    uint64_t then = (uint64_t)l->own_to << 40 | (uint64_t)l->renewed_to << 20 | l->next_to;
    return now * 0x9e3779b97f4a7c15u + then * 31 + l->starts + (uint64_t)l->made * 7919;
}

const struct flash_thing flash_keys_thing = {
    .name = "nor-keys",
    .limits = {.blocks = BLOCKS,
               .block_len = BLOCK,
               .unit_len = UNIT,
               .kind = FLASH_KEYS_KIND,
               .replaces = true},
    .life_len = sizeof(struct ringing),
    .seeds = 24,
    .seeds_long = 30,
    .live = live,
    .parts = 4,
    .promised = promised,
};
