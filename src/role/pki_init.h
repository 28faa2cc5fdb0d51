/*
 * Makes keys and certificates that no running role makes: a manufacturer's CA and its devices'
 * IDevIDs, a site's root, issuers and servers, and the key of a stock client. Every file is written
 * durably (temporary file, sync, rename, sync of the folder), keys with mode 0600, and nothing that
 * exists is overwritten.
 */
#ifndef ROLE_PKI_INIT_H
#define ROLE_PKI_INIT_H

#include "base/id.h"
#include "base/writer.h"
#include "io/port.h"

enum pki_result {
    PKI_OK = 0,
    PKI_EXISTS, /* it was made before; nothing was changed */
    PKI_BAD,    /* a name or file cannot be used: `why` */
    PKI_FAILED  /* the machine failed: `why` */
};

/* dir/manufacturer.pem and dir/manufacturer.key: a self-signed P-256 CA, valid until 9999. */
MUST_USE enum pki_result pki_make_manufacturer(struct port *port,
                                               const char *dir,
                                               const char *name, /* "Hydra Machines" */
                                               struct port_why *why);

/* out_dir/idevid.pem and out_dir/idevid.key, signed by the manufacturer in `factory_dir`; *id is
 * its device id. */
MUST_USE enum pki_result pki_make_idevid(
    struct port *port,
    const char *factory_dir,
    const char *serial, /* subject serialNumber: "press-001" */
    const char *model,  /* hardware type, in the subject's O or a SAN: "P4-A" */
    const char *out_dir,
    struct device_id *id,
    struct port_why *why);

struct pki_site {
    const char *data;   /* DATA; all folders of docs/architecture.md are made below it */
    const char *name;   /* for subjects: "Northsea Pressings" */
    const char *domain; /* "holdfast.local" */
    const char *const
        *hosts; /* DNS names and addresses of the servers, besides localhost, 127.0.0.1 and ::1 */
    size_t hosts_count;
    uint64_t service_lifetime_ms; /* of server certificates; 0: 398 d */
};

/* Everything below DATA/pki and DATA/keeper, as docs/architecture.md lists it. */
MUST_USE enum pki_result pki_make_site(struct port *port,
                                       const struct pki_site *site,
                                       struct port_why *why);

/* A P-256 key (PKCS#8 PEM) and a CSR (PEM) for it, for `device bundle`. `own`: a key that is there
 * already (PEM), which is then given again; empty: a fresh one. */
MUST_USE enum pki_result pki_make_client_key(const char *common_name,
                                             struct slice own,
                                             struct writer *key_pem,
                                             struct writer *csr_pem);

#endif
