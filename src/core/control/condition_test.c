#include "core/control/condition.h"
#include "test/test.h"

enum { NOW = 10000000 };

static struct condition_facts good(void)
{
    return (struct condition_facts){
        .now_ms = NOW,
        .identity = IDENTITY_ACTIVE,
        .seen_ms = NOW - 1000,
        .interval_ms = 1000,
        .clock_quality = TIME_SYNCED,
    };
}

static bool why_is(const struct condition_facts *facts, const char *expected)
{
    char room[160];
    struct writer w = writer_over(room, sizeof room);
    condition_write_why(&w, facts);
    return slice_is_text(writer_slice(&w), expected);
}

TEST("a device that speaks, lacks nothing and keeps time is healthy, and there is nothing to say")
{
    struct condition_facts f = good();
    CHECK(condition_of(&f) == CONDITION_HEALTHY);
    CHECK(why_is(&f, ""));
    CHECK(condition_due_ms(&f) == f.seen_ms + 30000);
}

TEST("silence is unknown after three of its own intervals, and never before 30 s")
{
    struct condition_facts f = good();
    f.seen_ms = NOW - 29999;
    CHECK(condition_of(&f) == CONDITION_HEALTHY);
    f.seen_ms = NOW - 30000;
    CHECK(condition_of(&f) == CONDITION_UNKNOWN);
    CHECK(why_is(&f, "Not heard for 30 s; its limit is 30 s."));
    f.interval_ms = 60000;
    CHECK(condition_of(&f) == CONDITION_HEALTHY);
    f.seen_ms = NOW - 180000;
    CHECK(condition_of(&f) == CONDITION_UNKNOWN);
    CHECK(condition_due_ms(&f) == INT64_MAX);
    f.interval_ms = INT64_MAX;
    CHECK(condition_of(&f) == CONDITION_UNKNOWN);
}

TEST("unknown is stronger than degraded: what is not heard of is not judged")
{
    struct condition_facts f = good();
    f.missing = 4;
    f.seen_ms = NOW - 31000;
    CHECK(condition_of(&f) == CONDITION_UNKNOWN);
    f.seen_ms = 0;
    CHECK(condition_of(&f) == CONDITION_UNKNOWN);
    CHECK(why_is(&f, "Nothing was ever heard of it."));
}

TEST("missing, lost, refused and a wrong clock each degrade, and the first is named")
{
    struct condition_facts f = good();
    f.missing = 1;
    CHECK(condition_of(&f) == CONDITION_DEGRADED);
    CHECK(why_is(&f, "1 message is missing and may still come."));
    f = good();
    f.lost = 5;
    CHECK(condition_of(&f) == CONDITION_HEALTHY);
    f.lost_ms = NOW - 5000;
    CHECK(condition_of(&f) == CONDITION_DEGRADED);
    CHECK(why_is(&f, "5 messages were declared lost, some within the last hour."));
    f = good();
    f.dead_letter_ms = NOW - CONDITION_DEAD_LETTER_MS + 10;
    CHECK(condition_of(&f) == CONDITION_DEGRADED);
    CHECK(condition_due_ms(&f) == NOW + 10);
    f.dead_letter_ms -= 10;
    CHECK(condition_of(&f) == CONDITION_HEALTHY);
    f = good();
    f.has_clock_offset = true;
    f.clock_offset_ms = -3410;
    CHECK(condition_of(&f) == CONDITION_DEGRADED);
    CHECK(why_is(&f, "Its clock is 3 s behind."));
}

TEST("a clock that was compared with one that is not synchronised says nothing")
{
    struct condition_facts f = good();
    f.has_clock_offset = true;
    f.clock_offset_ms = 90000;
    f.clock_quality = TIME_HOLDOVER;
    CHECK(condition_of(&f) == CONDITION_HEALTHY);
}

TEST("a quarantined identity is quarantined whatever else is so; one that is out is unknown")
{
    struct condition_facts f = good();
    f.identity = IDENTITY_QUARANTINED;
    f.seen_ms = 0;
    CHECK(condition_of(&f) == CONDITION_QUARANTINED);
    f = good();
    f.identity = IDENTITY_REVOKED;
    CHECK(condition_of(&f) == CONDITION_UNKNOWN);
}

TEST("each cause has its words and the moment at which it ends")
{
    struct condition_facts f = good();
    f.identity = IDENTITY_DECOMMISSIONED;
    CHECK(condition_of(&f) == CONDITION_UNKNOWN);
    CHECK(why_is(&f, "Its identity is decommissioned: nothing is expected of it."));
    CHECK(condition_due_ms(&f) == INT64_MAX);
    f.identity = IDENTITY_QUARANTINED;
    CHECK(why_is(&f, "Its identity is quarantined."));
    CHECK(condition_due_ms(&f) == INT64_MAX);
    f = good();
    f.seen_ms = 0;
    CHECK(condition_due_ms(&f) == INT64_MAX);
    f = good();
    f.lost = 1;
    f.lost_ms = NOW - CONDITION_LOST_MS + 7;
    CHECK(why_is(&f, "1 message was declared lost, some within the last hour."));
    CHECK(condition_due_ms(&f) == NOW + 7);
    f = good();
    f.dead_letter_ms = NOW - 5;
    CHECK(why_is(&f, "A message of it was refused within the last hour."));
    f = good();
    f.has_clock_offset = true;
    f.clock_offset_ms = 4000;
    CHECK(why_is(&f, "Its clock is 4 s ahead."));
}
