#include "base/id.h"
#include "codec/cbor.h"
#include "codec/message.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 16384, BYTES_MAX = 2048 };

/* tests/vectors/holdfast/messages.json: one member a line, bytes in hex. */
static struct slice vector_text(const char *name)
{
    static char file[FILE_MAX];
    static size_t len;
    if (len == 0) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/tests/vectors/holdfast/messages.json",
                       test_source_dir());
        FILE *in = fopen(path, "rb");
        len = in == NULL ? 0 : fread(file, 1, sizeof file - 1, in);
        if (in != NULL) {
            (void)fclose(in);
        }
        file[len] = 0;
    }
    char key[64];
    (void)snprintf(key, sizeof key, "\n \"%s\": \"", name);
    const char *at = strstr(file, key);
    CHECK(at != NULL);
    if (at == NULL) {
        return (struct slice){0};
    }
    at += strlen(key);
    const char *end = strchr(at, '"');
    return slice_of(at, (size_t)(end - at));
}

struct bytes {
    uint8_t at[BYTES_MAX];
    size_t len;
};

static struct bytes vector_bytes(const char *name)
{
    struct slice hex = vector_text(name);
    struct bytes out = {.len = hex.len / 2};
    bool ok = out.len <= sizeof out.at && bytes_from_hex(hex, out.at, out.len);
    CHECK(ok);
    return out;
}

static struct slice of(const struct bytes *b)
{
    return slice_of(b->at, b->len);
}

static bool joined_is(const struct cose_input *input, const char *name)
{
    struct bytes want = vector_bytes(name);
    uint8_t all[BYTES_MAX];
    struct writer w = writer_over(all, sizeof all);
    for (size_t i = 0; i < COSE_PARTS; i++) {
        write_slice(&w, input->parts[i]);
    }
    return slice_equal(writer_slice(&w), of(&want));
}

static struct hello_claims vector_claims(void)
{
    struct bytes point = vector_bytes("ephemeral_point");
    struct bytes exporter = vector_bytes("exporter_digest");
    struct bytes key_id = vector_bytes("ingest_key_id");
    struct hello_claims claims = {.boot = 7,
                                  .first = 4097,
                                  .version = MESSAGE_VERSION,
                                  .agent = slice_text("holdfast-agent 0.1.0"),
                                  .has_oldest_unsent = true,
                                  .oldest_unsent = 4098};
    memcpy(claims.ephemeral, point.at, sizeof claims.ephemeral);
    memcpy(claims.exporter_digest, exporter.at, sizeof claims.exporter_digest);
    memcpy(claims.ingest_key_id, key_id.at, sizeof claims.ingest_key_id);
    return claims;
}

TEST("a hello made elsewhere from the CDDL is read, and what was signed is found again")
{
    struct bytes in = vector_bytes("hello");
    struct hello hello;
    struct fault fault = {0};
    enum message_result result = hello_decode(of(&in), &hello, &fault);
    if (result != MESSAGE_OK) {
        test_failed(__FILE__, __LINE__, "%s at %zu", fault.clause, fault.at);
        return;
    }
    struct hello_claims want = vector_claims();
    CHECK(hello.claims.boot == want.boot && hello.claims.first == want.first);
    CHECK(memcmp(hello.claims.ephemeral, want.ephemeral, sizeof want.ephemeral) == 0);
    CHECK(memcmp(hello.claims.exporter_digest, want.exporter_digest, sizeof want.exporter_digest)
          == 0);
    CHECK(memcmp(hello.claims.ingest_key_id, want.ingest_key_id, sizeof want.ingest_key_id) == 0);
    CHECK(slice_equal(hello.claims.agent, want.agent));
    CHECK(hello.claims.has_oldest_unsent && hello.claims.oldest_unsent == 4098);
    struct bytes leaf = vector_bytes("ldevid_certificate");
    CHECK_U64(hello.chain_count, 1);
    CHECK(slice_equal(hello.chain[0], of(&leaf)));
    struct cose_input input;
    cose_to_be_authenticated(&input, COSE_SIGN1, hello.cose.protected_header,
                             vector_text("hello_topic"), hello.cose.payload);
    CHECK(joined_is(&input, "hello_to_sign"));
}

TEST("our hello is byte for byte the one made elsewhere")
{
    struct hello_claims claims = vector_claims();
    uint8_t out[BYTES_MAX];
    struct writer w = writer_over(out, sizeof out);
    hello_claims_write(&w, &claims);
    struct bytes want = vector_bytes("hello_claims");
    CHECK(slice_equal(writer_slice(&w), of(&want)));
    struct bytes leaf = vector_bytes("ldevid_certificate");
    struct slice chain[] = {of(&leaf)};
    w = writer_over(out, sizeof out);
    hello_protected_write(&w, chain, 1);
    want = vector_bytes("hello_protected");
    CHECK(slice_equal(writer_slice(&w), of(&want)));
}

TEST("telemetry made elsewhere is read, and what was MAC'd is found again")
{
    struct bytes in = vector_bytes("telemetry");
    struct telemetry telemetry;
    REQUIRE(telemetry_decode(of(&in), &telemetry, NULL) == MESSAGE_OK);
    CHECK_U64(telemetry.boot, 7);
    CHECK_U64(telemetry.seq, 4099);
    struct bytes pack = vector_bytes("senml_pack");
    CHECK(slice_equal(telemetry.cose.payload, of(&pack)));
    struct cose_input input;
    cose_to_be_authenticated(&input, COSE_MAC0, telemetry.cose.protected_header,
                             vector_text("telemetry_topic"), telemetry.cose.payload);
    CHECK(joined_is(&input, "telemetry_to_mac"));
    uint8_t out[64];
    struct writer w = writer_over(out, sizeof out);
    telemetry_protected_write(&w, 7, 4099);
    struct bytes want = vector_bytes("telemetry_protected");
    CHECK(slice_equal(writer_slice(&w), of(&want)));
}

TEST("a message cut anywhere is refused")
{
    struct bytes hello = vector_bytes("hello");
    struct bytes telemetry = vector_bytes("telemetry");
    struct hello h;
    struct telemetry t;
    for (size_t len = 0; len < hello.len; len++) {
        CHECK(hello_decode(slice_of(hello.at, len), &h, NULL) == MESSAGE_MALFORMED);
    }
    for (size_t len = 0; len < telemetry.len; len++) {
        CHECK(telemetry_decode(slice_of(telemetry.at, len), &t, NULL) == MESSAGE_MALFORMED);
    }
}

/* A COSE message around these headers and this payload, with a tag of the given length. */
static struct bytes wrapped(enum cose_kind kind,
                            const char *header,
                            const char *payload,
                            size_t tag)
{
    static const uint8_t zeroes[COSE_TAG_MAX];
    uint8_t header_bytes[256];
    uint8_t payload_bytes[512];
    bool ok = bytes_from_hex(slice_text(header), header_bytes, strlen(header) / 2)
              && bytes_from_hex(slice_text(payload), payload_bytes, strlen(payload) / 2);
    CHECK(ok);
    struct bytes out = {0};
    struct writer w = writer_over(out.at, sizeof out.at);
    cose_write(&w, kind, slice_of(header_bytes, strlen(header) / 2),
               slice_of(payload_bytes, strlen(payload) / 2), slice_of(zeroes, tag));
    out.len = w.len;
    return out;
}

TEST("telemetry without boot or seq, with a label too many or another algorithm is refused")
{
    static const struct {
        const char *header;
        size_t tag;
        enum message_result result;
    } rows[] = {
        {"a301053a00011170073a0001117101", 32, MESSAGE_OK},
        {"a301053a00011170073a0001117101", 16, MESSAGE_MALFORMED},   /* truncated MAC */
        {"a301043a00011170073a0001117101", 32, MESSAGE_UNSUPPORTED}, /* HMAC 256/64 */
        {"a23a00011170073a0001117101", 32, MESSAGE_UNSUPPORTED},     /* no alg */
        {"a201053a0001117007", 32, MESSAGE_MALFORMED},               /* no seq */
        {"a201053a0001117101", 32, MESSAGE_MALFORMED},               /* no boot */
        {"a301053a00011170003a0001117101", 32, MESSAGE_MALFORMED},   /* boot 0 */
        {"a301053a00011170073a0001117100", 32, MESSAGE_MALFORMED},   /* seq 0 */
        {"a301053a000111701b00000001000000003a0001117101", 32,
         MESSAGE_MALFORMED},                                                 /* boot of 33 bits */
        {"a301053a0001117018073a0001117101", 32, MESSAGE_MALFORMED},         /* not shortest */
        {"a301053a00011171013a0001117007", 32, MESSAGE_MALFORMED},           /* out of order */
        {"a4010504003a00011170073a0001117101", 32, MESSAGE_MALFORMED},       /* kid */
        {"a401053a00011170073a00011171013a0001117241ff", 32, MESSAGE_OK},    /* a newer agent's */
        {"a4010539ffff41ff3a00011170073a0001117101", 32, MESSAGE_MALFORMED}, /* not private */
        {"a50105"
         "02813a00011172"
         "3a00011170073a00011171013a0001117241ff",
         32, MESSAGE_UNSUPPORTED}, /* and one that has to be known */
        {"a4010502813a00011170"
         "3a00011170073a0001117101",
         32, MESSAGE_OK}, /* crit [boot], which is known */
        {"a4010502811829"
         "3a00011170073a0001117101",
         32, MESSAGE_UNSUPPORTED}, /* crit [41] */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bytes in = wrapped(COSE_MAC0, rows[i].header, "80", rows[i].tag);
        struct telemetry t;
        enum message_result got = telemetry_decode(of(&in), &t, NULL);
        if (got != rows[i].result) {
            test_failed(__FILE__, __LINE__, "row %zu gives %d", i, (int)got);
        }
    }
}

TEST("a hello with a claim missing, unknown, zero or of another length is refused")
{
    struct bytes leaf = vector_bytes("ldevid_certificate");
    struct slice chain[] = {of(&leaf)};
    uint8_t header[BYTES_MAX];
    struct writer hw = writer_over(header, sizeof header);
    hello_protected_write(&hw, chain, 1);
    uint8_t tag[64] = {1};
    for (int fault = 0; fault < 7; fault++) {
        struct hello_claims claims = vector_claims();
        uint8_t payload[512];
        uint8_t out[BYTES_MAX];
        claims.boot = fault == 1 ? 0 : claims.boot;
        claims.first = fault == 2 ? 0 : claims.first;
        claims.version = fault == 3 ? 2 : claims.version;
        claims.agent = fault == 4 ? slice_text("") : claims.agent;
        struct writer pw = writer_over(payload, sizeof payload);
        hello_claims_write(&pw, &claims);
        if (fault == 5) {
            payload[1] = 9; /* the label of boot: now out of order and unknown */
        }
        if (fault == 6) {
            payload[pw.len - 4] = 9; /* the label of the last claim */
        }
        struct writer w = writer_over(out, sizeof out);
        cose_write(&w, COSE_SIGN1, writer_slice(&hw), writer_slice(&pw), slice_of(tag, sizeof tag));
        struct hello hello;
        enum message_result got = hello_decode(writer_slice(&w), &hello, NULL);
        enum message_result want = fault == 0   ? MESSAGE_OK
                                   : fault == 3 ? MESSAGE_UNSUPPORTED
                                                : MESSAGE_MALFORMED;
        if (got != want) {
            test_failed(__FILE__, __LINE__, "fault %d gives %d", fault, (int)got);
        }
    }
}

/* A hello of vector_claims with this behind its claims, `added` pairs of it. */
static enum message_result hello_with(const char *more, uint8_t added, struct hello *hello)
{
    static uint8_t out[BYTES_MAX];
    struct bytes leaf = vector_bytes("ldevid_certificate");
    struct slice chain[] = {of(&leaf)};
    struct hello_claims claims = vector_claims();
    uint8_t header[BYTES_MAX], payload[512], bytes[64];
    uint8_t tag[64] = {1};
    size_t len = strlen(more) / 2;
    struct writer hw = writer_over(header, sizeof header);
    struct writer pw = writer_over(payload, sizeof payload);
    struct writer w = writer_over(out, sizeof out);
    CHECK(bytes_from_hex(slice_text(more), bytes, len));
    hello_protected_write(&hw, chain, 1);
    hello_claims_write(&pw, &claims);
    payload[0] = (uint8_t)(payload[0] + added);
    write_bytes(&pw, bytes, len);
    cose_write(&w, COSE_SIGN1, writer_slice(&hw), writer_slice(&pw), slice_of(tag, sizeof tag));
    return hello_decode(writer_slice(&w), hello, NULL);
}

TEST("claims that a newer agent adds below zero are passed over, any others are refused")
{
    struct hello hello;
    REQUIRE(hello_with("", 0, &hello) == MESSAGE_OK);
    CHECK(!hello.has_additions);
    REQUIRE(hello_with("2041aa" /* -1: h'aa' */ "21a1018102" /* -2: {1: [2]} */, 2, &hello)
            == MESSAGE_OK);
    CHECK(hello.has_additions && hello.claims.boot == vector_claims().boot);
    CHECK(hello.claims.has_oldest_unsent);
    CHECK(hello_with("0941aa", 1, &hello) == MESSAGE_MALFORMED);     /* 9: it may not be */
    CHECK(hello_with("2041aa", 2, &hello) == MESSAGE_MALFORMED);     /* one pair is missing */
    CHECK(hello_with("21002000", 2, &hello) == MESSAGE_MALFORMED);   /* out of order */
    CHECK(hello_with("20002000", 2, &hello) == MESSAGE_MALFORMED);   /* twice */
    CHECK(hello_with("205f41aaff", 1, &hello) == MESSAGE_MALFORMED); /* not deterministic */
    CHECK(hello_with("201801", 1, &hello) == MESSAGE_MALFORMED);     /* not shortest */
    CHECK(hello_with("6161f5", 1, &hello) == MESSAGE_MALFORMED);     /* a label in words */
}

#define D "hf1:00112233445566778899aabbccddeeff"

TEST("the three topics of a device are told apart, and everything else is none of them")
{
    static const struct {
        const char *text;
        int kind;
    } rows[] = {
        {"hf/1/" D "/hello", TOPIC_HELLO},
        {"hf/1/" D "/t/process", TOPIC_TELEMETRY},
        {"hf/1/" D "/j/line-1.a_b", TOPIC_JSON},
        {"hf/1/" D "/t/", 0},
        {"hf/1/" D "/t", 0},
        {"hf/1/" D "/t/a/b", 0},
        {"hf/1/" D "/t/.hidden", 0},
        {"hf/1/" D "/t/a b", 0},
        {"hf/1/" D "/t/+", 0},
        {"hf/1/" D "/t/0123456789012345678901234567890123456789012345678901234567890123",
         TOPIC_TELEMETRY},
        {"hf/1/" D "/t/01234567890123456789012345678901234567890123456789012345678901234", 0},
        {"hf/1/" D "/hello/", 0},
        {"hf/1/" D "/c", 0},
        {"hf/2/" D "/hello", 0},
        {"/hf/1/" D "/hello", 0},
        {"hf/1/hf1:00112233445566778899AABBCCDDEEFF/hello", 0},
        {"hf/1/hello", 0},
        {"", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message_topic topic = {0};
        bool got = message_topic_decode(slice_text(rows[i].text), &topic);
        if (got != (rows[i].kind != 0) || (int)topic.kind != rows[i].kind) {
            test_failed(__FILE__, __LINE__, "%s", rows[i].text);
        }
        if (got) {
            uint8_t out[MESSAGE_TOPIC_MAX];
            struct writer w = writer_over(out, sizeof out);
            message_topic_write(&w, &topic);
            CHECK(slice_is_text(writer_slice(&w), rows[i].text));
        }
    }
}
