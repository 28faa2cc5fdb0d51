/*
 * Resumption as io/posix/session.c has it: one session for each certificate, the oldest gives way,
 * nothing outlives the process, and whoever does not stand gets a full handshake. A chain is simply
 * verified again.
 */
#include "crypto/hash.h"
#include "io/sim/tls_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 4 };

struct row {
    struct ticket ticket;
    struct digest owner, anchors;
    struct slice chain; /* the client's, one DER after the other; owned */
    uint64_t made_ms, order;
};

struct port_sessions {
    unsigned users;
    struct port *port;
    uint64_t lifetime_ms, order;
    port_stands *stands;
    struct row *rows; /* `count` of them, in no order */
    uint32_t count, cap, max;
    struct port_sessions_counts counts;
};

struct port_sessions *port_sessions_make(struct port *port,
                                         uint32_t max,
                                         uint32_t lifetime_s,
                                         port_stands *stands)
{
    struct port_sessions *s = sim_alloc(sizeof *s);
    *s = (struct port_sessions){.users = 1,
                                .port = port,
                                .lifetime_ms = (uint64_t)lifetime_s * 1000,
                                .stands = stands,
                                .max = max};
    return s;
}

static void drop(struct port_sessions *s, uint32_t i)
{
    free((void *)(uintptr_t)s->rows[i].chain.at);
    s->rows[i] = s->rows[--s->count];
}

void port_sessions_free(struct port_sessions *s)
{
    if (s == NULL || --s->users > 0) {
        return;
    }
    while (s->count > 0) {
        drop(s, 0);
    }
    free(s->rows);
    free(s);
}

struct port_sessions_counts port_sessions_count(const struct port_sessions *s)
{
    struct port_sessions_counts counts = s->counts;
    counts.kept = s->count;
    return counts;
}

/* ---- chains as bytes ---- */

static struct slice copy_chain(const struct certificates *from)
{
    size_t len = 0;
    for (size_t i = 0; i < from->count; i++) {
        len += from->list[i].der.len;
    }
    uint8_t *at = sim_alloc(len + 1);
    struct writer w = writer_over(at, len);
    for (size_t i = 0; i < from->count; i++) {
        write_slice(&w, from->list[i].der);
    }
    return writer_slice(&w);
}

static bool parse_chain(struct slice bytes, struct x509 list[CHAIN_MAX], struct certificates *out)
{
    *out = (struct certificates){.list = list};
    while (bytes.len > 4 && out->count < CHAIN_MAX) {
        size_t len =
            4 + ((size_t)bytes.at[2] << 8 | bytes.at[3]); /* SEQUENCE of two length bytes */
        if (len > bytes.len
            || x509_parse(slice_of(bytes.at, len), &list[out->count], NULL) != X509_OK) {
            return false;
        }
        out->count++;
        bytes = slice_after(bytes, len);
    }
    return out->count > 0 && bytes.len == 0;
}

static struct digest anchors_of(const struct port_tls *tls)
{
    struct hash h;
    struct digest out;
    hash_init(&h);
    for (size_t i = 0; i < tls->anchors_count; i++) {
        uint8_t head[] = {(uint8_t)i, tls->no_time[i]};
        hash_add(&h, slice_of(head, sizeof head));
        for (size_t n = 0; n < tls->anchors[i].count; n++) {
            hash_add(&h, tls->anchors[i].list[n].der);
        }
    }
    hash_end(&h, &out);
    return out;
}

void sessions_serve(struct port_tls *tls, struct port_sessions *sessions)
{
    tls->sessions = sessions;
    if (sessions != NULL) {
        sessions->users++;
        tls->anchors_digest = anchors_of(tls);
    }
}

/* ---- what a client may offer ---- */

static void forget(struct offer *offer)
{
    free((void *)(uintptr_t)offer->chain.at);
    *offer = (struct offer){0};
}

void offers_drop(struct port_tls *tls)
{
    for (size_t i = 0; i < TLS_OFFERS_MAX; i++) {
        forget(&tls->offers[i]);
    }
}

static void name_server(const struct port_conn *client, char to[TLS_SERVER_MAX])
{
    (void)snprintf(to, TLS_SERVER_MAX, "%s %s", client->address, client->server_name);
}

static struct offer *offer_of(struct port_tls *tls, const char *server)
{
    struct offer *best = &tls->offers[0];
    for (size_t i = 0; i < TLS_OFFERS_MAX; i++) {
        struct offer *each = &tls->offers[i];
        if (strcmp(each->server, server) == 0) {
            return each;
        }
        if (best->server[0] != '\0' && (each->server[0] == '\0' || each->order < best->order)) {
            best = each;
        }
    }
    return best;
}

/* ---- coming back ---- */

static bool does_stand(struct port_conn *server, const struct row *row, size_t *set)
{
    struct port_sessions *s = server->tls->sessions;
    const struct digest *anchors = &server->tls->anchors_digest;
    struct x509 list[CHAIN_MAX];
    struct certificates chain;
    if (memcmp(anchors, &row->anchors, sizeof *anchors) != 0) {
        s->counts.other_issuers++;
        return false;
    }
    if (port_now_ms(server->port) - row->made_ms >= s->lifetime_ms
        || !parse_chain(row->chain, list, &chain) || tls_verify(server, &chain, set) != NULL) {
        s->counts.out_of_time++;
        return false;
    }
    if (s->stands != NULL && !s->stands(server->port->role, chain.list[0].der)) {
        s->counts.no_standing++;
        return false;
    }
    return true;
}

static uint32_t find(const struct port_sessions *s, uint64_t id)
{
    uint32_t i = 0;
    while (i < s->count && s->rows[i].ticket.id != id) {
        i++;
    }
    return i;
}

static bool take_up(struct port_conn *client,
                    struct port_conn *server,
                    const struct offer *offer,
                    const struct digest *transcript)
{
    struct port_sessions *s = server->tls->sessions;
    struct x509 servers[CHAIN_MAX], clients[CHAIN_MAX];
    struct certificates server_chain, client_chain;
    size_t server_set = 0, client_set = 0;
    if (!parse_chain(offer->chain, servers, &server_chain)
        || tls_verify(client, &server_chain, &server_set) != NULL) {
        return false; /* its certificate is over: it is not even offered */
    }
    uint32_t i = find(s, offer->ticket.id);
    if (i == s->count) {
        s->counts.unknown++;
        return false;
    }
    if (!does_stand(server, &s->rows[i], &client_set)) {
        drop(s, i);
        return false;
    }
    if (memcmp(&s->rows[i].ticket.secret, &offer->ticket.secret, sizeof offer->ticket.secret) != 0
        || !parse_chain(s->rows[i].chain, clients, &client_chain)) {
        return false;
    }
    tls_keep_facts(client, server_chain.list[0].der, server_set, transcript);
    tls_keep_facts(server, client_chain.list[0].der, client_set, transcript);
    client->peer_facts.is_resumed = server->peer_facts.is_resumed = true;
    s->counts.resumed++;
    return true;
}

bool tls_resume(struct port_conn *client, struct port_conn *server, const struct digest *transcript)
{
    char name[TLS_SERVER_MAX];
    if (!client->tls->resumes || server->tls->sessions == NULL) {
        return false;
    }
    name_server(client, name);
    struct offer *offer = offer_of(client->tls, name);
    if (strcmp(offer->server, name) != 0) {
        return false;
    }
    struct offer once = *offer; /* each ticket is offered once */
    *offer = (struct offer){0};
    bool is_back = take_up(client, server, &once, transcript);
    if (is_back) { /* the chain goes on with the ticket that follows */
        *offer = (struct offer){.chain = once.chain, .order = once.order};
        memcpy(offer->server, once.server, sizeof offer->server);
    } else {
        forget(&once);
    }
    return is_back;
}

static struct row *place_for(struct port_sessions *s, const struct digest *owner)
{
    uint32_t oldest = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (memcmp(&s->rows[i].owner, owner, sizeof *owner) == 0) {
            drop(s, i);
            break;
        }
        oldest = s->rows[i].order < s->rows[oldest].order ? i : oldest;
    }
    if (s->count == s->max) {
        drop(s, oldest < s->count ? oldest : 0);
    }
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 4 : s->cap * 2;
        s->rows = realloc(s->rows, s->cap * sizeof *s->rows);
        INVARIANT(s->rows != NULL);
    }
    return &s->rows[s->count++];
}

static void keep_row(struct port_conn *server,
                     const struct ticket *ticket,
                     struct slice chain,
                     struct slice leaf)
{
    struct port_sessions *s = server->tls->sessions;
    struct digest owner = hash_of(leaf);
    uint64_t made_ms = port_now_ms(server->port);
    for (uint32_t i = 0; i < s->count && server->peer_facts.is_resumed; i++) {
        if (memcmp(&s->rows[i].owner, &owner, sizeof owner) == 0) {
            made_ms = s->rows[i].made_ms; /* its client has not signed since */
        }
    }
    *place_for(s, &owner) = (struct row){.ticket = *ticket,
                                         .owner = owner,
                                         .anchors = server->tls->anchors_digest,
                                         .chain = chain,
                                         .made_ms = made_ms,
                                         .order = ++s->order};
}

void tls_give_ticket(struct port_conn *client, struct port_conn *server)
{
    struct port_sessions *s = server->tls->sessions;
    char name[TLS_SERVER_MAX];
    struct ticket ticket;
    if (s == NULL || s->max == 0 || client->tls->own.count == 0
        || client->tls->own.count > CHAIN_MAX || server->tls->own.count > CHAIN_MAX) {
        return;
    }
    port_entropy(server->port, &ticket, sizeof ticket);
    keep_row(server, &ticket, copy_chain(&client->tls->own), client->tls->own.list[0].der);
    if (!client->tls->resumes) {
        return;
    }
    name_server(client, name);
    struct offer *offer = offer_of(client->tls, name);
    if (!client->peer_facts.is_resumed) {
        forget(offer);
        offer->chain = copy_chain(&server->tls->own);
        memcpy(offer->server, name, sizeof offer->server);
    }
    offer->ticket = ticket;
    offer->order = ++client->tls->offers_count;
}
