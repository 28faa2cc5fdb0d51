/* What the platform has stored in the end, as the checkers take it. */
#ifndef SIM_COLLECT_H
#define SIM_COLLECT_H

#include "sim/findings.h"
#include "sim/history.h"
#include "sim/plant.h"

/* Points, dead letters, lost ranges and gaps of every device go to the history. False: the store
 * cannot be read. */
bool collect_store(struct plant_reader *reader, struct history *h);

/* Has ingest committed all that the gateways' journals hold? */
bool collect_is_ingested(struct plant *plant, uint32_t gateways);

/*
 * OneIdentity and KnownTransition on the tables: every device there once, with one hardware key; at
 * most two live generations of certificates, dense numbers, serials and keys of nobody else;
 * entries without holes, and as many as the tables say was done.
 */
void check_registry(struct plant_reader *reader, uint32_t devices, struct findings *out);

/* Does a server role say that its storage is damaged: by refusing to start, or in its metrics? */
bool collect_is_damage_told(struct plant *plant);

#endif
