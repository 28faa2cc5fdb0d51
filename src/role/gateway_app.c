/* Applications: who they are, what they may, and what becomes of it when their grants change. */
#include "base/invariant.h"
#include "role/gateway_sessions.h"
#include "trust/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take_grant(struct gateway_app *app, const struct grant *grant)
{
    app->rights.publish = (struct gw_filters){grant->publish.items, grant->publish.count};
    app->rights.subscribe = (struct gw_filters){grant->subscribe.items, grant->subscribe.count};
    app->rights.client_ids = (struct gw_filters){grant->client_ids.items, grant->client_ids.count};
    if (grant->client_ids.count == 0) {
        app->rights.client_ids = (struct gw_filters){&app->own_id, 1};
    }
}

struct gateway_app *gateway_app_of(struct gateway *g,
                                   const struct x509 *certificate,
                                   struct device_id *owner,
                                   struct fault *fault)
{
    struct slice name;
    if (!identity_of_application(certificate, slice_text(g->config->domain), &name, fault)) {
        return NULL;
    }
    struct digest key = identity_key_digest(certificate->spki);
    const struct grant *grant = gateway_grants_find(g->grants, name, &key);
    if (grant == NULL || name.len > GRANT_NAME_MAX) {
        fault_note(fault, "an application that nobody has granted anything", 0);
        return NULL;
    }
    struct gateway_app *app = calloc(1, sizeof *app);
    INVARIANT(app != NULL);
    memcpy(app->name, name.at, name.len);
    app->own_id = slice_of(app->name, name.len);
    app->key = key;
    take_grant(app, grant);
    *owner = identity_application_id(name);
    return app;
}

static void cut(struct gateway *g, struct gateway_conn *c, const char *why)
{
    gateway_conn_feed(g, c,
                      (struct gw_event){.kind = GW_STOPPING,
                                        .now_ms = port_now_ms(g->port),
                                        .stop = {.end = GW_END_ORDERED,
                                                 .reason = MQTT_NOT_AUTHORIZED,
                                                 .clause = why,
                                                 .drops_will = true}});
}

/* The slices of the old grants are no more: each connection gets the new ones before anything else
 * happens, or goes. */
static void regrant_connections(struct gateway *g)
{
    for (uint32_t i = 0; i < g->limits.connections_max; i++) {
        struct gateway_conn *c = &g->conns[i];
        if (c->port == NULL || c->app == NULL) {
            continue;
        }
        const struct grant *grant = gateway_grants_find(g->grants, c->app->own_id, &c->app->key);
        c->app->rights = (struct gw_rights){0};
        if (grant != NULL) {
            take_grant(c->app, grant);
        }
        if (c->is_closing) {
            continue;
        }
        bool is_named = c->session.client_id_len > 0;
        if (grant == NULL) {
            cut(g, c, "the grant of this application was withdrawn");
        } else if (is_named
                   && !gw_may_be_called(&c->app->rights, gw_session_client_id(&c->session))) {
            cut(g, c, "the application may not use this client id any more");
        }
    }
}

/* Does the grant still cover all that the session hears? */
static bool is_covered(struct gateway *g, uint32_t session, const struct grant *grant)
{
    static const uint8_t no_prefix[GW_TOPIC_PREFIX_LEN];
    const struct gw_rights rights = {.subscribe = {grant->subscribe.items, grant->subscribe.count}};
    struct session_item item;
    uint32_t cursor = 0;
    while (gw_broker_subscription_next(g->broker, session, &cursor, &item)) {
        if (gw_may_subscribe(&rights, no_prefix, item.filter).clause != NULL) {
            return false;
        }
    }
    return true;
}

/* A session that hears what it may not any more ends, with all that waits for it: what was queued
 * under the old right is not delivered under the new one. */
static void regrant_sessions(struct gateway *g)
{
    uint32_t cursor = 0, session = 0;
    while ((session = gw_broker_session_next(g->broker, &cursor)) != 0) {
        struct session_owner owner;
        struct device_id id;
        gw_broker_owner(g->broker, session, &owner);
        memcpy(id.bytes, owner.id, sizeof id.bytes);
        if (owner.kind != SESSION_OWNER_APPLICATION) {
            continue;
        }
        const struct grant *grant = gateway_grants_of(g->grants, &id);
        if (grant != NULL && is_covered(g, session, grant)) {
            continue;
        }
        uint32_t connection = gw_broker_connection(g->broker, session);
        if (connection != GW_NOWHERE) {
            cut(g, &g->conns[connection], "a subscription reaches outside of the new grant");
        }
        if (!gateway_session_end(g, session, SESSION_END_REVOKED)) {
            g->has_regranting = true; /* no room for it now: with the next tick */
        }
    }
}

void gateway_grants_changed(struct gateway *g)
{
    (void)fprintf(stderr, "gateway %s has grants number %llu\n", g->config->name,
                  (unsigned long long)gateway_grants_number(g->grants));
    g->has_regranting = false;
    regrant_connections(g);
    regrant_sessions(g);
}
