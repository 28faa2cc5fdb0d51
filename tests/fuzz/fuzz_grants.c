/* Any text: the reader ends; what it takes is within its limits, has no fault, and is the same
 * after it was written and read again. */
#include "codec/grants.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct grants grants;
    static struct grants again;
    static uint8_t room[GRANTS_TEXT_MAX];
    struct toml_fault fault = {0};
    struct slice at;
    if (size > 65536 || grants_read(slice_of(data, size), &grants, &fault) != GRANTS_OK) {
        return 0;
    }
    struct writer w = writer_over(room, sizeof room);
    grants_write(&w, &grants);
    if (!writer_ok(&w) || grants_read(writer_slice(&w), &again, &fault) != GRANTS_OK
        || again.number != grants.number || again.count != grants.count) {
        abort();
    }
    for (uint32_t i = 0; i < grants.count; i++) {
        const struct grant *g = &grants.list[i];
        if (grant_fault(g, &at) != NULL || !grant_equal(g, &again.list[i])
            || grants_find(&again, g->name) != &again.list[i]) {
            abort();
        }
        for (uint32_t k = 0; k < g->keys_count; k++) {
            if (!grant_has_key(&again.list[i], &g->keys[k])) {
                abort();
            }
        }
        (void)grant_allows_client_id(g, slice_of(data, size > 40 ? 40 : size));
    }
    return 0;
}
