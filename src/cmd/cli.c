#include "cmd/cli.h"

#include "base/nearest.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char global_options[] = "json yes quiet no-color help";

/* Is `name` in the list, with or without a value? 0: no, 1: a switch, 2: takes a value. */
static int option_kind(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = list; at != NULL && *at != '\0';) {
        const char *end = strchr(at, ' ');
        size_t word = end == NULL ? strlen(at) : (size_t)(end - at);
        if (word == len && strncmp(at, name, len) == 0) {
            return 1;
        }
        if (word == len + 1 && at[len] == '=' && strncmp(at, name, len) == 0) {
            return 2;
        }
        at = end == NULL ? NULL : end + 1;
    }
    return 0;
}

const char *cli_option(const struct cli *cli, const char *name)
{
    for (int i = cli->options_count; i > 0; i--) {
        if (strcmp(cli->options[i - 1].name, name) == 0) {
            return cli->options[i - 1].value == NULL ? "" : cli->options[i - 1].value;
        }
    }
    return NULL;
}

const char *cli_option_or(const struct cli *cli, const char *name, const char *otherwise)
{
    const char *value = cli_option(cli, name);
    return value == NULL ? otherwise : value;
}

bool cli_number(
    const struct cli *cli, const char *name, long least, long most, long otherwise, long *out)
{
    const char *text = cli_option(cli, name);
    char *end = NULL;
    long value = text == NULL ? otherwise : strtol(text, &end, 10);
    if (text != NULL && (*text == '\0' || *end != '\0' || value < least || value > most)) {
        char what[120];
        char why[120];
        (void)snprintf(what, sizeof what, "--%s %.40s cannot be used", name, text);
        (void)snprintf(why, sizeof why, "it must be a whole number from %ld to %ld", least, most);
        (void)cli_error(cli, CLI_USAGE, "HF-1101", what, why,
                        "give such a number; nothing was done");
        return false;
    }
    *out = value;
    return true;
}

/* Control characters and what JSON must escape, so that one error stays one line. */
static void print_json_text(const char *text)
{
    (void)putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            (void)printf("\\%c", *c);
        } else if (*c < 0x20) {
            (void)printf("\\u%04x", *c);
        } else {
            (void)putchar(*c);
        }
    }
    (void)putchar('"');
}

int cli_error(const struct cli *cli,
              enum cli_exit exit,
              const char *code,
              const char *what,
              const char *why,
              const char *todo)
{
    if (cli->json) {
        (void)printf("{\"v\":1,\"code\":\"%s\",\"title\":", code);
        print_json_text(what);
        (void)printf(",\"why\":");
        print_json_text(why);
        (void)printf(",\"do\":");
        print_json_text(todo);
        (void)printf(",\"exit\":%d}\n", exit);
        return (int)exit;
    }
    (void)fprintf(stderr, "error %s: %s\n  why: %s\n  do:  %s\n", code, what, why, todo);
    return (int)exit;
}

void cli_say(const struct cli *cli, const char *format, ...)
{
    if (cli->quiet) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

static bool same_word(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool is_noun(const char *word)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        if (same_word(cli_commands[i].noun, word)) {
            return true;
        }
    }
    return false;
}

static const struct cli_command *find_command(const char *noun, const char *verb)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        if (same_word(c->noun, noun) && (c->verb == NULL || same_word(c->verb, verb))) {
            return c;
        }
    }
    return NULL;
}

static int unknown_word(const struct cli *cli, const char *noun, const char *word)
{
    const char *words[64];
    size_t count = 0;
    for (size_t i = 0; i < cli_commands_count && count < COUNT_OF(words); i++) {
        const struct cli_command *c = &cli_commands[i];
        if (noun == NULL) {
            words[count++] = c->noun;
        } else if (same_word(c->noun, noun) && c->verb != NULL) {
            words[count++] = c->verb;
        }
    }
    const char *near = word == NULL ? NULL : nearest_word(slice_text(word), words, count);
    char what[200];
    char todo[300];
    if (word == NULL) {
        (void)snprintf(what, sizeof what, "%s needs a verb", noun);
    } else {
        (void)snprintf(what, sizeof what, "unknown command \"%s%s%.60s\"", noun != NULL ? noun : "",
                       noun != NULL ? " " : "", word);
    }
    size_t len =
        (size_t)snprintf(todo, sizeof todo, near != NULL ? "did you mean \"%s%s%s\"?" : "one of:",
                         noun != NULL ? noun : "", noun != NULL ? " " : "", near);
    const char *last = "";
    for (size_t i = 0; near == NULL && i < count && len < sizeof todo - 1; i++) {
        if (strcmp(words[i], last) != 0) {
            len += (size_t)snprintf(todo + len, sizeof todo - len, " %s", words[i]);
        }
        last = words[i];
    }
    return cli_error(cli, CLI_USAGE, "HF-1100", what, "there is no such command in 0.1.0", todo);
}

static int unknown_option(const struct cli *cli, const char *name)
{
    char what[120];
    char todo[120];
    (void)snprintf(what, sizeof what, "unknown option --%.60s", name);
    (void)snprintf(todo, sizeof todo, "holdfast %s%s%s --help", cli->command->noun,
                   cli->command->verb != NULL ? " " : "",
                   cli->command->verb != NULL ? cli->command->verb : "");
    return cli_error(cli, CLI_USAGE, "HF-1102", what,
                     "this command does not take it, and nothing is ignored", todo);
}

/* --name VALUE, --name=VALUE or --name. 0: taken, otherwise the exit status. */
static int take_option(struct cli *cli, int argc, char **argv, int *at)
{
    static char names[CLI_OPTIONS_MAX][40];
    char *text = argv[*at] + 2;
    char *equals = strchr(text, '=');
    size_t len = equals == NULL ? strlen(text) : (size_t)(equals - text);
    if (cli->options_count == CLI_OPTIONS_MAX || len >= sizeof names[0]) {
        return unknown_option(cli, text);
    }
    char *name = names[cli->options_count];
    (void)snprintf(name, sizeof names[0], "%.*s", (int)len, text);
    int kind = option_kind(cli->command->options, name);
    if (kind == 0) {
        kind = option_kind(global_options, name);
    }
    if (kind == 0) {
        return unknown_option(cli, name);
    }
    const char *value = equals == NULL ? NULL : equals + 1;
    if (kind == 2 && value == NULL && *at + 1 < argc) {
        value = argv[++*at];
    }
    if ((kind == 2) != (value != NULL)) {
        char what[100];
        (void)snprintf(what, sizeof what, "--%s %s", name,
                       kind == 2 ? "needs a value" : "takes no value");
        return cli_error(cli, CLI_USAGE, "HF-1101", what,
                         "the option was given without or with too much",
                         "see --help; nothing was done");
    }
    cli->options[cli->options_count++] = (struct cli_option){.name = name, .value = value};
    return 0;
}

static int take_arguments(struct cli *cli, int argc, char **argv, int first)
{
    bool only_words = false;
    for (int i = first; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && strncmp(argv[i], "--", 2) == 0) {
            int exit = take_option(cli, argc, argv, &i);
            if (exit != 0) {
                return (int)exit;
            }
        } else if (cli->args_count < CLI_ARGS_MAX) {
            cli->args[cli->args_count++] = argv[i];
        }
    }
    cli->json = cli_option(cli, "json") != NULL;
    cli->yes = cli_option(cli, "yes") != NULL;
    cli->quiet = cli_option(cli, "quiet") != NULL;
    cli->color = cli_option(cli, "no-color") == NULL && getenv("NO_COLOR") == NULL
                 && isatty(STDOUT_FILENO) == 1;
    return 0;
}

int cli_main(int argc, char **argv)
{
    struct cli cli = {.program = argv[0]};
    const char *noun = argc > 1 ? argv[1] : "help";
    for (int i = 1; i < argc; i++) {
        cli.json = cli.json || strcmp(argv[i], "--json") == 0;
    }
    if (strcmp(noun, "--help") == 0 || strcmp(noun, "-h") == 0) {
        noun = "help";
    } else if (strcmp(noun, "--version") == 0) {
        noun = "version";
    }
    if (!is_noun(noun)) {
        return unknown_word(&cli, NULL, noun);
    }
    const char *verb = argc > 2 ? argv[2] : NULL;
    cli.command = find_command(noun, verb);
    if (cli.command == NULL) {
        if (verb != NULL && strcmp(verb, "--help") == 0) {
            cli.args[cli.args_count++] = noun;
            return cmd_help(&cli);
        }
        return unknown_word(&cli, noun, verb);
    }
    int exit = take_arguments(&cli, argc, argv, cli.command->verb != NULL ? 3 : 2);
    if (exit != 0) {
        return (int)exit;
    }
    if (cli_option(&cli, "help") != NULL) {
        return cli_help(&cli, cli.command);
    }
    if (cli.args_count < cli.command->args_least || cli.args_count > cli.command->args_most) {
        char todo[200];
        (void)snprintf(todo, sizeof todo, "holdfast %s%s%s %s", cli.command->noun,
                       cli.command->verb != NULL ? " " : "",
                       cli.command->verb != NULL ? cli.command->verb : "", cli.command->args);
        return cli_error(&cli, CLI_USAGE, "HF-1101",
                         cli.args_count < cli.command->args_least ? "an argument is missing"
                                                                  : "one argument too many",
                         "the command's form is below", todo);
    }
    exit = cli.command->run(&cli);
    if (fflush(stdout) != 0 && exit == CLI_DONE) {
        return CLI_FAILED; /* what was asked for did not reach its reader */
    }
    return (int)exit;
}
