/* net/log_line.c: a line per request, as influxd writes it (Apache's combined format, request id and microseconds). */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <strings.h>
#include <sys/un.h>
#include <time.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "base/time.h"
#include "net/server_impl.h"

#include "base/banned.h"

#define REDACTED "[REDACTED]"

/* ---- passwords ----------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Length of a word at i in any case, or 0. */
static size_t word(struct tsm_str s, size_t i, const char *w)
{
    size_t n = strlen(w);
    return s.n - i >= n && strncasecmp(s.p + i, w, n) == 0 ? n : 0;
}

static size_t spaces(struct tsm_str s, size_t i)
{
    size_t from = i;
    while (i < s.n && is_space(s.p[i]))
        i++;
    return i - from;
}

/* Where the secret begins that follows "password for … =" or "with password" at i; 0: there is none. */
static size_t secret_at(struct tsm_str s, size_t i)
{
    size_t n;
    if ((n = word(s, i, "password")) && spaces(s, i + n)) {
        i += n;
        i += spaces(s, i);
        if (!(n = word(s, i, "for")))
            return 0;
        for (i += n; i < s.n && s.p[i] != '='; i++)
            ;
        if (i == s.n || !spaces(s, i + 1))
            return 0;
        return i + 1 + spaces(s, i + 1);
    }
    if ((n = word(s, i, "with")) && spaces(s, i + n)) {
        i += n;
        i += spaces(s, i);
        if (!(n = word(s, i, "password")) || !spaces(s, i + n))
            return 0;
        return i + n + spaces(s, i + n);
    }
    return 0;
}

void tsm_sanitize(struct tsm_buf *out, struct tsm_str text)
{
    size_t from = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = (char)(text.p[i] | 0x20);
        size_t at = c == 'p' || c == 'w' ? secret_at(text, i) : 0, end = at;
        if (!at)
            continue;
        if (end < text.n && (text.p[end] == '"' || text.p[end] == '\''))
            end++;
        size_t inside = end;
        while (end < text.n && !is_space(text.p[end]) && text.p[end] != '"')
            end++;
        if (end == inside)
            continue;
        if (end < text.n && text.p[end] == '"')
            end++;
        tsm_buf_add(out, text.p + from, at - from);
        tsm_buf_puts(out, REDACTED);
        from = end;
        i = end - 1;
    }
    tsm_buf_add(out, text.p + from, text.n - from);
}

/* ---- pieces -------------------------------------------------------------------------------------- */

void tsm_request_host(struct tsm_buf *out, const struct tsm_request *r)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection,
                                                                   MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr *a = info ? info->client_addr : NULL;
    if (a && a->sa_family == AF_INET)
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, host, sizeof host);
    else if (a && a->sa_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, host, sizeof host);
    const char *text = strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host;
    tsm_buf_puts(out, *text ? text : "@");
}

static void put_address(struct tsm_buf *out, const struct tsm_request *r)
{
    const char *forwarded = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "X-Forwarded-For");
    if (forwarded)
        tsm_buf_printf(out, "%s,", forwarded);
    tsm_request_host(out, r);
}

static void put_time(struct tsm_buf *out, int64_t t)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm;
    time_t seconds = (time_t)(t / TSM_SEC);
    if (!localtime_r(&seconds, &tm))
        return;
    long minutes = tm.tm_gmtoff / 60, away = minutes < 0 ? -minutes : minutes;
    tsm_buf_printf(out, "%02d/%s/%d:%02d:%02d:%02d %c%02ld%02ld", tm.tm_mday, months[tm.tm_mon],
                   tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, minutes < 0 ? '-' : '+', away / 60,
                   away % 60);
}

static int compare(const void *x, const void *y)
{
    const struct tsm_parameter *a = x, *b = y;
    return tsm_str_cmp(a->name, b->name);
}

static bool is_password(struct tsm_str name)
{
    return name.n == 1 && (name.p[0] == 'p' || name.p[0] == 'P');
}

/* The URL; one that may hold a secret is put together again without it, by names, as influxd does. */
static void put_uri(struct tsm_buf *out, struct tsm_request *r)
{
    bool query = tsm_str_eq(r->path, TSM_STR("/query"));
    if (!query && !tsm_parameter(&r->url, TSM_STR("p")).n) {
        tsm_buf_str(out, r->uri);
        return;
    }
    struct tsm_buf text = {0};
    tsm_buf_str(out, r->path);
    if (r->url.n)
        tsm_sort(r->url.items, r->url.n, sizeof *r->url.items, compare);
    for (size_t i = 0; i < r->url.n; i++) {
        const struct tsm_parameter *p = &r->url.items[i];
        tsm_buf_byte(out, i ? '&' : '?');
        tsm_url_encode(out, p->name);
        tsm_buf_byte(out, '=');
        tsm_buf_reset(&text);
        if (is_password(p->name))
            tsm_buf_puts(&text, REDACTED);
        else
            tsm_sanitize(&text, p->value);
        tsm_url_encode(out, tsm_buf_view(&text));
    }
    tsm_buf_release(&text);
}

static void put_form(struct tsm_buf *out, const struct tsm_request *r)
{
    for (size_t i = 0; i < r->form.n; i++) {
        const struct tsm_parameter *p = &r->form.items[i];
        if (p->file)
            continue;
        tsm_buf_puts(out, i ? ", {'" : "{'");
        tsm_buf_str(out, p->name);
        tsm_buf_puts(out, "': '");
        if (is_password(p->name))
            tsm_buf_puts(out, REDACTED);
        else
            tsm_sanitize(out, p->value);
        tsm_buf_puts(out, "'}");
    }
}

static void put_header(struct tsm_buf *out, const struct tsm_request *r, const char *name)
{
    const char *v = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
    tsm_buf_puts(out, v && *v ? v : "-");
}

static struct tsm_str user_of(const struct tsm_request *r)
{
    struct tsm_str u = tsm_parameter(&r->url, TSM_STR("u"));
    u = u.n ? u : r->user;
    return u.n ? u : TSM_STR("-");
}

void tsm_request_log(struct tsm_request *r)
{
    const struct tsm_server_options *opt = &r->settings->opt;
    struct tsm_buf b = {0};
    if (!opt->log_requests || !opt->log || (r->route && !r->route->log) || !r->route)
        return;
    tsm_buf_puts(&b, "[httpd] ");
    put_address(&b, r);
    tsm_buf_puts(&b, " - ");
    tsm_buf_str(&b, user_of(r));
    tsm_buf_puts(&b, " [");
    put_time(&b, r->wall);
    tsm_buf_puts(&b, "] \"");
    tsm_buf_str(&b, r->method);
    tsm_buf_byte(&b, ' ');
    put_uri(&b, r);
    tsm_buf_byte(&b, ' ');
    tsm_buf_puts(&b, r->version);
    if (tsm_str_eq(r->method, TSM_STR("POST"))) {
        tsm_buf_byte(&b, ' ');
        put_form(&b, r);
    }
    tsm_buf_printf(&b, "\" %d %" PRIu64 " \"", r->status, r->sent);
    put_header(&b, r, "Referer");
    tsm_buf_puts(&b, "\" \"");
    put_header(&b, r, "User-Agent");
    tsm_buf_puts(&b, "\" ");
    tsm_buf_str(&b, r->id);
    tsm_buf_printf(&b, " %" PRId64, (int64_t)((tsm_monotonic() - r->started) / TSM_USEC));
    /* A line stays a line, whatever the client has sent. */
    for (size_t i = 0; i < b.len; i++)
        if (b.data[i] < ' ' || b.data[i] == 0x7f)
            b.data[i] = ' ';
    opt->log(opt->log_ctx, tsm_buf_cstr(&b));
    tsm_buf_release(&b);
}
