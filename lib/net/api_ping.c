/* net/api_ping.c: what is asked of a server besides data: whether it lives, and what it does not do. */
#include "net/server_impl.h"

#include "base/alloc.h"
#include "result/cell_text.h"

#include "base/banned.h"

void tsm_api_options(struct tsm_request *r)
{
    tsm_request_status(r, MHD_HTTP_OK);
}

void tsm_api_ping(struct tsm_request *r)
{
    struct tsm_str verbose = tsm_parameter(&r->url, TSM_STR("verbose"));
    TSM_COUNT(r, ping_requests, 1);
    if (!verbose.n || tsm_str_eq(verbose, TSM_STR("0")) || tsm_str_eq(verbose, TSM_STR("false"))) {
        tsm_request_status(r, MHD_HTTP_NO_CONTENT);
        return;
    }
    tsm_request_status(r, MHD_HTTP_OK);
    tsm_buf_puts(&r->text, "{\"version\":");
    tsm_json_string(&r->text, tsm_str_of(r->settings->opt.version));
    tsm_buf_byte(&r->text, '}');
}

void tsm_api_status(struct tsm_request *r)
{
    TSM_COUNT(r, status_requests, 1);
    tsm_request_status(r, MHD_HTTP_NO_CONTENT);
}

/* influxd always passes; when the service says that something is wrong, this is a failure with its reason. */
void tsm_api_health(struct tsm_request *r)
{
    struct tsm_err err = {0};
    const struct tsm_service *s = r->server->service;
    bool well = !s->health || s->health(s->ctx, &err) == TSM_OK;
    tsm_request_status(r, well ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE);
    tsm_buf_puts(&r->text, "{\"checks\":[],\"message\":");
    tsm_json_string(&r->text, well ? TSM_STR("ready for queries and writes") : tsm_str_of(err.msg));
    tsm_buf_puts(&r->text, ",\"name\":\"influxdb\",\"status\":");
    tsm_buf_puts(&r->text, well ? "\"pass\"" : "\"fail\"");
    tsm_buf_puts(&r->text, ",\"version\":");
    tsm_json_string(&r->text, tsm_str_of(r->settings->opt.version));
    tsm_buf_byte(&r->text, '}');
}

void tsm_api_flux(struct tsm_request *r)
{
    tsm_request_plain(r, MHD_HTTP_FORBIDDEN,
                      "Flux query service disabled. Verify flux-enabled=true in the [http] section of the "
                      "InfluxDB config.\n");
}
