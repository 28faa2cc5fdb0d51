/* holdfast-sim: so far, field traces alone. */
#include "sim/replay.h"

#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--replay") == 0) {
        return (int)replay_file(argv[2], stdout);
    }
    (void)fprintf(stderr, "use: holdfast-sim --replay FILE\n");
    return 2;
}
