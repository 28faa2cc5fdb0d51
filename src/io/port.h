/*
 * What a role may ask of the world: connections, files, children, a clock, entropy. io/posix
 * defines these functions over libuv, OpenSSL and Linux; io/sim defines the same ones over a seeded
 * network, disk and clock that fail on purpose. The linker picks one; there are no tables of
 * functions and no mocks.
 *
 * A port is one thread. Everything that happens reaches the role through its one handler, as a fact
 * in the past tense; PORT_TURN_ENDED closes each turn of the loop, which is where a role writes
 * what it gathered (group commit) and answers. Handles stay valid until their closing event has
 * been delivered.
 */
#ifndef IO_PORT_H
#define IO_PORT_H

#include "base/slice.h"
#include "base/time.h"

struct port;
struct port_listener;
struct port_conn;
struct port_wake;
struct port_file;
struct port_watch;
struct port_child;
struct port_tls;

enum port_result {
    PORT_OK = 0,
    PORT_NOT_FOUND,
    PORT_EXISTS,
    PORT_NO_SPACE, /* ENOSPC, EDQUOT: back-pressure, never loss */
    PORT_DENIED,
    PORT_BUSY,  /* locked by another process, address in use */
    PORT_BAD,   /* the argument cannot be used: see `why` where there is one */
    PORT_FAILED /* EIO and all else; after a failed sync the role stops */
};

/* What went wrong, in words for an operator; filled where a function takes it and does not return
 * PORT_OK. */
struct port_why {
    char text[240];
};

enum port_event_kind {
    PORT_ACCEPTED, /* a listener's new connection; its handshake, if any, is complete */
    PORT_REFUSED, /* a listener's connection that did not get so far: refused.reason. Its `conn` may
                     be asked for its peer during the event; NULL: no descriptor to accept with */
    PORT_CONNECTED, /* our own connection is up, handshake complete */
    PORT_RECEIVED,  /* received.bytes holds all that is unconsumed; consume with port_consume */
    PORT_DRAINED,   /* the send buffer, that had refused bytes, is half empty again */
    PORT_CLOSED,  /* the connection is gone, whoever closed it; the handle dies after this event */
    PORT_WOKE,    /* a wake's time has come */
    PORT_SYNCED,  /* a port_file_sync_begin has ended: synced.result */
    PORT_CHANGED, /* a watched file was written */
    PORT_EXITED,  /* a child ended */
    PORT_TERMINATE, /* SIGTERM or SIGINT: stop cleanly */
    PORT_TURN_ENDED /* nothing more is waiting in this turn of the loop */
};

enum port_close_reason {
    PORT_CLOSE_LOCAL,       /* we closed it */
    PORT_CLOSE_PEER,        /* an orderly end by the peer */
    PORT_CLOSE_RESET,       /* the link broke */
    PORT_CLOSE_TLS,         /* the handshake or a record was wrong: closed.detail */
    PORT_CLOSE_UNREACHABLE, /* our connection could not be made */
    PORT_CLOSE_TIMEOUT      /* no end of the handshake or connect within the limit */
};
enum { PORT_CLOSE_REASON_COUNT = PORT_CLOSE_TIMEOUT + 1 };

struct port_event {
    enum port_event_kind kind;
    void *user;             /* what the role gave with the handle */
    struct port_conn *conn; /* ACCEPTED .. CLOSED */
    union {
        struct {
            struct slice bytes;
        } received;
        struct {
            enum port_close_reason reason;
            const char *detail; /* static or valid during the event; never NULL */
        } closed, refused;
        struct {
            enum port_result result;
        } synced;
        struct {
            int status; /* exit code, or 128 + signal */
        } exited;
    };
};

typedef void port_handler(void *role, const struct port_event *ev);

/* ---- the loop ---- */

/* The posix port of this process. `role` comes back with every event. NULL where the machine
 * refuses. */
struct port *port_open(port_handler *handler, void *role);
void port_run(struct port *port);       /* until port_stop */
void port_stop(struct port *port);      /* ends port_run after this turn */
void port_close_all(struct port *port); /* closes every handle and frees the port */

/* Milliseconds of a clock that never goes back and means nothing outside this boot. */
uint64_t port_now_ms(const struct port *port);
uint64_t port_now_us(const struct port *port);

/* Milliseconds since 1970 and how good they are. Evidence, never authority. */
int64_t port_wall_ms(const struct port *port, enum time_quality *quality);

/* The user this process acts as, in the terms of port_peer.local_uid. */
uint32_t port_own_uid(const struct port *port);

/* The machine's name, for people; "" where it has none. */
enum { PORT_HOST_NAME_MAX = 64 };
void port_host_name(const struct port *port, char out[PORT_HOST_NAME_MAX + 1]);

/* Bytes nobody can guess. Stops the process where the machine has none. */
void port_entropy(struct port *port, void *at, size_t len);

struct port_wake *port_wake_new(struct port *port, void *user);
void port_wake_at(struct port_wake *wake, uint64_t due_ms); /* UINT64_MAX: not at all */
void port_wake_free(struct port_wake *wake);

/* ---- connections ---- */

enum { PORT_ANCHOR_SETS_MAX = 4, PORT_EXPORTER_LEN = 32, PORT_SOURCE_LEN = 16 };

/*
 * TLS 1.3, no early data, X25519 first; sessions are resumed only where `sessions` or `resumes`
 * says so. Each anchor set is a store of its own; a client's chain is verified against them in
 * order and port_peer says which one it met. Times in certificates are checked against
 * max(time_floor, wall clock); a set marked `no_time` (IDevIDs) is not. */
struct port_anchors {
    struct slice pem; /* CA certificates */
    bool no_time;
};

/*
 * The sessions that clients of a server may resume (RFC 8446 2.2): at most one for each
 * certificate, `max` in all, the oldest giving way, each for `lifetime_s` at most
 * from the full handshake, however often it is used. Only this
 * process knows them: they end with it. A client that resumes is who its certificate said, and is
 * asked again all that a full handshake would ask: the times of its whole chain, the anchors in
 * force, and `stands` (NULL: nobody), with the port's role. Whoever does not stand, or is not
 * known, gets a full handshake. Contexts that follow each other share one.
 */
struct port_sessions;
typedef bool port_stands(void *role, struct slice certificate_der);
struct port_sessions_counts {
    uint64_t kept;                                    /* now */
    uint64_t resumed;                                 /* handshakes */
    uint64_t unknown;                                 /* asked for and not here */
    uint64_t other_issuers, out_of_time, no_standing; /* here, and did not stand */
};
enum { PORT_SESSION_LIFETIME_MAX_S = 7 * 24 * 3600 /* RFC 8446 4.6.1 */ };
struct port_sessions *port_sessions_make(struct port *port,
                                         uint32_t max,
                                         uint32_t lifetime_s,
                                         port_stands *stands);
struct port_sessions_counts port_sessions_count(const struct port_sessions *sessions);
void port_sessions_free(struct port_sessions *sessions); /* contexts that use it keep it alive */

struct port_tls_config {
    struct slice certificate_pem; /* own chain, leaf first; empty: no certificate of our own */
    struct slice key_pem;
    struct port_anchors anchors[PORT_ANCHOR_SETS_MAX]; /* those of the peer */
    size_t anchors_count;
    bool is_server;
    bool require_peer; /* server: a client without a certificate is refused in the handshake */
    const char *alpn;  /* offered, or demanded where the peer offers any; NULL: none */
    int64_t time_floor_ms;
    struct port_sessions *sessions; /* server with require_peer: may be resumed; NULL: never */
    bool resumes; /* client: offers what its last connection to the same server was given */
};

enum port_result port_tls_make(struct port *port,
                               const struct port_tls_config *config,
                               struct port_tls **out,
                               struct port_why *why);
void port_tls_free(struct port_tls *tls);

struct port_peer {
    bool has_certificate;
    bool is_resumed;                     /* has_certificate, and it was shown before */
    size_t anchors;                      /* index of the anchor set its chain ends at */
    struct slice certificate_der;        /* valid while the connection lives */
    uint8_t exporter[PORT_EXPORTER_LEN]; /* RFC 9266 tls-exporter */
    bool has_tls;
    char address[64];   /* for people: "127.0.0.1:51234" or "local" */
    uint32_t local_uid; /* of the process behind a local socket; UINT32_MAX otherwise */
    uint64_t since_ms;  /* when it was accepted or called, by port_now_ms */
    /* What one subscriber of a network cannot choose, of an accepted connection: its IPv4 address
     * as
     * ::ffff:a.b.c.d, the first 64 bits of its IPv6 address, or zeros where it is local. */
    uint8_t source[PORT_SOURCE_LEN];
};

/*
 * Asked for each connection that a listener has accepted, before anything is spent on it: may it
 * go on? False: it is reset at once and nothing more is heard of it. Each that may go on ends in
 * exactly one PORT_ACCEPTED or PORT_REFUSED, unless the port is closed before. `role` is the
 * port's, `user` the listener's. Must not call the port but for its clocks.
 */
typedef bool port_admit(void *role, void *user, const struct port_peer *peer);

/*
 * `address`: "127.0.0.1:8883", "[::1]:8883", "localhost:8883", or "unix:PATH" (made with mode
 * 0600). Port 0 lets the machine choose; port_listener_port tells. `user` comes with ACCEPTED and
 * REFUSED.
 */
struct port_listen_options {
    size_t receive_cap; /* bytes of unconsumed input per connection; a full buffer stops reading */
    size_t send_cap;    /* bytes of unsent output per connection */
    /* In flight; further ones wait in the backlog. The oldest gives way to them once it has had
     * PORT_HANDSHAKE_GRACE_MS, so that silent peers cannot keep all others out. */
    uint32_t handshakes_max;
    uint32_t connections_max;
    uint32_t handshake_ms; /* limit for the handshake */
    port_admit *admit;     /* NULL: everybody may */
};
enum { PORT_HANDSHAKE_GRACE_MS = 1000 };
enum port_result port_listen(struct port *port,
                             const char *address,
                             struct port_tls *tls,
                             const struct port_listen_options *options,
                             void *user,
                             struct port_listener **out,
                             struct port_why *why);
/* Connections accepted from now on use `tls`; those there are keep what they have. */
void port_listener_set_tls(struct port_listener *listener, struct port_tls *tls);

uint16_t port_listener_port(const struct port_listener *listener);
void port_listener_close(struct port_listener *listener); /* its connections live on */

/* Ends in PORT_CONNECTED or PORT_CLOSED. `server_name` is verified and sent as SNI; NULL without
 * TLS. */
enum port_result port_connect(struct port *port,
                              const char *address,
                              const char *server_name,
                              struct port_tls *tls,
                              const struct port_listen_options *options,
                              void *user,
                              struct port_conn **out,
                              struct port_why *why);

void port_conn_set_user(struct port_conn *conn, void *user);
void port_conn_peer(const struct port_conn *conn, struct port_peer *out);

/*
 * Takes all of the bytes or, where the send buffer has no room for them, none (false; PORT_DRAINED
 * follows). More than send_cap never fits. What a turn sent leaves at its end, PORT_TURN_ENDED
 * included. False, too, before the connection is up and once it is closing.
 */
bool port_send(struct port_conn *conn, struct slice bytes);
size_t port_send_room(const struct port_conn *conn);

/* The first `len` unconsumed bytes are done with; may be called within PORT_RECEIVED and later. */
void port_consume(struct port_conn *conn, size_t len);

/* Stops reading from the peer (back-pressure) and goes on; PORT_RECEIVED is given again for what is
 * there. */
void port_pause(struct port_conn *conn);
void port_resume(struct port_conn *conn);

/* Sends what is buffered, then closes; PORT_CLOSED follows in a later turn, always exactly once. */
void port_close(struct port_conn *conn);
void port_abort(struct port_conn *conn); /* drops what is buffered */

/* ---- files: paths as the operating system knows them ---- */

enum port_open_flags {
    PORT_READ = 1,
    PORT_WRITE = 2,
    PORT_CREATE = 4,    /* mode 0600 */
    PORT_EXCLUSIVE = 8, /* with CREATE: must not exist */
    PORT_LOCK = 16      /* an advisory lock of the whole file; PORT_BUSY where another holds it */
};

enum port_result port_file_open(struct port *port,
                                const char *path,
                                unsigned flags,
                                struct port_file **out);
void port_file_close(struct port_file *file); /* a sync under way ends untold */
enum port_result port_file_size(struct port_file *file, uint64_t *size);

/* Is the file this user's own, and without any right for others? (keys) */
enum port_result port_file_is_private(struct port_file *file, bool *is_private);

/* Reads up to `len` bytes; *got is smaller only at the end of the file. */
enum port_result port_file_read(
    struct port_file *file, uint64_t offset, void *to, size_t len, size_t *got);

/* Writes all of it or fails; on failure any prefix may be there. Not durable before a sync. */
enum port_result port_file_write(struct port_file *file, uint64_t offset, struct slice bytes);
enum port_result port_file_truncate(struct port_file *file, uint64_t size);
enum port_result port_file_sync(struct port_file *file); /* blocks; data and size */

/* The same off the loop: PORT_SYNCED with `user` covers all writes before this call. One at a time
 * a file. */
enum port_result port_file_sync_begin(struct port_file *file, void *user);

enum port_result port_rename(struct port *port, const char *from, const char *to);
enum port_result port_unlink(struct port *port, const char *path);
enum port_result port_dir_make(struct port *port,
                               const char *path); /* mode 0700, and its parents; PORT_OK if there */
enum port_result port_dir_sync(struct port *port, const char *path);

/* Calls `each` with every name in the folder, in byte order. */
enum port_result port_dir_list(struct port *port,
                               const char *path,
                               void (*each)(void *context, const char *name),
                               void *context);

/* Bytes free for this process on the file system that holds `path`. */
enum port_result port_dir_room(struct port *port, const char *path, uint64_t *bytes);

/* The VFS by which SQLite reaches the files of this process's machine: give it to sqlite3_open_v2.
 * NULL: SQLite's own. Connections are closed before port_close_all. */
const char *port_sqlite_vfs(struct port *port);

/* What waits on standard input, without blocking; *got is 0 where nothing does. PORT_NOT_FOUND at
 * its end. */
enum port_result port_stdin_read(struct port *port, void *to, size_t cap, size_t *got);

/* PORT_CHANGED with `user` after the file, which must exist, was written by anybody. May come once
 * too often. */
enum port_result port_watch(struct port *port,
                            const char *path,
                            void *user,
                            struct port_watch **out);
void port_watch_free(struct port_watch *watch);

/*
 * Last words: a new file `name` (mode 0600) in `dir`, which is made (mode 0700) where only its last
 * step is missing, written from what `more` gives until that is empty, and synced. PORT_EXISTS
 * where the file is there. Takes no heap and touches no handle, so that a process that can no
 * longer trust its memory can still say why. The simulated port writes where sim_last_words_to
 * says, or nowhere.
 */
enum port_result port_last_words(const char *dir,
                                 const char *name,
                                 struct slice (*more)(void *context),
                                 void *context);

/* ---- giving up rights ---- */

/* What the process still needs once it runs. Lists of paths end with NULL; a folder stands for all
 * below it; a path that is not there at that moment is not allowed later either. */
struct port_rights {
    const char *const *reads;
    const char *const *writes;   /* read too; in folders files are made, renamed and removed */
    bool dials;                  /* makes connections over TCP, looks up names */
    const uint16_t *dials_ports; /* to these TCP ports alone, ends with 0; NULL: to any */
    bool dials_local;            /* makes connections to sockets in the file system */
};

enum port_confinement {                          /* bits */
                        PORT_CONFINED_FILES = 1, /* only these paths can be opened */
                        PORT_CONFINED_CALLS =
                            2, /* only the system calls a role needs; no program can be started */
                        PORT_CONFINED_NETWORK =
                            4, /* no TCP connection can be made and no port opened */
                        PORT_CONFINED_ALL = 7
};

/*
 * Gives up every other right, for ever, for this process and what it starts. To be called once
 * everything is open and before anybody's bytes are looked at. What was reached, as bits; `why`
 * says what was not (an older kernel, a build with sanitizers). Where
 * `dials` goes to any port there is no PORT_CONFINED_NETWORK to be had. The simulated port has
 * nothing to give up: 0.
 */
unsigned port_confine(struct port *port, const struct port_rights *rights, struct port_why *why);

/* System calls refused since: the process was made to do what it never does, or we forgot one. */
uint64_t port_refused_calls(void);

/* ---- children ---- */

struct port_spawn {
    const char *const *argv; /* NULL-terminated; argv[0] is a path */
    const char *const *env;  /* NULL-terminated, added to our own */
    const char *log_path;    /* stdout and stderr are appended here; NULL: ours */
};
enum port_result port_spawn(struct port *port,
                            const struct port_spawn *what,
                            void *user,
                            struct port_child **out,
                            struct port_why *why);
int port_child_pid(const struct port_child *child);
void port_child_kill(struct port_child *child, int signal);

#endif
