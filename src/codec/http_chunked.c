#include "codec/http.h"

#include <string.h>

enum { SIZE_DIGITS_MAX = 8, SIZE_LINE_MAX = 256, TRAILERS_MAX = 4096 };

/*  SIZE -;-> EXTENSION --CR--> SIZE_LF --0--> LINE_BEGIN -> TRAILER -> TRAILER_LF -> LINE_BEGIN
 *                                 |                \--CR--> END_LF --LF--> DONE
 *                                 v
 *                               DATA -> DATA_CR -> DATA_LF -> SIZE */
enum state {
    SIZE, /* zero: how every body begins */
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LINE_BEGIN,
    TRAILER,
    TRAILER_LF,
    END_LF,
    DONE
};

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_line_byte(uint8_t byte)
{
    return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
}

/* Each of these takes one byte and gives what is wrong with it, or NULL. */
static const char *size_step(struct http_chunked *c, uint8_t byte)
{
    int digit = hex_digit(byte);
    if (digit >= 0) {
        c->left = c->left << 4 | (uint64_t)digit;
        return ++c->digits > SIZE_DIGITS_MAX ? "a chunk size of more than 8 digits" : NULL;
    }
    if (c->digits == 0) {
        return "a chunk size without digits";
    }
    if (byte == ';') {
        c->state = EXTENSION;
        return NULL;
    }
    c->state = SIZE_LF;
    return byte == '\r' ? NULL : "a byte that a chunk size may not hold";
}

static const char *extension_step(struct http_chunked *c, uint8_t byte)
{
    if (byte == '\r') {
        c->state = SIZE_LF;
        return NULL;
    }
    if (++c->line_len > SIZE_LINE_MAX) {
        return "a chunk extension longer than 256 bytes";
    }
    return is_line_byte(byte) ? NULL : "a byte that a chunk extension may not hold";
}

static const char *feed_line(struct http_chunked *c, uint8_t byte, enum state next)
{
    c->state = (uint8_t)next;
    c->digits = 0;
    c->line_len = 0;
    return byte == '\n' ? NULL : "a line end that is not CRLF";
}

static const char *trailer_step(struct http_chunked *c, uint8_t byte)
{
    if (byte == '\r') {
        c->state = c->state == LINE_BEGIN ? END_LF : TRAILER_LF;
        return NULL;
    }
    if (c->state == LINE_BEGIN && (byte == ' ' || byte == '\t' || byte == ':')) {
        return "a trailer line without a name";
    }
    c->state = TRAILER;
    if (++c->trailer_len > TRAILERS_MAX) {
        return "trailers longer than 4,096 bytes";
    }
    return is_line_byte(byte) ? NULL : "a byte that a trailer may not hold";
}

static const char *control_step(struct http_chunked *c, uint8_t byte)
{
    switch ((enum state)c->state) {
    case SIZE: return size_step(c, byte);
    case EXTENSION: return extension_step(c, byte);
    case SIZE_LF: return feed_line(c, byte, c->left > 0 ? DATA : LINE_BEGIN);
    case DATA_CR: c->state = DATA_LF; return byte == '\r' ? NULL : "a chunk longer than its size";
    case DATA_LF: return feed_line(c, byte, SIZE);
    case LINE_BEGIN:
    case TRAILER: return trailer_step(c, byte);
    case TRAILER_LF: return feed_line(c, byte, LINE_BEGIN);
    case END_LF: return feed_line(c, byte, DONE);
    case DATA:
    case DONE: break;
    }
    return "a byte behind the last chunk";
}

enum http_result http_chunked_step(struct http_chunked *c,
                                   struct slice in,
                                   size_t *used,
                                   struct slice *data,
                                   struct http_fault *fault)
{
    *used = 0;
    *data = (struct slice){0};
    while (*used < in.len && c->state != DONE) {
        if (c->state == DATA) {
            size_t there = in.len - *used;
            size_t len = c->left < there ? (size_t)c->left : there;
            *data = slice_of(in.at + *used, len);
            *used += len;
            c->left -= len;
            c->state = c->left == 0 ? DATA_CR : DATA;
            return HTTP_MORE;
        }
        const char *wrong = control_step(c, in.at[*used]);
        if (wrong != NULL) {
            *fault = (struct http_fault){.clause = wrong, .status = 400};
            return HTTP_MALFORMED;
        }
        ++*used;
    }
    return c->state == DONE ? HTTP_OK : HTTP_MORE;
}
