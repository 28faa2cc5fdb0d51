/*
 * How the command line shows things to people: aligned tables, states with their shapes, times and
 * ages.
 */
#ifndef CMD_SHOW_H
#define CMD_SHOW_H

#include "cmd/cli.h"

enum { SHOW_COLUMNS_MAX = 10, SHOW_CELL_MAX = 64 };

/* A table is gathered row by row and printed at the end, each column as wide as its widest cell. */
struct show_table {
    int columns;
    bool right[SHOW_COLUMNS_MAX]; /* numbers stand at the right */
    char (*cells)[SHOW_COLUMNS_MAX][SHOW_CELL_MAX];
    size_t rows, cap;
};

void show_row(struct show_table *table, const char *const *cells);
void show_print(const struct cli *cli, struct show_table *table); /* and frees it */

/* "● healthy", with its colour on a terminal; the shape and the word say the same without it. */
const char *show_state(const struct cli *cli, const char *state);
/* The bare shape of a state. */
const char *show_shape(const char *state);

/* One line of RFC 4180 CSV, cells quoted where they must be. */
void show_csv(const char *const *cells, size_t count);

/* 12480 -> "12,480". */
const char *show_count(double value, char room[32]);
/* 65.2 -> "65 s", 49200 -> "13 h 40 min"; negative: "never". */
const char *show_age(double seconds, char room[32]);
/* An RFC 3339 time as "14:03:41 UTC" today and "6 Nov 2026" further back. */
const char *show_time(const char *rfc3339, const char *now, char room[32]);

#endif
