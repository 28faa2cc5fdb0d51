#include "base/time.h"
#include "crypto/key.h"
#include "test/shell.h"
#include "test/test.h"
#include "trust/chain.h"
#include "trust/identity.h"

#include <stdio.h>
#include <string.h>

enum { NODES_MAX = 8, DER_CAP = 2048 };

/* A small authority of our own making: node i is issued by another node. */
struct node {
    struct key_private *key;
    struct key_public public;
    uint8_t name[128];
    size_t name_len;
    uint8_t der[DER_CAP];
    struct x509 cert;
};

static struct node nodes[NODES_MAX];
static size_t node_count;
static const int64_t day_ms = 86400000;
static const int64_t now_ms = INT64_C(1795000000000);

static void forget_nodes(void)
{
    for (size_t i = 0; i < node_count; i++) {
        key_free(nodes[i].key);
        nodes[i] = (struct node){0};
    }
    node_count = 0;
}

/* Fills in what most specs share; a test changes what it is about. */
static struct x509_spec spec_for(bool is_ca)
{
    static const uint8_t serial[16] = {0x41, 2, 3};
    return (struct x509_spec){
        .serial = {serial, sizeof serial},
        .not_before_ms = now_ms - day_ms,
        .not_after_ms = now_ms + day_ms,
        .is_ca = is_ca,
        .key_usage = is_ca ? X509_KEY_CERT_SIGN | X509_CRL_SIGN : X509_DIGITAL_SIGNATURE,
        .ext_key_usage = is_ca ? 0 : X509_EKU_CLIENT_AUTH,
    };
}

static bool sign_node(struct node *n, const struct node *issuer, struct x509_spec *spec)
{
    uint8_t tbs_bytes[DER_CAP];
    uint8_t raw[SIGNATURE_LEN];
    uint8_t der_bytes[SIGNATURE_DER_MAX];
    struct writer tbs = writer_over(tbs_bytes, sizeof tbs_bytes);
    struct writer der = writer_over(der_bytes, sizeof der_bytes);
    struct writer w = writer_over(n->der, sizeof n->der);
    if (x509_tbs_write(&tbs, spec) != X509_OK) {
        return false;
    }
    struct slice signed_bytes = writer_slice(&tbs);
    if (key_sign(issuer->key, &signed_bytes, 1, raw) != KEY_OK) {
        return false;
    }
    struct slice signature = slice_of(raw, sizeof raw);
    if (issuer->public.kind == KEY_P256) {
        if (key_signature_to_der(raw, &der) != KEY_OK) {
            return false;
        }
        signature = writer_slice(&der);
    }
    return x509_write(&w, signed_bytes, spec->sign_with, signature) == X509_OK
           && x509_parse(writer_slice(&w), &n->cert, NULL) == X509_OK;
}

/* Adds a node that `issuer` (NULL: itself) signs. */
static struct node *add(const char *name,
                        struct node *issuer,
                        enum key_kind kind,
                        struct x509_spec spec)
{
    struct node *n = &nodes[node_count++];
    struct node *signer = issuer != NULL ? issuer : n;
    uint8_t own_id[X509_KEY_ID_LEN];
    uint8_t issuer_id[X509_KEY_ID_LEN];
    struct writer w = writer_over(n->name, sizeof n->name);
    x509_subject_write(&w, &(struct x509_subject){.common_name = slice_text(name)});
    n->name_len = w.len;
    if (key_make(kind, &n->key) != KEY_OK) {
        test_failed(__FILE__, __LINE__, "no key for %s", name);
        return n;
    }
    n->public = key_public_of(n->key);
    identity_key_id(slice_of(n->public.bytes, n->public.len), own_id);
    identity_key_id(slice_of(signer->public.bytes, signer->public.len), issuer_id);
    spec.subject = slice_of(n->name, n->name_len);
    spec.issuer = slice_of(signer->name, signer->name_len);
    spec.key_kind = (enum x509_key_kind)kind;
    spec.public_key = slice_of(n->public.bytes, n->public.len);
    spec.sign_with = (enum x509_key_kind)signer->public.kind;
    spec.subject_key_id = slice_of(own_id, sizeof own_id);
    spec.authority_key_id = slice_of(issuer_id, sizeof issuer_id);
    if (!sign_node(n, signer, &spec)) {
        test_failed(__FILE__, __LINE__, "no certificate for %s", name);
    }
    return n;
}

static struct chain_policy client_policy(void)
{
    return (struct chain_policy){
        .at_ms = now_ms, .purposes = X509_EKU_CLIENT_AUTH, .key_usage = X509_DIGITAL_SIGNATURE};
}

static enum chain_result verify(const struct node *const *path,
                                size_t count,
                                const struct node *anchor,
                                const struct chain_policy *policy,
                                struct fault *fault)
{
    struct x509 certs[NODES_MAX];
    for (size_t i = 0; i < count; i++) {
        certs[i] = path[i]->cert;
    }
    struct chain_anchors anchors = {.list = &anchor->cert, .count = 1};
    return chain_verify(certs, count, &anchors, policy, fault);
}

#define PATH(...)                                                                                  \
    (const struct node *const[]){__VA_ARGS__}, COUNT_OF(((const struct node *const[]){__VA_ARGS__}))

TEST("a leaf is accepted under its issuer, under the root through its issuer, and under nothing "
     "else")
{
    struct node *root = add("root", NULL, KEY_ED25519, spec_for(true));
    struct node *issuer = add("issuer", root, KEY_P256, spec_for(true));
    struct node *leaf = add("leaf", issuer, KEY_P256, spec_for(false));
    struct node *other = add("root", NULL, KEY_P256, spec_for(true));
    struct chain_policy policy = client_policy();
    struct fault fault = {0};
    CHECK(verify(PATH(leaf), issuer, &policy, &fault) == CHAIN_OK);
    CHECK(verify(PATH(leaf, issuer), root, &policy, &fault) == CHAIN_OK);
    CHECK(verify(PATH(leaf, root, other, issuer), root, &policy, &fault) == CHAIN_OK);
    CHECK(verify(PATH(leaf), root, &policy, &fault) == CHAIN_NO_ANCHOR);
    CHECK(verify(PATH(leaf, issuer), other, &policy, &fault) == CHAIN_NO_ANCHOR);
    CHECK(fault.at == 1);
    CHECK(verify(PATH(leaf, issuer), leaf, &policy, &fault) == CHAIN_NO_ANCHOR);
    forget_nodes();
}

TEST("any bit changed in what was signed, or in the signature, refuses the leaf")
{
    struct node *issuer = add("issuer", NULL, KEY_P256, spec_for(true));
    struct node *leaf = add("leaf", issuer, KEY_P256, spec_for(false));
    struct chain_policy policy = client_policy();
    size_t len = leaf->cert.der.len;
    struct x509 good = leaf->cert;
    for (size_t at = 0; at < len; at++) {
        struct x509 changed;
        leaf->der[at] ^= 0x01;
        if (x509_parse(slice_of(leaf->der, len), &changed, NULL) == X509_OK) {
            leaf->cert = changed;
            CHECK(verify(PATH(leaf), issuer, &policy, NULL) != CHAIN_OK);
        }
        leaf->der[at] ^= 0x01;
    }
    leaf->cert = good;
    CHECK(verify(PATH(leaf), issuer, &policy, NULL) == CHAIN_OK);
    forget_nodes();
}

TEST("a certificate is valid from its first second to the end of its last, by the time that is "
     "given")
{
    struct node *issuer = add("issuer", NULL, KEY_P256, spec_for(true));
    struct x509_spec spec = spec_for(false);
    spec.not_before_ms = now_ms - 5000;
    spec.not_after_ms = now_ms + 5000;
    struct node *leaf = add("leaf", issuer, KEY_P256, spec);
    static const struct {
        int64_t offset_ms;
        enum chain_result result;
    } rows[] = {{-5001, CHAIN_NOT_YET_VALID},
                {-5000, CHAIN_OK},
                {0, CHAIN_OK},
                {5999, CHAIN_OK},
                {6000, CHAIN_EXPIRED}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct chain_policy policy = client_policy();
        policy.at_ms += rows[i].offset_ms;
        CHECK(verify(PATH(leaf), issuer, &policy, NULL) == rows[i].result);
        policy.no_time = true;
        CHECK(verify(PATH(leaf), issuer, &policy, NULL) == CHAIN_OK);
    }
    /* The issuer's own time counts as much. */
    struct chain_policy late = client_policy();
    late.at_ms = now_ms + 2 * day_ms;
    spec.not_after_ms = now_ms + 9 * day_ms;
    struct node *outliving = add("leaf 2", issuer, KEY_P256, spec);
    CHECK(verify(PATH(outliving), issuer, &late, NULL) == CHAIN_EXPIRED);
    forget_nodes();
}

TEST("years 1970, 2038, 2050 and 9999 are compared as times")
{
    static const char *const times[][2] = {
        {"1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"},
        {"2038-01-19T03:14:07Z", "2038-01-20T00:00:00Z"},
        {"2049-12-31T23:59:59Z", "2050-01-01T00:00:00Z"},
        {"2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z"},
    };
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct x509_spec spec = spec_for(true);
        REQUIRE(time_from_text(slice_text(times[i][0]), &spec.not_before_ms));
        REQUIRE(time_from_text(slice_text(times[i][1]), &spec.not_after_ms));
        struct node *issuer = add("issuer", NULL, KEY_P256, spec);
        struct x509_spec leaf_spec = spec_for(false);
        leaf_spec.not_before_ms = spec.not_before_ms;
        leaf_spec.not_after_ms = spec.not_after_ms;
        struct node *leaf = add("leaf", issuer, KEY_P256, leaf_spec);
        CHECK(leaf->cert.not_after_ms == spec.not_after_ms
              && leaf->cert.not_before_ms == spec.not_before_ms);
        struct chain_policy policy = client_policy();
        policy.at_ms = spec.not_after_ms;
        CHECK(verify(PATH(leaf), issuer, &policy, NULL) == CHAIN_OK);
        policy.at_ms = spec.not_before_ms - 1;
        CHECK(verify(PATH(leaf), issuer, &policy, NULL) == CHAIN_NOT_YET_VALID);
        forget_nodes();
    }
}

TEST("only CA certificates issue, within their path length, and never stand as a leaf")
{
    struct x509_spec limited = spec_for(true);
    limited.has_path_len = true;
    struct node *root = add("root", NULL, KEY_P256, spec_for(true));
    struct node *zero = add("zero", root, KEY_P256, limited);
    struct node *below = add("below", zero, KEY_P256, spec_for(true));
    struct node *leaf = add("leaf", below, KEY_P256, spec_for(false));
    struct node *forged = add("forged", leaf, KEY_P256, spec_for(false));
    struct x509_spec no_sign = spec_for(true);
    no_sign.key_usage = X509_CRL_SIGN;
    struct node *mute = add("mute", root, KEY_P256, no_sign);
    struct node *child = add("child", mute, KEY_P256, spec_for(false));
    struct chain_policy policy = client_policy();
    struct fault fault = {0};
    CHECK(verify(PATH(leaf, below, zero), root, &policy, &fault) == CHAIN_TOO_LONG);
    CHECK(fault.at == 2);
    CHECK(verify(PATH(leaf, below), zero, &policy, &fault) == CHAIN_TOO_LONG);
    CHECK(verify(PATH(leaf), below, &policy, &fault) == CHAIN_OK);
    CHECK(verify(PATH(forged, leaf, below), below, &policy, &fault) == CHAIN_NOT_A_CA);
    CHECK(verify(PATH(child, mute), root, &policy, &fault) == CHAIN_NOT_A_CA);
    CHECK(verify(PATH(zero), root, &policy, &fault) == CHAIN_WRONG_PURPOSE);
    forget_nodes();
}

TEST("a leaf serves only the purposes it was issued for")
{
    struct node *issuer = add("issuer", NULL, KEY_P256, spec_for(true));
    struct x509_spec server = spec_for(false);
    server.ext_key_usage = X509_EKU_SERVER_AUTH;
    struct x509_spec open = spec_for(false);
    open.ext_key_usage = 0;
    struct x509_spec agreement = spec_for(false);
    agreement.key_usage = X509_KEY_AGREEMENT;
    struct node *for_servers = add("server", issuer, KEY_P256, server);
    struct node *for_any = add("open", issuer, KEY_P256, open);
    struct node *no_signature = add("agreement", issuer, KEY_P256, agreement);
    struct chain_policy policy = client_policy();
    CHECK(verify(PATH(for_servers), issuer, &policy, NULL) == CHAIN_WRONG_PURPOSE);
    CHECK(verify(PATH(for_any), issuer, &policy, NULL) == CHAIN_WRONG_PURPOSE);
    CHECK(verify(PATH(no_signature), issuer, &policy, NULL) == CHAIN_WRONG_PURPOSE);
    policy.purpose_optional = true; /* IDevIDs: no extKeyUsage is normal */
    CHECK(verify(PATH(for_any), issuer, &policy, NULL) == CHAIN_OK);
    CHECK(verify(PATH(for_servers), issuer, &policy, NULL) == CHAIN_WRONG_PURPOSE);
    forget_nodes();
}

TEST("a critical extension that is not known is refused in leaf and issuer")
{
    struct node *issuer = add("issuer", NULL, KEY_P256, spec_for(true));
    struct node *leaf = add("leaf", issuer, KEY_P256, spec_for(false));
    struct chain_policy policy = client_policy();
    struct fault fault = {0};
    leaf->cert.extensions.has_unknown_critical = true;
    CHECK(verify(PATH(leaf), issuer, &policy, &fault) == CHAIN_UNKNOWN_CRITICAL);
    leaf->cert.extensions.has_unknown_critical = false;
    issuer->cert.extensions.has_unknown_critical = true;
    CHECK(verify(PATH(leaf), issuer, &policy, &fault) == CHAIN_UNKNOWN_CRITICAL);
    forget_nodes();
}

TEST("two CAs that issue each other end the search")
{
    struct node *a = add("a", NULL, KEY_P256, spec_for(true));
    struct node *b = add("b", NULL, KEY_P256, spec_for(true));
    struct node *root = add("root", NULL, KEY_P256, spec_for(true));
    struct x509_spec spec = spec_for(true);
    uint8_t serial[16] = {0x42};
    spec.serial = slice_of(serial, sizeof serial);
    struct node *leaf = add("leaf", a, KEY_P256, spec_for(false));
    /* a's certificate by b, and b's by a: a circle with the same names and keys */
    spec.subject = slice_of(a->name, a->name_len);
    spec.issuer = slice_of(b->name, b->name_len);
    spec.key_kind = spec.sign_with = X509_P256;
    spec.public_key = slice_of(a->public.bytes, a->public.len);
    REQUIRE(sign_node(a, b, &spec));
    spec.subject = slice_of(b->name, b->name_len);
    spec.issuer = slice_of(a->name, a->name_len);
    spec.public_key = slice_of(b->public.bytes, b->public.len);
    REQUIRE(sign_node(b, a, &spec));
    struct chain_policy policy = client_policy();
    CHECK(verify(PATH(leaf, a, b), root, &policy, NULL) == CHAIN_TOO_LONG);
    forget_nodes();
}

static bool write_pem(const char *name, const struct node *n)
{
    char der[64];
    (void)snprintf(der, sizeof der, "%s.der", name);
    return shell_write(der, n->cert.der)
           && shell("openssl x509 -inform DER -in %s -out %s.pem", der, name);
}

TEST("openssl verifies the chains we write, strictly, and prints the names we gave")
{
    struct x509_spec ca = spec_for(true);
    ca.has_path_len = true;
    struct x509_spec device = spec_for(false);
    device.uri = slice_text("spiffe://holdfast.local/device/hf1:00112233445566778899aabbccddeeff");
    device.hardware_type = x509_oid_hardware_default();
    device.hardware_serial = slice_text("PR-0007");
    struct x509_spec server = spec_for(false);
    server.ext_key_usage = X509_EKU_SERVER_AUTH;
    server.dns[0] = slice_text("localhost");
    server.dns_count = 1;
    server.ip[0] = slice_of("\x7f\0\0\1", 4);
    server.ip_count = 1;
    struct node *root = add("root", NULL, KEY_P256, spec_for(true));
    struct node *issuer = add("issuer", root, KEY_P256, ca);
    struct node *leaf = add("leaf", issuer, KEY_P256, device);
    struct node *web = add("web", issuer, KEY_P256, server);
    REQUIRE(write_pem("root", root) && write_pem("issuer", issuer) && write_pem("leaf", leaf)
            && write_pem("web", web));
    CHECK(shell("openssl verify -x509_strict -attime %lld -CAfile root.pem -untrusted issuer.pem "
                "-purpose sslclient leaf.pem",
                (long long)(now_ms / 1000)));
    CHECK(shell("openssl verify -x509_strict -attime %lld -CAfile root.pem -untrusted issuer.pem "
                "-purpose sslserver "
                "-verify_hostname localhost web.pem",
                (long long)(now_ms / 1000)));
    CHECK(shell("openssl verify -attime %lld -CAfile root.pem -untrusted issuer.pem -verify_ip "
                "127.0.0.1 web.pem",
                (long long)(now_ms / 1000)));
    CHECK(!shell("openssl verify -attime %lld -CAfile root.pem -untrusted issuer.pem -purpose "
                 "sslserver leaf.pem",
                 (long long)(now_ms / 1000)));
    REQUIRE(shell("openssl x509 -in leaf.pem -noout -text"));
    CHECK(shell_said("URI:spiffe://holdfast.local/device/hf1:00112233445566778899aabbccddeeff"));
    CHECK(shell_said("CA:FALSE") && shell_said("TLS Web Client Authentication"));
    CHECK(shell("openssl asn1parse -in leaf.pem"));
    forget_nodes();
}

TEST("chains that openssl made are verified by us")
{
    static uint8_t bytes[2][DER_CAP];
    struct x509 certs[2];
    REQUIRE(shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout r.key -subj "
        "/CN=maker "
        "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -out "
        "r.pem && "
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout l.key -subj "
        "/serialNumber=7 -out l.csr"));
    REQUIRE(shell(
        "printf 'keyUsage=critical,digitalSignature\\n' >e && openssl x509 -req -in l.csr -CA "
        "r.pem -CAkey r.key "
        "-extfile e -outform DER -out l.der && openssl x509 -in r.pem -outform DER -out r.der"));
    REQUIRE(x509_parse(shell_read("l.der", bytes[0], DER_CAP), &certs[0], NULL) == X509_OK);
    REQUIRE(x509_parse(shell_read("r.der", bytes[1], DER_CAP), &certs[1], NULL) == X509_OK);
    struct chain_policy policy = {.no_time = true,
                                  .purposes = X509_EKU_CLIENT_AUTH,
                                  .purpose_optional = true,
                                  .key_usage = X509_DIGITAL_SIGNATURE};
    struct chain_anchors anchors = {.list = &certs[1], .count = 1};
    CHECK(chain_verify(certs, 1, &anchors, &policy, NULL) == CHAIN_OK);
    anchors.count = 0;
    CHECK(chain_verify(certs, 1, &anchors, &policy, NULL) == CHAIN_NO_ANCHOR);
}
