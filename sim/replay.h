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
                         2, /* no trace, or of a build whose cores have another layout */
                     REPLAY_OTHER_CIPHER =
                         3 /* its core verifies what this program's cipher did not make */
};

/* `out` is told what was found, for a person. */
enum replay_result replay_trace(struct slice file, FILE *out);
enum replay_result replay_file(const char *path, FILE *out);

/*
 * `--replay PATH` of the program whose argv[0] is `self`: its exit status. A simulation has a
 * cipher of its own; where the trace was made with the real one, holdfast-replay beside `self`
 * takes over.
 */
int replay_command(const char *self, const char *path);

#endif
