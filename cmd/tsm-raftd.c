/*
 * tsm-raftd: InfluxDB's HTTP API over a data directory, with a raft log as its write-ahead log.
 */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/time.h"
#include "cli/config.h"
#include "cli/options.h"
#include "cluster/data_node.h"
#include "net/server.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum {
    LEAST_MEMORY_MB = 64,
    LOG_SHARE = 8, /* of the memory */
    PENDING_SHARE = 8,
    REST_MB = 16,
    GRACE_SECONDS = 10,
};

/* Says which version of InfluxDB's API this is. */
#define API_VERSION "1.8.10"

struct values {
    struct tsm_common common;
    const char *bind, *socket, *address, *reserve, *tls_certificate, *tls_key, *jwt_secret;
    bool auth, ping_auth, metrics_auth, log_requests, flush;
    int64_t flush_interval, retention_interval, continuous_interval, query_timeout, log_queries_after;
    uint64_t threads, max_connections, max_body, max_rows, query_memory, max_queries, max_points, max_series,
        max_buckets;
};

static const struct values defaults = {
    .common = {.data = "./tsm-data", .memory = (uint64_t)512 << 20},
    .bind = "127.0.0.1:8086",
    .socket = "yes",
    .address = "127.0.0.1:8088",
    .reserve = "",
    .flush_interval = 10 * TSM_MINUTE,
    .retention_interval = 30 * TSM_MINUTE,
    .continuous_interval = TSM_SEC,
    .max_connections = 10000,
    .max_body = 25000000,
    .query_memory = (uint64_t)512 << 20,
};

static struct values opt;

static const struct tsm_option options[] = {
    TSM_OPT_DATA(&opt.common),
    TSM_OPT_CONFIG(&opt.common),
    {0, "bind", TSM_OPT_STRING, "ADDRESS",
     "HTTP, as HOST:PORT or :PORT; none: no TCP (default 127.0.0.1:8086)", NULL, NULL, &opt.bind},
    {0, "socket", TSM_OPT_CHOICE, "WHETHER", "HTTP on the Unix socket DIR/raftd.sock, too (default yes)",
     "yes no", NULL, &opt.socket},
    {0, "tls-certificate", TSM_OPT_STRING, "FILE", "serve HTTPS with this certificate (PEM)", NULL, NULL,
     &opt.tls_certificate},
    {0, "tls-key", TSM_OPT_STRING, "FILE", "the certificate's private key (PEM)", NULL, NULL, &opt.tls_key},
    {0, "auth", TSM_OPT_FLAG, NULL, "requests over TCP need the credentials of a user", NULL, NULL,
     &opt.auth},
    {0, "ping-auth", TSM_OPT_FLAG, NULL, "with --auth: /ping and /health need them, too", NULL, NULL,
     &opt.ping_auth},
    {0, "metrics-auth", TSM_OPT_FLAG, NULL, "with --auth: /metrics and /debug/vars need them, too", NULL,
     NULL, &opt.metrics_auth},
    {0, "jwt-secret", TSM_OPT_STRING, "TEXT", "accept JSON web tokens that are signed with this", NULL,
     "TSM_JWT_SECRET", &opt.jwt_secret},
    {0, "threads", TSM_OPT_COUNT, "N", "threads that serve HTTP (default: online CPUs)", NULL, NULL,
     &opt.threads},
    {0, "max-connections", TSM_OPT_COUNT, "N", "connections at a time (default 10000)", NULL, NULL,
     &opt.max_connections},
    {0, "max-body-size", TSM_OPT_SIZE, "SIZE", "largest body of a request; 0: any (default 25000000)", NULL,
     NULL, &opt.max_body},
    {0, "max-row-limit", TSM_OPT_COUNT, "N", "rows of an answer that is not chunked; 0: any (default 0)",
     NULL, NULL, &opt.max_rows},
    {0, "query-memory", TSM_OPT_SIZE, "SIZE", "memory limit of one query (default 512M)", NULL, NULL,
     &opt.query_memory},
    {0, "query-timeout", TSM_OPT_DURATION, "INTERVAL", "longest run of a query; 0: any (default 0)", NULL,
     NULL, &opt.query_timeout},
    {0, "max-concurrent-queries", TSM_OPT_COUNT, "N", "queries at a time; 0: any number (default 0)", NULL,
     NULL, &opt.max_queries},
    {0, "max-select-points", TSM_OPT_COUNT, "N", "values that a SELECT may read; 0: any number (default 0)",
     NULL, NULL, &opt.max_points},
    {0, "max-select-series", TSM_OPT_COUNT, "N", "series that a SELECT may read; 0: any number (default 0)",
     NULL, NULL, &opt.max_series},
    {0, "max-select-buckets", TSM_OPT_COUNT, "N", "intervals of GROUP BY time(); 0: any number (default 0)",
     NULL, NULL, &opt.max_buckets},
    {0, "log-queries-after", TSM_OPT_DURATION, "INTERVAL", "log queries that ran longer; 0: none (default 0)",
     NULL, NULL, &opt.log_queries_after},
    {0, "log-requests", TSM_OPT_FLAG, NULL, "log every request, a line each", NULL, NULL, &opt.log_requests},
    {0, "flush-interval", TSM_OPT_DURATION, "INTERVAL",
     "write points to TSM files after so long at the latest (default 10m; 0s: never by time)", NULL, NULL,
     &opt.flush_interval},
    {0, "retention-interval", TSM_OPT_DURATION, "INTERVAL",
     "look for expired shards so often (default 30m; 0s: never)", NULL, NULL, &opt.retention_interval},
    {0, "continuous-interval", TSM_OPT_DURATION, "INTERVAL",
     "look for continuous queries that are due so often (default 1s; 0s: never)", NULL, NULL,
     &opt.continuous_interval},
    {0, "reserve", TSM_OPT_STRING, "SIZE",
     "free space to leave on the disk, as 1G or 10% (default 256M or 5%, whichever is less)", NULL, NULL,
     &opt.reserve},
    {0, "raft-address", TSM_OPT_STRING, "ADDRESS", "this node's, as HOST:PORT; kept by the first start", NULL,
     NULL, &opt.address},
    {0, "flush", TSM_OPT_FLAG, NULL, "take what is in the log alone into TSM files, and exit", NULL, NULL,
     &opt.flush},
    TSM_OPT_JOBS(&opt.common),
    TSM_OPT_MEMORY(&opt.common),
    TSM_OPT_QUIET(&opt.common),
};

/* What a running daemon takes from its configuration when it gets SIGHUP. */
static const char *const reloaded[] = {
    "tls-certificate",
    "tls-key",
    "auth",
    "ping-auth",
    "metrics-auth",
    "jwt-secret",
    "max-body-size",
    "max-row-limit",
    "query-memory",
    "query-timeout",
    "max-select-points",
    "max-select-series",
    "jobs",
    "max-select-buckets",
    "log-queries-after",
    "log-requests",
    "quiet",
};

static const struct tsm_program program = {
    .name = "tsm-raftd",
    .synopsis = "[OPTION]...",
    .summary = "Serve a data directory over InfluxDB 1.8's HTTP API. What is acknowledged is in the raft "
               "log, fsynced.",
    .details =
        "signals: TERM and INT stop it cleanly, HUP reads the configuration again\n"
        "\n"
        "examples:\n"
        "  tsm-raftd -d /srv/tsm\n"
        "  tsm-raftd -c /etc/tsm-raftd.yaml\n"
        "  tsm-raftd --flush -d /srv/tsm\n"
        "\n"
        "exit status: 0 stopped cleanly, 1 failed, 2 wrong usage, 5 damage was found, 75 another process\n"
        "holds the data directory\n",
    .options = options,
    .noptions = sizeof options / sizeof *options,
    .common = &opt.common,
};

/* ---- telling ---- */

/* A line on stderr; journald adds the time itself. */
static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
    struct tsm_buf b = {0};
    char time[TSM_TIME_TEXT_MAX], text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!getenv("JOURNAL_STREAM"))
        tsm_buf_printf(&b, "%.*s ", (int)tsm_format_rfc3339_seconds(time, tsm_now() / TSM_SEC), time);
    tsm_buf_printf(&b, "%s: %s\n", program.name, text);
    ssize_t n = write(STDERR_FILENO, b.data, b.len); /* at once: several threads tell */
    (void)n;
    tsm_buf_release(&b);
}

static void log_line(void *ctx, const char *message)
{
    (void)ctx;
    say("%s", message);
}

/* To whoever started the service (sd_notify(3)), if that wants to know. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!path || !*path || strlen(path) >= sizeof a.sun_path)
        return;
    memcpy(a.sun_path, path, strlen(path));
    if (*path == '@')
        a.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&a, n);
    (void)sent;
    close(fd);
}

/* ---- options ---- */

static struct tsm_reserve reserve(void)
{
    struct tsm_reserve r = TSM_RESERVE_DEFAULT;
    if (*opt.reserve && !tsm_reserve_parse(tsm_str_of(opt.reserve), &r))
        tsm_usage(&program, "option --reserve: '%s' is neither a size nor a percentage", opt.reserve);
    return r;
}

static const char *given(const char *text)
{
    return text && *text ? text : NULL;
}

static bool serves_tcp(void)
{
    return *opt.bind && strcmp(opt.bind, "none") != 0;
}

/* What is wrong with the options as a whole; NULL: nothing. */
static const char *fault_of_options(void)
{
    if (opt.common.memory < (uint64_t)LEAST_MEMORY_MB << 20)
        return "option --memory: at least 64M";
    if (!given(opt.tls_certificate) != !given(opt.tls_key))
        return "the options --tls-certificate and --tls-key belong together";
    if (!serves_tcp() && strcmp(opt.socket, "no") == 0)
        return "with --bind none and --socket no there is nothing to serve";
    return NULL;
}

static struct tsm_server_options server_options(const char *socket_path)
{
    return (struct tsm_server_options){
        .bind = serves_tcp() ? opt.bind : NULL,
        .socket_path = socket_path,
        .tls_certificate = given(opt.tls_certificate),
        .tls_key = given(opt.tls_key),
        .auth_enabled = opt.auth,
        .jwt_secret = given(opt.jwt_secret),
        .ping_auth = opt.ping_auth,
        .metrics_auth = opt.metrics_auth,
        .threads = (unsigned)opt.threads,
        .query_threads = tsm_jobs(&program),
        .max_connections = opt.max_connections,
        .max_body = opt.max_body,
        .max_row_limit = opt.max_rows,
        .query_memory = opt.query_memory,
        .query_timeout = opt.query_timeout,
        .max_select_points = opt.max_points,
        .max_select_series = opt.max_series,
        .max_select_buckets = opt.max_buckets,
        .log_queries_after = opt.log_queries_after,
        .log_requests = opt.log_requests,
        .version = API_VERSION,
        .log = log_line,
    };
}

static struct tsm_data_node_options node_options(struct tsm_tasks *tasks)
{
    size_t log = opt.common.memory / LOG_SHARE, pending = opt.common.memory / PENDING_SHARE;
    return (struct tsm_data_node_options){
        .fs = &tsm_fs_posix,
        .dir = opt.common.data,
        .memory = opt.common.memory - log - pending - ((size_t)REST_MB << 20),
        .log_memory = log,
        .pending = pending,
        .flush_interval = opt.flush_interval,
        .retention_interval = opt.retention_interval,
        .continuous_interval = opt.continuous_interval,
        .query_memory = opt.query_memory,
        .address = opt.address,
        .jobs = tsm_jobs(&program),
        .reserve = reserve(),
        .tasks = tasks,
        .log = log_line,
    };
}

/* ---- reading the configuration again ---- */

static bool same_value(const struct tsm_option *o, const struct values *old)
{
    size_t at = (size_t)((const char *)o->value - (const char *)&opt);
    const void *before = (const char *)old + at;
    switch (o->kind) {
    case TSM_OPT_FLAG:
        return *(const bool *)before == *(bool *)o->value;
    case TSM_OPT_SIZE:
    case TSM_OPT_COUNT:
    case TSM_OPT_DURATION:
        return memcmp(before, o->value, sizeof(uint64_t)) == 0;
    case TSM_OPT_STRING:
    case TSM_OPT_CHOICE:
        break;
    }
    const char *a = *(const char *const *)before, *b = *(const char **)o->value;
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_reloaded(const char *name)
{
    for (size_t i = 0; i < sizeof reloaded / sizeof *reloaded; i++)
        if (strcmp(reloaded[i], name) == 0)
            return true;
    return false;
}

static void reload(struct tsm_server *server, const char *socket_path, int argc, char **argv)
{
    struct values before = opt;
    struct tsm_err err = {0};
    notify("RELOADING=1");
    opt = defaults;
    opt.common.texts = before.common.texts;
    /* The file first by itself: a fault in it must not end the daemon. */
    int rc = before.common.config ? tsm_config_read(&program, before.common.config, &err) : TSM_OK;
    if (rc == TSM_OK)
        tsm_options_parse(&program, argc, argv);
    const char *fault = rc == TSM_OK ? fault_of_options() : err.msg;
    struct tsm_arena texts = opt.common.texts;
    if (fault) {
        say("%s; going on with the configuration as it was", fault);
        opt = before;
    }
    for (size_t i = 0; i < program.noptions && !fault; i++)
        if (!is_reloaded(options[i].name) && !same_value(&options[i], &before))
            say("option --%s has changed: that needs a restart", options[i].name);
    opt.common.texts = texts;
    if (!fault) {
        struct tsm_server_options o = server_options(socket_path);
        if (tsm_server_reload(server, &o, &err) != TSM_OK)
            say("%s; going on with the configuration as it was", err.msg);
        else
            say("the configuration was read again");
    }
    notify("READY=1");
}

/* ---- the work ---- */

static sigset_t signals;

/* All threads have these blocked; the main thread waits for them. */
static void block_signals(void)
{
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    /* Clients that go away, and a limit on the size of files, must not end it. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static void serve(struct tsm_server *server, const char *socket_path, int argc, char **argv)
{
    int sig;
    do {
        if (sigwait(&signals, &sig) == 0 && sig == SIGHUP)
            reload(server, socket_path, argc, argv);
    } while (sig == SIGHUP);
    say("stopping");
    notify("STOPPING=1");
}

static int failure(const struct tsm_err *err, int rc)
{
    tsm_complain(&program, "%s", err->msg);
    return tsm_exit_status(rc);
}

static int close_node(struct tsm_data_node *node, int status)
{
    struct tsm_err err = {0};
    int rc = tsm_data_node_close(node, &err);
    if (rc == TSM_OK)
        return status;
    say("%s", err.msg);
    say("not everything is in files; what was acknowledged is in the log, the next start takes it from "
        "there");
    return TSM_EXIT_FAILED;
}

/* --flush */
static int flush(void)
{
    struct tsm_err err = {0};
    struct tsm_data_node *node;
    if (tsm_data_unflushed(&tsm_fs_posix, opt.common.data, NULL) == TSM_OK) {
        if (!opt.common.quiet)
            say("%s: everything is in files", opt.common.data);
        return TSM_EXIT_OK;
    }
    struct tsm_data_node_options o = node_options(NULL);
    o.retention_interval = o.continuous_interval = 0;
    int rc = tsm_data_node_open(&o, &node, &err);
    return rc == TSM_OK ? close_node(node, TSM_EXIT_OK) : failure(&err, rc);
}

static int run(int argc, char **argv)
{
    struct tsm_err err = {0};
    struct tsm_data_node *node;
    struct tsm_server *server;
    struct tsm_tasks *tasks = tsm_tasks_new(opt.max_queries);
    struct tsm_data_node_options o = node_options(tasks);
    int64_t began = tsm_monotonic();
    int status = TSM_EXIT_OK;
    int rc = tsm_data_node_open(&o, &node, &err);
    if (rc != TSM_OK) {
        tsm_tasks_free(tasks);
        return failure(&err, rc);
    }
    char *path = strcmp(opt.socket, "yes") == 0 ? tsm_path_socket(opt.common.data) : NULL;
    if (path)
        unlink(path); /* this process has the lock: whoever made it is gone */
    struct tsm_server_options s = server_options(path);
    rc = tsm_server_start(&s, tsm_data_node_service(node), &server, &err);
    if (rc == TSM_OK) {
        if (!opt.common.quiet && s.bind)
            say("%s: ready on %.*s:%u after %.3f s", opt.common.data,
                (int)(strrchr(s.bind, ':') ? strrchr(s.bind, ':') - s.bind : (long)strlen(s.bind)), s.bind,
                tsm_server_port(server), (double)(tsm_monotonic() - began) / 1e9);
        notify("READY=1");
        serve(server, path, argc, argv);
        tsm_server_stop(server, GRACE_SECONDS * TSM_SEC);
    } else {
        status = failure(&err, rc);
    }
    if (path)
        unlink(path);
    status = close_node(node, status);
    tsm_tasks_free(tasks);
    tsm_free(path);
    if (status == TSM_EXIT_OK && !opt.common.quiet)
        say("stopped; everything is in files");
    return status;
}

int main(int argc, char **argv)
{
    tsm_program_start();
    opt = defaults;
    int first = tsm_options_parse(&program, argc, argv);
    if (first < argc)
        tsm_usage(&program, "unexpected operand '%s'", argv[first]);
    const char *fault = fault_of_options();
    if (fault)
        tsm_usage(&program, "%s", fault);
    block_signals();
    /* Large pieces of memory go back to the system when freed; what a write takes is wanted again at once. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 32 << 20);
    return opt.flush ? flush() : run(argc, argv);
}
