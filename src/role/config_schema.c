#include "role/config_schema.h"

#include "base/invariant.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OF(field)         offsetof(struct config, field)
#define OF_GATEWAY(field) offsetof(struct config_gateway, field)
#define DAYS(n)           ((uint64_t)(n)*86400000)

const struct config_row config_schema[CONFIG_ROWS] = {
    {"site", "name", VALUE_TEXT, OF(site_name), "Holdfast", 1, 100},
    {"site", "domain", VALUE_TEXT, OF(site_domain), "holdfast.local", 1, 100},
    {"site", "data", VALUE_TEXT, OF(data), "data", 1, 200},
    {"site", "sandbox", VALUE_TEXT, OF(sandbox), "auto", 1, 20},
    {"console", "listen", VALUE_TEXT, OF(console_listen), "https://localhost:8443", 1, 200},
    {"console", "dir", VALUE_TEXT, OF(console_dir), "", 0, 200},
    {"devices", "listen", VALUE_TEXT, OF(devices_listen), "https://localhost:9443", 1, 200},
    {"metrics", "listen", VALUE_TEXT, OF(metrics_listen), "http://localhost:9464", 1, 200},
    {"ca", "device_lifetime", VALUE_DURATION, OF(device_lifetime_ms), "91 d", 60000, DAYS(825)},
    {"ca", "application_lifetime", VALUE_DURATION, OF(application_lifetime_ms), "398 d", 60000,
     DAYS(398)},
    {"enroll", "require_linking", VALUE_SWITCH, OF(require_linking), "false", 0, 0},
    {"bus", "kind", VALUE_TEXT, OF(bus_kind), "embedded", 1, 20},
    {"store", "kind", VALUE_TEXT, OF(store_kind), "embedded", 1, 20},
    {"store", "retain", VALUE_DURATION, OF(retain_ms), "400 d", DAYS(1), DAYS(36500)},
    {"gateway", "name", VALUE_TEXT, OF_GATEWAY(name), "gw-1", 1, 60},
    {"gateway", "listen", VALUE_LIST, OF_GATEWAY(listen), "mqtts://localhost:8883", 1, 4},
    {"gateway", "versions", VALUE_LIST, OF_GATEWAY(versions), "5", 1, 2},
    {"gateway", "passage", VALUE_LIST, OF_GATEWAY(passage), "", 0, 4},
    {"gateway", "passage_names", VALUE_LIST, OF_GATEWAY(passage_names), "", 0, 8},
    {"gateway", "passage_to", VALUE_TEXT, OF_GATEWAY(passage_to), "", 0, 200},
    {"gateway", "max_packet", VALUE_SIZE, OF_GATEWAY(packet_max), "256 KiB", 1024, 262144},
    {"gateway", "max_connections", VALUE_NUMBER, OF_GATEWAY(connections_max), "10000", 1, 19000},
    {"gateway", "max_handshakes", VALUE_NUMBER, OF_GATEWAY(handshakes_max), "1024", 1, 4096},
    {"gateway", "address_connects", VALUE_NUMBER, OF_GATEWAY(address_connects), "500", 1, 1000000},
    {"gateway", "address_burst", VALUE_NUMBER, OF_GATEWAY(address_burst), "4000", 1, 1000000},
    {"gateway", "resume", VALUE_DURATION, OF_GATEWAY(resume_ms), "1 d", 60000, DAYS(7)},
    {"gateway", "device_connects", VALUE_NUMBER, OF_GATEWAY(device_connects), "5", 1, 1000000},
    {"gateway", "device_packets", VALUE_NUMBER, OF_GATEWAY(device_packets), "5000", 1, 1000000},
    {"gateway", "device_bytes", VALUE_SIZE, OF_GATEWAY(device_bytes), "8 MiB", 1024, 64 << 20},
    {"gateway", "max_inflight", VALUE_NUMBER, OF_GATEWAY(inflight_max), "64", 1, 1024},
    {"gateway", "session_expiry", VALUE_DURATION, OF_GATEWAY(session_expiry_ms), "7 d", 1000,
     DAYS(3650)},
    {"gateway", "spool", VALUE_SIZE, OF_GATEWAY(spool_max), "4 GiB", 1 << 20, UINT64_C(1) << 50},
    {"gateway", "segment", VALUE_SIZE, OF_GATEWAY(segment), "16 MiB", 1 << 16, 1 << 30},
};

bool config_row_is_gateway(const struct config_row *row)
{
    return strcmp(row->table, "gateway") == 0;
}

void *config_place_of(struct config *config, uint32_t gateway, const struct config_row *row)
{
    uint8_t *base =
        config_row_is_gateway(row) ? (uint8_t *)&config->gateways[gateway] : (uint8_t *)config;
    return base + row->offset;
}

const char *config_wanted(enum value_kind kind)
{
    switch (kind) {
    case VALUE_TEXT: return "a \"string\"";
    case VALUE_LIST: return "an [array] of \"strings\"";
    case VALUE_DURATION:
        return "a duration with a unit: \"500 ms\", \"20 s\", \"5 min\", \"2 h\", \"91 d\"";
    case VALUE_SIZE: return "a size with a unit: \"512 B\", \"256 KiB\", \"64 MiB\", \"4 GiB\"";
    case VALUE_NUMBER: return "a whole number";
    case VALUE_SWITCH: return "true or false";
    }
    return "";
}

enum config_set config_set_value(const struct config_row *row,
                                 void *place,
                                 const struct config_value *value)
{
    uint64_t number = 0;
    bool right = false;
    switch (row->kind) {
    case VALUE_TEXT:
        right = value->kind == TOML_STRING;
        number = value->text.len;
        break;
    case VALUE_DURATION:
        right = value->kind == TOML_STRING && toml_duration_ms(value->text, &number);
        break;
    case VALUE_SIZE:
        right = value->kind == TOML_STRING && toml_size_bytes(value->text, &number);
        break;
    case VALUE_NUMBER:
        right = value->kind == TOML_INTEGER;
        number = value->integer < 0 ? 0 : (uint64_t)value->integer;
        break;
    case VALUE_SWITCH:
        right = value->kind == TOML_BOOLEAN;
        *(bool *)place = right && value->integer != 0;
        return right ? CONFIG_SET : CONFIG_WRONG_FORM;
    case VALUE_LIST: return CONFIG_WRONG_FORM;
    }
    if (!right) {
        return CONFIG_WRONG_FORM;
    }
    if (number < row->least || number > row->most) {
        return CONFIG_OUT_OF_RANGE;
    }
    if (row->kind == VALUE_TEXT) {
        char *text = place;
        memset(text, 0, CONFIG_TEXT_MAX);
        if (value->text.len > 0) {
            memcpy(text, value->text.at, value->text.len);
        }
    } else {
        memcpy(place, &number, sizeof number);
    }
    return CONFIG_SET;
}

bool config_list_add(struct config_list *list, struct slice text)
{
    if (list->count == CONFIG_LIST_MAX || text.len == 0 || text.len >= CONFIG_TEXT_MAX) {
        return false;
    }
    memset(list->items[list->count], 0, CONFIG_TEXT_MAX);
    memcpy(list->items[list->count], text.at, text.len);
    list->count++;
    return true;
}

static void set_default(const struct config_row *row, void *place)
{
    struct config_value value = {.text = slice_text(row->initial), .kind = TOML_STRING};
    if (row->kind == VALUE_LIST) {
        struct config_list *list = place;
        *list = (struct config_list){0};
        (void)config_list_add(list, value.text);
        return;
    }
    if (row->kind == VALUE_NUMBER) {
        value =
            (struct config_value){.kind = TOML_INTEGER, .integer = strtoll(row->initial, NULL, 10)};
    }
    if (row->kind == VALUE_SWITCH) {
        value = (struct config_value){.kind = TOML_BOOLEAN,
                                      .integer = strcmp(row->initial, "true") == 0};
    }
    INVARIANT(config_set_value(row, place, &value) == CONFIG_SET);
}

void config_set_defaults(struct config *config)
{
    for (size_t i = 0; i < CONFIG_ROWS; i++) {
        uint32_t count = config_row_is_gateway(&config_schema[i]) ? CONFIG_GATEWAYS_MAX : 1;
        for (uint32_t g = 0; g < count; g++) {
            set_default(&config_schema[i], config_place_of(config, g, &config_schema[i]));
        }
    }
}

uint8_t *config_origin_of(struct config *config, uint32_t gateway, const struct config_row *row)
{
    uint32_t group = config_row_is_gateway(row) ? gateway : CONFIG_GATEWAYS_MAX;
    return &config->origin[group][row - config_schema];
}

/* In the largest unit that divides it: "91 d", "16 MiB". */
static void write_with_unit(enum value_kind kind, uint64_t number, char *text, size_t cap)
{
    static const struct {
        enum value_kind kind;
        uint64_t factor;
        const char *name;
    } units[] = {
        {VALUE_DURATION, DAYS(1), "d"}, {VALUE_DURATION, 3600000, "h"},
        {VALUE_DURATION, 60000, "min"}, {VALUE_DURATION, 1000, "s"},
        {VALUE_DURATION, 1, "ms"},      {VALUE_SIZE, 1 << 30, "GiB"},
        {VALUE_SIZE, 1 << 20, "MiB"},   {VALUE_SIZE, 1 << 10, "KiB"},
        {VALUE_SIZE, 1, "B"},
    };
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (units[i].kind == kind && number % units[i].factor == 0) {
            (void)snprintf(text, cap, "\"%llu %s\"", (unsigned long long)(number / units[i].factor),
                           units[i].name);
            return;
        }
    }
}

static void write_value(const struct config_row *row, const void *place, char *text, size_t cap)
{
    uint64_t number = 0;
    size_t len = 0;
    const struct config_list *list = place;
    switch (row->kind) {
    case VALUE_TEXT: (void)snprintf(text, cap, "\"%s\"", (const char *)place); return;
    case VALUE_SWITCH: (void)snprintf(text, cap, *(const bool *)place ? "true" : "false"); return;
    case VALUE_LIST:
        len = (size_t)snprintf(text, cap, "[");
        for (uint32_t i = 0; i < list->count && len < cap; i++) {
            len += (size_t)snprintf(text + len, cap - len, "%s\"%s\"", i > 0 ? ", " : "",
                                    list->items[i]);
        }
        if (len < cap) {
            (void)snprintf(text + len, cap - len, "]");
        }
        return;
    case VALUE_NUMBER:
    case VALUE_DURATION:
    case VALUE_SIZE: memcpy(&number, place, sizeof number);
    }
    if (row->kind == VALUE_NUMBER) {
        (void)snprintf(text, cap, "%llu", (unsigned long long)number);
    } else {
        write_with_unit(row->kind, number, text, cap);
    }
}

void config_explain(
    struct config *config,
    void (*line)(void *context, const char *key, const char *value, const char *from),
    void *context)
{
    static const char *const origins[] = {"default", "file", "environment"};
    for (size_t i = 0; i < CONFIG_ROWS; i++) {
        const struct config_row *row = &config_schema[i];
        uint32_t count = config_row_is_gateway(row) ? config->gateways_count : 1;
        for (uint32_t g = 0; g < count; g++) {
            char key[CONFIG_TEXT_MAX + 40];
            char value[CONFIG_LIST_MAX * (CONFIG_TEXT_MAX + 4)];
            (void)snprintf(key, sizeof key, "%s.%s",
                           config_row_is_gateway(row) ? config->gateways[g].name : row->table,
                           row->key);
            write_value(row, config_place_of(config, g, row), value, sizeof value);
            line(context, key, value, origins[*config_origin_of(config, g, row)]);
        }
    }
}
