#include "codec/int_stream.h"

#include "base/invariant.h"

/*
 *   stream   = order (2 bits) base (64 bits, in a width of 7 bits) [step: likewise, order 2 only]
 * group* group    = parameter k (6 bits), then 32 residuals, or what is left residual = quotient q
 * in unary (q ones, a zero), k low bits           where q < 15 | 15 ones, width - 1 (6 bits), the
 * residual itself           otherwise k = 63: all residuals of the group are zero and take no bits.
 * Residuals are zigzag: 0, -1, 1, -2 ... are 0, 1, 2, 3 ...
 */
enum { GROUP = 32, UNARY_MAX = 15, K_BITS = 6, K_ZERO = 63, K_MAX = 62, ORDER_COUNT = 3 };

static uint64_t zigzag(uint64_t v)
{
    return (v << 1) ^ (0 - (v >> 63));
}

static uint64_t unzigzag(uint64_t u)
{
    return (u >> 1) ^ (0 - (u & 1));
}

static unsigned width_of(uint64_t v)
{
    return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v);
}

static void put_number(struct bits_out *b, uint64_t zig)
{
    unsigned width = width_of(zig);
    bits_put(b, width, 7);
    bits_put(b, zig, width);
}

static bool get_number(struct bits_in *b, uint64_t *zig)
{
    unsigned width = (unsigned)bits_get(b, 7);
    if (width > 64) {
        return false;
    }
    *zig = bits_get(b, width);
    return width_of(*zig) == width;
}

static size_t residual_bits(uint64_t u, unsigned k)
{
    uint64_t q = u >> k;
    return q < UNARY_MAX ? (size_t)q + 1 + k : (size_t)UNARY_MAX + 6 + width_of(u);
}

static size_t group_bits(const uint64_t *u, size_t count, unsigned k)
{
    size_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        bits += residual_bits(u[i], k);
    }
    return bits;
}

/* The parameter near the mean's width that makes the group shortest. */
static unsigned best_k(const uint64_t *u, size_t count)
{
    uint64_t any = 0;
    uint64_t sum = 0; /* meant only where it cannot wrap */
    for (size_t i = 0; i < count; i++) {
        any |= u[i];
        sum += u[i];
    }
    if (any == 0) {
        return K_ZERO;
    }
    unsigned guess = width_of(any) > 58 ? width_of(any) : width_of(sum / count);
    unsigned best = 0;
    size_t best_bits = SIZE_MAX;
    for (unsigned k = guess > 2 ? guess - 3 : 0; k <= guess && k <= K_MAX; k++) {
        size_t bits = group_bits(u, count, k);
        if (bits < best_bits) {
            best = k;
            best_bits = bits;
        }
    }
    return best;
}

static void put_residual(struct bits_out *b, uint64_t u, unsigned k)
{
    uint64_t q = u >> k;
    if (q < UNARY_MAX) {
        bits_put_short(b, ((uint64_t)1 << (q + 1)) - 2, (unsigned)q + 1);
        bits_put(b, u, k);
    } else {
        bits_put_short(b, ((uint64_t)1 << UNARY_MAX) - 1, UNARY_MAX);
        bits_put_short(b, width_of(u) - 1, 6);
        bits_put(b, u, width_of(u));
    }
}

/* What prediction of `order` leaves of value i; the values it begins with leave nothing. */
static uint64_t residual(const int64_t *values, size_t i, unsigned order, uint64_t base)
{
    uint64_t now = (uint64_t)values[i];
    if (i < order) {
        return 0;
    }
    switch (order) {
    case 0: return zigzag(now - base);
    case 1: return zigzag(now - (uint64_t)values[i - 1]);
    default: return zigzag(now - 2 * (uint64_t)values[i - 1] + (uint64_t)values[i - 2]);
    }
}

/* About the mean: exact where the values lie within 2^54 of the first. */
static uint64_t mean_of(const int64_t *values, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t away = (uint64_t)values[i] - (uint64_t)values[0];
        int64_t step;
        if (width_of(zigzag(away)) > 54) {
            return (uint64_t)values[0];
        }
        step = (int64_t)away;
        sum += step;
    }
    return (uint64_t)values[0] + (uint64_t)(sum / (int64_t)count);
}

static unsigned best_order(const int64_t *values, size_t count, uint64_t mean)
{
    size_t bits[ORDER_COUNT] = {0, 4, 8}; /* the simpler one unless it costs more */
    for (size_t i = 0; i < count; i++) {
        for (unsigned order = 0; order < ORDER_COUNT; order++) {
            bits[order] += width_of(residual(values, i, order, mean));
        }
    }
    unsigned best = 0;
    for (unsigned order = 1; order < ORDER_COUNT; order++) {
        best = bits[order] < bits[best] ? order : best;
    }
    return count <= 2 ? 0 : best;
}

void int_stream_encode(const int64_t *values, size_t count, struct bits_out *b)
{
    INVARIANT(count > 0 && count <= INT_STREAM_MAX);
    uint64_t mean = mean_of(values, count);
    unsigned order = best_order(values, count, mean);
    bits_put_short(b, order, 2);
    put_number(b, zigzag(order == 0 ? mean : (uint64_t)values[0]));
    if (order == 2) {
        put_number(b, zigzag((uint64_t)values[1] - (uint64_t)values[0]));
    }
    for (size_t begin = 0; begin < count; begin += GROUP) {
        uint64_t left[GROUP];
        size_t len = count - begin < GROUP ? count - begin : GROUP;
        for (size_t i = 0; i < len; i++) {
            left[i] = residual(values, begin + i, order, mean);
        }
        unsigned k = best_k(left, len);
        bits_put_short(b, k, K_BITS);
        for (size_t i = 0; i < len && k != K_ZERO; i++) {
            put_residual(b, left[i], k);
        }
    }
}

static uint64_t get_residual(struct bits_in *b, unsigned k)
{
    unsigned most = UNARY_MAX + k; /* bits of a short residual; a refill gives 56 */
    if (b->count < most) {
        bits_refill(b);
    }
    unsigned ones = (unsigned)__builtin_clzll(~b->held | 1);
    if (ones < UNARY_MAX && most <= 56) {
        uint64_t low = b->held << (ones + 1) >> 1 >> (63 - k); /* in two steps: k may be 0 */
        bits_skip(b, ones + 1 + k);
        return (uint64_t)ones << k | low;
    }
    if (ones < UNARY_MAX) {
        bits_skip(b, ones + 1);
        return (uint64_t)ones << k | bits_get(b, k);
    }
    bits_skip(b, UNARY_MAX);
    unsigned width = (unsigned)bits_get_short(b, 6) + 1;
    return bits_get(b, width);
}

/* The residuals of one group. */
static void get_group(struct bits_in *b, uint64_t *left, size_t count)
{
    unsigned k = (unsigned)bits_get_short(b, K_BITS);
    for (size_t i = 0; i < count; i++) {
        left[i] = k == K_ZERO ? 0 : unzigzag(get_residual(b, k));
    }
}

/* Where a prediction stands: the value before the next, and the step to it (order 2). */
struct course {
    unsigned order;
    uint64_t last, step;
};

/* A loop for each order: in one loop for all, the choice costs more than the sum. */
static void follow(struct course *c, const uint64_t *left, int64_t *values, size_t count)
{
    uint64_t last = c->last;
    uint64_t step = c->step;
    switch (c->order) {
    case 0:
        for (size_t i = 0; i < count; i++) {
            values[i] = (int64_t)(last + left[i]);
        }
        break;
    case 1:
        for (size_t i = 0; i < count; i++) {
            last += left[i];
            values[i] = (int64_t)last;
        }
        break;
    default:
        for (size_t i = 0; i < count; i++) {
            step += left[i];
            last += step;
            values[i] = (int64_t)last;
        }
        break;
    }
    c->last = last;
    c->step = step;
}

bool int_stream_decode(struct bits_in *b, int64_t *values, size_t count)
{
    unsigned order = (unsigned)bits_get_short(b, 2);
    uint64_t base = 0;
    uint64_t step = 0;
    if (order >= ORDER_COUNT || count == 0 || count > INT_STREAM_MAX || !get_number(b, &base)
        || (order == 2 && !get_number(b, &step))) {
        return false;
    }
    step = unzigzag(step);
    struct course course = {.order = order, .last = unzigzag(base) - step, .step = step};
    for (size_t begin = 0; begin < count; begin += GROUP) {
        uint64_t left[GROUP];
        size_t len = count - begin < GROUP ? count - begin : GROUP;
        get_group(b, left, len);
        for (size_t i = begin; i < order && i < len; i++) {
            left[i] = 0; /* the values it begins with are given, whatever stands there */
        }
        follow(&course, left, values + begin, len);
    }
    return true;
}
