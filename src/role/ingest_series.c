/*
 * The points of a batch, gathered by series: one append a series and batch, however many messages
 * brought them. Ids of series are remembered over batches; a full memory is emptied, not searched
 * for what to keep.
 */
#include "base/invariant.h"
#include "role/ingest_inside.h"

#include <stdlib.h>
#include <string.h>

bool ingest_series_init(struct ingest_series_table *t, uint64_t seed)
{
    *t = (struct ingest_series_table){.seed = seed};
    t->list = calloc(INGEST_SERIES_MAX, sizeof *t->list);
    t->slots = calloc(INGEST_SERIES_SLOTS, sizeof *t->slots);
    t->points = calloc(INGEST_POINTS_MAX, sizeof *t->points);
    t->gathered = calloc(INGEST_POINTS_MAX, sizeof *t->gathered);
    return t->list != NULL && t->slots != NULL && t->points != NULL && t->gathered != NULL;
}

void ingest_series_free(struct ingest_series_table *t)
{
    free(t->list);
    free(t->slots);
    free(t->points);
    free(t->gathered);
}

bool ingest_series_has_room(const struct ingest_series_table *t)
{
    return t->points_count + ADMIT_POINTS_MAX <= INGEST_POINTS_MAX
           && t->count + ADMIT_POINTS_MAX <= INGEST_SERIES_MAX;
}

static void forget_all(struct ingest_series_table *t)
{
    INVARIANT(t->points_count == 0);
    t->count = 0;
    memset(t->slots, 0, INGEST_SERIES_SLOTS * sizeof *t->slots);
}

static uint64_t mix(uint64_t hash, const void *at, size_t len)
{
    const uint8_t *bytes = at;
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 29;
    }
    return (hash ^ len) * UINT64_C(0xd6e8feb86659fd93);
}

static bool is_series(const struct ingest_series *s, const struct ingest_series *wanted)
{
    size_t len = (size_t)wanted->stream_len + wanted->name_len + wanted->unit_len;
    return s->hash == wanted->hash && device_id_equal(&s->device, &wanted->device)
           && s->stream_len == wanted->stream_len && s->name_len == wanted->name_len
           && s->unit_len == wanted->unit_len && memcmp(s->text, wanted->text, len) == 0;
}

static void describe(const struct ingest_series_table *t,
                     const struct admit_effects *fx,
                     const struct admit_point *p,
                     struct ingest_series *out)
{
    *out = (struct ingest_series){.device = fx->device,
                                  .stream_len = (uint8_t)fx->stream.len,
                                  .name_len = (uint8_t)p->name.len,
                                  .unit_len = (uint8_t)p->unit.len};
    struct writer w = writer_over(out->text, sizeof out->text);
    write_slice(&w, fx->stream);
    write_slice(&w, p->name);
    write_slice(&w, p->unit);
    INVARIANT(writer_ok(&w));
    uint64_t hash = mix(t->seed, out->device.bytes, sizeof out->device.bytes);
    hash = mix(hash, fx->stream.at, fx->stream.len);
    hash = mix(hash, p->name.at, p->name.len);
    out->hash = mix(hash, p->unit.at, p->unit.len);
}

static void text_of(const char *at, size_t len, char *out)
{
    memcpy(out, at, len);
    out[len] = '\0';
}

static enum store_result ask_store(struct ingest *in, struct ingest_series *s)
{
    char stream[STORE_STREAM_MAX + 1];
    char name[STORE_NAME_MAX + 1];
    char unit[STORE_UNIT_MAX + 1];
    text_of(s->text, s->stream_len, stream);
    text_of(s->text + s->stream_len, s->name_len, name);
    text_of(s->text + s->stream_len + s->name_len, s->unit_len, unit);
    return store_series_ensure(in->store, &s->device, stream, name, unit, &s->id, NULL);
}

/* The index of the point's series, which is asked for and remembered where it is not known. */
static enum store_result find(struct ingest *in,
                              const struct admit_effects *fx,
                              const struct admit_point *p,
                              uint32_t *index)
{
    struct ingest_series_table *t = &in->series;
    struct ingest_series wanted;
    describe(t, fx, p, &wanted);
    uint32_t slot = (uint32_t)(wanted.hash & (INGEST_SERIES_SLOTS - 1));
    while (t->slots[slot] != 0) {
        if (is_series(&t->list[t->slots[slot] - 1], &wanted)) {
            *index = t->slots[slot] - 1;
            return STORE_OK;
        }
        slot = (slot + 1) & (INGEST_SERIES_SLOTS - 1);
    }
    enum store_result result = ask_store(in, &wanted);
    if (result == STORE_OK) {
        INVARIANT(t->count < INGEST_SERIES_MAX);
        *index = t->count;
        t->list[t->count++] = wanted;
        t->slots[slot] = t->count;
    }
    return result;
}

static void keep(struct ingest_series_table *t, uint32_t index, const struct point *point)
{
    struct ingest_series *s = &t->list[index];
    INVARIANT(t->points_count < INGEST_POINTS_MAX);
    t->points[t->points_count++] = (struct ingest_pending){.point = *point};
    if (s->count == 0) {
        s->first = t->points_count;
        s->next_touched = t->first_touched;
        t->first_touched = index + 1;
    } else {
        t->points[s->last - 1].next = t->points_count;
    }
    s->last = t->points_count;
    s->count++;
}

enum store_result ingest_series_add(struct ingest *in, const struct admit_effects *fx)
{
    uint32_t index[ADMIT_POINTS_MAX];
    for (uint32_t i = 0; i < fx->points_count; i++) {
        enum store_result result = find(in, fx, &fx->points[i], &index[i]);
        if (result != STORE_OK) {
            return result;
        }
    }
    for (uint32_t i = 0; i < fx->points_count; i++) {
        keep(&in->series, index[i], &fx->points[i].point);
    }
    return STORE_OK;
}

enum store_result ingest_series_flush(struct ingest *in)
{
    struct ingest_series_table *t = &in->series;
    while (t->first_touched != 0) {
        struct ingest_series *s = &t->list[t->first_touched - 1];
        size_t count = 0;
        size_t repeated = 0;
        for (uint32_t at = s->first; at != 0; at = t->points[at - 1].next) {
            t->gathered[count++] = t->points[at - 1].point;
        }
        INVARIANT(count == s->count);
        enum store_result result = store_append(in->store, s->id, t->gathered, count, &repeated);
        if (result != STORE_OK) {
            return result;
        }
        in->counts.points += count - repeated;
        in->counts.repeated += repeated;
        t->first_touched = s->next_touched;
        s->first = 0;
        s->last = 0;
        s->count = 0;
        s->next_touched = 0;
    }
    t->points_count = 0;
    if (t->count + ADMIT_POINTS_MAX > INGEST_SERIES_MAX) {
        forget_all(t);
    }
    return STORE_OK;
}
