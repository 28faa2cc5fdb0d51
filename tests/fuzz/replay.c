/* Runs a fuzz target once over each file named on the command line: the corpus as a plain test. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    static uint8_t bytes[1 << 20];
    size_t len = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    /* A block of exactly this size, so that a read past its end is seen. */
    uint8_t *exact = malloc(len > 0 ? len : 1);
    for (size_t i = 0; i < len; i++) {
        exact[i] = bytes[i];
    }
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        failed += run_file(argv[i]);
    }
    printf("%d passed, %d failed, 0 skipped\n", argc - 1 - failed, failed);
    return failed != 0;
}
