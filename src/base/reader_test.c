#include "base/reader.h"
#include "base/writer.h"
#include "test/test.h"

TEST("a short read gives zero, and so does every read after it")
{
    uint8_t bytes[] = {1, 2, 3};
    struct reader r = reader_over(slice_of(bytes, sizeof bytes));
    CHECK_U64(read_u16(&r), 0x0102);
    CHECK_U64(read_u32(&r), 0);
    CHECK_U64(read_u8(&r), 0);
    CHECK(!reader_ok(&r));
    CHECK(!reader_done(&r));
}

TEST("bytes left over are not done")
{
    uint8_t bytes[] = {1, 2, 3};
    struct reader r = reader_over(slice_of(bytes, sizeof bytes));
    (void)read_u16(&r);
    CHECK(reader_ok(&r));
    CHECK(!reader_done(&r));
    (void)read_u8(&r);
    CHECK(reader_done(&r));
}

TEST("a length prefix that promises too much is refused")
{
    uint8_t bytes[] = {0, 3, 'a', 'b'};
    struct reader r = reader_over(slice_of(bytes, sizeof bytes));
    CHECK_U64(read_prefixed_u16(&r).len, 0);
    CHECK(!reader_ok(&r));
}

TEST("a writer that overflowed holds nothing and stays so")
{
    uint8_t room[4];
    struct writer w = writer_over(room, sizeof room);
    write_u16(&w, 7);
    write_u32(&w, 9);
    write_u8(&w, 1);
    CHECK(!writer_ok(&w));
    CHECK_U64(writer_slice(&w).len, 0);
}

TEST("numbers come back as they were written")
{
    uint8_t room[64];
    struct writer w = writer_over(room, sizeof room);
    write_u8(&w, 0xfe);
    write_u16(&w, 0xfedc);
    write_u32(&w, 0xfedcba98);
    write_u64(&w, 0xfedcba9876543210);
    write_prefixed_u16(&w, slice_text("abc"));
    struct reader r = reader_over(writer_slice(&w));
    CHECK_U64(read_u8(&r), 0xfe);
    CHECK_U64(read_u16(&r), 0xfedc);
    CHECK_U64(read_u32(&r), 0xfedcba98);
    CHECK_U64(read_u64(&r), 0xfedcba9876543210);
    CHECK(slice_is_text(read_prefixed_u16(&r), "abc"));
    CHECK(reader_done(&r));
}

TEST("decimal and hex are what people write")
{
    uint8_t room[64];
    struct writer w = writer_over(room, sizeof room);
    write_decimal(&w, 0);
    write_text(&w, " ");
    write_decimal(&w, UINT64_MAX);
    write_text(&w, " ");
    write_hex(&w, slice_of("\x00\xa9\xff", 3));
    CHECK(slice_is_text(writer_slice(&w), "0 18446744073709551615 00a9ff"));
}
