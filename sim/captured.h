/*
 * What somebody on the wire has heard: the newest messages of all devices, for those who play them
 * again elsewhere.
 */
#ifndef SIM_CAPTURED_H
#define SIM_CAPTURED_H

#include "base/slice.h"
#include "codec/message.h"

enum { CAPTURED_MAX = 512 };

struct captured {
    struct device_id device;
    enum message_topic_kind kind;
    struct slice topic, payload; /* until the next captured_add */
};

void captured_add(const struct message_topic *topic, struct slice payload);
void captured_forget(void);
uint32_t captured_count(void);

/* 0: the oldest that is kept. False: there are not so many. */
bool captured_get(uint32_t index, struct captured *out);

#endif
