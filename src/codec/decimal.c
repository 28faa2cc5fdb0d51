/*
 * The short ways hold for what sensors say: an integer below 2^53 times or over a power of ten
 * below 10^23 is one correctly rounded operation (Clinger 1990), and a decimal of at most 15 digits
 * that reads back is the only one of its length. All else is done in integers: reading divides and
 * looks at the remainder, writing is the free-format algorithm of Steele and White (1990).
 */
#include "codec/decimal.h"

#include "base/invariant.h"

#include <assert.h>
#include <float.h>
#include <string.h>

static_assert(FLT_RADIX == 2 && DBL_MANT_DIG == 53 && DBL_MAX_EXP == 1024, "IEEE 754 binary64");
static_assert(FLT_EVAL_METHOD == 0, "one operation, one rounding");

/* 10^(512 + 340) takes 2,831 bits, its alignment at most 60 more. */
enum { BIG_WORDS = 96, EXPONENT_LEAST = -340, EXPONENT_MOST = 310, MIN_EXPONENT = -1074 };

struct big {
    size_t count; /* words in use, none of the leading ones zero */
    uint32_t word[BIG_WORDS];
};

static const double power_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static void big_set(struct big *b, uint64_t value)
{
    b->word[0] = (uint32_t)value;
    b->word[1] = (uint32_t)(value >> 32);
    b->count = b->word[1] != 0 ? 2 : b->word[0] != 0 ? 1 : 0;
}

static void big_push(struct big *b, uint32_t word)
{
    INVARIANT(b->count < BIG_WORDS);
    b->word[b->count++] = word;
}

/* b = b * factor + add */
static void big_scale(struct big *b, uint32_t factor, uint32_t add)
{
    uint64_t carry = add;
    for (size_t i = 0; i < b->count; i++) {
        carry += (uint64_t)b->word[i] * factor;
        b->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0) {
        big_push(b, (uint32_t)carry);
    }
}

static void big_scale_ten(struct big *b, unsigned power)
{
    for (; power >= 9; power -= 9) {
        big_scale(b, 1000000000u, 0);
    }
    for (; power > 0; power--) {
        big_scale(b, 10, 0);
    }
}

static void big_shift(struct big *b, unsigned bits)
{
    if (b->count == 0) {
        return;
    }
    unsigned words = bits / 32;
    INVARIANT(b->count + words <= BIG_WORDS);
    if (words > 0) {
        memmove(b->word + words, b->word, b->count * sizeof b->word[0]);
        memset(b->word, 0, words * sizeof b->word[0]);
        b->count += words;
    }
    if (bits % 32 > 0) {
        big_scale(b, UINT32_C(1) << (bits % 32), 0);
    }
}

static int big_compare(const struct big *a, const struct big *b)
{
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    for (size_t i = a->count; i > 0; i--) {
        if (a->word[i - 1] != b->word[i - 1]) {
            return a->word[i - 1] < b->word[i - 1] ? -1 : 1;
        }
    }
    return 0;
}

static void big_add(struct big *a, const struct big *b)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < b->count || carry != 0; i++) {
        if (i == a->count) {
            big_push(a, 0);
        }
        carry += (uint64_t)a->word[i] + (i < b->count ? b->word[i] : 0);
        a->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* a = a - b; a is not the smaller one */
static void big_subtract(struct big *a, const struct big *b)
{
    uint64_t borrow = 0;
    for (size_t i = 0; i < a->count; i++) {
        uint64_t take = borrow + (i < b->count ? b->word[i] : 0);
        borrow = a->word[i] < take;
        a->word[i] = (uint32_t)(a->word[i] - take);
    }
    INVARIANT(borrow == 0);
    while (a->count > 0 && a->word[a->count - 1] == 0) {
        a->count--;
    }
}

static int bit_length(uint64_t value)
{
    int length = 0;
    for (; value != 0; value >>= 1) {
        length++;
    }
    return length;
}

static int big_bit_length(const struct big *b)
{
    return b->count == 0 ? 0 : (int)(b->count - 1) * 32 + bit_length(b->word[b->count - 1]);
}

/* ---- reading ---- */

struct parts {
    bool negative;
    struct slice digits; /* of integer and fraction; holds one '.' at most */
    int exponent;        /* of the last digit */
};

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static size_t digits_len(struct slice text, size_t at)
{
    size_t len = 0;
    while (at + len < text.len && is_digit(text.at[at + len])) {
        len++;
    }
    return len;
}

/* Beyond every limit a longer exponent changes nothing: it is held at 9,999. */
static bool exponent_split(struct slice text, size_t at, int *exponent)
{
    bool negative = at < text.len && text.at[at] == '-';
    if (at < text.len && (text.at[at] == '-' || text.at[at] == '+')) {
        at++;
    }
    size_t len = digits_len(text, at);
    if (len == 0 || at + len != text.len) {
        return false;
    }
    int value = 0;
    for (size_t i = 0; i < len; i++) {
        value = value * 10 + (text.at[at + i] - '0');
        value = value > 9999 ? 9999 : value;
    }
    *exponent += negative ? -value : value;
    return true;
}

/* RFC 8259 6: number = [ minus ] int [ frac ] [ exp ] */
static bool parts_split(struct slice text, struct parts *out)
{
    size_t at = 0;
    out->negative = text.len > 0 && text.at[0] == '-';
    at += out->negative;
    size_t first = at;
    size_t whole = digits_len(text, at);
    if (whole == 0 || (whole > 1 && text.at[at] == '0')) {
        return false;
    }
    at += whole;
    out->exponent = 0;
    if (at < text.len && text.at[at] == '.') {
        size_t fraction = digits_len(text, at + 1);
        if (fraction == 0) {
            return false;
        }
        out->exponent = -(int)fraction;
        at += 1 + fraction;
    }
    out->digits = slice_of(text.at + first, at - first);
    if (at == text.len) {
        return true;
    }
    return (text.at[at] == 'e' || text.at[at] == 'E')
           && exponent_split(text, at + 1, &out->exponent);
}

/* Zeroes at either end say nothing; without them the limits below are those of the value. */
static void parts_trim(struct parts *p)
{
    while (p->digits.len > 0 && (p->digits.at[0] == '0' || p->digits.at[0] == '.')) {
        p->digits = slice_after(p->digits, 1);
    }
    while (p->digits.len > 0) {
        uint8_t end = p->digits.at[p->digits.len - 1];
        if (end != '0' && end != '.') {
            return;
        }
        p->exponent += end == '0';
        p->digits.len--;
    }
}

static double double_from_bits(uint64_t bits)
{
    double value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/*
 * The double nearest to (quotient + a fraction) / 2^scale, ties to even. `quotient` has at least 54
 * bits; `inexact` says that the fraction is not zero.
 */
static bool round_scaled(uint64_t quotient, int scale, bool inexact, double *out)
{
    int top = bit_length(quotient) - 1 - scale; /* exponent of the highest bit */
    int last = top - 52 > MIN_EXPONENT ? top - 52 : MIN_EXPONENT;
    int drop = last + scale;
    if (drop > 62) {
        *out = 0;
        return true;
    }
    uint64_t half = UINT64_C(1) << (drop - 1);
    uint64_t rest = quotient & ((half << 1) - 1);
    uint64_t mantissa = quotient >> drop;
    if (rest > half || (rest == half && (inexact || (mantissa & 1) != 0))) {
        mantissa++;
    }
    uint64_t bits = mantissa;
    if (mantissa >> 52 != 0) {
        bits = ((uint64_t)(last + 52 + 1023) << 52) + (mantissa - (UINT64_C(1) << 52));
    }
    *out = double_from_bits(bits);
    return bits < UINT64_C(0x7FF) << 52;
}

/* The digits without their point, as an integer; how many there are. */
static int digits_read(struct slice text, struct big *out)
{
    int count = 0;
    big_set(out, 0);
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '.') {
            continue;
        }
        uint32_t digit = (uint32_t)(text.at[i] - '0');
        if (out->count == 0) {
            big_set(out, digit);
        } else {
            big_scale(out, 10, digit);
        }
        count++;
    }
    return count;
}

/* The first 56 bits of above / below, both of one bit length; what is left stays in `above`. */
static uint64_t divide(struct big *above, const struct big *below)
{
    uint64_t quotient = 0;
    for (int bit = 0; bit < 56; bit++) {
        if (bit > 0) {
            big_scale(above, 2, 0);
        }
        quotient <<= 1;
        if (big_compare(above, below) >= 0) {
            big_subtract(above, below);
            quotient |= 1;
        }
    }
    return quotient;
}

static bool read_exactly(const struct parts *p, double *out)
{
    struct big above = {0};
    struct big below = {0};
    int magnitude = digits_read(p->digits, &above) + p->exponent;
    if (above.count == 0 || magnitude < EXPONENT_LEAST) {
        *out = 0;
        return true;
    }
    if (magnitude > EXPONENT_MOST) {
        return false;
    }
    big_set(&below, 1);
    big_scale_ten(p->exponent >= 0 ? &above : &below,
                  (unsigned)(p->exponent >= 0 ? p->exponent : -p->exponent));
    int shift = big_bit_length(&above) - big_bit_length(&below);
    big_shift(shift >= 0 ? &below : &above, (unsigned)(shift >= 0 ? shift : -shift));
    uint64_t quotient = divide(&above, &below);
    return round_scaled(quotient, 55 - shift, above.count != 0, out);
}

/* At most 15 digits and a small power of ten: one rounding. */
static bool read_shortly(const struct parts *p, double *out)
{
    if (p->digits.len > 16 || p->exponent < -22 || p->exponent > 22) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < p->digits.len; i++) {
        if (p->digits.at[i] != '.') {
            value = value * 10 + (uint64_t)(p->digits.at[i] - '0');
        }
    }
    if (value > UINT64_C(1) << 53) {
        return false;
    }
    *out = p->exponent < 0 ? (double)value / power_of_ten[-p->exponent]
                           : (double)value * power_of_ten[p->exponent];
    return true;
}

enum decimal_result decimal_read(struct slice text, double *out)
{
    struct parts p = {0};
    if (text.len > DECIMAL_TEXT_MAX) {
        return DECIMAL_TOO_LARGE;
    }
    if (!parts_split(text, &p)) {
        return DECIMAL_MALFORMED;
    }
    parts_trim(&p);
    double value = 0;
    if (!read_shortly(&p, &value) && !read_exactly(&p, &value)) {
        return DECIMAL_TOO_LARGE;
    }
    *out = p.negative ? -value : value;
    return DECIMAL_OK;
}

/* ---- writing ---- */

/* value = 0.DIGITS x 10^point */
struct shortest {
    uint8_t digits[17];
    int count;
    int point;
};

/* The loop below holds value = r / s and half the gaps to its neighbours, up / s and down / s. */
struct generator {
    struct big r, s, up, down;
    bool even; /* both ends of the gap read back as the value */
};

static void generator_init(struct generator *g, uint64_t mantissa, int exponent)
{
    /* Below a power of two the gap is half as wide as above it. */
    bool uneven = mantissa == UINT64_C(1) << 52 && exponent > MIN_EXPONENT;
    unsigned extra = uneven ? 2 : 1;
    unsigned raise = exponent > 0 ? (unsigned)exponent : 0;
    unsigned lower = exponent < 0 ? (unsigned)-exponent : 0;
    big_set(&g->r, mantissa);
    big_shift(&g->r, raise + extra);
    big_set(&g->s, 1);
    big_shift(&g->s, lower + extra);
    big_set(&g->up, 1);
    big_shift(&g->up, raise + extra - 1);
    big_set(&g->down, 1);
    big_shift(&g->down, raise);
    g->even = (mantissa & 1) == 0;
}

/* Does value plus half a gap reach `factor` * 10^point, what s stands for? */
static bool generator_reaches(const struct generator *g, uint32_t factor)
{
    struct big sum = g->r;
    big_add(&sum, &g->up);
    big_scale(&sum, factor, 0);
    int order = big_compare(&sum, &g->s);
    return g->even ? order >= 0 : order > 0;
}

static void generator_times_ten(struct generator *g)
{
    big_scale(&g->r, 10, 0);
    big_scale(&g->up, 10, 0);
    big_scale(&g->down, 10, 0);
}

/* Brings value + up to [1/10, 1) of s; gives the power of ten that took. */
static int generator_normalise(struct generator *g, int bits)
{
    int point = (bits * 1233) / 4096 - 1; /* log10 2, a little low */
    if (point > 0) {
        big_scale_ten(&g->s, (unsigned)point);
    } else {
        big_scale_ten(&g->r, (unsigned)-point);
        big_scale_ten(&g->up, (unsigned)-point);
        big_scale_ten(&g->down, (unsigned)-point);
    }
    while (generator_reaches(g, 1)) {
        big_scale(&g->s, 10, 0);
        point++;
    }
    while (!generator_reaches(g, 10)) {
        generator_times_ten(g);
        point--;
    }
    return point;
}

static uint32_t generator_digit(struct generator *g)
{
    uint32_t digit = 0;
    generator_times_ten(g);
    while (big_compare(&g->r, &g->s) >= 0) {
        big_subtract(&g->r, &g->s);
        digit++;
    }
    return digit;
}

static void write_exactly(uint64_t mantissa, int exponent, struct shortest *out)
{
    struct generator g = {0};
    generator_init(&g, mantissa, exponent);
    out->point = generator_normalise(&g, bit_length(mantissa) + exponent);
    out->count = 0;
    for (;;) {
        uint32_t digit = generator_digit(&g);
        int low = big_compare(&g.r, &g.down);
        bool low_ends = g.even ? low <= 0 : low < 0;
        bool high_ends = generator_reaches(&g, 1);
        if (low_ends && high_ends) {
            big_scale(&g.r, 2, 0);
            int half = big_compare(&g.r, &g.s);
            digit += half > 0 || (half == 0 && (digit & 1) != 0);
        } else if (high_ends) {
            digit++;
        }
        INVARIANT(digit <= 9 && out->count < 17);
        out->digits[out->count++] = (uint8_t)('0' + digit);
        if (low_ends || high_ends) {
            return;
        }
    }
}

/* Whole numbers below 2^53, and up to 15 digits with up to 10 of them behind the point. */
static bool write_shortly(double value, struct shortest *out)
{
    double whole_max = value == (double)(uint64_t)value ? 9007199254740992.0 : 1e15;
    for (int places = 0; places <= 10; places++) {
        double scaled = value * power_of_ten[places];
        if (scaled >= whole_max) {
            return false;
        }
        uint64_t whole = (uint64_t)(scaled + 0.5);
        if (whole > 0 && (double)whole / power_of_ten[places] == value) {
            struct writer w = writer_over(out->digits, sizeof out->digits);
            write_decimal(&w, whole);
            out->count = (int)w.len;
            out->point = out->count - places;
            return true;
        }
    }
    return false;
}

static void write_zeroes(struct writer *w, int count)
{
    for (; count > 0; count--) {
        write_u8(w, '0');
    }
}

/* The four forms of ECMAScript's Number::toString. */
static void shortest_write(struct writer *w, const struct shortest *s)
{
    size_t count = (size_t)s->count;
    if (s->point > 21 || s->point <= -6) {
        write_bytes(w, s->digits, 1);
        if (count > 1) {
            write_u8(w, '.');
            write_bytes(w, s->digits + 1, count - 1);
        }
        int exponent = s->point - 1;
        write_text(w, exponent < 0 ? "e-" : "e+");
        write_decimal(w, (uint64_t)(exponent < 0 ? -exponent : exponent));
    } else if (s->point <= 0) {
        write_text(w, "0.");
        write_zeroes(w, -s->point);
        write_bytes(w, s->digits, count);
    } else if (s->point >= s->count) {
        write_bytes(w, s->digits, count);
        write_zeroes(w, s->point - s->count);
    } else {
        write_bytes(w, s->digits, (size_t)s->point);
        write_u8(w, '.');
        write_bytes(w, s->digits + s->point, count - (size_t)s->point);
    }
}

void decimal_write(struct writer *w, double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
    int exponent = (int)(bits >> 52 & 0x7FF);
    INVARIANT(exponent != 0x7FF);
    if (bits >> 63 != 0) {
        write_u8(w, '-');
    }
    if (exponent == 0 && mantissa == 0) {
        write_u8(w, '0');
        return;
    }
    struct shortest s;
    double size = bits >> 63 != 0 ? -value : value;
    if (size >= 9007199254740992.0 || size < 1e-5 || !write_shortly(size, &s)) {
        if (exponent > 0) {
            mantissa |= UINT64_C(1) << 52;
        }
        write_exactly(mantissa, (exponent > 0 ? exponent : 1) - 1075, &s);
    }
    shortest_write(w, &s);
}
