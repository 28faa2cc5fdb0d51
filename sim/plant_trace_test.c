#include "base/invariant.h"
#include "io/sim/sim.h"
#include "role/trace.h"
#include "sim/plant.h"
#include "sim/replay.h"
#include "test/test.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

enum { DEVICES = 6, SECONDS = 40 };

/* Replays the file; false where it is not even a trace that can be stepped. */
static bool is_usable(const char *path)
{
    FILE *out = fopen("/dev/null", "w");
    enum replay_result result = out != NULL ? replay_file(path, out) : REPLAY_UNUSABLE;
    if (out != NULL) {
        (void)fclose(out);
    }
    return result == REPLAY_NOT_REPRODUCED;
}

TEST("a simulation whose checker finds something leaves a trace of every role")
{
    const struct plant_spec spec = {
        .seed = 7, .gateways = 2, .devices = DEVICES, .period_ms = 1000, .batch_ms = 20};
    static const char *const roles[] = {"control-", "device-", "gateway-", "ingest-", "keeper-"};
    uint32_t found[COUNT_OF(roles)] = {0};
    const char *folder = test_scratch_dir();
    struct plant *p = plant_open(&spec);
    REQUIRE(p != NULL);
    plant_begin(p);
    (void)sim_run_for(plant_world(p), SECONDS * 1000);
    sim_last_words_to(folder);
    uint32_t written = trace_claim_all("sim/plant_trace_test.c", __LINE__, "a checker's finding");
    sim_last_words_to(NULL);
    CHECK(written >= COUNT_OF(roles));
    plant_close(p);
    DIR *dir = opendir(folder);
    REQUIRE(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[600];
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        for (size_t i = 0; i < COUNT_OF(roles); i++) {
            bool is_of_role = strncmp(entry->d_name, roles[i], strlen(roles[i])) == 0;
            found[i] += is_of_role && is_usable(path);
        }
    }
    (void)closedir(dir);
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        if (found[i] == 0) {
            test_failed(__FILE__, __LINE__, "no trace of %s can be read", roles[i]);
        }
    }
    CHECK_U64(found[2], 2);
}
