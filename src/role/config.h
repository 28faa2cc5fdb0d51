/*
 * The configuration: a strict TOML file, its defaults and the HOLDFAST_ environment, read into one
 * struct. Order: default, file, environment. Unknown tables and keys, double keys and wrong units
 * are errors with file, line and column; nothing is guessed and nothing is started with a wrong
 * file.
 */
#ifndef ROLE_CONFIG_H
#define ROLE_CONFIG_H

#include "base/slice.h"
#include "codec/grants.h"
#include "io/port.h"

enum {
    CONFIG_TEXT_MAX = 256,
    CONFIG_GATEWAYS_MAX = 16,
    CONFIG_APPLICATIONS_MAX = 64,
    CONFIG_LIST_MAX = 8,
    CONFIG_FILE_MAX = 65536,
    CONFIG_KEYS_MAX = 48
};

struct config_list {
    uint32_t count;
    char items[CONFIG_LIST_MAX][CONFIG_TEXT_MAX];
};

struct config_gateway {
    char name[CONFIG_TEXT_MAX];
    struct config_list listen;   /* "mqtts://localhost:8883" */
    struct config_list versions; /* "5", "3.1.1" */
    struct config_list passage;  /* "tls://localhost:9543": passes TLS on to the device services */
    struct config_list
        passage_names; /* of servers that may be asked for; empty: that of passage_to */
    char passage_to[CONFIG_TEXT_MAX]; /* "https://core:9443"; empty: [devices] listen */
    uint64_t packet_max;              /* bytes */
    uint64_t connections_max;
    uint64_t handshakes_max;
    uint64_t address_connects;  /* of one address in a second */
    uint64_t address_burst;     /* of one address at once */
    uint64_t resume_ms;         /* a TLS session may be resumed for so long */
    uint64_t device_connects;   /* CONNECT packets of one device in a second */
    uint64_t device_packets;    /* of one device in a second */
    uint64_t device_bytes;      /* of one device in a second */
    uint64_t inflight_max;      /* unacknowledged QoS 1 messages of one connection */
    uint64_t session_expiry_ms; /* a session is kept no longer without its client */
    uint64_t spool_max;         /* bytes on disk */
    uint64_t segment;           /* bytes of one journal segment */
};

enum config_origin { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT };

struct config {
    char file[CONFIG_TEXT_MAX]; /* where it was read from */
    char site_name[CONFIG_TEXT_MAX];
    char site_domain[CONFIG_TEXT_MAX];
    char data[CONFIG_TEXT_MAX];    /* made absolute, from the folder of the file */
    char sandbox[CONFIG_TEXT_MAX]; /* "auto", "required", "off": role/confine.h */
    char console_listen[CONFIG_TEXT_MAX];
    char console_dir[CONFIG_TEXT_MAX]; /* serve the console from here; empty: the built-in one */
    char devices_listen[CONFIG_TEXT_MAX];
    char metrics_listen[CONFIG_TEXT_MAX];
    uint64_t device_lifetime_ms;
    uint64_t application_lifetime_ms; /* the longest that the keeper signs */
    bool require_linking;
    char bus_kind[CONFIG_TEXT_MAX];
    char store_kind[CONFIG_TEXT_MAX];
    uint64_t retain_ms;
    uint32_t gateways_count;
    struct config_gateway gateways[CONFIG_GATEWAYS_MAX];
    uint32_t applications_count;
    struct grant applications[CONFIG_APPLICATIONS_MAX]; /* slices into the file's text, which
                                                           config_read keeps */
    uint8_t origin[CONFIG_GATEWAYS_MAX + 1]
                  [CONFIG_KEYS_MAX]; /* of each key, per gateway; last: all other tables */
};

struct config_fault {
    const char *code; /* "HF-1004" */
    char what[400];   /* "holdfast.toml:14:1: unknown key "listn" in [gateway]" */
    char why[300];
    char todo[300];
};

/*
 * Reads, completes and checks; `out` is written only on true. A key below [site] named `domain` is
 * overridden by HOLDFAST_SITE_DOMAIN, and so on; keys of gateways and lists are not taken from the
 * environment. A relative `data` is taken from the folder of the file.
 */
MUST_USE bool config_read(struct port *port,
                          const char *file,
                          struct config *out,
                          struct config_fault *fault);

/* The same from memory, without an environment: for tests and the fuzzer. */
MUST_USE bool config_parse(const char *file,
                           struct slice text,
                           struct config *out,
                           struct config_fault *fault);

/* Every value in force and where it came from, a line each, in the order of the schema. */
void config_explain(
    struct config *config,
    void (*line)(void *context, const char *key, const char *value, const char *from),
    void *context);

/* "mqtts://localhost:8883" -> scheme "mqtts", address "localhost:8883". False on any other form. */
MUST_USE bool config_url(const char *url, char scheme[16], char address[CONFIG_TEXT_MAX]);

#endif
