/*
 * A site and devices of our own making, and the bus records they cause: for tests, fuzzing and the
 * benchmark. Nothing of the product links it.
 */
#ifndef CORE_INGEST_CRAFT_H
#define CORE_INGEST_CRAFT_H

#include "codec/bus_record.h"
#include "codec/message.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "trust/chain.h"

enum { CRAFT_DER_MAX = 1024, CRAFT_RECORD_MAX = 32768 };

struct craft_site {
    struct key_private *issuer, *ingest;
    uint8_t issuer_name[64], issuer_der[CRAFT_DER_MAX];
    size_t issuer_name_len, issuer_der_len;
    struct x509 issuer_certificate;
    struct key_public ingest_public;
    uint8_t ingest_id[MESSAGE_KEY_ID_LEN];
    int64_t now_ms; /* received_ms of the records; the test moves it */
};

struct craft_device {
    struct device_id id;
    struct key_private *key;
    uint8_t der[CRAFT_DER_MAX];
    size_t der_len;
    uint32_t boot;
    uint64_t first, seq; /* of the boot; the last used */
    uint8_t ephemeral[MESSAGE_POINT_LEN];
    struct mac_key mac;
    uint8_t exporter[DIGEST_LEN];
};

struct craft_value {
    const char *name;
    int64_t time_ms;
    double value;
};

/* False where the library fails. craft_site_forget releases the keys. */
MUST_USE bool craft_site_make(struct craft_site *site);
void craft_site_forget(struct craft_site *site);

/* Device `number` of the domain "holdfast.local", certified by the site. */
MUST_USE bool craft_device_make(const struct craft_site *site,
                                uint32_t number,
                                struct craft_device *out);
void craft_device_forget(struct craft_device *d);

/* A new boot: another ephemeral key, numbers from `first` on. */
MUST_USE bool craft_boot(const struct craft_site *site,
                         struct craft_device *d,
                         uint32_t boot,
                         uint64_t first);

/* Another certificate for the same id, over a key of its own: the next generation. */
MUST_USE bool craft_renew(const struct craft_site *site, struct craft_device *d);

/* Each writes one encoded bus record. `link`: any number, it makes the exporter. */
void craft_linked(const struct craft_site *site,
                  struct craft_device *d,
                  uint32_t link,
                  struct writer *w);
void craft_started(const struct craft_site *site, struct writer *w);
void craft_unlinked(const struct craft_site *site, const struct craft_device *d, struct writer *w);
void craft_hello(const struct craft_site *site, const struct craft_device *d, struct writer *w);
void craft_telemetry(const struct craft_site *site,
                     const struct craft_device *d,
                     uint64_t seq,
                     const char *stream,
                     const struct craft_value *values,
                     size_t count,
                     struct writer *w);
void craft_json(const struct craft_site *site,
                const struct craft_device *d,
                const char *stream,
                const char *json,
                struct writer *w);

/* The parts, for those who forge them: a record of `topic` and `payload` by the device's
 * connection. */
void craft_record(const struct craft_site *site,
                  const struct device_id *connected_as,
                  struct slice topic,
                  struct slice payload,
                  struct writer *w);
void craft_topic(const struct device_id *id,
                 enum message_topic_kind kind,
                 const char *stream,
                 struct writer *w);
/* The COSE_Mac0 over a payload of any bytes. */
void craft_mac0(const struct craft_device *d,
                uint64_t seq,
                struct slice topic,
                struct slice payload,
                struct writer *w);
/* A hello with these claims, signed by `signer`'s key over `topic`. */
void craft_sign1(const struct craft_device *signer,
                 const struct hello_claims *claims,
                 struct slice topic,
                 struct writer *w);
struct hello_claims craft_claims(const struct craft_site *site, const struct craft_device *d);

#endif
