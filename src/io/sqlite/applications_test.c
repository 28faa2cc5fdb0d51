#include "io/applications.h"
#include "io/sqlite/test_port.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

struct world {
    char path[300];
    struct registry *registry;
    struct applications *apps;
};

static void open_world(struct world *w)
{
    struct port_why why = {{0}};
    (void)snprintf(w->path, sizeof w->path, "%s/applications.db", test_scratch_dir());
    CHECK(registry_open(test_port(), w->path, true, &w->registry, &why) == REGISTRY_OK);
    CHECK(applications_open(w->registry, &w->apps, &why) == REGISTRY_OK);
}

static void close_world(struct world *w)
{
    applications_close(w->apps);
    registry_close(w->registry);
}

static struct registry_note note_at(int64_t at_ms)
{
    return (struct registry_note){.at_ms = at_ms,
                                  .kind = slice_text("application-granted"),
                                  .actor = slice_text("operator anna"),
                                  .object = slice_text("historian"),
                                  .detail = slice_text("{}")};
}

static enum registry_result grant(struct world *w, const char *rules, uint8_t key, int64_t at_ms)
{
    static struct application what;
    static struct application_certificate c;
    struct registry_note note = note_at(at_ms);
    memset(&what, 0, sizeof what);
    memset(&c, 0, sizeof c);
    memcpy(what.name, "historian", 10);
    memcpy(c.application, "historian", 10);
    what.rules_len = (uint16_t)strlen(rules);
    memcpy(what.rules, rules, what.rules_len);
    memset(c.key.bytes, key, sizeof c.key.bytes);
    memset(c.serial, key, 16);
    c.serial_len = 16;
    c.der_len = 3;
    c.not_after_ms = at_ms + 1000;
    return applications_grant(w->apps, &what, key != 0 ? &c : NULL, &note);
}

struct seen {
    uint32_t count, live;
    uint8_t newest;
};

static bool count_certificate(void *context, const struct application_certificate *c)
{
    struct seen *seen = context;
    if (seen->count == 0) {
        seen->newest = c->key.bytes[0];
    }
    seen->count++;
    seen->live += c->is_live;
    return true;
}

static struct seen look(struct world *w)
{
    struct seen seen = {0};
    CHECK(applications_certificates_each(w->apps, slice_text("historian"), count_certificate, &seen)
          == REGISTRY_OK);
    return seen;
}

TEST("what was withdrawn stays withdrawn, with every certificate of it, after the file was opened "
     "again and after a new grant")
{
    static struct application got;
    static struct application_certificate c;
    struct world w;
    struct digest key;
    struct registry_note note = note_at(2000);
    open_world(&w);
    CHECK(applications_withdraw(w.apps, slice_text("historian"), &note) == REGISTRY_NOT_FOUND);
    CHECK(grant(&w, "one", 1, 1000) == REGISTRY_OK);
    CHECK(applications_withdraw(w.apps, slice_text("historian"), &note) == REGISTRY_OK);
    CHECK(applications_withdraw(w.apps, slice_text("historian"), &note) == REGISTRY_STALE);
    close_world(&w);
    open_world(&w);
    CHECK(applications_get(w.apps, slice_text("historian"), &got) == REGISTRY_OK);
    CHECK(got.state == APPLICATION_WITHDRAWN && got.created_ms == 1000 && got.changed_ms == 2000);
    CHECK(look(&w).live == 0);
    CHECK(grant(&w, "two", 1, 3000) == REGISTRY_TAKEN); /* its key is used up */
    CHECK(applications_get(w.apps, slice_text("historian"), &got) == REGISTRY_OK);
    CHECK(got.state == APPLICATION_WITHDRAWN); /* nothing was changed */
    CHECK(grant(&w, "two", 2, 3000) == REGISTRY_OK);
    CHECK(look(&w).live == 1 && look(&w).newest == 2);
    memset(key.bytes, 1, sizeof key.bytes);
    CHECK(applications_certificate_by_key(w.apps, &key, &c) == REGISTRY_OK && !c.is_live);
    close_world(&w);
}

TEST("the newest two certificates of an application are live, and rules change without one")
{
    static struct application got;
    struct world w;
    open_world(&w);
    for (uint8_t key = 10; key < 14; key++) {
        CHECK(grant(&w, "rules", key, 5000 + key) == REGISTRY_OK);
    }
    CHECK(look(&w).newest == 13);
    CHECK(look(&w).live == 2);
    CHECK(grant(&w, "other rules", 0, 6000) == REGISTRY_OK);
    CHECK(applications_get(w.apps, slice_text("historian"), &got) == REGISTRY_OK);
    CHECK(slice_is_text(slice_of(got.rules, got.rules_len), "other rules"));
    CHECK(look(&w).live == 2);
    close_world(&w);
}

TEST("one key is a device's or an application's, never both, whoever is first")
{
    static struct registry_certificate certificate;
    struct world w;
    struct registry_note note = note_at(7000);
    struct registry_device device = {.id = {.bytes = {7}},
                                     .name = "press-7",
                                     .serial = "press-7",
                                     .origin = REGISTRY_HARDWARE,
                                     .state = IDENTITY_EXPECTED};
    open_world(&w);
    memset(device.hardware_key.bytes, 77, sizeof device.hardware_key.bytes);
    certificate = (struct registry_certificate){.device = device.id, .serial_len = 16};
    memset(certificate.key.bytes, 50, sizeof certificate.key.bytes);
    memset(certificate.serial, 50, 16);
    CHECK(grant(&w, "rules", 50, 7000) == REGISTRY_OK);
    CHECK(registry_certificate_issue(w.registry, &device, &certificate, IDENTITY_EXPECTED,
                                     IDENTITY_ENROLLED, &note)
          == REGISTRY_TAKEN);
    memset(certificate.key.bytes, 51, sizeof certificate.key.bytes);
    CHECK(registry_certificate_issue(w.registry, &device, &certificate, IDENTITY_EXPECTED,
                                     IDENTITY_ENROLLED, &note)
          == REGISTRY_OK);
    CHECK(grant(&w, "rules", 51, 7001) == REGISTRY_TAKEN);
    CHECK(grant(&w, "rules", 77, 7001) == REGISTRY_TAKEN);
    close_world(&w);
}

TEST("a number is above all before it, also after the file was opened again")
{
    struct world w;
    uint64_t first = 0;
    uint64_t second = 0;
    open_world(&w);
    CHECK(applications_number_next(w.apps, &first) == REGISTRY_OK && first > 0);
    close_world(&w);
    open_world(&w);
    CHECK(applications_number_next(w.apps, &second) == REGISTRY_OK && second > first);
    close_world(&w);
}
