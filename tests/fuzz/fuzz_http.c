/*
 * The first byte chooses: a request, a response, a chunked body, a query. A head that is accepted
 * holds no byte that ends a line, says one framing, and is found again when its bytes come one by
 * one; a chunked body gives the same bytes however it is cut.
 */
#include "base/invariant.h"
#include "codec/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_clean(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '\r' || text.at[i] == '\n' || text.at[i] == 0) {
            return false;
        }
    }
    return true;
}

static void head_check(const struct http_head *head)
{
    INVARIANT(head->field_count <= HTTP_FIELDS_MAX);
    INVARIANT(is_clean(head->target) && is_clean(head->reason) && is_clean(head->method_text));
    for (size_t i = 0; i < head->field_count; i++) {
        INVARIANT(head->fields[i].name.len > 0);
        INVARIANT(is_clean(head->fields[i].name) && is_clean(head->fields[i].value));
    }
    bool both = http_field_count(head, "Content-Length") > 0
                && http_field_count(head, "Transfer-Encoding") > 0;
    INVARIANT(!both);
}

static void fuzz_head(struct slice bytes, bool is_request)
{
    struct http_head head;
    struct http_fault fault = {0};
    size_t scanned = 0;
    size_t len = 0;
    enum http_result found = http_head_find(bytes, &scanned, &len);
    INVARIANT(found != HTTP_OK || len <= bytes.len);
    size_t slow_scanned = 0;
    size_t slow_len = 0;
    enum http_result slow = HTTP_MORE;
    for (size_t i = 1; i <= bytes.len && i <= 2048 && slow == HTTP_MORE; i++) {
        slow = http_head_find(slice_of(bytes.at, i), &slow_scanned, &slow_len);
    }
    INVARIANT(bytes.len > 2048 || slow == found);
    INVARIANT(found != HTTP_OK || bytes.len > 2048 || len == slow_len);
    struct slice whole = found == HTTP_OK ? slice_of(bytes.at, len) : bytes;
    enum http_result result = is_request ? http_request_decode(whole, &head, &fault)
                                         : http_response_decode(whole, HTTP_GET, &head, &fault);
    INVARIANT(result != HTTP_MORE);
    INVARIANT(result == HTTP_OK || (fault.clause != NULL && fault.status >= 400));
    INVARIANT(result != HTTP_OK || found == HTTP_OK);
    if (result == HTTP_OK) {
        head_check(&head);
    }
}

static enum http_result dechunk(struct slice rest, size_t piece, struct writer *w)
{
    struct http_chunked c = {0};
    struct http_fault fault = {0};
    enum http_result result = HTTP_MORE;
    while (result == HTTP_MORE && rest.len > 0) {
        size_t used = 0;
        struct slice data;
        struct slice in = {.at = rest.at, .len = rest.len < piece ? rest.len : piece};
        result = http_chunked_step(&c, in, &used, &data, &fault);
        INVARIANT(used <= in.len && data.len <= used);
        INVARIANT(result != HTTP_MORE || used > 0);
        write_slice(w, data);
        rest = slice_after(rest, used);
    }
    return result;
}

static void fuzz_chunked(struct slice bytes)
{
    static uint8_t a[1 << 16];
    static uint8_t b[1 << 16];
    struct writer whole = writer_over(a, sizeof a);
    struct writer cut = writer_over(b, sizeof b);
    enum http_result first = dechunk(bytes, SIZE_MAX, &whole);
    enum http_result second = dechunk(bytes, 1, &cut);
    INVARIANT(first == second);
    INVARIANT(slice_equal(writer_slice(&whole), writer_slice(&cut)));
}

static void fuzz_query(struct slice bytes)
{
    static uint8_t room[1 << 16];
    struct slice name;
    struct slice value;
    while (http_query_next(&bytes, &name, &value)) {
        struct writer w = writer_over(room, sizeof room);
        if (http_percent_decode(value, true, &w)) {
            INVARIANT(w.len <= value.len);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 32768) {
        return 0;
    }
    struct slice rest = slice_of(data + 1, size - 1);
    switch (data[0] & 3) {
    case 0: fuzz_head(rest, true); break;
    case 1: fuzz_head(rest, false); break;
    case 2: fuzz_chunked(rest); break;
    default: fuzz_query(rest); break;
    }
    return 0;
}
