/*
 * Server certificates of this machine, made anew before they end: the same key, subject, names and
 * purposes under the services CA. The key stays, so that one file changes and the two can never
 * disagree; whoever serves with it reads the file again (role/tls_files.h).
 */
#ifndef ROLE_PKI_RENEW_H
#define ROLE_PKI_RENEW_H

#include "role/pki_authority.h"
#include "role/pki_init.h"

enum { PKI_SERVERS = 2 };
extern const char *const pki_server_stems[PKI_SERVERS]; /* "gateway", "devices" */

struct pki_renewal {
    bool is_renewed;
    bool is_due;          /* less than a third of its life is left */
    int64_t not_after_ms; /* of the certificate that stands now */
};

/* DATA/pki/STEM.pem, looked at and, where it is due and `services` is not NULL, made anew. `out` is
 * set where the certificate could be read. */
MUST_USE enum pki_result pki_renew_server(struct port *port,
                                          const char *data,
                                          const char *stem,
                                          const struct pki_entity *services,
                                          struct pki_renewal *out,
                                          struct port_why *why);

#endif
