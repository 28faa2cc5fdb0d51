/* What the platform has stored, as another process of its machine reads it. */
#include "io/registry.h"
#include "io/store.h"
#include "sim/plant_inside.h"

#include <stdio.h>

bool plant_read(struct plant *p, struct plant_reader *out)
{
    struct port_why why = {""};
    *out = (struct plant_reader){.port = sim_start(p->world, "core", plant_ignore, NULL)};
    if (store_open_reading(out->port, PLANT_DATA "/store/store.db", &out->store, &why) == STORE_OK
        && registry_open(out->port, PLANT_DATA "/control/registry.db", false, &out->registry, &why)
               == REGISTRY_OK) {
        return true;
    }
    (void)fprintf(stderr, "plant: what is stored cannot be read: %s\n", why.text);
    plant_leave(out);
    return false;
}

void plant_leave(struct plant_reader *reader)
{
    if (reader->store != NULL) {
        store_close(reader->store);
    }
    if (reader->registry != NULL) {
        registry_close(reader->registry);
    }
    port_close_all(reader->port);
    *reader = (struct plant_reader){0};
}
