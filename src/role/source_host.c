/*
 * The machine the agent runs on: CPU, load, memory, disk, network and the temperatures of hwmon,
 * from /proc and /sys. What a machine does not have is left out.
 */
#include "codec/decimal.h"
#include "role/source_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 8192, TEMPERATURES_MAX = 16, NAME_MAX_LEN = 48 };

struct temperature {
    char path[96];
    char name[NAME_MAX_LEN];
};

struct source_host {
    struct port *port;
    uint64_t busy, total; /* of the CPU, at the last reading */
    uint64_t in_bytes, out_bytes;
    uint64_t read_ms;
    bool has_last;
    uint32_t temperatures_count;
    struct temperature temperatures[TEMPERATURES_MAX];
    char hwmon[64]; /* while looking for them */
    char text[TEXT_MAX];
};

/* The file's text, cut at TEXT_MAX; empty where it cannot be read. */
static const char *text_of(struct source_host *h, const char *path)
{
    struct port_file *file;
    size_t got = 0;
    h->text[0] = '\0';
    if (port_file_open(h->port, path, PORT_READ, &file) == PORT_OK) {
        if (port_file_read(file, 0, h->text, sizeof h->text - 1, &got) != PORT_OK) {
            got = 0;
        }
        h->text[got] = '\0';
        port_file_close(file);
    }
    return h->text;
}

/* The number behind `label` in the text. */
static bool number_after(const char *text, const char *label, uint64_t *out)
{
    const char *at = strstr(text, label);
    if (at == NULL) {
        return false;
    }
    *out = strtoull(at + strlen(label), NULL, 10);
    return true;
}

/* ---- temperatures: /sys/class/hwmon/hwmonN/tempM_input, in thousandths ---- */

static void found_input(void *context, const char *name)
{
    struct source_host *h = context;
    static const char end[] = "_input";
    size_t len = strlen(name);
    if (strncmp(name, "temp", 4) != 0 || len < sizeof end + 3 || len > 20
        || strcmp(name + len - (sizeof end - 1), end) != 0
        || h->temperatures_count == TEMPERATURES_MAX) {
        return;
    }
    struct temperature *t = &h->temperatures[h->temperatures_count];
    char path[96];
    char chip[24];
    (void)snprintf(path, sizeof path, "%.56s/name", h->hwmon);
    (void)snprintf(chip, sizeof chip, "%.20s", text_of(h, path));
    chip[strcspn(chip, "\n")] = '\0';
    (void)snprintf(t->path, sizeof t->path, "%.56s/%.24s", h->hwmon, name);
    (void)snprintf(t->name, sizeof t->name, "temp/%s/%.*s", chip[0] != '\0' ? chip : "hwmon",
                   (int)(len - (sizeof end - 1)), name);
    h->temperatures_count++;
}

static void found_chip(void *context, const char *name)
{
    struct source_host *h = context;
    if (strncmp(name, "hwmon", 5) == 0 && strlen(name) < 24) {
        (void)snprintf(h->hwmon, sizeof h->hwmon, "/sys/class/hwmon/%.24s", name);
        (void)port_dir_list(h->port, h->hwmon, found_input, h);
    }
}

enum port_result source_host_open(struct port *port, struct source_host **out)
{
    struct source_host *h = calloc(1, sizeof *h);
    if (h == NULL) {
        return PORT_FAILED;
    }
    h->port = port;
    (void)port_dir_list(port, "/sys/class/hwmon", found_chip, h);
    *out = h;
    return PORT_OK;
}

void source_host_close(struct source_host *h)
{
    free(h);
}

/* ---- reading ---- */

static double hundredths(double value)
{
    return (double)(int64_t)(value * 100.0 + 0.5) / 100.0;
}

static void read_cpu(struct source_host *h, struct source_values *v)
{
    unsigned long long n[8] = {0};
    const char *text = text_of(h, "/proc/stat");
    if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &n[0], &n[1], &n[2], &n[3],
               &n[4], &n[5], &n[6], &n[7])
        < 4) {
        return;
    }
    uint64_t total = 0;
    for (size_t i = 0; i < COUNT_OF(n); i++) {
        total += n[i];
    }
    uint64_t busy = total - n[3] - n[4]; /* idle and waiting for the disk */
    if (h->has_last && total > h->total && busy >= h->busy) {
        double share = 100.0 * (double)(busy - h->busy) / (double)(total - h->total);
        (void)values_add_number(v, slice_text("cpu"), "%", hundredths(share));
    }
    h->busy = busy;
    h->total = total;
}

static void read_load(struct source_host *h, struct source_values *v)
{
    const char *text = text_of(h, "/proc/loadavg");
    double load;
    if (decimal_read(slice_of(text, strcspn(text, " ")), &load) == DECIMAL_OK) {
        (void)values_add_number(v, slice_text("load_1m"), "/", load);
    }
}

static void read_memory(struct source_host *h, struct source_values *v)
{
    uint64_t total_kib;
    uint64_t free_kib;
    const char *text = text_of(h, "/proc/meminfo");
    if (number_after(text, "MemTotal:", &total_kib)
        && number_after(text, "MemAvailable:", &free_kib) && total_kib > 0
        && free_kib <= total_kib) {
        double share = 100.0 * (double)(total_kib - free_kib) / (double)total_kib;
        (void)values_add_number(v, slice_text("memory_used"), "%", hundredths(share));
    }
}

static void read_disk(struct source_host *h, struct source_values *v)
{
    uint64_t bytes;
    if (port_dir_room(h->port, "/", &bytes) == PORT_OK) {
        (void)values_add_number(v, slice_text("disk_free"), "B", (double)bytes);
    }
}

/* All interfaces but the loopback. */
static void read_network(struct source_host *h, struct source_values *v, uint64_t now_ms)
{
    uint64_t in_bytes = 0;
    uint64_t out_bytes = 0;
    bool has_any = false;
    const char *line = text_of(h, "/proc/net/dev");
    while ((line = strchr(line, '\n')) != NULL) {
        char name[32];
        unsigned long long in;
        unsigned long long out;
        line++;
        if (sscanf(line, " %31[^:]: %llu %*u %*u %*u %*u %*u %*u %*u %llu", name, &in, &out) == 3
            && strcmp(name, "lo") != 0) {
            in_bytes += in;
            out_bytes += out;
            has_any = true;
        }
    }
    if (has_any && h->has_last && now_ms > h->read_ms && in_bytes >= h->in_bytes
        && out_bytes >= h->out_bytes) {
        double per_s = 8000.0 / (double)(now_ms - h->read_ms);
        (void)values_add_number(v, slice_text("net_in"), "bit/s",
                                (double)(int64_t)((double)(in_bytes - h->in_bytes) * per_s));
        (void)values_add_number(v, slice_text("net_out"), "bit/s",
                                (double)(int64_t)((double)(out_bytes - h->out_bytes) * per_s));
    }
    h->in_bytes = in_bytes;
    h->out_bytes = out_bytes;
}

static void read_temperatures(struct source_host *h, struct source_values *v)
{
    for (uint32_t i = 0; i < h->temperatures_count; i++) {
        const struct temperature *t = &h->temperatures[i];
        const char *text = text_of(h, t->path);
        double thousandths;
        if (decimal_read(slice_of(text, strcspn(text, "\n")), &thousandths) == DECIMAL_OK) {
            (void)values_add_number(v, values_name(v, slice_text(t->name)), "Cel",
                                    thousandths / 1000.0);
        }
    }
}

void source_host_read(struct source_host *h, struct source_values *v)
{
    uint64_t now_ms = port_now_ms(h->port);
    read_cpu(h, v);
    read_load(h, v);
    read_memory(h, v);
    read_disk(h, v);
    read_network(h, v, now_ms);
    read_temperatures(h, v);
    h->read_ms = now_ms;
    h->has_last = true;
}
