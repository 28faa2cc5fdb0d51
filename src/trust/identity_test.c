#include "test/test.h"
#include "trust/identity.h"

#include <string.h>

#define ID "hf1:00112233445566778899aabbccddeeff"

static bool is_accepted(const char *uri, uint32_t count, const char *domain)
{
    struct x509 certificate = {.extensions = {.uri_count = count, .uri = slice_text(uri)}};
    struct device_id id;
    struct fault fault = {0};
    bool accepted = identity_of_ldevid(&certificate, slice_text(domain), &id, &fault);
    CHECK(accepted == (fault.clause == NULL));
    return accepted;
}

TEST("an LDevID names its device by one URI of exactly one form")
{
    CHECK(is_accepted("spiffe://holdfast.local/device/" ID, 1, "holdfast.local"));
    static const char *const bad[] = {
        "spiffe://holdfast.local/device/" ID "/",
        "spiffe://holdfast.local/device/" ID "?x",
        "spiffe://holdfast.local/device//" ID,
        "spiffe://holdfast.local/gateway/" ID,
        "spiffe://holdfast.local.evil/device/" ID,
        "spiffe://evil.holdfast.local/device/" ID,
        "SPIFFE://holdfast.local/device/" ID,
        "spiffe://holdfast.local:1/device/" ID,
        "spiffe://holdfast.local/device/hf1:00112233445566778899AABBCCDDEEFF",
        "spiffe://holdfast.local/device/hf1:00112233445566778899aabbccddeef",
        "spiffe://holdfast.local/device/00112233445566778899aabbccddeeff",
        "https://holdfast.local/device/" ID,
        "",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK(!is_accepted(bad[i], 1, "holdfast.local"));
    }
    CHECK(!is_accepted("spiffe://holdfast.local/device/" ID, 2, "holdfast.local"));
    CHECK(!is_accepted("spiffe://holdfast.local/device/" ID, 0, "holdfast.local"));
    CHECK(!is_accepted("spiffe://holdfast.local/device/" ID, 1, "holdfast"));
}

TEST("the URI that is written is the one that is accepted")
{
    struct device_id id = {.bytes = {0xab, 1, 2}};
    struct device_id got = {0};
    uint8_t bytes[IDENTITY_URI_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    identity_write_uri(&w, slice_text("plant.example"), &id);
    struct x509 certificate = {.extensions = {.uri_count = 1, .uri = writer_slice(&w)}};
    REQUIRE(identity_of_ldevid(&certificate, slice_text("plant.example"), &got, NULL));
    CHECK(device_id_equal(&id, &got));
}

TEST("a device id is the tagged hash of the hardware's key: the vector of "
     "docs/protocol/enrolment.md")
{
    static const char spki[] = "0123456789";
    struct device_id id = identity_of_hardware(slice_text(spki));
    uint8_t bytes[DEVICE_ID_TEXT_LEN];
    struct writer w = writer_over(bytes, sizeof bytes);
    device_id_write_text(&w, &id);
    CHECK(slice_is_text(writer_slice(&w), "hf1:5604c04f6938ddad509c3d6f828bc452"));
}
