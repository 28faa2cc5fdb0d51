#include "io/journal/format.h"

#include "base/crc32c.h"
#include "base/id.h"
#include "base/reader.h"
#include "base/writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAGIC_LEN = 4, SEGMENT_DIGITS = 16, READER_NAME_MAX = 40 };

static uint32_t crc_of_number(uint32_t crc, uint64_t number)
{
    uint8_t bytes[8];
    struct writer w = writer_over(bytes, sizeof bytes);
    write_u64(&w, number);
    return crc32c(crc, writer_slice(&w));
}

static uint32_t header_crc(const char *magic, uint64_t salt, uint64_t value)
{
    return crc_of_number(crc_of_number(crc32c(0, slice_of(magic, MAGIC_LEN)), salt), value);
}

void journal_header_encode(const char *magic,
                           uint64_t salt,
                           uint64_t value,
                           uint8_t out[JOURNAL_HEADER_LEN])
{
    struct writer w = writer_over(out, JOURNAL_HEADER_LEN);
    write_bytes(&w, magic, MAGIC_LEN);
    write_u64(&w, value);
    write_u32(&w, header_crc(magic, salt, value));
}

bool journal_header_decode(const char *magic, uint64_t salt, struct slice bytes, uint64_t *value)
{
    struct reader r = reader_over(bytes);
    struct slice found = read_bytes(&r, MAGIC_LEN);
    uint64_t number = read_u64(&r);
    uint32_t crc = read_u32(&r);
    if (!reader_done(&r) || memcmp(found.at, magic, MAGIC_LEN) != 0
        || crc != header_crc(magic, salt, number)) {
        return false;
    }
    *value = number;
    return true;
}

bool journal_record_decode(const uint8_t at[JOURNAL_RECORD_LEN],
                           uint32_t seed,
                           struct journal_record *out)
{
    struct reader r = reader_over(slice_of(at, JOURNAL_RECORD_LEN));
    uint32_t kind_and_len = read_u32(&r);
    if (kind_and_len >> 24 != JOURNAL_RECORD_KIND) {
        return false;
    }
    out->len = kind_and_len & JOURNAL_RECORD_MAX;
    out->back = read_u32(&r) ^ seed;
    out->crc = read_u32(&r);
    return true;
}

uint32_t journal_record_seed(uint64_t salt, bus_position position)
{
    return crc_of_number(crc_of_number(0, salt), position);
}

static uint32_t kind_and_len_of(const struct journal_record *record)
{
    return (uint32_t)JOURNAL_RECORD_KIND << 24 | record->len;
}

uint32_t journal_record_crc(uint32_t seed, const struct journal_record *record)
{
    uint8_t bytes[8];
    struct writer w = writer_over(bytes, sizeof bytes);
    write_u32(&w, kind_and_len_of(record));
    write_u32(&w, record->back);
    return crc32c(seed, writer_slice(&w));
}

void journal_record_encode(uint32_t seed,
                           uint32_t back,
                           struct slice bytes,
                           uint8_t out[JOURNAL_RECORD_LEN])
{
    struct journal_record record = {.len = (uint32_t)bytes.len, .back = back};
    struct writer w = writer_over(out, JOURNAL_RECORD_LEN);
    write_u32(&w, kind_and_len_of(&record));
    write_u32(&w, back ^ seed);
    write_u32(&w, crc32c(journal_record_crc(seed, &record), bytes));
}

struct journal_path journal_path_of(const char *dir, const char *name)
{
    struct journal_path path;
    (void)snprintf(path.text, sizeof path.text, "%.*s/%.*s", JOURNAL_DIR_MAX - 1, dir,
                   JOURNAL_NAME_MAX - 1, name);
    return path;
}

struct journal_path journal_segment_path(const char *dir, bus_position start)
{
    char name[JOURNAL_NAME_MAX];
    (void)snprintf(name, sizeof name, "%016llx.seg", (unsigned long long)start);
    return journal_path_of(dir, name);
}

bool journal_segment_start(const char *name, bus_position *start)
{
    uint8_t bytes[SEGMENT_DIGITS / 2];
    if (strlen(name) != SEGMENT_DIGITS + 4 || strcmp(name + SEGMENT_DIGITS, ".seg") != 0
        || !bytes_from_hex(slice_of(name, SEGMENT_DIGITS), bytes, sizeof bytes)) {
        return false;
    }
    struct reader r = reader_over(slice_of(bytes, sizeof bytes));
    *start = read_u64(&r);
    return true;
}

bool journal_reader_name_ok(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= READER_NAME_MAX
           && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

bool journal_is_ack(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && len <= READER_NAME_MAX + 4 && strcmp(name + len - 4, ".ack") == 0;
}

enum port_result journal_value_read(
    struct port *port, const char *path, const char *magic, uint64_t salt, uint64_t *value)
{
    struct port_file *file = NULL;
    enum port_result result = port_file_open(port, path, PORT_READ, &file);
    if (result != PORT_OK) {
        return result;
    }
    uint8_t bytes[JOURNAL_HEADER_LEN];
    size_t got = 0;
    result = port_file_read(file, 0, bytes, sizeof bytes, &got);
    if (result == PORT_OK && !journal_header_decode(magic, salt, slice_of(bytes, got), value)) {
        result = PORT_BAD;
    }
    port_file_close(file);
    return result;
}

void journal_say(struct port_why *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
}

const char *journal_port_word(enum port_result result)
{
    switch (result) {
    case PORT_OK: return "no error";
    case PORT_NOT_FOUND: return "not found";
    case PORT_EXISTS: return "it is there already";
    case PORT_NO_SPACE: return "no space left";
    case PORT_DENIED: return "permission denied";
    case PORT_BUSY: return "in use by another process";
    case PORT_BAD: return "not usable";
    case PORT_FAILED: return "input/output error";
    }
    return "unknown error";
}
