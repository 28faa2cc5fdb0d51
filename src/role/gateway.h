/*
 * The gateway role: MQTT 5.0 and 3.1.1 over mutual TLS for devices with a certificate of our
 * issuer. Each accepted PUBLISH goes to the journal in `spool_dir` and is acknowledged when it is
 * on stable storage there, never before. What a session may do is decided by core/gateway; this
 * file only carries it out.
 */
#ifndef ROLE_GATEWAY_H
#define ROLE_GATEWAY_H

#include "base/slice.h"
#include "role/confine.h"

/* Everything that is bounded; zero takes the default in brackets. */
struct gateway_limits {
    uint32_t connections_max;  /* live TLS connections [4,096] */
    uint32_t handshakes_max;   /* in flight [1,024]; one address has half of them */
    uint32_t address_connects; /* of one address in a second [500] */
    uint32_t address_burst;    /* of one address at once [4,000] */
    uint32_t device_connects;  /* CONNECT packets of one device in a second [5] */
    uint32_t device_packets;   /* of one device in a second [no limit] */
    uint64_t device_bytes;     /* of its packets in a second, at most 64 MiB [no limit] */
    uint32_t per_device_max;   /* sessions of one device [4] */
    uint32_t packet_max;       /* bytes of one control packet, at most 256 KiB [128 KiB] */
    uint32_t inflight_max;     /* unacknowledged publishes of a session, at most 65,535 [64] */
    uint32_t keep_alive_max_s; /* a longer keep alive, or none, becomes this [1,200] */
    uint32_t resume_s;         /* a TLS session may be resumed for so long [86,400] */
    uint32_t connect_ms;       /* from the first packet of TCP to a whole CONNECT [10,000] */
    uint32_t messages_max; /* that wait for somebody or are retained; sessions, subscriptions and
                              queues are in proportion, 350 bytes for each [131,072] */
    uint32_t session_expiry_max_s; /* a session is kept so long without its client [7 days] */
    uint64_t spool_segment_bytes;  /* [16 MiB] */
    uint64_t spool_budget_bytes;   /* [2 GiB] */
};

struct gateway_config {
    const char *name;             /* "gw-1": in metrics and messages */
    const char *domain;           /* of SPIFFE ids: "holdfast.local" */
    const char *const *listen;    /* "127.0.0.1:8883", "[::]:8883" */
    size_t listen_count;          /* 1 to 8 */
    const char *certificate_path; /* own chain, PEM, leaf first */
    const char *key_path;
    const char *issuer_path;   /* PEM: the CAs that issue device certificates */
    const char *spool_dir;     /* made where it is missing */
    const char *metrics_path;  /* replaced about once a second; NULL: none */
    const char *refusals_path; /* the last 256 refusals, one a line, newest first; NULL: none */
    const char *traces_dir;    /* field traces, made where there is one to write; NULL: none */
    const char *grants_path;   /* of applications, written by control; NULL: none are let in */
    const char *admin_address; /* "unix:DATA/run/gw-1.sock": see gateway_admin.h; NULL: none */
    const char *state_dir;     /* the mark of a drain; NULL: a drain ends with the process */
    bool allow_3_1_1;
    enum confine_policy sandbox; /* of gateway_run */
    struct gateway_limits limits;
};

/* How the role ended: the process's exit status. */
enum gateway_exit {
    GATEWAY_STOPPED = 0,    /* SIGTERM, SIGINT: clients were told, all that was staged is durable */
    GATEWAY_FAILED = 1,     /* the machine refused: a message on stderr says what */
    GATEWAY_BAD_CONFIG = 9, /* a file or address cannot be used; nothing was started */
    GATEWAY_STORAGE_FAILED =
        74 /* the spool cannot be written: stopped at once, nothing acknowledged */
};

/*
 * Runs until it is told to stop or its storage fails. When it listens, it prints one line to stdout
 * for each address: "gateway NAME listens on ADDRESS:PORT". Messages for the operator go to stderr.
 */
int gateway_run(const struct gateway_config *config);

/* The same in two halves, where the loop is somebody else's: gateway_begin opens a port of its own
 * and listens (0, or the exit status and nothing is left); the role lives with the events of that
 * port until gateway_end, which gives the exit status. The configuration must outlive it. */
struct gateway;
int gateway_begin(const struct gateway_config *config, struct gateway **out);
int gateway_end(struct gateway *gateway);

#endif
