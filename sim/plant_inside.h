/* What plant.c (processes), plant_site.c (what is installed) and plant_read.c (what is stored)
 * share. */
#ifndef SIM_PLANT_INSIDE_H
#define SIM_PLANT_INSIDE_H

#include "core/control/restart.h"
#include "role/control.h"
#include "role/gateway.h"
#include "role/ingest.h"
#include "role/keeper.h"
#include "sim/plant.h"

#define PLANT_DATA                                                                                 \
    "/hf" /* DATA on the core; on a device the folder of what the factory gave it                  \
           */

enum { PLANT_NAME_MAX = SIM_NAME_MAX };

enum plant_kind {
    PLANT_IS_KEEPER,
    PLANT_IS_CONTROL,
    PLANT_IS_INGEST,
    PLANT_IS_GATEWAY,
    PLANT_IS_DEVICE
};

struct plant_process {
    enum plant_kind kind;
    uint32_t index; /* of gateways and devices */
    char name[PLANT_NAME_MAX];
    struct port *port; /* NULL: it does not run */
    union {
        struct keeper *keeper;
        struct control *control;
        struct ingest_process *ingest;
        struct gateway *gateway;
        struct device *device;
    } role;
    struct plant *plant;
    uint64_t back_ms; /* when it is started again; UINT64_MAX: not by itself */
    bool is_told;     /* back_ms was said by who ended it */
    bool is_beginning;
    bool was_killed;
    struct restart restart; /* of server roles */
    uint64_t starts, refusals;
    int exit_code;
};

struct plant_gateway_strings {
    char name[PLANT_NAME_MAX], listen[32], spool[64], metrics[64], refusals[64];
    const char *listens[1];
    char address[48]; /* as devices know it: "core:8883" */
};

struct plant {
    struct plant_spec spec;
    struct sim_world *world;
    struct port *port; /* our own: it has the wake */
    struct port_wake *wake;
    uint64_t wake_ms;
    struct trace *trace; /* of all devices */
    struct plant_process *processes;
    uint32_t count;
    uint32_t begun; /* devices that were started for the first time */
    uint64_t began_ms;
    struct device_id *ids;
    struct device_counts *past; /* of each device's earlier lives */
    struct keeper_config keeper;
    struct control_config control;
    struct ingest_config ingest;
    struct gateway_config gateways[PLANT_GATEWAYS_MAX];
    struct plant_gateway_strings strings[PLANT_GATEWAYS_MAX];
    const char *addresses[PLANT_GATEWAYS_MAX];
    bool is_reaping; /* an end is under way, and may cause others */
};

void plant_ignore(void *role, const struct port_event *ev);

/* plant_site.c: the core's folder, then each device's. False with the reason on stderr. */
bool plant_install(struct plant *p);
void plant_configure(struct plant *p);

#endif
