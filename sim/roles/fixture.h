/*
 * A small platform with everything that tests of roles ask of it: it stands, devices are fed,
 * faults strike at the nth operation of a disk, and in the end what is stored must be what the
 * devices kept, once each.
 */
#ifndef SIM_ROLES_FIXTURE_H
#define SIM_ROLES_FIXTURE_H

#include "sim/plant.h"

enum { FIXTURE_DEVICES_MAX = 8 };

struct fixture {
    struct plant *plant;
    struct sim_world *world;
    uint32_t devices;
    uint64_t kept[FIXTURE_DEVICES_MAX]; /* points that a device took */
    double next;                        /* value: never the same twice */
    struct {
        uint64_t at, seen; /* operation of the disk; at 0: none */
        void (*strike)(struct fixture *f);
        bool struck;
    } fault;
};

/* Builds it and waits until all devices are live; false: said so, nothing is open. */
bool fixture_stand(struct fixture *f, const struct plant_spec *spec);
/* The same without waiting. */
bool fixture_begin(struct fixture *f, const struct plant_spec *spec);
void fixture_end(struct fixture *f);

/* One point into each device that takes it. */
void fixture_feed(struct fixture *f);

/* `strike` is called within the nth operation from now of the machine's disk. */
void fixture_strike_at(struct fixture *f,
                       const char *machine,
                       uint64_t nth,
                       void (*strike)(struct fixture *f));
uint64_t fixture_operations(struct fixture *f, const char *machine);

bool fixture_wait_live(struct fixture *f, uint64_t ms);

/* Starts what is down, and runs until all devices are live with nothing unacknowledged, and ingest
 * has read all journals to their end. */
bool fixture_drain(struct fixture *f, uint64_t ms);

/*
 * The promises: each device has between `least` of its kept points (all of them where `exact`) and
 * not one more in the store; numbers that are missing are gaps; nothing was refused.
 */
void fixture_check(struct fixture *f, bool exact);

uint64_t fixture_counter(struct fixture *f, const char *name);
uint64_t fixture_points(struct fixture *f, uint32_t device);

/* Certificates that the registry has for the device, and whether the newest is that of the device's
 * own file. */
uint32_t fixture_certificates(struct fixture *f, uint32_t device, bool *is_its_own);

#endif
