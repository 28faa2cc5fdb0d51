#include "io/posix/inside.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static enum io_outcome broken_by(struct port_conn *conn, int error)
{
    conn->reason = PORT_CLOSE_RESET;
    conn->detail = strerror(error);
    return IO_BROKEN;
}

static enum io_outcome plain_read(struct port_conn *conn, uint8_t *to, size_t len, size_t *got)
{
    ssize_t result;
    do {
        result = recv(conn->fd, to, len, 0);
    } while (result < 0 && errno == EINTR);
    if (result > 0) {
        *got = (size_t)result;
        return *got < len ? IO_WAIT_READ : IO_DONE; /* a short read is the end of what is there */
    }
    if (result == 0) {
        return IO_END;
    }
    return errno == EAGAIN ? IO_WAIT_READ : broken_by(conn, errno);
}

static enum io_outcome plain_write(struct port_conn *conn, struct slice bytes, size_t *written)
{
    ssize_t result;
    do {
        result = send(conn->fd, bytes.at, bytes.len, MSG_NOSIGNAL);
    } while (result < 0 && errno == EINTR);
    if (result >= 0) {
        *written = (size_t)result;
        return IO_DONE;
    }
    return errno == EAGAIN ? IO_WAIT_WRITE : broken_by(conn, errno);
}

enum io_outcome transport_read(struct port_conn *conn, uint8_t *to, size_t len, size_t *got)
{
    return conn->ssl != NULL ? tls_read(conn, to, len, got) : plain_read(conn, to, len, got);
}

enum io_outcome transport_write(struct port_conn *conn, struct slice bytes, size_t *written)
{
    return conn->ssl != NULL ? tls_write(conn, bytes, written) : plain_write(conn, bytes, written);
}

void transport_end(struct port_conn *conn)
{
    if (conn->ssl != NULL) {
        tls_end(conn);
    }
    (void)shutdown(conn->fd, SHUT_WR);
}
