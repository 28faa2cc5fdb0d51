/*
 * Unit tests without a framework: TEST("a sentence that can be false") { ... CHECK(cond); }. Every
 * test of an executable runs; the last line is "N passed, N failed, N skipped". Link
 * test/test_main.c, the CMake target test_main.
 */
#ifndef TEST_TEST_H
#define TEST_TEST_H

#include <stdbool.h>
#include <stddef.h>

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

void test_register(struct test_case *test);
void test_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void test_skipped(const char *why); /* prints it; the test then counts as skipped */

/* This test breaks an invariant on purpose: it fails where none breaks, instead of where one does.
 */
void test_breaks_invariants(void);

/* Where the vectors and other files of the source tree are: HOLDFAST_SOURCE, set by the build. */
const char *test_source_dir(void);

/* A fresh folder below the build's own temporary one; removed when the test ends. */
const char *test_scratch_dir(void);

#define TEST_JOIN2(a, b) a##b
#define TEST_JOIN(a, b)  TEST_JOIN2(a, b)
#define TEST(name)                                                                                 \
    static void TEST_JOIN(test_run_, __LINE__)(void);                                              \
    __attribute__((constructor)) static void TEST_JOIN(test_add_, __LINE__)(void)                  \
    {                                                                                              \
        static struct test_case test = {name, TEST_JOIN(test_run_, __LINE__), NULL};               \
        test_register(&test);                                                                      \
    }                                                                                              \
    static void TEST_JOIN(test_run_, __LINE__)(void)

#define CHECK(cond) ((cond) ? (void)0 : test_failed(__FILE__, __LINE__, "%s", #cond))
#define CHECK_U64(got, want)                                                                       \
    do {                                                                                           \
        unsigned long long test_got = (unsigned long long)(got);                                   \
        unsigned long long test_want = (unsigned long long)(want);                                 \
        if (test_got != test_want) {                                                               \
            test_failed(__FILE__, __LINE__, "%s is %llu, not %llu", #got, test_got, test_want);    \
        }                                                                                          \
    } while (0)
/* Ends this test at once where the condition is false. */
#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            test_failed(__FILE__, __LINE__, "%s", #cond);                                          \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#endif
