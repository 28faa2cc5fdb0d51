/* The command line of holdfast-sim. */
#ifndef SIM_COMMAND_H
#define SIM_COMMAND_H

/* Exit status: 0 all well, 1 something was found, 2 it was not understood. */
int sim_command(int argc, char **argv);

#endif
