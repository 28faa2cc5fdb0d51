#include "io/sim/nor.h"
#include "test/test.h"

#include <string.h>

enum { BLOCK = 64, UNIT = 8 };

TEST("programming clears bits and never sets them; erasing sets those of its block alone")
{
    struct sim_nor *nor = sim_nor_new(2, BLOCK, UNIT, 1);
    uint8_t byte[UNIT] = {0x0f, 0xff, 0, 0, 0, 0, 0, 0};
    uint8_t other[UNIT] = {0xf0, 0x01, 0xff, 0, 0, 0, 0, 0};
    uint8_t got[UNIT];
    CHECK(sim_nor_program(nor, 0, slice_of(byte, UNIT))
          && sim_nor_program(nor, BLOCK, slice_of(byte, UNIT))
          && sim_nor_program(nor, 0, slice_of(other, UNIT)) && sim_nor_read(nor, 0, got, UNIT));
    CHECK(got[0] == 0 && got[1] == 1 && got[2] == 0);
    CHECK(sim_nor_erase(nor, 0) && sim_nor_read(nor, 0, got, UNIT) && got[0] == 0xff);
    CHECK(sim_nor_read(nor, BLOCK, got, UNIT) && memcmp(got, byte, UNIT) == 0);
    CHECK(sim_nor_operations(nor) == 4 && sim_nor_erases(nor) == 1);
    sim_nor_free(nor);
}

TEST("a program that is cut leaves whole units, one of mixed bits, and the rest untouched")
{
    bool is_unclear = false;
    for (uint64_t seed = 1; seed < 50; seed++) {
        static const uint8_t zeroes[4 * UNIT];
        uint8_t got[4 * UNIT];
        uint8_t again[4 * UNIT];
        struct sim_nor *nor = sim_nor_new(1, BLOCK, UNIT, seed);
        sim_nor_cut(nor, 1, 128);
        CHECK(!sim_nor_program(nor, 0, slice_of(zeroes, sizeof zeroes)) && sim_nor_is_off(nor));
        CHECK(!sim_nor_read(nor, 0, got, sizeof got) && !sim_nor_erase(nor, 0));
        struct sim_nor *after = sim_nor_copy(nor, seed);
        CHECK(sim_nor_read(after, 0, got, sizeof got) && sim_nor_read(after, 0, again, sizeof got));
        for (size_t i = 0; i < UNIT; i++) {
            CHECK(got[i] == 0 && got[UNIT + i] == 0 && got[3 * UNIT + i] == 0xff);
        }
        is_unclear = is_unclear || memcmp(got, again, sizeof got) != 0;
        CHECK(sim_nor_erase(after, 0) && sim_nor_read(after, 0, got, sizeof got)
              && sim_nor_read(after, 0, again, sizeof got) && memcmp(got, again, sizeof got) == 0
              && got[2 * UNIT] == 0xff);
        sim_nor_free(after);
        sim_nor_free(nor);
    }
    CHECK(is_unclear);
}

TEST("an erase that is cut leaves some bits old, some erased, and of a programmed one none new")
{
    uint8_t old[UNIT] = {0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55};
    uint8_t got[UNIT];
    bool is_mixed = false;
    for (uint64_t seed = 1; seed < 50; seed++) {
        struct sim_nor *nor = sim_nor_new(1, BLOCK, UNIT, seed);
        CHECK(sim_nor_program(nor, 0, slice_of(old, UNIT)));
        sim_nor_cut(nor, 1, 128);
        CHECK(!sim_nor_erase(nor, 0));
        struct sim_nor *after = sim_nor_copy(nor, seed);
        CHECK(sim_nor_read(after, 0, got, UNIT));
        for (size_t i = 0; i < UNIT; i++) {
            CHECK((got[i] & 0x55) == 0x55); /* ones stay */
            is_mixed = is_mixed || (got[i] != 0x55 && got[i] != 0xff);
        }
        sim_nor_free(after);
        sim_nor_free(nor);
    }
    CHECK(is_mixed);
}
