#include "base/nearest.h"

#include <string.h>

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance of two words of at most NEAREST_WORD_MAX bytes. */
static unsigned distance(struct slice a, struct slice b)
{
    unsigned rows[3][NEAREST_WORD_MAX + 1];
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *before = rows[(i - 1) % 3];
        const unsigned *before_that = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            unsigned change = before[j - 1] + (a.at[i - 1] != b.at[j - 1]);
            row[j] = least(change, least(before[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1]) {
                row[j] = least(row[j], before_that[j - 2] + 1);
            }
        }
    }
    return rows[a.len % 3][b.len];
}

const char *nearest_word(struct slice typed, const char *const *words, size_t count)
{
    const char *best = NULL;
    unsigned best_distance = 0;
    if (typed.len > NEAREST_WORD_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        struct slice word = slice_text(words[i]);
        if (word.len > NEAREST_WORD_MAX) {
            continue;
        }
        size_t longer = word.len > typed.len ? word.len : typed.len;
        unsigned limit = longer < 6 ? 1 : (unsigned)(longer / 3);
        unsigned d = distance(typed, word);
        if (d <= limit && (best == NULL || d < best_distance)) {
            best = words[i];
            best_distance = d;
        }
    }
    return best;
}
