/*
 * Made-up numbers for the demo's simulated devices: a slow swing, a faster one and some noise,
 * shaped by the device's id. Nothing of this is a measurement, which is why the stream it goes to
 * is called "synthetic".
 */
#include "base/rng.h"
#include "role/source_inside.h"

#include <math.h>

static double swing(uint64_t now_ms, double period_s, double phase)
{
    const double turn = 6.283185307179586;
    return sin(turn * ((double)now_ms / 1000.0 / period_s + phase));
}

/* To three decimals, as an instrument would give it. */
static double rounded(double value)
{
    return floor(value * 1000.0 + 0.5) / 1000.0;
}

void source_waveform_read(uint64_t seed, uint64_t now_ms, struct source_values *v)
{
    struct rng shape = rng_from_seed(seed);
    struct rng noise = rng_from_seed(seed ^ now_ms);
    double phase = (double)rng_below(&shape, 1000) / 1000.0;
    double level = (double)rng_below(&shape, 1000) / 1000.0;
    double jitter = (double)rng_below(&noise, 1000) / 1000.0 - 0.5;
    double slow = swing(now_ms, 180.0, phase);
    double fast = swing(now_ms, 23.0, phase * 7.0);
    (void)values_add_number(v, slice_text("temperature"), "Cel",
                            rounded(48.0 + 14.0 * level + 6.0 * slow + 0.4 * jitter));
    (void)values_add_number(v, slice_text("pressure"), "bar",
                            rounded(160.0 + 20.0 * level + 9.0 * fast + 1.5 * jitter));
    (void)values_add_number(v, slice_text("vibration"), "mm/s",
                            rounded(1.2 + level + 0.5 * fast * slow + 0.2 * jitter));
}
