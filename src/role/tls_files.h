/*
 * Files that a server's TLS is made of, and whether they are others than before. A server reads
 * them now and again; what cannot be used is said once and changes nothing: the last good one
 * stays.
 */
#ifndef ROLE_TLS_FILES_H
#define ROLE_TLS_FILES_H

#include "base/slice.h"
#include "crypto/hash.h"

enum { TLS_FILES_LOOK_MS = 10000 };

struct tls_files {
    struct digest seen;      /* of what was last tried */
    uint64_t due_ms;         /* when to look again */
    uint64_t taken, refused; /* times that others came: used, or of no use */
};

/* Are these parts others than at the last call? */
bool tls_files_are_new(struct tls_files *files, const struct slice *parts, size_t count);

#endif
