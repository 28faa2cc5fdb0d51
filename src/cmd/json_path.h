/*
 * Looks single values up in an answer of the API: cmd's way to read JSON, where an absent member is
 * a fact to show and not an error.
 */
#ifndef CMD_JSON_PATH_H
#define CMD_JSON_PATH_H

#include "base/slice.h"

/* The raw value behind a dotted path of member names ("ingest.lag_p99_s"); empty where there is
 * none. */
struct slice json_at(struct slice json, const char *path);

/* The next element of a raw array; *at begins at 0. Empty at its end. */
struct slice json_element(struct slice array, size_t *at);

/* A member as text: strings without quotes and escapes, numbers as written, null and absent as
 * `otherwise`. */
const char *json_text_at(
    struct slice json, const char *path, const char *otherwise, char *room, size_t cap);
double json_number_at(struct slice json, const char *path, double otherwise);
bool json_true_at(struct slice json, const char *path);

/* The next member of a raw object: its name and raw value. *at begins at 0; false at its end. */
bool json_member(struct slice object, size_t *at, char *name, size_t name_cap, struct slice *value);

#endif
