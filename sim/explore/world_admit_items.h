/*
 * What can be on the bus in world_admit.c: real records of two boots of one device, and forgeries
 * of them.
 */
#ifndef SIM_EXPLORE_WORLD_ADMIT_ITEMS_H
#define SIM_EXPLORE_WORLD_ADMIT_ITEMS_H

#include "core/ingest/admit.h"

enum item {
    LINK_1,
    LINK_2, /* at the other gateway, for the second boot */
    HELLO_1,
    HELLO_2,
    MESSAGE_1,
    MESSAGE_2,
    MESSAGE_3, /* of the second boot */
    ALTERED_MESSAGE,
    ALTERED_HELLO,
    MOVED_MESSAGE, /* another stream's */
    STOLEN_HELLO   /* the second, in the first gateway's journal */
};
enum { ITEMS = STOLEN_HELLO + 1 };

void items_make(void); /* before all else; the same for all states, and so made once */

const struct admit_config *items_site(void); /* as ingest is told of it */
const struct device_id *items_device(void);

const char *item_name(enum item item);
bool item_is_message(enum item item); /* a good one */
bool item_is_forgery(enum item item);
struct admit_record item_record(enum item item); /* as it lies in a gateway's journal */

#endif
