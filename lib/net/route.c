/* net/route.c: method and path to handler. */
#include "net/server_impl.h"

#include "base/banned.h"

/* One line a route. The order of the methods is that of influxd's Allow header. */
static const struct tsm_route routes[] = {
    {.method = "OPTIONS", .path = "/query", .run = tsm_api_options, .log = true},
    {.method = "GET",
     .path = "/query",
     .run = tsm_api_query,
     .waits = true,
     .auth = true,
     .log = true,
     .gzip = true},
    {.method = "POST",
     .path = "/query",
     .run = tsm_api_query,
     .waits = true,
     .body = true,
     .auth = true,
     .log = true,
     .gzip = true},
    {.method = "OPTIONS", .path = "/write", .run = tsm_api_options, .log = true},
    {.method = "POST",
     .path = "/write",
     .run = tsm_api_write,
     .waits = true,
     .body = true,
     .auth = true,
     .log = true},
    {.method = "POST",
     .path = "/api/v2/write",
     .run = tsm_api_write_v2,
     .waits = true,
     .body = true,
     .auth = true,
     .log = true},
    {.method = "POST",
     .path = "/api/v1/prom/write",
     .run = tsm_api_prometheus_write,
     .waits = true,
     .body = true,
     .auth = true,
     .log = true},
    {.method = "POST",
     .path = "/api/v1/prom/read",
     .run = tsm_api_prometheus_read,
     .waits = true,
     .body = true,
     .auth = true,
     .log = true},
    {.method = "POST", .path = "/api/v2/query", .run = tsm_api_flux, .log = true},
    {.method = "GET", .path = "/ping", .run = tsm_api_ping, .auth_option = TSM_AUTH_PING, .log = true},
    {.method = "HEAD", .path = "/ping", .run = tsm_api_ping, .auth_option = TSM_AUTH_PING, .log = true},
    {.method = "GET", .path = "/status", .run = tsm_api_status, .auth_option = TSM_AUTH_PING, .log = true},
    {.method = "HEAD", .path = "/status", .run = tsm_api_status, .auth_option = TSM_AUTH_PING, .log = true},
    {.method = "GET", .path = "/health", .run = tsm_api_health, .auth_option = TSM_AUTH_PING, .log = true},
    {.method = "GET",
     .path = "/metrics",
     .run = tsm_api_metrics,
     .auth_option = TSM_AUTH_METRICS,
     .log = true,
     .gzip = true},
    {.method = "GET",
     .path = "/debug/vars",
     .run = tsm_api_vars,
     .auth_option = TSM_AUTH_METRICS,
     .gzip = true},
    {.method = "GET",
     .path = "/debug/requests",
     .run = tsm_api_requests,
     .waits = true,
     .auth_option = TSM_AUTH_METRICS,
     .gzip = true},
};

const struct tsm_route *tsm_route_find(struct tsm_str method, struct tsm_str path, char allowed[64])
{
    size_t n = 0;
    allowed[0] = '\0';
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!tsm_str_eq(path, tsm_str_of(routes[i].path)))
            continue;
        if (tsm_str_eq(method, tsm_str_of(routes[i].method)))
            return &routes[i];
        size_t len = strlen(routes[i].method);
        if (n + len + 3 > 64)
            continue;
        if (n) {
            memcpy(allowed + n, ", ", 2);
            n += 2;
        }
        memcpy(allowed + n, routes[i].method, len + 1);
        n += len;
    }
    return NULL;
}
