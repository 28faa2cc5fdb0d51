#include "core/device/outbox.h"

#include "base/invariant.h"
#include "base/writer.h"

void outbox_init(struct outbox *o,
                 struct outbox_entry *entries,
                 uint32_t cap,
                 uint8_t *bytes,
                 uint32_t bytes_cap)
{
    INVARIANT(cap > 0);
    INVARIANT(bytes_cap >= 2 * (OUTBOX_MESSAGE_MAX + OUTBOX_STREAM_MAX));
    *o = (struct outbox){.entries = entries, .cap = cap, .bytes = bytes, .bytes_cap = bytes_cap};
}

static struct outbox_entry *entry_at(const struct outbox *o, uint32_t index)
{
    return &o->entries[(o->first + index) % o->cap];
}

/* Where `len` bytes in one run can go; false where they cannot. */
static bool room_for(const struct outbox *o, uint32_t len, uint32_t *at)
{
    if (o->count == o->cap) {
        return false;
    }
    if (o->count == 0) {
        *at = 0;
        return len <= o->bytes_cap;
    }
    if (o->tail > o->head) { /* in use: [head, tail) */
        if (len <= o->bytes_cap - o->tail) {
            *at = o->tail;
            return true;
        }
        *at = 0;
        return len < o->head; /* never equal: head == tail would look empty */
    }
    *at = o->tail; /* in use: [head, end) and [0, tail) */
    return len < o->head - o->tail;
}

bool outbox_has_room(const struct outbox *o)
{
    uint32_t at;
    return room_for(o, OUTBOX_MESSAGE_MAX + OUTBOX_STREAM_MAX, &at);
}

bool outbox_put(
    struct outbox *o, uint64_t seq, uint64_t before, struct slice stream, struct slice payload)
{
    uint32_t at;
    if (stream.len > OUTBOX_STREAM_MAX || payload.len > OUTBOX_MESSAGE_MAX) {
        return false;
    }
    uint32_t len = (uint32_t)(stream.len + payload.len);
    if (len == 0 || !room_for(o, len, &at)) {
        return false;
    }
    if (o->count > 0) {
        const struct outbox_entry *last = entry_at(o, o->count - 1);
        INVARIANT(seq >= last->seq);
        INVARIANT(before >= last->before);
    } else {
        o->head = at;
    }
    struct writer w = writer_over(o->bytes + at, len); /* a boot's description has no stream */
    write_slice(&w, stream);
    write_slice(&w, payload);
    INVARIANT(writer_ok(&w));
    o->tail = at + len;
    *entry_at(o, o->count) = (struct outbox_entry){.state = OUTBOX_WAITING,
                                                   .seq = seq,
                                                   .before = before,
                                                   .at = at,
                                                   .len = len,
                                                   .stream_len = (uint8_t)stream.len};
    o->count++;
    return true;
}

static struct outbox_entry *find_sent(const struct outbox *o, uint16_t packet_id)
{
    for (uint32_t i = 0; i < o->count; i++) {
        struct outbox_entry *entry = entry_at(o, i);
        if (entry->state == OUTBOX_SENT && entry->packet_id == packet_id) {
            return entry;
        }
    }
    return NULL;
}

/* 1 to 65,535, none that is under way. */
static uint16_t fresh_packet_id(struct outbox *o)
{
    do {
        o->last_packet_id = o->last_packet_id == UINT16_MAX ? 1 : (uint16_t)(o->last_packet_id + 1);
    } while (find_sent(o, o->last_packet_id) != NULL);
    return o->last_packet_id;
}

bool outbox_send(struct outbox *o, struct outbox_message *out)
{
    for (uint32_t i = 0; i < o->count; i++) {
        struct outbox_entry *entry = entry_at(o, i);
        if (entry->state != OUTBOX_WAITING) {
            continue;
        }
        entry->packet_id = fresh_packet_id(o);
        entry->state = OUTBOX_SENT;
        o->sent++;
        o->repeated_count += entry->is_repetition;
        *out = (struct outbox_message){
            .seq = entry->seq,
            .packet_id = entry->packet_id,
            .is_repetition = entry->is_repetition,
            .stream = slice_of(o->bytes + entry->at, entry->stream_len),
            .payload =
                slice_of(o->bytes + entry->at + entry->stream_len, entry->len - entry->stream_len),
        };
        entry->is_repetition = true;
        return true;
    }
    return false;
}

void outbox_not_sent(struct outbox *o, const struct outbox_message *message)
{
    struct outbox_entry *entry = find_sent(o, message->packet_id);
    INVARIANT(entry != NULL);
    entry->state = OUTBOX_WAITING;
    entry->is_repetition = message->is_repetition;
    o->repeated_count -= message->is_repetition;
    o->sent--;
}

static void drop_done(struct outbox *o)
{
    while (o->count > 0 && entry_at(o, 0)->state == OUTBOX_GONE) {
        o->first = (o->first + 1) % o->cap;
        o->count--;
    }
    if (o->count == 0) {
        o->head = 0;
        o->tail = 0;
    } else {
        o->head = entry_at(o, 0)->at;
    }
}

static bool leave(struct outbox *o, uint16_t packet_id)
{
    struct outbox_entry *entry = find_sent(o, packet_id);
    if (entry == NULL) {
        return false;
    }
    entry->state = OUTBOX_GONE;
    o->sent--;
    drop_done(o);
    return true;
}

bool outbox_acked(struct outbox *o, uint16_t packet_id)
{
    bool known = leave(o, packet_id);
    o->acked_count += known;
    return known;
}

bool outbox_refused(struct outbox *o, uint16_t packet_id)
{
    bool known = leave(o, packet_id);
    o->refused_count += known;
    return known;
}

bool outbox_again(struct outbox *o, uint16_t packet_id)
{
    struct outbox_entry *entry = find_sent(o, packet_id);
    if (entry == NULL) {
        return false;
    }
    entry->state = OUTBOX_WAITING;
    o->sent--;
    return true;
}

void outbox_link_lost(struct outbox *o)
{
    for (uint32_t i = 0; i < o->count; i++) {
        struct outbox_entry *entry = entry_at(o, i);
        if (entry->state == OUTBOX_SENT) {
            entry->state = OUTBOX_WAITING;
        }
    }
    o->sent = 0;
}

bool outbox_is_empty(const struct outbox *o)
{
    return o->count == 0;
}

bool outbox_oldest(const struct outbox *o, uint64_t *seq)
{
    if (o->count == 0) {
        return false;
    }
    *seq = entry_at(o, 0)->seq;
    return true;
}

uint64_t outbox_done_position(const struct outbox *o, uint64_t otherwise)
{
    return o->count == 0 ? otherwise : entry_at(o, 0)->before;
}

void outbox_check(const struct outbox *o)
{
    uint32_t sent = 0;
    uint64_t seq = 0;
    INVARIANT(o->count <= o->cap);
    for (uint32_t i = 0; i < o->count; i++) {
        const struct outbox_entry *entry = entry_at(o, i);
        sent += entry->state == OUTBOX_SENT;
        INVARIANT(entry->seq >= seq);
        INVARIANT(entry->at + entry->len <= o->bytes_cap);
        INVARIANT(i > 0 || entry->state != OUTBOX_GONE);
        seq = entry->seq;
    }
    INVARIANT(sent == o->sent);
}
