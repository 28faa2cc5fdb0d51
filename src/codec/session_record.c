#include "codec/session_record.h"

#include "base/reader.h"
#include "codec/mqtt_topic.h"

#include <string.h>

enum { OPTION_QOS = 3, OPTION_NO_LOCAL = 4, OPTION_AS_PUBLISHED = 8, OPTION_HANDLING = 0x30 };
enum { OPENED_RESUMED = 1, OPENED_WILL = 2 };
enum { KEPT_LAST = 1, KEPT_OPEN = 2 };
enum { ITEM_QOS = 3, ITEM_RETAIN = 4, ITEM_RECEIVED = 8, ITEM_SHARE = 16, ITEM_EXPIRES = 32 };

const char *session_end_name(enum session_end end)
{
    switch (end) {
    case SESSION_END_EXPIRED: return "expired";
    case SESSION_END_CLEAN: return "clean-start";
    case SESSION_END_STALLED: return "stalled";
    case SESSION_END_REVOKED: return "revoked";
    }
    return "unknown";
}

/* ---- fields ---- */

static void fail_unless(struct reader *r, bool good)
{
    if (!good) {
        reader_fail(r);
    }
}

static void owner_read(struct reader *r, struct session_owner *out)
{
    uint8_t kind = read_u8(r);
    fail_unless(r, kind == SESSION_OWNER_DEVICE || kind == SESSION_OWNER_APPLICATION);
    out->kind = (enum session_owner_kind)kind;
    read_into(r, out->id, sizeof out->id);
}

static void options_read(struct reader *r, struct session_options *out)
{
    uint8_t raw = read_u8(r);
    *out = (struct session_options){.qos = (uint8_t)(raw & OPTION_QOS),
                                    .no_local = (raw & OPTION_NO_LOCAL) != 0,
                                    .retain_as_published = (raw & OPTION_AS_PUBLISHED) != 0,
                                    .retain_handling = (uint8_t)((raw & OPTION_HANDLING) >> 4)};
    fail_unless(r, out->qos <= 2 && out->retain_handling <= 2 && raw < 0x40);
}

static void options_write(struct writer *w, const struct session_options *o)
{
    write_u8(w, (uint8_t)(o->qos | (o->no_local ? OPTION_NO_LOCAL : 0)
                          | (o->retain_as_published ? OPTION_AS_PUBLISHED : 0)
                          | o->retain_handling << 4));
}

static struct slice filter_read(struct reader *r)
{
    struct slice filter = read_prefixed_u16(r);
    fail_unless(r, filter.len <= SESSION_FILTER_MAX && mqtt_topic_filter_is_valid(filter));
    return filter;
}

static void ids_read(struct reader *r, uint8_t *count, uint32_t *ids)
{
    uint8_t said = read_u8(r);
    fail_unless(r, said <= BUS_TARGET_IDS_MAX);
    *count = reader_ok(r) ? said : 0;
    for (uint32_t i = 0; i < *count; i++) {
        ids[i] = read_u32(r);
        fail_unless(r, ids[i] != 0);
    }
}

/* ---- items ---- */

static void delivery_read(struct reader *r, struct session_item *d)
{
    d->n = read_u64(r);
    uint8_t flags = read_u8(r);
    d->qos = flags & ITEM_QOS;
    d->is_retained = (flags & ITEM_RETAIN) != 0;
    d->is_received = (flags & ITEM_RECEIVED) != 0;
    d->share = (flags & ITEM_SHARE) != 0 ? read_u32(r) : 0;
    d->position = d->is_received ? 0 : read_u64(r);
    d->size = d->is_received ? 0 : read_u32(r);
    d->expires_ms = (flags & ITEM_EXPIRES) != 0 ? read_u64(r) : 0;
    ids_read(r, &d->ids_count, d->ids);
    fail_unless(r, d->qos <= 2 && (d->qos > 0 || d->n == 0) && flags < 2 * ITEM_EXPIRES
                       && ((flags & ITEM_SHARE) != 0) == (d->share != 0)
                       && ((flags & ITEM_EXPIRES) != 0) == (d->expires_ms != 0)
                       && (d->is_received ? d->qos == 2 && d->expires_ms == 0 && d->ids_count == 0
                                          : d->position != 0));
}

static void delivery_write(struct writer *w, const struct session_item *d)
{
    write_u64(w, d->n);
    write_u8(w, (uint8_t)(d->qos | (d->is_retained ? ITEM_RETAIN : 0)
                          | (d->is_received ? ITEM_RECEIVED : 0) | (d->share != 0 ? ITEM_SHARE : 0)
                          | (d->expires_ms != 0 ? ITEM_EXPIRES : 0)));
    if (d->share != 0) {
        write_u32(w, d->share);
    }
    if (!d->is_received) {
        write_u64(w, d->position);
        write_u32(w, d->size);
    }
    if (d->expires_ms != 0) {
        write_u64(w, d->expires_ms);
    }
    write_u8(w, d->ids_count);
    for (uint32_t i = 0; i < d->ids_count; i++) {
        write_u32(w, d->ids[i]);
    }
}

static void item_read(struct reader *r, struct session_item *out)
{
    *out = (struct session_item){0};
    uint8_t kind = read_u8(r);
    switch (kind) {
    case SESSION_ITEM_SUBSCRIPTION:
        out->share = read_u32(r);
        out->filter = filter_read(r);
        options_read(r, &out->options);
        out->subscription_id = read_u32(r);
        fail_unless(r, out->share != 0);
        break;
    case SESSION_ITEM_INBOUND:
        out->packet_id = read_u16(r);
        fail_unless(r, out->packet_id != 0);
        break;
    case SESSION_ITEM_DELIVERY: delivery_read(r, out); break;
    default: reader_fail(r); return;
    }
    out->kind = (enum session_item_kind)kind;
}

bool session_item_next(struct slice *rest, struct session_item *out)
{
    struct reader r = reader_over(*rest);
    if (rest->len == 0) {
        return false;
    }
    item_read(&r, out);
    *rest = r.rest;
    return reader_ok(&r);
}

void session_item_write(struct writer *w, const struct session_item *item)
{
    write_u8(w, (uint8_t)item->kind);
    switch (item->kind) {
    case SESSION_ITEM_SUBSCRIPTION:
        write_u32(w, item->share);
        write_prefixed_u16(w, item->filter);
        options_write(w, &item->options);
        write_u32(w, item->subscription_id);
        break;
    case SESSION_ITEM_INBOUND: write_u16(w, item->packet_id); break;
    case SESSION_ITEM_DELIVERY: delivery_write(w, item); break;
    }
}

/* SUBSCRIBED brings deliveries without a number, KEPT holds anything, deliveries with theirs. */
static struct slice items_read(struct reader *r, enum session_record_kind kind)
{
    struct slice items = read_prefixed_u32(r);
    struct reader inner = reader_over(items);
    struct session_item item;
    while (inner.rest.len > 0 && reader_ok(&inner)) {
        item_read(&inner, &item);
        bool is_delivery = item.kind == SESSION_ITEM_DELIVERY;
        fail_unless(&inner, kind == SESSION_KEPT ? !is_delivery || item.n != 0
                                                 : is_delivery && item.n == 0 && !item.is_received);
    }
    fail_unless(r, reader_done(&inner));
    return items;
}

/* ---- moves ---- */

static void move_read(struct reader *r, struct session_move *out)
{
    out->n = read_u64(r);
    out->to = read_u32(r);
    if (out->to != 0) {
        out->share = read_u32(r);
        out->subscription_id = read_u32(r);
        out->position = read_u64(r);
        out->expires_ms = read_u64(r);
        out->size = read_u32(r);
        fail_unless(r, out->share != 0 && out->position != 0);
    }
    fail_unless(r, out->n != 0);
}

bool session_move_next(struct slice *rest, struct session_move *out)
{
    struct reader r = reader_over(*rest);
    *out = (struct session_move){0};
    if (rest->len == 0) {
        return false;
    }
    move_read(&r, out);
    *rest = r.rest;
    return reader_ok(&r);
}

void session_move_write(struct writer *w, const struct session_move *move)
{
    write_u64(w, move->n);
    write_u32(w, move->to);
    if (move->to != 0) {
        write_u32(w, move->share);
        write_u32(w, move->subscription_id);
        write_u64(w, move->position);
        write_u64(w, move->expires_ms);
        write_u32(w, move->size);
    }
}

static struct slice moves_read(struct reader *r)
{
    struct slice items = read_prefixed_u32(r);
    struct reader inner = reader_over(items);
    struct session_move move = {0};
    while (inner.rest.len > 0 && reader_ok(&inner)) {
        move_read(&inner, &move);
    }
    fail_unless(r, reader_done(&inner) && items.len > 0);
    return items;
}

/* ---- records ---- */

static void opened_read(struct reader *r, struct session_record *out)
{
    owner_read(r, &out->owner);
    out->client_id = read_prefixed_u16(r);
    out->expiry_s = read_u32(r);
    out->will_delay_s = read_u32(r);
    uint8_t flags = read_u8(r);
    out->is_resumed = (flags & OPENED_RESUMED) != 0;
    out->has_will = (flags & OPENED_WILL) != 0;
    fail_unless(r, out->client_id.len <= SESSION_CLIENT_ID_MAX && flags < 4
                       && mqtt_string_is_valid(out->client_id));
}

static void opened_write(struct writer *w, const struct session_record *record)
{
    write_u8(w, (uint8_t)record->owner.kind);
    write_bytes(w, record->owner.id, sizeof record->owner.id);
    write_prefixed_u16(w, record->client_id);
    write_u32(w, record->expiry_s);
    write_u32(w, record->will_delay_s);
    write_u8(w, (uint8_t)((record->is_resumed ? OPENED_RESUMED : 0)
                          | (record->has_will ? OPENED_WILL : 0)));
}

static void kept_read(struct reader *r, struct session_record *out)
{
    out->part = read_u16(r);
    uint8_t flags = read_u8(r);
    out->is_last = (flags & KEPT_LAST) != 0;
    out->is_open = (flags & KEPT_OPEN) != 0;
    fail_unless(r, flags < 4 && (out->part == 0 || !out->is_open));
    if (out->part == 0) {
        opened_read(r, out);
        out->closed_ms = read_u64(r);
        out->will_at = read_u64(r);
        out->sent = read_u64(r);
        out->next = read_u64(r);
        out->next_share = read_u32(r);
        fail_unless(r, !out->is_resumed && out->has_will == (out->will_at != 0) && out->next != 0
                           && out->next_share != 0 && out->sent < out->next
                           && (!out->is_open || out->closed_ms == 0));
    }
    out->items = items_read(r, SESSION_KEPT);
}

static void kept_write(struct writer *w, const struct session_record *record)
{
    write_u16(w, record->part);
    write_u8(w, (uint8_t)((record->is_last ? KEPT_LAST : 0) | (record->is_open ? KEPT_OPEN : 0)));
    if (record->part == 0) {
        opened_write(w, record);
        write_u64(w, record->closed_ms);
        write_u64(w, record->will_at);
        write_u64(w, record->sent);
        write_u64(w, record->next);
        write_u32(w, record->next_share);
    }
    write_prefixed_u32(w, record->items);
}

static void closed_read(struct reader *r, struct session_record *out)
{
    out->expiry_s = read_u32(r);
    uint8_t flags = read_u8(r);
    out->has_will = flags == 1;
    out->sent = read_u64(r);
    fail_unless(r, flags <= 1);
}

static void ended_read(struct reader *r, struct session_record *out)
{
    uint8_t end = read_u8(r);
    fail_unless(r, end > 0 && end < SESSION_END_COUNT);
    out->end = (enum session_end)end;
}

static void subscribed_read(struct reader *r, struct session_record *out)
{
    out->filter = filter_read(r);
    options_read(r, &out->options);
    out->subscription_id = read_u32(r);
    out->items = items_read(r, SESSION_SUBSCRIBED);
    struct slice name, rest;
    fail_unless(r, !out->options.no_local || !mqtt_filter_is_shared(out->filter, &name, &rest));
}

static void acked_read(struct reader *r, struct session_record *out)
{
    out->first = read_u64(r);
    out->last = read_u64(r);
    fail_unless(r, out->first != 0 && out->first <= out->last);
}

static void body_read(struct reader *r, uint8_t kind, struct session_record *out)
{
    switch (kind) {
    case SESSION_OPENED: opened_read(r, out); return;
    case SESSION_CLOSED: closed_read(r, out); return;
    case SESSION_ENDED: ended_read(r, out); return;
    case SESSION_SUBSCRIBED: subscribed_read(r, out); return;
    case SESSION_UNSUBSCRIBED: out->filter = filter_read(r); return;
    case SESSION_RELEASED:
        out->packet_id = read_u16(r);
        fail_unless(r, out->packet_id != 0);
        return;
    case SESSION_ACKED: acked_read(r, out); return;
    case SESSION_RECEIVED:
        out->first = read_u64(r);
        fail_unless(r, out->first != 0);
        return;
    case SESSION_MOVED: out->items = moves_read(r); return;
    case SESSION_KEPT: kept_read(r, out); return;
    default: reader_fail(r); return;
    }
}

enum session_record_result session_record_decode(struct slice bytes, struct session_record *out)
{
    struct reader r = reader_over(bytes);
    struct session_record record = {0};
    uint8_t kind = read_u8(&r);
    record.session = read_u32(&r);
    fail_unless(&r, record.session != 0);
    body_read(&r, kind, &record);
    if (!reader_done(&r)) {
        return SESSION_RECORD_MALFORMED;
    }
    record.kind = (enum session_record_kind)kind;
    *out = record;
    return SESSION_RECORD_OK;
}

enum session_record_result session_record_encode(const struct session_record *record,
                                                 struct writer *w)
{
    write_u8(w, (uint8_t)record->kind);
    write_u32(w, record->session);
    switch (record->kind) {
    case SESSION_OPENED: opened_write(w, record); break;
    case SESSION_CLOSED:
        write_u32(w, record->expiry_s);
        write_u8(w, record->has_will);
        write_u64(w, record->sent);
        break;
    case SESSION_ENDED: write_u8(w, (uint8_t)record->end); break;
    case SESSION_SUBSCRIBED:
        write_prefixed_u16(w, record->filter);
        options_write(w, &record->options);
        write_u32(w, record->subscription_id);
        write_prefixed_u32(w, record->items);
        break;
    case SESSION_UNSUBSCRIBED: write_prefixed_u16(w, record->filter); break;
    case SESSION_RELEASED: write_u16(w, record->packet_id); break;
    case SESSION_ACKED:
        write_u64(w, record->first);
        write_u64(w, record->last);
        break;
    case SESSION_RECEIVED: write_u64(w, record->first); break;
    case SESSION_MOVED: write_prefixed_u32(w, record->items); break;
    case SESSION_KEPT: kept_write(w, record); break;
    }
    return writer_ok(w) ? SESSION_RECORD_OK : SESSION_RECORD_MALFORMED;
}
