/*
 * Doubles as decimal text and back, exactly and without a locale: reading rounds to nearest, ties
 * to even; writing gives the shortest digits that read back as the same double, the nearest of
 * those. Integers of a fixed size do it where the short way does not hold.
 */
#ifndef CODEC_DECIMAL_H
#define CODEC_DECIMAL_H

#include "base/slice.h"
#include "base/writer.h"

enum { DECIMAL_TEXT_MAX = 512, DECIMAL_WRITE_MAX = 25 };

enum decimal_result {
    DECIMAL_OK = 0,
    DECIMAL_MALFORMED, /* not -? int frac? exp? of RFC 8259 6 */
    DECIMAL_TOO_LARGE  /* rounds to infinity, or longer than DECIMAL_TEXT_MAX */
};

/* The whole of `text` is one JSON number. What is too small to tell from zero is zero. */
MUST_USE enum decimal_result decimal_read(struct slice text, double *out);

/* As ECMAScript writes it: 0.1, 25, 1e+21, 5e-324; -0 keeps its sign. `value` is finite. */
void decimal_write(struct writer *w, double value);

#endif
