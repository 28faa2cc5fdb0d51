/*
 * The first message of a TLS client, as far as somebody in the middle may understand it: which
 * server it wishes to reach (RFC 6066 3), and whether it speaks TLS 1.3 (RFC 8446 4.2.1). Nothing
 * is decrypted and nothing is changed.
 */
#ifndef CODEC_CLIENT_HELLO_H
#define CODEC_CLIENT_HELLO_H

#include "base/fault.h"
#include "base/slice.h"

enum {
    CLIENT_HELLO_MAX = 8192,       /* bytes of records a client may send before it must be whole */
    CLIENT_HELLO_RECORDS_MAX = 16, /* that it may be cut into */
    SERVER_NAME_MAX = 255          /* RFC 1035 2.3.4 */
};

enum client_hello_result {
    CLIENT_HELLO_OK = 0,
    CLIENT_HELLO_MORE,     /* right so far, not whole yet */
    CLIENT_HELLO_MALFORMED /* not the beginning of a TLS connection: fault.clause says why */
};

struct client_hello {
    struct slice server_name; /* a DNS name in lower or upper case as sent; empty: none was sent */
    bool offers_tls_1_3;
};

/*
 * `bytes` is all that has come, from the first byte of the connection. A message in more than one
 * record is put together in `scratch`, which must live as long as `out`; otherwise slices borrow
 * from `bytes`. What follows the message is not looked at.
 */
MUST_USE enum client_hello_result client_hello_read(struct slice bytes,
                                                    uint8_t scratch[CLIENT_HELLO_MAX],
                                                    struct client_hello *out,
                                                    struct fault *fault);

#endif
