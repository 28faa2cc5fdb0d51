/*
 * A device's keys and certificates: the identity in use, a renewed one that was not yet used, the
 * key that is being enrolled. Each is durable before anybody hears of it, and the old one goes
 * last.
 */
#include "codec/pem.h"
#include "io/read_all.h"
#include "io/replace.h"
#include "role/device_inside.h"
#include "trust/identity.h"

#include <stdio.h>
#include <string.h>

static enum port_result refuse(struct port_why *why, const char *what, enum port_result result)
{
    (void)snprintf(why->text, sizeof why->text, "%s", what);
    return result;
}

/* The first certificate of a PEM file, DER at `der`. */
static bool first_certificate(struct slice pem, uint8_t *der, size_t cap, struct slice *out)
{
    struct slice rest = pem;
    struct slice label;
    struct slice bytes;
    struct writer w = writer_over(der, cap);
    while (pem_next(&rest, &label, &w, &bytes) == PEM_OK) {
        if (slice_is_text(label, "CERTIFICATE")) {
            *out = bytes;
            return true;
        }
        writer_reset(&w);
    }
    return false;
}

enum port_result device_load_idevid(struct device *d, struct port_why *why)
{
    uint8_t pem[DEVICE_PEM_MAX];
    uint8_t der[DEVICE_PEM_MAX];
    size_t len = 0;
    struct slice bytes;
    struct x509 certificate;
    struct fault fault = {0};
    enum port_result result = port_file_read_all(d->port, d->idevid_path, pem, sizeof pem, &len);
    if (result != PORT_OK || !first_certificate(slice_of(pem, len), der, sizeof der, &bytes)
        || x509_parse(bytes, &certificate, &fault) != X509_OK) {
        (void)snprintf(why->text, sizeof why->text,
                       "%.110s is no certificate that can be read%s%.80s", d->idevid_path,
                       fault.clause != NULL ? ": " : "", fault.clause != NULL ? fault.clause : "");
        return result == PORT_OK ? PORT_BAD : result;
    }
    d->id = identity_of_hardware(certificate.spki);
    struct writer w = writer_over(d->id_text, sizeof d->id_text - 1);
    device_id_write_text(&w, &d->id);
    struct slice serial = certificate.subject_serial_number;
    d->serial_len = serial.len < sizeof d->serial ? serial.len : sizeof d->serial;
    if (d->serial_len > 0) {
        memcpy(d->serial, serial.at, d->serial_len);
    }
    return PORT_OK;
}

static enum port_result read_key(struct device *d, const char *name, struct key_private **out)
{
    char path[DEVICE_PATH_MAX];
    uint8_t pem[DEVICE_PEM_MAX];
    size_t len = 0;
    if (!device_path(d, path, name)) {
        return PORT_BAD;
    }
    enum port_result result = port_file_read_all(d->port, path, pem, sizeof pem, &len);
    if (result == PORT_OK && key_from_pem(slice_of(pem, len), out) != KEY_OK) {
        result = PORT_BAD;
    }
    wipe(pem, sizeof pem);
    return result;
}

static bool is_key_of(const struct key_private *key, const struct x509 *certificate)
{
    struct key_public own = key_public_of(key);
    return slice_equal(slice_of(own.bytes, own.len), certificate->public_key);
}

/*
 * A file holds key and certificate together, so that the two can only change together.
 * PORT_NOT_FOUND where there is none, PORT_BAD where it is damaged.
 */
static enum port_result load_identity(struct device *d,
                                      const char *name,
                                      struct device_identity *out)
{
    char path[DEVICE_PATH_MAX];
    uint8_t pem[DEVICE_PEM_MAX];
    uint8_t der[DEVICE_PEM_MAX];
    size_t len = 0;
    struct slice bytes;
    struct x509 certificate;
    enum port_result result = device_path(d, path, name)
                                  ? port_file_read_all(d->port, path, pem, sizeof pem, &len)
                                  : PORT_BAD;
    if (result != PORT_OK) {
        return result;
    }
    struct key_private *key = NULL;
    bool is_good = key_from_pem(slice_of(pem, len), &key) == KEY_OK
                   && first_certificate(slice_of(pem, len), der, sizeof der, &bytes)
                   && bytes.len <= sizeof out->certificate
                   && x509_parse(bytes, &certificate, NULL) == X509_OK
                   && is_key_of(key, &certificate);
    wipe(pem, sizeof pem);
    if (!is_good) {
        key_free(key);
        return PORT_BAD;
    }
    device_identity_set(out, key, bytes, &certificate);
    return PORT_OK;
}

void device_identity_set(struct device_identity *identity,
                         struct key_private *key,
                         struct slice der,
                         const struct x509 *certificate)
{
    key_free(identity->key);
    identity->key = key;
    identity->not_before_ms = certificate->not_before_ms;
    identity->not_after_ms = certificate->not_after_ms;
    identity->certificate_len = der.len;
    memcpy(identity->certificate, der.at, der.len);
}

static bool is_key_in(const struct key_private *key, const struct device_identity *identity)
{
    struct key_public a = key_public_of(key);
    if (identity->key == NULL) {
        return false;
    }
    struct key_public b = key_public_of(identity->key);
    return slice_equal(slice_of(a.bytes, a.len), slice_of(b.bytes, b.len));
}

static void remove_file(struct device *d, const char *name)
{
    char path[DEVICE_PATH_MAX];
    (void)(device_path(d, path, name) && port_unlink(d->port, path) == PORT_OK);
}

enum port_result device_load_keys(struct device *d, struct port_why *why)
{
    enum port_result result = load_identity(d, "identity.pem", &d->own);
    if (result == PORT_BAD) {
        return refuse(why, "identity.pem is damaged: remove it to enrol anew", PORT_BAD);
    }
    if (result != PORT_OK && result != PORT_NOT_FOUND) {
        return refuse(why, "identity.pem cannot be read", result);
    }
    result = load_identity(d, "renewed.pem", &d->renewed);
    if (result == PORT_BAD) { /* replaced as a whole, so by another hand: the old key still works */
        device_say(d, "renewed.pem is damaged and left out");
        remove_file(d, "renewed.pem");
    } else if (result != PORT_OK && result != PORT_NOT_FOUND) {
        return refuse(why, "renewed.pem cannot be read", result);
    }
    result = read_key(d, "next.key", &d->next_key);
    if (result != PORT_OK && result != PORT_NOT_FOUND && result != PORT_BAD) {
        return refuse(why, "next.key cannot be read", result);
    }
    /* Cut after its certificate was stored, or damaged by another hand. */
    bool is_spent = d->next_key != NULL
                    && (is_key_in(d->next_key, &d->own) || is_key_in(d->next_key, &d->renewed));
    if (is_spent || result == PORT_BAD) {
        key_free(d->next_key);
        d->next_key = NULL;
        remove_file(d, "next.key");
    }
    return PORT_OK;
}

bool device_make_next_key(struct device *d)
{
    char path[DEVICE_PATH_MAX];
    uint8_t pem[DEVICE_PEM_MAX];
    struct writer w = writer_over(pem, sizeof pem);
    key_free(d->next_key);
    d->next_key = NULL;
    bool stored = key_make(KEY_P256, &d->next_key) == KEY_OK
                  && key_to_pem(d->next_key, &w) == KEY_OK && device_path(d, path, "next.key")
                  && port_file_replace(d->port, path, writer_slice(&w)) == PORT_OK;
    wipe(pem, sizeof pem);
    return stored;
}

bool device_store_identity(struct device *d)
{
    char path[DEVICE_PATH_MAX];
    uint8_t pem[DEVICE_PEM_MAX];
    struct x509 certificate;
    struct slice der = slice_of(d->issued, d->issued_len);
    struct writer w = writer_over(pem, sizeof pem);
    bool is_first = d->own.key == NULL;
    bool stored = d->next_key != NULL && x509_parse(der, &certificate, NULL) == X509_OK
                  && key_to_pem(d->next_key, &w) == KEY_OK;
    pem_write(&w, "CERTIFICATE", der);
    stored = stored && writer_ok(&w)
             && device_path(d, path, is_first ? "identity.pem" : "renewed.pem")
             && port_file_replace(d->port, path, writer_slice(&w)) == PORT_OK;
    wipe(pem, sizeof pem);
    if (!stored) {
        return false;
    }
    device_identity_set(is_first ? &d->own : &d->renewed, d->next_key, der, &certificate);
    d->next_key = NULL;
    remove_file(d, "next.key");
    return true;
}

bool device_switch_identity(struct device *d)
{
    char from[DEVICE_PATH_MAX];
    char to[DEVICE_PATH_MAX];
    if (!device_path(d, from, "renewed.pem") || !device_path(d, to, "identity.pem")
        || port_rename(d->port, from, to) != PORT_OK
        || port_dir_sync(d->port, d->state_dir) != PORT_OK) {
        return false;
    }
    key_free(d->own.key);
    d->own = d->renewed;
    d->renewed = (struct device_identity){0};
    return true;
}

bool device_has_clock(const struct device *d)
{
    enum time_quality quality;
    (void)port_wall_ms(d->port, &quality);
    return quality != TIME_UNKNOWN;
}

bool device_is_valid(const struct device *d, const struct device_identity *identity)
{
    enum time_quality quality;
    int64_t now_ms = port_wall_ms(d->port, &quality);
    return identity->key != NULL
           && (quality == TIME_UNKNOWN
               || (now_ms >= identity->not_before_ms && now_ms < identity->not_after_ms));
}

const struct device_identity *device_identity_for_services(const struct device *d)
{
    return device_is_valid(d, &d->own)       ? &d->own
           : device_is_valid(d, &d->renewed) ? &d->renewed
                                             : NULL;
}

enum port_result device_tls(struct device *d,
                            const struct device_identity *as,
                            struct port_tls **out,
                            struct port_why *why)
{
    uint8_t certificate[DEVICE_PEM_MAX];
    uint8_t key[DEVICE_PEM_MAX];
    uint8_t root[DEVICE_PEM_MAX];
    struct writer cw = writer_over(certificate, sizeof certificate);
    struct writer kw = writer_over(key, sizeof key);
    size_t root_len = 0;
    enum port_result result =
        port_file_read_all(d->port, d->root_path, root, sizeof root, &root_len);
    if (result == PORT_OK && as == NULL) {
        result = port_file_read_all(d->port, d->idevid_path, cw.at, cw.cap, &cw.len);
        if (result == PORT_OK) {
            result = port_file_read_all(d->port, d->idevid_key_path, kw.at, kw.cap, &kw.len);
        }
    } else if (result == PORT_OK) {
        pem_write(&cw, "CERTIFICATE", slice_of(as->certificate, as->certificate_len));
        result = key_to_pem(as->key, &kw) == KEY_OK ? PORT_OK : PORT_FAILED;
    }
    if (result == PORT_OK) {
        struct port_tls_config config = {
            .certificate_pem = writer_slice(&cw),
            .key_pem = writer_slice(&kw),
            /* Without a clock nobody can say what is over: the root, not the time, decides. */
            .anchors = {{.pem = slice_of(root, root_len), .no_time = !device_has_clock(d)}},
            .anchors_count = 1,
            .resumes = true,
        };
        result = port_tls_make(d->port, &config, out, why);
    } else {
        (void)refuse(why, "the root, the IDevID or its key cannot be read", result);
    }
    wipe(key, sizeof key);
    return result;
}
