/*
 * The schema of the configuration: a row per key with its form, default and range. Knows no file.
 */
#ifndef ROLE_CONFIG_SCHEMA_H
#define ROLE_CONFIG_SCHEMA_H

#include "codec/toml.h"
#include "role/config.h"

#include <assert.h>

enum value_kind { VALUE_TEXT, VALUE_LIST, VALUE_DURATION, VALUE_SIZE, VALUE_NUMBER, VALUE_SWITCH };

struct config_row {
    const char *table;
    const char *key;
    enum value_kind kind;
    size_t offset;       /* into struct config, or into struct config_gateway */
    const char *initial; /* the default, as the file would write it */
    uint64_t least, most;
};

enum { CONFIG_ROWS = 33 };
static_assert((int)CONFIG_ROWS <= (int)CONFIG_KEYS_MAX, "config.origin has a place for each key");
extern const struct config_row config_schema[CONFIG_ROWS];

struct config_value {
    struct slice text; /* of a string */
    int64_t integer;   /* of a number or a switch */
    enum toml_kind kind;
};

enum config_set { CONFIG_SET = 0, CONFIG_WRONG_FORM, CONFIG_OUT_OF_RANGE };

bool config_row_is_gateway(const struct config_row *row);
void *config_place_of(struct config *config, uint32_t gateway, const struct config_row *row);
enum config_set config_set_value(const struct config_row *row,
                                 void *place,
                                 const struct config_value *value);
uint8_t *config_origin_of(struct config *config, uint32_t gateway, const struct config_row *row);
bool config_list_add(struct config_list *list, struct slice text);
void config_set_defaults(struct config *config);

/* What a value of this kind looks like, for an error. */
const char *config_wanted(enum value_kind kind);

#endif
