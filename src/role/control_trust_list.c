/* The trust list: what it says now, its number, its signature; the registry keeps each one that was
 * served. */
#include "codec/cose.h"
#include "role/control_devices_inside.h"

enum {
    HEADER_MAX = DEVICES_DER_MAX + 64,
    RETRY_LEAST = 1024, /* devices */
    RETRY_SLOT_MS = 2   /* 500 connections a second, a fraction of what one gateway takes */
};

/*
 * Slots for the whole fleet to connect in, after a power cut or the loss of a gateway: twice as
 * many whenever it has doubled, so that the list changes seldom. A small fleet comes at once and is
 * told nothing.
 */
static uint32_t slots_for(struct control_devices *s)
{
    uint64_t by_state[IDENTITY_STATE_COUNT] = {0};
    uint64_t count = 0;
    uint32_t slots = RETRY_LEAST;
    if (registry_devices_count(s->options.registry, by_state) != REGISTRY_OK) {
        devices_broken(s);
        return 0;
    }
    for (int i = IDENTITY_EXPECTED; i < IDENTITY_STATE_COUNT; i++) {
        count += by_state[i];
    }
    while (slots < count && slots < TRUST_RETRY_MAX_MS / RETRY_SLOT_MS / 2) {
        slots *= 2;
    }
    return count < RETRY_LEAST ? 0 : slots;
}

static struct trust_list list_now(struct control_devices *s)
{
    return (struct trust_list){
        .ingest_keys = {s->ingest.certificate.public_key},
        .ingest_keys_count = 1,
        .issuers = {s->issuer.certificate.der},
        .issuers_count = 1,
        .retry_slots = s->trust_list_slots,
        .retry_slot_ms = s->trust_list_slots > 0 ? RETRY_SLOT_MS : 0,
    };
}

static bool says_the_same(const struct trust_list *a, const struct trust_list *b)
{
    bool same = a->ingest_keys_count == b->ingest_keys_count && a->issuers_count == b->issuers_count
                && a->retry_slots == b->retry_slots && a->retry_slot_ms == b->retry_slot_ms;
    for (size_t i = 0; same && i < a->ingest_keys_count; i++) {
        same = slice_equal(a->ingest_keys[i], b->ingest_keys[i]);
    }
    for (size_t i = 0; same && i < a->issuers_count; i++) {
        same = slice_equal(a->issuers[i], b->issuers[i]);
    }
    return same;
}

/* Does the registry hold the list that is so now? Then it is served; else *number is the next one.
 */
static bool serve_kept(struct control_devices *s, const struct trust_list *now, uint64_t *number)
{
    uint8_t payload_bytes[HEADER_MAX];
    struct writer payload = writer_over(payload_bytes, sizeof payload_bytes);
    struct writer bytes = writer_over(s->trust_list, sizeof s->trust_list);
    struct trust_list kept;
    *number = 0;
    switch (registry_trust_list(s->options.registry, number, &payload, &bytes)) {
    case REGISTRY_OK: break;
    case REGISTRY_NOT_FOUND: *number = 1; return false;
    case REGISTRY_TAKEN:
    case REGISTRY_STALE:
    case REGISTRY_FULL:
    case REGISTRY_NEWER:
    case REGISTRY_BROKEN: devices_broken(s); return false;
    }
    if (trust_list_payload_parse(writer_slice(&payload), &kept, NULL)
        && says_the_same(now, &kept)) {
        s->trust_list_len = bytes.len;
        return true;
    }
    (*number)++;
    return false;
}

static struct slice header_of(struct control_devices *s, uint8_t bytes[HEADER_MAX])
{
    struct writer w = writer_over(bytes, HEADER_MAX);
    trust_list_header_write(&w, s->trust.certificate.der);
    return writer_slice(&w);
}

static struct slice payload_of(struct control_devices *s, uint8_t bytes[HEADER_MAX])
{
    struct trust_list list = list_now(s);
    struct writer w = writer_over(bytes, HEADER_MAX);
    list.number = s->trust_list_number;
    return trust_list_payload_write(&w, &list) ? writer_slice(&w) : (struct slice){0};
}

void devices_trust_list_begin(struct control_devices *s)
{
    static uint8_t input[TRUST_LIST_MAX];
    uint8_t header[HEADER_MAX];
    uint8_t payload[HEADER_MAX];
    struct writer w = writer_over(input, sizeof input);
    uint64_t number = 0;
    if (s->trust_list_asked) {
        return;
    }
    s->trust_list_slots = slots_for(s); /* stays so until the signature is there */
    struct trust_list now = list_now(s);
    if (serve_kept(s, &now, &number) || number == 0) {
        return;
    }
    s->trust_list_number = number;
    trust_list_input_write(&w, header_of(s, header), payload_of(s, payload));
    s->trust_list_asked =
        writer_ok(&w)
        && keeper_client_sign(s->keeper, KEEPER_TRUST_LIST, writer_slice(&w), &s->trust_list_id);
}

static void keep(struct control_devices *s, struct slice signature)
{
    uint8_t header[HEADER_MAX];
    uint8_t payload_bytes[HEADER_MAX];
    uint8_t detail[64];
    struct writer w = writer_over(s->trust_list, sizeof s->trust_list);
    struct writer d = writer_over(detail, sizeof detail);
    struct slice payload = payload_of(s, payload_bytes);
    cose_write(&w, COSE_SIGN1, header_of(s, header), payload, signature);
    write_text(&d, "{\"number\":");
    write_decimal(&d, s->trust_list_number);
    write_text(&d, "}");
    struct registry_note note = {
        .at_ms = port_wall_ms(s->port, NULL),
        .kind = slice_text("trust-list-signed"),
        .actor = slice_text("system"),
        .object = slice_text("trust list"),
        .detail = writer_slice(&d),
    };
    if (!writer_ok(&w)
        || registry_trust_list_add(s->options.registry, s->trust_list_number, payload,
                                   writer_slice(&w), &note)
               != REGISTRY_OK) {
        devices_broken(s);
        return;
    }
    s->trust_list_len = w.len; /* from here on it is served */
}

bool devices_trust_list_signed(struct control_devices *s, const struct keeper_client_answer *answer)
{
    if (!s->trust_list_asked || answer->id != s->trust_list_id) {
        return false;
    }
    s->trust_list_asked = false;
    if (answer->outcome == KEEPER_SIGNED) {
        keep(s, answer->bytes);
    }
    return true; /* otherwise: asked again when the keeper is connected again */
}
