/*
 * A hostile gateway: it knows the protocol and has the journal. After each true record it writes
 * one of its own: a repetition, an old one again, one altered in a bit, the words of one device as
 * those of another, a device that does not exist, a connection that never was. What it may not do
 * unseen is to change what the store says in a device's name (docs/architecture.md).
 */
#ifndef SIM_FORGE_H
#define SIM_FORGE_H

#include <stdint.h>

/* The gateway of that name forges the next `count` times. */
void forge_begin(const char *gateway, uint32_t count, uint64_t seed);
void forge_end(void);
uint64_t forge_made(void); /* records, since the program began */

#endif
