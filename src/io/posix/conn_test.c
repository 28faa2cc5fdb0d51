/* Plain connections, over TCP and local sockets: what arrives, what is held back, how they end. */
#include "io/posix/pair.h"
#include "test/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void echo(struct pair *p, const struct port_event *ev)
{
    if (ev->kind == PORT_RECEIVED && ev->conn == p->server) {
        CHECK(port_send(ev->conn, ev->received.bytes));
        port_consume(ev->conn, ev->received.bytes.len);
    }
}

static bool client_got(const struct pair *p, const char *text)
{
    return p->client_in_len == strlen(text) && memcmp(p->client_in, text, p->client_in_len) == 0;
}

static bool got_hello(struct pair *p)
{
    return client_got(p, "hello");
}

static bool both_up(struct pair *p)
{
    return p->server != NULL && p->client_up;
}

static bool client_closed(struct pair *p)
{
    return p->client_closed == 1;
}

static bool server_closed(struct pair *p)
{
    return p->server_closed == 1;
}

static bool both_closed(struct pair *p)
{
    return p->client_closed == 1 && p->server_closed == 1;
}

static void check_echo(const char *address)
{
    struct pair p;
    pair_open(&p);
    p.act = echo;
    REQUIRE(pair_listen(&p, address) == PORT_OK);
    REQUIRE(pair_connect(&p) == PORT_OK);
    REQUIRE(pair_until(&p, both_up));
    CHECK(port_send(p.client, slice_text("hello")));
    CHECK(pair_until(&p, got_hello));
    struct port_peer peer;
    port_conn_peer(p.server, &peer);
    CHECK(!peer.has_tls && !peer.has_certificate);
    port_close(p.client);
    CHECK(pair_until(&p, both_closed));
    CHECK(p.client_reason == PORT_CLOSE_LOCAL);
    CHECK(p.server_reason == PORT_CLOSE_PEER);
    pair_close(&p);
}

TEST("bytes sent to an echo come back over IPv4")
{
    check_echo("127.0.0.1:0");
}

TEST("bytes sent to an echo come back over IPv6")
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool there = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (!there) {
        test_skipped("this machine has no IPv6 loopback");
        return;
    }
    check_echo("[::1]:0");
}

TEST("bytes sent to an echo come back by name")
{
    check_echo("localhost:0");
}

TEST("a local socket has mode 0600, tells the peer's uid, replaces a stale one and goes with its "
     "listener")
{
    char address[300];
    (void)snprintf(address, sizeof address, "unix:%s/sock", test_scratch_dir());
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%.100s", address + 5);
    REQUIRE(bind(stale, (struct sockaddr *)&at, sizeof at) == 0);
    (void)close(stale);
    struct pair p;
    pair_open(&p);
    REQUIRE(pair_listen(&p, address) == PORT_OK);
    struct stat about;
    CHECK(stat(address + 5, &about) == 0 && (about.st_mode & 0777) == 0600);
    REQUIRE(pair_connect(&p) == PORT_OK);
    REQUIRE(pair_until(&p, both_up));
    struct port_peer peer;
    port_conn_peer(p.server, &peer);
    CHECK_U64(peer.local_uid, getuid());
    struct port_listener *second = NULL;
    CHECK(port_listen(p.port, address, NULL, &p.options, NULL, &second, &p.why) == PORT_BUSY);
    pair_close(&p);
    CHECK(stat(address + 5, &about) != 0 && errno == ENOENT);
    check_echo(address);
}

TEST("an address that cannot be is refused in words")
{
    struct pair p;
    pair_open(&p);
    static const char *const wrong[] = {"127.0.0.1", "127.0.0.1:65536", "::1:80",      ":80",
                                        "host:http", "unix:",           "127.0.0.1:-1"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct port_conn *conn = NULL;
        CHECK(pair_listen(&p, wrong[i]) == PORT_BAD);
        CHECK(port_connect(p.port, wrong[i], NULL, NULL, &p.options, NULL, &conn, &p.why)
              == PORT_BAD);
        CHECK(strstr(p.why.text, wrong[i]) != NULL);
    }
    CHECK(pair_listen(&p, "example.invalid:80") == PORT_BAD);
    pair_close(&p);
}

TEST("a listener's address in use is PORT_BUSY")
{
    struct pair p;
    pair_open(&p);
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    struct port_listener *second = NULL;
    char same[32];
    (void)snprintf(same, sizeof same, "127.0.0.1:%u", port_listener_port(p.listener));
    CHECK(port_listen(p.port, same, NULL, &p.options, NULL, &second, &p.why) == PORT_BUSY);
    pair_close(&p);
}

TEST("nobody listening is PORT_CLOSED, unreachable")
{
    struct pair p;
    pair_open(&p);
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    port_listener_close(p.listener);
    p.listener = NULL;
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, client_closed));
    CHECK(p.client_reason == PORT_CLOSE_UNREACHABLE);
    pair_close(&p);
}

TEST("what was sent before port_close arrives whole, even to a peer that never stops sending")
{
    struct pair p;
    pair_open(&p);
    p.options.send_cap = PAIR_BYTES_MAX;
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    REQUIRE(pair_connect(&p) == PORT_OK);
    REQUIRE(pair_until(&p, both_up));
    static uint8_t big[PAIR_BYTES_MAX];
    memset(big, 'x', sizeof big);
    CHECK(port_send(p.client, slice_text("unread")));
    CHECK(port_send(p.server, slice_of(big, sizeof big)));
    port_close(p.server);
    CHECK(!port_send(p.server, slice_text("late")));
    CHECK(pair_until(&p, both_closed));
    CHECK_U64(p.client_in_len, sizeof big);
    CHECK(p.server_reason == PORT_CLOSE_LOCAL && p.client_reason == PORT_CLOSE_PEER);
    pair_close(&p);
}

static bool client_got_all(struct pair *p)
{
    return p->client_in_len == PAIR_BYTES_MAX;
}

static bool server_drained(struct pair *p)
{
    return p->drained == 1;
}

TEST("a full send buffer takes nothing, then drains")
{
    struct pair p;
    pair_open(&p);
    p.options.send_cap = PAIR_BYTES_MAX;
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    REQUIRE(pair_connect(&p) == PORT_OK);
    REQUIRE(pair_until(&p, both_up));
    static uint8_t big[PAIR_BYTES_MAX];
    CHECK_U64(port_send_room(p.server), sizeof big);
    CHECK(port_send(p.server, slice_of(big, sizeof big)));
    CHECK_U64(port_send_room(p.server), 0);
    CHECK(!port_send(p.server, slice_text("x")));
    CHECK(pair_until(&p, server_drained));
    CHECK(port_send_room(p.server) >= sizeof big / 2);
    CHECK(pair_until(&p, client_got_all));
    CHECK_U64(p.drained, 1);
    pair_close(&p);
}

static void keep(struct pair *p, const struct port_event *ev)
{
    if (ev->kind == PORT_RECEIVED && ev->conn == p->server) {
        p->server_in_len = ev->received.bytes.len;
        p->received++;
    }
}

static bool server_full(struct pair *p)
{
    return p->server_in_len == p->options.receive_cap;
}

static bool server_has_abcdef(struct pair *p)
{
    return p->server_in_len == 6;
}

TEST("a full receive buffer stops reading; consuming goes on where it stopped")
{
    struct pair p;
    pair_open(&p);
    p.act = keep;
    p.options.receive_cap = 1000;
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    REQUIRE(pair_connect(&p) == PORT_OK);
    REQUIRE(pair_until(&p, both_up));
    static uint8_t more[2500];
    CHECK(port_send(p.client, slice_of(more, sizeof more)));
    CHECK(pair_until(&p, server_full));
    port_consume(p.server, 1000);
    p.server_in_len = 0;
    CHECK(pair_until(&p, server_full));
    port_consume(p.server, 999);
    p.server_in_len = 0;
    p.options.receive_cap = 501;
    CHECK(pair_until(&p, server_full));
    pair_close(&p);
}

TEST("a paused connection tells nothing; resumed it tells all that is there")
{
    struct pair p;
    pair_open(&p);
    p.act = keep;
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    REQUIRE(pair_connect(&p) == PORT_OK);
    REQUIRE(pair_until(&p, both_up));
    CHECK(port_send(p.client, slice_text("abc")));
    REQUIRE(pair_until(&p, pair_received));
    port_pause(p.server);
    CHECK(port_send(p.client, slice_text("def")));
    port_close(p.client);
    CHECK(pair_until(&p, client_closed));
    CHECK_U64(p.received, 1);
    CHECK_U64(p.server_closed, 0);
    port_resume(p.server);
    CHECK(pair_until(&p, server_has_abcdef));
    CHECK(pair_until(&p, server_closed));
    CHECK(p.server_reason == PORT_CLOSE_PEER);
    pair_close(&p);
}

static void answer_at_turn_end(struct pair *p, const struct port_event *ev)
{
    if (ev->kind == PORT_RECEIVED && ev->conn == p->server) {
        port_consume(ev->conn, ev->received.bytes.len);
        p->owes = true;
    } else if (ev->kind == PORT_TURN_ENDED && p->owes) {
        p->owes = false;
        CHECK(port_send(p->server, slice_text("answer")));
    }
}

TEST("an answer given at the turn's end reaches a peer that had ended its half")
{
    struct pair p;
    pair_open(&p);
    p.act = answer_at_turn_end;
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    int fd = pair_raw_connect(&p);
    REQUIRE(fd >= 0);
    CHECK(send(fd, "ask", 3, 0) == 3);
    CHECK(shutdown(fd, SHUT_WR) == 0);
    CHECK(pair_until(&p, server_closed));
    char to[16];
    CHECK(recv(fd, to, sizeof to, MSG_WAITALL) == 6 && memcmp(to, "answer", 6) == 0);
    (void)close(fd);
    pair_close(&p);
}

TEST("a peer's reset is PORT_CLOSED, reset")
{
    struct pair p;
    pair_open(&p);
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    int fd = pair_raw_connect(&p);
    REQUIRE(fd >= 0 && pair_until(&p, pair_accepted));
    struct linger hard = {.l_onoff = 1};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
    (void)close(fd);
    CHECK(pair_until(&p, server_closed));
    CHECK(p.server_reason == PORT_CLOSE_RESET);
    pair_close(&p);
}

static void close_both_in_received(struct pair *p, const struct port_event *ev)
{
    if (ev->kind == PORT_RECEIVED && ev->conn == p->server) {
        port_abort(p->client);
        port_abort(p->server);
        port_close(p->server);
        port_consume(p->server, ev->received.bytes.len);
        CHECK(p->client_closed == 0 && p->server_closed == 0);
    }
}

TEST("any connection may be closed within any event, and each end is told once, later")
{
    struct pair p;
    pair_open(&p);
    p.act = close_both_in_received;
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    REQUIRE(pair_connect(&p) == PORT_OK);
    REQUIRE(pair_until(&p, both_up));
    CHECK(port_send(p.client, slice_text("x")));
    CHECK(pair_until(&p, both_closed));
    CHECK(p.client_reason == PORT_CLOSE_LOCAL && p.server_reason == PORT_CLOSE_LOCAL);
    pair_close(&p);
}

static void close_in_first_event(struct pair *p, const struct port_event *ev)
{
    (void)p;
    if (ev->kind == PORT_ACCEPTED || ev->kind == PORT_CONNECTED) {
        port_close(ev->conn);
    }
}

TEST("a connection may be closed within the event that announces it")
{
    struct pair p;
    pair_open(&p);
    p.act = close_in_first_event;
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, both_closed));
    pair_close(&p);
}

static bool three_accepted(struct pair *p)
{
    return p->accepted == 3;
}

static bool four_accepted(struct pair *p)
{
    return p->accepted == 4;
}

TEST("beyond connections_max the backlog waits until one goes")
{
    struct pair p;
    pair_open(&p);
    p.options.connections_max = 3;
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    int fds[4];
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = pair_raw_connect(&p);
        REQUIRE(fds[i] >= 0);
    }
    CHECK(pair_until(&p, three_accepted));
    REQUIRE(pair_connect(&p) == PORT_OK); /* its connect completes in the backlog: turns went by */
    CHECK(pair_until(&p, pair_client_up));
    CHECK_U64(p.accepted, 3);
    (void)close(fds[0]);
    CHECK(pair_until(&p, four_accepted));
    for (size_t i = 1; i < COUNT_OF(fds); i++) {
        (void)close(fds[i]);
    }
    pair_close(&p);
}

static bool refused_once(struct pair *p)
{
    return p->refused >= 1;
}

TEST("without a descriptor left accepting stands still, says so and goes on later")
{
    struct pair p;
    pair_open(&p);
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    int fd = pair_raw_connect(&p);
    REQUIRE(fd >= 0);
    struct rlimit before;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    int next = dup(fd); /* the lowest free number: nothing above it may be opened */
    REQUIRE(next >= 0);
    (void)close(next);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK(pair_until(&p, refused_once));
    uint64_t turns = p.turns;
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(pair_until(&p, pair_accepted));
    CHECK(p.turns - turns < 20);
    (void)close(fd);
    pair_close(&p);
}

static void send_a_lot(struct pair *p, const struct port_event *ev)
{
    static uint8_t some[100];
    if (ev->kind == PORT_TURN_ENDED && p->client_up && p->client_closed == 0) {
        while (p->sent < 200000 && port_send(p->client, slice_of(some, sizeof some))) {
            p->sent += sizeof some;
        }
    }
    if (ev->kind == PORT_RECEIVED && ev->conn == p->server) {
        size_t len = ev->received.bytes.len;
        size_t take = len < 77 ? len : len - len % 7; /* leaves odd remainders behind */
        p->server_in_len += take;
        port_consume(ev->conn, take);
    }
}

static bool server_got_200000(struct pair *p)
{
    return p->server_in_len >= 200000 - 7;
}

TEST("input that is consumed in odd pieces is neither lost nor told twice")
{
    struct pair p;
    pair_open(&p);
    p.act = send_a_lot;
    p.options.receive_cap = 3000;
    p.options.send_cap = 1000;
    REQUIRE(pair_listen(&p, "127.0.0.1:0") == PORT_OK);
    REQUIRE(pair_connect(&p) == PORT_OK);
    CHECK(pair_until(&p, server_got_200000));
    CHECK(p.server_in_len <= 200000);
    pair_close(&p);
}
