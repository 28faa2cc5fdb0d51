/*
 * The command line's way to the API: one request, waited for. The address and the credential come
 * from --url and
 * --token-file, or from HOLDFAST_URL and HOLDFAST_TOKEN or HOLDFAST_TOKEN_FILE (`source DIR/env`).
 */
#ifndef CMD_API_H
#define CMD_API_H

#include "cmd/cli.h"

enum { API_TARGET_MAX = 2000 };

struct api;

/* NULL, having said why, where there is no address or credential; *exit is then the status. */
struct api *api_open(struct cli *cli, int *exit);
void api_close(struct api *api);

/*
 * The answer's body in *body, valid until the next call. CLI_DONE for 2xx; otherwise the problem
 * was printed and its exit status is returned: 7 where nothing was sent, 3 where a changing request
 * was sent and not answered.
 */
int api_get(struct api *api, const char *target, struct slice *body);
int api_post(struct api *api, const char *target, struct slice json, struct slice *body);

/*
 * Calls `row` with each item of a list, page after page, at most `limit` of them. `row` must not
 * call the API.
 */
int api_each(struct api *api,
             const char *target,
             long limit,
             void (*row)(void *context, struct slice item),
             void *context);

/*
 * Server-sent events until `each` says false or the server ends: each event's name and data (one
 * JSON value).
 */
int api_events(struct api *api,
               const char *target,
               bool (*each)(void *context, const char *event, struct slice data),
               void *context);

/* Appends a percent-encoded query parameter to a target in `target`, which has room for `cap`
 * bytes. */
MUST_USE bool api_parameter(char *target, size_t cap, const char *name, const char *value);

#endif
