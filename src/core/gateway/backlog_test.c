#include "core/gateway/backlog.h"
#include "test/test.h"

static uint64_t note(struct gw_backlog *b, uint64_t head, uint64_t read, uint64_t now_ms)
{
    gw_backlog_note(b, head, read, now_ms);
    gw_backlog_check(b);
    return gw_backlog_age_ms(b, head, read, now_ms);
}

TEST("a spool that is read whole has no age, however long it stood")
{
    struct gw_backlog b = {0};
    CHECK_U64(note(&b, 100, 100, 1000), 0);
    CHECK_U64(note(&b, 100, 100, 900000), 0);
}

TEST("an age is that of the oldest unread record, never smaller, and at most two notes greater")
{
    struct gw_backlog b = {0};
    (void)note(&b, 100, 100, 1000);
    /* one record of 10 bytes a second, from 2,000 ms on; nothing is read for 500 s */
    for (uint64_t s = 1; s <= 500; s++) {
        uint64_t age = note(&b, 100 + 10 * s, 100, 1000 + 1000 * s);
        CHECK(age >= 1000 * (s - 1) && age <= 1000 * s);
    }
    uint64_t now = 501000;
    for (uint64_t read = 100; read <= 5100; read += 70) {
        /* the oldest unread one came when the head passed `read` */
        uint64_t came = 1000 + 1000 * ((read - 100) / 10 + 1);
        uint64_t true_age = read >= 5100 ? 0 : now - came;
        uint64_t age = note(&b, 5100, read, now);
        CHECK(age >= true_age && age <= true_age + 2 * 8000);
    }
    CHECK_U64(note(&b, 5100, 5100, now), 0);
    CHECK_U64(note(&b, 5110, 5100, now + 5000), 5000);
}

TEST("what was there before it looked is as old as the looking")
{
    struct gw_backlog b = {0};
    CHECK_U64(note(&b, 500, 100, 7000), 0);
    CHECK_U64(note(&b, 500, 100, 9000), 2000);
}
