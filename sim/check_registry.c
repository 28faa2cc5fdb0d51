/* The registry checker: the tables against each other, and against the list of what was done. */
#include "base/invariant.h"
#include "io/registry.h"
#include "sim/collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct known {
    struct digest hardware_key;
    struct device_id id;
    enum identity_state state;
    char text[DEVICE_ID_TEXT_LEN + 1];
    uint64_t certificates, issued, seen; /* rows; entries */
    bool was_seen;
};

struct certificate {
    uint8_t serial[20];
    struct digest key;
    uint32_t generation;
    enum certificate_state state;
};

struct tables {
    struct known *devices;
    size_t count, cap;
    struct certificate *certificates;
    size_t certificates_count, certificates_cap;
    uint64_t gaps; /* entries whose index does not follow */
    int64_t next_index;
    uint64_t entries;
};

static bool take_device(void *context, const struct registry_device *device)
{
    struct tables *t = context;
    if (t->count == t->cap) {
        t->cap = t->cap == 0 ? 64 : t->cap * 2;
        t->devices = realloc(t->devices, t->cap * sizeof *t->devices);
        INVARIANT(t->devices != NULL);
    }
    struct known *k = &t->devices[t->count++];
    *k = (struct known){
        .hardware_key = device->hardware_key, .id = device->id, .state = device->state};
    struct writer w = writer_over(k->text, sizeof k->text - 1);
    device_id_write_text(&w, &device->id);
    return true;
}

static bool take_certificate(void *context, const struct registry_certificate *c)
{
    struct tables *t = context;
    if (t->certificates_count == t->certificates_cap) {
        t->certificates_cap = t->certificates_cap == 0 ? 64 : t->certificates_cap * 2;
        t->certificates = realloc(t->certificates, t->certificates_cap * sizeof *t->certificates);
        INVARIANT(t->certificates != NULL);
    }
    struct certificate *to = &t->certificates[t->certificates_count++];
    *to = (struct certificate){.key = c->key, .generation = c->generation, .state = c->state};
    memcpy(to->serial, c->serial, c->serial_len);
    return true;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(((const struct known *)left)->text, ((const struct known *)right)->text);
}

static bool take_entry(void *context, const struct registry_entry *entry)
{
    struct tables *t = context;
    struct known key = {0};
    t->gaps += entry->index != t->next_index ? 1 : 0;
    t->next_index = entry->index - 1;
    t->entries++;
    bool is_issue = slice_is_text(entry->kind, "certificate-issued");
    bool is_seen = slice_is_text(entry->kind, "certificate-seen");
    if ((!is_issue && !is_seen) || entry->object.len >= sizeof key.text) {
        return true;
    }
    memcpy(key.text, entry->object.at, entry->object.len);
    struct known *k = bsearch(&key, t->devices, t->count, sizeof key, by_text);
    if (k != NULL) {
        k->issued += is_issue ? 1 : 0;
        k->seen += is_seen ? 1 : 0;
    }
    return true;
}

/* ---- the questions ---- */

static int by_serial(const void *left, const void *right)
{
    return memcmp(((const struct certificate *)left)->serial,
                  ((const struct certificate *)right)->serial, 20);
}

static int by_key(const void *left, const void *right)
{
    return memcmp(&((const struct certificate *)left)->key,
                  &((const struct certificate *)right)->key, sizeof(struct digest));
}

static int by_hardware(const void *left, const void *right)
{
    return memcmp(&((const struct known *)left)->hardware_key,
                  &((const struct known *)right)->hardware_key, sizeof(struct digest));
}

static uint64_t equal_neighbours(const void *list,
                                 size_t count,
                                 size_t size,
                                 int (*order)(const void *, const void *))
{
    uint64_t equal = 0;
    for (size_t i = 1; i < count; i++) {
        const char *at = (const char *)list + i * size;
        equal += order(at - size, at) == 0 ? 1 : 0;
    }
    return equal;
}

/* The certificates of one device, newest generation first, stand at [from, certificates_count). */
static void check_generations(struct tables *t, struct known *k, size_t from, struct findings *out)
{
    uint64_t live = 0, current = 0, order = 0;
    k->certificates = t->certificates_count - from;
    for (size_t i = from; i < t->certificates_count; i++) {
        const struct certificate *c = &t->certificates[i];
        current += c->state == CERTIFICATE_CURRENT ? 1 : 0;
        live += c->state == CERTIFICATE_CURRENT || c->state == CERTIFICATE_PREVIOUS ? 1 : 0;
        order += c->generation != t->certificates_count - i ? 1 : 0;
    }
    findings_add(out, CHECK_REGISTRY, live > 2 ? 1 : 0, "%s has %llu live generations of keys",
                 k->text, (unsigned long long)live);
    findings_add(out, CHECK_REGISTRY, k->certificates > 0 && current != 1 ? 1 : 0,
                 "%s has %llu current certificates", k->text, (unsigned long long)current);
    findings_add(out, CHECK_REGISTRY, order, "%s: its generations have holes", k->text);
}

/* The tables are the fold of the entries. */
static void check_fold(const struct tables *t, struct findings *out)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct known *k = &t->devices[i];
        findings_add(out, CHECK_REGISTRY, k->issued != k->certificates ? 1 : 0,
                     "%s has %llu certificates, and entries of %llu", k->text,
                     (unsigned long long)k->certificates, (unsigned long long)k->issued);
        bool is_active = k->state == IDENTITY_ACTIVE || k->state == IDENTITY_REENROLLING;
        findings_add(out, CHECK_REGISTRY, is_active != (k->seen > 0) ? 1 : 0,
                     "%s is %s, with %llu entries of being seen in use", k->text,
                     is_active ? "active" : "not active", (unsigned long long)k->seen);
    }
}

static bool read_tables(struct registry *r, struct tables *t, struct findings *out)
{
    bool ok = registry_devices_each(r, 0, take_device, t) == REGISTRY_OK;
    qsort(t->devices, t->count, sizeof *t->devices, by_text);
    for (size_t i = 0; ok && i < t->count; i++) {
        size_t from = t->certificates_count;
        ok = registry_certificates_each(r, &t->devices[i].id, take_certificate, t) == REGISTRY_OK;
        check_generations(t, &t->devices[i], from, out);
    }
    ok = ok && registry_last_entry(r, &t->next_index) == REGISTRY_OK;
    return ok
           && registry_entries_each(r, (struct slice){0}, INT64_MAX, take_entry, t) == REGISTRY_OK;
}

void check_registry(struct plant_reader *reader, uint32_t devices, struct findings *out)
{
    struct tables t = {0};
    bool ok = read_tables(reader->registry, &t, out);
    findings_add(out, CHECK_REGISTRY, ok ? 0 : 1, "the registry cannot be read");
    if (ok) {
        findings_looked(out, CHECK_REGISTRY, t.count + t.certificates_count + t.entries);
        findings_add(out, CHECK_REGISTRY, t.count > devices ? t.count - devices : 0,
                     "%zu devices are in the registry, of %u there are", t.count, devices);
        findings_add(out, CHECK_REGISTRY, t.gaps + (t.next_index != 0 ? 1 : 0),
                     "the entries have holes");
        check_fold(&t, out);
        qsort(t.devices, t.count, sizeof *t.devices, by_hardware);
        findings_add(out, CHECK_REGISTRY,
                     equal_neighbours(t.devices, t.count, sizeof *t.devices, by_hardware),
                     "a hardware key has two devices");
        qsort(t.certificates, t.certificates_count, sizeof *t.certificates, by_serial);
        findings_add(out, CHECK_REGISTRY,
                     equal_neighbours(t.certificates, t.certificates_count, sizeof *t.certificates,
                                      by_serial),
                     "a serial number was used twice");
        qsort(t.certificates, t.certificates_count, sizeof *t.certificates, by_key);
        findings_add(
            out, CHECK_REGISTRY,
            equal_neighbours(t.certificates, t.certificates_count, sizeof *t.certificates, by_key),
            "a key has two certificates");
    }
    free(t.devices);
    free(t.certificates);
}
