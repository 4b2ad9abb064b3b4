/* net/request.c: one request: what was asked, its body, and the answer that it gets. */
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/time.h"
#include "base/utf8.h"
#include "net/server_impl.h"
#include "result/rows_stream.h"

#include "base/banned.h"

#define HELD_MAX (512ull << 20)  /* bytes of bodies in all connections together */
#define BODY_MAX (1ull << 30)    /* of one, when the settings have no limit */
#define FORGET_MAX (32ull << 20) /* so much of a body that nobody wants is read, to keep the connection */
enum {
    RESERVE = 1 << 20, /* a client's word for the size of its body is believed so far */
    ERROR_HEADER = 1024,
};

/* ---- life ---------------------------------------------------------------------------------------- */

struct tsm_request *tsm_request_new(struct tsm_listener *l, struct MHD_Connection *c, const char *uri)
{
    struct tsm_request *r = tsm_calloc(1, sizeof *r);
    r->server = l->server;
    r->local = l->local;
    r->connection = c;
    atomic_store(&r->refs, 1);
    pthread_mutex_lock(&l->server->mutex);
    r->settings = l->server->settings;
    atomic_fetch_add(&r->settings->refs, 1);
    pthread_mutex_unlock(&l->server->mutex);
    r->uri = tsm_arena_str(&r->arena, tsm_str_of(uri));
    return r;
}

void tsm_request_ref(struct tsm_request *r)
{
    atomic_fetch_add(&r->refs, 1);
}

static void let_go(struct tsm_request *r)
{
    if (!r->held) /* a request that has left may outlive its server */
        return;
    atomic_fetch_sub(&r->server->held, r->held);
    r->held = 0;
}

void tsm_request_forget_body(struct tsm_request *r)
{
    tsm_buf_release(&r->body);
    let_go(r);
}

void tsm_request_unref(struct tsm_request *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    tsm_request_forget_body(r);
    tsm_gunzip_free(r->gunzip);
    tsm_stream_free(r->stream);
    tsm_buf_release(&r->text);
    tsm_buf_release(&r->parse_errors);
    tsm_meta_copy_release(r->meta);
    tsm_settings_release(r->settings);
    tsm_arena_release(&r->arena);
    tsm_free(r);
}

/* ---- the head ------------------------------------------------------------------------------------ */

static struct tsm_str header(struct tsm_request *r, const char *name)
{
    return tsm_str_of(MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name));
}

struct accepted {
    struct tsm_str type;
    double q;
};

/* The value of q in "; q=0.5", 1 without. */
static double quality(struct tsm_str part)
{
    for (size_t i = 0; i + 1 < part.n; i++)
        if (part.p[i] == ';') {
            size_t k = i + 1;
            while (k < part.n && part.p[k] == ' ')
                k++;
            if (part.n - k > 2 && (part.p[k] == 'q' || part.p[k] == 'Q') && part.p[k + 1] == '=') {
                size_t end = k + 2;
                double q = 0;
                while (end < part.n && part.p[end] != ';' && part.p[end] != ' ')
                    end++;
                return tsm_parse_float(tsm_str(part.p + k + 2, end - k - 2), &q) ? q : 0;
            }
        }
    return 1;
}

/* Whether a type of the Accept header (with wildcards) means this one. */
static bool matches(struct tsm_str accept, const char *type)
{
    const char *slash = strchr(type, '/');
    if (tsm_str_eq(accept, TSM_STR("*")) || tsm_str_eq(accept, TSM_STR("*/*")) ||
        tsm_str_eq(accept, tsm_str_of(type)))
        return true;
    size_t main = (size_t)(slash - type) + 1;
    if (accept.n == main + 1 && memcmp(accept.p, type, main) == 0 && accept.p[main] == '*')
        return true;
    return accept.n == strlen(slash) + 1 && accept.p[0] == '*' &&
           memcmp(accept.p + 1, slash, accept.n - 1) == 0;
}

static bool choose(struct tsm_request *r, struct tsm_str accept)
{
    static const struct {
        const char *type;
        enum tsm_format format;
        bool rows_stream;
    } types[] = {
        {"application/json", TSM_FORMAT_JSON, false},   {"application/csv", TSM_FORMAT_HTTP_CSV, false},
        {"text/csv", TSM_FORMAT_HTTP_CSV, false},       {"application/x-msgpack", TSM_FORMAT_MSGPACK, false},
        {TSM_ROWS_CONTENT_TYPE, TSM_FORMAT_JSON, true},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (matches(accept, types[i].type)) {
            r->format = types[i].format;
            r->rows_stream = types[i].rows_stream;
            r->format_type = r->rows_stream ? "application/json" : types[i].type;
            return true;
        }
    return false;
}

/* The first of the types that the client likes best which we have; JSON when there is none. */
static void choose_format(struct tsm_request *r, struct tsm_str accept)
{
    struct accepted list[32];
    size_t n = 0;
    r->format = TSM_FORMAT_JSON;
    r->format_type = "application/json";
    while (accept.n && n < sizeof list / sizeof *list) {
        const char *comma = memchr(accept.p, ',', accept.n);
        size_t len = comma ? (size_t)(comma - accept.p) : accept.n;
        struct accepted a = {tsm_media_type(tsm_str(accept.p, len), &r->arena),
                             quality(tsm_str(accept.p, len))};
        size_t at = n++;
        for (; at > 0 && list[at - 1].q < a.q; at--)
            list[at] = list[at - 1];
        list[at] = a;
        accept = comma ? tsm_str(comma + 1, accept.n - len - 1) : tsm_str("", 0);
    }
    for (size_t i = 0; i < n; i++)
        if (choose(r, list[i].type))
            return;
}

/* A UUID of version 1: the time and a counter. */
static void make_id(struct tsm_request *r)
{
    uint64_t t = (uint64_t)(r->wall / 100) + 0x01B21DD213814000ull;
    unsigned n = (unsigned)atomic_fetch_add(&r->server->request_ids, 1) + 1;
    r->id = tsm_str_of(tsm_arena_printf(&r->arena, "%08x-%04x-1%03x-%04x-000000000000", (unsigned)t,
                                        (unsigned)(t >> 32) & 0xffff, (unsigned)(t >> 48) & 0xfff,
                                        0x8000u | (n & 0x3fff)));
}

static void split_uri(struct tsm_request *r)
{
    struct tsm_str uri = r->uri;
    if (uri.n && uri.p[0] != '/') { /* http://host/path */
        const char *at = memmem(uri.p, uri.n, "://", 3);
        at = at ? memchr(at + 3, '/', (size_t)(uri.p + uri.n - at - 3)) : NULL;
        if (at)
            uri = tsm_str(at, (size_t)(uri.p + uri.n - at));
    }
    const char *question = uri.n ? memchr(uri.p, '?', uri.n) : NULL;
    size_t n = question ? (size_t)(question - uri.p) : uri.n;
    if (question)
        r->query = tsm_str(question + 1, uri.n - n - 1);
    r->path = tsm_str(uri.p, n); /* as it is written: influxd does not decode it either */
}

static void refuse(struct tsm_request *r)
{
    r->refused = true;
    tsm_request_forget_body(r);
}

static uint64_t body_max(const struct tsm_request *r)
{
    uint64_t max = r->settings->opt.max_body;
    return max && max < BODY_MAX ? max : BODY_MAX;
}

static void too_large(struct tsm_request *r)
{
    tsm_request_error(r, MHD_HTTP_CONTENT_TOO_LARGE, "Request Entity Too Large");
    refuse(r);
}

void tsm_request_begin(struct tsm_request *r, const char *method, const char *version)
{
    char allowed[64];
    struct tsm_arena *a = &r->arena;
    r->begun = true;
    r->started = tsm_monotonic();
    r->wall = tsm_now();
    r->method = tsm_arena_str(a, tsm_str_of(method));
    r->version = tsm_arena_str(a, tsm_str_of(version)).p;
    split_uri(r);
    tsm_form_urlencoded(&r->url, r->query, a);
    r->pretty = tsm_str_eq(tsm_parameter(&r->url, TSM_STR("pretty")), TSM_STR("true"));
    r->content_type = tsm_arena_str(a, header(r, "Content-Type"));
    r->content_encoding = tsm_arena_str(a, header(r, "Content-Encoding"));
    r->accept_encoding = tsm_arena_str(a, header(r, "Accept-Encoding"));
    r->authorization = tsm_arena_str(a, header(r, "Authorization"));
    r->origin = tsm_arena_str(a, header(r, "Origin"));
    r->id = tsm_arena_str(a, header(r, "X-Request-Id"));
    if (!r->id.n)
        r->id = tsm_arena_str(a, header(r, "Request-Id"));
    if (!r->id.n)
        make_id(r);
    choose_format(r, header(r, "Accept"));
    TSM_COUNT(r, requests, 1);
    TSM_COUNT(r, requests_active, 1);

    r->route = tsm_route_find(r->method, r->path, allowed);
    (void)tsm_parse_uint(header(r, "Content-Length"), &r->content_length);
    if (!r->route && allowed[0]) {
        tsm_request_header(r, "Allow", tsm_str_of(allowed));
        tsm_request_plain(r, MHD_HTTP_METHOD_NOT_ALLOWED, "Method Not Allowed\n");
    } else if (!r->route) {
        tsm_request_plain(r, MHD_HTTP_NOT_FOUND, "404 page not found\n");
    } else if (r->route->body && r->content_length > body_max(r)) {
        too_large(r);
    } else if (r->route->body && tsm_str_eq(r->content_encoding, TSM_STR("gzip"))) {
        r->gunzip = tsm_gunzip_new();
    }
    r->refused = r->status || !r->route->body;
    /* What is not wanted is read all the same when it is not too much: a client that has not sent everything yet might not see
     * the answer of a connection that is closed. */
    if (r->refused && (r->content_length > FORGET_MAX || header(r, "Expect").n))
        r->close = r->status != 0;
}

/* ---- the body ------------------------------------------------------------------------------------ */

static bool hold(struct tsm_request *r)
{
    if (r->body.cap <= r->held)
        return true;
    size_t more = r->body.cap - r->held;
    r->held += more;
    if (atomic_fetch_add(&r->server->held, more) + more <= HELD_MAX)
        return true;
    tsm_request_busy(r, "too many bodies of requests in memory");
    refuse(r);
    return false;
}

void tsm_request_receive(struct tsm_request *r, const uint8_t *p, size_t n)
{
    struct tsm_err err = {0};
    if (r->refused)
        return;
    if (!r->body.data && r->content_length)
        (void)tsm_buf_room(&r->body, r->content_length < RESERVE ? (size_t)r->content_length : RESERVE);
    if (r->gunzip) {
        int rc = tsm_gunzip_feed(r->gunzip, p, n, body_max(r), &r->body, &err);
        if (rc == TSM_ELIMIT) {
            too_large(r);
        } else if (rc != TSM_OK) {
            tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "%s", err.msg);
            refuse(r);
        }
    } else if (r->body.len + n > body_max(r)) {
        too_large(r);
    } else {
        tsm_buf_add(&r->body, p, n);
    }
    if (!r->refused)
        (void)hold(r);
}

void tsm_request_received(struct tsm_request *r)
{
    struct tsm_err err = {0};
    if (r->refused || !r->gunzip || tsm_gunzip_end(r->gunzip, &err) == TSM_OK)
        return;
    tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "%s", err.msg);
    refuse(r);
}

void tsm_request_form(struct tsm_request *r)
{
    struct tsm_str type = tsm_media_type(r->content_type, &r->arena), body = tsm_buf_view(&r->body);
    if (!tsm_str_eq(r->method, TSM_STR("POST")))
        return;
    if (tsm_str_eq(type, TSM_STR("application/x-www-form-urlencoded")))
        tsm_form_urlencoded(&r->form, body, &r->arena);
    else if (tsm_str_eq(type, TSM_STR("multipart/form-data")))
        (void)tsm_form_multipart(&r->form, r->content_type, body,
                                 &r->arena); /* what there is, as Go's FormValue */
}

struct tsm_str tsm_request_value(const struct tsm_request *r, struct tsm_str name)
{
    const struct tsm_parameter *p = tsm_parameter_find(&r->form, name);
    if (!p)
        p = tsm_parameter_find(&r->url, name);
    return p ? p->value : tsm_str("", 0);
}

void tsm_go_quote(struct tsm_buf *out, struct tsm_str text)
{
    static const char from[] = "\a\b\f\n\r\t\v\"\\", to[] = "abfnrtv\"\\";
    tsm_buf_byte(out, '"');
    for (size_t i = 0, n; i < text.n; i += n) {
        uint8_t c = (uint8_t)text.p[i];
        const char *special = c ? memchr(from, c, sizeof from - 1) : NULL;
        n = tsm_utf8_length((const uint8_t *)text.p + i, text.n - i);
        if (special)
            tsm_buf_printf(out, "\\%c", to[special - from]);
        else if (n == 0 || c < 0x20 || c == 0x7f)
            tsm_buf_printf(out, "\\x%02x", c);
        else
            tsm_buf_add(out, text.p + i, n);
        n = n ? n : 1;
    }
    tsm_buf_byte(out, '"');
}

/* ---- answers ------------------------------------------------------------------------------------- */

/* A header's value is one line; what ends a line becomes a space, as in Go. */
void tsm_request_header(struct tsm_request *r, const char *name, struct tsm_str value)
{
    if (r->nheaders == TSM_HEADERS_MAX)
        return;
    while (value.n && (uint8_t)value.p[value.n - 1] <= ' ')
        value.n--;
    for (; value.n && (uint8_t)value.p[0] <= ' '; value.n--)
        value.p++;
    char *text = tsm_arena_bytes(&r->arena, value.n + 1);
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        text[i] = (char)(c == '\n' || c == '\r' || c == '\0' ? ' ' : c);
    }
    text[value.n] = '\0';
    r->headers[r->nheaders].name = name;
    r->headers[r->nheaders++].value = text;
}

void tsm_request_status(struct tsm_request *r, int status)
{
    r->status = status;
    tsm_buf_reset(&r->text);
}

void tsm_request_error_text(struct tsm_request *r, int status, struct tsm_str message)
{
    if (status / 100 == 4)
        TSM_COUNT(r, client_errors, 1);
    else if (status / 100 == 5)
        TSM_COUNT(r, server_errors, 1);
    if (status == MHD_HTTP_UNAUTHORIZED)
        tsm_request_header(r, "WWW-Authenticate", TSM_STR("Basic realm=\"InfluxDB\""));
    else
        tsm_request_header(r, "X-Influxdb-Error",
                           tsm_str(message.p, message.n < ERROR_HEADER ? message.n : ERROR_HEADER));
    char *text = tsm_strndup(message.p, message.n);
    tsm_request_status(r, status);
    tsm_result_error(&r->text, r->format, r->pretty, text);
    tsm_free(text);
}

void tsm_request_error(struct tsm_request *r, int status, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tsm_request_error_text(r, status, tsm_str(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1));
}

void tsm_request_plain(struct tsm_request *r, int status, const char *text)
{
    tsm_request_status(r, status);
    r->type = "text/plain; charset=utf-8";
    tsm_request_header(r, "X-Content-Type-Options", TSM_STR("nosniff"));
    tsm_buf_puts(&r->text, text);
}

void tsm_request_busy(struct tsm_request *r, const char *text)
{
    TSM_COUNT(r, refused_busy, 1);
    tsm_request_header(r, "Retry-After", TSM_STR("1"));
    tsm_request_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, "%s", text);
}
