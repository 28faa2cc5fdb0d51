/* A configuration file: it is refused with a place and a remedy, or it is within its limits. */
#include "base/invariant.h"
#include "role/config.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void explained(void *context, const char *key, const char *value, const char *from)
{
    (void)value;
    (void)from;
    *(size_t *)context += strlen(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config;
    static struct config_fault fault;
    fault = (struct config_fault){0};
    if (!config_parse("holdfast.toml", slice_of(data, size), &config, &fault)) {
        INVARIANT(strncmp(fault.what, "holdfast.toml", 13) == 0);
        INVARIANT(fault.todo[0] != '\0');
        return 0;
    }
    size_t said = 0;
    config_explain(&config, explained, &said);
    INVARIANT(said > 0);
    return 0;
}
