/*
 * The files that pki_init.h's makers leave: PEM, mode 0600, each whole and durable before the next.
 */
#ifndef ROLE_PKI_FILES_H
#define ROLE_PKI_FILES_H

#include "role/pki_authority.h"
#include "role/pki_init.h"

enum { PKI_PATH_MAX = 900, PKI_PEM_MAX = 8192 };

/* "DIR/NAME" to `out`; false where it does not fit. */
MUST_USE bool pki_path(char out[PKI_PATH_MAX], const char *dir, const char *name);

MUST_USE bool pki_has_file(struct port *port, const char *dir, const char *name);

/* DIR/STEM.key; the memory that it passed through is wiped. */
MUST_USE enum pki_result pki_write_key(struct port *port,
                                       const char *dir,
                                       const char *name,
                                       const struct key_private *key,
                                       struct port_why *why);

/* DIR/NAME: the certificates one behind the other, the leaf first. */
MUST_USE enum pki_result pki_write_chain(struct port *port,
                                         const char *dir,
                                         const char *name,
                                         const struct pki_entity *const *chain,
                                         size_t count,
                                         struct port_why *why);

/* Takes DIR/STEM.pem and DIR/STEM.key. */
MUST_USE enum pki_result pki_read_entity(struct port *port,
                                         const char *dir,
                                         const char *stem,
                                         struct pki_entity *out,
                                         struct port_why *why);

/* Takes DIR/STEM.pem alone: pki_entity_of_certificate. */
MUST_USE enum pki_result pki_read_certificate(struct port *port,
                                              const char *dir,
                                              const char *stem,
                                              struct pki_entity *out,
                                              struct port_why *why);

/* Fills `why` and gives `result` back. */
enum pki_result pki_refuse(enum pki_result result, struct port_why *why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
