/*
 * What the files of io/posix share with each other and with nobody else. One loop, one thread; the
 * thread pool only ever sees a struct sync_work. No function of port.h calls the role's handler:
 * whatever a role may cause is put on the ready list and told from port_run, so a role may close
 * any handle at any time.
 */
#ifndef IO_POSIX_INSIDE_H
#define IO_POSIX_INSIDE_H

#include "base/invariant.h"
#include "io/port.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

enum {
    PORT_READ_TURN = 64 * 1024, /* most bytes read from one connection in one turn: fairness */
    PORT_ACCEPT_TURN = 32,      /* most connections taken from one listener in one turn */
    PORT_SHAKE_TURN_US = 500, /* processor time for handshakes in one turn: who is up goes first */
    PORT_BACKLOG = 4096,
    PORT_ACCEPT_PAUSE_MS = 100, /* after accept found no descriptor or memory */
    PORT_FLUSH_MS = 5000,       /* limit for sending what is left after port_close */
    PORT_LINGER_MS = 2000,      /* how long the peer may take to read our end before we forget it */
    PORT_DIAL_MAX = 4,          /* addresses of one name that are tried */
    PORT_CHAIN_DEPTH_MAX = 4,
    PORT_OFFERS_MAX = 8, /* servers whose sessions a client keeps */
    ANCHORS_DIGEST_LEN = 32
};

/*
 *  RESOLVING -> CONNECTING -> HANDSHAKING -> UP -> CLOSING -> ENDED -> GHOST
 *  Every stage may go to ENDED (the closing event waits on the ready list). GHOST has told the role
 * and only keeps the socket until the peer has read our last bytes: closing it at once could reset
 * them away.
 */
enum conn_stage {
    CONN_RESOLVING,
    CONN_CONNECTING,
    CONN_HANDSHAKING,
    CONN_UP,
    CONN_CLOSING,
    CONN_ENDED,
    CONN_GHOST
};

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

struct endpoint {
    union socket_address at;
    socklen_t len;
};

/* The addresses of a name that is being called; freed once one of them answered. */
struct dial {
    uv_getaddrinfo_t request;
    struct port_conn *conn; /* NULL: given up while the resolver worked */
    bool resolving;
    struct endpoint list[PORT_DIAL_MAX];
    unsigned count;
    unsigned next;
    char name[256];
    char service[8];
};

/* DER, shared by a connection and the session it may be resumed by. */
struct certificate {
    unsigned users;
    size_t len;
    uint8_t bytes[];
};

/* When a whole chain is good, in seconds since 1970. */
struct validity {
    int64_t from_s, until_s;
};

/* What a client may offer to a server. */
struct offer {
    char *name; /* "ADDRESS NAME"; NULL: none */
    SSL_SESSION *session;
    struct validity validity;
    size_t anchors;
    uint64_t order;
};

struct out_buffer {
    uint8_t *at;
    size_t head, len, cap; /* `len` bytes wait from `head` on */
};

struct port_conn {
    struct port *port;
    struct port_listener *listener; /* that accepted it and is still open; NULL otherwise */
    struct port_conn *prev, *next;  /* all of the port */
    struct port_conn *ready_next, *dirty_next;
    struct port_conn *shake_next, **shake_link; /* its handshake can go on and waits for its turn */
    struct port_conn *older, *newer; /* of the listener's handshakes, by when they began */
    uint64_t since_ms;
    void *user;
    uv_poll_t *poll; /* of `fd`; its own memory, for a dialling connection goes through several */
    uv_timer_t timer;
    int fd;     /* -1: none */
    int polled; /* what `poll` waits for; 0: stopped */
    enum conn_stage stage;
    uint64_t ended_turn;
    SSL *ssl;
    struct port_tls *tls;
    struct dial *dial;

    size_t receive_cap, send_cap;
    struct slice in; /* unconsumed input: in `own`, or during PORT_RECEIVED in the port's scratch */
    uint8_t *own;
    size_t own_cap;
    struct out_buffer out;

    bool accepted; /* came from a listener: its early end is PORT_REFUSED */
    bool counted;  /* among the listener's handshakes */
    bool was_up;
    bool is_ready, is_dirty;
    bool telling; /* PORT_RECEIVED is with the role, which still looks at `in` */
    bool paused;
    bool more; /* reading stopped before the transport had nothing left */
    bool give; /* PORT_RECEIVED is due for what is there (after port_resume) */
    bool refused_send, drained_due;
    bool blocked; /* the transport took less than we had */
    bool read_wants_write;
    bool saw_end;    /* the peer will send no more */
    bool lingers;    /* becomes a ghost instead of going at once */
    bool tls_broken; /* OpenSSL forbids any further call */
    enum port_close_reason reason;
    const char *detail;

    int verify_error;
    size_t anchors;
    bool is_resumed;
    bool knows_peer;                 /* its certificate is the one that this handshake has shown */
    struct certificate *certificate; /* the peer's; NULL: none */
    struct validity validity;        /* of its chain */
    uint64_t proved_ms;              /* of a client that resumed: when it last signed */
    char *server;                    /* "ADDRESS NAME" of a client that resumes */
    uint8_t exporter[PORT_EXPORTER_LEN];
    uint32_t local_uid;
    uint8_t source[PORT_SOURCE_LEN];
    char address[64];
};

struct port_listener {
    struct port *port;
    struct port_listener *prev, *next;
    void *user;
    struct port_tls *tls;
    struct port_listen_options options;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned handles;
    int fd;
    bool polling, closed;
    bool pausing; /* accept found no descriptor or no memory */
    bool crowded; /* somebody waits, and the oldest handshake is too young to give way */
    uint32_t connections, handshakes;
    struct port_conn *oldest, *newest; /* of those whose handshake is in flight */
    uint16_t tcp_port;
    char *unlink_path;
};

struct port_tls {
    unsigned users; /* its maker and every connection and listener */
    SSL_CTX *ctx;
    X509_STORE *stores[PORT_ANCHOR_SETS_MAX];
    bool no_time[PORT_ANCHOR_SETS_MAX];
    size_t stores_count;
    bool is_server;
    int64_t time_floor_ms;
    uint8_t alpn[256]; /* as on the wire: one length byte, then the name */
    unsigned alpn_len;
    struct port *port;
    EVP_MD *sha256;
    uint8_t anchors[ANCHORS_DIGEST_LEN]; /* of all sets together */
    struct port_sessions *sessions;      /* of a server that resumes; NULL otherwise */
    bool resumes;                        /* a client that does */
    struct offer offers[PORT_OFFERS_MAX];
    uint64_t offers_count;
};

struct port_wake {
    struct port *port;
    struct port_wake *prev, *next;
    void *user;
    uv_timer_t timer;
};

struct port_file {
    struct port *port;
    struct port_file *prev, *next;
    int fd;
    bool syncing, closed;
    uv_work_t work;
    int sync_error;
    void *sync_user;
};

struct port_watch {
    struct port *port;
    struct port_watch *prev, *next;
    void *user;
    char *path;
    int wd;
    bool changed;
};

struct port_child {
    struct port *port;
    struct port_child *prev, *next;
    void *user;
    uv_process_t process;
};

/* The kernel's last answer about its clock. */
struct wall_quality {
    uint64_t until_ms;
    enum time_quality quality;
};

struct port {
    uv_loop_t loop;
    port_handler *handler;
    void *role;
    bool stopping;
    uint64_t turn;
    struct port_conn *conns;
    struct port_conn *ready, **ready_end;
    struct port_conn *dirty;
    struct port_conn *shaking,
        **shaking_end; /* whose handshake can go on, first come first served */
    struct port_listener *listeners;
    struct port_wake *wakes;
    struct port_file *files;
    struct port_watch *watches;
    struct port_child *children;
    uv_signal_t sigterm, sigint;
    int inotify; /* -1 before the first watch */
    uv_poll_t inotify_poll;
    struct wall_quality *wall;
    uint8_t scratch[PORT_READ_TURN];
};

/* Intrusive lists with `prev` and `next`. */
#define LIST_ADD(head, item)                                                                       \
    do {                                                                                           \
        (item)->prev = NULL;                                                                       \
        (item)->next = (head);                                                                     \
        if ((head) != NULL) {                                                                      \
            (head)->prev = (item);                                                                 \
        }                                                                                          \
        (head) = (item);                                                                           \
    } while (0)
#define LIST_REMOVE(head, item)                                                                    \
    do {                                                                                           \
        if ((item)->prev != NULL) {                                                                \
            (item)->prev->next = (item)->next;                                                     \
        } else {                                                                                   \
            (head) = (item)->next;                                                                 \
        }                                                                                          \
        if ((item)->next != NULL) {                                                                \
            (item)->next->prev = (item)->prev;                                                     \
        }                                                                                          \
    } while (0)

void *port_alloc(size_t len);       /* zeroed; stops the process where there is none */
void *port_alloc_bytes(size_t len); /* not zeroed */
void port_tell(struct port *port, const struct port_event *ev);
void port_why_set(struct port_why *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum port_result port_result_of_errno(int error);

/* address.c */
bool address_is_local(const char *address, const char **path);
bool address_split(const char *address, char *host, size_t host_cap, char *service, size_t cap);
bool address_numeric(const char *host, const char *service, struct endpoint *out);
bool address_of_path(const char *path, struct endpoint *out);
void address_describe(const union socket_address *at, char *text, size_t cap);
void address_source(const union socket_address *at, uint8_t source[PORT_SOURCE_LEN]);

/* conn.c */
struct port_conn *conn_new(struct port *port, const struct port_listen_options *options);
bool conn_attach(struct port_conn *conn, int fd); /* polls `fd`; false: the machine refused */
void conn_begin_handshake(struct port_conn *conn);
void conn_end(struct port_conn *conn, enum port_close_reason reason, const char *detail);
void conn_interest(struct port_conn *conn);
void conn_deadline(struct port_conn *conn, uint64_t ms);
void conn_run_ready(struct port *port);   /* tells what is due */
void conn_run_shaking(struct port *port); /* handshakes, for no longer than their share of a turn */
void conn_make_ready(struct port_conn *conn);
void conn_destroy(struct port_conn *conn);

/* stream.c */
bool conn_may_read(const struct port_conn *conn);
void conn_read(struct port_conn *conn);
void conn_give(struct port_conn *conn); /* PORT_RECEIVED for what is there */
void conn_make_dirty(struct port_conn *conn);
void conn_flush(struct port_conn *conn);
void conn_flush_dirty(struct port *port);
void conn_drop_input(struct port_conn *conn);
void conn_drop_output(struct port_conn *conn);

/* dial.c */
void dial_next(struct port_conn *conn); /* calls the next address, or ends the connection */
void dial_answered(struct port_conn *conn);
void dial_drop(struct port_conn *conn);

/* listen.c */
void listener_handshake_done(struct port_conn *conn);
void listener_conn_gone(struct port_conn *conn);

/* transport: plain or TLS. Reading and writing never block. */
enum io_outcome { IO_DONE, IO_WAIT_READ, IO_WAIT_WRITE, IO_END, IO_BROKEN };
enum io_outcome transport_read(struct port_conn *conn, uint8_t *to, size_t len, size_t *got);
enum io_outcome transport_write(struct port_conn *conn, struct slice bytes, size_t *written);
void transport_end(struct port_conn *conn); /* close_notify and the end of our half */

/* tls_library.c */
OSSL_LIB_CTX *tls_library(void); /* of the process; NULL: OpenSSL's default one */

/* tls.c */
void tls_hold(struct port_tls *tls);
bool tls_attach(struct port_conn *conn, const char *server_name);
enum io_outcome tls_handshake(struct port_conn *conn);
enum io_outcome tls_read(struct port_conn *conn, uint8_t *to, size_t len, size_t *got);
enum io_outcome tls_write(struct port_conn *conn, struct slice bytes, size_t *written);
void tls_end(struct port_conn *conn);
bool tls_keep_certificate(struct port_conn *conn); /* conn->certificate, once there is one */
struct certificate *certificate_hold(struct certificate *certificate);
void certificate_drop(struct certificate *certificate);

/* tls_bio.c */
void tls_bio_give(SSL *ssl); /* its way to the network */
void tls_bio_use(int fd);    /* before each call of OpenSSL that may read or write */

/* tls_verify.c */
int tls_verify_peer(X509_STORE_CTX *asked, void *tls);
bool validity_holds(const struct validity *validity, const struct port_tls *tls);

/* session.c */
enum { TLS_SESSION_CONTEXT_LEN = 8 };
extern const uint8_t tls_session_context[TLS_SESSION_CONTEXT_LEN];
void sessions_hold(struct port_sessions *sessions);
void sessions_serve(struct port_tls *tls);
void sessions_resumed(struct port_conn *conn);
void sessions_dial(struct port_tls *tls);
void sessions_offer(struct port_conn *conn, const char *address, const char *server_name);
void offers_drop(struct port_tls *tls);

/* file.c, watch.c, child.c */
void files_close_all(struct port *port);
void watches_close_all(struct port *port);
void children_close_all(struct port *port);

#endif
