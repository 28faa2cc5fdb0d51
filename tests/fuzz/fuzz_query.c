/* Any bytes: an error within the text, or a query whose answer is the other one once it is negated.
 */
#include "base/invariant.h"
#include "core/control/query.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct query_row row(void)
{
    return (struct query_row){
        .name = slice_text("press-07-a3"),
        .id = slice_text("hf1:00112233445566778899aabbccddeeff"),
        .serial = slice_text("SN-4711"),
        .gateway = slice_text("gw-1"),
        .state = CONDITION_DEGRADED,
        .identity = IDENTITY_ACTIVE,
        .seen_age_ms = 5000,
        .gaps = 3,
    };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct query q;
    static struct query negated;
    struct query_fault fault = {0};
    struct query_row r = row();
    struct slice text = slice_of(data, size);
    if (!query_parse(text, &q, &fault)) {
        INVARIANT(fault.clause != NULL && fault.at <= size);
        INVARIANT(fault.at + fault.word.len <= size);
        return 0;
    }
    bool holds = query_matches(&q, &r);
    uint8_t around[QUERY_TEXT_MAX + 3];
    if (q.count > 0 && q.count < QUERY_NODES_MAX && size + 3 <= QUERY_TEXT_MAX) {
        memcpy(around, "-(", 2);
        memcpy(around + 2, data, size);
        around[size + 2] = ')';
        if (query_parse(slice_of(around, size + 3), &negated, &fault)) {
            INVARIANT(query_matches(&negated, &r) == !holds);
        }
    }
    return 0;
}
