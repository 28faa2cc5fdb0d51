/* The version of every program of this tree. */
#ifndef CMD_VERSION_H
#define CMD_VERSION_H

#define HOLDFAST_VERSION "0.1.0"

#endif
