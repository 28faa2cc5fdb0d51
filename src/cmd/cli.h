/*
 * What every command of `holdfast` shares: its row in the table, its options, how it speaks. stdout
 * is data, stderr is talk. Exit statuses are those of docs/cli.md.
 */
#ifndef CMD_CLI_H
#define CMD_CLI_H

#include "base/slice.h"

#include <stdio.h>

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_UNKNOWN = 3, /* may have happened */
    CLI_REFUSED = 4,
    CLI_NOT_FOUND = 5,
    CLI_CONFLICT = 6,
    CLI_NOT_REACHED = 7, /* nothing was sent */
    CLI_MIXED = 8,
    CLI_BAD_CONFIG = 9,
    CLI_BAD_PROOF = 10
};

enum { CLI_OPTIONS_MAX = 32, CLI_ARGS_MAX = 16 };

struct cli_option {
    const char *name;  /* without dashes */
    const char *value; /* NULL for a switch */
};

struct cli {
    const char *program;
    const struct cli_command *command;
    const char *args[CLI_ARGS_MAX]; /* what stands free behind the verb */
    int args_count;
    struct cli_option options[CLI_OPTIONS_MAX];
    int options_count;
    bool json;
    bool yes;
    bool quiet;
    bool color; /* stdout is a terminal and nothing forbids it */
};

struct cli_command {
    const char *noun;
    const char *verb; /* NULL: the noun stands alone */
    const char *args; /* for the usage line: "NAME [--for PROGRAM]" */
    const char *summary;
    const char *options; /* those it takes besides the global ones, a blank between: "dir= fresh" */
    int args_least, args_most;
    int (*run)(struct cli *cli);
    const char *examples[2];
    const char *more; /* further help, or NULL */
};

extern const struct cli_command cli_commands[];
extern const size_t cli_commands_count;

/* The value of an option ("" for a switch), or NULL where it was not given. */
const char *cli_option(const struct cli *cli, const char *name);
const char *cli_option_or(const struct cli *cli, const char *name, const char *otherwise);

/* A whole number from `least` to `most`; says what is wrong and is false otherwise. Absent:
 * `otherwise`. */
MUST_USE bool cli_number(
    const struct cli *cli, const char *name, long least, long most, long otherwise, long *out);

/* "error CODE: what / why: / do:" on stderr, or one JSON object on stdout with --json. Returns
 * `exit`. */
int cli_error(const struct cli *cli,
              enum cli_exit exit,
              const char *code,
              const char *what,
              const char *why,
              const char *todo);

/* One line of talk, unless --quiet. */
void cli_say(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

int cli_help(const struct cli *cli, const struct cli_command *command);
int cli_help_code(const struct cli *cli, const char *code); /* what an error code means */
int cli_main(int argc, char **argv);

/* ---- the commands ---- */

int cmd_check(struct cli *cli);
int cmd_completion(struct cli *cli);
int cmd_data_export(struct cli *cli);
int cmd_data_keys(struct cli *cli);
int cmd_data_query(struct cli *cli);
int cmd_data_tail(struct cli *cli);
int cmd_demo(struct cli *cli);
int cmd_device_bundle(struct cli *cli);
int cmd_device_export(struct cli *cli);
int cmd_device_find(struct cli *cli);
int cmd_device_list(struct cli *cli);
int cmd_device_show(struct cli *cli);
int cmd_device_watch(struct cli *cli);
int cmd_factory_ca(struct cli *cli);
int cmd_factory_idevid(struct cli *cli);
int cmd_gateway_drain(struct cli *cli);
int cmd_gateway_list(struct cli *cli);
int cmd_gateway_refusals(struct cli *cli);
int cmd_gateway_sessions(struct cli *cli);
int cmd_gateway_show(struct cli *cli);
int cmd_gateway_trace(struct cli *cli);
int cmd_grant(struct cli *cli);
int cmd_grant_list(struct cli *cli);
int cmd_grant_show(struct cli *cli);
int cmd_grant_withdraw(struct cli *cli);
int cmd_help(struct cli *cli);
int cmd_init(struct cli *cli);
int cmd_run(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_version(struct cli *cli);

#endif
