#include "codec/trace.h"
#include "test/test.h"

struct image {
    uint64_t wide;
    bool flag, other_flag;
    uint32_t word;
    uint8_t octets[5];
    void *pointer;
};

#define FIELD(member, kind, most) TRACE_FIELD(struct image, member, kind, most)

static const struct trace_field fields[] = {
    FIELD(pointer, TRACE_LEFT_OUT, 0), FIELD(wide, TRACE_UINT, UINT64_MAX),
    FIELD(octets, TRACE_OCTETS, 0),    FIELD(word, TRACE_UINT, 9),
    FIELD(other_flag, TRACE_FLAG, 0),  FIELD(flag, TRACE_FLAG, 0),
};

TEST("a member that a shape does not name is found")
{
    struct trace_shape shape = {
        .fields = fields, .count = COUNT_OF(fields), .image_len = sizeof(struct image)};
    CHECK_U64(trace_unnamed(&shape), sizeof(struct image));
    shape.count--; /* flag, with another behind it */
    CHECK_U64(trace_unnamed(&shape), offsetof(struct image, flag));
    shape.fields++; /* the pointer, at the end */
    CHECK_U64(trace_unnamed(&shape), offsetof(struct image, octets) + sizeof(uint8_t[5]));
}

TEST("an image comes back as it was, and a number beyond its most is refused")
{
    const struct trace_shape shape = {
        .fields = fields, .count = COUNT_OF(fields), .image_len = sizeof(struct image)};
    struct image image = {.wide = UINT64_MAX, .other_flag = true, .word = 9, .octets = "abc"};
    struct image back;
    uint8_t bytes[64], behind[8];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct writer b = writer_over(behind, sizeof behind);
    trace_image_write(&w, &shape, &image, slice_text("tail"));
    REQUIRE(trace_image_read(writer_slice(&w), &shape, &back, &b));
    CHECK(back.wide == image.wide && back.other_flag && !back.flag && back.word == 9);
    CHECK(slice_equal(slice_of(back.octets, 5), slice_of(image.octets, 5)));
    CHECK(slice_is_text(writer_slice(&b), "tail"));
    image.word = 10;
    writer_reset(&w);
    trace_image_write(&w, &shape, &image, (struct slice){0});
    CHECK(!trace_image_read(writer_slice(&w), &shape, &back, &b));
}

TEST("a place in the sources has one name, wherever it was compiled")
{
    CHECK(slice_is_text(trace_file("../../src/core/x.c"), "src/core/x.c"));
    CHECK(slice_is_text(trace_file("/home/src/tree/src/core/x.c"), "src/core/x.c"));
    CHECK(slice_is_text(trace_file("../tree/sim/y.c"), "sim/y.c"));
    CHECK(slice_is_text(trace_file("other/y.c"), "other/y.c"));
}
