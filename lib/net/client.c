/* net/client.c: one request after the other over one kept connection. */
#include "net/client.h"

#include <curl/curl.h>
#include <jansson.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum {
    ERROR_MAX = 64 << 10, /* bytes of an error's body that are kept */
    CONNECT_SECONDS = 10,
};

struct tsm_client {
    struct tsm_client_options opt;
    char *base;        /* URL without a slash at its end */
    char *shown;       /* in messages: without a password */
    char *socket_path; /* or NULL */
    CURL *curl;
    bool asked, tsmkit; /* by /ping */

    /* of the request that is under way */
    const struct tsm_client_request *request;
    struct tsm_buf *text;
    struct tsm_err *err;
    int code; /* of take() */
    char content_type[64];
    unsigned retry_after;
};

/* ---- making one -------------------------------------------------------------------------------- */

static void split_url(struct tsm_client *c, const char *url)
{
    if (strncmp(url, "unix:", 5) == 0) {
        c->socket_path = tsm_strdup(url + 5);
        c->base = tsm_strdup("http://localhost");
        return;
    }
    struct tsm_buf b = {0};
    if (!strstr(url, "://"))
        tsm_buf_puts(&b, "http://");
    tsm_buf_puts(&b, url);
    while (b.len && b.data[b.len - 1] == '/')
        b.len--;
    tsm_buf_cstr(&b);
    c->base = tsm_buf_detach(&b, NULL);
}

static int check_url(struct tsm_client *c, const char *url, struct tsm_err *err)
{
    CURLU *u = curl_url();
    CURLUcode bad = curl_url_set(u, CURLUPART_URL, c->base, 0);
    char *scheme = NULL, *shown = NULL;
    if (!bad)
        bad = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
    if (!bad && !curl_url_set(u, CURLUPART_PASSWORD, NULL, 0) && !curl_url_get(u, CURLUPART_URL, &shown, 0))
        c->shown = tsm_strdup(c->socket_path ? c->socket_path : shown);
    curl_free(shown);
    bool http = !bad && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_url_cleanup(u);
    if (bad)
        return tsm_err_set(err, TSM_EUSAGE, "server '%s': %s", url, curl_url_strerror(bad));
    if (!http || !c->shown)
        return tsm_err_set(err, TSM_EUSAGE, "server '%s': neither http, https nor unix", url);
    return TSM_OK;
}

int tsm_client_new(const struct tsm_client_options *opt, struct tsm_client **out, struct tsm_err *err)
{
    *out = NULL;
    struct tsm_client *c = tsm_calloc(1, sizeof *c);
    c->opt = *opt;
    split_url(c, opt->url);
    int rc = check_url(c, opt->url, err);
    if (rc == TSM_OK) {
        c->curl = curl_easy_init();
        if (!c->curl)
            rc = tsm_err_set(err, TSM_EIO, "libcurl cannot be initialised");
    }
    if (rc != TSM_OK) {
        tsm_client_free(c);
        return rc;
    }
    *out = c;
    return TSM_OK;
}

void tsm_client_free(struct tsm_client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->curl);
    tsm_free(c->base);
    tsm_free(c->shown);
    tsm_free(c->socket_path);
    tsm_free(c);
}

const struct tsm_client_options *tsm_client_settings(const struct tsm_client *c)
{
    return &c->opt;
}

const char *tsm_client_name(const struct tsm_client *c)
{
    return c->shown;
}

unsigned tsm_client_retry_after(const struct tsm_client *c)
{
    return c->retry_after;
}

/* ---- what comes in ----------------------------------------------------------------------------- */

static bool header_is(const char *p, size_t n, const char *name, struct tsm_str *value)
{
    size_t len = strlen(name);
    if (n <= len || p[len] != ':' || strncasecmp(p, name, len) != 0)
        return false;
    p += len + 1;
    n -= len + 1;
    while (n && (*p == ' ' || *p == '\t'))
        p++, n--;
    while (n && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == ' '))
        n--;
    *value = tsm_str(p, n);
    return true;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct tsm_client *c = ctx;
    struct tsm_str v;
    n *= size;
    if (n > 5 && strncmp(p, "HTTP/", 5) == 0) { /* of a new answer: an earlier one was 100 Continue */
        c->content_type[0] = 0;
        c->retry_after = 0;
    } else if (header_is(p, n, "X-Tsmkit-Version", &v)) {
        c->tsmkit = true;
    } else if (header_is(p, n, "Content-Type", &v)) {
        size_t keep = v.n < sizeof c->content_type - 1 ? v.n : sizeof c->content_type - 1;
        memcpy(c->content_type, v.p, keep);
        c->content_type[keep] = 0;
    } else if (header_is(p, n, "Retry-After", &v)) {
        for (size_t i = 0; i < v.n && v.p[i] >= '0' && v.p[i] <= '9' && c->retry_after < 3600; i++)
            c->retry_after = c->retry_after * 10 + (unsigned)(v.p[i] - '0');
    }
    return n;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct tsm_client *c = ctx;
    long status = 0;
    n *= size;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 != 2) {
        size_t room = c->text->len < ERROR_MAX ? ERROR_MAX - c->text->len : 0;
        tsm_buf_add(c->text, p, n < room ? n : room);
        return n;
    }
    if (c->request->take && n)
        c->code = c->request->take(c->request->ctx, c->content_type, (const uint8_t *)p, n, c->err);
    return c->code == TSM_OK ? n : n + 1; /* anything but n ends the transfer */
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
    const struct tsm_client *c = ctx;
    (void)a, (void)b, (void)d, (void)e;
    return c->opt.stop && atomic_load(c->opt.stop);
}

/* The text of {"error": "…"}. */
static bool json_error(const struct tsm_buf *doc, struct tsm_buf *out)
{
    json_t *root = json_loadb((const char *)doc->data, doc->len, JSON_DISABLE_EOF_CHECK, NULL);
    const char *error = json_string_value(json_object_get(root, "error"));
    if (error)
        tsm_buf_puts(out, error);
    json_decref(root);
    return error != NULL;
}

static bool msgpack_error(const struct tsm_buf *doc, struct tsm_buf *out)
{
    msgpack_unpacked u;
    msgpack_unpacked_init(&u);
    bool found = false;
    if (msgpack_unpack_next(&u, (const char *)doc->data, doc->len, NULL) == MSGPACK_UNPACK_SUCCESS &&
        u.data.type == MSGPACK_OBJECT_MAP && u.data.via.map.size == 1 &&
        u.data.via.map.ptr[0].val.type == MSGPACK_OBJECT_STR) {
        const msgpack_object_str *text = &u.data.via.map.ptr[0].val.via.str;
        tsm_buf_add(out, text->ptr, text->size);
        found = true;
    }
    msgpack_unpacked_destroy(&u);
    return found;
}

/* The error in a document takes the place of the document; else its first line stays. */
static void find_error(const char *content_type, struct tsm_buf *text, long status)
{
    struct tsm_buf error = {0};
    bool found = strstr(content_type, "msgpack") ? msgpack_error(text, &error) : json_error(text, &error);
    if (found) {
        tsm_buf_reset(text);
        tsm_buf_str(text, tsm_buf_view(&error));
    } else {
        uint8_t *end = text->len ? memchr(text->data, '\n', text->len) : NULL;
        if (end)
            text->len = (size_t)(end - text->data);
        if (text->len == 0)
            tsm_buf_printf(text, "HTTP status %ld", status);
    }
    tsm_buf_release(&error);
}

/* ---- what goes out ----------------------------------------------------------------------------- */

static void add_parameters(struct tsm_client *c, const struct tsm_client_request *r, struct tsm_buf *out)
{
    bool first = true;
    for (size_t i = 0; i < r->nparameters; i++) {
        const struct tsm_client_parameter *p = &r->parameters[i];
        if (p->value.n == 0)
            continue;
        char *value = curl_easy_escape(c->curl, p->value.p, (int)p->value.n);
        tsm_buf_puts(out, first ? (r->form ? "" : "?") : "&");
        tsm_buf_printf(out, "%s=%s", p->name, value ? value : "");
        curl_free(value);
        first = false;
    }
}

static void set_options(struct tsm_client *c, const struct tsm_client_request *r, const char *url,
                        struct tsm_str body)
{
    CURL *h = c->curl;
    curl_easy_reset(h); /* keeps the connection */
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(h, CURLOPT_XFERINFODATA, c);
    curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 256l << 10);
    if (c->socket_path)
        curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, c->socket_path);
    if (c->opt.user)
        curl_easy_setopt(h, CURLOPT_USERNAME, c->opt.user);
    if (c->opt.password)
        curl_easy_setopt(h, CURLOPT_PASSWORD, c->opt.password);
    if (c->opt.ca_file)
        curl_easy_setopt(h, CURLOPT_CAINFO, c->opt.ca_file);
    if (c->opt.insecure) {
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (!r->get) {
        curl_easy_setopt(h, CURLOPT_POST, 1L);
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, body.n ? body.p : "");
    }
}

/* Errors that say that nobody is there, or that the connection broke. */
static bool is_passing(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        return true;
    default:
        return false;
    }
}

int tsm_client_do(struct tsm_client *c, const struct tsm_client_request *r, long *status,
                  struct tsm_buf *text, struct tsm_err *err)
{
    struct tsm_buf url = {0}, form = {0};
    struct curl_slist *headers = NULL;
    char why[CURL_ERROR_SIZE] = "", line[128];
    *status = 0;
    tsm_buf_reset(text);
    tsm_buf_printf(&url, "%s%s", c->base, r->path);
    add_parameters(c, r, r->form ? &form : &url);
    c->request = r;
    c->text = text;
    c->err = err;
    c->code = TSM_OK;
    c->retry_after = 0;
    set_options(c, r, tsm_buf_cstr(&url), r->form ? tsm_buf_view(&form) : r->body);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, why);
    if (r->accept) {
        snprintf(line, sizeof line, "Accept: %s", r->accept);
        headers = curl_slist_append(headers, line);
    }
    headers = curl_slist_append(headers, "Expect:"); /* no round trip before the body */
    if (!r->form)
        headers = curl_slist_append(headers, "Content-Type: text/plain; charset=utf-8");
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);

    CURLcode done = curl_easy_perform(c->curl);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, status);
    curl_slist_free_all(headers);
    tsm_buf_release(&url);
    tsm_buf_release(&form);
    if (c->code != TSM_OK)
        return c->code;
    if (done == CURLE_ABORTED_BY_CALLBACK)
        return tsm_err_set(err, TSM_ESTOP, "stopped by a signal");
    if (done != CURLE_OK)
        return tsm_err_set(err, is_passing(done) ? TSM_EAGAIN : TSM_EIO, "%s: %s", c->shown,
                           *why ? why : curl_easy_strerror(done));
    if (*status / 100 != 2)
        find_error(c->content_type, text, *status);
    return TSM_OK;
}

/* ---- who is there ------------------------------------------------------------------------------ */

int tsm_client_is_tsmkit(struct tsm_client *c, bool *is, struct tsm_err *err)
{
    if (!c->asked) {
        struct tsm_client_request ping = {.path = "/ping", .get = true};
        struct tsm_buf text = {0};
        long status;
        int rc = tsm_client_do(c, &ping, &status, &text, err);
        tsm_buf_release(&text);
        if (rc != TSM_OK)
            return rc;
        c->asked = true;
    }
    *is = c->tsmkit;
    return TSM_OK;
}

bool tsm_client_daemon_lives(const char *dir, struct tsm_buf *url)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char *path = tsm_path_join(dir, "raftd.sock");
    bool lives = false;
    int fd = strlen(path) < sizeof a.sun_path ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd >= 0) {
        memcpy(a.sun_path, path, strlen(path));
        lives = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
    }
    if (lives && url) {
        tsm_buf_puts(url, "unix:");
        tsm_buf_puts(url, path);
    }
    tsm_free(path);
    return lives;
}
