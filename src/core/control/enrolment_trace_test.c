#include "codec/der.h"
#include "core/control/enrolment_trace.h"
#include "crypto/key.h"
#include "test/test.h"
#include "trust/signature.h"

#include <string.h>

/* A certificate and a request of one key, as bytes of a trace: one behind the other. */
struct papers {
    uint8_t bytes[2048];
    size_t certificate_len, len;
};

static bool make(struct papers *p)
{
    uint8_t info_bytes[1024];
    struct key_private *key = NULL;
    struct writer info = writer_over(info_bytes, sizeof info_bytes);
    struct writer out = writer_over(p->bytes, sizeof p->bytes);
    if (key_make(KEY_P256, &key) != KEY_OK) {
        return false;
    }
    const struct key_public public = key_public_of(key);
    const struct slice point = slice_of(public.bytes, public.len);
    const struct slice nobody = slice_of("\x30\x00", 2);
    const struct x509_spec spec = {.serial = slice_text("Abcdefghijklmnop"),
                                   .issuer = nobody,
                                   .subject = nobody,
                                   .key_kind = X509_P256,
                                   .public_key = point,
                                   .sign_with = X509_P256};
    bool ok = x509_tbs_write(&info, &spec) == X509_OK
              && signature_certificate(&out, writer_slice(&info), key);
    p->certificate_len = out.len;
    writer_reset(&info);
    csr_info_write(
        &info, &(struct csr_spec){.subject = nobody, .key_kind = X509_P256, .public_key = point});
    ok = ok && signature_request(&out, writer_slice(&info), key);
    p->len = out.len;
    key_free(key);
    return ok;
}

TEST("what is kept of a request without a certificate is the request alone")
{
    static struct papers p;
    uint8_t room[2048];
    struct csr csr;
    struct enrol_identify_image image;
    struct writer w = writer_over(room, sizeof room);
    const struct enrol_policy policy = {.domain = slice_text("d")};
    REQUIRE(make(&p));
    const struct slice request = slice_of(p.bytes + p.certificate_len, p.len - p.certificate_len);
    REQUIRE(csr_parse(request, &csr, NULL) == X509_OK);
    enrol_identify_keep(
        &policy,
        &(struct enrol_request){.operation = ENROL_FIRST, .peer = ENROL_STRANGER, .csr = &csr},
        &image, &w);
    CHECK(image.certificate_len == 0 && slice_equal(writer_slice(&w), request));
    CHECK(enrol_identify_again(&image, writer_slice(&w), policy.domain));
}

TEST("who asks for a certificate is decided again only where somebody can have asked like that")
{
    static struct papers p;
    REQUIRE(make(&p));
    const struct slice all = slice_of(p.bytes, p.len);
    const struct slice domain = slice_text("d");
    const struct enrol_identify_image good = {.operation = ENROL_AGAIN,
                                              .peer = ENROL_DEVICE,
                                              .certificate_len = (uint32_t)p.certificate_len};
    struct enrol_identify_image bad = good;
    CHECK(enrol_identify_again(&good, all, domain));
    CHECK(!enrol_identify_again(&good, slice_of(p.bytes, p.len - 1), domain));
    bad.operation = 0;
    CHECK(!enrol_identify_again(&bad, all, domain));
    bad = good;
    bad.peer = 0;
    CHECK(!enrol_identify_again(&bad, all, domain));
    bad = good;
    bad.certificate_len = (uint32_t)p.len + 1;
    CHECK(!enrol_identify_again(&bad, all, domain));
    p.bytes[0] ^= 1; /* the certificate is none */
    CHECK(!enrol_identify_again(&good, all, domain));
}

TEST("a certificate is decided on again only where the registry can have said so")
{
    const struct enrol_decide_image good = {.operation = ENROL_AGAIN,
                                            .peer = ENROL_DEVICE,
                                            .has_device = true,
                                            .peer_is_live = true,
                                            .state = IDENTITY_ACTIVE,
                                            .key = ENROL_KEY_FRESH};
    struct enrol_decide_image bad = good;
    CHECK(enrol_decide_again(&good));
    bad.operation = 0;
    CHECK(!enrol_decide_again(&bad));
    bad = good;
    bad.peer = 0;
    CHECK(!enrol_decide_again(&bad));
    bad = good;
    bad.key = 0;
    CHECK(!enrol_decide_again(&bad));
    bad = good;
    bad.state = 0;
    CHECK(!enrol_decide_again(&bad));
    bad = (struct enrol_decide_image){
        .operation = ENROL_FIRST, .peer = ENROL_HARDWARE, .key = ENROL_KEY_FRESH};
    CHECK(enrol_decide_again(&bad)); /* a device that is not known has no state */
}

TEST("a signature is asked for again only with a purpose")
{
    const struct x509 issuer = {0};
    const struct signing_policy policy = {.issuer = &issuer, .domain = slice_text("d")};
    CHECK(signing_again(&(struct signing_image){.purpose = KEEPER_TRUST_LIST}, slice_text("x"),
                        &policy));
    CHECK(!signing_again(&(struct signing_image){.purpose = 0}, slice_text("x"), &policy));
}
