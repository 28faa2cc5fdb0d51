/* Grants of applications, as control keeps them: control_grants.c. */
#ifndef ROLE_CONTROL_GRANTS_H
#define ROLE_CONTROL_GRANTS_H

#include "base/slice.h"
#include "base/writer.h"
#include "codec/grants.h"
#include "io/port.h"

struct control;
struct ask;

/* Opens the tables and writes DATA/grants/applications.toml. */
MUST_USE bool control_grants_open(struct control *c, struct port_why *why);
void control_grants_close(struct control *c);
/* Once a second: what could not be written is tried again, what has expired is taken out. */
void control_grants_tick(struct control *c);
uint64_t control_grants_number(const struct control *c); /* of the file */

void grants_list(struct ask *a);
void grants_show(struct ask *a);
void grants_post(struct ask *a);
void grants_withdraw(struct ask *a);

/* ---- control_grants_body.c: what POST /grants asks for ---- */

enum { GRANT_ROOM = 16384, GRANT_DER_MAX = 4096, GRANT_DAYS_MAX = 398, GRANT_DAYS_USUAL = 91 };

struct grant_body {
    struct grant grant; /* slices into room; only its name need be there */
    uint8_t room[GRANT_ROOM];
    struct writer text;
    int64_t days;
    uint8_t der[GRANT_DER_MAX]; /* the certificate request */
    size_t der_len;
};

/* False: answered. */
MUST_USE bool grant_body_read(struct ask *a, struct grant_body *b);

#endif
