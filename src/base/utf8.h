/*
 * UTF-8 (RFC 3629): shortest forms only, no surrogates, nothing above U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/slice.h"
#include "base/writer.h"

/* Bytes of the character that `text` begins with, 1 to 4; 0 where it begins with none. */
size_t utf8_decode(struct slice text, uint32_t *code_point);

bool utf8_is_valid(struct slice text);

/* `code_point` is one that utf8_decode could give. */
void utf8_write(struct writer *w, uint32_t code_point);

#endif
