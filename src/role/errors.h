/*
 * Every error an operator can meet, by its code: what it means and what to do. The texts of one
 * occurrence (names, places, values) are made where it happens; `holdfast help CODE` and
 * docs/errors.md are made of this table.
 */
#ifndef ROLE_ERRORS_H
#define ROLE_ERRORS_H

#include <stddef.h>

struct error_text {
    const char *code;  /* "HF-1004" */
    const char *title; /* what happened */
    const char *why;
    const char *todo;
    const char *example; /* a command or line that meets it, or mends it */
};

extern const struct error_text error_texts[];
extern const size_t error_texts_count;

/* The row of a code, or NULL. */
const struct error_text *error_find(const char *code);

#endif
