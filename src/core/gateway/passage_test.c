#include "core/gateway/passage.h"
#include "test/test.h"

#include <string.h>

/* What `openssl s_client -tls1_3 -servername Devices.Example` begins with, and the same for
 * another. */
static struct slice hello(const char *name, uint8_t *to)
{
    static const char head[] = "\x16\x03\x01\x00\x00\x01\x00\x00\x00\x03\x03";
    size_t len = strlen(name);
    size_t extensions = 4 + 5 + len + 4 + 3;
    size_t at = sizeof head - 1;
    memcpy(to, head, at);
    memset(to + at, 7, 32);
    at += 32;
    memcpy(to + at, "\x00\x00\x02\x13\x01\x01\x00", 7);
    at += 7;
    to[at++] = 0;
    to[at++] = (uint8_t)extensions;
    const uint8_t name_head[] = {0, 0, 0,           (uint8_t)(len + 5), 0, (uint8_t)(len + 3),
                                 0, 0, (uint8_t)len};
    memcpy(to + at, name_head, sizeof name_head);
    at += sizeof name_head;
    memcpy(to + at, name, len);
    at += len;
    memcpy(to + at, "\x00\x2b\x00\x03\x02\x03\x04", 7);
    at += 7;
    to[4] = (uint8_t)(at - 5);
    to[8] = (uint8_t)(at - 9);
    return slice_of(to, at);
}

static const struct passage_limits limits = {
    .hello_ms = 5000,
    .call_ms = 10000,
    .idle_ms = 60000,
    .life_ms = 600000,
    .bytes_max = 1000,
    .names_count = 2,
    .names = {"other.example", "devices.example"},
};

static struct passage_effect step(struct passage *p, struct passage_event ev)
{
    struct passage_effect effect;
    passage_step(p, &ev, &effect);
    return effect;
}

static struct passage_effect said(struct passage *p, const char *name, uint64_t now_ms)
{
    uint8_t bytes[400];
    return step(p, (struct passage_event){
                       .kind = PASSAGE_SAW, .now_ms = now_ms, .bytes = hello(name, bytes)});
}

static struct passage flowing(void)
{
    struct passage p;
    passage_init(&p, &limits, 1000);
    CHECK(said(&p, "devices.example", 1001).order == PASSAGE_CALL);
    CHECK(step(&p, (struct passage_event){.kind = PASSAGE_ANSWERED, .now_ms = 1002}).order
          == PASSAGE_PASS);
    return p;
}

TEST("only who names a server of the list is passed on")
{
    static const char *const strangers[] = {"devices.example.org", "devices.exampl", "example",
                                            "xdevices.example", "devices.example."};
    struct passage p;
    for (size_t i = 0; i < COUNT_OF(strangers); i++) {
        passage_init(&p, &limits, 0);
        struct passage_effect effect = said(&p, strangers[i], 1);
        CHECK(effect.order == PASSAGE_CLOSE && effect.end == PASSAGE_END_STRANGER
              && effect.why != NULL);
    }
    passage_init(&p, &limits, 0);
    CHECK(said(&p, "Devices.EXAMPLE", 1).order == PASSAGE_CALL);
    passage_init(&p, &limits, 0);
    struct passage_effect effect = step(
        &p, (struct passage_event){.kind = PASSAGE_SAW, .bytes = slice_text("GET / HTTP/1.1\r\n")});
    CHECK(effect.order == PASSAGE_CLOSE && effect.end == PASSAGE_END_STRANGER);
}

TEST("each stage has its time")
{
    struct passage p;
    passage_init(&p, &limits, 0);
    CHECK_U64(passage_due_ms(&p), 5000);
    CHECK(step(&p, (struct passage_event){.kind = PASSAGE_TICK, .now_ms = 4999}).order
          == PASSAGE_WAIT);
    CHECK(step(&p, (struct passage_event){.kind = PASSAGE_TICK, .now_ms = 5000}).end
          == PASSAGE_END_TOO_SLOW);

    passage_init(&p, &limits, 0);
    CHECK(said(&p, "devices.example", 4000).order == PASSAGE_CALL);
    CHECK(step(&p, (struct passage_event){.kind = PASSAGE_TICK, .now_ms = 14000}).end
          == PASSAGE_END_UNREACHED);

    p = flowing();
    CHECK(step(&p, (struct passage_event){.kind = PASSAGE_TICK, .now_ms = 61001}).order
          == PASSAGE_WAIT);
    CHECK(step(&p, (struct passage_event){.kind = PASSAGE_TICK, .now_ms = 61002}).end
          == PASSAGE_END_IDLE);

    p = flowing();
    for (uint64_t now_ms = 50000; now_ms < 600000; now_ms += 50000) {
        CHECK(step(&p,
                   (struct passage_event){
                       .kind = PASSAGE_PASSED, .now_ms = now_ms, .count = 1, .is_up = true})
                  .order
              == PASSAGE_PASS);
    }
    CHECK(step(&p, (struct passage_event){.kind = PASSAGE_TICK, .now_ms = 601000}).end
          == PASSAGE_END_TOO_LONG);
}

TEST("no more bytes pass than a connection may, in either direction")
{
    for (int way = 0; way < 2; way++) {
        struct passage p = flowing();
        bool is_up = way == 0;
        CHECK_U64(passage_room(&p, is_up), 1000);
        CHECK(step(&p, (struct passage_event){.kind = PASSAGE_PASSED, .count = 999, .is_up = is_up})
                  .order
              == PASSAGE_PASS);
        CHECK_U64(passage_room(&p, is_up), 1);
        CHECK(
            step(&p, (struct passage_event){.kind = PASSAGE_PASSED, .count = 1, .is_up = is_up}).end
            == PASSAGE_END_TOO_MUCH);
    }
}

TEST("a service that cannot be reached is told from one that ended")
{
    struct passage p;
    passage_init(&p, &limits, 0);
    CHECK(said(&p, "devices.example", 1).order == PASSAGE_CALL);
    struct passage_effect effect = step(&p, (struct passage_event){.kind = PASSAGE_LOST});
    CHECK(effect.end == PASSAGE_END_UNREACHED && effect.why != NULL);
    p = flowing();
    effect = step(&p, (struct passage_event){.kind = PASSAGE_LOST});
    CHECK(effect.order == PASSAGE_CLOSE && effect.end == PASSAGE_END_DONE && effect.why == NULL);
    CHECK(step(&p, (struct passage_event){.kind = PASSAGE_LOST}).order == PASSAGE_WAIT);
    p = flowing();
    CHECK(step(&p, (struct passage_event){.kind = PASSAGE_STOP}).end == PASSAGE_END_STOPPING);
}
