#include "io/sqlite/test_port.h"

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

struct port *test_port(void)
{
    static struct port *port;
    if (port == NULL) {
        port = port_open(on_event, NULL);
    }
    return port;
}
