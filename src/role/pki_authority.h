/*
 * Certificates from keys in memory, for the makers of pki_init.h: a key, its name and its
 * certificate, made in one go under another of the same kind.
 */
#ifndef ROLE_PKI_AUTHORITY_H
#define ROLE_PKI_AUTHORITY_H

#include "base/slice.h"
#include "codec/x509.h"
#include "crypto/key.h"
#include "io/port.h"

enum { PKI_NAME_MAX = 512, PKI_DER_MAX = 2048, PKI_SERIAL_LEN = 16 };

#define PKI_NEVER_MS INT64_C(253402300799000) /* 99991231235959Z, RFC 5280 4.1.2.5 */

struct pki_entity { /* pki_entity_forget gives its key back */
    struct key_private *key;
    struct key_public public;
    uint8_t key_id[X509_KEY_ID_LEN];
    uint8_t der[PKI_DER_MAX];
    size_t der_len;
    struct x509 certificate; /* of der */
};

/* A certificate's serial number: positive, of exactly 16 octets, from the port's entropy. */
void pki_serial(struct port *port, uint8_t out[PKI_SERIAL_LEN]);

/*
 * Makes a key of `kind` and its certificate by `issuer` (NULL: its own). `spec` gives subject,
 * times, flags and names; serial, keys, key identifiers and issuer are filled in.
 */
MUST_USE bool pki_entity_make(struct pki_entity *out,
                              struct port *port,
                              enum key_kind kind,
                              const struct pki_entity *issuer,
                              const struct x509_spec *spec);

/* Another certificate over the key that `entity` has; `spec` may borrow from the one it had. */
MUST_USE bool pki_entity_certify(struct pki_entity *entity,
                                 struct port *port,
                                 const struct pki_entity *issuer,
                                 const struct x509_spec *spec);

/* Takes an entity back from its two PEM texts; false where they are not of each other. */
MUST_USE bool pki_entity_from_pem(struct pki_entity *out,
                                  struct slice certificate_pem,
                                  struct slice key_pem);

/* An entity that can be certified again and signs nothing: its private key is somebody else's. */
MUST_USE bool pki_entity_of_certificate(struct pki_entity *out, struct slice certificate_pem);

void pki_entity_forget(struct pki_entity *entity);

#endif
