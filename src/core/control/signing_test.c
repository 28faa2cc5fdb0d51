#include "codec/der.h"
#include "core/control/enrolment.h"
#include "core/control/signing.h"
#include "crypto/key.h"
#include "test/test.h"
#include "trust/identity.h"
#include "trust/trust_list.h"

#include <string.h>

static const int64_t now_ms = INT64_C(1795000000000);
static const uint64_t week_ms = UINT64_C(7) * 86400000;

/* The issuer as the keeper knows it, and a key to certify. */
struct desk {
    uint8_t issuer_name[128];
    struct x509 issuer;
    struct key_private *key;
    struct key_public public;
    struct signing_policy policy;
};

static bool furnish(struct desk *d)
{
    *d = (struct desk){0};
    struct writer w = writer_over(d->issuer_name, sizeof d->issuer_name);
    x509_subject_write(&w, &(struct x509_subject){.common_name = slice_text("issuer")});
    d->issuer = (struct x509){
        .der = slice_text("the issuer's certificate"),
        .subject = writer_slice(&w),
        .key_kind = X509_P256,
        .not_after_ms = now_ms + (int64_t)(100 * week_ms),
        .extensions = {.subject_key_id = slice_text("01234567890123456789")},
    };
    d->policy = (struct signing_policy){
        .issuer = &d->issuer,
        .trust_certificate = slice_text("the trust key's certificate"),
        .domain = slice_text("d"),
        .lifetime_max_ms = week_ms,
        .application_lifetime_max_ms = 4 * week_ms,
    };
    if (key_make(KEY_P256, &d->key) != KEY_OK) {
        return false;
    }
    d->public = key_public_of(d->key);
    return true;
}

static struct enrol_certificate usual(const struct desk *d)
{
    return (struct enrol_certificate){
        .serial = slice_text("Abcdefghijklmnop"),
        .issuer = &d->issuer,
        .domain = slice_text("d"),
        .subject_serial = slice_text("press-7"),
        .hardware_type = x509_oid_hardware_default(),
        .hardware_serial = slice_text("press-7"),
        .public_key = slice_of(d->public.bytes, d->public.len),
        .now_ms = now_ms,
        .lifetime_ms = week_ms,
    };
}

static const char *refusal_of(const struct desk *d, struct slice tbs)
{
    struct fault fault = {0};
    bool allowed = signing_allows(&d->policy, KEEPER_DEVICE_CERTIFICATE, tbs, &fault);
    return allowed ? "" : fault.clause != NULL ? fault.clause : "no clause";
}

TEST("what enrolment writes is signed")
{
    struct desk d;
    uint8_t bytes[2048];
    struct writer w = writer_over(bytes, sizeof bytes);
    REQUIRE(furnish(&d));
    struct enrol_certificate what = usual(&d);
    REQUIRE(enrol_tbs_write(&w, &what));
    CHECK(strcmp(refusal_of(&d, writer_slice(&w)), "") == 0);
    writer_reset(&w);
    what.hardware_type = (struct slice){0}; /* a stock client's */
    what.common_name = slice_text("meter");
    REQUIRE(enrol_tbs_write(&w, &what));
    CHECK(strcmp(refusal_of(&d, writer_slice(&w)), "") == 0);
    key_free(d.key);
}

TEST("what is not a device certificate of this issuer, domain, length of life and form is not "
     "signed")
{
    struct desk d;
    uint8_t uri_bytes[IDENTITY_URI_MAX];
    uint8_t key_id[X509_KEY_ID_LEN];
    struct writer uri = writer_over(uri_bytes, sizeof uri_bytes);
    struct device_id id = {0};
    REQUIRE(furnish(&d));
    identity_write_uri(&uri, slice_text("d"), &id);
    identity_key_id(slice_of(d.public.bytes, d.public.len), key_id);
    const struct x509_spec good = {
        .serial = slice_text("Abcdefghijklmnop"),
        .issuer = d.issuer.subject,
        .subject = d.issuer.subject,
        .not_before_ms = now_ms - SIGNING_BACKDATE_MS,
        .not_after_ms = now_ms + (int64_t)week_ms,
        .key_kind = X509_P256,
        .public_key = slice_of(d.public.bytes, d.public.len),
        .sign_with = X509_P256,
        .subject_key_id = slice_of(key_id, sizeof key_id),
        .authority_key_id = d.issuer.extensions.subject_key_id,
        .key_usage = X509_DIGITAL_SIGNATURE,
        .ext_key_usage = X509_EKU_CLIENT_AUTH,
        .uri = writer_slice(&uri),
    };
    struct x509_spec bad[13];
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        bad[i] = good;
    }
    bad[1].issuer = slice_of("\x30\x00", 2);
    bad[2].not_after_ms += 1000;
    bad[3].is_ca = true;
    bad[4].key_usage = X509_DIGITAL_SIGNATURE | X509_KEY_CERT_SIGN;
    bad[5].ext_key_usage = X509_EKU_CLIENT_AUTH | X509_EKU_SERVER_AUTH;
    bad[6].ext_key_usage = 0;
    bad[7].uri = slice_text("spiffe://e/device/hf1:00000000000000000000000000000000");
    bad[8].dns[0] = slice_text("localhost");
    bad[8].dns_count = 1;
    bad[9].authority_key_id = slice_text("other");
    bad[10].serial = slice_text("Abcdefghijklmnopq");
    bad[11].sign_with = X509_ED25519;
    bad[12].uri = (struct slice){0};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint8_t bytes[2048];
        struct writer w = writer_over(bytes, sizeof bytes);
        REQUIRE(x509_tbs_write(&w, &bad[i]) == X509_OK);
        const char *refusal = refusal_of(&d, writer_slice(&w));
        if ((i == 0) != (refusal[0] == '\0')) {
            test_failed(__FILE__, __LINE__, "row %zu: %s", i, refusal);
        }
    }
    /* It may not outlive its issuer, nor be followed by anything. */
    uint8_t bytes[2048];
    struct writer w = writer_over(bytes, sizeof bytes);
    REQUIRE(x509_tbs_write(&w, &good) == X509_OK);
    CHECK(refusal_of(&d, slice_of(bytes, w.len + 1))[0] != '\0');
    d.issuer.not_after_ms = good.not_after_ms - 1000;
    CHECK(refusal_of(&d, writer_slice(&w))[0] != '\0');
    key_free(d.key);
}

static const char *refusal_for(const struct desk *d,
                               enum keeper_purpose purpose,
                               const struct enrol_certificate *what)
{
    static uint8_t bytes[2048];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct fault fault = {0};
    CHECK(enrol_tbs_write(&w, what));
    bool allowed = signing_allows(&d->policy, purpose, writer_slice(&w), &fault);
    return allowed ? "" : fault.clause != NULL ? fault.clause : "no clause";
}

TEST("no certificate asked for as a device's names an application, and none of an application's "
     "a device")
{
    struct desk d;
    REQUIRE(furnish(&d));
    struct enrol_certificate device = usual(&d);
    struct enrol_certificate application = usual(&d);
    application.application = slice_text("historian");
    application.hardware_type = application.hardware_serial = (struct slice){0};
    application.lifetime_ms = 4 * week_ms;
    CHECK(strcmp(refusal_for(&d, KEEPER_APPLICATION_CERTIFICATE, &application), "") == 0);
    application.lifetime_ms += 1000;
    CHECK(strstr(refusal_for(&d, KEEPER_APPLICATION_CERTIFICATE, &application), "too long")
          != NULL);
    application.lifetime_ms = week_ms;
    CHECK(strstr(refusal_for(&d, KEEPER_DEVICE_CERTIFICATE, &application), "no device") != NULL);
    CHECK(strstr(refusal_for(&d, KEEPER_APPLICATION_CERTIFICATE, &device), "no application")
          != NULL);
    struct enrol_certificate wrong = application;
    wrong.domain = slice_text("e");
    CHECK(strstr(refusal_for(&d, KEEPER_APPLICATION_CERTIFICATE, &wrong), "no application")
          != NULL);
    wrong = application;
    wrong.hardware_type = x509_oid_hardware_default();
    wrong.hardware_serial = slice_text("press-7");
    CHECK(strstr(refusal_for(&d, KEEPER_APPLICATION_CERTIFICATE, &wrong), "hardware") != NULL);
    wrong = application;
    wrong.application = slice_text("a/device/hf1:00112233445566778899aabbccddeeff");
    CHECK(strstr(refusal_for(&d, KEEPER_APPLICATION_CERTIFICATE, &wrong), "no application")
          != NULL);
    key_free(d.key);
}

TEST("an extension more than the form has is not signed, although nothing forbids it")
{
    struct desk d;
    uint8_t bytes[2048];
    uint8_t longer[2048];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct writer l = writer_over(longer, sizeof longer);
    REQUIRE(furnish(&d));
    struct enrol_certificate what = usual(&d);
    struct x509 c;
    REQUIRE(enrol_tbs_write(&w, &what) && x509_tbs_parse(writer_slice(&w), &c, NULL) == X509_OK);
    /* The same fields, and one extension (1.2.3.4, not critical) behind the others. */
    struct reader whole = reader_over(writer_slice(&w));
    struct reader fields = der_enter(&whole, DER_SEQUENCE);
    struct slice before_extensions =
        slice_of(fields.rest.at, (size_t)(c.spki.at + c.spki.len - fields.rest.at));
    struct reader rest = reader_over(
        slice_of(c.spki.at + c.spki.len, (size_t)(bytes + w.len - c.spki.at) - c.spki.len));
    struct reader wrapped = der_enter(&rest, DER_CONTEXT_CONSTRUCTED | 3);
    struct slice list = der_read(&wrapped, DER_SEQUENCE);
    size_t tbs = der_begin(&l, DER_SEQUENCE);
    write_slice(&l, before_extensions);
    size_t outer = der_begin(&l, DER_CONTEXT_CONSTRUCTED | 3);
    size_t inner = der_begin(&l, DER_SEQUENCE);
    write_slice(&l, list);
    write_bytes(&l, "\x30\x09\x06\x03\x2a\x03\x04\x04\x02\x05\x00", 11);
    der_end(&l, inner);
    der_end(&l, outer);
    der_end(&l, tbs);
    REQUIRE(x509_tbs_parse(writer_slice(&l), &c, NULL) == X509_OK);
    CHECK(strstr(refusal_of(&d, writer_slice(&l)), "more than its form") != NULL);
    key_free(d.key);
}

TEST("a trust list is signed for our trust key and with our issuer in it, and nothing else of its "
     "form")
{
    struct desk d;
    uint8_t header[256];
    uint8_t payload[512];
    uint8_t input[1024];
    struct writer h = writer_over(header, sizeof header);
    struct writer p = writer_over(payload, sizeof payload);
    struct writer w = writer_over(input, sizeof input);
    struct fault fault = {0};
    REQUIRE(furnish(&d));
    struct trust_list list = {
        .number = 3,
        .ingest_keys = {slice_of(d.public.bytes, d.public.len)},
        .ingest_keys_count = 1,
        .issuers = {d.issuer.der},
        .issuers_count = 1,
    };
    trust_list_header_write(&h, d.policy.trust_certificate);
    REQUIRE(trust_list_payload_write(&p, &list));
    trust_list_input_write(&w, writer_slice(&h), writer_slice(&p));
    struct slice good = writer_slice(&w);
    CHECK(signing_allows(&d.policy, KEEPER_TRUST_LIST, good, &fault));
    for (size_t len = 0; len < good.len; len++) {
        CHECK(!signing_allows(&d.policy, KEEPER_TRUST_LIST, slice_of(input, len), &fault));
    }
    CHECK(!signing_allows(&d.policy, KEEPER_DEVICE_CERTIFICATE, good, &fault));
    struct signing_policy other = d.policy;
    other.trust_certificate = slice_text("another certificate's bytes");
    CHECK(!signing_allows(&other, KEEPER_TRUST_LIST, good, &fault));
    struct x509 other_issuer = d.issuer;
    other_issuer.der = slice_text("another");
    other = d.policy;
    other.issuer = &other_issuer;
    CHECK(!signing_allows(&other, KEEPER_TRUST_LIST, good, &fault));
    key_free(d.key);
}
