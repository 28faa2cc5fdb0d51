/* Field traces: each is the word of a role that something broke which must hold. */
#include "cmd/roles.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

enum { TRACES_PATH_MAX = CONFIG_TEXT_MAX + 600 };
#define SUFFIX ".trace"

struct looking {
    void (*each)(void *context, const char *path);
    void *context;
};

static bool is_trace(const char *name)
{
    size_t len = strlen(name);
    return len > strlen(SUFFIX) && strcmp(name + len - strlen(SUFFIX), SUFFIX) == 0;
}

/* Every trace in `folder`/traces. */
static void look_in(const struct looking *l, const char *folder)
{
    char path[TRACES_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/traces", folder);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char file[TRACES_PATH_MAX + sizeof entry->d_name];
        if (is_trace(entry->d_name)) {
            (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
            l->each(l->context, file);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

void roles_traces(const struct config *config,
                  void (*each)(void *context, const char *path),
                  void *context)
{
    static const char *const roles[] = {"control", "keeper", "store"};
    const struct looking looking = {.each = each, .context = context};
    char folder[TRACES_PATH_MAX];
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        (void)snprintf(folder, sizeof folder, "%s/%s", config->data, roles[i]);
        look_in(&looking, folder);
    }
    for (uint32_t i = 0; i < config->gateways_count; i++) {
        (void)snprintf(folder, sizeof folder, "%s/gateway/%s", config->data,
                       config->gateways[i].name);
        look_in(&looking, folder);
    }
}
