/*
 * The device services: EST (RFC 7030, 8951) and the trust list, over TLS 1.3 with the device's
 * certificate. Part of the control role: it is given the port, the registry and a keeper client,
 * and hands its port events on.
 *
 *     GET  /.well-known/est/[LABEL/]cacerts          issuer and root, certs-only CMS
 *     GET  /.well-known/est/[LABEL/]csrattrs
 *     POST /.well-known/est/[LABEL/]simpleenroll     client certificate: IDevID of an accepted
 * manufacturer POST /.well-known/est/[LABEL/]simplereenroll   client certificate: the LDevID being
 * renewed GET  /trust                                    application/cose
 *
 * docs/protocol/enrolment.md is the published profile.
 */
#ifndef ROLE_CONTROL_DEVICES_H
#define ROLE_CONTROL_DEVICES_H

#include "base/slice.h"
#include "base/writer.h"
#include "io/port.h"
#include "io/registry.h"

struct control_devices;
struct trace;

/* The control role's cores in a trace, by number. */
enum control_trace_core { CONTROL_TRACE_IDENTIFY, CONTROL_TRACE_DECIDE, CONTROL_TRACE_ACCESS };
enum { CONTROL_TRACE_CORES = CONTROL_TRACE_ACCESS + 1 };

struct control_devices_options {
    const char
        *data; /* DATA: keys and certificates are in DATA/pki, the keeper's socket in DATA/run */
    const char *listen; /* "127.0.0.1:9443" */
    const char *domain;
    bool require_linking;
    uint64_t lifetime_ms; /* of the certificates issued */
    struct registry *registry;
    struct trace *trace;                            /* of the role; NULL: nothing is traced */
    void (*broken)(void *context, const char *why); /* the registry failed: the role stops */
    void (*changed)(
        void *context,
        const struct device_id *device); /* after a device or certificate was made; may be NULL */
    void *context;
    uint32_t look_ms; /* how often files are looked at; 0: TLS_FILES_LOOK_MS */
};

MUST_USE bool control_devices_open(struct port *port,
                                   const struct control_devices_options *options,
                                   struct control_devices **out,
                                   struct port_why *why);
void control_devices_close(struct control_devices *services);

/* True where the event was of this service, which then has handled it. */
bool control_devices_event(struct control_devices *services, const struct port_event *ev);

/* Now and again: takes a renewed certificate and other manufacturers' certificates (DATA/pki) for
 * connections to come. What cannot be used is said and changes nothing. */
void control_devices_refresh(struct control_devices *services);

uint16_t control_devices_port(const struct control_devices *services);

/* Is everything there to serve: keeper connected, trust list signed? */
bool control_devices_is_ready(const struct control_devices *services);

/* Prometheus text: enrolments by outcome and reason, time to issue. */
void control_devices_metrics(const struct control_devices *services, struct writer *w);

/* ---- certificates for stock clients: POST /api/v1/bundles ---- */

enum bundle_outcome {
    BUNDLE_ISSUED = 1,
    BUNDLE_BAD,         /* the request: `reason` */
    BUNDLE_TAKEN,       /* the name is another device's */
    BUNDLE_UNAVAILABLE, /* the keeper is away: try again */
    BUNDLE_NO_ROOM,     /* the registry's disk is full: try again when it has room */
    BUNDLE_FAILED       /* the registry: the role stops */
};

struct bundle_answer {
    enum bundle_outcome outcome;
    const char *reason; /* static; "" where issued */
    struct device_id device;
    struct slice certificate; /* DER, valid during the call */
    struct slice issuer;      /* DER */
    struct slice root;
};

typedef void control_bundle_answered(void *context, const struct bundle_answer *answer);

/*
 * Registers `name` with the key of this PKCS#10 request (`der`) and issues its certificate, or
 * gives the one that both have already; `answered` is called once, perhaps before this returns.
 * `actor` is who asked: "operator anna".
 */
void control_bundle_issue(struct control_devices *services,
                          struct slice name,
                          struct slice der,
                          struct slice actor,
                          control_bundle_answered *answered,
                          void *context);

#endif
