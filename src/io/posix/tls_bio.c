/*
 * How OpenSSL reaches a descriptor: one BIO for all connections of the process, pointed at the one
 * whose turn it is. A BIO for each would cost each idle connection some hundred bytes for nothing.
 */
#include "io/posix/inside.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <string.h>
#include <sys/socket.h>

/* One thread: between tls_bio_use and the call of OpenSSL nothing else happens. */
static struct {
    BIO *bio;
    int fd;
} link_to = {.fd = -1};

static bool is_for_later(int error)
{
    return error == EAGAIN || error == EINTR;
}

static int send_some(BIO *bio, const char *at, int len)
{
    BIO_clear_retry_flags(bio);
    if (len <= 0) {
        return 0;
    }
    ssize_t sent = send(link_to.fd, at, (size_t)len, MSG_NOSIGNAL);
    if (sent < 0 && is_for_later(errno)) {
        BIO_set_retry_write(bio);
    }
    return (int)sent;
}

static int receive_some(BIO *bio, char *to, int cap)
{
    BIO_clear_retry_flags(bio);
    if (cap <= 0) {
        return 0;
    }
    ssize_t got = recv(link_to.fd, to, (size_t)cap, 0);
    if (got < 0 && is_for_later(errno)) {
        BIO_set_retry_read(bio);
    }
    if (got == 0) {
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    }
    return (int)got;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP: return 1;
    case BIO_CTRL_EOF: return (BIO_test_flags(bio, BIO_FLAGS_IN_EOF) & BIO_FLAGS_IN_EOF) != 0;
    default: return 0;
    }
}

static BIO *make(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    INVARIANT(method != NULL);
    INVARIANT(BIO_meth_set_write(method, send_some) == 1);
    INVARIANT(BIO_meth_set_read(method, receive_some) == 1);
    INVARIANT(BIO_meth_set_ctrl(method, control) == 1);
    BIO *bio = BIO_new(method); /* both live as long as the process */
    INVARIANT(bio != NULL);
    BIO_set_init(bio, 1);
    return bio;
}

void tls_bio_give(SSL *ssl)
{
    if (link_to.bio == NULL) {
        link_to.bio = make();
    }
    INVARIANT(BIO_up_ref(link_to.bio) == 1 && BIO_up_ref(link_to.bio) == 1);
    SSL_set0_rbio(ssl, link_to.bio);
    SSL_set0_wbio(ssl, link_to.bio);
}

void tls_bio_use(int fd)
{
    link_to.fd = fd;
    BIO_clear_flags(link_to.bio, BIO_FLAGS_IN_EOF | BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
}
