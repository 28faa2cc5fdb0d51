/*
 * Steps the events of a field trace through the same cores again and says whether what broke in the
 * field breaks here. docs/verification.md, "Field traces".
 *
 * Only the instance in which it broke is stepped: cores know nothing of each other. What a core is
 * configured with comes from the trace, but for secrets, which no trace has: the ingest key is one
 * of our own, and messages that were authentic are sealed again with it.
 */
#ifndef SIM_REPLAY_H
#define SIM_REPLAY_H

#include "base/slice.h"

#include <stdio.h>

enum replay_result { /* exit statuses */
                     REPLAY_REPRODUCED = 0,
                     REPLAY_NOT_REPRODUCED = 1,
                     REPLAY_UNUSABLE =
                         2 /* no trace, or one of a build whose cores have another layout */
};

/* `out` is told what was found, for a person. */
enum replay_result replay_trace(struct slice file, FILE *out);
enum replay_result replay_file(const char *path, FILE *out);

#endif
