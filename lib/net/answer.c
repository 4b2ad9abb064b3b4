/* net/answer.c: the answer of a request as MHD's response, with the headers that influxd sends. */
#include <strings.h>

#include "base/alloc.h"
#include "net/server_impl.h"

#include "base/banned.h"

enum {
    STREAM_BLOCK = 32 << 10,
    GZIP_FROM = 512, /* shorter answers are sent as they are */
    TIMEOUT = 60,    /* seconds without progress */
};

bool tsm_request_takes_gzip(const struct tsm_request *r)
{
    return r->accept_encoding.n && memmem(r->accept_encoding.p, r->accept_encoding.n, "gzip", 4);
}

static void add(struct MHD_Response *response, const char *name, const char *value)
{
    (void)MHD_add_response_header(response, name, value);
}

static void add_cors(const struct tsm_request *r, struct MHD_Response *response)
{
    if (!r->origin.n || !r->route)
        return;
    add(response, "Access-Control-Allow-Origin", r->origin.p);
    add(response, "Access-Control-Allow-Methods", "DELETE, GET, OPTIONS, POST, PUT");
    add(response, "Access-Control-Allow-Headers",
        "Accept, Accept-Encoding, Authorization, Content-Length, Content-Type, X-CSRF-Token, "
        "X-HTTP-Method-Override");
    add(response, "Access-Control-Expose-Headers", "Date, X-InfluxDB-Version, X-InfluxDB-Build");
}

static struct MHD_Response *make_response(struct tsm_request *r)
{
    if (r->stream)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, tsm_stream_read, r, NULL);
    if (r->status == MHD_HTTP_OK && r->route && r->route->gzip && r->text.len >= GZIP_FROM &&
        tsm_request_takes_gzip(r)) {
        struct tsm_buf packed = {0};
        tsm_gzip(&packed, tsm_buf_view(&r->text));
        tsm_buf_release(&r->text);
        r->text = packed;
        tsm_request_header(r, "Content-Encoding", TSM_STR("gzip"));
    }
    r->sent = r->text.len;
    /* The request lives until MHD has sent it. */
    return MHD_create_response_from_buffer(r->text.len, r->text.data, MHD_RESPMEM_PERSISTENT);
}

enum MHD_Result tsm_request_queue(struct tsm_request *r)
{
    const struct tsm_server_options *opt = &r->settings->opt;
    struct MHD_Response *response = make_response(r);
    if (!response)
        return MHD_NO;
    if (r->type)
        add(response, "Content-Type", r->type);
    else if (r->route && r->route->run != tsm_api_options)
        add(response, "Content-Type", r->format_type);
    if (r->route) {
        add(response, "Request-Id", r->id.p);
        add(response, "X-Request-Id", r->id.p);
    }
    add(response, "X-Influxdb-Build", "OSS");
    add(response, "X-Influxdb-Version", opt->version);
    add(response, "X-Tsmkit-Version", TSM_VERSION_TEXT);
    add_cors(r, response);
    for (size_t i = 0; i < r->nheaders; i++)
        add(response, r->headers[i].name, r->headers[i].value);
    if (r->close)
        add(response, "Connection", "close");
    if (r->stream || r->text.len > STREAM_BLOCK)
        (void)MHD_set_connection_option(r->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)TIMEOUT);
    atomic_store(&r->phase, TSM_PHASE_SENDING);
    enum MHD_Result rc = MHD_queue_response(r->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return rc;
}
