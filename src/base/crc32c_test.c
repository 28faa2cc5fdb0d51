#include "base/crc32c.h"
#include "base/rng.h"
#include "test/test.h"

#include <string.h>

static uint32_t of(const uint8_t *at, size_t len)
{
    uint32_t crc = crc32c(0, slice_of(at, len));
    CHECK_U64(crc32c_portable(0, slice_of(at, len)), crc);
    return crc;
}

TEST("CRC-32C gives the values of RFC 3720 B.4")
{
    uint8_t bytes[48] = {0};
    CHECK_U64(of(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    CHECK_U64(of(bytes, 32), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = i;
    }
    CHECK_U64(of(bytes, 32), 0x46dd794e);
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)(31 - i);
    }
    CHECK_U64(of(bytes, 32), 0x113fdb5c);
    static const uint8_t read_command[48] = {
        [0] = 0x01,  [1] = 0xc0,  [16] = 0x14, [22] = 0x04,
        [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02,
    };
    CHECK_U64(of(read_command, sizeof read_command), 0xd9963a56);
    CHECK_U64(crc32c(0, slice_text("123456789")), 0xe3069283);
    CHECK_U64(crc32c(0, slice_of(bytes, 0)), 0);
}

TEST("CRC-32C over pieces is CRC-32C over the whole, at every alignment and by either way")
{
    uint8_t bytes[257];
    struct rng rng = rng_from_seed(32);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)rng_u64(&rng);
    }
    for (size_t from = 0; from < 16; from++) {
        uint32_t whole = of(bytes + from, sizeof bytes - from);
        for (size_t cut = from; cut <= sizeof bytes; cut++) {
            uint32_t head = crc32c(0, slice_of(bytes + from, cut - from));
            CHECK_U64(crc32c(head, slice_of(bytes + cut, sizeof bytes - cut)), whole);
        }
    }
}
