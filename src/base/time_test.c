#include "base/time.h"
#include "test/test.h"

static const struct {
    const char *text;
    int64_t unix_ms;
} good[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"2026-11-23T14:03:41.322Z", 1795442621322},
    {"2020-03-09 10:14:33", 1583748873000},
    {"2038-01-19T03:14:08Z", 2147483648000},
    {"2050-01-01T00:00:00Z", 2524608000000},
    {"2024-02-29T23:59:59.999Z", 1709251199999},
    {"2026-11-23T15:03:41.322+01:00", 1795442621322},
    {"1969-12-31T23:59:59.5Z", -500},
};

TEST("times are read as written, in any offset")
{
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        int64_t got = 0;
        CHECK(time_from_text(slice_text(good[i].text), &got));
        CHECK_U64(got, good[i].unix_ms);
    }
}

TEST("what is no time is refused")
{
    static const char *const bad[] = {
        "",
        "2026-11-23",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T14:60:00Z",
        "2026-11-23T14:03:60Z",
        "2026-11-23T14:03:41.Z",
        "2026-11-23T14:03:41Zx",
        "2026-11-23T14:03:41+01",
        "26-11-23T14:03:41Z",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t got = 7;
        CHECK(!time_from_text(slice_text(bad[i]), &got));
        CHECK_U64(got, 7);
    }
}

TEST("every day of eight centuries comes back as it went out")
{
    for (int64_t day = -146097; day < 146097; day++) {
        struct civil at = civil_from_unix_ms(day * 86400000 + 12345);
        int64_t back = 0;
        REQUIRE(civil_to_unix_ms(&at, &back));
        REQUIRE(back == day * 86400000 + 12345);
    }
}

TEST("a time is written with milliseconds and Z")
{
    uint8_t room[32];
    struct writer w = writer_over(room, sizeof room);
    time_write_rfc3339(&w, 1795442621322);
    CHECK(slice_is_text(writer_slice(&w), "2026-11-23T14:03:41.322Z"));
}
