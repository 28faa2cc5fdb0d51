#include "role/config.h"
#include "test/test.h"

#include <string.h>

static const struct {
    const char *text;
    const char *code;
    const char *what;
    const char *todo;
} bad[] = {
    {"[gateway]\nlistn = [\"mqtts://localhost:1\"]", "HF-1004",
     "f.toml:2:1: unknown key \"listn\" in [gateway]",
     "did you mean \"listen\"? nothing was started"},
    {"[gatway]", "HF-1003", "f.toml:1:1: unknown table [gatway]",
     "did you mean [gateway]? nothing was started"},
    {"[site]\nname = \"a\"\nname = \"b\"", "HF-1005", "f.toml:3:1: \"name\" stands twice", ""},
    {"[site]\nsandbox = \"maybe\"", "HF-1006", "site.sandbox is", ""},
    {"[site]\n[site]", "HF-1005", "f.toml:2:1: a second [site]", ""},
    {"[ca]\ndevice_lifetime = \"91d\"", "HF-1006",
     "f.toml:2:19: device_lifetime of [ca] has the wrong form", ""},
    {"[ca]\ndevice_lifetime = \"1 s\"", "HF-1007", "device_lifetime of [ca] is out of range", ""},
    {"[ca]\nrenew_from = \"66 d\"", "HF-1004", "unknown key \"renew_from\" in [ca]", ""},
    {"[gateway]\nmax_inflight = 0", "HF-1007", "max_inflight", ""},
    {"[gateway]\nmax_inflight = \"9\"", "HF-1006", "max_inflight", ""},
    {"[gateway]\nlisten = []", "HF-1007", "listen", ""},
    {"[gateway]\nlisten = [\"mqtt://localhost:1883\"]", "HF-1006", "gateway.listen", ""},
    {"[gateway]\nversions = [\"4\"]", "HF-1006", "gateway.versions holds 4", ""},
    {"[gateway]\nname = \"GW 1\"", "HF-1006", "gateway name GW 1", ""},
    {"[[gateway]]\nname=\"a\"\n[[gateway]]\nname=\"a\"", "HF-1005", "two gateways are called a",
     ""},
    {"[console]\nlisten = \"http://[::]:8080\"", "HF-1009", "is http beyond this machine", ""},
    {"[console]\nlisten = \"localhost\"", "HF-1006", "is not an address", ""},
    {"[bus]\nkind = \"nats\"", "HF-1008", "bus.kind is nats", ""},
    {"name = \"x\"", "HF-1004", "f.toml:1:1: a key before the first [table]", ""},
    {"[[application]]\nname=\"a\"\nsubscribes=[\"x\"]", "HF-1004", "f.toml:3:1: unknown key",
     "did you mean \"subscribe\"?"},
    {"[[application]]\nname=\"a\"\nkeys=[\"x\"]", "HF-1004", "unknown key \"keys\"", ""},
    {"[[application]]\nname=\"a\"\nsubscribe=\"x\"", "HF-1006", "f.toml:3:11: value of", ""},
    {"[[application]]\nname=\"a\"", "HF-1006", "cannot grant a", ""},
    {"[[application]]\nname=\"a\"\npublish=[\"hf/1/x\"]", "HF-1006", "cannot grant hf/1/x", ""},
    {"[[application]]\nname=\"a\"\nsubscribe=[\"x\"]\n[[application]]\nname=\"a\"\nsubscribe="
     "[\"x\"]",
     "HF-1006", "cannot grant a", ""},
    {"[site\n", "HF-1002", "f.toml:1:6: the heading is not closed with ]", ""},
};

TEST("each wrong configuration is refused with its code, place and remedy")
{
    static struct config config;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct config_fault fault;
        bool ok = config_parse("f.toml", slice_text(bad[i].text), &config, &fault);
        if (ok || strcmp(fault.code, bad[i].code) != 0 || strstr(fault.what, bad[i].what) == NULL
            || strstr(fault.todo, bad[i].todo) == NULL || fault.why[0] == '\0'
            || fault.todo[0] == '\0') {
            test_failed(__FILE__, __LINE__, "row %zu: %s %s / %s / %s", i,
                        ok ? "accepted" : fault.code, fault.what, fault.why, fault.todo);
        }
    }
}

TEST("an empty file is one gateway and the defaults")
{
    static struct config config;
    struct config_fault fault;
    REQUIRE(config_parse("f.toml", slice_text(""), &config, &fault));
    CHECK_U64(config.gateways_count, 1);
    CHECK(strcmp(config.gateways[0].name, "gw-1") == 0);
    CHECK(strcmp(config.gateways[0].listen.items[0], "mqtts://localhost:8883") == 0);
    CHECK_U64(config.device_lifetime_ms, UINT64_C(91) * 86400000);
    CHECK(!config.require_linking);
}

static void count_files(void *context, const char *key, const char *value, const char *from)
{
    (void)value;
    unsigned *count = context;
    *count += strcmp(from, "file") == 0 && strcmp(key, "site.name") == 0;
}

TEST("what the file says is in force and is said to be from the file")
{
    static struct config config;
    struct config_fault fault;
    unsigned count = 0;
    REQUIRE(config_parse(
        "f.toml",
        slice_text("[site]\nname = \"Northsea\"\n[[gateway]]\nname=\"a\"\n[[gateway]]\n"
                   "name=\"b\"\nlisten=[\"mqtts://[::1]:8884\"]\nversions=[\"5\",\"3.1.1\"]\n"),
        &config, &fault));
    CHECK(strcmp(config.site_name, "Northsea") == 0);
    CHECK_U64(config.gateways_count, 2);
    CHECK_U64(config.gateways[1].versions.count, 2);
    config_explain(&config, count_files, &count);
    CHECK_U64(count, 1);
}

TEST("applications are granted by the configuration, as many as stand there")
{
    static struct config config;
    struct config_fault fault;
    REQUIRE(config_parse("f.toml",
                         slice_text("[[application]]\nname = \"historian\"\nsubscribe = "
                                    "[\"hf/1/+/t/#\"]\nclient_ids = [\"historian-*\"]\n"
                                    "[[application]]\nname = \"hmi\"\npublish = [\"plant/#\"]\n"),
                         &config, &fault));
    CHECK_U64(config.applications_count, 2);
    CHECK(slice_is_text(config.applications[0].subscribe.items[0], "hf/1/+/t/#"));
    CHECK(grant_allows_client_id(&config.applications[0], slice_text("historian-2")));
    CHECK(slice_is_text(config.applications[1].publish.items[0], "plant/#"));
    CHECK_U64(config.gateways_count, 1);
}

TEST("a url is a scheme, a host and a port")
{
    char scheme[16];
    char address[CONFIG_TEXT_MAX];
    CHECK(config_url("https://[::1]:8443", scheme, address) && strcmp(address, "[::1]:8443") == 0);
    CHECK(!config_url("https://localhost", scheme, address));
    CHECK(!config_url("https://localhost:", scheme, address));
    CHECK(!config_url("https://localhost:99999", scheme, address));
    CHECK(!config_url("localhost:1", scheme, address));
    CHECK(!config_url("https://:1", scheme, address));
}
