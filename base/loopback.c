#include "base/loopback.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

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

int loopback_endpoint (const char *what, const char *endpoint, err_t *err)
{
    if (strncmp (endpoint, "ipc://", 6) == 0 || strncmp (endpoint, "inproc://", 9) == 0)
        return 0;
    if (strncmp (endpoint, "tcp://", 6) != 0)
        return err_set (err, ERR_CONFIG, "%s '%s' must be tcp://ADDRESS:PORT or ipc://PATH", what, endpoint);
    return loopback_host (span_str (endpoint + 6)) ? 0 : loopback_refuse (what, endpoint, err);
}
