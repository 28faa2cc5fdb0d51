#include "core/control/access.h"

#include "base/invariant.h"
#include "crypto/hash.h"

#include <string.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* Crockford's base 32 */

enum { SECRET_CHARS = 52, LINK_CHARS = 16, LINK_GROUP = 4 };

static size_t secret_len(enum access_kind kind)
{
    return kind == ACCESS_LINK ? ACCESS_LINK_LEN : ACCESS_SECRET_LEN;
}

static const char *prefix_of(enum access_kind kind)
{
    switch (kind) {
    case ACCESS_TOKEN: return "hft_";
    case ACCESS_SESSION: return "hfs_";
    case ACCESS_LINK: return "";
    }
    UNREACHABLE();
}

void access_write(struct writer *w, enum access_kind kind, const uint8_t *random)
{
    size_t bits = secret_len(kind) * 8;
    write_text(w, prefix_of(kind));
    for (size_t at = 0, chars = 0; at < bits; at += 5, chars++) {
        unsigned value = 0;
        for (size_t bit = at; bit < at + 5; bit++) {
            unsigned one = bit < bits ? (unsigned)random[bit / 8] >> (7 - bit % 8) & 1u : 0u;
            value = value << 1 | one;
        }
        if (kind == ACCESS_LINK && chars > 0 && chars % LINK_GROUP == 0) {
            write_u8(w, '-');
        }
        write_u8(w, (uint8_t)alphabet[value]);
    }
}

/* The character as it was written, or 0 where it is none of the alphabet. */
static uint8_t canonical(uint8_t byte)
{
    uint8_t upper = byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 'a' + 'A') : byte;
    if (upper == 'O') {
        return '0';
    }
    if (upper == 'I' || upper == 'L') {
        return '1';
    }
    return upper != 0 && memchr(alphabet, upper, sizeof alphabet - 1) != NULL ? upper : 0;
}

bool access_digest(enum access_kind kind, struct slice text, struct digest *out)
{
    uint8_t chars[ACCESS_TEXT_MAX];
    struct writer w = writer_over(chars, sizeof chars);
    struct slice prefix = slice_text(prefix_of(kind));
    if (text.len > ACCESS_TEXT_MAX || !slice_has_prefix(text, prefix)) {
        return false;
    }
    write_slice(&w, prefix);
    for (size_t i = prefix.len; i < text.len; i++) {
        if (kind == ACCESS_LINK && text.at[i] == '-') {
            continue;
        }
        uint8_t byte = canonical(text.at[i]);
        if (byte == 0) {
            return false;
        }
        write_u8(&w, byte);
    }
    size_t expected = prefix.len + (kind == ACCESS_LINK ? LINK_CHARS : SECRET_CHARS);
    bool whole = writer_ok(&w) && w.len == expected;
    if (whole) {
        *out = hash_of(writer_slice(&w));
    }
    wipe(chars, sizeof chars);
    return whole;
}

const char *access_right_name(enum access_right right)
{
    switch (right) {
    case ACCESS_READ: return "read";
    case ACCESS_OPERATE: return "operate";
    case ACCESS_ADMIN: return "admin";
    }
    UNREACHABLE();
}

const char *access_verdict_name(enum access_verdict verdict)
{
    switch (verdict) {
    case ACCESS_ALLOWED: return "allowed";
    case ACCESS_NO_CREDENTIAL: return "no-credential";
    case ACCESS_UNKNOWN_CREDENTIAL: return "unknown-credential";
    case ACCESS_BAD_ORIGIN: return "bad-origin";
    case ACCESS_NO_RIGHT: return "no-right";
    }
    UNREACHABLE();
}

bool access_session_is_over(const struct access_session *session, int64_t now_ms)
{
    return session->is_ended || now_ms - session->used_ms >= ACCESS_SESSION_IDLE_MS
           || now_ms - session->created_ms >= ACCESS_SESSION_LIFE_MS;
}

static bool may_come_from_there(const struct access_request *r)
{
    if (r->origin.len > 0 && !slice_equal(r->origin, r->own_origin)) {
        return false;
    }
    if (!r->changes) {
        return true;
    }
    bool same_site = r->fetch_site.len == 0 || slice_is_text(r->fetch_site, "same-origin");
    return r->origin.len > 0 && r->has_mark && same_site;
}

enum access_verdict access_decide(const struct access_request *r)
{
    if (!r->has_credential) {
        return ACCESS_NO_CREDENTIAL;
    }
    if (!r->is_known) {
        return ACCESS_UNKNOWN_CREDENTIAL;
    }
    if (r->is_cookie && !may_come_from_there(r)) {
        return ACCESS_BAD_ORIGIN;
    }
    return (r->rights & r->needs) == r->needs ? ACCESS_ALLOWED : ACCESS_NO_RIGHT;
}
