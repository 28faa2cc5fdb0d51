/* Names that are stored and shown: each is its own, and is read back as what it names. */
#include "codec/identity_state.h"
#include "codec/point.h"
#include "codec/received_report.h"
#include "test/test.h"

#include <string.h>

TEST("every state of an identity has a number and a name of its own, and no other number is one")
{
    enum identity_state got = IDENTITY_REVOKED;
    for (int64_t raw = IDENTITY_EXPECTED; raw <= IDENTITY_DECOMMISSIONED; raw++) {
        REQUIRE(identity_state_from_number(raw, &got));
        CHECK((int64_t)got == raw);
        for (int64_t other = IDENTITY_EXPECTED; other < raw; other++) {
            CHECK(strcmp(identity_state_name((enum identity_state)other), identity_state_name(got))
                  != 0);
        }
    }
    static const int64_t numbers[] = {INT64_MIN, -1, 0, IDENTITY_DECOMMISSIONED + 1, INT64_MAX};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        CHECK(!identity_state_from_number(numbers[i], &got));
    }
    CHECK(got == IDENTITY_DECOMMISSIONED); /* untouched by what was refused */
}

TEST("who vouches for a point, and why numbers are missing, is said in one word each")
{
    CHECK(strcmp(provenance_name(PROVENANCE_DEVICE), "device") == 0);
    CHECK(strcmp(provenance_name(PROVENANCE_GATEWAY), "gateway") == 0);
    CHECK(strcmp(gap_why_name(GAP_MISSING), "missing") == 0);
    CHECK(strcmp(gap_why_name(GAP_RESTART), "restart") == 0);
}
