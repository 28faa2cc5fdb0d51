#define _POSIX_C_SOURCE 200809L
#include "base/invariant.h"
#include "test/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct test_case *first;
static struct test_case **last = &first;
static bool failed, breaks;
static bool skipped;
static char scratch[256];

void test_register(struct test_case *test)
{
    *last = test;
    last = &test->next;
}

void test_failed(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("  %s:%d: ", file, line);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    failed = true;
}

void test_skipped(const char *why)
{
    printf("  skipped: %s\n", why);
    skipped = true;
}

void test_breaks_invariants(void)
{
    breaks = true;
}

const char *test_source_dir(void)
{
    const char *dir = getenv("HOLDFAST_SOURCE");
    return dir != NULL ? dir : HOLDFAST_SOURCE;
}

static void remove_scratch(void)
{
    if (scratch[0] != '\0') {
        char command[300];
        (void)snprintf(command, sizeof command, "rm -rf '%s'", scratch);
        (void)!system(command);
        scratch[0] = '\0';
    }
}

const char *test_scratch_dir(void)
{
    if (scratch[0] == '\0') {
        const char *base = getenv("TMPDIR");
        (void)snprintf(scratch, sizeof scratch, "%s/holdfast-test-XXXXXX", base ? base : "/tmp");
        if (mkdtemp(scratch) == NULL) {
            perror("mkdtemp");
            abort();
        }
    }
    return scratch;
}

/* With arguments only the tests whose names contain one of them. */
static bool is_wanted(const struct test_case *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strstr(test->name, argv[i]) != NULL) {
            return true;
        }
    }
    return argc < 2;
}

int main(int argc, char **argv)
{
    unsigned counts[3] = {0};
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct test_case *test = first; test != NULL; test = test->next) {
        if (!is_wanted(test, argc, argv)) {
            continue;
        }
        uint64_t breaches = invariant_noted();
        failed = false;
        skipped = false;
        breaks = false;
        test->run();
        remove_scratch();
        if (breaks && invariant_noted() == breaches) {
            test_failed(__FILE__, __LINE__, "no invariant broke");
        } else if (!breaks && invariant_noted() != breaches) {
            struct invariant_breach breach = invariant_last();
            test_failed(breach.file, breach.line, "invariant broken: %s", breach.text);
        }
        counts[failed ? 1 : skipped ? 2 : 0]++;
        if (failed) {
            printf("FAILED %s\n", test->name);
        } else if (skipped) {
            printf("skipped %s\n", test->name);
        }
    }
    printf("%u passed, %u failed, %u skipped\n", counts[0], counts[1], counts[2]);
    return counts[1] == 0 ? 0 : 1;
}
