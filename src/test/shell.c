#define _POSIX_C_SOURCE 200809L
#include "test/shell.h"

#include "test/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool shell(const char *format, ...)
{
    char command[2048];
    char line[2600];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof command) {
        return false;
    }
    (void)snprintf(line, sizeof line, "cd '%s' && { %s\n} >out 2>err </dev/null",
                   test_scratch_dir(), command);
    return system(line) == 0;
}

struct slice shell_read(const char *name, void *to, size_t cap)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", test_scratch_dir(), name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return (struct slice){0};
    }
    size_t len = fread(to, 1, cap, file);
    bool is_whole = fgetc(file) == EOF;
    (void)fclose(file);
    return is_whole ? slice_of(to, len) : (struct slice){0};
}

bool shell_write(const char *name, struct slice bytes)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", test_scratch_dir(), name);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return false;
    }
    size_t len = fwrite(bytes.at, 1, bytes.len, file);
    return fclose(file) == 0 && len == bytes.len;
}

bool shell_said(const char *word)
{
    static char text[65536];
    static const char *const files[] = {"out", "err"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct slice said = shell_read(files[i], text, sizeof text - 1);
        text[said.len] = '\0';
        if (strstr(text, word) != NULL) {
            return true;
        }
    }
    return false;
}
