/*
 * Topic names and filters (MQTT 5.0 4.7, 4.8.2) and the strings they are made of (1.5.4).
 */
#ifndef CODEC_MQTT_TOPIC_H
#define CODEC_MQTT_TOPIC_H

#include "base/slice.h"

/* Well-formed UTF-8 without surrogates and without U+0000 (1.5.4). */
bool mqtt_string_is_valid(struct slice text);

/* 1 to 65,535 bytes of such a string without wildcards (4.7.1, 4.7.3). */
bool mqtt_topic_name_is_valid(struct slice name);

/* As above, wildcards only as a whole level and # only as the last; a $share filter has a share
 * name and a rest. */
bool mqtt_topic_filter_is_valid(struct slice filter);

/* "$share/NAME/REST" (4.8.2): gives NAME and REST. The filter must be valid. */
bool mqtt_filter_is_shared(struct slice filter, struct slice *share_name, struct slice *rest);

bool mqtt_filter_has_wildcard(struct slice filter);

/*
 * Does a valid filter (the rest of a shared one) match a valid name? A wildcard at the first level
 * does not match a name that begins with $ (4.7.2).
 */
bool mqtt_filter_matches(struct slice filter, struct slice name);

/*
 * Does every name that `inner` matches match `outer` too? Both are valid filters (the rest of a
 * shared one). What two outer filters cover only together is not seen: the answer is then false.
 */
bool mqtt_filter_covers(struct slice outer, struct slice inner);

#endif
