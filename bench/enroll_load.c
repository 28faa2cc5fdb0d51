/*
 * Devices that enrol for a bench: each has an IDevID of its own, makes one new connection, posts
 * one request and ends. Keys, IDevIDs and requests are made before the clock starts. Prints one
 * line: devices enrolled, refused, seconds, and milliseconds from connect to certificate at p50 and
 * p99.
 *
 *   enroll_load PORT ROOT FACTORY_DIR DEVICES THREADS
 */
#include "codec/base64.h"
#include "codec/csr.h"
#include "role/pki_files.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DEVICES_MAX = 100000, THREADS_MAX = 64, REQUEST_MAX = 2048, ANSWER_MAX = 8192 };

struct candidate {
    uint8_t idevid[PKI_DER_MAX];
    size_t idevid_len;
    char key[512]; /* of the IDevID, PEM */
    size_t key_len;
    char request[REQUEST_MAX]; /* HTTP, whole */
    size_t request_len;
    double seconds;
};

static struct candidate *candidates;
static unsigned devices;
static uint16_t to_port;
static const char *root_path;
static atomic_uint next_device, refused;

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "enroll_load: %s failed\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

/* ---- what each device brings ---- */

static void make_idevid(struct candidate *c, struct port *port, const struct pki_entity *maker)
{
    static unsigned count;
    uint8_t name[PKI_NAME_MAX];
    char serial[32];
    (void)snprintf(serial, sizeof serial, "load-%lx-%u", (unsigned long)getpid(), ++count);
    struct writer w = writer_over(name, sizeof name);
    x509_subject_write(
        &w, &(struct x509_subject){.organization = maker->certificate.subject_organization,
                                   .organizational_unit = slice_text("bench"),
                                   .serial_number = slice_text(serial)});
    struct x509_spec spec = {.subject = writer_slice(&w),
                             .not_before_ms = 0,
                             .not_after_ms = PKI_NEVER_MS,
                             .key_usage = X509_DIGITAL_SIGNATURE,
                             .hardware_type = x509_oid_hardware_default(),
                             .hardware_serial = slice_text(serial)};
    struct pki_entity device;
    must(pki_entity_make(&device, port, KEY_P256, maker, &spec), "making an IDevID");
    memcpy(c->idevid, device.der, device.der_len);
    c->idevid_len = device.der_len;
    struct writer k = writer_over(c->key, sizeof c->key);
    must(key_to_pem(device.key, &k) == KEY_OK, "writing a key");
    c->key_len = k.len;
    pki_entity_forget(&device);
}

static void make_request(struct candidate *c)
{
    uint8_t info[512];
    uint8_t der[768];
    uint8_t text[1200];
    uint8_t subject[64];
    uint8_t signature[SIGNATURE_LEN];
    uint8_t signature_der[80];
    struct key_private *key;
    must(key_make(KEY_P256, &key) == KEY_OK, "making a key");
    struct key_public public = key_public_of(key);
    struct writer s = writer_over(subject, sizeof subject);
    x509_subject_write(&s, &(struct x509_subject){.common_name = slice_text("ignored")});
    struct writer i = writer_over(info, sizeof info);
    csr_info_write(&i, &(struct csr_spec){.subject = writer_slice(&s),
                                          .key_kind = X509_P256,
                                          .public_key = slice_of(public.bytes, public.len)});
    struct slice signed_part = writer_slice(&i);
    must(key_sign(key, &signed_part, 1, signature) == KEY_OK, "signing a request");
    struct writer d = writer_over(signature_der, sizeof signature_der);
    must(key_signature_to_der(signature, &d) == KEY_OK, "encoding a signature");
    struct writer w = writer_over(der, sizeof der);
    must(csr_write(&w, writer_slice(&i), X509_P256, writer_slice(&d)) == X509_OK, "a request");
    struct writer b = writer_over(text, sizeof text);
    base64_encode(&b, writer_slice(&w));
    int len = snprintf(c->request, sizeof c->request,
                       "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost:%u\r\n"
                       "Content-Type: application/pkcs10\r\nConnection: close\r\n"
                       "Content-Length: %zu\r\n\r\n%.*s",
                       to_port, b.len, (int)b.len, (const char *)text);
    must(len > 0 && (size_t)len < sizeof c->request, "an HTTP request");
    c->request_len = (size_t)len;
    key_free(key);
}

/* ---- one enrolment ---- */

static SSL *connect_as(SSL_CTX *context, const struct candidate *c, int *fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(to_port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int on = 1;
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    must(*fd >= 0 && connect(*fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    (void)setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    SSL *ssl = SSL_new(context);
    BIO *pem = BIO_new_mem_buf(c->key, (int)c->key_len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL);
    must(ssl != NULL && key != NULL, "memory");
    must(SSL_use_certificate_ASN1(ssl, c->idevid, (int)c->idevid_len) == 1, "IDevID");
    must(SSL_use_PrivateKey(ssl, key) == 1, "key");
    EVP_PKEY_free(key);
    BIO_free(pem);
    must(SSL_set1_host(ssl, "localhost") == 1 && SSL_set_fd(ssl, *fd) == 1, "TLS");
    must(SSL_connect(ssl) == 1, "handshake");
    return ssl;
}

static void enrol(SSL_CTX *context, struct candidate *c)
{
    char answer[ANSWER_MAX];
    size_t len = 0;
    int fd;
    double began = now_s();
    SSL *ssl = connect_as(context, c, &fd);
    must(SSL_write(ssl, c->request, (int)c->request_len) == (int)c->request_len, "write");
    for (int n = 1; n > 0 && len<sizeof answer - 1; len += n> 0 ? (size_t)n : 0) {
        n = SSL_read(ssl, answer + len, (int)(sizeof answer - 1 - len));
    }
    answer[len] = '\0';
    c->seconds = now_s() - began;
    if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0 && atomic_fetch_add(&refused, 1) == 0) {
        (void)fprintf(stderr, "enroll_load: %s\n", answer);
    }
    SSL_free(ssl);
    (void)close(fd);
}

static void *work(void *unused)
{
    static char groups[] = "X25519"; /* OpenSSL's macro takes the const away from a literal */
    (void)unused;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    must(context != NULL && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1, "TLS");
    must(SSL_CTX_load_verify_locations(context, root_path, NULL) == 1, "root");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    must(SSL_CTX_set1_groups_list(context, groups) == 1, "groups");
    for (unsigned i = next_device++; i < devices; i = next_device++) {
        enrol(context, &candidates[i]);
    }
    SSL_CTX_free(context);
    return NULL;
}

static int by_time(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    return (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

static void hear_nothing(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static void prepare(const char *factory_dir)
{
    struct port_why why = {0};
    struct pki_entity maker;
    struct port *port = port_open(hear_nothing, NULL);
    must(port != NULL, "port");
    must(pki_read_entity(port, factory_dir, "manufacturer", &maker, &why) == PKI_OK, why.text);
    for (unsigned i = 0; i < devices; i++) {
        make_idevid(&candidates[i], port, &maker);
        make_request(&candidates[i]);
    }
    pki_entity_forget(&maker);
    port_close_all(port);
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    if (argc != 6) {
        (void)fprintf(stderr, "usage: enroll_load PORT ROOT FACTORY_DIR DEVICES THREADS\n");
        return 2;
    }
    to_port = (uint16_t)strtoul(argv[1], NULL, 10);
    root_path = argv[2];
    devices = (unsigned)strtoul(argv[4], NULL, 10);
    unsigned count = (unsigned)strtoul(argv[5], NULL, 10);
    must(devices > 0 && devices <= DEVICES_MAX && count > 0 && count <= THREADS_MAX, "numbers");
    candidates = calloc(devices, sizeof *candidates);
    must(candidates != NULL, "memory");
    prepare(argv[3]);
    double began = now_s();
    for (unsigned i = 0; i < count; i++) {
        must(pthread_create(&threads[i], NULL, work, NULL) == 0, "thread");
    }
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    double took = now_s() - began;
    qsort(candidates, devices, sizeof *candidates, by_time);
    printf("%u %u %.3f %.2f %.2f\n", devices - refused, (unsigned)refused, took,
           candidates[devices / 2].seconds * 1e3, candidates[devices * 99 / 100].seconds * 1e3);
    free(candidates);
    return refused > 0 ? 1 : 0;
}
