/*
 * The bytes of a journal on disk, and nothing about when they are written. All numbers big-endian.
 *
 *   DIR/stream            "HFS1", salt u64, crc u32: makes records of another stream look like
 * noise DIR/mark              "HFP1", position u64, crc u32: everything below is on stable storage
 *   DIR/NAME.ack          the same: the reader NAME is done with everything below
 *   DIR/POSITION.seg      a segment that begins at POSITION (16 hex digits): header, records,
 * zeroes DIR/next              the segment to come, being filled with zeroes DIR/lock held by the
 * one writer
 *
 *   segment header        "HFJ1", position u64, crc u32
 *   record                kind u8, length u24, back u32, crc u32, then `length` bytes
 *
 * `back` is the distance to the first record of the batch this record was written in. A batch is
 * written only after the one before is durable: an intact record is therefore proof that everything
 * before its batch had been on stable storage. Every crc is CRC-32C and covers the salt; a record's
 * also covers its position. Bytes left over from elsewhere, or sent by somebody who wishes to be
 * mistaken for a record, do not look like one.
 */
#ifndef IO_JOURNAL_FORMAT_H
#define IO_JOURNAL_FORMAT_H

#include "base/slice.h"
#include "io/bus.h"

enum {
    JOURNAL_HEADER_LEN = 16,    /* of stream, mark, acks and segments */
    JOURNAL_RECORD_LEN = 12,    /* before each record's bytes */
    JOURNAL_RECORD_KIND = 0x52, /* the first byte of each record; a zero there: none */
    JOURNAL_RECORD_MAX = (1 << 24) - 1,
    JOURNAL_DIR_MAX = 512,
    JOURNAL_NAME_MAX = 64, /* of a file in the folder */
    JOURNAL_PATH_MAX = JOURNAL_DIR_MAX + 1 + JOURNAL_NAME_MAX
};

/* How a small file or a segment begins: four letters, a number, a check value over salt and both.
 */
void journal_header_encode(const char *magic,
                           uint64_t salt,
                           uint64_t value,
                           uint8_t out[JOURNAL_HEADER_LEN]);
MUST_USE bool journal_header_decode(const char *magic,
                                    uint64_t salt,
                                    struct slice bytes,
                                    uint64_t *value);

struct journal_record {
    uint32_t len;  /* of the bytes that follow */
    uint32_t back; /* from this record's position to its batch's */
    uint32_t crc;
};

/* What a record's check value begins with: nobody without the salt can make it. */
uint32_t journal_record_seed(uint64_t salt, bus_position position);

/* False where the twelve bytes cannot begin a record. Says nothing yet about the bytes that follow.
 */
MUST_USE bool journal_record_decode(const uint8_t at[JOURNAL_RECORD_LEN],
                                    uint32_t seed,
                                    struct journal_record *out);

/* Writes the twelve bytes that go before `bytes`. */
void journal_record_encode(uint32_t seed,
                           uint32_t back,
                           struct slice bytes,
                           uint8_t out[JOURNAL_RECORD_LEN]);

/* The check value of a record so far; go on with crc32c over its bytes. */
uint32_t journal_record_crc(uint32_t seed, const struct journal_record *record);

/* "DIR/NAME". The names are short and the folder was measured at open, so that it always fits. */
struct journal_path {
    char text[JOURNAL_PATH_MAX];
};
struct journal_path journal_path_of(const char *dir, const char *name);
struct journal_path journal_segment_path(const char *dir, bus_position start);
bool journal_segment_start(const char *name, bus_position *start); /* of a file's name */

/* The letters of a reader's name: a to z, 0 to 9, '-', '_'; at most 40. */
bool journal_reader_name_ok(const char *name);
bool journal_is_ack(const char *name);

/* A small file's number. PORT_NOT_FOUND; PORT_BAD where it is damaged or was never whole. */
enum port_result journal_value_read(
    struct port *port, const char *path, const char *magic, uint64_t salt, uint64_t *value);

/* Formats into `why`. */
void journal_say(struct port_why *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *journal_port_word(enum port_result result);

#endif
