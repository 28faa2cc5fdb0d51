#include "base/writer.h"
#include "codec/client_hello.h"
#include "test/test.h"

#include <string.h>

enum { CAP = 12000 };

struct making { /* what a ClientHello is made of; zero: as it should be */
    const char *name;
    uint16_t version; /* in supported_versions; 0: 1.3 */
    bool without_extensions;
    bool twice; /* the server name's extension */
    bool two_names;
    uint8_t session_id_len;
    uint8_t message, record; /* other types than those of a ClientHello */
    size_t padding;
    size_t record_max; /* the message is cut into records of this many bytes */
    size_t cut;        /* bytes missing at the end of the message, whose lengths stay */
};

static void write_server_name(struct writer *w, const struct making *m)
{
    size_t len = strlen(m->name);
    size_t names = m->two_names ? 2 : 1;
    write_u16(w, 0);
    write_u16(w, (uint16_t)(2 + names * (3 + len)));
    write_u16(w, (uint16_t)(names * (3 + len)));
    for (size_t i = 0; i < names; i++) {
        write_u8(w, 0);
        write_prefixed_u16(w, slice_of(m->name, len));
    }
}

static struct slice make(const struct making *m, uint8_t *to)
{
    static uint8_t extensions[CAP], body[CAP];
    static const uint8_t zeroes[CAP];
    struct writer e = writer_over(extensions, CAP);
    struct writer b = writer_over(body, CAP);
    struct writer w = writer_over(to, CAP);
    for (int i = 0; m->name != NULL && i < (m->twice ? 2 : 1); i++) {
        write_server_name(&e, m);
    }
    write_u16(&e, 43);
    write_u16(&e, 5);
    write_u8(&e, 4);
    write_u16(&e, m->version != 0 ? m->version : 0x0304);
    write_u16(&e, 0x0303);
    write_u16(&e, 21);
    write_prefixed_u16(&e, slice_of(zeroes, m->padding));
    write_u8(&b, m->message != 0 ? m->message : 1);
    size_t rest = 2u + 32 + 1 + m->session_id_len + 4 + 2
                  + (m->without_extensions ? 0 : 2 + writer_slice(&e).len);
    write_u8(&b, 0);
    write_u16(&b, (uint16_t)rest);
    write_u16(&b, 0x0303);
    write_bytes(&b, zeroes, 32);
    write_u8(&b, m->session_id_len);
    write_bytes(&b, zeroes, m->session_id_len);
    write_prefixed_u16(&b, slice_of("\x13\x01", 2));
    write_u8(&b, 1);
    write_u8(&b, 0);
    if (!m->without_extensions) {
        write_prefixed_u16(&b, writer_slice(&e));
    }
    struct slice message = writer_slice(&b);
    message.len -= m->cut;
    for (size_t at = 0; at < message.len;) {
        size_t most = m->record_max != 0 ? m->record_max : message.len;
        size_t len = message.len - at < most ? message.len - at : most;
        write_u8(&w, m->record != 0 ? m->record : 22);
        write_u16(&w, 0x0301);
        write_prefixed_u16(&w, slice_of(message.at + at, len));
        at += len;
    }
    return writer_slice(&w);
}

static enum client_hello_result read_made(const struct making *m, struct client_hello *hello)
{
    static uint8_t bytes[CAP], scratch[CLIENT_HELLO_MAX];
    struct fault fault = {0};
    enum client_hello_result result = client_hello_read(make(m, bytes), scratch, hello, &fault);
    CHECK((result == CLIENT_HELLO_MALFORMED) == (fault.clause != NULL));
    return result;
}

TEST("what is no ClientHello is refused, and whoever sends it is not waited for")
{
    static const struct making wrong[] = {
        {.name = "a.example", .record = 23},
        {.name = "a.example", .message = 2},
        {.name = "a.example", .twice = true},
        {.name = "a.example", .two_names = true},
        {.name = ""},
        {.name = "a.example", .session_id_len = 33},
        {.name = "a.example", .padding = 9000},
        {.name = "a.example", .record_max = 1},
    };
    struct client_hello hello;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        CHECK(read_made(&wrong[i], &hello) == CLIENT_HELLO_MALFORMED);
    }
    static const char *const first[] = {"GET / HTTP/1.1", "\x10\x1a", "\x16\x02\x00\x00\x05",
                                        "\x16\x03\x01\x00\x00"};
    static const size_t lens[] = {14, 1, 5, 5};
    uint8_t scratch[CLIENT_HELLO_MAX];
    struct fault fault;
    for (size_t i = 0; i < COUNT_OF(first); i++) {
        CHECK(client_hello_read(slice_of(first[i], lens[i]), scratch, &hello, &fault)
              == CLIENT_HELLO_MALFORMED);
    }
}

TEST("the name of the server is found, in one record or many")
{
    struct client_hello hello;
    struct making m = {.name = "devices.plant.example", .padding = 300};
    for (size_t most = 0; most < 700; most += 61) {
        m.record_max = most;
        REQUIRE(read_made(&m, &hello) == CLIENT_HELLO_OK);
        CHECK(slice_is_text(hello.server_name, "devices.plant.example"));
        CHECK(hello.offers_tls_1_3);
    }
}

TEST("a client without a name or without TLS 1.3 is told from one with them")
{
    struct client_hello hello;
    REQUIRE(read_made(&(struct making){0}, &hello) == CLIENT_HELLO_OK);
    CHECK(hello.server_name.len == 0 && hello.offers_tls_1_3);
    REQUIRE(read_made(&(struct making){.name = "a", .version = 0x0302}, &hello) == CLIENT_HELLO_OK);
    CHECK(slice_is_text(hello.server_name, "a") && !hello.offers_tls_1_3);
    REQUIRE(read_made(&(struct making){.without_extensions = true}, &hello) == CLIENT_HELLO_OK);
    CHECK(hello.server_name.len == 0 && !hello.offers_tls_1_3);
}

TEST("every beginning of a ClientHello waits for its rest, and a lie about its length is seen")
{
    static uint8_t bytes[CAP], scratch[CLIENT_HELLO_MAX];
    struct client_hello hello;
    struct fault fault;
    struct slice whole = make(&(struct making){.name = "a.example", .record_max = 100}, bytes);
    for (size_t len = 0; len < whole.len; len++) {
        CHECK(client_hello_read(slice_of(bytes, len), scratch, &hello, &fault)
              == CLIENT_HELLO_MORE);
    }
    CHECK(client_hello_read(whole, scratch, &hello, &fault) == CLIENT_HELLO_OK);
    CHECK(read_made(&(struct making){.name = "a.example", .cut = 1}, &hello) == CLIENT_HELLO_MORE);
    whole = make(&(struct making){.name = "a.example"}, bytes);
    bytes[5 + 4 + 2 + 32 + 1 + 1] = 9; /* more ciphers than there are */
    CHECK(client_hello_read(whole, scratch, &hello, &fault) == CLIENT_HELLO_MALFORMED);
}
