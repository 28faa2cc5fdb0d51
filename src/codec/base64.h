/*
 * Base64 with the alphabet of RFC 4648 4. Strict: padded, no other character, unused bits zero.
 * Lenient as EST receivers must be (RFC 8951 3): CR, LF, SP and HTAB are ignored anywhere, else as
 * strict.
 */
#ifndef CODEC_BASE64_H
#define CODEC_BASE64_H

#include "base/slice.h"
#include "base/writer.h"

enum base64_mode { BASE64_STRICT, BASE64_LENIENT };
enum base64_result { BASE64_OK = 0, BASE64_MALFORMED, BASE64_TOO_LONG /* the writer is full */ };

/* The length of the padded text of `len` bytes. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* One unbroken padded line. */
void base64_encode(struct writer *w, struct slice bytes);

/* On any other result than BASE64_OK what was written to `w` means nothing. */
MUST_USE enum base64_result base64_decode(struct slice text,
                                          enum base64_mode mode,
                                          struct writer *w);

#endif
