/* The first operator of a site: a credential in a file of its owner alone, its digest in the
 * registry. */
#include "cmd/site.h"
#include "core/control/access.h"
#include "io/operators.h"
#include "io/read_all.h"
#include "io/replace.h"

#include <string.h>

enum { PATH_CAP = 512, FIRST_RIGHTS = ACCESS_READ | ACCESS_OPERATE | ACCESS_ADMIN };

static int failed(struct cli *cli, const char *what, const char *why)
{
    return cli_error(cli, CLI_FAILED, "HF-1112", what, why,
                     "mend the cause and run it again: what was made is kept");
}

/* The token's text: read where a run before a cut left it, made where there is none. Durable before
 * it is used. */
static bool get_token(struct port *port, const char *path, char *text, size_t cap, size_t *len)
{
    uint8_t secret[ACCESS_SECRET_LEN];
    if (port_file_read_all(port, path, text, cap, len) == PORT_OK) {
        while (*len > 0 && text[*len - 1] == '\n') {
            (*len)--;
        }
        return *len > 0;
    }
    struct writer w = writer_over(text, cap);
    port_entropy(port, secret, sizeof secret);
    access_write(&w, ACCESS_TOKEN, secret);
    wipe(secret, sizeof secret);
    *len = w.len;
    write_u8(&w, '\n');
    return writer_ok(&w) && port_file_replace(port, path, writer_slice(&w)) == PORT_OK;
}

static enum registry_result add_operator(struct port *port,
                                         const char *path,
                                         const struct digest *token,
                                         struct port_why *why)
{
    struct registry *registry = NULL;
    struct operators *operators = NULL;
    enum time_quality quality;
    enum registry_result result = registry_open(port, path, true, &registry, why);
    if (result != REGISTRY_OK) {
        return result;
    }
    result = operators_open(registry, &operators, why);
    if (result == REGISTRY_OK) {
        struct operator_new first = {
            .name = slice_text("operator-1"),
            .rights = FIRST_RIGHTS,
            .token = token,
            .label = slice_text("made with the site"),
            .actor = slice_text("holdfast init"),
            .at_ms = port_wall_ms(port, &quality),
        };
        result = operators_add(operators, &first);
        operators_close(operators);
    }
    registry_close(registry);
    return result == REGISTRY_TAKEN ? REGISTRY_OK : result;
}

int site_make_operator(struct cli *cli, struct port *port, const struct site *site)
{
    char path[PATH_CAP];
    char text[128];
    size_t len = 0;
    struct digest digest;
    struct port_why why = {0};
    (void)snprintf(path, sizeof path, "%s/operator.token", site->dir);
    if (!get_token(port, path, text, sizeof text, &len)) {
        return failed(cli, "the operator credential cannot be written", path);
    }
    bool is_token = access_digest(ACCESS_TOKEN, slice_of(text, len), &digest);
    wipe(text, sizeof text);
    if (!is_token) {
        return failed(cli, "the operator credential's file holds something else", path);
    }
    (void)snprintf(path, sizeof path, "%s/control", site->dir);
    if (port_dir_make(port, path) != PORT_OK) {
        return failed(cli, "a folder cannot be made", path);
    }
    (void)snprintf(path, sizeof path, "%s/control/registry.db", site->dir);
    if (add_operator(port, path, &digest, &why) != REGISTRY_OK) {
        return failed(cli, "the registry cannot be made", why.text[0] != '\0' ? why.text : path);
    }
    return CLI_DONE;
}
