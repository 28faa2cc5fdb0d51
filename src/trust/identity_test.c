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

static bool names_application(const char *uri, const char *name)
{
    struct x509 certificate = {.extensions = {.uri_count = 1, .uri = slice_text(uri)}};
    struct slice got = {0};
    return identity_of_application(&certificate, slice_text("holdfast.local"), &got, NULL)
           && slice_is_text(got, name);
}

TEST("a certificate names an application by its one URI, and by no other form")
{
    struct device_id id;
    struct slice name;
    static const char *const bad[] = {
        "spiffe://holdfast.local/app/",
        "spiffe://holdfast.local/app/-historian",
        "spiffe://holdfast.local/app/his torian",
        "spiffe://holdfast.local/app/a/b",
        "spiffe://holdfast.local/app/hf1:00112233445566778899aabbccddeeff",
        "spiffe://holdfast.local/application/historian",
        "spiffe://evil/app/historian",
        "spiffe://holdfast.local/device/hf1:00112233445566778899aabbccddeeff",
        ("spiffe://holdfast.local/app/"
         "a123456789012345678901234567890123456789012345678901234567890123"),
    };
    CHECK(names_application("spiffe://holdfast.local/app/historian", "historian"));
    CHECK(names_application("spiffe://holdfast.local/app/2nd.HMI_x-1", "2nd.HMI_x-1"));
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct x509 c = {.extensions = {.uri_count = 1, .uri = slice_text(bad[i])}};
        CHECK(!identity_of_application(&c, slice_text("holdfast.local"), &name, NULL));
    }
    struct x509 two = {
        .extensions = {.uri_count = 2, .uri = slice_text("spiffe://holdfast.local/app/historian")}};
    CHECK(!identity_of_application(&two, slice_text("holdfast.local"), &name, NULL));
    two.extensions.uri_count = 1;
    CHECK(!identity_of_ldevid(&two, slice_text("holdfast.local"), &id, NULL));
}

TEST("an application's URI is read as it is written, and its id is of its own tag")
{
    uint8_t bytes[IDENTITY_URI_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    identity_write_application_uri(&w, slice_text("holdfast.local"), slice_text("historian"));
    struct x509 c = {.extensions = {.uri_count = 1, .uri = writer_slice(&w)}};
    struct slice name = {0};
    REQUIRE(identity_of_application(&c, slice_text("holdfast.local"), &name, NULL));
    CHECK(slice_is_text(name, "historian"));
    struct device_id of_application = identity_application_id(slice_text("historian"));
    struct device_id of_device = identity_of_hardware(slice_text("historian"));
    CHECK(!device_id_equal(&of_application, &of_device));
}
