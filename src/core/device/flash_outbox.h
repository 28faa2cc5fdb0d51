/*
 * The outbox of a device without files: messages that wait for the gateway, on raw NOR flash below
 * the window in memory (outbox.h). A message is kept when nothing is wanted any more; only then is
 * it read into the window, and sent. Acknowledged messages leave the flash in order, oldest first.
 * Where it is full the oldest stay and the new one is refused: its source waits, or counts it.
 *
 *     while (flash_outbox_wants(o, &order)) { perform it; flash_outbox_did(o); }
 *
 * after flash_outbox_init, after each call that says so, and whenever the window has room again. An
 * order that fails ends it: begin with flash_outbox_init and an empty window.
 */
#ifndef CORE_DEVICE_FLASH_OUTBOX_H
#define CORE_DEVICE_FLASH_OUTBOX_H

#include "core/device/flash_log.h"
#include "core/device/outbox_record.h"

enum {
    FLASH_OUTBOX_KIND = 'o',
    FLASH_OUTBOX_SAVE_EVERY = 64 /* acknowledgements that a power cut may forget */
};

struct flash_outbox {
    struct flash_log log;
    struct outbox *window;
    uint8_t *record; /* OUTBOX_RECORD_MAX bytes, or as many as a record of this log may have */
    size_t record_cap;
    uint64_t read_to;  /* all before it is in the window, or acknowledged */
    uint64_t last_seq; /* of what went to the window */
    uint32_t unsaved;  /* acknowledgements */
    uint64_t rotten;   /* messages that could not be read any more: lost, and counted */
};

/* The arrays are the caller's; `start` as for flash_log_init. The window is empty. */
void flash_outbox_init(struct flash_outbox *o,
                       const struct flash_log_limits *limits,
                       struct flash_block *blocks,
                       uint8_t *buffer,
                       uint8_t *record,
                       size_t record_cap,
                       struct outbox *window,
                       uint32_t start);

bool flash_outbox_wants(const struct flash_outbox *o, struct flash_order *out);
void flash_outbox_did(struct flash_outbox *o);

/* While nothing is wanted, as all that follows. On OK it is kept when nothing is wanted any more.
 * FULL: nothing was changed, though something may be wanted now that makes room. */
MUST_USE enum flash_log_result flash_outbox_keep(struct flash_outbox *o,
                                                 const struct outbox_record *record);

/* The window heard an acknowledgement. */
void flash_outbox_acked(struct flash_outbox *o);

/* A clean stop: what was acknowledged is not sent again. */
void flash_outbox_stop(struct flash_outbox *o);

/* Is all of it in the window? */
bool flash_outbox_is_read(const struct flash_outbox *o);

#endif
