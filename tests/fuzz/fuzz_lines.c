/* Lines on an agent's standard input, in whatever pieces they come: each pack that is made of them
 * is SenML that we read, each line is given or refused, and the pieces change nothing. */
#include "base/crc32c.h"
#include "base/invariant.h"
#include "codec/senml.h"
#include "io/sim/sim.h"
#include "role/source_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    uint64_t given, refused;
    uint32_t packs; /* their check value */
};

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

static struct outcome read_all(struct port *port, struct slice text, size_t step)
{
    static uint8_t bytes[SOURCE_PACK_MAX];
    struct outcome out = {0};
    struct source_lines *lines = NULL;
    enum source_state state = SOURCE_WAITS;
    sim_input(port, text, step);
    INVARIANT(source_lines_open(port, &lines) == PORT_OK);
    /* Each call takes a piece or a line. */
    for (size_t i = 0; i < 2 * text.len + 2 && state != SOURCE_ENDED; i++) {
        struct writer pack = writer_over(bytes, sizeof bytes);
        state = source_lines_read(lines, &pack);
        out.refused += source_lines_refused(lines);
        if (state == SOURCE_GAVE) {
            pack_check(writer_slice(&pack));
            out.given++;
            out.packs = crc32c(out.packs, writer_slice(&pack));
        }
    }
    INVARIANT(state == SOURCE_ENDED);
    source_lines_close(lines);
    return out;
}

/* Lines that say something: a carriage return alone is a blank line's. */
static uint64_t count_lines(struct slice text)
{
    uint64_t count = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= text.len; i++) {
        if (i == text.len || text.at[i] == '\n') {
            size_t len = i - begin;
            count += len > 1 || (len == 1 && text.at[begin] != '\r');
            begin = i + 1;
        }
    }
    return count;
}

/* The first byte is the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct sim_world *world = sim_open(1);
    struct port *port = sim_start(world, "plant", on_event, NULL);
    const struct slice text = slice_of(data + 1, size - 1);
    const struct outcome whole = read_all(port, text, SIZE_MAX);
    const struct outcome pieces = read_all(port, text, (size_t)data[0] + 1);
    INVARIANT(whole.given + whole.refused == count_lines(text));
    INVARIANT(pieces.given == whole.given && pieces.refused == whole.refused);
    INVARIANT(pieces.packs == whole.packs);
    sim_close(world);
    return 0;
}
