/*
 * Looks into a spool as a reader does. "spool_tool DIR list" prints one line a record: position,
 * kind, device, topic, payload (hex where it is not text), digest of the exporter. "spool_tool DIR
 * ack" acknowledges all.
 */
#include "codec/bus_record.h"
#include "io/bus.h"

#include <stdio.h>
#include <string.h>

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static void print_text(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.at[i];
        (void)(c > 0x20 && c < 0x7f ? printf("%c", c) : printf("\\x%02x", c));
    }
}

static void print_hex(const uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        (void)printf("%02x", at[i]);
    }
}

static bool print_record(struct slice bytes, bus_position next)
{
    static const char *const kinds[] = {"", "published", "linked", "unlinked", "started"};
    struct bus_record record;
    if (bus_record_decode(bytes, &record) != BUS_RECORD_OK) {
        return false;
    }
    (void)printf("%llu %s hf1:", (unsigned long long)next, kinds[record.kind]);
    print_hex(record.device.bytes, sizeof record.device.bytes);
    (void)printf(" ");
    print_text(record.topic);
    (void)printf(" ");
    print_text(record.payload);
    (void)printf(" ");
    print_hex(record.exporter_digest, sizeof record.exporter_digest);
    (void)printf("\n");
    return true;
}

int main(int argc, char **argv)
{
    struct port_why why = {0};
    struct bus_reader *reader = NULL;
    struct slice record;
    bus_position at = 0;
    if (argc != 3) {
        return 2;
    }
    struct port *port = port_open(on_event, NULL);
    if (bus_reader_open(port, argv[1], 0, NULL, &reader, &why) != BUS_OK) {
        (void)fprintf(stderr, "spool_tool: %s\n", why.text);
        return 1;
    }
    enum bus_result result;
    while ((result = bus_next(reader, &record, &at)) == BUS_OK) {
        if (strcmp(argv[2], "list") == 0 && !print_record(record, at)) {
            (void)fprintf(stderr, "spool_tool: no record before %llu\n", (unsigned long long)at);
            return 1;
        }
    }
    if (result != BUS_END) {
        (void)fprintf(stderr, "spool_tool: %s\n", bus_reader_why(reader));
        return 1;
    }
    if (strcmp(argv[2], "ack") == 0 && bus_reader_ack(reader, "ingest", at) != BUS_OK) {
        return 1;
    }
    bus_reader_close(reader);
    port_close_all(port);
    return 0;
}
