/* What the files of the device services share. */
#ifndef ROLE_CONTROL_DEVICES_INSIDE_H
#define ROLE_CONTROL_DEVICES_INSIDE_H

#include "codec/x509.h"
#include "core/control/enrolment.h"
#include "core/control/enrolment_trace.h"
#include "role/control_application.h"
#include "role/control_devices.h"
#include "role/http.h"
#include "role/keeper_client.h"
#include "role/metrics.h"
#include "role/tls_files.h"
#include "role/trace.h"
#include "trust/trust_list.h"

enum {
    DEVICES_PENDING_MAX = 64, /* certificates being signed */
    DEVICES_TBS_MAX = 2048,
    DEVICES_DER_MAX = 4096,
    DEVICES_CMS_MAX = 8192,
    DEVICES_TEXT_MAX = 12288,    /* base64 of a CMS */
    DEVICES_REFUSAL_ENTRIES = 60 /* a minute; further refusals are counted only */
};

struct devices_certificate { /* one of DATA/pki; never copied: `certificate` points into `der` */
    uint8_t der[DEVICES_DER_MAX];
    struct x509 certificate;
};

/* A certificate on its way: signed by the keeper, then durable, then answered. */
struct devices_pending {
    bool is_used;
    uint32_t keeper_id;
    struct http_call_id call; /* of EST; a zero id for bundles */
    control_bundle_answered *answered;
    void *context;
    uint64_t began_us;
    bool is_new_device;
    bool by_hardware;              /* asked for with the hardware's identity, or by an operator */
    struct registry_device device; /* its state: the one that `to` was decided from */
    struct registry_certificate certificate;
    enum identity_state to;
    char actor[80];
    uint8_t tbs[DEVICES_TBS_MAX];
    size_t tbs_len;
};

/* An application's certificate that the keeper is asked for. */
struct devices_application {
    bool is_used;
    uint32_t keeper_id;
    struct digest key;
    int64_t issued_ms;
    control_application_answered *answered;
    void *context;
    uint8_t tbs[DEVICES_TBS_MAX];
    size_t tbs_len;
};

struct devices_counts {
    uint64_t issued, returned, malformed, unavailable, bundles;
    uint64_t refused[ENROL_REFUSAL_COUNT];
    struct metrics_histogram duration;
};

struct control_devices {
    struct control_devices_options options;
    struct port *port;
    struct port_tls *tls;
    struct tls_files tls_files;
    struct http_server *server;
    struct keeper_client *keeper;
    struct devices_certificate root, issuer, trust, ingest;
    uint8_t cacerts[DEVICES_TEXT_MAX];
    size_t cacerts_len;
    bool has_manufacturers;
    /* the trust list that is served, and the one that is being signed */
    uint8_t trust_list[TRUST_LIST_MAX];
    size_t trust_list_len;
    bool trust_list_asked;
    uint32_t trust_list_id;
    uint64_t trust_list_number;
    uint32_t trust_list_slots;  /* of its hint; 0: none */
    uint64_t trust_list_due_ms; /* when to look again whether it says what is so */
    bool is_full;               /* the registry had no room the last time */
    struct devices_counts counts;
    uint64_t entries_minute;
    uint32_t entries_count;
    struct devices_pending pending[DEVICES_PENDING_MAX];
    struct devices_application applications[APPLICATIONS_PENDING_MAX];
    uint8_t
        asked[2 * X509_CERTIFICATE_MAX + 4]; /* certificate and request, on their way to a trace */
};

/* ---- control_devices.c: answers ---- */

void devices_answer_text(struct http_call *call, int status, const char *fields, const char *text);
void devices_answer_base64(struct http_call *call, const char *content_type, struct slice der);
void devices_answer_certificate(struct control_devices *s,
                                struct http_call *call,
                                struct slice der);
void devices_answer_refusal(struct control_devices *s,
                            struct http_call *call,
                            enum enrol_refusal refusal);
/* Tells the role that the registry failed. */
void devices_broken(struct control_devices *s);

/* ---- control_enrol.c ---- */

void devices_enrol(struct control_devices *s,
                   struct http_call *call,
                   enum enrol_operation operation);

/* Writes the tbsCertificate and asks the keeper for its signature; NULL where it is away or too
 * much is pending. */
struct devices_pending *devices_begin(struct control_devices *s,
                                      const struct enrol_certificate *what,
                                      const struct registry_device *device,
                                      bool is_new_device,
                                      enum identity_state to);
/* The keeper's answer to one of them; false where the id is of none. */
bool devices_signed(struct control_devices *s, const struct keeper_client_answer *answer);

/* Answers with the certificate that this name and key have; false where they have none that holds.
 */
bool devices_bundle_again(struct control_devices *s,
                          struct slice name,
                          const struct digest *key,
                          control_bundle_answered *answered,
                          void *context);

/* A name for a device: its serial, with anything but letters, digits, '.', '_' and '-' replaced. */
void devices_name(char out[REGISTRY_NAME_MAX + 1], struct slice serial);

/* ---- control_application.c ---- */

/* As devices_signed. */
bool devices_application_signed(struct control_devices *s,
                                const struct keeper_client_answer *answer);

/* ---- control_trust_list.c ---- */

/* Serves the registry's newest list where it still says what is so; else asks for a new one. */
void devices_trust_list_begin(struct control_devices *s);
bool devices_trust_list_signed(struct control_devices *s,
                               const struct keeper_client_answer *answer);

#endif
