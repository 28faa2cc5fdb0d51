/*
 * What a field trace keeps of decisions about certificates: what was asked, by whom, and what the
 * registry knew. Decisions keep no state; each event stands alone. All of it is what travels in the
 * open or lies in public certificates: no key is needed to decide, none is here.
 */
#ifndef CORE_CONTROL_ENROLMENT_TRACE_H
#define CORE_CONTROL_ENROLMENT_TRACE_H

#include "codec/trace.h"
#include "core/control/enrolment.h"
#include "core/control/signing.h"

extern const struct trace_core enrol_identify_trace;
extern const struct trace_core enrol_decide_trace;
extern const struct trace_core signing_trace;

struct enrol_identify_image { /* behind it the peer's certificate, then the request: DER */
    uint8_t operation, peer;
    bool require_linking;
    uint8_t exporter[ENROL_EXPORTER_LEN];
    uint32_t certificate_len;
};

struct enrol_decide_image {
    uint8_t operation, peer;
    bool has_device, peer_is_live, key_certificate_is_live;
    uint8_t state, key;
    uint64_t issued_last_hour;
};

struct signing_image { /* behind it what is to be signed */
    uint8_t purpose;
};

/* The image, and what lies behind it. */
void enrol_identify_keep(const struct enrol_policy *policy,
                         const struct enrol_request *request,
                         struct enrol_identify_image *image,
                         struct writer *bytes);
void enrol_decide_keep(const struct enrol_request *request,
                       const struct enrol_facts *facts,
                       struct enrol_decide_image *image);

/* Decides again; false where nobody can have been asked that. */
MUST_USE bool enrol_identify_again(const struct enrol_identify_image *image,
                                   struct slice bytes,
                                   struct slice domain);
MUST_USE bool enrol_decide_again(const struct enrol_decide_image *image);
MUST_USE bool signing_again(const struct signing_image *image,
                            struct slice bytes,
                            const struct signing_policy *policy);

#endif
