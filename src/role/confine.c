#include "role/confine.h"

#include "base/invariant.h"
#include "role/metrics.h"

#include <stdio.h>
#include <string.h>

static unsigned reached; /* by this process: rights are a process's, not a role's */

static const struct {
    enum port_confinement bit;
    const char *name;
} means[] = {
    {PORT_CONFINED_FILES, "files"},
    {PORT_CONFINED_CALLS, "calls"},
    {PORT_CONFINED_NETWORK, "network"},
};

bool confine_policy_from(const char *word, enum confine_policy *out)
{
    static const char *const words[] = {
        [CONFINE_AUTO] = "auto", [CONFINE_REQUIRED] = "required", [CONFINE_OFF] = "off"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = (enum confine_policy)i;
            return true;
        }
    }
    return false;
}

void confine_path(struct confine_paths *paths, const char *base, const char *rest)
{
    INVARIANT(paths->count < CONFINE_PATHS_MAX);
    char *text = paths->text[paths->count];
    int len = snprintf(text, CONFINE_PATH_CAP, "%s%s%s", base, rest != NULL ? "/" : "",
                       rest != NULL ? rest : "");
    if (len > 0 && len < CONFINE_PATH_CAP) {
        paths->list[paths->count++] = text;
    }
}

void confine_folder_of(struct confine_paths *paths, const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    if (path == NULL) {
        return;
    }
    if (slash == NULL) {
        confine_path(paths, ".", NULL);
        return;
    }
    char folder[CONFINE_PATH_CAP];
    int len =
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (len > 0 && len < (int)sizeof folder) {
        confine_path(paths, folder, NULL);
    }
}

bool confine(struct port *port,
             const char *role,
             enum confine_policy policy,
             const struct port_rights *rights)
{
    struct port_why why = {{0}};
    if (policy == CONFINE_OFF) {
        (void)fprintf(stderr, "%s keeps its rights: sandbox = \"off\"\n", role);
        return true;
    }
    unsigned wanted = PORT_CONFINED_ALL;
    if (rights->dials && rights->dials_ports == NULL) {
        wanted &= ~(unsigned)PORT_CONFINED_NETWORK;
    }
    reached = port_confine(port, rights, &why);
    if ((reached & wanted) == wanted) {
        return true;
    }
    char missing[64] = "";
    for (size_t i = 0; i < COUNT_OF(means); i++) {
        if ((wanted & ~reached & (unsigned)means[i].bit) != 0) {
            size_t len = strlen(missing);
            (void)snprintf(missing + len, sizeof missing - len, "%s%s", len > 0 ? ", " : "",
                           means[i].name);
        }
    }
    (void)fprintf(stderr, "%s %s rights to %s: %s\n", role,
                  policy == CONFINE_REQUIRED ? "was not started, it would keep" : "keeps", missing,
                  why.text);
    return policy != CONFINE_REQUIRED;
}

void confine_metrics(struct writer *w)
{
    metrics_name(w, "holdfast_confined", "gauge",
                 "1 where this process has given up its other rights by this means.");
    for (size_t i = 0; i < COUNT_OF(means); i++) {
        metrics_labelled(w, "holdfast_confined", "by", slice_text(means[i].name),
                         (reached & (unsigned)means[i].bit) != 0);
    }
    metrics_name(w, "holdfast_refused_calls_total", "counter",
                 "System calls that were refused to this process: 0 unless it was made to do what "
                 "it never does.");
    metrics_value(w, "holdfast_refused_calls_total", NULL, port_refused_calls());
}
