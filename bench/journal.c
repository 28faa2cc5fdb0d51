/*
 * How many records a second the journal makes durable, at 64, 256 and 1,024 records a sync, beside
 * the limit measured in the same run: raw pwrite + fdatasync of as many bytes into a file laid out
 * beforehand. Then how fast one reader reads them back, and how long a writer takes to open on all
 * of it. Usage: bench_journal [DIR]
 *
 * Where the disk's flush costs nothing these figures say what the processor costs; the ratio is
 * what travels.
 *
 * With a slow flush: LD_PRELOAD=build/release/shim/failfs.so HOLDFAST_FAIL=fdatasync:1:5ms:forever
 * bench_journal /dev/shm
 */
#include "io/bus.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { RECORD_LEN = 256, SECONDS_EACH = 1, RUNS = 3, SEGMENT = 64 << 20 };

static const struct bus_limits limits = {.segment_bytes = SEGMENT,
                                         .budget_bytes = UINT64_C(1) << 40,
                                         .record_max = 262144,
                                         .batch_max = 4 << 20};

struct bench {
    struct port *port;
    struct bus_writer *bus;
    unsigned batch;
    double until;
    uint64_t count;
};

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench_journal: %s failed\n", what);
        exit(1);
    }
}

static void publish(struct bench *b)
{
    static uint8_t record[RECORD_LEN];
    for (unsigned i = 0; i < b->batch; i++) {
        memcpy(record, &b->count, sizeof b->count);
        bus_position position;
        must(bus_publish(b->bus, slice_of(record, sizeof record), &position) == BUS_OK, "publish");
        b->count++;
    }
}

/* The gateway's rhythm: while one batch is being synced the next one gathers. */
static void on_event(void *role, const struct port_event *ev)
{
    struct bench *b = role;
    if (ev->kind != PORT_SYNCED || ev->user != b->bus) {
        return;
    }
    bus_position before = bus_durable(b->bus);
    must(bus_synced(b->bus, ev->synced.result) == BUS_OK, "sync");
    if (bus_durable(b->bus) == before) {
        return;
    }
    must(bus_flush(b->bus) == BUS_OK, "flush");
    if (now() < b->until) {
        publish(b);
    } else if (bus_durable(b->bus) == bus_staged(b->bus)) {
        port_stop(b->port);
    }
}

static double journal_rate(struct bench *b, unsigned batch)
{
    b->batch = batch;
    uint64_t before = b->count;
    double start = now();
    b->until = start + SECONDS_EACH;
    publish(b);
    must(bus_flush(b->bus) == BUS_OK, "flush");
    publish(b);
    port_run(b->port);
    return (double)(b->count - before) / (now() - start);
}

static double raw_rate(const char *dir, unsigned batch)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/raw", dir);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    must(fd >= 0, "open");
    size_t len = (size_t)batch * RECORD_LEN;
    uint8_t *bytes = calloc(1, len);
    must(bytes != NULL, "memory");
    static uint8_t zeroes[1 << 20];
    for (off_t at = 0; at < SEGMENT; at += (off_t)sizeof zeroes) {
        must(pwrite(fd, zeroes, sizeof zeroes, at) == (ssize_t)sizeof zeroes, "layout");
    }
    must(fdatasync(fd) == 0, "layout");
    uint64_t count = 0;
    double start = now();
    off_t at = 0;
    while (now() < start + SECONDS_EACH) {
        at = at + (off_t)len > SEGMENT ? 0 : at;
        memset(bytes, (int)count, len);
        must(pwrite(fd, bytes, len, at) == (ssize_t)len && fdatasync(fd) == 0, "write");
        at += (off_t)len;
        count += batch;
    }
    double rate = (double)count / (now() - start);
    free(bytes);
    (void)close(fd);
    (void)unlink(path);
    return rate;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double values[RUNS])
{
    qsort(values, RUNS, sizeof values[0], by_size);
    return values[RUNS / 2];
}

static void bench_batches(struct bench *b, const char *dir)
{
    static const unsigned batches[] = {64, 256, 1024};
    printf("%-34s %14s %14s %7s\n", "durable records of 256 B", "journal /s", "raw /s", "ratio");
    for (size_t i = 0; i < COUNT_OF(batches); i++) {
        double journal[RUNS];
        double raw[RUNS];
        for (size_t run = 0; run < RUNS; run++) {
            raw[run] = raw_rate(dir, batches[i]);
            journal[run] = journal_rate(b, batches[i]);
            must(bus_retain_from(b->bus, bus_durable(b->bus)) == BUS_OK, "retention");
        }
        double ours = median(journal);
        double limit = median(raw);
        printf("%5u a sync %23s %14.0f %14.0f %7.2f\n", batches[i], "", ours, limit, ours / limit);
    }
}

static long rss_kib(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void bench_backlog(struct bench *b, const char *dir)
{
    b->batch = 1024;
    uint64_t before = b->count;
    while (b->count - before < 1000000) {
        b->until = 0;
        publish(b);
        must(bus_flush(b->bus) == BUS_OK, "flush");
        port_run(b->port);
    }
    bus_writer_close(b->bus);
    struct port_why why;
    long rss = rss_kib();
    double start = now();
    must(bus_writer_open(b->port, dir, &limits, &b->bus, &why) == BUS_OK, why.text);
    printf("open on %llu records: %.3f s, %ld KiB more at most\n",
           (unsigned long long)(b->count - before), now() - start, rss_kib() - rss);
    struct bus_reader *reader = NULL;
    must(bus_reader_open(b->port, dir, 0, NULL, &reader, &why) == BUS_OK, why.text);
    uint64_t count = 0;
    struct slice record;
    bus_position cursor;
    start = now();
    enum bus_result result;
    while ((result = bus_next(reader, &record, &cursor)) == BUS_OK) {
        count++;
    }
    must(result == BUS_END, "read");
    printf("read back: %.0f records/s\n", (double)count / (now() - start));
    bus_reader_close(reader);
}

int main(int argc, char **argv)
{
    char dir[400];
    (void)snprintf(dir, sizeof dir, "%s/bench-journal-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    must(mkdtemp(dir) != NULL, "mkdtemp");
    struct bench b = {0};
    b.port = port_open(on_event, &b);
    must(b.port != NULL, "port");
    struct port_why why = {""};
    must(bus_writer_open(b.port, dir, &limits, &b.bus, &why) == BUS_OK, why.text);
    bench_batches(&b, dir);
    bench_backlog(&b, dir);
    bus_writer_close(b.bus);
    port_close_all(b.port);
    char command[500];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? 0 : 1;
}
