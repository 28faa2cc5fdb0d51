/*
 * Server-sent events: the first byte says how much memory the reader has and how the stream is cut.
 * The same events come out however it is cut; each fits; what we write of one is read as that one.
 */
#include "base/invariant.h"
#include "codec/event_stream.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TOLD_MAX = 1 << 16 };

/* The stream in pieces; what it says, one event after the other, goes to `told`. */
static enum event_stream_result read_all(
    struct slice rest, size_t piece, uint8_t *bytes, size_t cap, struct writer *told)
{
    struct event_stream s;
    struct event_stream_event event;
    enum event_stream_result result = EVENT_STREAM_MORE;
    event_stream_init(&s, bytes, cap);
    while (rest.len > 0 && result <= EVENT_STREAM_MORE) {
        struct slice in = slice_of(rest.at, rest.len < piece ? rest.len : piece);
        rest = slice_after(rest, in.len);
        while ((result = event_stream_next(&s, &in, &event)) == EVENT_STREAM_OK) {
            INVARIANT(event.data.len <= cap && event.name.len <= EVENT_STREAM_NAME_MAX);
            write_u32(told, (uint32_t)event.name.len);
            write_slice(told, event.name);
            write_u32(told, (uint32_t)event.data.len);
            write_slice(told, event.data);
        }
        INVARIANT(result != EVENT_STREAM_MORE || in.len == 0);
    }
    return result;
}

/* One line of anything: written as an event, it is read as that. */
static void round_trip(struct slice text)
{
    static uint8_t written[TOLD_MAX], bytes[TOLD_MAX], told[TOLD_MAX], expected[TOLD_MAX];
    struct writer w = writer_over(written, sizeof written);
    event_stream_write(&w, "device", 9, text);
    if (!writer_ok(&w)) {
        return;
    }
    struct writer tw = writer_over(told, sizeof told);
    struct writer ew = writer_over(expected, sizeof expected);
    INVARIANT(read_all(writer_slice(&w), 7, bytes, sizeof bytes, &tw) == EVENT_STREAM_MORE);
    write_u32(&ew, 6);
    write_text(&ew, "device");
    write_u32(&ew, (uint32_t)text.len);
    write_slice(&ew, text);
    INVARIANT(slice_equal(writer_slice(&tw), writer_slice(&ew)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t a[TOLD_MAX], b[TOLD_MAX], bytes[256];
    if (size == 0 || size > 8192) {
        return 0;
    }
    struct slice rest = slice_of(data + 1, size - 1);
    size_t cap = data[0];
    struct writer whole = writer_over(a, sizeof a);
    struct writer cut = writer_over(b, sizeof b);
    enum event_stream_result first = read_all(rest, SIZE_MAX, bytes, cap, &whole);
    enum event_stream_result second = read_all(rest, 1 + data[0] % 5, bytes, cap, &cut);
    INVARIANT(first == second && slice_equal(writer_slice(&whole), writer_slice(&cut)));
    uint64_t id = 0;
    if (event_stream_id_from_text(rest, &id)) {
        uint8_t text[24];
        struct writer w = writer_over(text, sizeof text);
        write_decimal(&w, id);
        INVARIANT(slice_equal(writer_slice(&w), rest));
    }
    round_trip(rest);
    return 0;
}
