/* pki_make_site: made whole in folders beside the real ones, then moved there. */
#include "io/folder.h"
#include "role/pki_files.h"
#include "role/pki_init.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define DAY_MS  INT64_C(86400000)
#define YEAR_MS (INT64_C(365) * DAY_MS)

enum { HOSTS_MAX = 6, SERVICE_DAYS = 398 };

/* One making: folders, times, and the entities that sign others. */
struct making {
    struct port *port;
    const struct pki_site *site;
    struct port_why *why;
    char pki[PKI_PATH_MAX];     /* DATA/pki.new: certificates */
    char keeper[PKI_PATH_MAX];  /* DATA/keeper.new: the keys that sign */
    char offline[PKI_PATH_MAX]; /* DATA/keys.new/offline: the root's */
    char gateway[PKI_PATH_MAX]; /* DATA/keys.new/gateway, and so on: a folder for each role, so that
                                 */
    char control[PKI_PATH_MAX]; /* none can read another's */
    char ingest[PKI_PATH_MAX];
    int64_t now_ms;
    struct pki_entity root, issuer, services;
};

static struct slice subject_of(struct making *m,
                               const char *common_name,
                               uint8_t bytes[PKI_NAME_MAX])
{
    struct writer w = writer_over(bytes, PKI_NAME_MAX);
    x509_subject_write(&w, &(struct x509_subject){.organization = slice_text(m->site->name),
                                                  .common_name = slice_text(common_name)});
    return writer_slice(&w);
}

static enum pki_result make_ca(struct making *m,
                               struct pki_entity *out,
                               const char *common_name,
                               const struct pki_entity *under,
                               uint32_t path_len,
                               int64_t life_ms)
{
    uint8_t subject[PKI_NAME_MAX];
    struct x509_spec spec = {
        .subject = subject_of(m, common_name, subject),
        .not_before_ms = m->now_ms - DAY_MS,
        .not_after_ms = m->now_ms + life_ms,
        .is_ca = true,
        .has_path_len = true,
        .path_len = path_len,
        .key_usage = X509_KEY_CERT_SIGN | X509_CRL_SIGN,
    };
    if (!pki_entity_make(out, m->port, KEY_P256, under, &spec)) {
        return pki_refuse(PKI_FAILED, m->why, "the key of the %s could not be made", common_name);
    }
    return PKI_OK;
}

/* An entity under the root whose certificate is DIR/pki/STEM.pem and whose key goes to `key_dir`.
 */
static enum pki_result make_named(struct making *m,
                                  const char *stem,
                                  const char *common_name,
                                  uint16_t key_usage,
                                  const char *key_dir)
{
    char certificate_name[64];
    char key_name[64];
    uint8_t subject[PKI_NAME_MAX];
    struct pki_entity entity;
    struct x509_spec spec = {
        .subject = subject_of(m, common_name, subject),
        .not_before_ms = m->now_ms - DAY_MS,
        .not_after_ms = m->now_ms + 10 * YEAR_MS,
        .key_usage = key_usage,
    };
    (void)snprintf(certificate_name, sizeof certificate_name, "%s.pem", stem);
    (void)snprintf(key_name, sizeof key_name, "%s.key", stem);
    if (!pki_entity_make(&entity, m->port, KEY_P256, &m->root, &spec)) {
        return pki_refuse(PKI_FAILED, m->why, "the key of %s could not be made", stem);
    }
    const struct pki_entity *chain[] = {&entity};
    enum pki_result result = pki_write_key(m->port, key_dir, key_name, entity.key, m->why);
    if (result == PKI_OK) {
        result = pki_write_chain(m->port, m->pki, certificate_name, chain, 1, m->why);
    }
    pki_entity_forget(&entity);
    return result;
}

/* A key without a certificate: whoever verifies with it learns of it through what the root signs.
 */
static enum pki_result make_bare_key(struct making *m, const char *name, enum key_kind kind)
{
    struct key_private *key = NULL;
    if (key_make(kind, &key) != KEY_OK) {
        return pki_refuse(PKI_FAILED, m->why, "%s could not be made", name);
    }
    enum pki_result result = pki_write_key(m->port, m->keeper, name, key, m->why);
    key_free(key);
    return result;
}

struct host_names {
    uint8_t addresses[HOSTS_MAX + 2][16];
};

static bool add_host(struct x509_spec *spec, struct host_names *names, const char *host)
{
    uint8_t *address = names->addresses[spec->ip_count];
    size_t len = inet_pton(AF_INET, host, address) == 1    ? 4
                 : inet_pton(AF_INET6, host, address) == 1 ? 16
                                                           : 0;
    if (len > 0) {
        spec->ip[spec->ip_count++] = slice_of(address, len);
        return true;
    }
    for (size_t i = 0; host[i] != '\0'; i++) {
        bool is_letter = (host[i] >= 'a' && host[i] <= 'z') || (host[i] >= 'A' && host[i] <= 'Z');
        bool is_digit = host[i] >= '0' && host[i] <= '9';
        if (!is_letter && !is_digit && host[i] != '-' && host[i] != '.') {
            return false;
        }
    }
    if (host[0] == '\0' || strlen(host) > 253) {
        return false;
    }
    spec->dns[spec->dns_count++] = slice_text(host);
    return true;
}

/* The server certificate STEM.pem, followed by the services CA; its key goes to `key_dir`. */
static enum pki_result make_server(struct making *m,
                                   const char *stem,
                                   const char *common_name,
                                   const char *key_dir)
{
    static const char *const own[] = {"localhost", "127.0.0.1", "::1"};
    char file[64];
    uint8_t subject[PKI_NAME_MAX];
    struct host_names names;
    struct pki_entity entity;
    int64_t life_ms = m->site->service_lifetime_ms != 0 ? (int64_t)m->site->service_lifetime_ms
                                                        : SERVICE_DAYS * DAY_MS;
    struct x509_spec spec = {
        .subject = subject_of(m, common_name, subject),
        .not_before_ms = m->now_ms - DAY_MS,
        .not_after_ms = (m->now_ms + life_ms) / 1000 * 1000,
        .key_usage = X509_DIGITAL_SIGNATURE,
        .ext_key_usage = X509_EKU_SERVER_AUTH,
    };
    bool usable = m->site->hosts_count <= HOSTS_MAX;
    for (size_t i = 0; i < COUNT_OF(own); i++) {
        usable = usable && add_host(&spec, &names, own[i]);
    }
    for (size_t i = 0; usable && i < m->site->hosts_count; i++) {
        if (!add_host(&spec, &names, m->site->hosts[i])) {
            return pki_refuse(PKI_BAD, m->why, "\"%s\" is neither a host name nor an address",
                              m->site->hosts[i]);
        }
    }
    if (!usable) {
        return pki_refuse(PKI_BAD, m->why, "more than %d hosts for one certificate",
                          (int)HOSTS_MAX);
    }
    if (!pki_entity_make(&entity, m->port, KEY_P256, &m->services, &spec)) {
        return pki_refuse(PKI_FAILED, m->why, "the key of %s could not be made", stem);
    }
    const struct pki_entity *chain[] = {&entity, &m->services};
    (void)snprintf(file, sizeof file, "%s.key", stem);
    enum pki_result result = pki_write_key(m->port, key_dir, file, entity.key, m->why);
    if (result == PKI_OK) {
        (void)snprintf(file, sizeof file, "%s.pem", stem);
        result = pki_write_chain(m->port, m->pki, file, chain, COUNT_OF(chain), m->why);
    }
    pki_entity_forget(&entity);
    return result;
}

static enum pki_result make_authorities(struct making *m)
{
    enum pki_result result = make_ca(m, &m->root, "Holdfast root", NULL, 1, 20 * YEAR_MS);
    if (result == PKI_OK) {
        result = make_ca(m, &m->issuer, "Holdfast device issuer", &m->root, 0, 10 * YEAR_MS);
    }
    if (result == PKI_OK) {
        result = make_ca(m, &m->services, "Holdfast services", &m->root, 0, 10 * YEAR_MS);
    }
    return result;
}

static enum pki_result write_authorities(struct making *m)
{
    const struct {
        const char *dir;
        const char *key;
        const char *certificate;
        const struct pki_entity *entity;
    } rows[] = {
        {m->offline, "root.key", "root.pem", &m->root},
        {m->keeper, "issuer.key", "issuer.pem", &m->issuer},
        {m->keeper, "services.key", "services.pem", &m->services},
    };
    enum pki_result result = PKI_OK;
    for (size_t i = 0; i < COUNT_OF(rows) && result == PKI_OK; i++) {
        result = pki_write_key(m->port, rows[i].dir, rows[i].key, rows[i].entity->key, m->why);
        if (result == PKI_OK) {
            result =
                pki_write_chain(m->port, m->pki, rows[i].certificate, &rows[i].entity, 1, m->why);
        }
    }
    return result;
}

static enum pki_result make_folders(struct making *m)
{
    char manufacturers[PKI_PATH_MAX] = "";
    const struct {
        char *path;
        const char *name;
    } rows[] = {
        {m->pki, "pki.new"},
        {manufacturers, "pki.new/manufacturers"},
        {m->keeper, "keeper.new"},
        {m->offline, "keys.new/offline"},
        {m->gateway, "keys.new/gateway"},
        {m->control, "keys.new/control"},
        {m->ingest, "keys.new/ingest"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!pki_path(rows[i].path, m->site->data, rows[i].name)) {
            return pki_refuse(PKI_BAD, m->why, "the path of the data folder is too long");
        }
        if (port_folder_make(m->port, rows[i].path) != PORT_OK) {
            return pki_refuse(PKI_FAILED, m->why, "%s could not be made", rows[i].path);
        }
    }
    return PKI_OK;
}

static enum pki_result make_all(struct making *m)
{
    enum pki_result result = make_folders(m);
    result = result == PKI_OK ? make_authorities(m) : result;
    result = result == PKI_OK ? write_authorities(m) : result;
    result = result == PKI_OK ? make_server(m, "gateway", "Holdfast gateway", m->gateway) : result;
    result = result == PKI_OK ? make_server(m, "devices", "Holdfast device services", m->control)
                              : result;
    result = result == PKI_OK
                 ? make_named(m, "ingest", "holdfast ingest", X509_KEY_AGREEMENT, m->ingest)
                 : result;
    result = result == PKI_OK
                 ? make_named(m, "trust", "holdfast trust", X509_DIGITAL_SIGNATURE, m->keeper)
                 : result;
    result = result == PKI_OK ? make_bare_key(m, "audit.key", KEY_ED25519) : result;
    result = result == PKI_OK ? make_bare_key(m, "command.key", KEY_P256) : result;
    result = result == PKI_OK ? make_bare_key(m, "update.key", KEY_ED25519) : result;
    pki_entity_forget(&m->root);
    pki_entity_forget(&m->issuer);
    pki_entity_forget(&m->services);
    return result;
}

/* In this order: a site is there when its DATA/pki is. What each holds last says that it is whole.
 */
static const struct {
    const char *name, *fresh, *mark;
} folders[] = {
    {"keys", "keys.new", "ingest/ingest.key"},
    {"keeper", "keeper.new", "issuer.key"},
    {"pki", "pki.new", "trust.pem"},
};

static bool is_there(const struct making *m, const char *folder, const char *mark)
{
    char path[PKI_PATH_MAX];
    return pki_path(path, m->site->data, folder) && pki_has_file(m->port, path, mark);
}

static enum pki_result move_into_place(struct making *m)
{
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        char from[PKI_PATH_MAX];
        char to[PKI_PATH_MAX];
        if (!pki_path(from, m->site->data, folders[i].fresh)
            || !pki_path(to, m->site->data, folders[i].name)) {
            return pki_refuse(PKI_BAD, m->why, "the path of the data folder is too long");
        }
        if ((!is_there(m, folders[i].name, folders[i].mark)
             && port_rename(m->port, from, to) != PORT_OK)
            || port_dir_sync(m->port, m->site->data) != PORT_OK) {
            return pki_refuse(PKI_FAILED, m->why, "%s could not be moved into place", from);
        }
    }
    return PKI_OK;
}

/* Cut between two moves: what was not moved yet is whole beside it. */
static bool can_go_on(const struct making *m)
{
    bool all = true;
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        all = all
              && (is_there(m, folders[i].name, folders[i].mark)
                  || is_there(m, folders[i].fresh, folders[i].mark));
    }
    return all;
}

enum pki_result pki_make_site(struct port *port, const struct pki_site *site, struct port_why *why)
{
    enum time_quality quality;
    struct making m = {.port = port, .site = site, .why = why};
    m.now_ms = port_wall_ms(port, &quality) / 1000 * 1000;
    if (is_there(&m, "pki", "root.pem")) {
        return pki_refuse(PKI_EXISTS, why, "%s/pki/root.pem is there already; nothing was changed",
                          site->data);
    }
    if (is_there(&m, "keys", folders[0].mark) || is_there(&m, "keeper", folders[1].mark)) {
        if (!can_go_on(&m)) { /* the certificates were taken away */
            return pki_refuse(PKI_BAD, why,
                              "%s has keys, but pki/root.pem is missing there; nothing was changed",
                              site->data);
        }
        return move_into_place(&m);
    }
    enum pki_result result = make_all(&m);
    return result == PKI_OK ? move_into_place(&m) : result;
}
