#include "codec/http.h"
#include "test/test.h"

#include <string.h>

static enum http_result request(const char *text, struct http_head *out, struct http_fault *fault)
{
    *fault = (struct http_fault){0};
    return http_request_decode(slice_text(text), out, fault);
}

#define OK_LINES "Host: localhost:8080\r\n"

TEST("a request that two readers could frame differently is refused, each with its rule")
{
    static const struct {
        const char *text;
        const char *clause;
        int status;
    } rows[] = {
        /* the classes of request smuggling */
        {"POST / HTTP/1.1\r\n" OK_LINES "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
         "Content-Length together with Transfer-Encoding", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
         "two Content-Length fields", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "Content-Length: 5, 5\r\n\r\n",
         "a Content-Length that is not 1 to 15 digits", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "Content-Length: +5\r\n\r\n",
         "a Content-Length that is not 1 to 15 digits", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "Content-Length: 0x5\r\n\r\n",
         "a Content-Length that is not 1 to 15 digits", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "Content-Length:\r\n\r\n",
         "a Content-Length that is not 1 to 15 digits", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "Content-Length: 18446744073709551617\r\n\r\n",
         "a Content-Length that is not 1 to 15 digits", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES
         "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         "two Transfer-Encoding fields", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "Transfer-Encoding: gzip, chunked\r\n\r\n",
         "a transfer coding other than chunked", 501},
        {"POST / HTTP/1.1\r\n" OK_LINES "Transfer-Encoding: identity\r\n\r\n",
         "a transfer coding other than chunked", 501},
        {"POST / HTTP/1.1\r\n" OK_LINES "Transfer-Encoding: xchunked\r\n\r\n",
         "a transfer coding other than chunked", 501},
        {"POST / HTTP/1.1\r\n" OK_LINES "Transfer-Encoding:\x0b"
         "chunked\r\n\r\n",
         "a byte that a field value may not hold", 400},
        {"POST / HTTP/1.0\r\n" OK_LINES "Transfer-Encoding: chunked\r\n\r\n",
         "Transfer-Encoding in HTTP/1.0", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "Content-Length : 5\r\n\r\n",
         "a byte that a field name may not hold", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "X: a\r\n Content-Length: 5\r\n\r\n", "a folded field line",
         400},
        {"POST / HTTP/1.1\r\n" OK_LINES "X: a\nContent-Length: 5\r\n\r\n",
         "a line end that is not CRLF", 400},
        {"POST / HTTP/1.1\n" OK_LINES "\r\n", "a line end that is not CRLF", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "X: a\rb\r\n\r\n", "a line end that is not CRLF", 400},
        {"POST / HTTP/1.1\r\n" OK_LINES "\r\nGET / HTTP/1.1\r\n\r\n", "bytes behind the head", 400},
        /* the request line */
        {"\r\nGET / HTTP/1.1\r\n" OK_LINES "\r\n",
         "a request line that is not method, target and version", 400},
        {"GET /\r\n" OK_LINES "\r\n", "a request line that is not method, target and version", 400},
        {"GET  / HTTP/1.1\r\n" OK_LINES "\r\n", "no HTTP version where one must stand", 400},
        {"GET / HTTP/1.1 \r\n" OK_LINES "\r\n", "no HTTP version where one must stand", 400},
        {"GET / http/1.1\r\n" OK_LINES "\r\n", "no HTTP version where one must stand", 400},
        {"GET / HTTP/2.0\r\n" OK_LINES "\r\n", "a version that is neither HTTP/1.1 nor HTTP/1.0",
         505},
        {"GET / HTTP/1.2\r\n" OK_LINES "\r\n", "a version that is neither HTTP/1.1 nor HTTP/1.0",
         505},
        {"G(T / HTTP/1.1\r\n" OK_LINES "\r\n", "a byte that a method may not hold", 400},
        {" / HTTP/1.1\r\n" OK_LINES "\r\n", "a method of no or of more than 32 letters", 400},
        {"GET http://localhost/ HTTP/1.1\r\n" OK_LINES "\r\n", "a target that is not a path", 400},
        {"GET * HTTP/1.1\r\n" OK_LINES "\r\n", "a target that is not a path", 400},
        {"GET /a#b HTTP/1.1\r\n" OK_LINES "\r\n", "a byte that a target may not hold", 400},
        {"GET /\xC3\xA9 HTTP/1.1\r\n" OK_LINES "\r\n", "a byte that a target may not hold", 400},
        {"GET /a\\b HTTP/1.1\r\n" OK_LINES "\r\n", "a byte that a target may not hold", 400},
        {"GET /%2 HTTP/1.1\r\n" OK_LINES "\r\n", "a percent sign without two hex digits", 400},
        {"GET /%zz HTTP/1.1\r\n" OK_LINES "\r\n", "a percent sign without two hex digits", 400},
        /* fields */
        {"GET / HTTP/1.1\r\n\r\n", "no Host field", 400},
        {"GET / HTTP/1.1\r\n" OK_LINES OK_LINES "\r\n", "two Host fields", 400},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "a Host that is empty or longer than 255 bytes", 400},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "a byte that a Host may not hold", 400},
        {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "a byte that a Host may not hold", 400},
        {"GET / HTTP/1.1\r\n" OK_LINES ": x\r\n\r\n", "a field line without a name and a colon",
         400},
        {"GET / HTTP/1.1\r\n" OK_LINES "nocolon\r\n\r\n", "a field line without a name and a colon",
         400},
        {"GET / HTTP/1.1\r\n" OK_LINES "X: a\x7F\r\n\r\n", "a byte that a field value may not hold",
         400},
        {"GET / HTTP/1.1\r\n" OK_LINES "Expect: cake\r\n\r\n",
         "an expectation that is not 100-continue", 417},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_head head;
        struct http_fault fault;
        enum http_result result = request(rows[i].text, &head, &fault);
        if (result == HTTP_OK || fault.clause == NULL || strcmp(fault.clause, rows[i].clause) != 0
            || fault.status != rows[i].status) {
            test_failed(__FILE__, __LINE__, "row %zu, %s: \"%s\" %d", i, rows[i].text,
                        fault.clause == NULL ? "accepted" : fault.clause, fault.status);
        }
    }
}

TEST("a plain request gives its parts")
{
    struct http_head head;
    struct http_fault fault;
    CHECK(request("POST /api/v1/devices?q=state%3Aunknown&limit=5 HTTP/1.1\r\nhost: [::1]:8080\r\n"
                  "Content-Length:  12 \r\nX-Empty:\r\nConnection: Keep-Alive, Close\r\n"
                  "Expect: 100-Continue\r\n\r\n",
                  &head, &fault)
          == HTTP_OK);
    CHECK(head.method == HTTP_POST);
    CHECK(slice_is_text(head.path, "/api/v1/devices"));
    CHECK(slice_is_text(head.query, "q=state%3Aunknown&limit=5"));
    CHECK(head.framing == HTTP_LENGTH && head.content_length == 12);
    CHECK(!head.keep_alive && head.expect_continue);
    CHECK(slice_is_text(http_field_find(&head, "CONTENT-LENGTH"), "12"));
    CHECK_U64(http_field_find(&head, "x-empty").len, 0);
    CHECK_U64(http_field_count(&head, "X-Empty"), 1);
    CHECK(request("GET / HTTP/1.0\r\n\r\n", &head, &fault) == HTTP_OK && !head.keep_alive);
    CHECK(request("OPTIONS * HTTP/1.1\r\n" OK_LINES "\r\n", &head, &fault) == HTTP_OK);
    CHECK(request("BREW / HTTP/1.1\r\n" OK_LINES "\r\n", &head, &fault) == HTTP_OK);
    CHECK(head.method == HTTP_OTHER && head.keep_alive && head.framing == HTTP_NO_BODY);
}

TEST("a head is found wherever its bytes are cut, and each byte is looked at once")
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET";
    size_t end = sizeof text - 1 - 3;
    size_t scanned = 0;
    size_t len = 0;
    for (size_t cut = 0; cut < end; cut++) {
        CHECK(http_head_find(slice_of(text, cut), &scanned, &len) == HTTP_MORE);
        CHECK(scanned + 1 >= cut);
    }
    CHECK(http_head_find(slice_of(text, end), &scanned, &len) == HTTP_OK && len == end);
    scanned = 0;
    CHECK(http_head_find(slice_text(text), &scanned, &len) == HTTP_OK && len == end);
}

TEST("a head that cannot become one is refused before it ends")
{
    size_t scanned = 0;
    size_t len = 0;
    CHECK(http_head_find(slice_text("GET / HTTP/1.1\nHost"), &scanned, &len) == HTTP_MALFORMED);
    scanned = 0;
    CHECK(http_head_find(slice_text("GET\rX"), &scanned, &len) == HTTP_MALFORMED);
    scanned = 0;
    CHECK(http_head_find(slice_of("GE\0T", 4), &scanned, &len) == HTTP_MALFORMED);
    static uint8_t endless[HTTP_HEAD_MAX + 1];
    memset(endless, 'a', sizeof endless);
    scanned = 0;
    CHECK(http_head_find(slice_of(endless, HTTP_HEAD_MAX), &scanned, &len) == HTTP_MORE);
    CHECK(http_head_find(slice_of(endless, sizeof endless), &scanned, &len) == HTTP_TOO_LONG);
}

TEST("fields and targets beyond their limits are refused as too long")
{
    static char text[HTTP_HEAD_MAX];
    struct writer w = writer_over(text, sizeof text);
    struct http_head head;
    struct http_fault fault;
    write_text(&w, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < HTTP_FIELDS_MAX; i++) {
        write_text(&w, "A: b\r\n");
    }
    write_text(&w, "\r\n");
    CHECK(http_request_decode(writer_slice(&w), &head, &fault) == HTTP_TOO_LONG
          && fault.status == 431);
    writer_reset(&w);
    write_text(&w, "GET /");
    for (int i = 0; i < HTTP_TARGET_MAX; i++) {
        write_u8(&w, 'a');
    }
    write_text(&w, " HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(http_request_decode(writer_slice(&w), &head, &fault) == HTTP_TOO_LONG
          && fault.status == 414);
}

TEST("a response says how its body ends, and ambiguous ones are refused")
{
    static const struct {
        const char *text;
        enum http_method method;
        enum http_result result;
        enum http_framing framing;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_GET, HTTP_OK, HTTP_LENGTH},
        {"HTTP/1.1 200 \r\nTransfer-Encoding: Chunked\r\n\r\n", HTTP_GET, HTTP_OK, HTTP_CHUNKED},
        {"HTTP/1.1 200 OK\r\n\r\n", HTTP_GET, HTTP_OK, HTTP_UNTIL_CLOSE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_HEAD, HTTP_OK, HTTP_NO_BODY},
        {"HTTP/1.1 204 No Content\r\n\r\n", HTTP_GET, HTTP_OK, HTTP_NO_BODY},
        {"HTTP/1.1 100 Continue\r\n\r\n", HTTP_POST, HTTP_OK, HTTP_NO_BODY},
        {"HTTP/1.1 200\r\n\r\n", HTTP_GET, HTTP_MALFORMED, 0},
        {"HTTP/1.1 99 X\r\n\r\n", HTTP_GET, HTTP_MALFORMED, 0},
        {"HTTP/1.1 600 X\r\n\r\n", HTTP_GET, HTTP_MALFORMED, 0},
        {"HTTP/1.1 2000 X\r\n\r\n", HTTP_GET, HTTP_MALFORMED, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET,
         HTTP_MALFORMED, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", HTTP_GET,
         HTTP_MALFORMED, 0},
        {"ICY 200 OK\r\n\r\n", HTTP_GET, HTTP_MALFORMED, 0},
        {"HTTP/3.0 200 OK\r\n\r\n", HTTP_GET, HTTP_UNSUPPORTED, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_head head;
        struct http_fault fault = {0};
        enum http_result result =
            http_response_decode(slice_text(rows[i].text), rows[i].method, &head, &fault);
        if (result != rows[i].result || (result == HTTP_OK && head.framing != rows[i].framing)
            || (result != HTTP_OK && fault.clause == NULL)) {
            test_failed(__FILE__, __LINE__, "row %zu: %d", i, result);
        }
    }
}

/* Feeds `text` in pieces of `piece` bytes; the body is collected in `w`. */
static enum http_result dechunk(const char *text, size_t piece, struct writer *w, size_t *taken)
{
    struct http_chunked c = {0};
    struct http_fault fault = {0};
    struct slice rest = slice_text(text);
    enum http_result result = HTTP_MORE;
    *taken = 0;
    while (result == HTTP_MORE && rest.len > 0) {
        struct slice in = {.at = rest.at, .len = rest.len < piece ? rest.len : piece};
        size_t used = 0;
        struct slice data;
        result = http_chunked_step(&c, in, &used, &data, &fault);
        write_slice(w, data);
        rest = slice_after(rest, used);
        *taken += used;
    }
    return result;
}

TEST("chunks are joined wherever they are cut, and nothing behind the last is touched")
{
    static const char good[] =
        "4\r\nWiki\r\n7;a=\"b\"\r\npedia i\r\n00b\r\nn \r\nchunks.\r\n0\r\nA: b\r\n\r\nNEXT";
    for (size_t piece = 1; piece < sizeof good; piece++) {
        uint8_t body[64];
        struct writer w = writer_over(body, sizeof body);
        size_t taken = 0;
        CHECK(dechunk(good, piece, &w, &taken) == HTTP_OK);
        CHECK(slice_is_text(writer_slice(&w), "Wikipedia in \r\nchunks."));
        CHECK_U64(taken, sizeof good - 1 - 4);
    }
}

TEST("a chunked body that two readers could cut differently is refused")
{
    static const char *const rows[] = {
        "x\r\n",           "\r\n",         "-1\r\n",         " 1\r\na\r\n",  "1 \r\na\r\n",
        "0x1\r\na\r\n",    "1\na\r\n",     "1\r\nab\r\n",    "1\r\na\n",     "1\r\na\rb",
        "100000000\r\n",   "0\r\n\n",      "0\r\n a: b\r\n", "0\r\n: b\r\n", "1;\x01\r\na\r\n",
        "0\r\na: b\n\r\n", "1\r\r\na\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t body[64];
        struct writer w = writer_over(body, sizeof body);
        size_t taken = 0;
        if (dechunk(rows[i], 1, &w, &taken) != HTTP_MALFORMED) {
            test_failed(__FILE__, __LINE__, "row %zu was accepted", i);
        }
    }
}

TEST("what is written as chunks is read back the same")
{
    static uint8_t data[5000];
    static uint8_t wire[6000];
    memset(data, 'x', sizeof data);
    struct writer w = writer_over(wire, sizeof wire);
    http_chunk_write(&w, slice_of(data, 1));
    http_chunk_write(&w, slice_of(data, 0));
    http_chunk_write(&w, slice_of(data, sizeof data));
    http_chunks_end_write(&w);
    struct slice rest = writer_slice(&w);
    struct http_chunked c = {0};
    struct http_fault fault;
    size_t total = 0;
    enum http_result result = HTTP_MORE;
    while (result == HTTP_MORE && rest.len > 0) {
        size_t used = 0;
        struct slice piece;
        result = http_chunked_step(&c, rest, &used, &piece, &fault);
        total += piece.len;
        rest = slice_after(rest, used);
    }
    CHECK(result == HTTP_OK && rest.len == 0);
    CHECK_U64(total, sizeof data + 1);
}

TEST("percent-decoding takes what RFC 3986 has and refuses NUL and what is no text")
{
    static const struct {
        const char *text;
        const char *decoded; /* NULL: refused */
    } rows[] = {
        {"a%20b+c", "a b c"}, {"%c3%A9", "\xC3\xA9"}, {"", ""},      {"%", NULL},
        {"%4", NULL},         {"%zz", NULL},          {"%00", NULL}, {"%ff", NULL},
        {"%c0%af", NULL},     {"a%2", NULL},          {"%2B", "+"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t room[16];
        struct writer w = writer_over(room, sizeof room);
        bool got = http_percent_decode(slice_text(rows[i].text), true, &w);
        CHECK(got == (rows[i].decoded != NULL));
        CHECK(!got || slice_is_text(writer_slice(&w), rows[i].decoded));
    }
    uint8_t two[2];
    struct writer w = writer_over(two, sizeof two);
    CHECK(!http_percent_decode(slice_text("abc"), false, &w));
}

TEST("a parameter of a query is found by its whole name")
{
    uint8_t room[32];
    struct slice query = slice_text("limit=5&&q=a%20b&empty=&flag&limit=6&bad=%zz");
    struct writer w = writer_over(room, sizeof room);
    CHECK(http_query_find(query, "q", &w) == 1 && slice_is_text(writer_slice(&w), "a b"));
    writer_reset(&w);
    CHECK(http_query_find(query, "limit", &w) == 1 && slice_is_text(writer_slice(&w), "5"));
    writer_reset(&w);
    CHECK(http_query_find(query, "flag", &w) == 1 && w.len == 0);
    CHECK(http_query_find(query, "lim", &w) == 0);
    CHECK(http_query_find(query, "bad", &w) == -1);
}

TEST("no name or value that is written can begin a line of its own")
{
    char text[200];
    struct writer w = writer_over(text, sizeof text);
    http_field_write(&w, "Location", slice_text("/a\r\nSet-Cookie: x"));
    CHECK(!writer_ok(&w));
    writer_reset(&w);
    http_request_line_write(&w, "GET", slice_text("/a HTTP/1.1"));
    CHECK(!writer_ok(&w));
    writer_reset(&w);
    http_date_write(&w, 784111777000);
    CHECK(slice_is_text(writer_slice(&w), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    writer_reset(&w);
    http_status_line_write(&w, 404);
    http_field_write_u64(&w, "Content-Length", 0);
    http_head_end_write(&w);
    CHECK(slice_is_text(writer_slice(&w), "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
}

TEST("every byte survives percent-encoding, and nothing stands in the clear but what may")
{
    uint8_t all[256];
    uint8_t encoded[3 * sizeof all];
    uint8_t decoded[sizeof all];
    for (size_t i = 0; i < sizeof all; i++) {
        all[i] = (uint8_t)i;
    }
    struct writer w = writer_over(encoded, sizeof encoded);
    http_percent_encode(&w, slice_of(all, sizeof all));
    size_t plain = 0;
    for (size_t i = 0; i < w.len; i += encoded[i] == '%' ? 3 : 1) {
        plain += encoded[i] != '%';
    }
    CHECK_U64(plain, 26 + 26 + 10 + 4);
    /* What is decoded has to be UTF-8, so that the bytes above 0x7F are refused as they are. */
    struct writer d = writer_over(decoded, sizeof decoded);
    CHECK(!http_percent_decode(writer_slice(&w), false, &d));
    w = writer_over(encoded, sizeof encoded);
    d = writer_over(decoded, sizeof decoded);
    http_percent_encode(&w, slice_of(all + 1, 127));
    CHECK(http_percent_decode(writer_slice(&w), false, &d));
    CHECK(slice_equal(writer_slice(&d), slice_of(all + 1, 127)));
    static const char *const bad[] = {"%", "%4", "%4g", "%g4", "%-1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        d = writer_over(decoded, sizeof decoded);
        CHECK(!http_percent_decode(slice_text(bad[i]), false, &d));
    }
}

TEST("a head is not written with a byte that would end a line, or a target with a blank or none")
{
    static const char *const fields[] = {"a\r\nX: y", "a\nb", "\x7f", "\x01"};
    static const char *const targets[] = {"", "/a b", "/a\r\n"};
    uint8_t room[256];
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        struct writer w = writer_over(room, sizeof room);
        http_field_write(&w, "Name", slice_text(fields[i]));
        CHECK(!writer_ok(&w));
    }
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct writer w = writer_over(room, sizeof room);
        http_request_line_write(&w, "GET", slice_text(targets[i]));
        CHECK(!writer_ok(&w));
    }
    struct writer w = writer_over(room, sizeof room);
    http_field_write(&w, "Name", slice_text("a\tb"));
    http_status_line_write(&w, 599); /* a number without a phrase */
    CHECK(writer_ok(&w));
}
