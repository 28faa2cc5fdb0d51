#include "codec/cms.h"
#include "codec/csr.h"
#include "codec/der.h"
#include "codec/x509.h"
#include "test/shell.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

static uint8_t der_bytes[16384];

/* A certificate or request that OpenSSL made of this configuration, in DER. */
static struct slice openssl_made(const char *what, const char *config, const char *options)
{
    if (!shell_write("c.cnf", slice_text(config))
        || !shell("test -s k.key || openssl ecparam -name prime256v1 -genkey -noout -out k.key")
        || !shell("openssl req -new %s -config c.cnf -key k.key -outform DER -out made.der %s",
                  what, options)) {
        test_failed(__FILE__, __LINE__, "openssl made nothing of this configuration");
        return (struct slice){0};
    }
    return shell_read("made.der", der_bytes, sizeof der_bytes);
}

static const char device_config[] =
    "[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\nreq_extensions=ext\n"
    "[dn]\nO=Northsea\nCN=press seven\nserialNumber=PR-0007\n"
    "[ext]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
    "extendedKeyUsage=clientAuth,serverAuth\nsubjectKeyIdentifier=hash\n"
    "subjectAltName=@names\n"
    "[names]\nURI.1=spiffe://holdfast.local/device/x\nDNS.1=localhost\nIP.1=127.0.0.1\nIP.2=::1\n"
    "otherName.1=1.3.6.1.5.5.7.8.4;SEQUENCE:hw\n"
    "[hw]\nhwType=OID:2.23.133.1.2\nhwSerialNum=FORMAT:HEX,OCTETSTRING:0102030405\n";

TEST("a certificate of OpenSSL's is read field by field")
{
    struct slice der = openssl_made("-x509", device_config, "-days 30 -set_serial 0x7fee");
    struct x509 c;
    struct fault fault = {0};
    REQUIRE(x509_parse(der, &c, &fault) == X509_OK);
    CHECK(slice_equal(c.serial, slice_of("\x7f\xee", 2)));
    CHECK(slice_is_text(c.subject_organization, "Northsea"));
    CHECK(slice_is_text(c.subject_common_name, "press seven"));
    CHECK(slice_is_text(c.subject_serial_number, "PR-0007"));
    CHECK(slice_equal(c.issuer, c.subject));
    CHECK(c.not_after_ms - c.not_before_ms == INT64_C(30) * 86400000);
    CHECK(c.key_kind == X509_P256 && c.signed_with == X509_P256);
    CHECK(c.public_key.len == 65 && c.tbs.at > c.der.at);
    const struct x509_extensions *e = &c.extensions;
    CHECK(!e->has_unknown_critical && e->has_basic_constraints && !e->is_ca && !e->has_path_len);
    CHECK(e->has_key_usage && e->key_usage == X509_DIGITAL_SIGNATURE);
    CHECK(e->has_ext_key_usage
          && e->ext_key_usage == (X509_EKU_CLIENT_AUTH | X509_EKU_SERVER_AUTH));
    CHECK(e->subject_key_id.len == 20);
    CHECK(e->has_names && !e->names_critical);
    CHECK(e->uri_count == 1 && slice_is_text(e->uri, "spiffe://holdfast.local/device/x"));
    CHECK(e->dns_count == 1 && slice_is_text(e->dns, "localhost"));
    CHECK(e->ip_count == 2 && slice_equal(e->ip, slice_of("\x7f\0\0\1", 4)));
    CHECK(e->has_hardware && slice_equal(e->hardware_type, slice_of("\x67\x81\x05\x01\x02", 5)));
    CHECK(slice_equal(e->hardware_serial, slice_of("\1\2\3\4\5", 5)));
}

TEST("a CA certificate shows its path length, an IDevID its year 9999")
{
    struct slice der =
        openssl_made("-x509",
                     "[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\nCN=ca\n"
                     "[ext]\nbasicConstraints=critical,CA:TRUE,pathlen:0\n"
                     "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
                     "",
                     "-days 2910000");
    struct x509 c;
    REQUIRE(x509_parse(der, &c, NULL) == X509_OK);
    CHECK(c.extensions.is_ca && c.extensions.has_path_len && c.extensions.path_len == 0);
    CHECK(c.extensions.key_usage == (X509_KEY_CERT_SIGN | X509_CRL_SIGN));
    CHECK(c.not_after_ms > INT64_C(250000000000000));
}

TEST("an unknown critical extension is told, an unknown other one is not")
{
    static const char config[] =
        "[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\nCN=x\n"
        "[ext]\n1.2.3.4=%sDER:0500\n";
    char text[256];
    struct x509 c;
    for (int critical = 0; critical < 2; critical++) {
        (void)snprintf(text, sizeof text, config, critical ? "critical," : "");
        REQUIRE(x509_parse(openssl_made("-x509", text, ""), &c, NULL) == X509_OK);
        CHECK(c.extensions.has_unknown_critical == (critical == 1));
    }
    CHECK(slice_equal(c.extensions.unknown_critical, slice_of("\x2a\x03\x04", 3)));
}

TEST("every shortened and every bit-flipped certificate is refused or read without harm")
{
    struct slice der = openssl_made("-x509", device_config, "");
    struct x509 c;
    for (size_t len = 0; len < der.len; len++) {
        CHECK(x509_parse(slice_of(der.at, len), &c, NULL) != X509_OK);
    }
    unsigned accepted = 0;
    for (size_t bit = 0; bit < der.len * 8; bit++) {
        der_bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        accepted += x509_parse(der, &c, NULL) == X509_OK;
        der_bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK(accepted > 0); /* key, signature and text bits mean nothing to a parser */
    CHECK(x509_parse(der, &c, NULL) == X509_OK);
    der_bytes[der.len] = 0;
    CHECK(x509_parse(slice_of(der.at, der.len + 1), &c, NULL) == X509_MALFORMED);
}

TEST("RSA keys and version 1 are unsupported, with the clause")
{
    struct x509 c;
    struct fault fault = {0};
    REQUIRE(shell("openssl req -x509 -newkey rsa:2048 -noenc -subj /CN=x -keyout r.key -outform "
                  "DER -out r.der"));
    CHECK(x509_parse(shell_read("r.der", der_bytes, sizeof der_bytes), &c, &fault)
          == X509_UNSUPPORTED);
    CHECK(fault.clause != NULL && strstr(fault.clause, "4.1.2.3") != NULL);
    REQUIRE(shell("openssl ecparam -name prime256v1 -genkey -noout -out k.key && "
                  "openssl req -new -key k.key -subj /CN=x -out x.csr && "
                  "openssl x509 -req -in x.csr -signkey k.key -outform DER -out v1.der"));
    CHECK(x509_parse(shell_read("v1.der", der_bytes, sizeof der_bytes), &c, &fault) != X509_OK);
    REQUIRE(shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -noenc -subj "
                  "/CN=x -keyout p.key "
                  "-sha256 -outform DER -out p.der"));
    CHECK(x509_parse(shell_read("p.der", der_bytes, sizeof der_bytes), &c, &fault)
          == X509_UNSUPPORTED);
    CHECK(strstr(fault.clause, "4.1.2.7") != NULL);
    REQUIRE(shell("openssl req -x509 -newkey ed25519 -noenc -subj /CN=x -keyout e.key -outform DER "
                  "-out e.der"));
    REQUIRE(x509_parse(shell_read("e.der", der_bytes, sizeof der_bytes), &c, &fault) == X509_OK);
    CHECK(c.key_kind == X509_ED25519 && c.public_key.len == 32 && c.signature.len == 64);
}

/* Extensions: a SEQUENCE of copies of one extension, built by hand. */
static enum x509_result parse_extension(const char *extension, size_t len, unsigned copies)
{
    uint8_t bytes[512];
    struct x509_extensions ignored;
    struct writer w = writer_over(bytes, sizeof bytes);
    size_t list = der_begin(&w, DER_SEQUENCE);
    for (unsigned i = 0; i < copies; i++) {
        write_bytes(&w, extension, len);
    }
    der_end(&w, list);
    return x509_extensions_parse(writer_slice(&w), &ignored, NULL);
}

TEST("extensions are refused where they repeat, are empty, or say what their type cannot")
{
#define PARSE(text, copies) parse_extension(text, sizeof(text) - 1, copies)
    static const char key_usage[] = "\x30\x0b\x06\x03\x55\x1d\x0f\x04\x04\x03\x02\x07\x80";
    CHECK(PARSE(key_usage, 1) == X509_OK);
    CHECK(PARSE(key_usage, 2) == X509_MALFORMED);
    CHECK(PARSE(key_usage, 0) == X509_MALFORMED);
    CHECK(PARSE("\x30\x08\x06\x03\x2a\x03\x04\x04\x01\x00", 2) == X509_MALFORMED);
    CHECK(PARSE("\x30\x0c\x06\x03\x55\x1d\x13\x04\x05\x30\x03\x02\x01\x00", 1)
          == X509_MALFORMED); /* pathlen, no CA */
    CHECK(PARSE("\x30\x09\x06\x03\x55\x1d\x11\x04\x02\x30\x00", 1)
          == X509_MALFORMED); /* no names */
    CHECK(PARSE("\x30\x0e\x06\x03\x55\x1d\x11\x04\x07\x30\x05\x86\x03"
                "a\0b",
                1)
          == X509_MALFORMED); /* NUL in a URI */
    CHECK(PARSE("\x30\x0e\x06\x03\x55\x1d\x11\x04\x07\x30\x05\x87\x03\x7f\0\0", 1)
          == X509_MALFORMED); /* IP of 3 */
    CHECK(PARSE("\x30\x09\x06\x03\x55\x1d\x25\x04\x02\x30\x00", 1)
          == X509_MALFORMED); /* no purpose */
#undef PARSE
}

/* Extensions with one subjectAltName that has one name. */
static bool takes_name(uint8_t tag, struct slice content)
{
    uint8_t bytes[128];
    struct x509_extensions e;
    struct writer w = writer_over(bytes, sizeof bytes);
    size_t list = der_begin(&w, DER_SEQUENCE);
    size_t extension = der_begin(&w, DER_SEQUENCE);
    der_write_oid(&w, slice_of("\x55\x1d\x11", 3));
    size_t value = der_begin(&w, DER_OCTET_STRING);
    size_t names = der_begin(&w, DER_SEQUENCE);
    der_write(&w, tag, content);
    der_end(&w, names);
    der_end(&w, value);
    der_end(&w, extension);
    der_end(&w, list);
    return x509_extensions_parse(writer_slice(&w), &e, NULL) == X509_OK && e.other_count == 1;
}

/* The same with a directoryName whose common name is a string of this tag. */
static bool takes_text(uint8_t tag, const char *text, size_t len)
{
    uint8_t bytes[64];
    struct writer w = writer_over(bytes, sizeof bytes);
    size_t name = der_begin(&w, DER_SEQUENCE);
    size_t rdn = der_begin(&w, DER_SET);
    size_t part = der_begin(&w, DER_SEQUENCE);
    der_write_oid(&w, slice_of("\x55\x04\x03", 3));
    der_write(&w, tag, slice_of(text, len));
    der_end(&w, part);
    der_end(&w, rdn);
    der_end(&w, name);
    return takes_name(DER_CONTEXT_CONSTRUCTED | 4, writer_slice(&w));
}

TEST("general names are refused where they are of no kind, or their content is not of it")
{
#define TAKES(tag, text) takes_name(tag, slice_of(text, sizeof(text) - 1))
    CHECK(TAKES(0x81, "a@b.example"));
    CHECK(!TAKES(0x81, "a\0b"));
    CHECK(TAKES(0x88, "\x2a\x03"));
    CHECK(!TAKES(0x88, "\x2a\x83"));
    CHECK(TAKES(0xa4, "\x30\x00"));
    CHECK(!TAKES(0xa4, "\x30\x00\x30\x00"));
    CHECK(!TAKES(0x84, "\x30\x00"));
    CHECK(!TAKES(0xa3, "\x30\x00"));
    CHECK(!TAKES(0x89, "a"));
    CHECK(!TAKES(0x0c, "a"));
#undef TAKES
}

TEST("an attribute of a Name is text that every reader can read")
{
#define TAKES(tag, text) takes_text(tag, text, sizeof(text) - 1)
    CHECK(TAKES(DER_UTF8_STRING, "\xc3\xa9"));
    CHECK(!TAKES(DER_UTF8_STRING, "\xc3"));
    CHECK(!TAKES(DER_UTF8_STRING, "\xed\xa0\x80"));
    CHECK(TAKES(DER_PRINTABLE_STRING, "press 7"));
    CHECK(!TAKES(DER_PRINTABLE_STRING, "\xe9"));
    CHECK(TAKES(DER_IA5_STRING, "a@b"));
    CHECK(!TAKES(DER_IA5_STRING, "\x80"));
    CHECK(TAKES(DER_NUMERIC_STRING, "12"));
    CHECK(TAKES(DER_T61_STRING, "\xe9"));
    CHECK(TAKES(DER_BMP_STRING, "\x65\xe5"));
    CHECK(TAKES(DER_BMP_STRING, "\xff\xfd"));
    CHECK(!TAKES(DER_BMP_STRING, "\x65\xe5\x65"));
    CHECK(!TAKES(DER_BMP_STRING, "\xd8\x00"));
    CHECK(TAKES(DER_UNIVERSAL_STRING, "\x00\x01\xf6\x00"));
    CHECK(!TAKES(DER_UNIVERSAL_STRING, "\x00\x11\x00\x00"));
    CHECK(!TAKES(0x00, "a"));
    CHECK(!TAKES(DER_OCTET_STRING, "a"));
    CHECK(!TAKES(0x8c, "a"));
#undef TAKES
}

TEST("the hwModuleName we write is the one OpenSSL writes")
{
    struct slice der = openssl_made("-x509", device_config, "");
    struct x509 c;
    uint8_t bytes[256];
    struct writer w = writer_over(bytes, sizeof bytes);
    REQUIRE(x509_parse(der, &c, NULL) == X509_OK);
    struct x509_spec spec = {
        .hardware_type = slice_of("\x67\x81\x05\x01\x02", 5),
        .hardware_serial = slice_of("\1\2\3\4\5", 5),
    };
    x509_names_write(&w, &spec);
    struct slice other = slice_after(writer_slice(&w), 2);
    bool found = false;
    for (size_t i = 0; i + other.len <= c.extensions.names.len; i++) {
        found = found || slice_equal(slice_of(c.extensions.names.at + i, other.len), other);
    }
    CHECK(found);
    CHECK(slice_equal(slice_after(other, other.len - 16),
                      slice_of("\x30\x0e\x06\x05\x67\x81\x05\x01\x02\x04\x05\1\2\3\4\5", 16)));
}

TEST("a request of OpenSSL's is read with its challenge and its names")
{
    static const char config[] =
        "[req]\nprompt=no\ndistinguished_name=dn\nreq_extensions=ext\nattributes=at\n"
        "[dn]\nserialNumber=PR-0007\n[at]\nchallengePassword=secret word\n"
        "unstructuredName=x\n[ext]\nsubjectAltName=URI:spiffe://d/device/x\n";
    struct slice der = openssl_made("", config, "");
    struct csr csr;
    struct fault fault = {0};
    REQUIRE(csr_parse(der, &csr, &fault) == X509_OK);
    CHECK(csr.has_challenge && slice_is_text(csr.challenge, "secret word"));
    CHECK(csr.has_extensions && slice_is_text(csr.extensions.uri, "spiffe://d/device/x"));
    CHECK_U64(csr.other_attributes, 1);
    CHECK(csr.key_kind == X509_P256 && csr.spki.len == 91);
    /* Two of them behind each other, and every shorter one. */
    memcpy(der_bytes + der.len, der_bytes, der.len);
    CHECK(csr_parse(slice_of(der.at, 2 * der.len), &csr, &fault) == X509_MALFORMED);
    CHECK(strstr(fault.clause, "follow") != NULL);
    for (size_t len = 0; len < der.len; len++) {
        CHECK(csr_parse(slice_of(der.at, len), &csr, NULL) != X509_OK);
    }
}

/* A request with these attributes and a signature that is a signature by its form only. */
static enum x509_result parse_with_attributes(struct slice attributes)
{
    uint8_t bytes[1024];
    uint8_t info[1024];
    static uint8_t point[65] = {4};
    static const uint8_t signature[] = {0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01};
    struct csr ignored;
    struct writer w = writer_over(info, sizeof info);
    size_t mark = der_begin(&w, DER_SEQUENCE);
    der_write_u32(&w, 0);
    x509_subject_write(&w, &(struct x509_subject){0});
    x509_spki_write(&w, X509_P256, slice_of(point, sizeof point));
    der_write(&w, DER_CONTEXT_CONSTRUCTED | 0, attributes);
    der_end(&w, mark);
    struct writer whole = writer_over(bytes, sizeof bytes);
    if (csr_write(&whole, writer_slice(&w), X509_P256, slice_of(signature, sizeof signature))
        != X509_OK) {
        return X509_TOO_LONG;
    }
    return csr_parse(writer_slice(&whole), &ignored, NULL);
}

TEST("a request has each attribute once and with exactly one value")
{
#define CHALLENGE                                                                                  \
    "\x30\x12\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07\x31\x05\x13\x03"                         \
    "abc"
#define TWO_VALUES                                                                                 \
    "\x30\x17\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07\x31\x0a\x13\x03"                         \
    "abc"                                                                                          \
    "\x13\x03"                                                                                     \
    "abd"
#define NO_VALUE "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07\x31\x00"
#define BITS                                                                                       \
    "\x30\x12\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07\x31\x05\x03\x03"                         \
    "\0bc"
#define EXTENSIONS                                                                                 \
    "\x30\x1c\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e\x31\x0f\x30\x0d\x30\x0b\x06\x03\x55\x1d" \
    "\x0f\x04\x04\x03\x02"                                                                         \
    "\x07\x80"
#define PARSE(text) parse_with_attributes(slice_of(text, sizeof(text) - 1))
    CHECK(PARSE("") == X509_OK);
    CHECK(PARSE(CHALLENGE) == X509_OK);
    CHECK(PARSE(EXTENSIONS) == X509_OK);
    CHECK(PARSE(CHALLENGE EXTENSIONS) == X509_OK);
    CHECK(PARSE(CHALLENGE CHALLENGE) == X509_MALFORMED);
    CHECK(PARSE(EXTENSIONS EXTENSIONS) == X509_MALFORMED);
    CHECK(PARSE(TWO_VALUES) == X509_MALFORMED);
    CHECK(PARSE(NO_VALUE) == X509_MALFORMED);
    CHECK(PARSE(BITS) == X509_MALFORMED);
#undef PARSE
}

TEST("csrattrs go both ways, unknown elements are passed over, and an empty list asks for nothing")
{
    static const struct csrattrs rows[] = {
        {0}, {.challenge_password = true, .p256 = true, .ecdsa_sha256 = true}, {.p256 = true}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t bytes[128];
        struct csrattrs got = {0};
        struct writer w = writer_over(bytes, sizeof bytes);
        csrattrs_write(&w, &rows[i]);
        REQUIRE(csrattrs_parse(writer_slice(&w), &got) == X509_OK);
        CHECK(got.challenge_password == rows[i].challenge_password && got.p256 == rows[i].p256);
        CHECK(got.ecdsa_sha256 == rows[i].ecdsa_sha256);
    }
    /* RFC 7030 4.5.2's example, with the macAddress that its text describes. */
    static const char example[] = "\x30\x3c\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07\x30\x12\x06"
                                  "\x07\x2a\x86\x48\xce\x3d\x02\x01\x31\x07\x06"
                                  "\x05\x2b\x81\x04\x00\x22\x30\x11\x06\x09\x2a\x86\x48\x86\xf7\x0d"
                                  "\x01\x09\x0e\x31\x04\x06\x02\x2b\x06\x06\x08"
                                  "\x2a\x86\x48\xce\x3d\x04\x03\x03";
    struct csrattrs got = {0};
    REQUIRE(csrattrs_parse(slice_of(example, sizeof example - 1), &got) == X509_OK);
    CHECK(got.challenge_password && !got.p256 && !got.ecdsa_sha256);
}

TEST("certs-only CMS is sorted for OpenSSL to read, and OpenSSL's is read by us")
{
    static uint8_t a_bytes[2048];
    static uint8_t b_bytes[2048];
    static uint8_t cms_bytes[8192];
    REQUIRE(shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "
                  "/CN=bbbb -keyout a.key "
                  "-outform DER -out a.der && openssl req -x509 -newkey ec -pkeyopt "
                  "ec_paramgen_curve:P-256 -noenc "
                  "-subj /CN=a -keyout b.key -outform DER -out b.der"));
    struct slice a = shell_read("a.der", a_bytes, sizeof a_bytes);
    struct slice b = shell_read("b.der", b_bytes, sizeof b_bytes);
    struct writer one = writer_over(cms_bytes, sizeof cms_bytes);
    struct writer two = writer_over(cms_bytes + 4096, 4096);
    REQUIRE(cms_certs_write(&one, (struct slice[]){a, b}, 2) == CMS_OK);
    REQUIRE(cms_certs_write(&two, (struct slice[]){b, a}, 2) == CMS_OK);
    CHECK(slice_equal(writer_slice(&one), writer_slice(&two)));
    struct slice certs[4];
    size_t count = 0;
    REQUIRE(cms_certs_read(writer_slice(&one), certs, COUNT_OF(certs), &count, NULL) == CMS_OK);
    CHECK_U64(count, 2);
    CHECK(slice_compare(certs[0], certs[1]) < 0);
    CHECK(cms_certs_read(writer_slice(&one), certs, 1, &count, NULL) == CMS_TOO_LONG);

    REQUIRE(shell_write("ours.p7", writer_slice(&one)));
    REQUIRE(shell("openssl pkcs7 -inform DER -in ours.p7 -print_certs -noout"));
    CHECK(shell_said("CN = bbbb") && shell_said("CN = a"));
    REQUIRE(shell(
        "openssl x509 -inform DER -in a.der -out a.pem && openssl x509 -inform DER -in b.der -out "
        "b.pem && "
        "openssl crl2pkcs7 -nocrl -certfile a.pem -certfile b.pem -outform DER -out theirs.p7"));
    struct slice theirs = shell_read("theirs.p7", cms_bytes, sizeof cms_bytes);
    REQUIRE(cms_certs_read(theirs, certs, COUNT_OF(certs), &count, NULL) == CMS_OK);
    CHECK(count == 2 && slice_equal(certs[0], a) && slice_equal(certs[1], b));
    for (size_t len = 0; len < theirs.len; len++) {
        CHECK(cms_certs_read(slice_of(theirs.at, len), certs, COUNT_OF(certs), &count, NULL)
              != CMS_OK);
    }
    REQUIRE(shell("echo hello | openssl cms -sign -signer a.pem -inkey a.key -outform DER "
                  "-nodetach -out signed.p7"));
    CHECK(cms_certs_read(shell_read("signed.p7", cms_bytes, sizeof cms_bytes), certs,
                         COUNT_OF(certs), &count, NULL)
          == CMS_MALFORMED);
}

TEST("a certificate is not written with a serial that RFC 5280 forbids, a life that ends before it "
     "begins, or no room")
{
    static const uint8_t serial[X509_SERIAL_MAX + 1] = {0x7F, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    static const uint8_t zero[16] = {0};
    static const uint8_t negative[16] = {0x80};
    static const uint8_t point[65] = {4};
    uint8_t room[1024];
    struct x509_spec good = {.serial = slice_of(serial, 16),
                             .sign_with = X509_P256,
                             .issuer = slice_of("\x30\x00", 2),
                             .subject = slice_of("\x30\x00", 2),
                             .not_after_ms = 1000,
                             .key_kind = X509_P256,
                             .public_key = slice_of(point, sizeof point)};
    struct writer w = writer_over(room, sizeof room);
    CHECK(x509_tbs_write(&w, &good) == X509_OK); /* without names, which nothing asks for here */
    static const struct slice bad[] = {
        {serial, 15}, {serial, X509_SERIAL_MAX + 1}, {zero, 16}, {negative, 16}, {NULL, 0}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct x509_spec spec = good;
        spec.serial = bad[i];
        w = writer_over(room, sizeof room);
        CHECK(x509_tbs_write(&w, &spec) == X509_MALFORMED && w.len == 0);
    }
    struct x509_spec spec = good;
    spec.not_before_ms = 1001;
    w = writer_over(room, sizeof room);
    CHECK(x509_tbs_write(&w, &spec) == X509_MALFORMED);
    w = writer_over(room, 40);
    CHECK(x509_tbs_write(&w, &good) == X509_TOO_LONG);
}
