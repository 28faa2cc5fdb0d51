#include "base/id.h"
#include "core/device/seal.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 16384, BYTES_MAX = 2048 };

/* tests/vectors/holdfast/messages.json: one member a line, bytes in hex. */
static struct slice vector(const char *name)
{
    static char file[FILE_MAX];
    char path[512];
    char key[64];
    (void)snprintf(path, sizeof path, "%s/tests/vectors/holdfast/messages.json", test_source_dir());
    FILE *in = fopen(path, "rb");
    size_t len = in == NULL ? 0 : fread(file, 1, sizeof file - 1, in);
    if (in != NULL) {
        (void)fclose(in);
    }
    file[len] = '\0';
    (void)snprintf(key, sizeof key, "\n \"%s\": \"", name);
    const char *at = strstr(file, key);
    CHECK(at != NULL);
    at = at == NULL ? "" : at + strlen(key);
    return slice_of(at, strcspn(at, "\""));
}

struct bytes {
    uint8_t at[BYTES_MAX];
    size_t len;
};

static struct bytes vector_bytes(const char *name)
{
    struct slice hex = vector(name);
    struct bytes out = {.len = hex.len / 2};
    CHECK(out.len <= sizeof out.at && bytes_from_hex(hex, out.at, out.len));
    return out;
}

static struct slice of(const struct bytes *b)
{
    return slice_of(b->at, b->len);
}

/* The ephemeral key of the vectors. */
static const char ephemeral_pem[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIH19xfcesp3a+A1iFGMu6uA9kFivH7bSLtgLrbYrwaU0oAoGCCqGSM49\n"
    "AwEHoUQDQgAE6tIYWQEZ6IdrKRRv+JymF3DE7bv5fTjOOF7SgdimsjAor2EoH9Ne\n"
    "L6cAJSOsyFpCnLBu5mSDJTifWe384UBRQQ==\n"
    "-----END EC PRIVATE KEY-----\n";

TEST("telemetry is sealed byte for byte as the vectors have it, from the keys on")
{
    struct key_private *ephemeral;
    struct key_public ingest;
    struct device_id device;
    struct mac_key key;
    struct bytes point = vector_bytes("ingest_point");
    struct bytes pack = vector_bytes("senml_pack");
    struct bytes want = vector_bytes("telemetry");
    uint8_t topic_bytes[MESSAGE_TOPIC_MAX];
    uint8_t out[BYTES_MAX];
    uint8_t key_id[MESSAGE_KEY_ID_LEN];
    REQUIRE(key_from_pem(slice_text(ephemeral_pem), &ephemeral) == KEY_OK);
    REQUIRE(key_public_from_bytes(KEY_P256, of(&point), &ingest) == KEY_OK);
    REQUIRE(device_id_from_text(vector("device"), &device));
    REQUIRE(seal_mac_key(ephemeral, &ingest, &device, 7, &key) == KEY_OK);
    struct writer tw = writer_over(topic_bytes, sizeof topic_bytes);
    message_topic_write(&tw, &(struct message_topic){.kind = TOPIC_TELEMETRY,
                                                     .device = device,
                                                     .stream = slice_text("process")});
    CHECK(slice_equal(writer_slice(&tw), vector("telemetry_topic")));
    struct writer w = writer_over(out, sizeof out);
    seal_telemetry(&w, &key, writer_slice(&tw), 7, 4099, of(&pack));
    CHECK(slice_equal(writer_slice(&w), of(&want)));
    CHECK(w.len <= pack.len + SEAL_TELEMETRY_OVERHEAD);
    seal_ingest_key_id(&ingest, key_id);
    want = vector_bytes("ingest_key_id");
    CHECK(slice_equal(slice_of(key_id, sizeof key_id), of(&want)));
    key_free(ephemeral);
}

TEST("a hello of ours verifies with the certificate's key over the topic, and over no other")
{
    struct key_private *key;
    struct bytes leaf = vector_bytes("ldevid_certificate");
    uint8_t out[SEAL_HELLO_MAX];
    struct hello hello;
    struct hello_claims claims = {
        .boot = 3, .first = 9, .version = MESSAGE_VERSION, .agent = slice_text("a test")};
    REQUIRE(key_make(KEY_P256, &key) == KEY_OK);
    struct key_public public_key = key_public_of(key);
    struct writer w = writer_over(out, sizeof out);
    REQUIRE(seal_hello(&w, key, of(&leaf), slice_text("a topic"), &claims) == KEY_OK);
    REQUIRE(hello_decode(writer_slice(&w), &hello, NULL) == MESSAGE_OK);
    static const struct {
        const char *topic;
        enum key_result result;
    } rows[] = {{"a topic", KEY_OK}, {"b topic", KEY_REFUSED}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cose_input input;
        cose_to_be_authenticated(&input, COSE_SIGN1, hello.cose.protected_header,
                                 slice_text(rows[i].topic), hello.cose.payload);
        CHECK(key_verify_once(&public_key, input.parts, COSE_PARTS, hello.cose.tag)
              == rows[i].result);
    }
    key_free(key);
}

TEST("the vectors' hello and trust list verify with the key in them")
{
    struct bytes point = vector_bytes("ldevid_point");
    struct key_public key;
    REQUIRE(key_public_from_bytes(KEY_P256, of(&point), &key) == KEY_OK);
    static const char *const names[][2] = {{"hello", "hello_to_sign"},
                                           {"trust_list", "trust_to_sign"}};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct bytes message = vector_bytes(names[i][0]);
        struct bytes to_sign = vector_bytes(names[i][1]);
        struct cose_message cose;
        struct slice part = of(&to_sign);
        REQUIRE(cose_decode(COSE_SIGN1, of(&message), NULL, 0, &cose, NULL) == COSE_OK);
        CHECK(key_verify_once(&key, &part, 1, cose.tag) == KEY_OK);
    }
}

TEST("a hello is not made of a certificate that is too long, a key that cannot sign, or no room")
{
    static uint8_t certificate[4096];
    struct key_private *key;
    struct mac_key mac;
    struct device_id id = {{0}};
    uint8_t out[SEAL_HELLO_MAX];
    struct hello_claims claims = {
        .boot = 1, .first = 1, .version = MESSAGE_VERSION, .agent = slice_text("a test")};
    REQUIRE(key_make(KEY_ED25519, &key) == KEY_OK);
    struct key_public other = key_public_of(key);
    struct writer w = writer_over(out, sizeof out);
    CHECK(seal_hello(&w, key, slice_of(certificate, sizeof certificate), slice_text("t"), &claims)
          == KEY_MALFORMED);
    CHECK(w.len == 0);
    CHECK(seal_mac_key(key, &other, &id, 1, &mac) != KEY_OK); /* it signs and agrees on nothing */
    key_free(key);
}
