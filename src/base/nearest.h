/*
 * "Did you mean ...?": the known word nearest to a mistyped one.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include "base/slice.h"

enum { NEAREST_WORD_MAX = 48 };

/*
 * The word with the fewest inserted, dropped, changed or swapped letters, if they are at most a
 * third of the longer one's (at least one letter); NULL where none is that near.
 */
const char *nearest_word(struct slice typed, const char *const *words, size_t count);

#endif
