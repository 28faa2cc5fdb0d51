/*
 * Why an input was refused, where an operator or a peer must understand it: the clause that it
 * breaks, in words, and where. Filled by functions that take it, only when they refuse; it may be
 * NULL.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stddef.h>

struct fault {
    const char *clause; /* static text: "RFC 5280 4.1.2.2: the serial number is not positive" */
    size_t at; /* offset in the input, or index in a list: the function's header says which */
};

static inline void fault_note(struct fault *fault, const char *clause, size_t at)
{
    if (fault != NULL) {
        *fault = (struct fault){.clause = clause, .at = at};
    }
}

#endif
