#include "core/device/flash_keys.h"
#include "core/device/flash_rig.h"
#include "test/test.h"

static const struct flash_log_limits limits = {
    .blocks = 4, .block_len = 4096, .unit_len = 16, .kind = FLASH_KEYS_KIND, .replaces = true};

static struct rig {
    struct rig_flash flash;
    struct flash_keys keys;
    uint32_t starts;
} rig;

static void perform(void)
{
    struct flash_order order;
    while (flash_keys_wants(&rig.keys, &order)) {
        rig_perform(&rig.flash, &order);
        flash_keys_did(&rig.keys);
    }
}

static void start(void)
{
    flash_keys_init(&rig.keys, &limits, rig.flash.blocks, rig.flash.buffer, rig.flash.record,
                    limits.block_len, ++rig.starts);
    perform();
}

static void fresh(void)
{
    rig_new(&rig.flash, limits);
    rig.starts = 0;
    start();
}

static bool is_key(const struct flash_key *key, const char *text)
{
    return slice_is_text(slice_of(key->bytes, key->len), text);
}

static bool is_identity(const struct flash_identity *identity, const char *key, const char *cert)
{
    return is_key(&identity->key, key)
           && slice_is_text(slice_of(identity->certificate, identity->certificate_len), cert);
}

static bool is_on_flash(const char *text)
{
    for (size_t b = 0; b < limits.blocks; b++) {
        for (size_t i = 0; i + strlen(text) <= limits.block_len; i++) {
            if (memcmp(rig.flash.bytes[b] + i, text, strlen(text)) == 0) {
                return true;
            }
        }
    }
    return false;
}

TEST("a certificate without a key, a use without a renewal and what is too long are refused")
{
    static uint8_t large[FLASH_CERTIFICATE_MAX + 1];
    fresh();
    CHECK(rig.keys.state == FLASH_KEYS_NONE);
    CHECK(flash_keys_certified(&rig.keys, slice_text("c")) == FLASH_KEYS_REFUSED);
    CHECK(flash_keys_used(&rig.keys) == FLASH_KEYS_REFUSED);
    CHECK(flash_keys_next(&rig.keys, slice_of(large, FLASH_KEY_MAX + 1)) == FLASH_KEYS_TOO_LONG);
    CHECK(flash_keys_next(&rig.keys, slice_text("")) == FLASH_KEYS_TOO_LONG);
    CHECK(flash_keys_next(&rig.keys, slice_text("k1")) == FLASH_KEYS_OK);
    perform();
    CHECK(flash_keys_certified(&rig.keys, slice_of(large, sizeof large)) == FLASH_KEYS_TOO_LONG);
    CHECK(flash_keys_used(&rig.keys) == FLASH_KEYS_REFUSED);
    start();
    CHECK(rig.keys.state == FLASH_KEYS_HELD && is_key(&rig.keys.next, "k1"));
}

TEST("two identities together that no block takes are refused, and what was stays")
{
    static uint8_t large[FLASH_CERTIFICATE_MAX];
    fresh();
    for (int i = 0; i < 2; i++) {
        CHECK(flash_keys_next(&rig.keys, slice_text("k")) == FLASH_KEYS_OK);
        perform();
        CHECK(flash_keys_certified(&rig.keys, slice_of(large, sizeof large))
              == (i == 0 ? FLASH_KEYS_OK : FLASH_KEYS_TOO_LONG));
        perform();
    }
    CHECK(is_key(&rig.keys.next, "k") && rig.keys.renewed.key.len == 0);
    start();
    CHECK(is_key(&rig.keys.next, "k") && rig.keys.own.certificate_len == sizeof large);
}

TEST("an old key stays until the renewed one was used, and is erased then")
{
    fresh();
    CHECK(flash_keys_next(&rig.keys, slice_text("first key")) == FLASH_KEYS_OK);
    perform();
    CHECK(flash_keys_certified(&rig.keys, slice_text("first certificate")) == FLASH_KEYS_OK);
    perform();
    start();
    CHECK(is_identity(&rig.keys.own, "first key", "first certificate") && rig.keys.next.len == 0);
    CHECK(flash_keys_next(&rig.keys, slice_text("second key")) == FLASH_KEYS_OK);
    perform();
    CHECK(flash_keys_certified(&rig.keys, slice_text("second certificate")) == FLASH_KEYS_OK);
    perform();
    start();
    CHECK(is_identity(&rig.keys.own, "first key", "first certificate"));
    CHECK(is_identity(&rig.keys.renewed, "second key", "second certificate"));
    CHECK(flash_keys_used(&rig.keys) == FLASH_KEYS_OK);
    perform();
    CHECK(!is_on_flash("first key") && is_on_flash("second key"));
    start();
    CHECK(is_identity(&rig.keys.own, "second key", "second certificate"));
    CHECK(rig.keys.renewed.key.len == 0 && !is_on_flash("first"));
}

TEST("keys that rotted are told, and a new enrolment begins over them")
{
    fresh();
    CHECK(flash_keys_next(&rig.keys, slice_text("first key")) == FLASH_KEYS_OK);
    perform();
    rig.flash.bytes[rig.keys.log.newest][FLASH_HEAD_LEN + 20] ^= 1;
    start();
    CHECK(rig.keys.state == FLASH_KEYS_DAMAGED && rig.keys.next.len == 0);
    CHECK(flash_keys_next(&rig.keys, slice_text("another")) == FLASH_KEYS_OK);
    perform();
    start();
    CHECK(rig.keys.state == FLASH_KEYS_HELD && is_key(&rig.keys.next, "another"));
}

TEST("a renewal that was not used gives way to a later one, and the old key stays")
{
    static const char *const keys[] = {"first key", "second key", "third key"};
    fresh();
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        CHECK(flash_keys_next(&rig.keys, slice_text("given up")) == FLASH_KEYS_OK);
        perform();
        CHECK(flash_keys_next(&rig.keys, slice_text(keys[i])) == FLASH_KEYS_OK);
        perform();
        CHECK(flash_keys_certified(&rig.keys, slice_text(keys[i])) == FLASH_KEYS_OK);
        perform();
        CHECK(flash_keys_certified(&rig.keys, slice_text("again")) == FLASH_KEYS_REFUSED);
    }
    start();
    CHECK(is_identity(&rig.keys.own, keys[0], keys[0]));
    CHECK(is_identity(&rig.keys.renewed, keys[2], keys[2]) && !is_on_flash(keys[1]));
}

TEST("no secret stays in the buffers when nothing is under way")
{
    fresh();
    CHECK(flash_keys_next(&rig.keys, slice_text("first key")) == FLASH_KEYS_OK);
    perform();
    for (size_t i = 0; i < limits.block_len; i++) {
        CHECK(rig.flash.buffer[i] == 0 && rig.flash.record[i] == 0);
    }
}
