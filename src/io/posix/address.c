#include "io/posix/inside.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool address_is_local(const char *address, const char **path)
{
    static const char scheme[] = "unix:";
    if (strncmp(address, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    *path = address + sizeof scheme - 1;
    return true;
}

static bool is_port_number(const char *text)
{
    size_t len = strspn(text, "0123456789");
    return len > 0 && len <= 5 && text[len] == '\0' && strtoul(text, NULL, 10) <= UINT16_MAX;
}

/* "HOST:PORT" or "[V6]:PORT"; the brackets go. */
bool address_split(const char *address, char *host, size_t host_cap, char *service, size_t cap)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || !is_port_number(colon + 1) || strlen(colon + 1) >= cap) {
        return false;
    }
    const char *from = address;
    size_t len = (size_t)(colon - address);
    if (len >= 2 && from[0] == '[' && from[len - 1] == ']') {
        from++;
        len -= 2;
    } else if (memchr(from, ':', len) != NULL) {
        return false; /* an IPv6 address without brackets */
    }
    if (len == 0 || len >= host_cap) {
        return false;
    }
    memcpy(host, from, len);
    host[len] = '\0';
    memcpy(service, colon + 1, strlen(colon + 1) + 1);
    return true;
}

bool address_numeric(const char *host, const char *service, struct endpoint *out)
{
    struct endpoint made = {0};
    in_port_t number = htons((uint16_t)strtoul(service, NULL, 10));
    if (inet_pton(AF_INET, host, &made.at.v4.sin_addr) == 1) {
        made.at.v4.sin_family = AF_INET;
        made.at.v4.sin_port = number;
        made.len = sizeof made.at.v4;
    } else if (inet_pton(AF_INET6, host, &made.at.v6.sin6_addr) == 1) {
        made.at.v6.sin6_family = AF_INET6;
        made.at.v6.sin6_port = number;
        made.len = sizeof made.at.v6;
    } else {
        return false;
    }
    *out = made;
    return true;
}

bool address_of_path(const char *path, struct endpoint *out)
{
    struct endpoint made = {0};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof made.at.local.sun_path) {
        return false;
    }
    made.at.local.sun_family = AF_UNIX;
    memcpy(made.at.local.sun_path, path, len + 1);
    made.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    *out = made;
    return true;
}

void address_describe(const union socket_address *at, char *text, size_t cap)
{
    char host[INET6_ADDRSTRLEN] = "?";
    switch (at->any.sa_family) {
    case AF_INET:
        (void)inet_ntop(AF_INET, &at->v4.sin_addr, host, sizeof host);
        (void)snprintf(text, cap, "%s:%u", host, ntohs(at->v4.sin_port));
        break;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &at->v6.sin6_addr, host, sizeof host);
        (void)snprintf(text, cap, "[%s]:%u", host, ntohs(at->v6.sin6_port));
        break;
    default: (void)snprintf(text, cap, "local"); break;
    }
}

void address_source(const union socket_address *at, uint8_t source[PORT_SOURCE_LEN])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 2.5.5.2 */
    memset(source, 0, PORT_SOURCE_LEN);
    if (at->any.sa_family == AF_INET) {
        memcpy(source, mapped, sizeof mapped);
        memcpy(source + sizeof mapped, &at->v4.sin_addr, 4);
    } else if (at->any.sa_family == AF_INET6) {
        bool is_mapped = memcmp(&at->v6.sin6_addr, mapped, sizeof mapped) == 0;
        memcpy(source, &at->v6.sin6_addr, is_mapped ? PORT_SOURCE_LEN : PORT_SOURCE_LEN / 2);
    }
}
