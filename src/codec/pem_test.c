#include "codec/pem.h"
#include "test/test.h"

static enum pem_result first_of(
    const char *text, uint8_t *out, size_t cap, struct slice *label, struct slice *bytes)
{
    struct slice rest = slice_text(text);
    struct writer w = writer_over(out, cap);
    return pem_next(&rest, label, &w, bytes);
}

TEST("blocks come one after the other with the text between them ignored")
{
    static const char text[] =
        "subject=x\n-----BEGIN CERTIFICATE-----\nZm9v\nYmFy\n-----END CERTIFICATE-----\nwords\r\n"
        "-----BEGIN PRIVATE KEY-----\r\nZg==\r\n-----END PRIVATE KEY-----\r\n";
    uint8_t bytes[32];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct slice rest = slice_text(text);
    struct slice label = {0};
    struct slice got = {0};
    REQUIRE(pem_next(&rest, &label, &w, &got) == PEM_OK);
    CHECK(slice_is_text(label, "CERTIFICATE") && slice_is_text(got, "foobar"));
    REQUIRE(pem_next(&rest, &label, &w, &got) == PEM_OK);
    CHECK(slice_is_text(label, "PRIVATE KEY") && slice_is_text(got, "f"));
    CHECK(pem_next(&rest, &label, &w, &got) == PEM_END);
}

TEST("a block that is cut, mislabelled, encrypted or not base64 is refused")
{
    static const char *const rows[] = {
        "-----BEGIN A-----\nZg==\n",
        "-----BEGIN A-----\nZg==\n-----END B-----\n",
        "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nZg==\n-----END A-----\n",
        "-----BEGIN A-----\nZg=\n-----END A-----\n",
        "-----BEGIN A-----\n-----BEGIN A-----\nZg==\n-----END A-----\n",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t bytes[32];
        struct slice label = {0};
        struct slice got = {0};
        CHECK(first_of(rows[i], bytes, sizeof bytes, &label, &got) == PEM_MALFORMED);
    }
}

TEST("what was written is read again, whatever its length")
{
    uint8_t bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    for (size_t len = 0; len <= sizeof bytes; len++) {
        uint8_t text[512];
        uint8_t back[256];
        struct writer w = writer_over(text, sizeof text);
        struct writer decoded = writer_over(back, sizeof back);
        struct slice label = {0};
        struct slice got = {0};
        pem_write(&w, "X509 CRL", slice_of(bytes, len));
        struct slice rest = writer_slice(&w);
        REQUIRE(pem_next(&rest, &label, &decoded, &got) == PEM_OK);
        CHECK(slice_equal(got, slice_of(bytes, len)) && slice_is_text(label, "X509 CRL"));
    }
}
