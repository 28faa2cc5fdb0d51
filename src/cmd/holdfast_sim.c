/* holdfast-sim: simulations (sim/command.h), and field traces stepped again (sim/replay.h). */
#include "sim/command.h"
#include "sim/replay.h"

#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--replay") == 0) {
        return replay_command(argv[0], argv[2]);
    }
    return sim_command(argc, argv);
}
