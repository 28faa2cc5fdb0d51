#include "base/id.h"
#include "codec/cbor.h"
#include "codec/cose.h"
#include "test/test.h"

#include <string.h>

enum { BYTES_MAX = 512 };

struct bytes {
    uint8_t at[BYTES_MAX];
    size_t len;
};

static struct bytes unhex(const char *text)
{
    struct bytes out = {.len = strlen(text) / 2};
    bool ok = out.len <= sizeof out.at && bytes_from_hex(slice_text(text), out.at, out.len);
    CHECK(ok);
    return out;
}

static struct slice of(const struct bytes *b)
{
    return slice_of(b->at, b->len);
}

static enum cose_result decode(enum cose_kind kind,
                               const struct bytes *in,
                               struct cose_message *out)
{
    static const int64_t ours[] = {-70001};
    struct fault fault = {0};
    enum cose_result result = cose_decode(kind, of(in), ours, COUNT_OF(ours), out, &fault);
    CHECK((result == COSE_OK) == (fault.clause == NULL));
    return result;
}

/* RFC 9052 C.2.1 */
static const char single_ecdsa[] = "d28443a10126a10442313154546869732069732074686520636f6e74656e742"
                                   "e58408eb33e4ca31d1c465ab05aac34cc6b23"
                                   "d58fef5c083106c4d25a91aef0b0117e2af9a291aa32e14ab834dc56ed2a223"
                                   "444547e01f11d3b0916e5a4c345cacb36";
static const char single_ecdsa_to_sign[] =
    "846a5369676e61747572653143a101264054546869732069732074686520636f6e74656e742e";

static bool joined_is(const struct cose_input *input, const char *hex)
{
    struct bytes want = unhex(hex);
    uint8_t all[BYTES_MAX];
    struct writer w = writer_over(all, sizeof all);
    for (size_t i = 0; i < COSE_PARTS; i++) {
        write_slice(&w, input->parts[i]);
    }
    return slice_equal(writer_slice(&w), of(&want));
}

TEST("the COSE_Sign1 of RFC 9052 C.2.1 is read, and its Sig_structure is the one that was signed")
{
    struct bytes in = unhex(single_ecdsa);
    struct cose_message m;
    REQUIRE(decode(COSE_SIGN1, &in, &m) == COSE_OK);
    CHECK(m.has_alg && m.alg == COSE_ES256);
    CHECK(slice_is_text(m.payload, "This is the content."));
    CHECK_U64(m.tag.len, 64);
    struct slice kid;
    REQUIRE(cose_header_find(m.unprotected_header, COSE_KID, &kid));
    CHECK(slice_equal(kid, slice_text("\x42"
                                      "11")));
    CHECK(!cose_header_find(m.protected_header, COSE_KID, &kid));
    struct cose_input input;
    cose_to_be_authenticated(&input, COSE_SIGN1, m.protected_header, (struct slice){0}, m.payload);
    CHECK(joined_is(&input, single_ecdsa_to_sign));
}

TEST("the same bytes are no COSE_Mac0")
{
    struct bytes in = unhex(single_ecdsa);
    struct cose_message m;
    CHECK(decode(COSE_MAC0, &in, &m) == COSE_MALFORMED);
}

TEST("a MAC_structure holds context, protected header, external data and payload in this order")
{
    struct cose_input input;
    struct bytes header = unhex("a10105");
    cose_to_be_authenticated(&input, COSE_MAC0, of(&header), slice_text("topic"),
                             slice_text("payload"));
    CHECK(joined_is(&input, "84644d41433043a1010545746f706963477061796c6f6164"));
}

TEST("an encoded empty protected map reads as empty")
{
    struct bytes in = unhex("d18441a0a0417041ff");
    struct cose_message m;
    REQUIRE(decode(COSE_MAC0, &in, &m) == COSE_OK);
    CHECK(m.protected_header.len == 0 && !m.has_alg);
    struct cose_input input;
    cose_to_be_authenticated(&input, COSE_MAC0, m.protected_header, (struct slice){0}, m.payload);
    CHECK(joined_is(&input, "84644d4143304040"
                            "4170"));
}

static const struct {
    const char *hex;
    enum cose_result result;
} rows[] = {
    {"d18443a10105a0417041ff", COSE_OK},
    {"d18440a0417041ff", COSE_OK}, /* no protected header at all */
    {"d18443a10105a10441314170"
     "41ff",
     COSE_OK},                                                          /* kid outside */
    {"d18450a3010502813a000111703a0001117007a0417041ff", COSE_OK},      /* crit [-70001] */
    {"d18445a201050280a0417041ff", COSE_MALFORMED},                     /* crit of nothing */
    {"d1844fa30105023a000111703a0001117007a0417041ff", COSE_MALFORMED}, /* crit is no array */
    {"d1844aa301050281182a182a00a0417041ff", COSE_UNKNOWN_CRITICAL},    /* 42 is critical */
    {"d1844aa2010502813a00011170a0417041ff", COSE_UNKNOWN_CRITICAL},    /* -70001 is not there */
    {"d1844aa3010502816178617800a0417041ff", COSE_UNKNOWN_CRITICAL},    /* a text label */
    {"8443a10105a0417041ff", COSE_MALFORMED},                           /* no tag */
    {"d28443a10105a0417041ff", COSE_MALFORMED},                         /* Sign1's tag */
    {"d18343a10105a04170", COSE_MALFORMED},
    {"d18543a10105a0417041ff00", COSE_MALFORMED},
    {"d18443a10105a0f641ff", COSE_MALFORMED},     /* detached payload */
    {"d18443a10105a0417040", COSE_MALFORMED},     /* no MAC */
    {"d18443a10105a0417041ff00", COSE_MALFORMED}, /* a byte too many */
    {"d18443a10105404170"
     "41ff",
     COSE_MALFORMED},                                 /* unprotected is no map */
    {"d18440a10105417041ff", COSE_MALFORMED},         /* alg outside only */
    {"d18443a10105a10105417041ff", COSE_MALFORMED},   /* alg in both */
    {"d18443a10105a1028101417041ff", COSE_MALFORMED}, /* crit outside */
    {"d18445a201050105a0417041ff", COSE_MALFORMED},   /* alg twice */
    {"d18446a2010518010"
     "5a0417041ff",
     COSE_MALFORMED}, /* alg twice, spelt otherwise */
    {"d18443a10105a204413104413"
     "2417041ff",
     COSE_MALFORMED}, /* kid twice */
    {"d18446a201050441"
     "31a104413"
     "1417041ff",
     COSE_MALFORMED}, /* kid in both */
    {"d18446a201056161"
     "00a1616100417041ff",
     COSE_MALFORMED},                             /* a text label in both */
    {"d18441f6a0417041ff", COSE_MALFORMED},       /* protected is no map */
    {"d18444a1010500a0417041ff", COSE_MALFORMED}, /* bytes behind the protected map */
    {"d18443a1f505a0417041ff", COSE_MALFORMED},   /* a label that is neither int nor text */
    {"", COSE_MALFORMED},
};

TEST("headers that RFC 9052 forbids are refused, each for itself")
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bytes in = unhex(rows[i].hex);
        struct cose_message m;
        enum cose_result got = decode(COSE_MAC0, &in, &m);
        if (got != rows[i].result) {
            test_failed(__FILE__, __LINE__, "row %zu gives %d", i, (int)got);
        }
    }
}

TEST("what was written is read again, and a cut anywhere is refused")
{
    uint8_t out[128];
    struct writer w = writer_over(out, sizeof out);
    struct bytes header = unhex("a10105");
    uint8_t tag[32] = {1, 2, 3};
    cose_write(&w, COSE_MAC0, of(&header), slice_text("a payload"), slice_of(tag, sizeof tag));
    struct cose_message m;
    REQUIRE(cose_decode(COSE_MAC0, writer_slice(&w), NULL, 0, &m, NULL) == COSE_OK);
    CHECK(slice_equal(m.protected_header, of(&header)));
    CHECK(slice_is_text(m.payload, "a payload"));
    CHECK(slice_equal(m.tag, slice_of(tag, sizeof tag)));
    for (size_t len = 0; len < w.len; len++) {
        CHECK(cose_decode(COSE_MAC0, slice_of(out, len), NULL, 0, &m, NULL) == COSE_MALFORMED);
    }
}

TEST("a chain of one is a byte string, of more an array, and nothing else is a chain")
{
    struct slice certificates[] = {slice_text("leaf"), slice_text("issuer"), slice_text("root")};
    for (size_t count = 1; count <= COUNT_OF(certificates); count++) {
        uint8_t out[64];
        struct writer w = writer_over(out, sizeof out);
        struct slice chain[COSE_CHAIN_MAX];
        size_t got = 0;
        cose_chain_write(&w, certificates, count);
        CHECK(cose_chain_decode(writer_slice(&w), chain, &got));
        CHECK_U64(got, count);
        CHECK(slice_equal(chain[got - 1], certificates[count - 1]));
    }
    static const char *const bad[] = {"40",
                                      "80",
                                      "814161",
                                      "824061"
                                      "61",
                                      "8241614"
                                      "0",
                                      "8541614162416341644165",
                                      "a0",
                                      "01",
                                      "416100"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct bytes in = unhex(bad[i]);
        struct slice chain[COSE_CHAIN_MAX];
        size_t got = 0;
        CHECK(!cose_chain_decode(of(&in), chain, &got));
        CHECK_U64(got, 0);
    }
}
