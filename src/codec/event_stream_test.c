#include "codec/event_stream.h"
#include "test/test.h"

#include <string.h>

/* What comes out of `text` in pieces of `piece` bytes, as "NAME=DATA;" for each event, and how it
 * ended. */
static enum event_stream_result read_all(
    const char *text, size_t piece, size_t cap, char *told, size_t told_cap)
{
    static uint8_t bytes[256];
    struct event_stream s;
    struct event_stream_event event;
    struct writer w = writer_over(told, told_cap - 1);
    struct slice rest = slice_text(text);
    enum event_stream_result result = EVENT_STREAM_MORE;
    event_stream_init(&s, bytes, cap);
    while (rest.len > 0 && result <= EVENT_STREAM_MORE) {
        struct slice in = slice_of(rest.at, rest.len < piece ? rest.len : piece);
        rest = slice_after(rest, in.len);
        do {
            result = event_stream_next(&s, &in, &event);
            if (result == EVENT_STREAM_OK) {
                write_slice(&w, event.name);
                write_text(&w, "=");
                write_slice(&w, event.data);
                write_text(&w, ";");
            }
        } while (result == EVENT_STREAM_OK);
    }
    told[w.len] = '\0';
    return result;
}

static const struct {
    const char *text, *told;
    enum event_stream_result result;
} rows[] = {
    {"data: 1\n\n", "=1;", EVENT_STREAM_MORE},
    {"id: 7\nevent: device\ndata: {}\n\n: still here\n\n", "device={};", EVENT_STREAM_MORE},
    {"data: a\r\n\r\ndata: b\r\rdata:c\n\n", "=a;=b;=c;", EVENT_STREAM_MORE},
    {"data: YHOO\ndata: +2\ndata: 10\n\n", "=YHOO\n+2\n10;", EVENT_STREAM_MORE}, /* 9.2.6 */
    {"data\n\ndata\ndata\n\ndata:", "=;=\n;", EVENT_STREAM_MORE},                /* 9.2.6 */
    {"data:test\n\ndata: test\n\ndata:  test\n\n", "=test;=test;= test;", EVENT_STREAM_MORE},
    {"event: x\n\ndata: 1\n\n", "=1;", EVENT_STREAM_MORE}, /* no data: no event, and no name left */
    {"retry: 2000\nwhat: ever\nnothing\n\n", "", EVENT_STREAM_MORE},
    {"data: 1\n", "", EVENT_STREAM_MORE}, /* an event that is not ended is none */
    {"id: x\ndata: 1\n\n", "", EVENT_STREAM_MALFORMED},
    {"id: 01\n\n", "", EVENT_STREAM_MALFORMED},
    {"id: 18446744073709551616\n\n", "", EVENT_STREAM_MALFORMED},
    {"id: 18446744073709551615\ndata: 1\n\n", "=1;", EVENT_STREAM_MORE},
    {"data: 0123456789012345678901234567890123456789\n\n", "", EVENT_STREAM_TOO_LONG},
    {"data: 01234567890\ndata: 01234567890\ndata: 012\n\n", "=01234567890\n01234567890\n012;",
     EVENT_STREAM_MORE},
    {"data: 01234567890\ndata: 01234567890\ndata: 01234567\n\n", "", EVENT_STREAM_TOO_LONG},
};

TEST("events are read as the standard says, however the stream is cut")
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t piece = 1; piece < 9; piece++) {
            char told[200];
            CHECK(read_all(rows[i].text, piece, 36, told, sizeof told) == rows[i].result);
            CHECK(strcmp(told, rows[i].told) == 0);
        }
    }
}

TEST("an event's name has a bound, and a stream that broke it stays broken")
{
    uint8_t bytes[128];
    struct event_stream s;
    struct event_stream_event event;
    struct slice in = slice_text(
        "event: 0123456789012345678901234567890123456789012345678901234567890123\ndata: 1\n\n");
    event_stream_init(&s, bytes, sizeof bytes);
    CHECK(event_stream_next(&s, &in, &event) == EVENT_STREAM_TOO_LONG);
    in = slice_text("data: 1\n\n");
    CHECK(event_stream_next(&s, &in, &event) == EVENT_STREAM_TOO_LONG);
}

TEST("what is written is read again, and two lines are no data")
{
    uint8_t text[200];
    char told[200];
    struct writer w = writer_over(text, sizeof text - 1);
    event_stream_write(&w, "device", 12, slice_text("{\"a\":1}"));
    event_stream_write(&w, "fleet", 13, slice_text("[]"));
    REQUIRE(writer_ok(&w));
    text[w.len] = '\0';
    CHECK(read_all((const char *)text, 3, 100, told, sizeof told) == EVENT_STREAM_MORE);
    CHECK(strcmp(told, "device={\"a\":1};fleet=[];") == 0);
    event_stream_write(&w, "device", 14, slice_text("a\nb"));
    CHECK(!writer_ok(&w));
}

TEST("an id is a decimal number and nothing else")
{
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "1.0", "0x1", "01", "99999999999999999999"};
    uint64_t id = 5;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK(!event_stream_id_from_text(slice_text(bad[i]), &id));
    }
    CHECK(id == 5);
    CHECK(event_stream_id_from_text(slice_text("0"), &id) && id == 0);
    CHECK(event_stream_id_from_text(slice_text("9007199254740993"), &id)
          && id == UINT64_C(9007199254740993));
}
