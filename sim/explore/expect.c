#include "sim/explore/explore.h"

void explore_expect(struct explore_breach *breach, bool holds, const char *what)
{
    if (!holds && breach->what == NULL) {
        breach->what = what;
    }
}
