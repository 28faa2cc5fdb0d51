/* The replay as a command. */
#include "sim/replay.h"

#include <string.h>
#include <unistd.h>

static const char program[] = "holdfast-replay";

int replay_command(const char *self, const char *path)
{
    char other[1024];
    enum replay_result result = replay_file(path, stdout);
    const char *slash = strrchr(self, '/');
    const char *name = slash != NULL ? slash + 1 : self;
    if (result != REPLAY_OTHER_CIPHER || strcmp(name, program) == 0) {
        return (int)result;
    }
    (void)snprintf(other, sizeof other, "%.*s%s", (int)(name - self), self, program);
    (void)printf("%s takes over\n\n", other);
    (void)fflush(stdout);
    (void)(slash != NULL ? execl(other, other, path, (char *)NULL)
                         : execlp(other, other, path, (char *)NULL));
    (void)fprintf(stderr, "%s cannot be started\n", other);
    return (int)result;
}
