/*
 * What a field trace keeps of the decision whether a request is allowed: its facts, and the origins
 * it names. Not the credential: access_decide is never given one.
 */
#ifndef CORE_CONTROL_ACCESS_TRACE_H
#define CORE_CONTROL_ACCESS_TRACE_H

#include "codec/trace.h"
#include "core/control/access.h"

enum { ACCESS_TRACE_TEXT_MAX = 512 }; /* bytes of each text */

struct access_image { /* behind it origin, fetch_site, own_origin */
    bool has_credential, is_known, is_cookie, changes, has_mark;
    uint16_t origin_len, fetch_site_len;
    uint32_t rights, needs;
};

extern const struct trace_core access_trace;

/* Texts that are longer than ACCESS_TRACE_TEXT_MAX are cut: no origin of ours is. */
void access_keep(const struct access_request *request,
                 struct access_image *image,
                 struct writer *bytes);
MUST_USE bool access_again(const struct access_image *image, struct slice bytes);

#endif
