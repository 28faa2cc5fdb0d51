/*
 * A spool in a test's hands: what a hostile gateway can do, since the journal is its own.
 *
 *   spool dump DIR      a line per durable record: position behind it, a blank, the record in hex
 *   spool ack DIR       acknowledges all that is durable, as ingest does; prints the position
 *   spool inject DIR    appends the records whose hex comes on stdin, a line each; prints the last
 * position. The gateway must not run: there is one writer at a time.
 */
#include "io/bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX = 1 << 20 };

struct tool {
    struct port *port;
    struct bus_writer *bus;
    enum bus_result synced;
};

static void on_event(void *role, const struct port_event *ev)
{
    struct tool *tool = role;
    if (ev->kind == PORT_SYNCED && ev->user == tool->bus) {
        tool->synced = bus_synced(tool->bus, ev->synced.result);
        port_stop(tool->port);
    }
}

static void print_record(struct slice record, bus_position next)
{
    (void)printf("%llu ", (unsigned long long)next);
    for (size_t i = 0; i < record.len; i++) {
        (void)printf("%02x", record.at[i]);
    }
    (void)printf("\n");
}

/* Reads to the end; then prints what is there, or acknowledges it. */
static int read_all(struct tool *tool, const char *dir, bool acknowledges)
{
    struct bus_reader *reader = NULL;
    struct port_why why = {""};
    enum bus_result result = bus_reader_open(tool->port, dir, 0, tool, &reader, &why);
    if (result != BUS_OK) {
        (void)fprintf(stderr, "spool: %s: %s\n", dir, why.text);
        return 1;
    }
    struct slice record;
    bus_position next = 0;
    while ((result = bus_next(reader, &record, &next)) == BUS_OK) {
        if (!acknowledges) {
            print_record(record, next);
        }
    }
    bool ok =
        result == BUS_END && (!acknowledges || bus_reader_ack(reader, "ingest", next) == BUS_OK);
    if (!ok) {
        (void)fprintf(stderr, "spool: %s\n", bus_reader_why(reader));
    } else if (acknowledges) {
        (void)printf("%llu\n", (unsigned long long)next);
    }
    bus_reader_close(reader);
    return ok ? 0 : 1;
}

static size_t bytes_of_hex(const char *hex, uint8_t *out)
{
    size_t len = 0;
    unsigned byte;
    while (sscanf(hex + 2 * len, "%2x", &byte) == 1) {
        out[len++] = (uint8_t)byte;
    }
    return len;
}

static enum bus_result flush(struct tool *tool)
{
    enum bus_result result = BUS_OK;
    while (result == BUS_OK && bus_durable(tool->bus) < bus_staged(tool->bus)) {
        result = bus_flush(tool->bus);
        if (result == BUS_OK) {
            port_run(tool->port);
            result = tool->synced;
        }
    }
    return result;
}

static int inject(struct tool *tool, const char *dir)
{
    static const struct bus_limits limits = {.segment_bytes = 16 << 20,
                                             .budget_bytes = UINT64_C(4) << 30,
                                             .record_max = RECORD_MAX,
                                             .batch_max = 4 << 20};
    struct port_why why = {""};
    if (bus_writer_open(tool->port, dir, &limits, &tool->bus, &why) != BUS_OK) {
        (void)fprintf(stderr, "spool: %s: %s\n", dir, why.text);
        return 1;
    }
    char *line = NULL;
    size_t cap = 0;
    uint8_t *bytes = malloc(RECORD_MAX);
    enum bus_result result = bytes != NULL ? BUS_OK : BUS_FULL;
    while (result == BUS_OK && getline(&line, &cap, stdin) > 0) {
        if (strlen(line) / 2 > RECORD_MAX) {
            result = BUS_TOO_LONG;
            break;
        }
        struct slice record = slice_of(bytes, bytes_of_hex(line, bytes));
        bus_position position;
        result = bus_publish(tool->bus, record, &position);
        if (result == BUS_FULL && (result = flush(tool)) == BUS_OK) {
            result = bus_publish(tool->bus, record, &position);
        }
    }
    if (result == BUS_OK) {
        result = flush(tool);
    }
    if (result == BUS_OK) {
        (void)printf("%llu\n", (unsigned long long)bus_durable(tool->bus));
    } else {
        (void)fprintf(stderr, "spool: result %d: %s\n", (int)result, bus_why(tool->bus));
    }
    free(line);
    free(bytes);
    bus_writer_close(tool->bus);
    return result == BUS_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    bool dumps = argc == 3 && strcmp(argv[1], "dump") == 0;
    bool acknowledges = argc == 3 && strcmp(argv[1], "ack") == 0;
    bool injects = argc == 3 && strcmp(argv[1], "inject") == 0;
    if (!dumps && !acknowledges && !injects) {
        (void)fprintf(stderr, "usage: spool dump|ack|inject DIR\n");
        return 2;
    }
    struct tool tool = {0};
    tool.port = port_open(on_event, &tool);
    if (tool.port == NULL) {
        (void)fprintf(stderr, "spool: no port\n");
        return 1;
    }
    int status = injects ? inject(&tool, argv[2]) : read_all(&tool, argv[2], acknowledges);
    port_close_all(tool.port);
    return status;
}
