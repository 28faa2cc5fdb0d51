#include "base/time.h"
#include "base/utf8.h"
#include "codec/http.h"

#include <string.h>

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool http_percent_decode(struct slice text, bool plus, struct writer *w)
{
    size_t first = w->len;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.at[i];
        if (byte == '%') {
            int high = i + 2 < text.len ? hex_digit(text.at[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.at[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (plus && byte == '+') {
            byte = ' ';
        }
        if (byte == 0) {
            return false;
        }
        write_u8(w, byte);
    }
    return writer_ok(w) && utf8_is_valid(slice_of(w->at + first, w->len - first));
}

void http_percent_encode(struct writer *w, struct slice text)
{
    static const char digit[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.at[i];
        uint8_t lower = byte | 0x20;
        bool plain = (byte >= '0' && byte <= '9') || (lower >= 'a' && lower <= 'z') || byte == '-'
                     || byte == '.' || byte == '_' || byte == '~';
        if (plain) {
            write_u8(w, byte);
        } else {
            uint8_t escape[3] = {'%', (uint8_t)digit[byte >> 4], (uint8_t)digit[byte & 15]};
            write_bytes(w, escape, sizeof escape);
        }
    }
}

bool http_query_next(struct slice *query, struct slice *name, struct slice *value)
{
    while (query->len > 0) {
        const uint8_t *end = memchr(query->at, '&', query->len);
        size_t len = end == NULL ? query->len : (size_t)(end - query->at);
        struct slice pair = slice_of(query->at, len);
        *query = slice_after(*query, len + 1);
        if (len == 0) {
            continue;
        }
        const uint8_t *equals = memchr(pair.at, '=', pair.len);
        size_t name_len = equals == NULL ? pair.len : (size_t)(equals - pair.at);
        *name = slice_of(pair.at, name_len);
        *value = slice_after(pair, name_len + 1);
        return true;
    }
    return false;
}

int http_query_find(struct slice query, const char *wanted, struct writer *w)
{
    struct slice name;
    struct slice value;
    while (http_query_next(&query, &name, &value)) {
        if (slice_is_text(name, wanted)) {
            return http_percent_decode(value, true, w) ? 1 : -1;
        }
    }
    return 0;
}

/* ---- writing ---- */

static void write_clean(struct writer *w, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((text.at[i] < 0x20 && text.at[i] != '\t') || text.at[i] == 0x7F) {
            w->overflow = true;
            return;
        }
    }
    write_slice(w, text);
}

void http_request_line_write(struct writer *w, const char *method, struct slice target)
{
    write_text(w, method);
    write_u8(w, ' ');
    if (target.len == 0 || memchr(target.at, ' ', target.len) != NULL) {
        w->overflow = true;
    }
    write_clean(w, target);
    write_text(w, " HTTP/1.1\r\n");
}

void http_status_line_write(struct writer *w, int status)
{
    write_text(w, "HTTP/1.1 ");
    write_decimal(w, (uint64_t)status);
    write_u8(w, ' ');
    write_text(w, http_reason(status));
    write_text(w, "\r\n");
}

void http_field_write(struct writer *w, const char *name, struct slice value)
{
    write_clean(w, slice_text(name));
    write_text(w, ": ");
    write_clean(w, value);
    write_text(w, "\r\n");
}

void http_field_write_u64(struct writer *w, const char *name, uint64_t value)
{
    write_clean(w, slice_text(name));
    write_text(w, ": ");
    write_decimal(w, value);
    write_text(w, "\r\n");
}

static void write_two_digits(struct writer *w, unsigned value)
{
    write_u8(w, (uint8_t)('0' + value / 10 % 10));
    write_u8(w, (uint8_t)('0' + value % 10));
}

/* RFC 9110 5.6.7, IMF-fixdate */
void http_date_write(struct writer *w, int64_t unix_ms)
{
    static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970 began on a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct civil at = civil_from_unix_ms(unix_ms);
    int64_t day = unix_ms / 86400000 - (unix_ms % 86400000 < 0);
    write_text(w, "Date: ");
    write_bytes(w, &days[3 * ((day % 7 + 7) % 7)], 3);
    write_text(w, ", ");
    write_two_digits(w, at.day);
    write_u8(w, ' ');
    write_bytes(w, &months[3 * (size_t)(at.month - 1)], 3);
    write_u8(w, ' ');
    write_two_digits(w, (unsigned)at.year / 100);
    write_two_digits(w, (unsigned)at.year % 100);
    write_u8(w, ' ');
    write_two_digits(w, at.hour);
    write_u8(w, ':');
    write_two_digits(w, at.minute);
    write_u8(w, ':');
    write_two_digits(w, at.second);
    write_text(w, " GMT\r\n");
}

void http_head_end_write(struct writer *w)
{
    write_text(w, "\r\n");
}

void http_chunk_size_write(struct writer *w, size_t len)
{
    uint8_t digits[2 * sizeof len];
    size_t first = sizeof digits;
    for (size_t left = len; left > 0; left >>= 4) {
        digits[--first] = (uint8_t) "0123456789abcdef"[left & 15];
    }
    write_bytes(w, digits + first, sizeof digits - first);
    write_text(w, "\r\n");
}

void http_chunk_write(struct writer *w, struct slice data)
{
    if (data.len == 0) {
        return;
    }
    http_chunk_size_write(w, data.len);
    write_slice(w, data);
    write_text(w, "\r\n");
}

void http_chunks_end_write(struct writer *w)
{
    write_text(w, "0\r\n\r\n");
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}
