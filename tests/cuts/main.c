/*
 * Power cuts and failing calls over everything that Holdfast makes durable.
 *
 *     power_cuts --list                      the names of the things
 *     power_cuts [--long | --brief] WHAT NAME...       WHAT: cuts, failures, rot; no NAME: all of
 * them
 */
#include "base/invariant.h"
#include "drive.h"
#include "flash.h"

#include <stdio.h>
#include <string.h>

static const struct durable *const things[] = {
    &durable_replace,       &durable_journal,  &durable_journal_long,
    &durable_journal_doubt, &durable_sequence, &durable_outbox,
    &durable_keys,          &durable_registry, &durable_ingest,
};

static const struct flash_thing *const on_flash[] = {&flash_outbox_thing, &flash_keys_thing};

static const struct {
    const char *name;
    bool (*drive)(const struct durable *thing, enum effort effort);
} drives[] = {{"cuts", drive_cuts}, {"failures", drive_failures}, {"rot", drive_rot}};

static bool is_named(const char *name, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return true;
        }
    }
    return argc == 0;
}

int main(int argc, char **argv)
{
    unsigned passed = 0;
    unsigned failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < COUNT_OF(things); i++) {
            printf("%s\n", things[i]->name);
        }
        printf("nor-sequence\n%s\n%s\n", flash_outbox_thing.name, flash_keys_thing.name);
        return 0;
    }
    enum effort effort = argc > 1 && strcmp(argv[1], "--long") == 0    ? LONG
                         : argc > 1 && strcmp(argv[1], "--brief") == 0 ? BRIEF
                                                                       : SHORT;
    argc -= effort != SHORT ? 2 : 1;
    argv += effort != SHORT ? 2 : 1;
    for (size_t d = 0; argc > 0 && d < COUNT_OF(drives); d++) {
        for (size_t i = 0; strcmp(argv[0], drives[d].name) == 0 && i < COUNT_OF(things); i++) {
            bool applies = drives[d].drive == drive_rot        ? things[i]->sees_rot
                           : drives[d].drive == drive_failures ? !things[i]->sets_faults
                                                               : true;
            if (applies && is_named(things[i]->name, argc - 1, argv + 1)) {
                bool ok = drives[d].drive(things[i], effort) && invariant_noted() == 0;
                passed += ok ? 1 : 0;
                failed += ok ? 0 : 1;
            }
        }
    }
    if (argc > 0 && strcmp(argv[0], "cuts") == 0
        && is_named("nor-sequence", argc - 1, argv + 1)) { /* no call of it fails */
        bool ok = drive_nor(effort);
        passed += ok ? 1 : 0;
        failed += ok ? 0 : 1;
    }
    for (size_t i = 0; argc > 0 && i < COUNT_OF(on_flash); i++) {
        bool is_cut = strcmp(argv[0], "cuts") == 0;
        if ((is_cut || strcmp(argv[0], "rot") == 0)
            && is_named(on_flash[i]->name, argc - 1, argv + 1)) {
            bool ok =
                is_cut ? drive_flash(on_flash[i], effort) : drive_flash_rot(on_flash[i], effort);
            passed += ok ? 1 : 0;
            failed += ok ? 0 : 1;
        }
    }
    printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    return failed == 0 && (passed > 0 || argc > 1) ? 0
                                                   : 1; /* a thing that this does not apply to */
}
