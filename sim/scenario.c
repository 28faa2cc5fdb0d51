#include "sim/scenario.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 256, LINE_MAX = 200 };

static const char suffix[] = ".plan";

static void folder(char *out, size_t cap)
{
    const char *top = getenv("HOLDFAST_SOURCE");
    (void)snprintf(out, cap, "%s/sim/scenarios", top != NULL ? top : SIM_SOURCE_DIR);
}

bool scenario_path(const char *name, char *out, size_t cap)
{
    char dir[400];
    folder(dir, sizeof dir);
    int len = snprintf(out, cap, "%s/%s%s", dir, name, suffix);
    return strchr(name, '/') == NULL && len > 0 && (size_t)len < cap && access(out, R_OK) == 0;
}

static int is_plan(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len >= sizeof suffix && strcmp(entry->d_name + len - (sizeof suffix - 1), suffix) == 0;
}

static void list_one(FILE *to, const char *file)
{
    char path[512];
    char line[LINE_MAX] = "";
    char name[NAMES_MAX];
    (void)snprintf(name, sizeof name, "%.*s", (int)(strlen(file) - (sizeof suffix - 1)), file);
    if (!scenario_path(name, path, sizeof path)) {
        return;
    }
    FILE *plan = fopen(path, "re");
    if (plan != NULL) {
        if (fgets(line, sizeof line, plan) == NULL || line[0] != '#') {
            line[0] = '\0';
        }
        (void)fclose(plan);
    }
    line[strcspn(line, "\n")] = '\0';
    (void)fprintf(to, "  %-28s %s\n", name, line[0] == '#' ? line + 1 + strspn(line + 1, " ") : "");
}

void scenario_list(FILE *to)
{
    char dir[400];
    struct dirent **names = NULL;
    folder(dir, sizeof dir);
    int count = scandir(dir, &names, is_plan, alphasort);
    (void)fprintf(to, "scenarios (%s)\n", dir);
    for (int i = 0; i < count; i++) {
        list_one(to, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}
