#include "core/ingest/craft.h"

#include "codec/senml.h"
#include "trust/identity.h"
#include "trust/signature.h"

#include <string.h>

enum { YEAR_S = 31536000 };
static const char domain[] = "holdfast.local";

static bool certify(const struct key_private *issuer,
                    struct x509_spec *spec,
                    uint8_t *der,
                    size_t *der_len)
{
    uint8_t tbs_bytes[CRAFT_DER_MAX];
    uint8_t own_id[X509_KEY_ID_LEN];
    uint8_t issuer_id[X509_KEY_ID_LEN];
    static const uint8_t serial[16] = {0x41, 7};
    struct key_public issuer_public = key_public_of(issuer);
    struct writer tbs = writer_over(tbs_bytes, sizeof tbs_bytes);
    struct writer w = writer_over(der, CRAFT_DER_MAX);
    identity_key_id(spec->public_key, own_id);
    identity_key_id(slice_of(issuer_public.bytes, issuer_public.len), issuer_id);
    spec->serial = slice_of(serial, sizeof serial);
    spec->key_kind = X509_P256;
    spec->sign_with = X509_P256;
    spec->subject_key_id = slice_of(own_id, sizeof own_id);
    spec->authority_key_id = slice_of(issuer_id, sizeof issuer_id);
    if (x509_tbs_write(&tbs, spec) != X509_OK
        || !signature_certificate(&w, writer_slice(&tbs), issuer)) {
        return false;
    }
    *der_len = w.len;
    return true;
}

bool craft_site_make(struct craft_site *site)
{
    *site = (struct craft_site){.now_ms = INT64_C(1795000000000)};
    if (key_make(KEY_P256, &site->issuer) != KEY_OK
        || key_make(KEY_P256, &site->ingest) != KEY_OK) {
        return false;
    }
    struct writer name = writer_over(site->issuer_name, sizeof site->issuer_name);
    x509_subject_write(&name, &(struct x509_subject){.common_name = slice_text("issuer of tests")});
    site->issuer_name_len = name.len;
    struct key_public public = key_public_of(site->issuer);
    struct x509_spec spec = {.issuer = writer_slice(&name),
                             .subject = writer_slice(&name),
                             .not_before_ms = site->now_ms - INT64_C(1000) * YEAR_S,
                             .not_after_ms = site->now_ms + INT64_C(9000) * YEAR_S,
                             .public_key = slice_of(public.bytes, public.len),
                             .is_ca = true,
                             .key_usage = X509_KEY_CERT_SIGN | X509_CRL_SIGN};
    if (!certify(site->issuer, &spec, site->issuer_der, &site->issuer_der_len)) {
        return false;
    }
    site->ingest_public = key_public_of(site->ingest);
    struct digest digest = hash_of(slice_of(site->ingest_public.bytes, site->ingest_public.len));
    memcpy(site->ingest_id, digest.bytes, sizeof site->ingest_id);
    return x509_parse(slice_of(site->issuer_der, site->issuer_der_len), &site->issuer_certificate,
                      NULL)
           == X509_OK;
}

void craft_site_forget(struct craft_site *site)
{
    key_free(site->issuer);
    key_free(site->ingest);
    *site = (struct craft_site){0};
}

/* A key, and the site's certificate over it for this id. */
static bool issue(const struct craft_site *site, struct slice serial, struct craft_device *out)
{
    uint8_t name_bytes[64];
    uint8_t uri_bytes[IDENTITY_URI_MAX];
    struct writer name = writer_over(name_bytes, sizeof name_bytes);
    struct writer uri = writer_over(uri_bytes, sizeof uri_bytes);
    if (key_make(KEY_P256, &out->key) != KEY_OK) {
        return false;
    }
    x509_subject_write(&name, &(struct x509_subject){.serial_number = serial});
    identity_write_uri(&uri, slice_text(domain), &out->id);
    struct key_public public = key_public_of(out->key);
    struct x509_spec spec = {.issuer = site->issuer_certificate.subject,
                             .subject = writer_slice(&name),
                             .not_before_ms = site->now_ms - INT64_C(1000) * YEAR_S,
                             .not_after_ms = site->now_ms + INT64_C(1000) * YEAR_S,
                             .public_key = slice_of(public.bytes, public.len),
                             .key_usage = X509_DIGITAL_SIGNATURE,
                             .ext_key_usage = X509_EKU_CLIENT_AUTH,
                             .uri = writer_slice(&uri)};
    return certify(site->issuer, &spec, out->der, &out->der_len);
}

bool craft_device_make(const struct craft_site *site, uint32_t number, struct craft_device *out)
{
    uint8_t serial[16];
    struct writer serial_w = writer_over(serial, sizeof serial);
    *out = (struct craft_device){0};
    write_text(&serial_w, "dev-");
    write_decimal(&serial_w, number);
    struct digest digest = hash_of(writer_slice(&serial_w));
    memcpy(out->id.bytes, digest.bytes, sizeof out->id.bytes);
    return issue(site, writer_slice(&serial_w), out);
}

bool craft_renew(const struct craft_site *site, struct craft_device *d)
{
    key_free(d->key);
    return issue(site, slice_text("renewed"), d);
}

void craft_device_forget(struct craft_device *d)
{
    key_free(d->key);
    wipe(d, sizeof *d);
}

bool craft_boot(const struct craft_site *site,
                struct craft_device *d,
                uint32_t boot,
                uint64_t first)
{
    struct key_private *ephemeral = NULL;
    uint8_t shared[SHARED_LEN];
    uint8_t salt[MESSAGE_SALT_LEN];
    uint8_t secret[MAC_LEN];
    if (key_make(KEY_P256, &ephemeral) != KEY_OK
        || key_agree(ephemeral, &site->ingest_public, shared) != KEY_OK) {
        key_free(ephemeral);
        return false;
    }
    struct key_public public = key_public_of(ephemeral);
    memcpy(d->ephemeral, public.bytes, sizeof d->ephemeral);
    d->boot = boot;
    d->first = first;
    d->seq = first - 1;
    message_mac_salt(&d->id, boot, salt);
    hkdf(slice_of(shared, sizeof shared), slice_of(salt, sizeof salt), slice_text(MESSAGE_MAC_INFO),
         secret, sizeof secret);
    mac_key_init(&d->mac, slice_of(secret, sizeof secret));
    key_free(ephemeral);
    return true;
}

static void put_record(const struct bus_record *record, struct writer *w)
{
    if (bus_record_encode(record, w) != BUS_RECORD_OK) {
        w->overflow = true;
    }
}

void craft_linked(const struct craft_site *site,
                  struct craft_device *d,
                  uint32_t link,
                  struct writer *w)
{
    struct bus_record record = {.kind = BUS_LINKED,
                                .device = d->id,
                                .received_ms = site->now_ms,
                                .quality = TIME_SYNCED,
                                .payload = slice_of(d->der, d->der_len)};
    memset(d->exporter, 0, sizeof d->exporter);
    memcpy(d->exporter, &link, sizeof link);
    memcpy(record.exporter_digest, d->exporter, sizeof d->exporter);
    put_record(&record, w);
}

void craft_started(const struct craft_site *site, struct writer *w)
{
    put_record(&(struct bus_record){.kind = BUS_STARTED,
                                    .received_ms = site->now_ms,
                                    .quality = TIME_SYNCED},
               w);
}

void craft_unlinked(const struct craft_site *site, const struct craft_device *d, struct writer *w)
{
    struct bus_record record = {.kind = BUS_UNLINKED,
                                .device = d->id,
                                .received_ms = site->now_ms,
                                .quality = TIME_SYNCED,
                                .payload = slice_text("closed by the peer")};
    put_record(&record, w);
}

void craft_record(const struct craft_site *site,
                  const struct device_id *connected_as,
                  struct slice topic,
                  struct slice payload,
                  struct writer *w)
{
    struct bus_record record = {.kind = BUS_PUBLISHED,
                                .device = *connected_as,
                                .received_ms = site->now_ms,
                                .quality = TIME_SYNCED,
                                .topic = topic,
                                .payload = payload};
    put_record(&record, w);
}

void craft_topic(const struct device_id *id,
                 enum message_topic_kind kind,
                 const char *stream,
                 struct writer *w)
{
    struct message_topic topic = {.kind = kind, .device = *id, .stream = slice_text(stream)};
    message_topic_write(w, &topic);
}

struct hello_claims craft_claims(const struct craft_site *site, const struct craft_device *d)
{
    struct hello_claims claims = {.boot = d->boot,
                                  .first = d->first,
                                  .version = MESSAGE_VERSION,
                                  .agent = slice_text("holdfast-agent 0.1.0")};
    memcpy(claims.ephemeral, d->ephemeral, sizeof claims.ephemeral);
    memcpy(claims.exporter_digest, d->exporter, sizeof claims.exporter_digest);
    memcpy(claims.ingest_key_id, site->ingest_id, sizeof claims.ingest_key_id);
    return claims;
}

void craft_sign1(const struct craft_device *signer,
                 const struct hello_claims *claims,
                 struct slice topic,
                 struct writer *w)
{
    uint8_t protected_bytes[CRAFT_DER_MAX + 64];
    uint8_t claims_bytes[512];
    uint8_t signature[SIGNATURE_LEN];
    struct writer protected_header = writer_over(protected_bytes, sizeof protected_bytes);
    struct writer payload = writer_over(claims_bytes, sizeof claims_bytes);
    struct slice chain = slice_of(signer->der, signer->der_len);
    struct cose_input input;
    hello_protected_write(&protected_header, &chain, 1);
    hello_claims_write(&payload, claims);
    cose_to_be_authenticated(&input, COSE_SIGN1, writer_slice(&protected_header), topic,
                             writer_slice(&payload));
    if (key_sign(signer->key, input.parts, COUNT_OF(input.parts), signature) != KEY_OK) {
        w->overflow = true;
        return;
    }
    cose_write(w, COSE_SIGN1, writer_slice(&protected_header), writer_slice(&payload),
               slice_of(signature, sizeof signature));
}

void craft_hello(const struct craft_site *site, const struct craft_device *d, struct writer *w)
{
    uint8_t topic_bytes[MESSAGE_TOPIC_MAX];
    uint8_t payload_bytes[2048];
    struct writer topic = writer_over(topic_bytes, sizeof topic_bytes);
    struct writer payload = writer_over(payload_bytes, sizeof payload_bytes);
    struct hello_claims claims = craft_claims(site, d);
    craft_topic(&d->id, TOPIC_HELLO, "", &topic);
    craft_sign1(d, &claims, writer_slice(&topic), &payload);
    craft_record(site, &d->id, writer_slice(&topic), writer_slice(&payload), w);
}

void craft_mac0(const struct craft_device *d,
                uint64_t seq,
                struct slice topic,
                struct slice payload,
                struct writer *w)
{
    uint8_t protected_bytes[64];
    uint8_t tag[MAC_LEN];
    struct writer protected_header = writer_over(protected_bytes, sizeof protected_bytes);
    struct cose_input input;
    telemetry_protected_write(&protected_header, d->boot, seq);
    cose_to_be_authenticated(&input, COSE_MAC0, writer_slice(&protected_header), topic, payload);
    mac_of(&d->mac, input.parts, COUNT_OF(input.parts), tag);
    cose_write(w, COSE_MAC0, writer_slice(&protected_header), payload, slice_of(tag, sizeof tag));
}

void craft_telemetry(const struct craft_site *site,
                     const struct craft_device *d,
                     uint64_t seq,
                     const char *stream,
                     const struct craft_value *values,
                     size_t count,
                     struct writer *w)
{
    uint8_t topic_bytes[MESSAGE_TOPIC_MAX];
    static uint8_t pack_bytes[CRAFT_RECORD_MAX];
    static uint8_t message_bytes[CRAFT_RECORD_MAX];
    struct writer topic = writer_over(topic_bytes, sizeof topic_bytes);
    struct writer pack = writer_over(pack_bytes, sizeof pack_bytes);
    struct writer message = writer_over(message_bytes, sizeof message_bytes);
    craft_topic(&d->id, TOPIC_TELEMETRY, stream, &topic);
    senml_pack_write(&pack, count);
    for (size_t i = 0; i < count; i++) {
        struct senml_record record = {.name = slice_text(values[i].name),
                                      .unit = slice_text("Cel"),
                                      .has_time = true,
                                      .time_ms = values[i].time_ms,
                                      .kind = SENML_NUMBER,
                                      .number = values[i].value};
        if (i == 0) { /* the first record's time is everybody's base */
            record.has_base_time = true;
            record.base_time_ms = values[0].time_ms;
        }
        record.time_ms -= values[0].time_ms;
        record.has_time = record.time_ms != 0;
        senml_record_write(&pack, &record);
    }
    craft_mac0(d, seq, writer_slice(&topic), writer_slice(&pack), &message);
    craft_record(site, &d->id, writer_slice(&topic), writer_slice(&message), w);
}

void craft_json(const struct craft_site *site,
                const struct craft_device *d,
                const char *stream,
                const char *json,
                struct writer *w)
{
    uint8_t topic_bytes[MESSAGE_TOPIC_MAX];
    struct writer topic = writer_over(topic_bytes, sizeof topic_bytes);
    craft_topic(&d->id, TOPIC_JSON, stream, &topic);
    craft_record(site, &d->id, writer_slice(&topic), slice_text(json), w);
}
