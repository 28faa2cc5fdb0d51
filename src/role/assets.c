#include "role/assets.h"

#include <string.h>

const struct asset *asset_find(struct slice path)
{
    for (size_t i = 0; i < assets_count; i++) {
        if (slice_is_text(path, assets[i].path)) {
            return &assets[i];
        }
    }
    return NULL;
}

const char *asset_type_of(struct slice path)
{
    static const struct {
        const char *end, *type;
    } rows[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".svg", "image/svg+xml; charset=utf-8"},
        {".woff2", "font/woff2"},
        {".json", "application/json"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t len = strlen(rows[i].end);
        if (path.len >= len && memcmp(path.at + path.len - len, rows[i].end, len) == 0) {
            return rows[i].type;
        }
    }
    return "text/plain; charset=utf-8";
}
