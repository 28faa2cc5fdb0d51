#include "io/registry.h"
#include "io/sqlite/registry_db.h"
#include "io/sqlite/test_port.h"
#include "test/shell.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

static struct registry *open_registry(bool for_writing)
{
    char path[512];
    struct registry *r = NULL;
    struct port_why why = {0};
    (void)snprintf(path, sizeof path, "%s/registry.db", test_scratch_dir());
    if (registry_open(test_port(), path, for_writing, &r, &why) != REGISTRY_OK) {
        test_failed(__FILE__, __LINE__, "%s", why.text);
    }
    return r;
}

static struct registry_note note_of(const char *kind, const char *object)
{
    return (struct registry_note){.at_ms = 1000,
                                  .kind = slice_text(kind),
                                  .actor = slice_text("system"),
                                  .object = slice_text(object),
                                  .detail = slice_text("{}")};
}

static struct registry_device device_of(uint8_t n, const char *name)
{
    struct registry_device device = {
        .origin = REGISTRY_HARDWARE, .state = IDENTITY_EXPECTED, .created_ms = 5};
    device.id.bytes[0] = n;
    device.hardware_key.bytes[0] = n;
    (void)snprintf(device.name, sizeof device.name, "%s", name);
    (void)snprintf(device.serial, sizeof device.serial, "S-%u", n);
    return device;
}

static struct registry_certificate certificate_of(uint8_t device, uint8_t n)
{
    struct registry_certificate c = {
        .serial_len = 16, .not_after_ms = 9000, .issued_ms = 10, .der_len = 3};
    c.device.bytes[0] = device;
    c.serial[0] = n;
    c.key.bytes[0] = n;
    memcpy(c.der, "der", 3);
    return c;
}

static bool count_entries(void *context, const struct registry_entry *entry)
{
    int64_t *count = context;
    CHECK(entry->kind.len > 0);
    (*count)++;
    return true;
}

static int64_t entries_of(struct registry *r, const char *object)
{
    int64_t count = 0;
    CHECK(registry_entries_each(r, slice_text(object), INT64_MAX, count_entries, &count)
          == REGISTRY_OK);
    return count;
}

/* The states of a device's certificates, newest first: "current previous superseded". */
static bool add_state(void *context, const struct registry_certificate *certificate)
{
    static const char letters[] = "?CPSR";
    char *states = context;
    states[strlen(states)] = letters[certificate->state];
    return true;
}

static bool are_states(struct registry *r, const struct device_id *id, const char *want)
{
    char states[32] = {0};
    CHECK(registry_certificates_each(r, id, add_state, states) == REGISTRY_OK);
    return strcmp(states, want) == 0;
}

TEST("a device is found by id, name and hardware key, with its entry, also by another process that "
     "reads")
{
    struct registry *r = open_registry(true);
    struct registry_device device = device_of(1, "press-001");
    struct registry_device got;
    struct registry_note note = note_of("device-created", "hf1:01");
    REQUIRE(registry_device_create(r, &device, &note) == REGISTRY_OK);
    struct registry *reader = open_registry(false);
    CHECK(registry_device_by_id(reader, &device.id, &got) == REGISTRY_OK);
    CHECK(memcmp(&got, &device, sizeof got) == 0);
    CHECK(registry_device_by_name(reader, slice_text("press-001"), &got) == REGISTRY_OK);
    CHECK(registry_device_by_hardware_key(reader, &device.hardware_key, &got) == REGISTRY_OK);
    CHECK(registry_device_by_name(reader, slice_text("press-002"), &got) == REGISTRY_NOT_FOUND);
    CHECK_U64(entries_of(reader, "hf1:01"), 1);
    CHECK(registry_append(reader, &note) == REGISTRY_BROKEN);
    registry_close(reader);
    registry_close(r);
    CHECK(shell("test $(stat -c %%a registry.db) = 600"));
}

TEST("a name, id or hardware key that is another's is taken, and nothing is left of the attempt")
{
    struct registry *r = open_registry(true);
    struct registry_device one = device_of(1, "one");
    struct registry_note note = note_of("device-created", "x");
    REQUIRE(registry_device_create(r, &one, &note) == REGISTRY_OK);
    struct registry_device same_name = device_of(2, "one");
    struct registry_device same_key = device_of(3, "three");
    same_key.hardware_key = one.hardware_key;
    CHECK(registry_device_create(r, &same_name, &note) == REGISTRY_TAKEN);
    CHECK(registry_device_create(r, &same_key, &note) == REGISTRY_TAKEN);
    CHECK(registry_device_create(r, &one, &note) == REGISTRY_TAKEN);
    uint64_t counts[IDENTITY_STATE_COUNT];
    CHECK(registry_devices_count(r, counts) == REGISTRY_OK);
    CHECK_U64(counts[IDENTITY_EXPECTED], 1);
    CHECK_U64(entries_of(r, "x"), 1);
    registry_close(r);
}

TEST("a move from a state that the device is not in changes nothing")
{
    struct registry *r = open_registry(true);
    struct registry_device device = device_of(1, "one");
    struct registry_note note = note_of("state-changed", "x");
    REQUIRE(registry_device_create(r, &device, &note) == REGISTRY_OK);
    CHECK(registry_device_move(r, &device.id, IDENTITY_ACTIVE, IDENTITY_REVOKED, &note)
          == REGISTRY_STALE);
    CHECK_U64(entries_of(r, "x"), 1);
    CHECK(registry_device_move(r, &device.id, IDENTITY_EXPECTED, IDENTITY_REVOKED, &note)
          == REGISTRY_OK);
    CHECK(registry_device_by_id(r, &device.id, &device) == REGISTRY_OK
          && device.state == IDENTITY_REVOKED);
    CHECK_U64(entries_of(r, "x"), 2);
    registry_close(r);
}

TEST("two generations live, the one known to be held and the newest, until the newest is seen")
{
    struct registry *r = open_registry(true);
    struct registry_device device = device_of(1, "one");
    struct registry_note note = note_of("certificate-issued", "x");
    struct registry_certificate first = certificate_of(1, 1);
    REQUIRE(
        registry_certificate_issue(r, &device, &first, IDENTITY_EXPECTED, IDENTITY_ENROLLED, &note)
        == REGISTRY_OK);
    CHECK(first.generation == 1 && are_states(r, &device.id, "C"));
    CHECK(registry_certificate_seen(r, slice_of(first.serial, 16), 50, &note) == REGISTRY_OK);
    CHECK(registry_device_by_id(r, &device.id, &device) == REGISTRY_OK
          && device.state == IDENTITY_ACTIVE);
    int64_t entries = entries_of(r, "x");
    CHECK(registry_certificate_seen(r, slice_of(first.serial, 16), 60, &note) == REGISTRY_OK);
    CHECK(entries_of(r, "x") == entries);

    /* Two answers were lost: the first, which was seen, outlives the second. */
    static struct registry_certificate second;
    static struct registry_certificate third;
    second = certificate_of(1, 2);
    third = certificate_of(1, 3);
    REQUIRE(registry_certificate_issue(r, NULL, &second, IDENTITY_ACTIVE, IDENTITY_ACTIVE, &note)
            == REGISTRY_OK);
    CHECK(are_states(r, &device.id, "CP"));
    REQUIRE(registry_certificate_issue(r, NULL, &third, IDENTITY_ACTIVE, IDENTITY_ACTIVE, &note)
            == REGISTRY_OK);
    CHECK(third.generation == 3 && are_states(r, &device.id, "CSP"));
    uint64_t since = 0;
    CHECK(registry_certificates_since(r, &device.id, 10, &since) == REGISTRY_OK && since == 3);
    CHECK(registry_certificates_since(r, &device.id, 11, &since) == REGISTRY_OK && since == 0);
    CHECK(registry_certificate_seen(r, slice_of(second.serial, 16), 70, &note) == REGISTRY_OK);
    CHECK(are_states(r, &device.id, "CSP"));
    CHECK(registry_certificate_seen(r, slice_of(third.serial, 16), 70, &note) == REGISTRY_OK);
    CHECK(are_states(r, &device.id, "CSS"));
    static struct registry_certificate got;
    CHECK(registry_certificate_by_key(r, &third.key, &got) == REGISTRY_OK && got.seen_ms == 70);
    CHECK(got.der_len == 3 && memcmp(got.der, "der", 3) == 0);
    registry_close(r);
}

TEST("a key that has a certificate gets no second one, on this device or another, and creates none")
{
    struct registry *r = open_registry(true);
    struct registry_device one = device_of(1, "one");
    struct registry_device two = device_of(2, "two");
    struct registry_note note = note_of("certificate-issued", "x");
    struct registry_certificate first = certificate_of(1, 1);
    REQUIRE(registry_certificate_issue(r, &one, &first, IDENTITY_EXPECTED, IDENTITY_ENROLLED, &note)
            == REGISTRY_OK);
    struct registry_certificate other = certificate_of(2, 9);
    other.key = first.key;
    CHECK(registry_certificate_issue(r, &two, &other, IDENTITY_EXPECTED, IDENTITY_ENROLLED, &note)
          == REGISTRY_TAKEN);
    CHECK(registry_device_by_id(r, &two.id, &two) == REGISTRY_NOT_FOUND);
    other.device = one.id;
    CHECK(registry_certificate_issue(r, NULL, &other, IDENTITY_ENROLLED, IDENTITY_ENROLLED, &note)
          == REGISTRY_TAKEN);
    CHECK(are_states(r, &one.id, "C"));
    CHECK_U64(entries_of(r, "x"), 1);
    registry_close(r);
}

TEST("a certificate decided on before the device moved on is not kept, and moves it nowhere")
{
    struct registry *r = open_registry(true);
    struct registry_device device = device_of(1, "one");
    struct registry_note note = note_of("certificate-issued", "x");
    struct registry_certificate first = certificate_of(1, 1);
    struct registry_certificate second = certificate_of(1, 2);
    REQUIRE(
        registry_certificate_issue(r, &device, &first, IDENTITY_EXPECTED, IDENTITY_ENROLLED, &note)
        == REGISTRY_OK);
    REQUIRE(registry_certificate_seen(r, slice_of(first.serial, 16), 50, &note) == REGISTRY_OK);
    CHECK(registry_certificate_issue(r, NULL, &second, IDENTITY_ENROLLED, IDENTITY_ENROLLED, &note)
          == REGISTRY_STALE);
    CHECK(are_states(r, &device.id, "C"));
    CHECK(registry_device_by_id(r, &device.id, &device) == REGISTRY_OK
          && device.state == IDENTITY_ACTIVE);
    registry_close(r);
}

TEST("entries are numbered without holes and can be neither changed nor removed")
{
    struct registry *r = open_registry(true);
    struct registry_note note = note_of("x", "y");
    int64_t last = -1;
    for (int64_t i = 1; i <= 3; i++) {
        CHECK(registry_append(r, &note) == REGISTRY_OK);
        CHECK(registry_last_entry(r, &last) == REGISTRY_OK && last == i);
    }
    CHECK(sqlite3_exec(registry_db(r), "DELETE FROM entries", NULL, NULL, NULL) != SQLITE_OK);
    CHECK(sqlite3_exec(registry_db(r), "UPDATE entries SET kind = 'z'", NULL, NULL, NULL)
          != SQLITE_OK);
    CHECK_U64(entries_of(r, ""), 3);
    registry_close(r);
}

TEST("a trust list's number only rises")
{
    struct registry *r = open_registry(true);
    struct registry_note note = note_of("trust-list", "trust list");
    uint64_t number = 0;
    uint8_t payload_bytes[16];
    uint8_t whole_bytes[16];
    struct writer payload = writer_over(payload_bytes, sizeof payload_bytes);
    struct writer bytes = writer_over(whole_bytes, sizeof whole_bytes);
    CHECK(registry_trust_list(r, &number, &payload, &bytes) == REGISTRY_NOT_FOUND);
    CHECK(registry_trust_list_add(r, 2, slice_text("p"), slice_text("whole"), &note)
          == REGISTRY_OK);
    CHECK(registry_trust_list_add(r, 2, slice_text("q"), slice_text("other"), &note)
          == REGISTRY_STALE);
    CHECK(registry_trust_list_add(r, 1, slice_text("q"), slice_text("other"), &note)
          == REGISTRY_STALE);
    REQUIRE(registry_trust_list(r, &number, &payload, &bytes) == REGISTRY_OK);
    CHECK(number == 2 && slice_is_text(writer_slice(&bytes), "whole")
          && slice_is_text(writer_slice(&payload), "p"));
    registry_close(r);
}

TEST("a registry of a newer Holdfast, or a file that is none, is not opened and not changed")
{
    struct registry *r = open_registry(true);
    REQUIRE(
        sqlite3_exec(registry_db(r), "UPDATE schema_versions SET version = 99", NULL, NULL, NULL)
        == SQLITE_OK);
    registry_close(r);
    char path[512];
    struct port_why why = {0};
    (void)snprintf(path, sizeof path, "%s/registry.db", test_scratch_dir());
    CHECK(registry_open(test_port(), path, true, &r, &why) == REGISTRY_NEWER);
    CHECK(strstr(why.text, "newer") != NULL);
    CHECK(registry_open(test_port(), path, false, &r, &why) == REGISTRY_NEWER);
    (void)snprintf(path, sizeof path, "%s/text.db", test_scratch_dir());
    REQUIRE(shell("printf 'not a database, but long enough to be looked at as one by anybody' "
                  ">text.db; cp text.db before"));
    CHECK(registry_open(test_port(), path, true, &r, &why) == REGISTRY_BROKEN);
    CHECK(shell("cmp text.db before"));
    (void)snprintf(path, sizeof path, "%s/none.db", test_scratch_dir());
    CHECK(registry_open(test_port(), path, false, &r, &why) == REGISTRY_NOT_FOUND);
}
