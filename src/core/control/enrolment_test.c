#include "base/invariant.h"
#include "codec/base64.h"
#include "core/control/enrolment.h"
#include "core/control/identity.h"
#include "crypto/key.h"
#include "test/test.h"
#include "trust/identity.h"
#include "trust/signature.h"

#include <string.h>

/* A request with a fresh key, and the certificate of the peer that sends it. */
struct asking {
    struct key_private *key;
    uint8_t subject[128];
    uint8_t names[256];
    uint8_t challenge[64];
    uint8_t der[1024];
    struct csr csr;
    struct x509 certificate;
    uint8_t spki[96];
    struct enrol_request request;
    struct enrol_policy policy;
};

static const char uri[] = "spiffe://d/device/hf1:00112233445566778899aabbccddeeff";

static struct slice write_challenge(struct asking *a, bool is_linked)
{
    struct writer w = writer_over(a->challenge, sizeof a->challenge);
    base64_encode(&w, slice_of(a->request.exporter, sizeof a->request.exporter));
    return is_linked ? writer_slice(&w) : (struct slice){0};
}

static bool prepare(struct asking *a,
                    enum enrol_operation operation,
                    enum enrol_peer peer,
                    bool is_linked)
{
    static const uint8_t peer_point[65] = {4, 1};
    uint8_t info_bytes[1024];
    *a = (struct asking){.policy = {.domain = slice_text("d")}};
    a->request =
        (struct enrol_request){.operation = operation, .peer = peer, .exporter = {1, 2, 3}};
    struct writer subject = writer_over(a->subject, sizeof a->subject);
    struct writer names = writer_over(a->names, sizeof a->names);
    struct writer spki = writer_over(a->spki, sizeof a->spki);
    struct writer info = writer_over(info_bytes, sizeof info_bytes);
    struct writer der = writer_over(a->der, sizeof a->der);
    x509_subject_write(&subject, &(struct x509_subject){.serial_number = slice_text("7")});
    x509_names_write(&names, &(struct x509_spec){.uri = slice_text(uri)});
    x509_spki_write(&spki, X509_P256, slice_of(peer_point, sizeof peer_point));
    if (key_make(KEY_P256, &a->key) != KEY_OK) {
        return false;
    }
    struct key_public public = key_public_of(a->key);
    struct csr_spec spec = {
        .subject = writer_slice(&subject),
        .key_kind = X509_P256,
        .public_key = slice_of(public.bytes, public.len),
        .challenge = write_challenge(a, is_linked),
        .names = writer_slice(&names),
    };
    csr_info_write(&info, &spec);
    a->certificate = (struct x509){
        .subject = writer_slice(&subject),
        .subject_serial_number = slice_text("7"),
        .spki = writer_slice(&spki),
        .extensions = {.uri_count = 1, .uri = slice_text(uri), .names = writer_slice(&names)},
    };
    a->request.certificate = &a->certificate;
    a->request.csr = &a->csr;
    return signature_request(&der, writer_slice(&info), a->key)
           && csr_parse(writer_slice(&der), &a->csr, NULL) == X509_OK;
}

/* 0 where it is accepted. */
static int refusal_of(const struct asking *a)
{
    struct device_id id;
    enum enrol_refusal refusal = ENROL_NO_CERTIFICATE;
    return enrol_identify(&a->policy, &a->request, &id, &refusal) ? 0 : (int)refusal;
}

TEST("the device is who the certificate says: the hardware's key, or the one URI")
{
    struct asking a;
    struct device_id id;
    struct device_id want;
    enum enrol_refusal refusal;
    REQUIRE(prepare(&a, ENROL_FIRST, ENROL_HARDWARE, false));
    REQUIRE(enrol_identify(&a.policy, &a.request, &id, &refusal));
    want = identity_of_hardware(a.certificate.spki);
    CHECK(device_id_equal(&id, &want));
    key_free(a.key);
    REQUIRE(prepare(&a, ENROL_AGAIN, ENROL_DEVICE, false));
    REQUIRE(enrol_identify(&a.policy, &a.request, &id, &refusal));
    REQUIRE(device_id_from_text(slice_text(uri + 18), &want));
    CHECK(device_id_equal(&id, &want));
    key_free(a.key);
}

TEST("first enrolment takes hardware identities only, renewal those of this site only")
{
    struct asking a;
    REQUIRE(prepare(&a, ENROL_FIRST, ENROL_HARDWARE, false));
    a.request.peer = ENROL_STRANGER;
    CHECK(refusal_of(&a) == ENROL_NO_CERTIFICATE);
    a.request.peer = ENROL_DEVICE;
    CHECK(refusal_of(&a) == ENROL_WRONG_OPERATION);
    a.request.peer = ENROL_HARDWARE;
    a.request.operation = ENROL_AGAIN;
    CHECK(refusal_of(&a) == ENROL_WRONG_OPERATION);
    a.request.peer = ENROL_DEVICE;
    a.policy.domain = slice_text("e");
    CHECK(refusal_of(&a) == ENROL_BAD_DEVICE_NAME);
    a.request.peer = ENROL_HARDWARE;
    a.request.operation = ENROL_FIRST;
    a.certificate.subject_serial_number = (struct slice){0};
    CHECK(refusal_of(&a) == ENROL_NO_SERIAL);
    key_free(a.key);
}

TEST("a link that is there must be this connection's; one that is missing is refused where it is "
     "required")
{
    struct asking a;
    REQUIRE(prepare(&a, ENROL_FIRST, ENROL_HARDWARE, true));
    a.policy.require_linking = true;
    CHECK(refusal_of(&a) == 0);
    for (size_t i = 0; i < sizeof a.request.exporter; i++) {
        a.request.exporter[i] ^= 0x80;
        CHECK(refusal_of(&a) == ENROL_WRONG_LINK);
        a.policy.require_linking = false;
        CHECK(refusal_of(&a) == ENROL_WRONG_LINK);
        a.policy.require_linking = true;
        a.request.exporter[i] ^= 0x80;
    }
    a.csr.challenge.len--;
    CHECK(refusal_of(&a) == ENROL_WRONG_LINK);
    key_free(a.key);
    REQUIRE(prepare(&a, ENROL_FIRST, ENROL_HARDWARE, false));
    CHECK(refusal_of(&a) == 0);
    a.policy.require_linking = true;
    CHECK(refusal_of(&a) == ENROL_UNLINKED);
    key_free(a.key);
}

TEST("a request proves its key, asks for no CA, and does not repeat the TLS key")
{
    struct asking a;
    REQUIRE(prepare(&a, ENROL_FIRST, ENROL_HARDWARE, false));
    a.csr.extensions.is_ca = true;
    CHECK(refusal_of(&a) == ENROL_ASKS_FOR_CA);
    a.csr.extensions.is_ca = false;
    a.csr.extensions.has_unknown_critical = true;
    CHECK(refusal_of(&a) == ENROL_UNKNOWN_CRITICAL);
    a.csr.extensions.has_unknown_critical = false;
    a.certificate.spki = a.csr.spki;
    CHECK(refusal_of(&a) == ENROL_TLS_KEY);
    a.der[a.csr.info.at - a.der + 12] ^= 1;
    CHECK(refusal_of(&a) == ENROL_BAD_SIGNATURE);
    a.csr.key_kind = X509_ED25519;
    CHECK(refusal_of(&a) == ENROL_WRONG_KEY);
    key_free(a.key);
}

TEST("a renewal keeps subject and names to the octet")
{
    struct asking a;
    REQUIRE(prepare(&a, ENROL_AGAIN, ENROL_DEVICE, false));
    CHECK(refusal_of(&a) == 0);
    a.certificate.extensions.names.len--;
    CHECK(refusal_of(&a) == ENROL_OTHER_NAMES);
    a.certificate.subject.len--;
    CHECK(refusal_of(&a) == ENROL_OTHER_SUBJECT);
    key_free(a.key);
}

TEST("what the registry knows decides: the table of facts")
{
    static const struct {
        enum enrol_peer peer;
        struct enrol_facts facts;
        struct enrol_decision want;
    } rows[] = {
        /* by hardware */
        {ENROL_HARDWARE, {.key = ENROL_KEY_FRESH}, {ENROL_ISSUE, 0, IDENTITY_ENROLLED, true}},
        {ENROL_HARDWARE,
         {true, IDENTITY_EXPECTED, false, ENROL_KEY_FRESH, false},
         {ENROL_ISSUE, 0, IDENTITY_ENROLLED, false}},
        {ENROL_HARDWARE,
         {true, IDENTITY_ENROLLED, false, ENROL_KEY_FRESH, false},
         {ENROL_ISSUE, 0, IDENTITY_ENROLLED, false}},
        {ENROL_HARDWARE,
         {true, IDENTITY_ACTIVE, false, ENROL_KEY_FRESH, false},
         {ENROL_ISSUE, 0, IDENTITY_REENROLLING, false}},
        {ENROL_HARDWARE,
         {true, IDENTITY_ENROLLED, false, ENROL_KEY_OWN, true},
         {ENROL_RETURN, 0, IDENTITY_ENROLLED, false}},
        {ENROL_HARDWARE,
         {true, IDENTITY_ENROLLED, false, ENROL_KEY_OWN, false},
         {ENROL_REFUSE, ENROL_KEY_USED, 0, false}},
        {ENROL_HARDWARE,
         {true, IDENTITY_ENROLLED, false, ENROL_KEY_OTHERS, true},
         {ENROL_REFUSE, ENROL_KEY_OF_ANOTHER, 0, false}},
        {ENROL_HARDWARE,
         {true, IDENTITY_REVOKED, false, ENROL_KEY_FRESH, false},
         {ENROL_REFUSE, ENROL_NOT_IN_THIS_STATE, 0, false}},
        {ENROL_HARDWARE,
         {true, IDENTITY_REVOKED, false, ENROL_KEY_OWN, true},
         {ENROL_REFUSE, ENROL_NOT_IN_THIS_STATE, 0, false}},
        {ENROL_HARDWARE,
         {true, IDENTITY_ENROLLED, false, ENROL_KEY_FRESH, false, ENROL_PER_HOUR_MAX - 1},
         {ENROL_ISSUE, 0, IDENTITY_ENROLLED, false}},
        {ENROL_HARDWARE,
         {true, IDENTITY_ENROLLED, false, ENROL_KEY_FRESH, false, ENROL_PER_HOUR_MAX},
         {ENROL_REFUSE, ENROL_TOO_OFTEN, 0, false}},
        {ENROL_HARDWARE, /* asking again for what it has costs nothing */
         {true, IDENTITY_ENROLLED, false, ENROL_KEY_OWN, true, ENROL_PER_HOUR_MAX},
         {ENROL_RETURN, 0, IDENTITY_ENROLLED, false}},
        /* by the certificate that is renewed */
        {ENROL_DEVICE,
         {true, IDENTITY_ACTIVE, true, ENROL_KEY_FRESH, false},
         {ENROL_ISSUE, 0, IDENTITY_ACTIVE, false}},
        {ENROL_DEVICE,
         {true, IDENTITY_ACTIVE, true, ENROL_KEY_OWN, true},
         {ENROL_RETURN, 0, IDENTITY_ACTIVE, false}},
        {ENROL_DEVICE,
         {true, IDENTITY_ACTIVE, false, ENROL_KEY_FRESH, false},
         {ENROL_REFUSE, ENROL_OLD_CERTIFICATE, 0, false}},
        {ENROL_DEVICE,
         {false, 0, true, ENROL_KEY_FRESH, false},
         {ENROL_REFUSE, ENROL_UNKNOWN_DEVICE, 0, false}},
        {ENROL_DEVICE,
         {true, IDENTITY_QUARANTINED, true, ENROL_KEY_FRESH, false},
         {ENROL_REFUSE, ENROL_NOT_IN_THIS_STATE, 0, false}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct enrol_request request = {.peer = rows[i].peer};
        struct enrol_decision got = {0};
        enrol_decide(&request, &rows[i].facts, &got);
        CHECK_U64(got.verdict, rows[i].want.verdict);
        CHECK_U64(got.refusal, rows[i].want.refusal);
        CHECK(got.verdict == ENROL_REFUSE || got.state == rows[i].want.state);
        CHECK(got.is_new_device == rows[i].want.is_new_device);
    }
    CHECK(promise_violations(PROMISE_KNOWN_TRANSITION) == 0
          && promise_evaluations(PROMISE_KNOWN_TRANSITION) > 0);
}

TEST("every refusal has a status, a code of its own and a text")
{
    for (int i = ENROL_NO_CERTIFICATE; i < (int)ENROL_REFUSAL_COUNT; i++) {
        const struct enrol_answer *answer = enrol_answer_of((enum enrol_refusal)i);
        CHECK(answer->status >= 400 && answer->status < 500 && strlen(answer->text) > 10);
        for (int j = ENROL_NO_CERTIFICATE; j < i; j++) {
            const struct enrol_answer *other = enrol_answer_of((enum enrol_refusal)j);
            CHECK(strcmp(answer->code, other->code) != 0 && strcmp(answer->name, other->name) != 0);
        }
    }
}

TEST("identities move along the table and nowhere else")
{
    test_breaks_invariants(); /* every move that the table does not have is asked for */
    static const char *const moves[] = {
        "expected enrolled",   "enrolled enrolled",         "enrolled active",    "active active",
        "active re-enrolling", "re-enrolling re-enrolling", "re-enrolling active"};
    uint64_t before = promise_violations(PROMISE_KNOWN_TRANSITION);
    uint64_t refused = 0;
    for (int from = IDENTITY_EXPECTED; from <= IDENTITY_DECOMMISSIONED; from++) {
        for (int to = IDENTITY_EXPECTED; to <= IDENTITY_DECOMMISSIONED; to++) {
            char text[64];
            struct writer w = writer_over(text, sizeof text);
            bool is_listed = false;
            write_text(&w, identity_state_name((enum identity_state)from));
            write_text(&w, " ");
            write_text(&w, identity_state_name((enum identity_state)to));
            for (size_t i = 0; i < COUNT_OF(moves); i++) {
                is_listed = is_listed || slice_is_text(writer_slice(&w), moves[i]);
            }
            bool may = identity_may_move((enum identity_state)from, (enum identity_state)to);
            CHECK(may == is_listed);
            refused += may ? 0 : 1;
        }
    }
    CHECK_U64(promise_violations(PROMISE_KNOWN_TRANSITION) - before, refused);
}
