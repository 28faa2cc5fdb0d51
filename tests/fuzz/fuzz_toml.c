/* Any text: the reader ends, stays inside, and what it calls a string can be read as one. */
#include "codec/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct toml t;
    struct toml_entry entry;
    uint8_t room[256];
    uint64_t value = 0;
    toml_init(&t, slice_of(data, size));
    while (toml_next(&t, &entry) == TOML_OK) {
        struct writer w = writer_over(room, sizeof room);
        if (entry.kind == TOML_STRING) {
            (void)!toml_string(&entry, &w);
            (void)!toml_duration_ms(writer_slice(&w), &value);
            (void)!toml_size_bytes(writer_slice(&w), &value);
        }
        if (entry.kind == TOML_ARRAY) {
            struct toml items;
            struct toml_entry item;
            toml_array_init(&items, &entry);
            while (toml_array_next(&items, &item) == TOML_OK) {
            }
        }
    }
    return 0;
}
