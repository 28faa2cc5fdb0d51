/*
 * For tests that hold our bytes against other programs: runs a command line in the test's scratch
 * folder and moves files between it and memory.
 */
#ifndef TEST_SHELL_H
#define TEST_SHELL_H

#include "base/slice.h"

/* Did `format ...` exit with 0? Its output goes to the files out and err in the scratch folder. */
bool shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Is `word` in what the last command wrote to stdout or stderr? */
bool shell_said(const char *word);

/* A file of the scratch folder; an empty slice where it is not there or is longer than `cap`. */
struct slice shell_read(const char *name, void *to, size_t cap);
bool shell_write(const char *name, struct slice bytes);

#endif
