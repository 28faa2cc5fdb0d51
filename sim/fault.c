#include "sim/fault.h"

#include "base/invariant.h"

#include <string.h>

#define H COVER_HOLDS
#define O COVER_OTHERS
#define D COVER_DETECTED
#define T COVER_TOLD
#define N COVER_NOTHING
/* In the order of enum checker: telemetry, numbers, registry, liveness, promises. */
#define ALL                                                                                        \
    {                                                                                              \
        H, H, H, H, H                                                                              \
    }

/* Numbers are the devices' own, whatever becomes of the core. */
#define CORE                                                                                       \
    {                                                                                              \
        T, H, N, N, D                                                                              \
    }

static const struct fault_row rows[FAULT_KIND_COUNT] = {
    [FAULT_DELAY] = {"delay", FAULT_ON_LINK, {"us", "jitter-us", "ms"}, ALL, "a slow link"},
    [FAULT_CUT] =
        {"cut", FAULT_ON_LINK, {"ms"}, ALL, "nothing passes from the first to the second"},
    [FAULT_PARTITION] = {"partition", FAULT_ON_LINK, {"ms"}, ALL, "nothing passes either way"},
    [FAULT_RESET] = {"reset", FAULT_ON_LINK, {NULL}, ALL, "all connections between them break"},
    [FAULT_HALF_OPEN] =
        {"half-open", FAULT_ON_LINK, {NULL}, ALL, "connections break, and only the first knows"},
    [FAULT_PAUSE] = {"pause", FAULT_ON_PROCESS, {"ms"}, ALL, "SIGSTOP, SIGCONT"},
    [FAULT_KILL] = {"kill", FAULT_ON_PROCESS, {"ms"}, ALL, "kill -9, started again"},
    [FAULT_TERMINATE] = {"terminate", FAULT_ON_PROCESS, {"ms"}, ALL, "SIGTERM, started again"},
    [FAULT_POWER_CUT] = {"power-cut", FAULT_ON_MACHINE, {"ms"}, ALL, "unsynced writes are torn"},
    [FAULT_CUT_WRITE] =
        {"cut-write", FAULT_ON_MACHINE, {"n", "ms"}, ALL, "power cut inside an operation"},
    [FAULT_CUT_AGAIN] =
        {"cut-again", FAULT_ON_MACHINE, {"n", "again", "ms"}, ALL, "and in the recovery again"},
    [FAULT_VERSION] =
        {"version", FAULT_ON_DEVICE, {"n", "ms"}, ALL, "an older or newer agent on the same disk"},
    [FAULT_CLOCK_JUMP] = {"clock-jump", FAULT_ON_MACHINE, {"by-ms"}, ALL, "the wall clock jumps"},
    [FAULT_NO_CLOCK] = {"no-clock", FAULT_ON_MACHINE, {"ms"}, ALL, "1970, and knows it"},
    [FAULT_DRIFT] = {"drift", FAULT_ON_MACHINE, {"ppm", "ms"}, ALL, "the clock is too fast"},
    [FAULT_NO_SPACE] = {"no-space", FAULT_ON_MACHINE, {"ms"}, ALL, "ENOSPC"},
    [FAULT_WRITE_FAILS] = {"write-fails", FAULT_ON_MACHINE, {"n"}, ALL, "EIO once"},
    [FAULT_SYNC_FAILS] = {"sync-fails", FAULT_ON_MACHINE, {"n"}, ALL, "fsync fails once"},
    [FAULT_DISK_DIES] = {"disk-dies", FAULT_ON_MACHINE, {"n", "ms"}, ALL, "EIO for ever"},
    [FAULT_SLOW_SYNC] = {"slow-sync", FAULT_ON_MACHINE, {"us", "ms"}, ALL, "a slow disk"},
    [FAULT_ROLL_BACK] = {"roll-back",
                         FAULT_ON_MACHINE,
                         {"after-ms", "ms"},
                         {D, O, H, O, D},
                         "an old disk again",
                         CORE},
    [FAULT_STALE_SPOOL] = {"stale-spool",
                           FAULT_ON_GATEWAY,
                           {"after-ms", "ms"},
                           {T, H, H, H, D},
                           "a gateway's spool of before again",
                           {T, H, H, H, D}},
    [FAULT_CLONE] = {"clone", FAULT_ON_DEVICE, {"ms"}, {D, O, H, O, D}, "one disk, two machines"},
    [FAULT_LYING_SYNC] = {"lying-sync",
                          FAULT_ON_MACHINE,
                          {"after-ms", "ms"},
                          {D, O, H, O, D},
                          "syncs keep nothing, then a power cut",
                          CORE},
    [FAULT_LOST_WRITE] = {"lost-write",
                          FAULT_ON_MACHINE,
                          {"n", "after-ms", "ms"},
                          {D, O, H, O, D},
                          "a write reaches nothing, then a power cut",
                          CORE},
    [FAULT_MISDIRECT] = {"misdirect",
                         FAULT_ON_MACHINE,
                         {"n", "after-ms", "ms"},
                         {D, O, H, O, D},
                         "a write reaches another place, then a power cut",
                         CORE},
    [FAULT_ROT] =
        {"rot", FAULT_ON_MACHINE, {"n", "ms"}, {D, O, H, O, D}, "bits flip at rest", CORE},
    [FAULT_HOSTILE_DEVICE] =
        {"hostile-device", FAULT_ON_DEVICE, {"n"}, ALL, "a valid identity that lies"},
    [FAULT_HOSTILE_GATEWAY] = {"hostile-gateway",
                               FAULT_ON_GATEWAY,
                               {"n"},
                               {H, H, H, H, H},
                               "forged, altered, repeated records"},
};

const struct fault_row *fault_row(enum fault_kind kind)
{
    INVARIANT(rows[kind].name != NULL);
    return &rows[kind];
}

bool fault_find(const char *name, enum fault_kind *out)
{
    for (int i = 0; i < FAULT_KIND_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *out = (enum fault_kind)i;
            return true;
        }
    }
    return false;
}

bool fault_is_beyond(enum fault_kind kind)
{
    for (int i = 0; i < CHECKER_COUNT; i++) {
        if (rows[kind].covers[i] != COVER_HOLDS) {
            return true;
        }
    }
    return false;
}

enum cover fault_cover(enum fault_kind kind, const char *target, enum checker which)
{
    bool is_device = strncmp(target, "dev-", 4) == 0;
    return !is_device && fault_is_beyond(kind) ? rows[kind].on_core[which]
                                               : rows[kind].covers[which];
}
