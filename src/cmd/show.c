#include "cmd/show.h"

#include "base/time.h"

#include <stdlib.h>
#include <string.h>

void show_row(struct show_table *table, const char *const *cells)
{
    if (table->rows == table->cap) {
        table->cap = table->cap == 0 ? 64 : table->cap * 2;
        table->cells = realloc(table->cells, table->cap * sizeof *table->cells);
        if (table->cells == NULL) {
            abort();
        }
    }
    for (int i = 0; i < table->columns; i++) {
        (void)snprintf(table->cells[table->rows][i], SHOW_CELL_MAX, "%s", cells[i]);
    }
    table->rows++;
}

/* Columns on the screen: escape sequences take none, each UTF-8 character one. */
static int width_of(const char *text)
{
    int width = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == 0x1b) {
            while (*c != 'm' && c[1] != '\0') {
                c++;
            }
        } else if ((*c & 0xc0) != 0x80) {
            width++;
        }
    }
    return width;
}

void show_print(const struct cli *cli, struct show_table *table)
{
    int widths[SHOW_COLUMNS_MAX] = {0};
    (void)cli;
    for (size_t r = 0; r < table->rows; r++) {
        for (int i = 0; i < table->columns; i++) {
            int width = width_of(table->cells[r][i]);
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    for (size_t r = 0; r < table->rows; r++) {
        for (int i = 0; i < table->columns; i++) {
            const char *cell = table->cells[r][i];
            int pad = widths[i] - width_of(cell);
            bool is_last = i + 1 == table->columns;
            (void)printf("%*s%s%*s%s", table->right[i] ? pad : 0, "", cell,
                         !table->right[i] && !is_last ? pad : 0, "", is_last ? "\n" : "  ");
        }
    }
    free(table->cells);
    *table = (struct show_table){0};
}

static const struct {
    const char *state;
    const char *shape;
    const char *color;
} shapes[] = {
    {"healthy", "●", "32"}, {"degraded", "▲", "33"},    {"failing", "■", "31"},
    {"unknown", "◇", "35"}, {"quarantined", "⊖", "90"}, {"done", "●", "32"},
    {"failed", "■", "31"},  {"connected", "●", "32"},   {"silent", "⊘", "90"},
    {"active", "●", "32"},  {"enrolled", "◔", "34"},    {"expected", "○", "90"},
};

const char *show_shape(const char *state)
{
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        if (strcmp(shapes[i].state, state) == 0) {
            return shapes[i].shape;
        }
    }
    return " ";
}

const char *show_state(const struct cli *cli, const char *state)
{
    static char rooms[4][80];
    static unsigned next;
    char *room = rooms[next++ % COUNT_OF(rooms)];
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        if (strcmp(shapes[i].state, state) == 0) {
            (void)snprintf(room, sizeof rooms[0], cli->color ? "\x1b[%sm%s\x1b[0m %s" : "%.0s%s %s",
                           shapes[i].color, shapes[i].shape, state);
            return room;
        }
    }
    (void)snprintf(room, sizeof rooms[0], "  %.60s", state);
    return room;
}

const char *show_count(double value, char room[32])
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%.0f", value);
    int out = 0;
    for (int i = 0; i < len && out < 30; i++) {
        room[out++] = digits[i];
        if ((len - i - 1) % 3 == 0 && i + 1 < len && digits[i] != '-') {
            room[out++] = ',';
        }
    }
    room[out] = '\0';
    return room;
}

const char *show_age(double seconds, char room[32])
{
    long s = (long)seconds;
    if (seconds < 0) {
        return "never";
    }
    if (s < 120) {
        (void)snprintf(room, 32, "%ld s", s);
    } else if (s < 7200) {
        (void)snprintf(room, 32, "%ld min", s / 60);
    } else if (s < 172800) {
        (void)snprintf(room, 32, "%ld h %ld min", s / 3600, s / 60 % 60);
    } else {
        (void)snprintf(room, 32, "%ld d", s / 86400);
    }
    return room;
}

const char *show_time(const char *rfc3339, const char *now, char room[32])
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t ms = 0;
    if (!time_from_text(slice_text(rfc3339), &ms)) {
        return "-";
    }
    struct civil at = civil_from_unix_ms(ms);
    if (strlen(now) >= 10 && strncmp(now, rfc3339, 10) == 0) {
        (void)snprintf(room, 32, "%02u:%02u:%02u UTC", at.hour, at.minute, at.second);
    } else {
        (void)snprintf(room, 32, "%u %s %d", at.day, months[at.month - 1], at.year);
    }
    return room;
}

void show_csv(const char *const *cells, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool quoted = strpbrk(cells[i], ",\"\r\n") != NULL;
        (void)printf("%s%s", i > 0 ? "," : "", quoted ? "\"" : "");
        for (const char *c = cells[i]; *c != '\0'; c++) {
            (void)printf(*c == '"' ? "\"\"" : "%c", *c);
        }
        (void)printf("%s", quoted ? "\"" : "");
    }
    (void)printf("\n");
}
