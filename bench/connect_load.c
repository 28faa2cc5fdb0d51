/*
 * Connections for benches, by many devices of one issuer whose key lies in DIR: how fast they come,
 * what they cost while they do nothing, what a storm of them does to those who are there. One
 * process, one thread, epoll. Every device has a certificate of its own, made at the start.
 *
 *   connect_load PORT DIR full SECONDS [DEVICES]      each connects, says CONNECT, goes, again
 *   connect_load PORT DIR resumed SECONDS [DEVICES]   the same by its TLS session
 *   connect_load PORT DIR hold COUNT [resumed]        says "held", then waits for its input to end
 *   connect_load PORT DIR storm COUNT                 all at once, each until it is let in
 *   connect_load PORT DIR steady SECONDS DEVICES RATE says "ready"; RATE QoS 1 messages a second
 *
 * The last line has the figures. Without verification of the server: the generator must cost less
 * than what it measures.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wcast-qual"

enum {
    EVENTS = 256,
    SAMPLES_MAX = 1 << 22,
    PER_SOURCE = 20000,
    IN_FLIGHT = 48,
    BACK_OFF_US = 200000
};

enum stage { IDLE, CALLING, SHAKING, GREETING, UP };

struct device {
    char id[37]; /* "hf1:..." */
    X509 *certificate;
    EVP_PKEY *key;
    SSL_SESSION *session;
    SSL *ssl;
    int fd;
    enum stage stage;
    bool was_resumed;
    uint32_t watched;
    uint64_t began_us, due_us, sent_us;
    uint8_t in[64];
    size_t in_len;
    uint16_t packet_id;
};

static struct {
    SSL_CTX *ctx;
    struct device *devices;
    unsigned count;
    int epoll;
    uint16_t port;
    bool resumes;
    bool stays; /* who is in stays there */
    uint32_t *samples;
    size_t samples_count;
    uint64_t done, resumed, refused, lost, acked;
} load;

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void must(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "connect_load: %s failed: %s\n", what, strerror(errno));
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

/* ---- devices ---- */

static X509 *issuer;
static EVP_PKEY *issuer_key;

static void read_issuer(const char *dir)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/issuer.pem", dir);
    FILE *f = fopen(path, "r");
    must(f != NULL && (issuer = PEM_read_X509(f, NULL, NULL, NULL)) != NULL, path);
    (void)fclose(f);
    (void)snprintf(path, sizeof path, "%s/issuer.key", dir);
    f = fopen(path, "r");
    must(f != NULL && (issuer_key = PEM_read_PrivateKey(f, NULL, NULL, NULL)) != NULL, path);
    (void)fclose(f);
}

static void extend(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(extension != NULL && X509_add_ext(cert, extension, -1) == 1, value);
    X509_EXTENSION_free(extension);
}

static void make_device(struct device *d)
{
    uint8_t random[16];
    char name[100];
    must(getrandom(random, sizeof random, 0) == sizeof random, "getrandom");
    (void)snprintf(d->id, sizeof d->id, "hf1:");
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(d->id + 4 + 2 * i, 3, "%02x", random[i]);
    }
    d->fd = -1;
    d->key = EVP_EC_gen("P-256");
    d->certificate = X509_new();
    (void)X509_set_version(d->certificate, 2);
    (void)ASN1_INTEGER_set_uint64(X509_get_serialNumber(d->certificate),
                                  (uint64_t)random[0] << 16 | (uint64_t)random[1] << 8 | random[2]);
    (void)X509_gmtime_adj(X509_getm_notBefore(d->certificate), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(d->certificate), 30 * 86400);
    (void)X509_set_issuer_name(d->certificate, X509_get_subject_name(issuer));
    X509_NAME *subject = X509_get_subject_name(d->certificate);
    (void)X509_NAME_add_entry_by_txt(subject, "serialNumber", MBSTRING_ASC,
                                     (const unsigned char *)d->id, -1, -1, 0);
    must(X509_set_pubkey(d->certificate, d->key) == 1, "the key of a device");
    (void)snprintf(name, sizeof name, "URI:spiffe://holdfast.local/device/%s", d->id);
    extend(d->certificate, NID_subject_alt_name, name);
    extend(d->certificate, NID_ext_key_usage, "clientAuth");
    extend(d->certificate, NID_key_usage, "digitalSignature");
    extend(d->certificate, NID_subject_key_identifier, "hash");
    extend(d->certificate, NID_authority_key_identifier, "keyid");
    must(X509_sign(d->certificate, issuer_key, EVP_sha256()) > 0, "signing");
}

static void make_devices(const char *dir, unsigned count)
{
    read_issuer(dir);
    load.count = count;
    load.devices = calloc(count, sizeof *load.devices);
    for (unsigned i = 0; i < count; i++) {
        make_device(&load.devices[i]);
    }
}

/* ---- a connection ---- */

static void watch(struct device *d, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data = {.ptr = d}};
    if (events != d->watched) {
        int call = d->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        must(epoll_ctl(load.epoll, call, d->fd, &ev) == 0, "epoll_ctl");
        d->watched = events;
    }
}

/* Reset, so that a bench leaves no ports in TIME_WAIT. */
static void hang_up(struct device *d)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (d->ssl != NULL) {
        SSL_set_shutdown(d->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* keeps the session */
        SSL_free(d->ssl);
        d->ssl = NULL;
    }
    if (d->fd >= 0) {
        (void)setsockopt(d->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        (void)close(d->fd);
    }
    d->fd = -1;
    d->watched = 0;
    d->in_len = 0;
    d->stage = IDLE;
}

static void call(struct device *d)
{
    unsigned number = (unsigned)(d - load.devices);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(load.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr = {htonl(INADDR_LOOPBACK + number / PER_SOURCE)}};
    int on = 1;
    if (d->began_us == 0) {
        d->began_us = now_us();
    }
    d->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    must(d->fd >= 0, "socket");
    (void)setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (number >= PER_SOURCE) {
        must(bind(d->fd, (struct sockaddr *)&from, sizeof from) == 0, "bind");
    }
    must(connect(d->fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS, "connect");
    d->stage = CALLING;
    watch(d, EPOLLOUT);
}

static void begin_tls(struct device *d)
{
    d->ssl = SSL_new(load.ctx);
    must(d->ssl != NULL && SSL_use_certificate(d->ssl, d->certificate) == 1
             && SSL_use_PrivateKey(d->ssl, d->key) == 1 && SSL_set_fd(d->ssl, d->fd) == 1,
         "SSL_new");
    SSL_set_app_data(d->ssl, d);
    if (load.resumes && d->session != NULL) {
        must(SSL_set_session(d->ssl, d->session) == 1, "SSL_set_session");
        SSL_SESSION_free(d->session);
        d->session = NULL;
    }
    d->stage = SHAKING;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct device *d = SSL_get_app_data(ssl);
    SSL_SESSION_free(d->session);
    d->session = session;
    return 1;
}

static void refused(struct device *d)
{
    load.refused += d->stage != UP;
    load.lost += d->stage == UP;
    hang_up(d);
    d->due_us = now_us() + BACK_OFF_US;
}

static void greet(struct device *d)
{
    uint8_t packet[64] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0x04, 0xb0, 0, 0, 36};
    memcpy(packet + 15, d->id, 36);
    packet[1] = 13 + 36;
    must(SSL_write(d->ssl, packet, 15 + 36) == 15 + 36, "CONNECT");
    d->was_resumed = SSL_session_reused(d->ssl) == 1;
    d->stage = GREETING;
    watch(d, EPOLLIN);
}

static void note(uint64_t us)
{
    if (load.samples_count < SAMPLES_MAX) {
        load.samples[load.samples_count++] = (uint32_t)us;
    }
}

/* One packet at a time is all that a gateway sends here. */
static void take(struct device *d)
{
    int n = SSL_read(d->ssl, d->in + d->in_len, (int)(sizeof d->in - d->in_len));
    if (n <= 0) {
        if (SSL_get_error(d->ssl, n) != SSL_ERROR_WANT_READ) {
            refused(d);
        }
        return;
    }
    d->in_len += (size_t)n;
    while (d->in_len >= 2 && d->in_len >= 2u + d->in[1]) {
        size_t size = 2u + d->in[1];
        if (d->in[0] == 0x20 && d->in[3] == 0) {
            d->stage = UP;
            load.done++;
            load.resumed += d->was_resumed;
            note(now_us() - d->began_us);
            d->began_us = 0;
            if (!load.stays) { /* it has come by for its session only */
                hang_up(d);
                d->stage = UP;
                return;
            }
        } else if (d->in[0] == 0x40) {
            load.acked++;
            note(now_us() - d->sent_us);
            d->sent_us = 0;
        } else {
            refused(d);
            return;
        }
        memmove(d->in, d->in + size, d->in_len - size);
        d->in_len -= size;
    }
}

static void go_on(struct device *d)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (d->stage == CALLING) {
        (void)getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0) {
            refused(d);
            return;
        }
        begin_tls(d);
    }
    if (d->stage == SHAKING) {
        ERR_clear_error();
        int result = SSL_connect(d->ssl);
        if (result == 1) {
            greet(d);
            return;
        }
        error = SSL_get_error(d->ssl, result);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
            watch(d, error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT);
        } else {
            refused(d);
        }
        return;
    }
    if (d->stage == GREETING || d->stage == UP) {
        ERR_clear_error();
        take(d);
    }
}

static void turn(int wait_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(load.epoll, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        go_on(events[i].data.ptr);
    }
}

/* ---- what is measured ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t quantile(double q)
{
    return load.samples_count == 0 ? 0
                                   : load.samples[(size_t)(q * (double)(load.samples_count - 1))];
}

static void tell(double seconds)
{
    qsort(load.samples, load.samples_count, sizeof *load.samples, by_value);
    (void)printf(
        "done %llu resumed %llu refused %llu lost %llu acked %llu seconds %.3f p50 %u p99 %u "
        "max %u\n",
        (unsigned long long)load.done, (unsigned long long)load.resumed,
        (unsigned long long)load.refused, (unsigned long long)load.lost,
        (unsigned long long)load.acked, seconds, quantile(0.5), quantile(0.99), quantile(1.0));
    (void)fflush(stdout);
}

/* Connects those that are not up, a few at a time, until all are. */
static void raise_all(unsigned at_once)
{
    unsigned up = 0;
    while (up < load.count) {
        unsigned busy = 0;
        up = 0;
        uint64_t at_us = now_us();
        for (unsigned i = 0; i < load.count; i++) {
            struct device *d = &load.devices[i];
            up += d->stage == UP;
            busy += d->stage != UP && d->stage != IDLE;
        }
        for (unsigned i = 0; i < load.count && busy < at_once; i++) {
            struct device *d = &load.devices[i];
            if (d->stage == IDLE && at_us >= d->due_us) {
                call(d);
                busy++;
            }
        }
        for (unsigned n = 0; n < 32 && up < load.count; n++) {
            turn(10);
        }
    }
}

static void loop_connects(double seconds)
{
    raise_all(IN_FLIGHT); /* each has a session now */
    for (unsigned i = 0; i < load.count; i++) {
        hang_up(&load.devices[i]);
    }
    load.done = load.resumed = load.refused = 0;
    load.samples_count = 0;
    uint64_t begin_us = now_us();
    uint64_t until_us = begin_us + (uint64_t)(seconds * 1e6);
    while (now_us() < until_us) {
        for (unsigned i = 0; i < load.count; i++) {
            struct device *d = &load.devices[i];
            if (d->stage == UP) {
                hang_up(d);
            }
            if (d->stage == IDLE && now_us() >= d->due_us) {
                call(d);
            }
        }
        turn(5);
    }
    tell((double)(now_us() - begin_us) / 1e6);
}

static void hold(bool resumed)
{
    char byte;
    raise_all(IN_FLIGHT);
    if (resumed) { /* none of the first ones is there any more: nor is their memory */
        (void)printf("again\n");
        (void)fflush(stdout);
        must(read(0, &byte, 1) == 1, "waiting");
        load.done = load.resumed = 0;
        load.stays = true;
        for (unsigned i = 0; i < load.count; i++) {
            load.devices[i].stage = IDLE;
        }
        raise_all(IN_FLIGHT);
    }
    (void)printf("held %llu resumed %llu\n", (unsigned long long)load.done,
                 (unsigned long long)load.resumed);
    (void)fflush(stdout);
    (void)!read(0, &byte, 1);
}

static void publish(struct device *d)
{
    uint8_t packet[256] = {0x32, 0};
    size_t at = 3;
    char topic[64];
    int len = snprintf(topic, sizeof topic, "hf/1/%s/j/b", d->id);
    packet[at++] = 0;
    packet[at++] = (uint8_t)len;
    memcpy(packet + at, topic, (size_t)len);
    at += (size_t)len;
    d->packet_id = (uint16_t)(d->packet_id % 60000 + 1);
    packet[at++] = (uint8_t)(d->packet_id >> 8);
    packet[at++] = (uint8_t)d->packet_id;
    packet[at++] = 0;
    memset(packet + at, 'x', 128);
    at += 128;
    packet[1] = (uint8_t)((at - 3) & 127) | 128;
    packet[2] = (uint8_t)((at - 3) >> 7);
    d->sent_us = now_us();
    if (SSL_write(d->ssl, packet, (int)at) != (int)at) {
        refused(d);
    }
}

static void steady(double seconds, double rate)
{
    raise_all(IN_FLIGHT);
    (void)printf("ready\n");
    (void)fflush(stdout);
    load.samples_count = 0;
    uint64_t begin_us = now_us();
    uint64_t until_us = begin_us + (uint64_t)(seconds * 1e6);
    uint64_t sent = 0;
    while (now_us() < until_us) {
        uint64_t due = (uint64_t)((double)(now_us() - begin_us) / 1e6 * rate);
        for (; sent < due; sent++) {
            struct device *d = &load.devices[sent % load.count];
            if (d->stage == UP && d->sent_us == 0) {
                publish(d);
            }
        }
        turn(1);
    }
    tell((double)(now_us() - begin_us) / 1e6);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        (void)fprintf(stderr, "use: connect_load PORT DIR full|resumed|hold|storm|steady ...\n");
        return 2;
    }
    const char *mode = argv[3];
    bool is_loop = strcmp(mode, "full") == 0 || strcmp(mode, "resumed") == 0;
    bool is_steady = strcmp(mode, "steady") == 0;
    load.port = (uint16_t)atoi(argv[1]);
    load.epoll = epoll_create1(0);
    load.samples = calloc(SAMPLES_MAX, sizeof(uint32_t));
    load.ctx = SSL_CTX_new(TLS_client_method());
    load.resumes = strcmp(argv[argc - 1], "resumed") == 0 || strcmp(mode, "resumed") == 0;
    (void)SSL_CTX_set_min_proto_version(load.ctx, TLS1_3_VERSION);
    (void)SSL_CTX_set1_groups_list(load.ctx, "X25519");
    (void)SSL_CTX_set_mode(load.ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(load.ctx,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(load.ctx, keep_session);
    SSL_CTX_set_verify(load.ctx, SSL_VERIFY_NONE, NULL);
    make_devices(argv[2], is_loop     ? (argc > 5 ? (unsigned)atoi(argv[5]) : IN_FLIGHT)
                          : is_steady ? (unsigned)atoi(argv[5])
                                      : (unsigned)atoi(argv[4]));
    load.stays = !(strcmp(mode, "hold") == 0 && load.resumes);
    if (is_loop) {
        loop_connects(atof(argv[4]));
    } else if (is_steady) {
        steady(atof(argv[4]), atof(argv[6]));
    } else if (strcmp(mode, "hold") == 0) {
        hold(load.resumes);
    } else {
        char byte;
        (void)printf("ready\n");
        (void)fflush(stdout);
        (void)!read(0, &byte, 1);
        uint64_t begin_us = now_us();
        raise_all(load.count);
        tell((double)(now_us() - begin_us) / 1e6);
    }
    return 0;
}
