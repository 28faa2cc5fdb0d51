/*
 * A publisher for benches: many MQTT 5 connections over mutual TLS, each keeps a window of QoS 1
 * messages in flight for some seconds. Prints one line: messages acknowledged, seconds, and
 * microseconds from PUBLISH to PUBACK at p50, p99 and p99.9. One process, one thread, epoll; all
 * that is due on a connection is one TLS write.
 *
 *   gateway_load PORT CA CERT KEY TOPIC CONNECTIONS WINDOW BYTES SECONDS [3.1.1]
 */
#include "base/reader.h"
#include "codec/mqtt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { IN_CAP = 65536, OUT_CAP = 262144, WINDOW_MAX = 1024, SAMPLES_MAX = 1 << 22, EVENTS = 256 };

struct link {
    SSL *ssl;
    int fd;
    uint8_t in[IN_CAP];
    size_t in_len;
    uint8_t out[OUT_CAP];
    size_t out_at, out_len;
    uint16_t next_id;
    uint64_t sent_us[WINDOW_MAX]; /* by id % window; ids are used in turn */
    bool wants_write;
};

struct load {
    struct link *links;
    int epoll;
    unsigned connections, window;
    enum mqtt_version version;
    struct slice topic, payload;
    uint64_t acked, refused;
    uint64_t from_us, until_us;
    uint32_t *samples;
    size_t samples_count;
};

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void must(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "gateway_load: %s failed\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

static void watch(struct load *l, struct link *k, bool wants_write)
{
    if (wants_write != k->wants_write) {
        struct epoll_event ev = {.events = EPOLLIN | (wants_write ? EPOLLOUT : 0),
                                 .data = {.ptr = k}};
        must(epoll_ctl(l->epoll, EPOLL_CTL_MOD, k->fd, &ev) == 0, "epoll_ctl");
        k->wants_write = wants_write;
    }
}

static void flush(struct load *l, struct link *k)
{
    while (k->out_at < k->out_len) {
        int n = SSL_write(k->ssl, k->out + k->out_at, (int)(k->out_len - k->out_at));
        if (n <= 0) {
            must(SSL_get_error(k->ssl, n) == SSL_ERROR_WANT_WRITE, "SSL_write");
            watch(l, k, true);
            return;
        }
        k->out_at += (size_t)n;
    }
    k->out_at = 0;
    k->out_len = 0;
    watch(l, k, false);
}

/* A PUBLISH by hand: the generator must cost less than what it measures. */
static void add_publish(struct load *l, struct link *k, uint64_t at_us)
{
    struct writer w = writer_over(k->out + k->out_len, OUT_CAP - k->out_len);
    bool is_5 = l->version == MQTT_5_0;
    size_t remaining = 2 + l->topic.len + 2 + (is_5 ? 1 : 0) + l->payload.len;
    k->next_id = (uint16_t)(k->next_id == 65535 ? 1 : k->next_id + 1);
    write_u8(&w, 0x32);
    if (remaining > 127) {
        write_u8(&w, (uint8_t)(remaining | 0x80));
        remaining >>= 7;
    }
    write_u8(&w, (uint8_t)remaining);
    write_prefixed_u16(&w, l->topic);
    write_u16(&w, k->next_id);
    if (is_5) {
        write_u8(&w, 0); /* no properties */
    }
    write_slice(&w, l->payload);
    must(writer_ok(&w), "room for a message");
    k->out_len += w.len;
    k->sent_us[k->next_id % l->window] = at_us;
}

static void note(struct load *l, struct link *k, uint16_t id, uint64_t at_us)
{
    if (at_us < l->from_us) {
        return; /* warming up */
    }
    l->acked++;
    if (l->samples_count < SAMPLES_MAX) {
        l->samples[l->samples_count++] = (uint32_t)(at_us - k->sent_us[id % l->window]);
    }
}

static unsigned take_acks(struct load *l, struct link *k, uint64_t at_us)
{
    struct slice rest = slice_of(k->in, k->in_len);
    struct mqtt_frame frame;
    struct mqtt_fault fault;
    unsigned count = 0;
    while (mqtt_frame_next(rest, IN_CAP, &frame, &fault) == MQTT_OK) {
        must(frame.type == MQTT_PUBACK, "waiting for a PUBACK");
        l->refused += frame.body.len > 2 && frame.body.at[2] >= 0x80;
        note(l, k, (uint16_t)(frame.body.at[0] << 8 | frame.body.at[1]), at_us);
        rest = slice_after(rest, frame.size);
        count++;
    }
    memmove(k->in, rest.at == NULL ? k->in : rest.at, rest.len);
    k->in_len = rest.len;
    return count;
}

static void serve(struct load *l, struct link *k)
{
    uint64_t at_us = now_us();
    for (;;) {
        int n = SSL_read(k->ssl, k->in + k->in_len, (int)(IN_CAP - k->in_len));
        if (n <= 0) {
            int error = SSL_get_error(k->ssl, n);
            must(error == SSL_ERROR_WANT_READ, "SSL_read");
            break;
        }
        k->in_len += (size_t)n;
        unsigned count = take_acks(l, k, at_us);
        for (unsigned i = 0; i < count; i++) {
            add_publish(l, k, at_us);
        }
    }
    flush(l, k);
}

static void greet(struct link *k, enum mqtt_version version, unsigned number)
{
    char id[32];
    uint8_t bytes[256];
    (void)snprintf(id, sizeof id, "load-%u-%d", number, (int)getpid());
    struct mqtt_packet p = {.type = MQTT_CONNECT};
    p.connect = (struct mqtt_connect){
        .version = version, .clean_start = true, .keep_alive_s = 60, .client_id = slice_text(id)};
    struct writer w = writer_over(bytes, sizeof bytes);
    must(mqtt_encode(&p, version, MQTT_FROM_CLIENT, &w) == MQTT_OK, "CONNECT");
    must(SSL_write(k->ssl, bytes, (int)w.len) == (int)w.len, "sending CONNECT");
    struct mqtt_frame frame;
    struct mqtt_fault fault;
    do {
        int n = SSL_read(k->ssl, k->in + k->in_len, (int)(IN_CAP - k->in_len));
        must(n > 0, "receiving CONNACK");
        k->in_len += (size_t)n;
    } while (mqtt_frame_next(slice_of(k->in, k->in_len), IN_CAP, &frame, &fault) == MQTT_MORE);
    must(frame.type == MQTT_CONNACK && frame.body.at[1] == 0, "being accepted");
    k->in_len = 0;
}

static void open_link(struct load *l, struct link *k, SSL_CTX *ctx, uint16_t port, unsigned number)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1;
    k->fd = socket(AF_INET, SOCK_STREAM, 0);
    must(connect(k->fd, (struct sockaddr *)&to, sizeof to) == 0, "connect");
    (void)setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    k->ssl = SSL_new(ctx);
    must(SSL_set_fd(k->ssl, k->fd) == 1 && SSL_connect(k->ssl) == 1, "TLS");
    greet(k, l->version, number);
    must(fcntl(k->fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = k}};
    must(epoll_ctl(l->epoll, EPOLL_CTL_ADD, k->fd, &ev) == 0, "epoll_ctl");
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t quantile(const struct load *l, double q)
{
    return l->samples_count == 0 ? 0 : l->samples[(size_t)(q * (double)(l->samples_count - 1))];
}

int main(int argc, char **argv)
{
    if (argc != 10 && argc != 11) {
        (void)fprintf(stderr, "use: gateway_load PORT CA CERT KEY TOPIC CONNECTIONS WINDOW BYTES "
                              "SECONDS [3.1.1]\n");
        return 2;
    }
    static uint8_t payload[65536];
    memset(payload, 'x', sizeof payload);
    struct load l = {
        .epoll = epoll_create1(0),
        .connections = (unsigned)atoi(argv[6]),
        .window = (unsigned)atoi(argv[7]),
        .version = argc == 11 ? MQTT_3_1_1 : MQTT_5_0,
        .topic = slice_text(argv[5]),
        .payload = slice_of(payload, (size_t)atoi(argv[8])),
        .samples = calloc(SAMPLES_MAX, sizeof(uint32_t)),
    };
    must(l.window <= WINDOW_MAX && l.payload.len < 16000, "limits");
    l.links = calloc(l.connections, sizeof *l.links);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    must(SSL_CTX_use_certificate_chain_file(ctx, argv[3]) == 1
             && SSL_CTX_use_PrivateKey_file(ctx, argv[4], SSL_FILETYPE_PEM) == 1
             && SSL_CTX_load_verify_locations(ctx, argv[2], NULL) == 1,
         "loading certificates");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    for (unsigned i = 0; i < l.connections; i++) {
        open_link(&l, &l.links[i], ctx, (uint16_t)atoi(argv[1]), i);
    }
    uint64_t begin_us = now_us();
    l.from_us = begin_us + 500000;
    l.until_us = l.from_us + (uint64_t)(atof(argv[9]) * 1e6);
    for (unsigned i = 0; i < l.connections; i++) {
        for (unsigned n = 0; n < l.window; n++) {
            add_publish(&l, &l.links[i], begin_us);
        }
        flush(&l, &l.links[i]);
    }
    while (now_us() < l.until_us) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(l.epoll, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            serve(&l, events[i].data.ptr);
        }
    }
    double seconds = (double)(now_us() - l.from_us) / 1e6;
    qsort(l.samples, l.samples_count, sizeof *l.samples, by_value);
    (void)printf("%llu %.3f %u %u %u %llu\n", (unsigned long long)l.acked, seconds,
                 quantile(&l, 0.5), quantile(&l, 0.99), quantile(&l, 0.999),
                 (unsigned long long)l.refused);
    return 0;
}
