/*
 * PEM (RFC 7468): labelled base64 of DER between BEGIN and END lines. Knows nothing of what is
 * inside.
 */
#ifndef CODEC_PEM_H
#define CODEC_PEM_H

#include "base/slice.h"
#include "base/writer.h"

enum pem_result {
    PEM_OK = 0,
    PEM_END,       /* no further block; text between and after blocks is ignored */
    PEM_MALFORMED, /* a BEGIN without its END, another label at the END, bad base64 or headers
                      inside */
    PEM_TOO_LONG   /* the writer is full */
};

/* Lines of 64 characters, a newline after the END line. */
void pem_write(struct writer *w, const char *label, struct slice der);

/*
 * The next block of *rest, which moves on behind it. `label` borrows from *rest; the decoded bytes
 * are appended to `der` and `bytes` is that run of it.
 */
MUST_USE enum pem_result pem_next(struct slice *rest,
                                  struct slice *label,
                                  struct writer *der,
                                  struct slice *bytes);

#endif
