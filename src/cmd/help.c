#include "base/version.h"
#include "cmd/cli.h"
#include "role/errors.h"

#include <openssl/crypto.h>
#include <string.h>

static void print_form(const struct cli_command *c)
{
    (void)printf("holdfast %s%s%s%s%s", c->noun, c->verb != NULL ? " " : "",
                 c->verb != NULL ? c->verb : "", c->args[0] != '\0' ? " " : "", c->args);
}

int cli_help(const struct cli *cli, const struct cli_command *command)
{
    (void)cli;
    (void)printf("%s\n\n  ", command->summary);
    print_form(command);
    (void)printf("\n\n");
    if (command->more != NULL) {
        (void)printf("%s\n\n", command->more);
    }
    if (command->options[0] != '\0') {
        (void)printf("Options: ");
        for (const char *at = command->options; *at != '\0';) {
            size_t len = strcspn(at, " ");
            bool takes = at[len - 1] == '=';
            (void)printf("--%.*s%s ", (int)(takes ? len - 1 : len), at, takes ? " VALUE" : "");
            at += len + (at[len] == ' ');
        }
        (void)printf("\n");
    }
    (void)printf("Always:  --json --yes --quiet --no-color --help\n\nExamples:\n");
    for (size_t i = 0; i < COUNT_OF(command->examples); i++) {
        (void)printf("  %s\n", command->examples[i]);
    }
    return CLI_DONE;
}

static int help_on(struct cli *cli, const char *noun, const char *verb)
{
    const struct cli_command *only = NULL;
    int count = 0;
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        if (strcmp(c->noun, noun) == 0
            && (verb == NULL || (c->verb != NULL && strcmp(c->verb, verb) == 0))) {
            only = c;
            count++;
        }
    }
    if (count == 1) {
        return cli_help(cli, only);
    }
    if (count == 0) {
        return cli_error(cli, CLI_NOT_FOUND, "HF-1103", "there is no help on that",
                         "topics are commands and error codes", "holdfast help lists the commands");
    }
    for (size_t i = 0; i < cli_commands_count; i++) {
        if (strcmp(cli_commands[i].noun, noun) == 0) {
            (void)printf("  %-22s %s\n", cli_commands[i].verb, cli_commands[i].summary);
        }
    }
    return CLI_DONE;
}

int cli_help_code(const struct cli *cli, const char *code)
{
    const struct error_text *error = error_find(code);
    if (error == NULL) {
        return cli_error(cli, CLI_NOT_FOUND, "HF-1103", "there is no such error code",
                         "codes are HF- and four digits", "docs/errors.md lists all of them");
    }
    (void)printf("%s: %s\n  why:     %s\n  do:      %s\n  example: %s\n", error->code, error->title,
                 error->why, error->todo, error->example);
    return CLI_DONE;
}

int cmd_help(struct cli *cli)
{
    if (cli->args_count > 0) {
        if (strncmp(cli->args[0], "HF-", 3) == 0) {
            return cli_help_code(cli, cli->args[0]);
        }
        return help_on(cli, cli->args[0], cli->args_count > 1 ? cli->args[1] : NULL);
    }
    (void)printf("holdfast %s: keeps a fleet of devices trustworthy\n\n", HOLDFAST_VERSION);
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        char name[40];
        (void)snprintf(name, sizeof name, "%s%s%s", c->noun, c->verb != NULL ? " " : "",
                       c->verb != NULL ? c->verb : "");
        (void)printf("  %-17s %s\n", name, c->summary);
    }
    (void)printf("\nholdfast COMMAND --help has the options and two examples of each.\n"
                 "Exit status: 0 done, 1 failed, 2 usage, 3 unknown: may have happened, 4 refused, "
                 "5 not found,\n"
                 "6 conflict, 7 server not reached, 8 mixed, 9 configuration wrong, 10 proof or "
                 "signature wrong.\n");
    return CLI_DONE;
}

int cmd_version(struct cli *cli)
{
    if (cli->json) {
        (void)printf("{\"v\":1,\"version\":\"%s\",\"openssl\":\"%s\"}\n", HOLDFAST_VERSION,
                     OpenSSL_version(OPENSSL_VERSION_STRING));
    } else {
        (void)printf("holdfast %s (OpenSSL %s)\n", HOLDFAST_VERSION,
                     OpenSSL_version(OPENSSL_VERSION_STRING));
    }
    return CLI_DONE;
}

/* ---- completion: nouns, then verbs; names of devices are asked of the server by the shell ---- */

static void print_words(const char *noun)
{
    const char *last = "";
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        const char *word = noun == NULL ? c->noun : c->verb;
        if ((noun != NULL && strcmp(c->noun, noun) != 0) || word == NULL
            || strcmp(word, last) == 0) {
            continue;
        }
        (void)printf("%s%s", last[0] != '\0' ? " " : "", word);
        last = word;
    }
}

static void print_bash(void)
{
    (void)printf("_holdfast() {\n    local now=${COMP_WORDS[COMP_CWORD]}\n    case $COMP_CWORD "
                 "in\n    1) COMPREPLY=($(compgen -W \"");
    print_words(NULL);
    (void)printf("\" -- \"$now\")) ;;\n    2) case ${COMP_WORDS[1]} in\n");
    const char *last = "";
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        if (c->verb != NULL && strcmp(c->noun, last) != 0) {
            (void)printf("       %s) COMPREPLY=($(compgen -W \"", c->noun);
            print_words(c->noun);
            (void)printf("\" -- \"$now\")) ;;\n");
            last = c->noun;
        }
    }
    (void)printf("       esac ;;\n    3) case ${COMP_WORDS[1]} in\n"
                 "       device | data) COMPREPLY=($(compgen -W \"$(holdfast device export "
                 "--format ndjson --quiet 2>/dev/null |\n"
                 "           sed -n 's/.*\"name\":\"\\([^\"]*\\)\".*/\\1/p')\" -- \"$now\")) ;;\n  "
                 "     esac ;;\n    esac\n}\n"
                 "complete -F _holdfast holdfast\n");
}

static void print_fish(void)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        if (c->verb == NULL) {
            (void)printf("complete -c holdfast -f -n __fish_use_subcommand -a %s -d '%s'\n",
                         c->noun, c->summary);
        } else {
            (void)printf(
                "complete -c holdfast -f -n __fish_use_subcommand -a %s\n"
                "complete -c holdfast -f -n '__fish_seen_subcommand_from %s' -a %s -d '%s'\n",
                c->noun, c->noun, c->verb, c->summary);
        }
    }
}

int cmd_completion(struct cli *cli)
{
    if (strcmp(cli->args[0], "bash") == 0) {
        print_bash();
    } else if (strcmp(cli->args[0], "zsh") == 0) {
        (void)printf("autoload -U +X bashcompinit && bashcompinit\n");
        print_bash();
    } else if (strcmp(cli->args[0], "fish") == 0) {
        print_fish();
    } else {
        return cli_error(cli, CLI_USAGE, "HF-1101", "no completion for that shell",
                         "there are bash, zsh and fish", "holdfast completion bash");
    }
    return CLI_DONE;
}
