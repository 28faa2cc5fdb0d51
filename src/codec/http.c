#include "codec/http.h"

#include "base/invariant.h"

#include <string.h>

enum { CONTENT_LENGTH_DIGITS_MAX = 15 };

static enum http_result refuse(struct http_fault *fault, int status, const char *clause)
{
    fault->clause = clause;
    fault->status = status;
    switch (status) {
    case 414:
    case 431: return HTTP_TOO_LONG;
    case 417:
    case 501:
    case 505: return HTTP_UNSUPPORTED;
    default: return HTTP_MALFORMED;
    }
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_alpha(uint8_t byte)
{
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'z';
}

static bool is_one_of(uint8_t byte, const char *accepted)
{
    for (; *accepted != '\0'; accepted++) {
        if (byte == (uint8_t)*accepted) {
            return true;
        }
    }
    return false;
}

/* RFC 9110 5.6.2 */
static bool is_token_byte(uint8_t byte)
{
    return is_digit(byte) || is_alpha(byte) || is_one_of(byte, "!#$%&'*+-.^_`|~");
}

/* RFC 3986 3.3, 3.4: what a path or a query is made of; '%' is looked at by the caller. */
static bool is_target_byte(uint8_t byte)
{
    return is_digit(byte) || is_alpha(byte) || is_one_of(byte, "-._~!$&'()*+,;=:@/?%");
}

/* RFC 9110 5.5: visible, blank, tab or above ASCII. */
static bool is_value_byte(uint8_t byte)
{
    return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
}

static int hex_digit(uint8_t byte)
{
    if (is_digit(byte)) {
        return byte - '0';
    }
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static uint8_t lower_of(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static bool is_same_word(struct slice text, const char *word)
{
    size_t len = strlen(word);
    if (text.len != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (lower_of(text.at[i]) != lower_of((uint8_t)word[i])) {
            return false;
        }
    }
    return true;
}

static struct slice trim(struct slice text)
{
    while (text.len > 0 && is_one_of(text.at[0], " \t")) {
        text = slice_after(text, 1);
    }
    while (text.len > 0 && is_one_of(text.at[text.len - 1], " \t")) {
        text.len--;
    }
    return text;
}

/* ---- where the head ends ---- */

enum http_result http_head_find(struct slice bytes, size_t *scanned, size_t *len)
{
    for (size_t i = *scanned; i < bytes.len; i++) {
        uint8_t byte = bytes.at[i];
        if (i >= HTTP_HEAD_MAX) {
            return HTTP_TOO_LONG;
        }
        if (byte == 0 || (byte == '\n' && (i == 0 || bytes.at[i - 1] != '\r'))) {
            return HTTP_MALFORMED;
        }
        if (byte == '\r' && i + 1 == bytes.len) {
            *scanned = i;
            return HTTP_MORE;
        }
        if (byte == '\r' && bytes.at[i + 1] != '\n') {
            return HTTP_MALFORMED;
        }
        if (byte == '\n' && i >= 3 && bytes.at[i - 2] == '\n') {
            *len = i + 1;
            return HTTP_OK;
        }
    }
    *scanned = bytes.len;
    return HTTP_MORE;
}

/* ---- lines ---- */

/* The next line without its CRLF. False: it has none, or holds a CR or LF of its own. */
static bool next_line(struct slice *rest, struct slice *line)
{
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->at, '\n', rest->len);
    if (end == NULL || end == rest->at || end[-1] != '\r') {
        return false;
    }
    size_t len = (size_t)(end - rest->at) - 1;
    *line = slice_of(rest->at, len);
    *rest = slice_after(*rest, len + 2);
    return len == 0 || memchr(line->at, '\r', len) == NULL;
}

/* Cuts off what stands before the first blank, and the blank. */
static bool next_word(struct slice *line, struct slice *word)
{
    const uint8_t *blank = line->len == 0 ? NULL : memchr(line->at, ' ', line->len);
    if (blank == NULL) {
        return false;
    }
    size_t len = (size_t)(blank - line->at);
    *word = slice_of(line->at, len);
    *line = slice_after(*line, len + 1);
    return true;
}

static enum http_method method_of(struct slice text)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (slice_is_text(text, names[i])) {
            return (enum http_method)i;
        }
    }
    return HTTP_OTHER;
}

static enum http_result version_decode(struct slice text,
                                       struct http_head *head,
                                       struct http_fault *fault)
{
    bool is_version = text.len == 8 && slice_has_prefix(text, slice_text("HTTP/"))
                      && is_digit(text.at[5]) && text.at[6] == '.' && is_digit(text.at[7]);
    if (!is_version) {
        return refuse(fault, 400, "no HTTP version where one must stand");
    }
    if (text.at[5] != '1' || text.at[7] > '1') {
        return refuse(fault, 505, "a version that is neither HTTP/1.1 nor HTTP/1.0");
    }
    head->minor = (uint8_t)(text.at[7] - '0');
    return HTTP_OK;
}

static enum http_result target_decode(struct http_head *head, struct http_fault *fault)
{
    struct slice target = head->target;
    if (target.len > HTTP_TARGET_MAX) {
        return refuse(fault, 414, "a target longer than 4,096 bytes");
    }
    head->path = target;
    if (slice_is_text(target, "*") && head->method == HTTP_OPTIONS) {
        return HTTP_OK;
    }
    if (target.len == 0 || target.at[0] != '/') {
        return refuse(fault, 400, "a target that is not a path");
    }
    for (size_t i = 0; i < target.len; i++) {
        if (!is_target_byte(target.at[i])) {
            return refuse(fault, 400, "a byte that a target may not hold");
        }
        if (target.at[i] == '%'
            && (i + 2 >= target.len || hex_digit(target.at[i + 1]) < 0
                || hex_digit(target.at[i + 2]) < 0)) {
            return refuse(fault, 400, "a percent sign without two hex digits");
        }
    }
    const uint8_t *mark = memchr(target.at, '?', target.len);
    if (mark != NULL) {
        head->path.len = (size_t)(mark - target.at);
        head->query = slice_after(target, head->path.len + 1);
    }
    return HTTP_OK;
}

/* RFC 9112 3: method SP request-target SP HTTP-version, one blank each */
static enum http_result request_line_decode(struct slice line,
                                            struct http_head *head,
                                            struct http_fault *fault)
{
    if (!next_word(&line, &head->method_text) || !next_word(&line, &head->target)) {
        return refuse(fault, 400, "a request line that is not method, target and version");
    }
    if (head->method_text.len == 0 || head->method_text.len > 32) {
        return refuse(fault, 400, "a method of no or of more than 32 letters");
    }
    for (size_t i = 0; i < head->method_text.len; i++) {
        if (!is_token_byte(head->method_text.at[i])) {
            return refuse(fault, 400, "a byte that a method may not hold");
        }
    }
    head->method = method_of(head->method_text);
    enum http_result result = version_decode(line, head, fault);
    return result == HTTP_OK ? target_decode(head, fault) : result;
}

/* RFC 9112 4: HTTP-version SP status-code SP [ reason-phrase ] */
static enum http_result status_line_decode(struct slice line,
                                           struct http_head *head,
                                           struct http_fault *fault)
{
    struct slice version;
    struct slice code;
    if (!next_word(&line, &version) || !next_word(&line, &code)) {
        return refuse(fault, 400, "a status line that is not version, code and reason");
    }
    if (code.len != 3 || code.at[0] < '1' || code.at[0] > '5' || !is_digit(code.at[1])
        || !is_digit(code.at[2])) {
        return refuse(fault, 400, "a status that is not 100 to 599");
    }
    for (size_t i = 0; i < line.len; i++) {
        if (!is_value_byte(line.at[i])) {
            return refuse(fault, 400, "a byte that a reason may not hold");
        }
    }
    head->status = (code.at[0] - '0') * 100 + (code.at[1] - '0') * 10 + (code.at[2] - '0');
    head->reason = line;
    return version_decode(version, head, fault);
}

/* ---- fields ---- */

static enum http_result field_decode(struct slice line,
                                     struct http_head *head,
                                     struct http_fault *fault)
{
    if (is_one_of(line.at[0], " \t")) {
        return refuse(fault, 400, "a folded field line");
    }
    const uint8_t *colon = memchr(line.at, ':', line.len);
    if (colon == NULL || colon == line.at) {
        return refuse(fault, 400, "a field line without a name and a colon");
    }
    struct http_field field = {.name = slice_of(line.at, (size_t)(colon - line.at))};
    for (size_t i = 0; i < field.name.len; i++) {
        if (!is_token_byte(field.name.at[i])) {
            return refuse(fault, 400, "a byte that a field name may not hold");
        }
    }
    field.value = trim(slice_after(line, field.name.len + 1));
    for (size_t i = 0; i < field.value.len; i++) {
        if (!is_value_byte(field.value.at[i])) {
            return refuse(fault, 400, "a byte that a field value may not hold");
        }
    }
    if (head->field_count == HTTP_FIELDS_MAX) {
        return refuse(fault, 431, "more than 64 fields");
    }
    head->fields[head->field_count++] = field;
    return HTTP_OK;
}

static enum http_result fields_decode(struct slice rest,
                                      struct http_head *head,
                                      struct http_fault *fault)
{
    struct slice line;
    for (;;) {
        if (!next_line(&rest, &line)) {
            return refuse(fault, 400, "a line end that is not CRLF");
        }
        if (line.len == 0) {
            return rest.len == 0 ? HTTP_OK : refuse(fault, 400, "bytes behind the head");
        }
        enum http_result result = field_decode(line, head, fault);
        if (result != HTTP_OK) {
            return result;
        }
    }
}

struct slice http_field_find(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++) {
        if (is_same_word(head->fields[i].name, name)) {
            return head->fields[i].value;
        }
    }
    return (struct slice){0};
}

size_t http_field_count(const struct http_head *head, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < head->field_count; i++) {
        count += is_same_word(head->fields[i].name, name);
    }
    return count;
}

static bool list_holds(struct slice list, const char *token)
{
    while (list.len > 0) {
        const uint8_t *comma = memchr(list.at, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.at);
        if (is_same_word(trim(slice_of(list.at, len)), token)) {
            return true;
        }
        list = slice_after(list, len + 1);
    }
    return false;
}

bool http_field_lists(const struct http_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->field_count; i++) {
        if (is_same_word(head->fields[i].name, name) && list_holds(head->fields[i].value, token)) {
            return true;
        }
    }
    return false;
}

/* ---- what the fields say about the message ---- */

static enum http_result length_decode(struct slice text, uint64_t *out, struct http_fault *fault)
{
    if (text.len == 0 || text.len > CONTENT_LENGTH_DIGITS_MAX) {
        return refuse(fault, 400, "a Content-Length that is not 1 to 15 digits");
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.at[i])) {
            return refuse(fault, 400, "a Content-Length that is not 1 to 15 digits");
        }
        value = value * 10 + (uint64_t)(text.at[i] - '0');
    }
    *out = value;
    return HTTP_OK;
}

/* RFC 9112 6.3, with every case that two readers could decide differently taken out. */
static enum http_result framing_decode(struct http_head *head, struct http_fault *fault)
{
    size_t lengths = http_field_count(head, "Content-Length");
    size_t codings = http_field_count(head, "Transfer-Encoding");
    if (lengths > 1) {
        return refuse(fault, 400, "two Content-Length fields");
    }
    if (lengths > 0 && codings > 0) {
        return refuse(fault, 400, "Content-Length together with Transfer-Encoding");
    }
    if (codings > 1) {
        return refuse(fault, 400, "two Transfer-Encoding fields");
    }
    if (codings == 1) {
        if (head->minor == 0) {
            return refuse(fault, 400, "Transfer-Encoding in HTTP/1.0");
        }
        if (!is_same_word(http_field_find(head, "Transfer-Encoding"), "chunked")) {
            return refuse(fault, 501, "a transfer coding other than chunked");
        }
        head->framing = HTTP_CHUNKED;
    } else if (lengths == 1) {
        head->framing = HTTP_LENGTH;
        return length_decode(http_field_find(head, "Content-Length"), &head->content_length, fault);
    }
    return HTTP_OK;
}

static void persistence_decode(struct http_head *head)
{
    bool close = http_field_lists(head, "Connection", "close");
    bool stay = head->minor == 1 || http_field_lists(head, "Connection", "keep-alive");
    head->keep_alive = stay && !close;
}

/* RFC 9110 7.2: exactly one, a name or address with perhaps a port */
static enum http_result host_check(const struct http_head *head, struct http_fault *fault)
{
    size_t count = http_field_count(head, "Host");
    if (count > 1) {
        return refuse(fault, 400, "two Host fields");
    }
    if (count == 0) {
        return head->minor == 0 ? HTTP_OK : refuse(fault, 400, "no Host field");
    }
    struct slice host = http_field_find(head, "Host");
    if (host.len == 0 || host.len > 255) {
        return refuse(fault, 400, "a Host that is empty or longer than 255 bytes");
    }
    for (size_t i = 0; i < host.len; i++) {
        if (!is_digit(host.at[i]) && !is_alpha(host.at[i]) && !is_one_of(host.at[i], "-._:[]")) {
            return refuse(fault, 400, "a byte that a Host may not hold");
        }
    }
    return HTTP_OK;
}

static enum http_result expectation_decode(struct http_head *head, struct http_fault *fault)
{
    struct slice expect = http_field_find(head, "Expect");
    if (expect.len > 0 && !is_same_word(expect, "100-continue")) {
        return refuse(fault, 417, "an expectation that is not 100-continue");
    }
    head->expect_continue = expect.len > 0 && head->minor == 1;
    return HTTP_OK;
}

enum http_result http_request_decode(struct slice head,
                                     struct http_head *out,
                                     struct http_fault *fault)
{
    struct http_head got = {0};
    struct slice line;
    if (head.len > HTTP_HEAD_MAX) {
        return refuse(fault, 431, "a head longer than 16,384 bytes");
    }
    if (!next_line(&head, &line)) {
        return refuse(fault, 400, "a line end that is not CRLF");
    }
    enum http_result result = request_line_decode(line, &got, fault);
    if (result == HTTP_OK) {
        result = fields_decode(head, &got, fault);
    }
    if (result == HTTP_OK) {
        result = host_check(&got, fault);
    }
    if (result == HTTP_OK) {
        result = framing_decode(&got, fault);
    }
    if (result == HTTP_OK) {
        result = expectation_decode(&got, fault);
    }
    if (result == HTTP_OK) {
        persistence_decode(&got);
        *out = got;
    }
    return result;
}

enum http_result http_response_decode(struct slice head,
                                      enum http_method method,
                                      struct http_head *out,
                                      struct http_fault *fault)
{
    struct http_head got = {0};
    struct slice line;
    if (head.len > HTTP_HEAD_MAX) {
        return refuse(fault, 431, "a head longer than 16,384 bytes");
    }
    if (!next_line(&head, &line)) {
        return refuse(fault, 400, "a line end that is not CRLF");
    }
    enum http_result result = status_line_decode(line, &got, fault);
    if (result == HTTP_OK) {
        result = fields_decode(head, &got, fault);
    }
    if (result == HTTP_OK) {
        result = framing_decode(&got, fault);
    }
    if (result != HTTP_OK) {
        return result;
    }
    persistence_decode(&got);
    if (method == HTTP_HEAD || got.status < 200 || got.status == 204 || got.status == 304) {
        got.framing = HTTP_NO_BODY;
    } else if (got.framing == HTTP_NO_BODY) {
        got.framing = HTTP_UNTIL_CLOSE;
        got.keep_alive = false;
    }
    *out = got;
    return HTTP_OK;
}
