/*  myelin-gateway: HTTP and ZeroMQ clients on one side, the broker and the storage on the other. */
#include "base/log.h"
#include "base/options.h"
#include "gateway/gateway.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const option_t table[] = {
    { "http", OPTION_TEXT, "127.0.0.1:8750", "ADDRESS:PORT", "serve HTTP there; port 0 picks a free one" },
    { "req", OPTION_TEXT, "tcp://127.0.0.1:8751", "ENDPOINT", "serve ZeroMQ REQ and DEALER clients there" },
    { "broker", OPTION_TEXT, NULL, "ENDPOINT", "the broker's ROUTER" },
    { "query", OPTION_TEXT, NULL, "ENDPOINT", "the storage's ROUTER" },
    { "feed", OPTION_TEXT, NULL, "ENDPOINT", "the broker's XPUB" },
    { "data", OPTION_TEXT, NULL, "DIR", "data directory, for large documents" },
    { "max-upload", OPTION_SIZE, "100M", "BYTES", "largest document that is accepted" },
    { "disk-reserve", OPTION_SIZE, "64M", "BYTES", "refuse large documents when less than this is free" },
    { "log-level", OPTION_TEXT, "info", "LEVEL", "debug, info, warn or error" },
    { 0 },
};

static int configure (const options_t *options, gateway_config_t *config, err_t *err)
{
    static const char *const needed[] = { "broker", "query", "feed", "data" };
    log_level_t level;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!options_text (options, needed[i]))
            return err_set (err, ERR_CONFIG, "--%s is required", needed[i]);
    if (log_level_parse (options_text (options, "log-level"), &level) == -1)
        return err_set (err, ERR_CONFIG, "--log-level must be debug, info, warn or error");
    log_init ("myelin-gateway", level);
    *config = (gateway_config_t){
        .http = options_text (options, "http"),
        .req = options_text (options, "req"),
        .broker = options_text (options, "broker"),
        .query = options_text (options, "query"),
        .feed = options_text (options, "feed"),
        .data_dir = options_text (options, "data"),
        .upload_max = options_number (options, "max-upload"),
        .disk_reserve_bytes = options_number (options, "disk-reserve"),
    };
    return 0;
}

/*  SIGTERM and SIGINT become readable. Before any thread is started, so that all of them inherit the mask. */
static int stop_signals (err_t *err)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGINT);
    signal (SIGPIPE, SIG_IGN);
    sigprocmask (SIG_BLOCK, &set, NULL);
    int fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd == -1 ? err_set_errno (err, ERR_IO, errno, "cannot receive signals") : fd;
}

int main (int argc, char **argv)
{
    err_t err;
    gateway_config_t config;
    gateway_t *gateway = NULL;
    int stop_fd = -1, rc = -1;
    log_init ("myelin-gateway", LOG_INFO);
    options_t *options = options_new (table, argc, argv, &err);
    if (!options)
        goto out;
    if (options_help_wanted (options)) {
        options_print_help (table, "myelin-gateway [OPTIONS]");
        rc = 0;
        goto out;
    }
    if (configure (options, &config, &err) == -1 || (stop_fd = stop_signals (&err)) == -1 ||
        !(gateway = gateway_new (&config, &err)))
        goto out;
    printf ("ready http=%s req=%s\n", gateway_http_url (gateway), gateway_req_endpoint (gateway));
    fflush (stdout);
    rc = gateway_run (gateway, stop_fd, &err);
out:
    int code = rc == -1 ? log_failed ("stopped", &err) : 0;
    gateway_destroy (&gateway);
    options_destroy (&options);
    if (stop_fd != -1)
        close (stop_fd);
    return code;
}
