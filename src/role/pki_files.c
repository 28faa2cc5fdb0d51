#include "role/pki_files.h"

#include "codec/pem.h"
#include "io/read_all.h"
#include "io/replace.h"

#include <stdarg.h>
#include <stdio.h>

enum { KEY_PEM_MAX = 1024 };

enum pki_result pki_refuse(enum pki_result result, struct port_why *why, const char *format, ...)
{
    if (why != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
    }
    return result;
}

bool pki_path(char out[PKI_PATH_MAX], const char *dir, const char *name)
{
    int len = snprintf(out, PKI_PATH_MAX, "%s/%s", dir, name);
    return len > 0 && len < PKI_PATH_MAX;
}

bool pki_has_file(struct port *port, const char *dir, const char *name)
{
    char path[PKI_PATH_MAX];
    struct port_file *file = NULL;
    if (!pki_path(path, dir, name) || port_file_open(port, path, PORT_READ, &file) != PORT_OK) {
        return false;
    }
    port_file_close(file);
    return true;
}

static enum pki_result write_file(
    struct port *port, const char *dir, const char *name, struct slice bytes, struct port_why *why)
{
    char path[PKI_PATH_MAX];
    if (!pki_path(path, dir, name)) {
        return pki_refuse(PKI_BAD, why, "the path of %s is too long", name);
    }
    switch (port_file_replace(port, path, bytes)) {
    case PORT_OK: return PKI_OK;
    case PORT_NO_SPACE: return pki_refuse(PKI_FAILED, why, "no room on disk for %s", path);
    case PORT_DENIED: return pki_refuse(PKI_FAILED, why, "not allowed to write %s", path);
    case PORT_NOT_FOUND:
    case PORT_EXISTS:
    case PORT_BUSY:
    case PORT_BAD:
    case PORT_FAILED: break;
    }
    return pki_refuse(PKI_FAILED, why, "%s could not be written", path);
}

enum pki_result pki_write_key(struct port *port,
                              const char *dir,
                              const char *name,
                              const struct key_private *key,
                              struct port_why *why)
{
    uint8_t pem[KEY_PEM_MAX];
    struct writer w = writer_over(pem, sizeof pem);
    enum pki_result result = PKI_FAILED;
    if (key_to_pem(key, &w) == KEY_OK) {
        result = write_file(port, dir, name, writer_slice(&w), why);
    } else {
        (void)pki_refuse(PKI_FAILED, why, "the key of %s could not be encoded", name);
    }
    wipe(pem, sizeof pem);
    return result;
}

enum pki_result pki_write_chain(struct port *port,
                                const char *dir,
                                const char *name,
                                const struct pki_entity *const *chain,
                                size_t count,
                                struct port_why *why)
{
    uint8_t pem[PKI_PEM_MAX];
    struct writer w = writer_over(pem, sizeof pem);
    for (size_t i = 0; i < count; i++) {
        pem_write(&w, "CERTIFICATE", chain[i]->certificate.der);
    }
    if (!writer_ok(&w)) {
        return pki_refuse(PKI_FAILED, why, "the chain of %s is too long", name);
    }
    return write_file(port, dir, name, writer_slice(&w), why);
}

static bool read_file(
    struct port *port, const char *dir, const char *stem, const char *suffix, struct writer *to)
{
    char name[128];
    char path[PKI_PATH_MAX];
    int len = snprintf(name, sizeof name, "%s%s", stem, suffix);
    return len > 0 && (size_t)len < sizeof name && pki_path(path, dir, name)
           && port_file_read_all(port, path, to->at, to->cap, &to->len) == PORT_OK;
}

enum pki_result pki_read_entity(struct port *port,
                                const char *dir,
                                const char *stem,
                                struct pki_entity *out,
                                struct port_why *why)
{
    uint8_t certificate[PKI_PEM_MAX / 2];
    uint8_t key[KEY_PEM_MAX];
    struct writer certificate_pem = writer_over(certificate, sizeof certificate);
    struct writer key_pem = writer_over(key, sizeof key);
    enum pki_result result = PKI_OK;
    if (!read_file(port, dir, stem, ".pem", &certificate_pem)
        || !read_file(port, dir, stem, ".key", &key_pem)) {
        result = pki_refuse(PKI_BAD, why, "%s/%s.pem and %s.key cannot be read", dir, stem, stem);
    } else if (!pki_entity_from_pem(out, writer_slice(&certificate_pem), writer_slice(&key_pem))) {
        result = pki_refuse(PKI_BAD, why, "%s/%s.pem is no certificate of %s.key", dir, stem, stem);
    }
    wipe(key, sizeof key);
    return result;
}

enum pki_result pki_read_certificate(struct port *port,
                                     const char *dir,
                                     const char *stem,
                                     struct pki_entity *out,
                                     struct port_why *why)
{
    uint8_t bytes[PKI_PEM_MAX / 2];
    struct writer pem = writer_over(bytes, sizeof bytes);
    if (!read_file(port, dir, stem, ".pem", &pem)
        || !pki_entity_of_certificate(out, writer_slice(&pem))) {
        return pki_refuse(PKI_BAD, why, "%s/%s.pem cannot be read, or is no certificate", dir,
                          stem);
    }
    return PKI_OK;
}
