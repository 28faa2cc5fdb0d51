/*
 * The degenerate CMS SignedData that carries certificates and nothing else (RFC 5652, RFC
 * 7030 4.1.3): EST's application/pkcs7-mime; smime-type=certs-only.
 */
#ifndef CODEC_CMS_H
#define CODEC_CMS_H

#include "base/fault.h"
#include "base/slice.h"
#include "base/writer.h"

enum { CMS_CERTS_MAX = 16 };
enum cms_result { CMS_OK = 0, CMS_MALFORMED, CMS_TOO_LONG };

/* The certificates, whole, in ascending order of their encodings whatever the order given
 * (X.690 11.6). */
MUST_USE enum cms_result cms_certs_write(struct writer *w, const struct slice *certs, size_t count);

/* At most `cap` certificates, in the order they have there (any is accepted); slices borrow from
 * `der`. */
MUST_USE enum cms_result cms_certs_read(
    struct slice der, struct slice *certs, size_t cap, size_t *count, struct fault *fault);

#endif
