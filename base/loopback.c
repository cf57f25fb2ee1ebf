#include "base/loopback.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define PORT_MOST   65535
#define PORT_DIGITS 9 /* more than any port has, less than a number holds */

static bool is_name (span_t a, const char *name)
{
    return a.size == strlen (name) && strncasecmp (a.data, name, a.size) == 0;
}

bool loopback_host (span_t host)
{
    char text[64];
    struct in_addr v4;
    struct in6_addr v6;
    if (host.size && host.data[0] == '[') {
        const char *close = memchr (host.data, ']', host.size);
        if (!close || (size_t)(close - host.data) >= sizeof text)
            return false;
        snprintf (text, sizeof text, "%.*s", (int)(close - host.data - 1), host.data + 1);
        return inet_pton (AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK (&v6);
    }
    const char *colon = host.size ? memchr (host.data, ':', host.size) : NULL;
    if (colon)
        host.size = (size_t)(colon - host.data);
    if (!host.size || host.size >= sizeof text)
        return false;
    if (is_name (host, "localhost"))
        return true;
    snprintf (text, sizeof text, "%.*s", SPAN_ARG (host));
    return inet_pton (AF_INET, text, &v4) == 1 && ntohl (v4.s_addr) >> 24 == 127;
}

int loopback_refuse (const char *what, const char *address, err_t *err)
{
    return err_set (err, ERR_CONFIG,
                    "%s '%s' is not a loopback address: without users only 127.0.0.1, [::1] or localhost are served",
                    what, address);
}

int loopback_port (const char *what, const char *address, bool any, err_t *err)
{
    const char *colon = strrchr (address, ':'), *port = colon ? colon + 1 : "";
    size_t digits = strspn (port, "0123456789");
    if (any && strcmp (port, "*") == 0)
        return 0;
    if (!digits || port[digits] || digits > PORT_DIGITS || strtoul (port, NULL, 10) > PORT_MOST)
        return err_set (err, ERR_CONFIG, "%s '%s' must end in a port from 0 (any) to %d", what, address, PORT_MOST);
    return 0;
}

int loopback_endpoint (const char *what, const char *endpoint, err_t *err)
{
    if (strncmp (endpoint, "ipc://", 6) == 0 && endpoint[6])
        return 0;
    if (strncmp (endpoint, "tcp://", 6) != 0)
        return err_set (err, ERR_CONFIG, "%s '%s' must be tcp://ADDRESS:PORT or ipc://PATH", what, endpoint);
    if (!loopback_host (span_str (endpoint + 6)))
        return loopback_refuse (what, endpoint, err);
    return loopback_port (what, endpoint, true, err);
}
