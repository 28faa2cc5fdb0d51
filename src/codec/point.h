/*
 * One measured value as it travels from ingest to the store and to whoever asks: the time, how good
 * that time is, and who vouches for it.
 */
#ifndef CODEC_POINT_H
#define CODEC_POINT_H

#include "base/time.h"

enum provenance {
    PROVENANCE_DEVICE = 1, /* the device's MAC was verified by ingest */
    PROVENANCE_GATEWAY = 2 /* the gateway's word: an authenticated session and no more */
};

struct point {
    int64_t time_ms;           /* since 1970 */
    double value;              /* any double, NaN and infinities too */
    enum time_quality quality; /* of the time */
    enum provenance provenance;
};

const char *provenance_name(enum provenance provenance); /* "device", "gateway" */

#endif
