/*
 * Who is it? Device ids from the hardware's key (IDevID) and from our own certificates (LDevID).
 * The id of an LDevID is in its one URI name, spiffe://DOMAIN/device/hf1:HEX, and nowhere else.
 * The certificate of an application (plant software that is no device) has spiffe://DOMAIN/app/NAME
 * there: no certificate can be both.
 */
#ifndef TRUST_IDENTITY_H
#define TRUST_IDENTITY_H

#include "base/fault.h"
#include "base/id.h"
#include "base/slice.h"
#include "base/writer.h"
#include "codec/x509.h"

enum {
    IDENTITY_DOMAIN_MAX = 128,
    IDENTITY_APPLICATION_MAX = 63, /* bytes of an application's name */
    IDENTITY_URI_MAX = 9 + IDENTITY_DOMAIN_MAX + 8 + IDENTITY_APPLICATION_MAX
};

/* First 16 bytes of SHA-256("holdfast device 1" || 0x00 || SubjectPublicKeyInfo). `spki` is the
 * whole DER. */
struct device_id identity_of_hardware(struct slice spki);

/* SHA-256 of the SubjectPublicKeyInfo: how keys are told apart in the registry. */
struct digest identity_key_digest(struct slice spki);

/* First 20 bytes of SHA-256 of the key's octets (RFC 7093 2): the key identifiers that we write. */
void identity_key_id(struct slice public_key, uint8_t out[X509_KEY_ID_LEN]);

/* The id an LDevID of `domain` names: exactly one URI, of exactly that form. False with the clause
 * it breaks. */
MUST_USE bool identity_of_ldevid(const struct x509 *certificate,
                                 struct slice domain,
                                 struct device_id *out,
                                 struct fault *fault);

void identity_write_uri(struct writer *w, struct slice domain, const struct device_id *id);

/* ---- applications ---- */

/* 1 to 63 letters, digits, '.', '_' and '-', the first a letter or digit: it stands in a URI, in
 * file names and on the command line as it is. */
bool identity_application_name_is_valid(struct slice name);

/* The application a certificate of `domain` names, borrowed from the certificate; the same rules as
 * for devices. */
MUST_USE bool identity_of_application(const struct x509 *certificate,
                                      struct slice domain,
                                      struct slice *name,
                                      struct fault *fault);

/* The owner of an application's sessions: first 16 bytes of SHA-256("holdfast application 1" ||
 * 0x00 || name). No device has it: theirs is of another text. */
struct device_id identity_application_id(struct slice name);

void identity_write_application_uri(struct writer *w, struct slice domain, struct slice name);

#endif
