/*
 * Is it UTF-8 (RFC 3629)? Shortest forms only, no surrogates, nothing beyond U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/slice.h"

bool utf8_is_valid(struct slice text);

#endif
