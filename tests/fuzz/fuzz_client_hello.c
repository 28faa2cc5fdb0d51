/* A first message in any cutting: read at once and octet by octet it says the same. */
#include "base/invariant.h"
#include "codec/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t scratch[CLIENT_HELLO_MAX];
    struct client_hello hello = {0};
    struct fault fault = {0};
    enum client_hello_result whole =
        client_hello_read(slice_of(data, size), scratch, &hello, &fault);
    INVARIANT(whole != CLIENT_HELLO_MALFORMED || fault.clause != NULL);
    INVARIANT(hello.server_name.len <= SERVER_NAME_MAX);
    for (size_t len = 0; len < size && len < 1024; len++) {
        struct client_hello early = {0};
        enum client_hello_result result =
            client_hello_read(slice_of(data, len), scratch, &early, &fault);
        if (result != CLIENT_HELLO_MORE) { /* more octets never change what was decided */
            INVARIANT(result == whole);
            break;
        }
    }
    return 0;
}
