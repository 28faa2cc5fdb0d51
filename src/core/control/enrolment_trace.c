#include "core/control/enrolment_trace.h"

#include <string.h>

#define IDENTIFY(member, kind, most) TRACE_FIELD(struct enrol_identify_image, member, kind, most)
static const struct trace_field identify_fields[] = {
    IDENTIFY(operation, TRACE_UINT, ENROL_AGAIN),
    IDENTIFY(peer, TRACE_UINT, ENROL_DEVICE),
    IDENTIFY(require_linking, TRACE_FLAG, 0),
    IDENTIFY(exporter, TRACE_OCTETS, 0),
    IDENTIFY(certificate_len, TRACE_UINT, RECORDER_RECORD_MAX),
};

#define DECIDE(member, kind, most) TRACE_FIELD(struct enrol_decide_image, member, kind, most)
static const struct trace_field decide_fields[] = {
    DECIDE(operation, TRACE_UINT, ENROL_AGAIN),
    DECIDE(peer, TRACE_UINT, ENROL_DEVICE),
    DECIDE(has_device, TRACE_FLAG, 0),
    DECIDE(peer_is_live, TRACE_FLAG, 0),
    DECIDE(key_certificate_is_live, TRACE_FLAG, 0),
    DECIDE(state, TRACE_UINT, IDENTITY_STATE_COUNT - 1),
    DECIDE(key, TRACE_UINT, ENROL_KEY_OTHERS),
    DECIDE(issued_last_hour, TRACE_UINT, UINT64_MAX),
};

static const struct trace_field signing_fields[] = {
    TRACE_FIELD(struct signing_image, purpose, TRACE_UINT, KEEPER_APPLICATION_CERTIFICATE),
};

static const struct trace_shape identify_shape = {.fields = identify_fields,
                                                  .count = COUNT_OF(identify_fields),
                                                  .image_len = sizeof(struct enrol_identify_image)};
static const struct trace_shape decide_shape = {.fields = decide_fields,
                                                .count = COUNT_OF(decide_fields),
                                                .image_len = sizeof(struct enrol_decide_image)};
static const struct trace_shape signing_shape = {.fields = signing_fields,
                                                 .count = COUNT_OF(signing_fields),
                                                 .image_len = sizeof(struct signing_image)};

const struct trace_core enrol_identify_trace = {.name = "control-enrol-identify",
                                                .event = &identify_shape};
const struct trace_core enrol_decide_trace = {.name = "control-enrol-decide",
                                              .event = &decide_shape};
const struct trace_core signing_trace = {.name = "keeper-signing", .event = &signing_shape};

void enrol_identify_keep(const struct enrol_policy *policy,
                         const struct enrol_request *request,
                         struct enrol_identify_image *image,
                         struct writer *bytes)
{
    struct slice certificate =
        request->peer != ENROL_STRANGER ? request->certificate->der : (struct slice){0};
    *image = (struct enrol_identify_image){.operation = (uint8_t)request->operation,
                                           .peer = (uint8_t)request->peer,
                                           .require_linking = policy->require_linking,
                                           .certificate_len = (uint32_t)certificate.len};
    memcpy(image->exporter, request->exporter, sizeof image->exporter);
    write_slice(bytes, certificate);
    write_slice(bytes, request->csr->der);
}

void enrol_decide_keep(const struct enrol_request *request,
                       const struct enrol_facts *facts,
                       struct enrol_decide_image *image)
{
    *image = (struct enrol_decide_image){
        .operation = (uint8_t)request->operation,
        .peer = (uint8_t)request->peer,
        .has_device = facts->has_device,
        .peer_is_live = facts->peer_is_live,
        .key_certificate_is_live = facts->key_certificate_is_live,
        .state = facts->has_device ? (uint8_t)facts->state : 0,
        .key = (uint8_t)facts->key,
        .issued_last_hour = facts->issued_last_hour,
    };
}

bool enrol_identify_again(const struct enrol_identify_image *image,
                          struct slice bytes,
                          struct slice domain)
{
    struct x509 certificate = {0};
    struct csr csr;
    struct device_id device;
    enum enrol_refusal refusal;
    const struct enrol_policy policy = {.domain = domain,
                                        .require_linking = image->require_linking};
    struct enrol_request request = {.operation = (enum enrol_operation)image->operation,
                                    .peer = (enum enrol_peer)image->peer,
                                    .certificate = &certificate,
                                    .csr = &csr};
    memcpy(request.exporter, image->exporter, sizeof request.exporter);
    if (image->certificate_len > bytes.len || image->operation == 0 || image->peer == 0
        || csr_parse(slice_after(bytes, image->certificate_len), &csr, NULL) != X509_OK
        || (request.peer != ENROL_STRANGER
            && x509_parse(slice_of(bytes.at, image->certificate_len), &certificate, NULL)
                   != X509_OK)) {
        return false;
    }
    (void)!enrol_identify(&policy, &request, &device, &refusal); /* what breaks is looked for */
    return true;
}

bool enrol_decide_again(const struct enrol_decide_image *image)
{
    const struct enrol_request request = {.operation = (enum enrol_operation)image->operation,
                                          .peer = (enum enrol_peer)image->peer};
    const struct enrol_facts facts = {
        .has_device = image->has_device,
        .state = (enum identity_state)image->state,
        .peer_is_live = image->peer_is_live,
        .key = (enum enrol_key_owner)image->key,
        .key_certificate_is_live = image->key_certificate_is_live,
        .issued_last_hour = image->issued_last_hour,
    };
    struct enrol_decision decision;
    if (image->operation == 0 || image->peer == 0 || image->key == 0
        || (image->has_device && image->state == 0)) {
        return false;
    }
    enrol_decide(&request, &facts, &decision);
    return true;
}

bool signing_again(const struct signing_image *image,
                   struct slice bytes,
                   const struct signing_policy *policy)
{
    struct fault fault = {0};
    if (image->purpose == 0) {
        return false;
    }
    (void)!signing_allows(policy, (enum keeper_purpose)image->purpose, bytes, &fault);
    return true;
}
