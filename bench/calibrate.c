/*
 * Measures what this machine and its libraries can do at best, so that a figure of ours can be told
 * as a ratio to it, taken in the same run. Prints one JSON object; each figure is the median of
 * three probes.
 *
 *   calibrate [DIR [MS]]     DIR: on the disk to measure, default "."; MS: length of a probe,
 * default 300
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_*: saved states are what makes small MACs fast */
#include "base/invariant.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PROBES = 3,
    RECORD_LEN = 256,
    RECORDS = 4096, /* of the pre-written file */
    MESSAGE_LEN = 128,
    NODE_LEN = 65,    /* a Merkle node: 0x01, left, right */
    CHUNK_LEN = 2125, /* 512 points of 4.15 bytes */
    CHUNK_POINTS = 512,
    DAY_S = 86400
};

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* One thing that is measured: `run` does it `count` times and says how long that took. */
struct probe {
    const char *name;
    double (*run)(void *context, unsigned count);
    void *context;
    double scale; /* figure = scale * times per second */
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double measure(const struct probe *p, double seconds)
{
    double found[PROBES];
    for (size_t i = 0; i < PROBES; i++) {
        unsigned count = 1;
        double took = p->run(p->context, count);
        while (took < seconds / 20) { /* how many fill the time */
            count *= 4;
            took = p->run(p->context, count);
        }
        count = (unsigned)((double)count * seconds / took) + 1;
        found[i] = p->scale * (double)count / p->run(p->context, count);
    }
    qsort(found, PROBES, sizeof found[0], by_value);
    return found[PROBES / 2];
}

/* ---- cryptography ---- */

struct curve {
    EVP_PKEY *key;
    EVP_PKEY_CTX *sign, *verify;
    uint8_t digest[32];
    uint8_t signature[80];
    size_t signature_len;
};

static void curve_open(struct curve *c)
{
    memset(c, 0, sizeof *c);
    c->key = EVP_EC_gen("P-256");
    c->sign = EVP_PKEY_CTX_new(c->key, NULL);
    c->verify = EVP_PKEY_CTX_new(c->key, NULL);
    INVARIANT(EVP_PKEY_sign_init(c->sign) == 1);
    INVARIANT(EVP_PKEY_verify_init(c->verify) == 1);
    c->signature_len = sizeof c->signature;
    INVARIANT(EVP_PKEY_sign(c->sign, c->signature, &c->signature_len, c->digest, sizeof c->digest)
              == 1);
}

static void curve_close(struct curve *c)
{
    EVP_PKEY_CTX_free(c->sign);
    EVP_PKEY_CTX_free(c->verify);
    EVP_PKEY_free(c->key);
}

static double run_sign(void *context, unsigned count)
{
    struct curve *c = context;
    double from = now_s();
    for (unsigned i = 0; i < count; i++) {
        uint8_t signature[80];
        size_t len = sizeof signature;
        INVARIANT(EVP_PKEY_sign(c->sign, signature, &len, c->digest, sizeof c->digest) == 1);
    }
    return now_s() - from;
}

static double run_verify(void *context, unsigned count)
{
    struct curve *c = context;
    double from = now_s();
    for (unsigned i = 0; i < count; i++) {
        INVARIANT(
            EVP_PKEY_verify(c->verify, c->signature, c->signature_len, c->digest, sizeof c->digest)
            == 1);
    }
    return now_s() - from;
}

/* HMAC of a prepared key: two saved states, copied for each message. */
static double run_mac(void *context, unsigned count)
{
    uint8_t pad[64] = {0x36};
    uint8_t *message = context;
    SHA256_CTX inner;
    SHA256_CTX outer;
    (void)SHA256_Init(&inner);
    (void)SHA256_Update(&inner, pad, sizeof pad);
    (void)SHA256_Init(&outer);
    (void)SHA256_Update(&outer, pad, sizeof pad);
    double from = now_s();
    for (unsigned i = 0; i < count; i++) {
        SHA256_CTX one = inner;
        uint8_t digest[32];
        (void)SHA256_Update(&one, message, MESSAGE_LEN);
        (void)SHA256_Final(digest, &one);
        one = outer;
        (void)SHA256_Update(&one, digest, sizeof digest);
        (void)SHA256_Final(digest, &one);
        message[0] = digest[0];
    }
    return now_s() - from;
}

static double run_node(void *context, unsigned count)
{
    uint8_t *node = context;
    double from = now_s();
    for (unsigned i = 0; i < count; i++) {
        SHA256_CTX one;
        (void)SHA256_Init(&one);
        (void)SHA256_Update(&one, node, NODE_LEN);
        (void)SHA256_Final(node + 1, &one);
    }
    return now_s() - from;
}

/* ---- TLS: full mutual handshakes in memory, the server's side timed alone ---- */

struct shake {
    SSL_CTX *server, *client;
    bool both; /* time the client's side, too */
};

static X509 *make_certificate(EVP_PKEY *key, const char *name, EVP_PKEY *issuer_key, X509 *issuer)
{
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);
    (void)X509_set_version(cert, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), issuer == NULL ? 1 : 2);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), DAY_S);
    (void)X509_set_pubkey(cert, key);
    (void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                     -1, 0);
    (void)X509_set_issuer_name(cert, issuer == NULL ? subject : X509_get_subject_name(issuer));
    X509V3_CTX where;
    X509V3_set_ctx(&where, issuer == NULL ? cert : issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *constraints = X509V3_EXT_conf_nid(
        NULL, &where, NID_basic_constraints, issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    (void)X509_add_ext(cert, constraints, -1);
    X509_EXTENSION_free(constraints);
    INVARIANT(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
    return cert;
}

/* As io/posix sets its contexts. */
static SSL_CTX *make_context(const SSL_METHOD *method, X509 *ca, EVP_PKEY *ca_key)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = make_certificate(key, "leaf", ca_key, ca);
    char groups[] = "X25519:P-256";
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS);
    INVARIANT(SSL_CTX_set1_groups_list(ctx, groups) == 1);
    INVARIANT(SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1);
    INVARIANT(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

static void shake_open(struct shake *s)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    X509 *ca = make_certificate(ca_key, "ca", ca_key, NULL);
    s->server = make_context(TLS_server_method(), ca, ca_key);
    s->client = make_context(TLS_client_method(), ca, ca_key);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
}

static void shake_close(struct shake *s)
{
    SSL_CTX_free(s->server);
    SSL_CTX_free(s->client);
}

static double timed_step(SSL *ssl)
{
    double from = now_s();
    (void)SSL_do_handshake(ssl);
    return now_s() - from;
}

static double run_shake(void *context, unsigned count)
{
    struct shake *s = context;
    double server_s = 0;
    double client_s = 0;
    for (unsigned i = 0; i < count; i++) {
        BIO *to_server = BIO_new(BIO_s_mem());
        BIO *to_client = BIO_new(BIO_s_mem());
        double from = now_s();
        SSL *server = SSL_new(s->server);
        server_s += now_s() - from;
        SSL *client = SSL_new(s->client);
        SSL_set0_rbio(server, to_server);
        SSL_set0_wbio(server, to_client);
        (void)BIO_up_ref(to_server);
        (void)BIO_up_ref(to_client);
        SSL_set0_rbio(client, to_client);
        SSL_set0_wbio(client, to_server);
        SSL_set_accept_state(server);
        SSL_set_connect_state(client);
        while (!SSL_is_init_finished(server) || !SSL_is_init_finished(client)) {
            client_s += timed_step(client);
            server_s += timed_step(server);
        }
        INVARIANT(SSL_get_verify_result(server) == X509_V_OK);
        from = now_s();
        SSL_free(server);
        server_s += now_s() - from;
        SSL_free(client);
    }
    return server_s + (s->both ? client_s : 0);
}

/* ---- the disk ---- */

struct disk {
    int fd;
    uint8_t record[RECORD_LEN];
    uint64_t next;
    char path[300];
};

static void disk_open(struct disk *d, const char *dir)
{
    memset(d, 0, sizeof *d);
    (void)snprintf(d->path, sizeof d->path, "%s/calibrate.tmp", dir);
    d->fd = open(d->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (d->fd < 0) {
        (void)fprintf(stderr, "calibrate: %s: %s\n", d->path, strerror(errno));
        exit(1);
    }
    for (unsigned i = 0; i < RECORDS; i++) {
        INVARIANT(write(d->fd, d->record, RECORD_LEN) == RECORD_LEN);
    }
    INVARIANT(fsync(d->fd) == 0);
}

static void disk_close(struct disk *d)
{
    (void)close(d->fd);
    (void)unlink(d->path);
}

static double run_sync(void *context, unsigned count)
{
    struct disk *d = context;
    double from = now_s();
    for (unsigned i = 0; i < count; i++) {
        off_t at = (off_t)(d->next++ % RECORDS * RECORD_LEN);
        d->record[0]++;
        INVARIANT(pwrite(d->fd, d->record, RECORD_LEN, at) == RECORD_LEN);
        INVARIANT(fdatasync(d->fd) == 0);
    }
    return now_s() - from;
}

/* ---- SQLite: compressed chunks and the bus offset in one durable transaction ---- */

struct chunks {
    sqlite3 *db;
    sqlite3_stmt *begin, *insert, *offset, *commit;
    unsigned per_commit;
    int64_t start;
    uint8_t blob[CHUNK_LEN];
    char path[300];
};

static void must(int result, int wanted, sqlite3 *db)
{
    if (result != wanted) {
        (void)fprintf(stderr, "calibrate: sqlite: %s\n", sqlite3_errmsg(db));
        exit(1);
    }
}

static void chunks_open(struct chunks *c, const char *dir, unsigned per_commit)
{
    memset(c, 0, sizeof *c);
    c->per_commit = per_commit;
    for (size_t i = 0; i < sizeof c->blob; i++) {
        c->blob[i] = (uint8_t)(i * 31);
    }
    (void)snprintf(c->path, sizeof c->path, "%s/calibrate-%u.db", dir, per_commit);
    must(sqlite3_open(c->path, &c->db), SQLITE_OK, c->db);
    must(sqlite3_exec(c->db,
                      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                      "CREATE TABLE chunk(series INTEGER, start INTEGER, data BLOB);"
                      "CREATE TABLE place(id INTEGER PRIMARY KEY, at INTEGER);"
                      "INSERT INTO place VALUES(1, 0)",
                      NULL, NULL, NULL),
         SQLITE_OK, c->db);
    struct {
        sqlite3_stmt **to;
        const char *sql;
    } const all[] = {{&c->begin, "BEGIN IMMEDIATE"},
                     {&c->insert, "INSERT INTO chunk VALUES(?,?,?)"},
                     {&c->offset, "UPDATE place SET at = at + 1 WHERE id = 1"},
                     {&c->commit, "COMMIT"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        must(sqlite3_prepare_v2(c->db, all[i].sql, -1, all[i].to, NULL), SQLITE_OK, c->db);
    }
}

static void chunks_close(struct chunks *c)
{
    char path[320];
    (void)sqlite3_finalize(c->begin);
    (void)sqlite3_finalize(c->insert);
    (void)sqlite3_finalize(c->offset);
    (void)sqlite3_finalize(c->commit);
    (void)sqlite3_close(c->db);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", c->path, ends[i]);
        (void)unlink(path);
    }
}

static void step(struct chunks *c, sqlite3_stmt *statement)
{
    must(sqlite3_step(statement), SQLITE_DONE, c->db);
    (void)sqlite3_reset(statement);
}

static double run_chunks(void *context, unsigned count)
{
    struct chunks *c = context;
    double from = now_s();
    for (unsigned i = 0; i < count; i++) {
        step(c, c->begin);
        for (unsigned j = 0; j < c->per_commit; j++) {
            (void)sqlite3_bind_int64(c->insert, 1, j);
            (void)sqlite3_bind_int64(c->insert, 2, ++c->start);
            (void)sqlite3_bind_blob(c->insert, 3, c->blob, sizeof c->blob, SQLITE_STATIC);
            step(c, c->insert);
        }
        step(c, c->offset);
        step(c, c->commit);
    }
    return now_s() - from;
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : ".";
    double seconds = argc > 2 ? strtod(argv[2], NULL) / 1000 : 0.3;
    if (argc > 3 || !(seconds > 0)) {
        (void)fprintf(stderr, "usage: calibrate [DIR [MS]]\n");
        return 2;
    }
    static struct curve curve;
    static struct disk disk;
    static struct chunks small;
    static struct chunks large;
    static uint8_t message[MESSAGE_LEN];
    static uint8_t node[NODE_LEN] = {1};
    struct shake server = {0};
    curve_open(&curve);
    shake_open(&server);
    struct shake both = server;
    both.both = true;
    disk_open(&disk, dir);
    chunks_open(&small, dir, 16);
    chunks_open(&large, dir, 256);
    const struct probe probes[] = {
        {"p256_sign_per_s", run_sign, &curve, 1},
        {"p256_verify_per_s", run_verify, &curve, 1},
        {"hmac_sha256_128b_per_s", run_mac, message, 1},
        {"sha256_65b_per_s", run_node, node, 1},
        {"tls13_mutual_handshake_server_per_s", run_shake, &server, 1},
        {"tls13_mutual_handshake_both_per_s", run_shake, &both, 1},
        {"fdatasync_256b_prewritten_per_s", run_sync, &disk, 1},
        {"sqlite_points_16_chunks_per_s", run_chunks, &small, 16 * CHUNK_POINTS},
        {"sqlite_points_256_chunks_per_s", run_chunks, &large, 256 * CHUNK_POINTS},
    };
    printf("{\"v\":1,\"openssl\":\"%s\",\"sqlite\":\"%s\",\"cpus\":%ld",
           OpenSSL_version(OPENSSL_VERSION_STRING), sqlite3_libversion(),
           sysconf(_SC_NPROCESSORS_ONLN));
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        printf(",\n \"%s\":%.0f", probes[i].name, measure(&probes[i], seconds));
        (void)fflush(stdout);
    }
    printf("}\n");
    chunks_close(&large);
    chunks_close(&small);
    disk_close(&disk);
    shake_close(&server);
    curve_close(&curve);
    return 0;
}
