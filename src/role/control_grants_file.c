/* The file of grants that gateways read, made of the registry and the configuration. */
#include "base/invariant.h"
#include "io/folder.h"
#include "io/replace.h"
#include "role/control_grants_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPOSE_MS = 60000 /* certificates expire without anybody's doing */ };

struct composing {
    struct control *control;
    struct grant *grant;
};

static bool add_key(void *context, const struct application_certificate *c)
{
    struct composing *x = context;
    if (c->is_live && c->not_after_ms > control_now(x->control)
        && x->grant->keys_count < GRANT_KEYS_MAX) {
        x->grant->keys[x->grant->keys_count++] = c->key;
    }
    return true;
}

const struct grant *grants_configured(const struct control *c, struct slice name)
{
    for (size_t i = 0; i < c->config->applications_count; i++) {
        if (slice_equal(c->config->applications[i].name, name)) {
            return &c->config->applications[i];
        }
    }
    return NULL;
}

bool grants_read_rules(struct control_grants *g, struct slice rules, struct grant *out)
{
    struct toml_fault fault;
    if (rules.len == 0 || grants_read(rules, &g->one, &fault) != GRANTS_OK || g->one.count != 1) {
        return false;
    }
    *out = g->one.list[0];
    return true;
}

static bool add_row(void *context, const struct application *row)
{
    struct control *c = context;
    struct control_grants *g = c->grants;
    bool is_configured = grants_configured(c, slice_text(row->name)) != NULL;
    if (row->state != APPLICATION_GRANTED || is_configured || g->composed.count == GRANTS_MAX
        || g->rules_len + row->rules_len > GRANTS_TEXT_MAX) {
        return true;
    }
    memcpy(g->rules + g->rules_len, row->rules, row->rules_len);
    struct grant *grant = &g->composed.list[g->composed.count];
    if (HOLDS(grants_read_rules(g, slice_of(g->rules + g->rules_len, row->rules_len), grant))) {
        g->composed.count++;
        g->rules_len += row->rules_len;
    }
    return true;
}

static bool compose(struct control *c)
{
    struct control_grants *g = c->grants;
    g->composed.count = 0;
    g->rules_len = 0;
    for (size_t i = 0; i < c->config->applications_count; i++) {
        g->composed.list[g->composed.count++] = c->config->applications[i];
    }
    enum registry_result result = applications_each(g->apps, add_row, c);
    for (uint32_t i = 0; i < g->composed.count && result == REGISTRY_OK; i++) {
        struct composing x = {.control = c, .grant = &g->composed.list[i]};
        x.grant->keys_count = 0;
        result = applications_certificates_each(g->apps, x.grant->name, add_key, &x);
    }
    if (result != REGISTRY_OK) {
        control_fail(c, "the registry cannot be read", "grants of applications");
    }
    return result == REGISTRY_OK;
}

static struct slice write_composed(struct control_grants *g, uint64_t number)
{
    struct writer w = writer_over(g->text, GRANTS_TEXT_MAX);
    g->composed.number = number;
    grants_write(&w, &g->composed);
    INVARIANT(writer_ok(&w)); /* it has room for the most and longest grants there can be */
    return writer_slice(&w);
}

bool grants_publish(struct control *c)
{
    struct control_grants *g = c->grants;
    char path[CONTROL_PATH_MAX];
    g->due_ms = port_now_ms(c->port) + COMPOSE_MS;
    if (!compose(c)) {
        return false;
    }
    struct slice text = write_composed(g, 1);
    if (g->number > 0 && !g->is_behind && slice_equal(text, slice_of(g->written, g->written_len))) {
        return true;
    }
    memcpy(g->written, text.at, text.len);
    g->written_len = text.len;
    bool was_behind = g->is_behind;
    if (!was_behind && applications_number_next(g->apps, &g->number) != REGISTRY_OK) {
        g->is_behind = true;
        return false;
    }
    control_path(c, path, "grants/applications.toml");
    g->is_behind = port_file_replace(c->port, path, write_composed(g, g->number)) != PORT_OK;
    if (g->is_behind && !was_behind) {
        (void)fprintf(stderr, "control: the gateways do not hear of grants: %s cannot be written\n",
                      path);
    }
    return !g->is_behind;
}

void control_grants_tick(struct control *c)
{
    if (c->grants != NULL && (c->grants->is_behind || port_now_ms(c->port) >= c->grants->due_ms)) {
        (void)!grants_publish(c); /* said, and tried again */
    }
}

uint64_t control_grants_number(const struct control *c)
{
    return c->grants != NULL ? c->grants->number : 0;
}

bool control_grants_open(struct control *c, struct port_why *why)
{
    char path[CONTROL_PATH_MAX];
    struct control_grants *g = calloc(1, sizeof *g);
    INVARIANT(g != NULL);
    c->grants = g;
    g->rules = malloc(GRANTS_TEXT_MAX);
    g->text = malloc(GRANTS_TEXT_MAX);
    g->written = malloc(GRANTS_TEXT_MAX);
    INVARIANT(g->rules != NULL && g->text != NULL && g->written != NULL);
    control_path(c, path, "grants");
    if (port_folder_make(c->port, path) != PORT_OK) {
        (void)snprintf(why->text, sizeof why->text, "%.200s cannot be made", path);
        return false;
    }
    if (applications_open(c->registry, &g->apps, why) != REGISTRY_OK) {
        return false;
    }
    (void)!grants_publish(c); /* said, and tried again */
    return c->exit == 0;
}

void control_grants_close(struct control *c)
{
    struct control_grants *g = c->grants;
    if (g != NULL) {
        applications_close(g->apps);
        free(g->rules);
        free(g->text);
        free(g->written);
        free(g);
        c->grants = NULL;
    }
}
