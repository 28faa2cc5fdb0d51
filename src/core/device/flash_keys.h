/*
 * The keys of a device without files, on raw NOR flash: the identity that has been used, a renewed
 * one that has not, the key that is being enrolled (core/device/generation.h says which of them a
 * connection is made with). All of it is one record that takes the place of the one before it: at
 * every instant the whole of what was, or the whole of what is to be, can be read; and what was is
 * erased then, for a key that is no longer ours must not lie about.
 *
 *     nothing --next--> a key is asked for --certified--> an identity
 *                                  ^                          | next
 *     the renewed one alone <--used-- two identities <--certified--+
 *
 * Where a part can keep keys that never leave it (a secure element, a TPM), keep them there: what
 * is on this flash is as safe as the flash.
 *
 *     while (flash_keys_wants(k, &order)) { perform it; flash_keys_did(k); }
 *
 * after flash_keys_init and after each call; what it changed is durable then and may be used.
 */
#ifndef CORE_DEVICE_FLASH_KEYS_H
#define CORE_DEVICE_FLASH_KEYS_H

#include "core/device/flash_log.h"

enum { FLASH_KEYS_KIND = 'k', FLASH_KEY_MAX = 512, FLASH_CERTIFICATE_MAX = 2048 };

/* As their owner encodes them; a length of zero: there is none. */
struct flash_key {
    uint16_t len;
    uint8_t bytes[FLASH_KEY_MAX];
};

struct flash_identity {
    struct flash_key key;
    uint16_t certificate_len;
    uint8_t certificate[FLASH_CERTIFICATE_MAX]; /* DER */
};

enum flash_keys_state {
    FLASH_KEYS_STARTING,
    FLASH_KEYS_NONE, /* the flash has never had any */
    FLASH_KEYS_HELD,
    FLASH_KEYS_DAMAGED /* there were some, and they have rotted: nothing but a new enrolment helps
                        */
};

struct flash_keys {
    struct flash_log log;
    enum flash_keys_state state;
    uint8_t *record; /* record_cap bytes: as many as a record of this log may have */
    size_t record_cap;
    struct flash_identity own, renewed;
    struct flash_key next;
};

enum flash_keys_result {
    FLASH_KEYS_OK = 0,
    FLASH_KEYS_REFUSED, /* not from here: no next key, no renewed identity */
    FLASH_KEYS_TOO_LONG /* for its field, or all together for a block */
};

/* `limits` has the kind FLASH_KEYS_KIND and `replaces`; a block takes the whole record. */
void flash_keys_init(struct flash_keys *k,
                     const struct flash_log_limits *limits,
                     struct flash_block *blocks,
                     uint8_t *buffer,
                     uint8_t *record,
                     size_t record_cap,
                     uint32_t start);

bool flash_keys_wants(const struct flash_keys *k, struct flash_order *out);
void flash_keys_did(struct flash_keys *k);

/* While nothing is wanted, each of these. A key that a certificate is to be asked for; one that was
 * not certified is given up. */
MUST_USE enum flash_keys_result flash_keys_next(struct flash_keys *k, struct slice key);

/* The certificate of the next key: the identity, or, where there is one, the renewed one. */
MUST_USE enum flash_keys_result flash_keys_certified(struct flash_keys *k,
                                                     struct slice certificate);

/* The renewed identity has been used: it takes the place of the old one. */
MUST_USE enum flash_keys_result flash_keys_used(struct flash_keys *k);

/* Out of memory with all that is secret; not off the flash. */
void flash_keys_wipe(struct flash_keys *k);

#endif
