/*
 * The console's files, and the API's description, as they are in this program: read-only data that
 * the build takes from web/ and docs/ (cmake/EmbedWeb.cmake).
 */
#ifndef ROLE_ASSETS_H
#define ROLE_ASSETS_H

#include "base/slice.h"

struct asset {
    const char *path; /* "/app.js"; "/index.html" is the console itself */
    const char *content_type;
    const char *etag; /* with its quotes: SHA-256 of the plain bytes */
    struct slice plain;
    struct slice gzip; /* empty where it would not be smaller */
};

extern const struct asset assets[];
extern const size_t assets_count;

/* NULL where there is none. */
const struct asset *asset_find(struct slice path);

/* By the end of the name; "text/plain; charset=utf-8" where it is none we know. */
const char *asset_type_of(struct slice path);

#endif
