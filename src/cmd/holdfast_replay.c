/* holdfast-replay: a field trace stepped again, with the cipher of the field (sim/replay.h). */
#include "sim/replay.h"

int main(int argc, char **argv)
{
    if (argc == 2) {
        return replay_command(argv[0], argv[1]);
    }
    (void)fprintf(stderr, "use: holdfast-replay FILE\n");
    return REPLAY_UNUSABLE;
}
