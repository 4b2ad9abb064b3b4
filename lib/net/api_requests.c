/*
 * net/api_requests.c: /debug/requests: who sends how many writes and queries, counted for some seconds. Nothing is counted while
 * nobody asks.
 */
#include <inttypes.h>
#include <time.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/num.h"
#include "base/time.h"
#include "net/server_impl.h"

#include "base/banned.h"

enum {
    SECONDS = 10,
    SECONDS_MAX = 6 * 3600,
    PROFILES_MAX = 8,    /* at a time */
    CLIENTS_MAX = 100000 /* of one; more are left out */
};

struct client {
    struct tsm_str name; /* "address" or "user:address" */
    uint64_t writes, queries;
};

struct profile {
    struct profile *next;
    struct tsm_arena texts;
    struct tsm_map index; /* name to client */
    struct client *clients;
    size_t n, cap;
};

struct tsm_tracker {
    pthread_mutex_t mutex;
    struct profile *profiles;
    atomic_uint n;
};

struct tsm_tracker *tsm_tracker_new(void)
{
    struct tsm_tracker *t = tsm_calloc(1, sizeof *t);
    pthread_mutex_init(&t->mutex, NULL);
    return t;
}

void tsm_tracker_free(struct tsm_tracker *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->mutex);
    tsm_free(t);
}

static void count(struct profile *p, struct tsm_str name, bool write)
{
    uint64_t hash = tsm_hash(name);
    uint32_t i = tsm_map_get(&p->index, name, hash);
    if (i == TSM_MAP_NONE) {
        if (p->n == CLIENTS_MAX)
            return;
        TSM_GROW(p->clients, p->n + 1, p->cap);
        i = (uint32_t)p->n++;
        p->clients[i] = (struct client){.name = tsm_arena_str(&p->texts, name)};
        tsm_map_put(&p->index, p->clients[i].name, hash, i);
    }
    p->clients[i].writes += write;
    p->clients[i].queries += !write;
}

void tsm_tracker_count(struct tsm_request *r, bool write)
{
    struct tsm_tracker *t = r->server->tracker;
    if (atomic_load_explicit(&t->n, memory_order_relaxed) == 0)
        return;
    struct tsm_buf name = {0};
    if (r->user.n) {
        tsm_buf_str(&name, r->user);
        tsm_buf_byte(&name, ':');
    }
    tsm_request_host(&name, r);
    pthread_mutex_lock(&t->mutex);
    for (struct profile *p = t->profiles; p; p = p->next)
        count(p, tsm_buf_view(&name), write);
    pthread_mutex_unlock(&t->mutex);
    tsm_buf_release(&name);
}

static bool begin(struct tsm_tracker *t, struct profile *p)
{
    pthread_mutex_lock(&t->mutex);
    bool fits = atomic_load(&t->n) < PROFILES_MAX;
    if (fits) {
        p->next = t->profiles;
        t->profiles = p;
        atomic_fetch_add(&t->n, 1);
    }
    pthread_mutex_unlock(&t->mutex);
    return fits;
}

static void end(struct tsm_tracker *t, struct profile *p)
{
    pthread_mutex_lock(&t->mutex);
    struct profile **at = &t->profiles;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    atomic_fetch_sub(&t->n, 1);
    pthread_mutex_unlock(&t->mutex);
}

static void print(struct tsm_buf *out, const struct profile *p)
{
    tsm_buf_puts(out, "{\n");
    for (size_t i = 0; i < p->n; i++) {
        if (i)
            tsm_buf_puts(out, ",\n");
        tsm_go_quote(out, p->clients[i].name);
        tsm_buf_printf(out, ": {\"writes\":%" PRIu64 ",\"queries\":%" PRIu64 "}", p->clients[i].writes,
                       p->clients[i].queries);
    }
    tsm_buf_puts(out, "\n}\n");
}

/* By a thread of the queries. A client that goes away, or the end of the server, ends it early. */
static void work(struct tsm_request *r)
{
    struct profile p = {0};
    int64_t seconds = SECONDS;
    (void)tsm_parse_int(tsm_parameter(&r->url, TSM_STR("seconds")), &seconds);
    if (begin(r->server->tracker, &p)) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection,
                                                                       MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info)
            tsm_watch_add(r->server->watch, info->connect_fd, r);
        int64_t until = tsm_monotonic() + seconds * TSM_SEC;
        while (tsm_monotonic() < until && atomic_load(&r->control.end) == TSM_END_NONE)
            nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        tsm_watch_remove(r->server->watch, r);
        end(r->server->tracker, &p);
        tsm_request_status(r, MHD_HTTP_OK);
        r->type = "application/json; charset=utf-8";
        r->close = true;
        print(&r->text, &p);
    } else {
        tsm_request_busy(r, "too many requests for /debug/requests");
    }
    tsm_arena_release(&p.texts);
    tsm_map_release(&p.index);
    tsm_free(p.clients);
    tsm_request_done(r);
}

void tsm_api_requests(struct tsm_request *r)
{
    struct tsm_str given = tsm_parameter(&r->url, TSM_STR("seconds"));
    int64_t seconds = SECONDS;
    char text[TSM_TIME_TEXT_MAX];
    if (given.n && !tsm_parse_int(given, &seconds)) {
        struct tsm_buf name = {0};
        tsm_go_quote(&name, given);
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "strconv.ParseInt: parsing %s: invalid syntax",
                          tsm_buf_cstr(&name));
        tsm_buf_release(&name);
    } else if (seconds > SECONDS_MAX) {
        size_t n = seconds < INT64_MAX / TSM_SEC ? tsm_format_duration_influxql(text, seconds * TSM_SEC) : 0;
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "exceeded maximum interval time: %.*s > 6h", (int)n, text);
    } else if (tsm_pool_run(r->server->queries, r, work)) {
        return;
    } else {
        tsm_request_busy(r, "request throttled, queue full");
    }
    tsm_request_done(r);
}
