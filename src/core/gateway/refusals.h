/*
 * What was refused and why: a count for each reason, and the newest 256 in full, so that an
 * operator can tell a client's owner what to mend.
 */
#ifndef CORE_GATEWAY_REFUSALS_H
#define CORE_GATEWAY_REFUSALS_H

#include "base/id.h"
#include "base/writer.h"
#include "codec/mqtt.h"

enum { GW_REFUSALS_KEPT = 256, GW_ADDRESS_MAX = 64, GW_REASON_COUNT = 256, GW_WORDS_MAX = 120 };

/* Refusals before MQTT begins have no reason code of the standard: they are counted beside them. */
enum gw_gate {
    GW_GATE_RATE,        /* before TLS: its address connects too often */
    GW_GATE_SHARE,       /* before TLS: its address has too many handshakes in flight */
    GW_GATE_TLS,         /* no handshake: a stranger, an old protocol, a broken link */
    GW_GATE_TIMEOUT,     /* no end of the handshake in time */
    GW_GATE_IDENTITY,    /* a certificate of our issuer that names no device */
    GW_GATE_CONNECTIONS, /* no place for another connection */
    GW_GATE_DEVICE,      /* its device has too many connections */
    GW_GATE_MQTT         /* the code of a packet */
};
enum { GW_GATE_COUNT = GW_GATE_MQTT + 1 };

struct gw_refusal {
    int64_t wall_ms;
    enum gw_gate gate;
    enum mqtt_reason reason; /* of GW_GATE_MQTT */
    char words[GW_WORDS_MAX];
    char address[GW_ADDRESS_MAX];
    bool has_fingerprint;
    struct digest fingerprint; /* SHA-256 of the certificate */
};

struct gw_refusals {
    uint64_t by_gate[GW_GATE_COUNT];
    uint64_t by_reason[GW_REASON_COUNT];
    uint64_t total;                           /* of those that were kept in full */
    struct gw_refusal kept[GW_REFUSALS_KEPT]; /* a ring: the newest is at (total - 1) % 256 */
};

/* Texts that are too long are cut. `certificate` may be NULL. */
void gw_refusals_add(struct gw_refusals *r,
                     int64_t wall_ms,
                     enum gw_gate gate,
                     enum mqtt_reason reason,
                     const char *words,
                     const char *address,
                     const struct digest *certificate);

/* One that need not be told in full: the newest of its peer say enough. */
void gw_refusals_count(struct gw_refusals *r, enum gw_gate gate);

/* The `i`th newest, from 0; NULL beyond the last that is kept. */
const struct gw_refusal *gw_refusals_newest(const struct gw_refusals *r, uint32_t i);

/* "tls", "packet-too-large": lower case, words joined by hyphens. */
void gw_refusal_write_name(struct writer *w, enum gw_gate gate, enum mqtt_reason reason);

/* One line: time, name, code, address, fingerprint or "-", words. */
void gw_refusal_write(struct writer *w, const struct gw_refusal *refusal);

#endif
