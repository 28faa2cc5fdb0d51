#include "codec/client_hello.h"

#include "base/reader.h"

#include <string.h>

/* RFC 8446 4, 5.1, 4.2; RFC 6066 3. */
enum {
    RECORD_HANDSHAKE = 22,
    MESSAGE_CLIENT_HELLO = 1,
    RECORD_MAX = 16384,
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_SUPPORTED_VERSIONS = 43,
    NAME_OF_A_HOST = 0,
    TLS_1_3 = 0x0304,
    RANDOM_LEN = 32,
    SESSION_ID_MAX = 32
};

static enum client_hello_result malformed(struct fault *fault, const char *clause)
{
    *fault = (struct fault){.clause = clause};
    return CLIENT_HELLO_MALFORMED;
}

/*
 * The handshake message that `bytes` begin with, without its header of four bytes. Records are
 * copied together, so that a message in one record and one in many read alike.
 */
static enum client_hello_result gather(struct slice bytes,
                                       uint8_t *scratch,
                                       struct slice *message,
                                       struct fault *fault)
{
    struct reader r = reader_over(bytes);
    size_t have = 0;
    for (int records = 0; records < CLIENT_HELLO_RECORDS_MAX; records++) {
        uint8_t type = read_u8(&r);
        uint8_t major = read_u8(&r);
        uint8_t minor = read_u8(&r);
        uint16_t len = read_u16(&r);
        /* What is wrong is said as soon as it is there: nobody waits for the rest of a stranger. */
        if ((bytes.len > 0 && records == 0 && bytes.at[0] != RECORD_HANDSHAKE)
            || (reader_ok(&r) && type != RECORD_HANDSHAKE)) {
            return malformed(fault, "the first record is no handshake (RFC 8446 5.1)");
        }
        if (!reader_ok(&r)) {
            return CLIENT_HELLO_MORE;
        }
        if (major != 3 || minor > 4 || len == 0 || len > RECORD_MAX) {
            return malformed(fault, "a record of a wrong version or length (RFC 8446 5.1)");
        }
        struct slice part = r.rest.len < len ? r.rest : read_bytes(&r, len);
        bool is_whole = part.len == len;
        if (part.len > CLIENT_HELLO_MAX - have) {
            return malformed(fault, "a ClientHello longer than 8 KiB");
        }
        if (part.len > 0) {
            memcpy(scratch + have, part.at, part.len);
            have += part.len;
        }
        struct reader header = reader_over(slice_of(scratch, have));
        uint8_t kind = read_u8(&header);
        size_t body_len = (size_t)read_u8(&header) << 16;
        body_len |= read_u16(&header);
        if (have > 0 && scratch[0] != MESSAGE_CLIENT_HELLO) {
            return malformed(fault, "the first message is no ClientHello (RFC 8446 4.1.2)");
        }
        if (reader_ok(&header) && kind == MESSAGE_CLIENT_HELLO) {
            if (body_len > CLIENT_HELLO_MAX - 4) {
                return malformed(fault, "a ClientHello longer than 8 KiB");
            }
            if (header.rest.len >= body_len) {
                *message = slice_of(header.rest.at, body_len);
                return CLIENT_HELLO_OK;
            }
        }
        if (!is_whole) {
            return CLIENT_HELLO_MORE;
        }
    }
    return malformed(fault, "a ClientHello in more than 16 records");
}

/* RFC 6066 3: one list, of which the first host name counts; two of one kind are forbidden. */
static bool read_server_name(struct slice extension, struct slice *name)
{
    struct reader r = reader_over(extension);
    struct reader list = reader_over(read_prefixed_u16(&r));
    if (!reader_done(&r) || list.rest.len == 0) {
        return false;
    }
    while (list.rest.len > 0) {
        uint8_t kind = read_u8(&list);
        struct slice value = read_prefixed_u16(&list);
        if (!reader_ok(&list) || kind != NAME_OF_A_HOST || name->len > 0 || value.len == 0
            || value.len > SERVER_NAME_MAX || memchr(value.at, 0, value.len) != NULL) {
            return false;
        }
        *name = value;
    }
    return true;
}

static bool read_versions(struct slice extension, bool *offers)
{
    struct reader r = reader_over(extension);
    struct reader list = reader_over(read_bytes(&r, read_u8(&r)));
    while (list.rest.len > 0) {
        *offers = read_u16(&list) == TLS_1_3 || *offers;
    }
    return reader_done(&r) && reader_ok(&list);
}

static bool read_extensions(struct slice bytes, struct client_hello *hello)
{
    struct reader r = reader_over(bytes);
    uint64_t seen = 0; /* of those with a number below 64: none may come twice (RFC 8446 4.2) */
    while (r.rest.len > 0) {
        uint16_t type = read_u16(&r);
        struct slice value = read_prefixed_u16(&r);
        uint64_t bit = type < 64 ? UINT64_C(1) << type : 0;
        if (!reader_ok(&r) || (seen & bit) != 0) {
            return false;
        }
        seen |= bit;
        if ((type == EXTENSION_SERVER_NAME && !read_server_name(value, &hello->server_name))
            || (type == EXTENSION_SUPPORTED_VERSIONS
                && !read_versions(value, &hello->offers_tls_1_3))) {
            return false;
        }
    }
    return true;
}

enum client_hello_result client_hello_read(struct slice bytes,
                                           uint8_t scratch[CLIENT_HELLO_MAX],
                                           struct client_hello *out,
                                           struct fault *fault)
{
    struct client_hello hello = {0};
    struct slice message = {0};
    enum client_hello_result result = gather(bytes, scratch, &message, fault);
    if (result != CLIENT_HELLO_OK) {
        return result;
    }
    struct reader r = reader_over(message);
    (void)read_u16(&r); /* legacy_version */
    (void)read_bytes(&r, RANDOM_LEN);
    struct slice session_id = read_bytes(&r, read_u8(&r));
    struct slice ciphers = read_prefixed_u16(&r);
    struct slice compression = read_bytes(&r, read_u8(&r));
    if (!reader_ok(&r) || session_id.len > SESSION_ID_MAX || ciphers.len == 0
        || ciphers.len % 2 != 0 || compression.len == 0) {
        return malformed(fault,
                         "a field of the ClientHello is cut or of a wrong length (RFC 8446 4.1.2)");
    }
    struct slice extensions = r.rest.len > 0 ? read_prefixed_u16(&r) : r.rest;
    if (!reader_done(&r) || !read_extensions(extensions, &hello)) {
        return malformed(fault,
                         "an extension of the ClientHello is malformed or doubled (RFC 8446 4.2)");
    }
    *out = hello;
    return CLIENT_HELLO_OK;
}
