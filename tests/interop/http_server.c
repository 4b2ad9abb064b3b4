/*
 * tests/interop/http_server.c: the HTTP API over a data node, without a daemon around it: http_server DIR [option=value]…
 *
 * Prints its port, and serves until its standard input ends; a byte of it is a reload. Options: auth=1, secret=…, max_body=N, max_row_limit=N, socket=PATH,
 * cert=FILE, key=FILE, log=1, slow=NANOSECONDS, timeout=NANOSECONDS, threads=N.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/time.h"
#include "cluster/data_node.h"
#include "net/server.h"

#include "base/banned.h"

static void on_log(void *ctx, const char *message)
{
    (void)ctx;
    fprintf(stderr, "%s\n", message);
}

static uint64_t number(const char *s)
{
    uint64_t v = 0;
    return tsm_parse_uint(tsm_str_of(s), &v) ? v : 0;
}

static void take(struct tsm_server_options *o, const char *arg)
{
    static const char *const names[] = {"auth", "secret", "max_body", "max_row_limit", "socket",  "cert",
                                        "key",  "log",    "slow",     "timeout",       "threads", "bind"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (strncmp(arg, names[i], n) != 0 || arg[n] != '=')
            continue;
        const char *v = arg + n + 1;
        switch (i) {
        case 0:
            o->auth_enabled = number(v) != 0;
            return;
        case 1:
            o->jwt_secret = v;
            return;
        case 2:
            o->max_body = number(v);
            return;
        case 3:
            o->max_row_limit = number(v);
            return;
        case 4:
            o->socket_path = v;
            return;
        case 5:
            o->tls_certificate = v;
            return;
        case 6:
            o->tls_key = v;
            return;
        case 7:
            o->log_requests = number(v) != 0;
            return;
        case 8:
            o->log_queries_after = (int64_t)number(v);
            return;
        case 9:
            o->query_timeout = (int64_t)number(v);
            return;
        case 10:
            o->threads = (unsigned)number(v);
            return;
        default:
            o->bind = v;
            return;
        }
    }
    fprintf(stderr, "unknown option %s\n", arg);
    exit(2);
}

int main(int argc, char **argv)
{
    struct tsm_err err = {0};
    struct tsm_data_node *node = NULL;
    struct tsm_server *server = NULL;
    struct tsm_server_options so = {
        .bind = "127.0.0.1:0",
        .query_threads = 2,
        .max_body = 25000000,
        .query_memory = 512 << 20,
        .log = on_log,
    };
    if (argc < 2)
        return 2;
    for (int i = 2; i < argc; i++)
        take(&so, argv[i]);
    struct tsm_data_node_options no = {
        .fs = &tsm_fs_posix,
        .dir = argv[1],
        .memory = 128 << 20,
        .flush_interval = 600 * TSM_SEC,
        .jobs = 2,
        .tasks = tsm_tasks_new(0),
        .log = on_log,
    };
    if (tsm_data_node_open(&no, &node, &err) != TSM_OK ||
        tsm_server_start(&so, tsm_data_node_service(node), &server, &err) != TSM_OK) {
        fprintf(stderr, "http_server: %s\n", err.msg);
        return 1;
    }
    printf("%u\n", tsm_server_port(server));
    fflush(stdout);
    char c;
    while (read(STDIN_FILENO, &c, 1) > 0)
        if (tsm_server_reload(server, &so, &err) != TSM_OK)
            fprintf(stderr, "http_server: reload: %s\n", err.msg);
    tsm_server_stop(server, TSM_SEC);
    int rc = tsm_data_node_close(node, &err);
    if (rc != TSM_OK)
        fprintf(stderr, "http_server: %s\n", err.msg);
    tsm_tasks_free(no.tasks);
    return rc == TSM_OK ? 0 : 1;
}
