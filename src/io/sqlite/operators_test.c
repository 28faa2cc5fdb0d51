#include "io/operators.h"
#include "io/sqlite/test_port.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

struct world {
    char path[300];
    struct registry *registry;
    struct operators *ops;
};

static void open_world(struct world *w)
{
    struct port_why why = {{0}};
    (void)snprintf(w->path, sizeof w->path, "%s/registry.db", test_scratch_dir());
    CHECK(registry_open(test_port(), w->path, true, &w->registry, &why) == REGISTRY_OK);
    CHECK(operators_open(w->registry, &w->ops, &why) == REGISTRY_OK);
}

static void close_world(struct world *w)
{
    operators_close(w->ops);
    registry_close(w->registry);
}

static struct digest digest_of_byte(uint8_t byte)
{
    struct digest d;
    memset(d.bytes, byte, sizeof d.bytes);
    return d;
}

static int64_t add_anna(struct world *w, const struct digest *token)
{
    struct operator_row row = {0};
    CHECK(operators_add(w->ops, &(struct operator_new){.name = slice_text("anna"),
                                                       .rights = 7,
                                                       .token = token,
                                                       .label = slice_text("env"),
                                                       .actor = slice_text("system"),
                                                       .at_ms = 1000})
          == REGISTRY_OK);
    CHECK(operators_by_name(w->ops, slice_text("anna"), &row) == REGISTRY_OK);
    return row.id;
}

TEST("an operator is found by token after the database was closed and opened again")
{
    struct world w;
    struct digest token = digest_of_byte(1);
    struct digest other = digest_of_byte(2);
    struct operator_row row = {0};
    open_world(&w);
    (void)add_anna(&w, &token);
    close_world(&w);
    open_world(&w);
    CHECK(operators_by_token(w.ops, &token, &row) == REGISTRY_OK);
    CHECK(strcmp(row.name, "anna") == 0 && row.rights == 7 && row.created_ms == 1000);
    CHECK(operators_by_token(w.ops, &other, &row) == REGISTRY_NOT_FOUND);
    uint64_t count = 0;
    CHECK(operators_count(w.ops, &count) == REGISTRY_OK && count == 1);
    close_world(&w);
}

TEST("a second operator of one name is refused and leaves neither token nor entry")
{
    struct world w;
    struct digest token = digest_of_byte(1);
    struct operator_row row = {0};
    int64_t before = 0;
    int64_t after = 0;
    open_world(&w);
    (void)add_anna(&w, NULL);
    CHECK(registry_last_entry(w.registry, &before) == REGISTRY_OK);
    CHECK(operators_add(w.ops, &(struct operator_new){.name = slice_text("anna"),
                                                      .token = &token,
                                                      .actor = slice_text("system"),
                                                      .at_ms = 1})
          == REGISTRY_TAKEN);
    CHECK(registry_last_entry(w.registry, &after) == REGISTRY_OK && before == after);
    CHECK(operators_by_token(w.ops, &token, &row) == REGISTRY_NOT_FOUND);
    close_world(&w);
}

TEST("a login link works once, not after its time, and begins one session")
{
    struct world w;
    struct digest link = digest_of_byte(3);
    struct digest session = digest_of_byte(4);
    struct digest late = digest_of_byte(5);
    struct operator_row who = {0};
    struct operator_session got = {0};
    open_world(&w);
    int64_t id = add_anna(&w, NULL);
    CHECK(operators_link_add(w.ops, id, &link, 1000, 2000, slice_text("anna")) == REGISTRY_OK);
    CHECK(operators_link_take(w.ops, &link, &session, 2000, &who) == REGISTRY_NOT_FOUND);
    CHECK(operators_link_take(w.ops, &link, &session, 1999, &who) == REGISTRY_OK);
    CHECK(strcmp(who.name, "anna") == 0);
    CHECK(operators_link_take(w.ops, &link, &late, 1999, &who) == REGISTRY_NOT_FOUND);
    CHECK(operators_session_get(w.ops, &late, &got) == REGISTRY_NOT_FOUND);
    CHECK(operators_session_get(w.ops, &session, &got) == REGISTRY_OK);
    CHECK(got.created_ms == 1999 && got.used_ms == 1999 && got.who.id == id);
    close_world(&w);
}

TEST("a session that ended is gone, and its use never goes back")
{
    struct world w;
    struct digest link = digest_of_byte(3);
    struct digest session = digest_of_byte(4);
    struct operator_row who = {0};
    struct operator_session got = {0};
    open_world(&w);
    int64_t id = add_anna(&w, NULL);
    CHECK(operators_link_add(w.ops, id, &link, 1000, 2000, slice_text("anna")) == REGISTRY_OK);
    CHECK(operators_link_take(w.ops, &link, &session, 1500, &who) == REGISTRY_OK);
    CHECK(operators_session_get(w.ops, &session, &got) == REGISTRY_OK);
    CHECK(operators_session_used(w.ops, got.id, 5000) == REGISTRY_OK);
    CHECK(operators_session_used(w.ops, got.id, 4000) == REGISTRY_OK);
    CHECK(operators_session_get(w.ops, &session, &got) == REGISTRY_OK && got.used_ms == 5000);
    CHECK(operators_session_end(w.ops, &session, 6000) == REGISTRY_OK);
    CHECK(operators_session_get(w.ops, &session, &got) == REGISTRY_NOT_FOUND);
    CHECK(operators_session_end(w.ops, &session, 6001) == REGISTRY_NOT_FOUND);
    close_world(&w);
}

TEST("a sweep takes what is over and leaves the rest")
{
    struct world w;
    struct operator_row who = {0};
    struct operator_session got = {0};
    open_world(&w);
    int64_t id = add_anna(&w, NULL);
    for (uint8_t i = 0; i < 2; i++) {
        struct digest link = digest_of_byte((uint8_t)(10 + i));
        struct digest session = digest_of_byte((uint8_t)(20 + i));
        CHECK(operators_link_add(w.ops, id, &link, 1000, 9000, slice_text("anna")) == REGISTRY_OK);
        CHECK(operators_link_take(w.ops, &link, &session, 1000 + i * 1000, &who) == REGISTRY_OK);
    }
    struct digest unused = digest_of_byte(12);
    CHECK(operators_link_add(w.ops, id, &unused, 1000, 9000, slice_text("anna")) == REGISTRY_OK);
    CHECK(operators_sweep(w.ops, 0, 1500, 9000) == REGISTRY_OK);
    struct digest old = digest_of_byte(20);
    struct digest young = digest_of_byte(21);
    CHECK(operators_session_get(w.ops, &old, &got) == REGISTRY_NOT_FOUND);
    CHECK(operators_session_get(w.ops, &young, &got) == REGISTRY_OK);
    CHECK(operators_link_take(w.ops, &unused, &old, 8000, &who) == REGISTRY_NOT_FOUND);
    close_world(&w);
}
