#include "role/tls_files.h"

#include <string.h>

bool tls_files_are_new(struct tls_files *files, const struct slice *parts, size_t count)
{
    struct digest list[8];
    size_t some = count < COUNT_OF(list) ? count : COUNT_OF(list);
    for (size_t i = 0; i < some; i++) {
        list[i] = hash_of(parts[i]);
    }
    struct digest all = hash_of(slice_of(list, some * sizeof list[0]));
    bool is_new = memcmp(&all, &files->seen, sizeof all) != 0;
    files->seen = all;
    return is_new;
}
