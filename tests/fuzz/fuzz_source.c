/* A recording of a plant, as a file of somebody: each pack that is made of it is SenML that we
 * read, and the rows only go forward. */
#include "base/invariant.h"
#include "codec/senml.h"
#include "io/sim/sim.h"
#include "role/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PACKS_MAX = 2000 };

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static void pack_check(struct slice pack)
{
    struct senml_reader reader;
    struct senml_point point;
    senml_open_cbor(&reader, pack, 1700000000000);
    while (senml_next(&reader, &point)) {
        INVARIANT(senml_name_is_valid(point.name));
    }
    INVARIANT(reader.fault.clause == NULL);
}

static void replay(struct port *port)
{
    struct source *source = NULL;
    struct source_sample sample;
    struct port_why why;
    uint64_t row = 0;
    if (source_open(port, "csv:/recording.csv,rate=0", 0, 1, 1000, &source, &why) != PORT_OK) {
        return;
    }
    for (unsigned i = 0; i < PACKS_MAX && source_next(source, &sample) == SOURCE_GAVE; i++) {
        INVARIANT(sample.pack.len > 0 && sample.pack.len <= SOURCE_PACK_MAX);
        INVARIANT(sample.row > row);
        row = sample.row;
        pack_check(sample.pack);
        source_taken(source);
    }
    source_close(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct port_file *file = NULL;
    struct sim_world *world = sim_open(1);
    struct port *port = sim_start(world, "plant", on_event, NULL);
    INVARIANT(port_file_open(port, "/recording.csv", PORT_READ | PORT_WRITE | PORT_CREATE, &file)
              == PORT_OK);
    INVARIANT(size == 0 || port_file_write(file, 0, slice_of(data, size)) == PORT_OK);
    port_file_close(file);
    replay(port);
    sim_close(world);
    return 0;
}
