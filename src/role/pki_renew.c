#include "role/pki_renew.h"

#include "codec/der.h"
#include "role/pki_files.h"

#include <stdio.h>

#define DAY_MS INT64_C(86400000)
enum { SERVICE_DAYS = 398 };

const char *const pki_server_stems[PKI_SERVERS] = {"gateway", "devices"};

/* Its names, as a spec takes them; false where there are more, or others, than we write. */
static bool take_names(const struct x509_extensions *from, struct x509_spec *spec)
{
    struct x509_names walk = x509_names_begin(from->names);
    uint8_t tag;
    struct slice value;
    while (x509_name_next(&walk, &tag, &value)) {
        if (tag == (DER_CONTEXT | 2) && spec->dns_count < X509_SPEC_DNS_MAX) {
            spec->dns[spec->dns_count++] = value;
        } else if (tag == (DER_CONTEXT | 7) && spec->ip_count < X509_SPEC_IP_MAX) {
            spec->ip[spec->ip_count++] = value;
        } else {
            return false;
        }
    }
    return true;
}

/*
 * It keeps its beginning: a clock that is wrong on the day of renewal must not make a certificate
 * that is not valid yet when the clock is right again.
 */
static bool certify_again(struct pki_entity *server,
                          struct port *port,
                          const struct pki_entity *services,
                          int64_t now_ms)
{
    const struct x509 *old = &server->certificate;
    int64_t end_ms = now_ms / 1000 * 1000 + SERVICE_DAYS * DAY_MS;
    int64_t last_ms = services->certificate.not_after_ms;
    struct x509_spec spec = {
        .subject = old->subject,
        .not_before_ms = old->not_before_ms,
        .not_after_ms = end_ms < last_ms ? end_ms : last_ms,
        .key_usage = X509_DIGITAL_SIGNATURE,
        .ext_key_usage = X509_EKU_SERVER_AUTH,
    };
    return take_names(&old->extensions, &spec) && pki_entity_certify(server, port, services, &spec);
}

enum pki_result pki_renew_server(struct port *port,
                                 const char *data,
                                 const char *stem,
                                 const struct pki_entity *services,
                                 struct pki_renewal *out,
                                 struct port_why *why)
{
    char dir[PKI_PATH_MAX];
    char file[PKI_PATH_MAX];
    struct pki_entity server;
    int64_t now_ms = port_wall_ms(port, NULL);
    if (!pki_path(dir, data, "pki")) {
        return pki_refuse(PKI_BAD, why, "the path of the data folder is too long");
    }
    enum pki_result result = pki_read_certificate(port, dir, stem, &server, why);
    if (result != PKI_OK) {
        return result;
    }
    /* A third of what is left of it and was: with the same beginning its life grows each time. */
    int64_t end_ms = server.certificate.not_after_ms;
    int64_t life_ms = end_ms - server.certificate.not_before_ms;
    int64_t longest_ms = SERVICE_DAYS * DAY_MS;
    *out = (struct pki_renewal){.not_after_ms = end_ms};
    out->is_due = now_ms > end_ms - (life_ms < longest_ms ? life_ms : longest_ms) / 3;
    if (out->is_due && services != NULL) {
        const struct pki_entity *chain[] = {&server, services};
        (void)snprintf(file, sizeof file, "%s.pem", stem);
        result = certify_again(&server, port, services, now_ms)
                     ? pki_write_chain(port, dir, file, chain, COUNT_OF(chain), why)
                     : pki_refuse(PKI_FAILED, why, "%s.pem could not be made anew", stem);
        out->is_renewed = result == PKI_OK && server.certificate.not_after_ms > out->not_after_ms;
        out->not_after_ms = result == PKI_OK ? server.certificate.not_after_ms : out->not_after_ms;
    }
    pki_entity_forget(&server);
    return result;
}
