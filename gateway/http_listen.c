#include "gateway/http_listen.h"
#include "base/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

/*  Cuts at the last colon. */
static int split (const char *address, char host[64], char port[8], err_t *err)
{
    const char *colon = strrchr (address, ':');
    size_t size = colon ? (size_t)(colon - address) : 0;
    if (!colon || size == 0 || size >= 64 || strlen (colon + 1) >= 8 || strspn (colon + 1, "0123456789") == 0 ||
        colon[1 + strspn (colon + 1, "0123456789")])
        return err_set (err, ERR_CONFIG, "'%s' must be ADDRESS:PORT", address);
    snprintf (host, 64, "%.*s", (int)size, address);
    snprintf (port, 8, "%s", colon + 1);
    return 0;
}

static int bind_to (http_listen_t *self, const struct addrinfo *found, const char *address, err_t *err)
{
    int one = 1;
    self->fd = socket (found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (self->fd == -1)
        return err_set_errno (err, ERR_IO, errno, "cannot make a socket");
    setsockopt (self->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind (self->fd, found->ai_addr, found->ai_addrlen) == -1 || listen (self->fd, BACKLOG) == -1)
        return err_set_errno (err, ERR_IO, errno, "cannot listen on %s", address);
    return 0;
}

static void name_url (http_listen_t *self)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char host[INET6_ADDRSTRLEN] = "";
    getsockname (self->fd, (struct sockaddr *)&bound, &size);
    if (bound.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)&bound;
        inet_ntop (AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf (self->url, sizeof self->url, "http://[%s]:%u", host, ntohs (v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const void *)&bound;
        inet_ntop (AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf (self->url, sizeof self->url, "http://%s:%u", host, ntohs (v4->sin_port));
    }
}

int http_listen (http_listen_t *self, const char *address, err_t *err)
{
    char host[64], port[8];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found = NULL;
    int rc = -1;
    self->fd = -1;
    if (split (address, host, port, err) == -1)
        return -1;
    if (!loopback_host (span_str (host)))
        return loopback_refuse ("the HTTP address", address, err);
    if (loopback_port ("the HTTP address", address, false, err) == -1)
        return -1;
    size_t size = strlen (host);
    const char *name = host;
    if (host[0] == '[') {
        host[size - 1] = 0;
        name = host + 1;
    }
    /* localhost: IPv4, as everything else here */
    int failed = getaddrinfo (strcasecmp (name, "localhost") == 0 ? "127.0.0.1" : name, port, &hints, &found);
    if (failed) {
        err_set (err, ERR_CONFIG, "cannot listen on %s: %s", address, gai_strerror (failed));
        goto out;
    }
    if (bind_to (self, found, address, err) == -1)
        goto out;
    name_url (self);
    rc = 0;
out:
    if (found)
        freeaddrinfo (found);
    if (rc == -1 && self->fd != -1) {
        close (self->fd);
        self->fd = -1;
    }
    return rc;
}
