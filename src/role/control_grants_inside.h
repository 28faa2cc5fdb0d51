/* What the files of control's grants share. */
#ifndef ROLE_CONTROL_GRANTS_INSIDE_H
#define ROLE_CONTROL_GRANTS_INSIDE_H

#include "io/applications.h"
#include "role/control_application.h"
#include "role/control_inside.h"

enum { GRANT_ASKS_MAX = APPLICATIONS_PENDING_MAX };

/* A grant whose certificate the keeper is being asked for. */
struct grant_ask {
    bool used;
    struct http_call_id call;
    struct control *control;
    struct application what;
    char actor[OPERATOR_NAME_MAX + 16];
};

struct control_grants {
    struct applications *apps;
    struct grants composed;  /* slices into rules_text and the configuration */
    struct grants one;       /* of a row's rules, while it is looked at */
    struct grants asked;     /* of a request */
    uint8_t *rules;          /* GRANTS_TEXT_MAX: the rules of composed */
    uint8_t *text, *written; /* GRANTS_TEXT_MAX each: as composed; as in the file, with number 1 */
    size_t rules_len, written_len;
    uint64_t number; /* of the file */
    bool is_behind;  /* the file could not be written */
    uint64_t due_ms;
    struct grant_ask asks[GRANT_ASKS_MAX];
};

/* ---- control_grants_file.c ---- */

/* What the configuration grants under this name, or NULL. */
const struct grant *grants_configured(const struct control *c, struct slice name);
/* The grant that these rules say, its slices in them; false for none. */
MUST_USE bool grants_read_rules(struct control_grants *g, struct slice rules, struct grant *out);
/* The file says what is so; true where it does now. */
MUST_USE bool grants_publish(struct control *c);

#endif
