#include "codec/point.h"

#include "base/invariant.h"

const char *provenance_name(enum provenance provenance)
{
    switch (provenance) {
    case PROVENANCE_DEVICE: return "device";
    case PROVENANCE_GATEWAY: return "gateway";
    }
    UNREACHABLE();
}
