#include "core/device/generation.h"
#include "test/test.h"

TEST("the first session that is live with the new key makes it the identity, once")
{
    struct generation g;
    generation_init(&g, false, 1);
    CHECK(!generation_dial(&g, 0, true) && !generation_live(&g));
    generation_renewed(&g);
    CHECK(!generation_live(&g)); /* the session that stands was made with the old one */
    CHECK(generation_dial(&g, 5, true));
    generation_check(&g);
    CHECK(generation_live(&g));
    CHECK(!generation_dial(&g, 9, true) && !generation_live(&g));
    CHECK(generation_due_ms(&g) == UINT64_MAX);
    generation_check(&g);
}

TEST("a new key that is refused is rested on the old one, longer each time, and tried again")
{
    struct generation g;
    uint64_t now = 1000;
    generation_init(&g, true, 7);
    for (unsigned i = 0; i < 20; i++) {
        CHECK(generation_dial(&g, now, true));
        generation_failed(&g, now);
        generation_check(&g);
        uint64_t due = generation_due_ms(&g);
        CHECK(due >= now + GENERATION_REST_MS
              && due < now + GENERATION_REST_MS + GENERATION_REST_MAX_MS);
        CHECK(!generation_dial(&g, due - 1, true));
        CHECK(!generation_live(&g));    /* with the old one: nothing is proven */
        generation_failed(&g, due - 1); /* nor is anything lost */
        CHECK(generation_due_ms(&g) == due);
        now = due;
    }
    CHECK(generation_dial(&g, now, true) && generation_live(&g));
}

TEST("with an old certificate that has expired every connection uses the new one")
{
    struct generation g;
    generation_init(&g, true, 3);
    for (uint64_t now = 0; now < 10; now++) {
        CHECK(generation_dial(&g, now, false));
        generation_failed(&g, now);
    }
    CHECK(!generation_dial(&g, 10, true));
}

TEST(
    "a certificate that came while an earlier new one was being tried is proven by its own session")
{
    struct generation g;
    generation_init(&g, true, 3);
    CHECK(generation_dial(&g, 0, true));
    generation_renewed(&g);
    CHECK(!generation_live(&g));
    CHECK(generation_dial(&g, 1, true) && generation_live(&g));
    generation_init(&g, true, 3);
    CHECK(generation_dial(&g, 0, true));
    generation_failed(&g, 0);
    generation_renewed(&g); /* no rest for a fresh one */
    CHECK(generation_dial(&g, 1, true) && generation_live(&g));
}
