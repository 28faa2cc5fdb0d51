/*
 * What the files of the control role share. One struct, one thread; control.c opens it and hands
 * events on, the others each answer for a part: control_fleet (the mirror of registry and store),
 * control_reports (what other roles report of themselves), control_api (who asks, what for),
 * control_view (answers about devices and fleet), control_data (series and points), control_stream
 * (server-sent events), control_login, control_console.
 */
#ifndef ROLE_CONTROL_INSIDE_H
#define ROLE_CONTROL_INSIDE_H

#include "base/invariant.h"
#include "base/table.h"
#include "base/version.h"
#include "codec/json.h"
#include "codec/metrics_text.h"
#include "core/control/access_trace.h"
#include "core/control/condition.h"
#include "core/control/query.h"
#include "io/operators.h"
#include "io/registry.h"
#include "io/store.h"
#include "role/control.h"
#include "role/control_devices.h"
#include "role/control_grants.h"
#include "role/errors.h"
#include "role/http.h"
#include "role/metrics.h"
#include "role/tls_files.h"
#include "role/trace.h"

#define CONTROL_VERSION HOLDFAST_VERSION

enum {
    CONTROL_BODY_MAX = 65536,
    CONTROL_ANSWER_MAX = 8 * 1024 * 1024,
    CONTROL_WORDS_MAX = 2048, /* different models, agents and gateways */
    CONTROL_WORD_MAX = 96,
    CONTROL_REPORTS_MAX = 64,   /* roles that report */
    CONTROL_REFUSALS_MAX = 128, /* reasons */
    CONTROL_BUNDLES_MAX = 64,   /* asked for at once */
    CONTROL_REPORT_MAX = 256 * 1024,
    CONTROL_RATES = 7, /* samples 10 s apart: a minute */
    CONTROL_HISTORY = 60,
    CONTROL_SAMPLE_MS = 10000,
    CONTROL_TICK_MS = 1000,
    CONTROL_STREAMS_MAX = 64,
    CONTROL_MEMBER_MAX = 64 * 1024, /* one member of /fleet as JSON */
    CONTROL_PAGE_MAX = 200,
    CONTROL_PATH_MAX = 900,
    CONTROL_REPORT_SILENT_MS = 10000,
    CONTROL_LAG_BUCKETS = 64
};

/* ---- the mirror: one row a device, joined from registry and store ---- */

struct fleet_device {
    struct device_id id;
    char name[REGISTRY_NAME_MAX + 1];
    char serial[REGISTRY_SERIAL_MAX + 1];
    uint16_t model, agent, gateway; /* words */
    enum identity_state identity;
    bool seen_noted;           /* the first use of its certificate is in the registry */
    struct digest certificate; /* key of its newest hello's; zero: none yet */
    bool linked;               /* the last word of its gateway */
    bool connected;            /* ... and that gateway is there */
    int64_t created_ms, linked_ms, seen_ms;
    uint32_t boot, boots;
    uint64_t next_seq, missing, lost, duplicates, dead_letters, messages, points;
    int64_t lost_ms, dead_letter_ms;
    bool has_clock_offset;
    int64_t clock_offset_ms;
    enum time_quality clock_quality;
    int64_t rate_ms; /* where the present rates were last reckoned from */
    uint64_t rate_points, rate_messages;
    double points_per_s; /* below 0: not known */
    int64_t interval_ms;
    enum condition state;
    int64_t due_ms; /* when `state` may change by itself */
    uint64_t change;
    uint32_t older, newer; /* in the order of change; index + 1 */
};

struct fleet {
    struct fleet_device *rows;
    uint32_t count, cap;
    struct table by_id;
    struct table_slot *slots;
    uint32_t *by_name; /* indices; sorted unless `unsorted` */
    bool unsorted;
    uint32_t oldest, newest; /* ends of the order of change; index + 1 */
    uint64_t change;         /* the newest; begins above every earlier process's */
    uint64_t first_change;
    uint64_t store_change;
    uint32_t states[CONDITION_COUNT];
    uint32_t identities[IDENTITY_STATE_COUNT];
    uint32_t connected;
    int64_t due_ms;
    int64_t state_since_ms[CONDITION_COUNT]; /* since when there is one in it; 0: none */
    bool uses_due; /* first uses of certificates are to be noted; looked for from `uses_at` on */
    uint32_t uses_at;
    uint16_t words_count;
    bool is_there[CONTROL_WORDS_MAX]; /* by word: a gateway of that name reports */
    char (*words)[CONTROL_WORD_MAX + 1];
};

/* ---- what other roles report ---- */

struct report {
    char role[REGISTRY_NAME_MAX + 1]; /* the file's name without ".metrics" */
    uint8_t *text;
    size_t len, cap;
    bool is_there; /* in this round's listing */
    bool is_gateway;
    double turn;       /* its own count of reports */
    uint64_t moved_ms; /* port_now_ms when that changed last; 0: not yet */
    bool has_clock_offset;
    double clock_offset_ms; /* its wall clock minus ours */
    enum time_quality clock_quality;
    double messages[CONTROL_RATES], refused[CONTROL_RATES]; /* ring, CONTROL_SAMPLE_MS apart */
    uint32_t samples;
};

struct history {
    int64_t t[CONTROL_HISTORY];
    double messages_per_s[CONTROL_HISTORY]; /* below 0: not known */
    double connected[CONTROL_HISTORY];
    double lag_p99_s[CONTROL_HISTORY];
    uint32_t count, next;
};

struct ingest_view {
    bool is_there;
    struct store_counter counters[64];
    size_t counters_count;
    double applied[CONTROL_RATES], points[CONTROL_RATES]; /* ring */
    int64_t at_ms[CONTROL_RATES];
    uint32_t samples;
    double messages_per_s, points_per_s, lag_p99_s; /* below 0: not known */
    double lag_bounds[CONTROL_LAG_BUCKETS], lag_before[CONTROL_LAG_BUCKETS];
    size_t lag_count;
};

/* ---- streams ---- */

enum fleet_member {
    MEMBER_TOTAL,
    MEMBER_STATES,
    MEMBER_IDENTITIES,
    MEMBER_CONNECTED,
    MEMBER_INGEST,
    MEMBER_COHORTS,
    MEMBER_ATTENTION,
    MEMBER_GATEWAYS,
    MEMBER_REFUSALS,
    MEMBER_HISTORY
};
enum { MEMBER_COUNT = MEMBER_HISTORY + 1 };

struct member {
    uint8_t *text;
    size_t len;
    uint64_t change; /* of the fleet's counter when it last became another */
};

struct stream {
    bool used;
    struct http_call_id call;
    uint64_t since;
    bool of_device;
    struct device_id device;
    uint64_t series_since; /* store's change for points */
    uint64_t spoke_ms;
};

/* A reason of refusals, of all gateways together. */
struct refusal_total {
    char reason[64];
    double ring[CONTROL_RATES]; /* CONTROL_SAMPLE_MS apart */
};

/* A bundle that the keeper is being asked for. */
struct bundle_ask {
    struct control *control;
    struct http_call_id call;
    char name[REGISTRY_NAME_MAX + 1];
    bool used;
};

struct control {
    const struct control_config *config;
    struct trace *trace; /* NULL: nothing is traced */
    struct trace_core cores[CONTROL_TRACE_CORES];
    struct port *port;
    struct registry *registry;
    struct operators *operators;
    struct store *store; /* NULL until ingest made it */
    struct control_devices *devices;
    struct control_grants *grants;
    struct gateway_asks *gateway_asks;
    struct http_server *console, *metrics;
    struct port_tls *tls;
    struct tls_files tls_files;
    struct port_wake *tick, *uses;
    struct port_watch *watch;
    bool store_changed;
    int exit;
    uint64_t began_ms;
    char origin[256];
    char cookie[64];
    char site[128];
    char host[PORT_HOST_NAME_MAX + 1]; /* the machine's name */
    struct fleet fleet;
    struct report reports[CONTROL_REPORTS_MAX];
    uint32_t reports_count;
    uint64_t sampled_ms;
    uint64_t reports_bad_lines;
    struct history history;
    struct ingest_view ingest;
    struct stream streams[CONTROL_STREAMS_MAX];
    struct member members[MEMBER_COUNT];
    uint8_t *answer; /* CONTROL_ANSWER_MAX: the answer being written */
    struct metrics_join_room *join;
    uint64_t refused[ACCESS_VERDICT_COUNT];
    struct metrics_histogram api_time;
    uint64_t swept_ms;
    uint32_t login_failures; /* in the present minute */
    uint64_t login_minute;
    struct refusal_total refusal_totals[CONTROL_REFUSALS_MAX];
    size_t refusal_totals_count;
    uint32_t refusal_samples;
    struct bundle_ask bundle_asks[CONTROL_BUNDLES_MAX];
};

/* One API request. `json` writes to control.answer. */
struct ask {
    struct control *control;
    struct http_call *call;
    struct slice variable; /* what the * of the route's path stands for, decoded */
    char variable_room[256];
    struct operator_row who;
    struct writer out;
    struct json_writer json;
    int64_t now_ms;
};

int64_t control_now(const struct control *c); /* wall clock, ms */
void control_path(const struct control *c, char out[CONTROL_PATH_MAX], const char *name);

/* Stops the role with this exit status and a line on stderr. */
void control_fail(struct control *c, const char *what, const char *why);

/* control_fleet.c */
MUST_USE bool fleet_open(struct control *c);
void fleet_close(struct fleet *f);
void fleet_registry_changed(struct control *c, const struct device_id *id);
void fleet_store_changed(struct control *c);
void fleet_tick(struct control *c);      /* conditions that change by time alone */
bool fleet_note_uses(struct control *c); /* is there more to note? */
/* The gateway reports, or is silent: the links of its devices are known, or are not. */
void fleet_gateway_changed(struct control *c, struct slice gateway, bool is_there);
/* "connected", "silent", or "unknown" where its gateway does not say */
const char *fleet_link(const struct fleet_device *row);
struct fleet_device *fleet_find(struct fleet *f, const struct device_id *id);
struct fleet_device *fleet_find_name(struct fleet *f, struct slice name);
const char *fleet_word(const struct fleet *f, uint16_t word);
void fleet_facts(const struct fleet_device *row, int64_t now_ms, struct condition_facts *out);
void fleet_row_for_query(const struct fleet *f,
                         const struct fleet_device *row,
                         int64_t now_ms,
                         char id[DEVICE_ID_TEXT_LEN],
                         struct query_row *out);
void fleet_sort_names(struct fleet *f);

/* control_reports.c */
void reports_tick(struct control *c);
void reports_close(struct control *c);
struct report *reports_find(struct control *c, struct slice role);
/* "connected", "silent" or "unknown" */
const char *report_state(const struct control *c, const struct report *report);
double report_rate(const double ring[CONTROL_RATES],
                   uint32_t samples); /* per s; below 0: not known */
void control_metrics_handle(void *context, struct http_call *call);
void control_write_own_metrics(struct control *c, struct writer *w);

/* control_api.c */
void control_api_handle(struct control *c, struct http_call *call);
void ask_problem(struct ask *a, int status, const char *code, const char *why);
void ask_problem_more(struct ask *a,
                      int status,
                      const char *code,
                      const char *why,
                      const char *suggestion,
                      size_t at);
void ask_done(struct ask *a); /* 200 with what was written */
void ask_done_fields(struct ask *a, int status, const char *fields);
/* A query parameter: 1 found, 0 absent; -1: it is malformed and was answered. */
int ask_text(struct ask *a, const char *name, char *room, size_t cap);
/* The same for numbers and times (RFC 3339 or ms since 1970); absent gives `otherwise`. False:
 * answered. */
MUST_USE bool ask_number(
    struct ask *a, const char *name, int64_t least, int64_t most, int64_t otherwise, int64_t *out);
MUST_USE bool ask_time(struct ask *a, const char *name, int64_t otherwise, int64_t *out);
/* The device of `device=`; NULL and *absent where it is not given; NULL otherwise: answered. */
struct fleet_device *ask_device(struct ask *a, bool *absent);
void control_write_problem(int status, const char *clause, struct writer *body);

/* control_view.c, control_list.c: the routes about the fleet and about devices */
void view_device_row(struct json_writer *j,
                     const struct control *c,
                     const struct fleet_device *row,
                     int64_t now_ms);
/* The same members, into an object that goes on. */
void view_put_row(struct json_writer *j,
                  const struct control *c,
                  const struct fleet_device *row,
                  int64_t now_ms);
void view_members_refresh(
    struct control *c); /* members of /fleet, each with the change that made it */
extern const char *const view_member_names[MEMBER_COUNT];
void view_status(struct ask *a);
void view_fleet(struct ask *a);
void view_gateways(struct ask *a);
void view_devices(struct ask *a);
void view_device(struct ask *a);
void view_entries(struct ask *a);
void view_links(struct ask *a);
void view_boots(struct ask *a);
void view_sample_refusals(struct control *c);
void view_write_gateways(struct json_writer *j, struct control *c);
/* The members of one, into an object that is open. */
void view_put_gateway(struct json_writer *j, struct control *c, const struct report *r);
void view_write_entries(
    struct ask *a, const struct device_id *device, int64_t before, size_t limit, int64_t *next);

/* control_gateways.c: what is asked of one gateway, over its local socket */
struct gateway_asks;
void gateways_open(struct control *c);
void gateways_close(struct control *c);
bool gateways_event(struct control *c, const struct port_event *ev);
/* "open", "draining", "drained"; NULL where it does not say. */
const char *gateways_drain_word(const struct control *c, const struct report *report);
void gateways_show(struct ask *a);
void gateways_refusals(struct ask *a);
void gateways_sessions(struct ask *a);
void gateways_trace(struct ask *a);
void gateways_trace_begin(struct ask *a);
void gateways_drain(struct ask *a);
void gateways_undrain(struct ask *a);

/* control_data.c */
void data_series(struct ask *a);
void data_last(struct ask *a);
void data_points(struct ask *a);
void data_buckets(struct ask *a);
void data_dead_letters(struct ask *a);
void data_write_last(struct json_writer *j, const struct store_series *series);

/* control_stream.c */
void stream_open(struct ask *a);
void streams_tick(struct control *c);

/* control_login.c */
void login_post(struct ask *a);
void login_out(struct ask *a);
void login_link_post(struct ask *a);
void login_whoami(struct ask *a);
void login_bundle(struct ask *a);
enum access_verdict login_decide(struct ask *a, uint32_t needs);
void login_by_link(struct control *c, struct http_call *call, struct slice code);
void login_sweep(struct control *c);

/* control_console.c */
void control_console_handle(void *context, struct http_call *call);

#endif
