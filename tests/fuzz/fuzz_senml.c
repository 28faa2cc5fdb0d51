/* SenML in its three forms. The first byte chooses. Points keep their promises, and a pack that was
 * taken is taken again, with the same points, after our writer wrote it. */
#include "codec/senml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_S = 1800000000 };
static const int64_t now_ms = (int64_t)NOW_S * 1000;

static void demand(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_point(const struct senml_point *p)
{
    demand(senml_name_is_valid(p->name));
    demand(p->unit.len <= SENML_UNIT_MAX);
    demand(p->kind != SENML_NUMBER || p->number - p->number == 0);
    demand(p->kind != SENML_TEXT || p->text.len <= SENML_TEXT_MAX);
    demand(p->has_time || p->time_ms == now_ms);
}

static bool write_again(const struct senml_point *p, struct senml_reader *again)
{
    static uint8_t bytes[4096];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct senml_record record = {.name = p->name,
                                  .unit = p->unit,
                                  .has_time = p->has_time,
                                  .time_ms = p->time_ms,
                                  .kind = p->kind,
                                  .number = p->number,
                                  .text = p->text,
                                  .truth = p->truth};
    senml_pack_write(&w, 1);
    senml_record_write(&w, &record);
    senml_open_cbor(again, writer_slice(&w), now_ms);
    return writer_ok(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct senml_reader r;
    static struct senml_reader again;
    struct senml_point p;
    if (size == 0) {
        return 0;
    }
    struct slice rest = slice_of(data + 1, size - 1);
    switch (data[0] % 3) {
    case 0: senml_open_cbor(&r, rest, now_ms); break;
    case 1: senml_open_any_json(&r, rest, now_ms); break;
    default: senml_open_flat(&r, rest, now_ms); break;
    }
    uint32_t count = 0;
    while (senml_next(&r, &p)) {
        struct senml_point q;
        check_point(&p);
        count++;
        bool is_absolute =
            p.time_ms >= INT64_C(268435456000) && p.time_ms < INT64_C(253402300799000);
        if (is_absolute && write_again(&p, &again)) {
            demand(senml_next(&again, &q) && slice_equal(p.name, q.name) && p.kind == q.kind);
            demand(memcmp(&p.number, &q.number, sizeof p.number) == 0 || p.kind != SENML_NUMBER);
            demand(p.time_ms == q.time_ms);
        }
    }
    demand(count <= SENML_RECORDS_MAX);
    demand(r.result == SENML_OK || r.fault.clause != NULL);
    return 0;
}
