/*
 * net/server.c: listeners, connections, and what becomes of a request on its way through them.
 *
 * libmicrohttpd reads and writes, on a few threads with an epoll set each. A request is received into memory of its own, and
 * handed to its handler when it is complete. One that waits for something (a disk, a query, a password's hash) has its connection
 * suspended meanwhile, so that no thread of the network waits for it; who finishes it resumes the connection.
 *
 * A request is held by MHD from its first line to its end (completed()), and by whoever works on it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/time.h"
#include "net/server_impl.h"

#include "base/banned.h"

enum {
    CONNECTION_MEMORY = 64 << 10, /* of headers, and the step in which bodies are read and written */
    CONNECTION_STEP = 16 << 10,
    IDLE_TIMEOUT = 600, /* seconds for which a connection without a request may stay */
    BODY_TIMEOUT = 60,  /* without progress, inside a request */
    BACKLOG = 1024,
    CONNECTIONS = 10000, /* when the settings do not say */
    QUERY_THREADS = 128,
    QUERY_QUEUE = 1024,
    WORK_QUEUE = 4096,
    INLINE_BODY = 256 << 10, /* bodies up to here are parsed by the thread that received them */
    PEM_MAX = 1 << 20,
};

/* ---- settings ------------------------------------------------------------------------------------ */

static char *copy(const char *s)
{
    return s ? tsm_strdup(s) : NULL;
}

static struct tsm_settings *settings_new(const struct tsm_server_options *opt)
{
    struct tsm_settings *s = tsm_calloc(1, sizeof *s);
    atomic_store(&s->refs, 1);
    s->opt = *opt;
    s->opt.bind = copy(opt->bind);
    s->opt.socket_path = copy(opt->socket_path);
    s->opt.tls_certificate = copy(opt->tls_certificate);
    s->opt.tls_key = copy(opt->tls_key);
    s->opt.jwt_secret = copy(opt->jwt_secret);
    s->opt.version = tsm_strdup(opt->version ? opt->version : "1.8.10");
    return s;
}

void tsm_settings_release(struct tsm_settings *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    tsm_free((char *)s->opt.bind);
    tsm_free((char *)s->opt.socket_path);
    tsm_free((char *)s->opt.tls_certificate);
    tsm_free((char *)s->opt.tls_key);
    tsm_free((char *)s->opt.jwt_secret);
    tsm_free((char *)s->opt.version);
    tsm_free(s);
}

/* ---- requests under way -------------------------------------------------------------------------- */

/* False: the server is being stopped. */
static bool enter(struct tsm_request *r)
{
    struct tsm_server *s = r->server;
    pthread_mutex_lock(&s->mutex);
    if (s->stopping) {
        pthread_mutex_unlock(&s->mutex);
        return false;
    }
    r->older = s->running;
    if (s->running)
        s->running->newer = r;
    s->running = r;
    s->nrunning++;
    pthread_mutex_unlock(&s->mutex);
    return true;
}

void tsm_request_leave(struct tsm_request *r)
{
    struct tsm_server *s = r->server;
    pthread_mutex_lock(&s->mutex);
    if (r->newer)
        r->newer->older = r->older;
    else
        s->running = r->older;
    if (r->older)
        r->older->newer = r->newer;
    if (--s->nrunning == 0)
        pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->mutex);
}

void tsm_request_answer(struct tsm_request *r)
{
    atomic_store(&r->phase, TSM_PHASE_ANSWER);
    MHD_resume_connection(r->connection);
}

void tsm_request_done(struct tsm_request *r)
{
    tsm_request_answer(r);
    tsm_request_leave(r);
    tsm_request_unref(r);
}

/* By a thread of the workers: what takes too long for one of the network. */
static void work(struct tsm_request *r)
{
    if (!tsm_request_authenticate(r, NULL)) {
        tsm_request_done(r);
    } else if (r->route->waits) {
        r->route->run(r);
    } else {
        r->route->run(r);
        tsm_request_done(r);
    }
}

static enum MHD_Result dispatch(struct tsm_request *r)
{
    struct tsm_server *s = r->server;
    bool slow = false;
    if (r->status)
        return tsm_request_queue(r);
    if (!tsm_request_authenticate(r, &slow) && !slow)
        return tsm_request_queue(r);
    if (!slow && !r->route->waits) {
        r->route->run(r);
        return tsm_request_queue(r);
    }
    if (!enter(r)) {
        r->close = true;
        tsm_request_busy(r, "the server is shutting down");
        return tsm_request_queue(r);
    }
    atomic_store(&r->phase, TSM_PHASE_RUNNING);
    tsm_request_ref(r);
    MHD_suspend_connection(r->connection);
    if (!slow && r->body.len <= INLINE_BODY) {
        r->route->run(r);
    } else if (!tsm_pool_run(s->workers, r, work)) {
        tsm_request_busy(r, "too many requests");
        tsm_request_done(r);
    }
    return MHD_YES;
}

/* ---- MHD's calls --------------------------------------------------------------------------------- */

/* MHD does not say that a request has ended which it gives up before on_request(), for want of memory for its head. */
struct visit {
    struct tsm_request *early; /* of on_uri(), not given to on_request() yet */
};

static struct visit *visit_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info->socket_context;
}

static void on_connection(void *cls, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct visit *v = *context;
    (void)cls, (void)c;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = tsm_calloc(1, sizeof(struct visit));
    } else if (v) {
        if (v->early)
            tsm_request_unref(v->early);
        tsm_free(v);
        *context = NULL;
    }
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *c)
{
    (void)MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)BODY_TIMEOUT);
    return visit_of(c)->early = tsm_request_new(cls, c, uri);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **request)
{
    struct tsm_request *r = *request;
    (void)cls, (void)url;
    if (!r->begun) {
        visit_of(c)->early = NULL;
        tsm_request_begin(r, method, version);
        if (r->close)
            return tsm_request_queue(r);
        return MHD_YES;
    }
    if (*size) {
        tsm_request_receive(r, (const uint8_t *)data, *size);
        *size = 0;
        return MHD_YES;
    }
    switch ((enum tsm_phase)atomic_load(&r->phase)) {
    case TSM_PHASE_BODY:
        tsm_request_received(r);
        return dispatch(r);
    case TSM_PHASE_ANSWER:
        return tsm_request_queue(r);
    default:
        return MHD_YES;
    }
}

/* A client that closed its half while it waited for the answer: MHD may have missed that among its edge-triggered events, and would
 * keep the connection until it has been idle for long. This gives it another one. */
static void look_for_end(struct MHD_Connection *c)
{
    char byte;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info && recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        (void)shutdown(info->connect_fd, SHUT_RD);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **request,
                         enum MHD_RequestTerminationCode why)
{
    struct tsm_request *r = *request;
    (void)cls;
    *request = NULL;
    if (!r)
        return;
    visit_of(c)->early = NULL;
    if (r->begun) {
        TSM_COUNT(r, request_nanoseconds, (unsigned long long)(tsm_monotonic() - r->started));
        TSM_COUNT(r, requests_active, -1ull);
        tsm_request_log(r);
    }
    tsm_watch_remove(r->server->watch, r); /* before the descriptor can be another connection's */
    if (r->stream)
        tsm_stream_gone(r->stream);
    if (why == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
        (void)MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)IDLE_TIMEOUT);
        look_for_end(c);
    }
    tsm_request_unref(r);
}

/* By the watch's thread: the client of a query has closed its end. */
static void on_gone(struct tsm_request *r)
{
    int none = TSM_END_NONE;
    (void)atomic_compare_exchange_strong(&r->control.end, &none, TSM_END_GONE);
}

static void on_mhd_log(void *cls, const char *fmt, va_list ap)
{
    (void)cls, (void)fmt, (void)ap; /* of clients' faults; what concerns us is returned by its calls */
}

/* ---- sockets ------------------------------------------------------------------------------------- */

/* "host:port", "[::1]:port", ":port" (all addresses). False: it is none of these. */
static bool split_bind(const char *bind, char host[256], char port[32])
{
    const char *colon = strrchr(bind, ':');
    if (!colon || strlen(colon + 1) >= 32 || (size_t)(colon - bind) >= 256 || !colon[1])
        return false;
    size_t n = (size_t)(colon - bind);
    if (n >= 2 && bind[0] == '[' && bind[n - 1] == ']') {
        bind++;
        n -= 2;
    }
    memcpy(host, bind, n);
    host[n] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static int listen_on(const struct addrinfo *a)
{
    int one = 1, zero = 0, fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

static int listen_tcp(const char *bind_to, unsigned *port, int *fd, struct tsm_err *err)
{
    char host[256], service[32];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *list;
    if (!split_bind(bind_to, host, service))
        return tsm_err_set(err, TSM_EUSAGE, "'%s' is not an address and a port", bind_to);
    if (!host[0]) /* IPv6's takes IPv4 too, where there is IPv6 */
        hints.ai_family = AF_UNSPEC;
    int rc = getaddrinfo(host[0] ? host : NULL, service, &hints, &list);
    if (rc != 0)
        return tsm_err_set(err, TSM_EUSAGE, "%s: %s", bind_to, gai_strerror(rc));
    *fd = -1;
    for (int want6 = 1; want6 >= 0 && *fd < 0; want6--)
        for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next)
            if ((a->ai_family == AF_INET6) == want6)
                *fd = listen_on(a);
    int cause = errno;
    freeaddrinfo(list);
    if (*fd < 0)
        return tsm_err_sys(err, cause, "listen on %s", bind_to);
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    if (getsockname(*fd, (struct sockaddr *)&at, &len) == 0)
        *port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                               : ((struct sockaddr_in *)&at)->sin_port);
    return TSM_OK;
}

/* A socket file that nobody listens on is what a killed daemon left. */
static int listen_unix(const char *path, int *fd, struct tsm_err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return tsm_err_set(err, TSM_EUSAGE, "%s: the path of a socket has at most %zu bytes", path,
                           sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return tsm_err_sys(err, errno, "%s", path);
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool lives = probe >= 0 && connect(probe, (struct sockaddr *)&a, sizeof a) == 0;
    if (probe >= 0)
        close(probe);
    if (lives) {
        close(*fd);
        return tsm_err_set(err, TSM_ELOCKED, "%s: another daemon listens there", path);
    }
    (void)unlink(path);
    mode_t mask = umask(0117); /* user and group */
    int rc = bind(*fd, (struct sockaddr *)&a, sizeof a);
    int cause = errno;
    umask(mask);
    if (rc == 0 && listen(*fd, BACKLOG) == 0)
        return TSM_OK;
    cause = rc == 0 ? errno : cause;
    close(*fd);
    return tsm_err_sys(err, cause, "listen on %s", path);
}

/* ---- listeners ----------------------------------------------------------------------------------- */

static unsigned thread_count(const struct tsm_server_options *opt)
{
    unsigned n = opt->threads ? opt->threads : tsm_cpu_count();
    return n < 2 ? 2 : n;
}

/* Takes fd over, also on failure. */
static int start_listener(struct tsm_server *s, const struct tsm_server_options *opt, int fd, bool local,
                          struct tsm_err *err)
{
    struct tsm_buf certificate = {0}, key = {0};
    bool tls = !local && opt->tls_certificate;
    int rc = TSM_OK;
    if (tls) {
        rc = tsm_fs_read_file(&tsm_fs_posix, opt->tls_certificate, PEM_MAX, &certificate, err);
        if (rc == TSM_OK)
            rc = tsm_fs_read_file(&tsm_fs_posix, opt->tls_key ? opt->tls_key : opt->tls_certificate, PEM_MAX,
                                  &key, err);
    }
    struct tsm_listener *l = tsm_calloc(1, sizeof *l);
    l->server = s;
    l->local = local;
    l->fd = fd;
    unsigned threads = local ? 1 : thread_count(opt);
    struct MHD_OptionItem extra[4];
    size_t n = 0;
    if (tls) {
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, tsm_buf_cstr(&certificate)};
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, tsm_buf_cstr(&key)};
    }
    if (threads > 1)
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads, NULL};
    extra[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    unsigned limit = (unsigned)(opt->max_connections && opt->max_connections < 1000000 ? opt->max_connections
                                                                                       : CONNECTIONS);
    if (rc == TSM_OK) {
        l->daemon = MHD_start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                (tls ? MHD_USE_TLS : 0),
            0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_URI_LOG_CALLBACK, on_uri, l,
            MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, MHD_OPTION_NOTIFY_COMPLETED, on_completed, l,
            MHD_OPTION_CONNECTION_LIMIT, limit < threads ? threads : limit, MHD_OPTION_CONNECTION_TIMEOUT,
            (unsigned)IDLE_TIMEOUT, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
            MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)CONNECTION_STEP, MHD_OPTION_ARRAY, extra,
            MHD_OPTION_END);
        if (!l->daemon)
            rc = tls ? tsm_err_set(err, TSM_EUSAGE, "%s, %s: not a certificate and its key",
                                   opt->tls_certificate, opt->tls_key ? opt->tls_key : opt->tls_certificate)
                     : tsm_err_set(err, TSM_EIO, "the HTTP server does not start");
    }
    tsm_buf_release(&certificate);
    if (key.len)
        memset(key.data, 0, key.len);
    tsm_buf_release(&key);
    if (rc != TSM_OK) {
        close(fd);
        tsm_free(l);
        return rc;
    }
    l->next = s->listeners;
    s->listeners = l;
    return TSM_OK;
}

/* No connection is accepted any more. */
static void retire(struct tsm_listener *l)
{
    if (l->fd < 0)
        return;
    (void)MHD_quiesce_daemon(l->daemon);
    close(l->fd);
    l->fd = -1;
}

/* ---- start and stop ------------------------------------------------------------------------------ */

static void release(struct tsm_server *s)
{
    while (s->listeners) {
        struct tsm_listener *l = s->listeners;
        s->listeners = l->next;
        retire(l);
        MHD_stop_daemon(l->daemon);
        tsm_free(l);
    }
    tsm_pool_free(s->workers);
    tsm_pool_free(s->queries);
    tsm_watch_free(s->watch);
    tsm_password_cache_free(s->passwords);
    tsm_key_cache_free(s->keys);
    tsm_tracker_free(s->tracker);
    tsm_meta_copy_release(s->meta);
    tsm_settings_release(s->settings);
    if (s->socket_path)
        (void)unlink(s->socket_path);
    tsm_free(s->socket_path);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->mutex);
    tsm_free(s);
}

static int start_listeners(struct tsm_server *s, const struct tsm_server_options *opt, struct tsm_err *err)
{
    int fd, rc = TSM_OK;
    if (opt->bind) {
        rc = listen_tcp(opt->bind, &s->port, &fd, err);
        if (rc == TSM_OK)
            rc = start_listener(s, opt, fd, false, err);
    }
    if (rc == TSM_OK && opt->socket_path) {
        rc = listen_unix(opt->socket_path, &fd, err);
        if (rc == TSM_OK) {
            s->socket_path = tsm_strdup(opt->socket_path);
            rc = start_listener(s, opt, fd, true, err);
        }
    }
    return rc;
}

int tsm_server_start(const struct tsm_server_options *opt, struct tsm_service *service,
                     struct tsm_server **out, struct tsm_err *err)
{
    struct tsm_server *s = tsm_calloc(1, sizeof *s);
    pthread_condattr_t attr;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->idle, &attr);
    pthread_condattr_destroy(&attr);
    s->service = service;
    s->settings = settings_new(opt);
    s->workers = tsm_pool_new(thread_count(opt), WORK_QUEUE);
    s->queries = tsm_pool_new(QUERY_THREADS, QUERY_QUEUE);
    s->passwords = tsm_password_cache_new();
    s->keys = tsm_key_cache_new();
    s->tracker = tsm_tracker_new();
    s->started = tsm_now();
    s->watch = tsm_watch_new(on_gone);
    int rc = s->watch ? start_listeners(s, &s->settings->opt, err)
                      : tsm_err_set(err, TSM_EIO,
                                    "the HTTP server does not start: no more descriptors or threads");
    if (rc != TSM_OK) {
        release(s);
        return rc;
    }
    *out = s;
    return TSM_OK;
}

unsigned tsm_server_port(const struct tsm_server *s)
{
    return s->port;
}

/* With the mutex held; waits for at most ms. */
static void wait_idle(struct tsm_server *s, long ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    (void)pthread_cond_timedwait(&s->idle, &s->mutex, &until);
}

static bool is_active(struct tsm_server *s)
{
    return s->nrunning || atomic_load(&s->count.requests_active);
}

void tsm_server_stop(struct tsm_server *s, int64_t grace)
{
    int64_t until = tsm_monotonic() + grace;
    for (struct tsm_listener *l = s->listeners; l; l = l->next)
        retire(l);
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    while (is_active(s) && tsm_monotonic() < until)
        wait_idle(s, 10);
    while (s->nrunning) { /* a connection must not end while it is suspended */
        for (struct tsm_request *r = s->running; r; r = r->older) {
            int none = TSM_END_NONE;
            (void)atomic_compare_exchange_strong(&r->control.end, &none, TSM_END_SHUTDOWN);
        }
        wait_idle(s, 100);
    }
    pthread_mutex_unlock(&s->mutex);
    release(s);
}

/* ---- reload -------------------------------------------------------------------------------------- */

/* Certificates are read when a listener starts: a second one takes the socket over, and the first one serves the connections that
 * it has to their end. */
static int renew_tls(struct tsm_server *s, const struct tsm_server_options *opt, struct tsm_err *err)
{
    struct tsm_listener *old = s->listeners;
    while (old && (old->local || old->fd < 0))
        old = old->next;
    if (!old)
        return TSM_OK;
    int fd = dup(old->fd);
    if (fd < 0)
        return tsm_err_sys(err, errno, "renew the certificate");
    int rc = start_listener(s, opt, fd, false, err);
    if (rc == TSM_OK)
        retire(old);
    return rc;
}

/* Retired listeners that have nothing left to serve. */
static void sweep(struct tsm_server *s)
{
    for (struct tsm_listener **at = &s->listeners; *at;) {
        struct tsm_listener *l = *at;
        const union MHD_DaemonInfo *info =
            l->fd < 0 ? MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS) : NULL;
        if (!info || info->num_connections) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        MHD_stop_daemon(l->daemon);
        tsm_free(l);
    }
}

int tsm_server_reload(struct tsm_server *s, const struct tsm_server_options *opt, struct tsm_err *err)
{
    struct tsm_settings *new = settings_new(opt), *old = s->settings;
    if ((opt->tls_certificate != NULL) != (old->opt.tls_certificate != NULL)) {
        if (opt->log)
            opt->log(opt->log_ctx, "whether HTTP is served by TLS is the same until the next start");
    } else if (opt->tls_certificate) {
        int rc = renew_tls(s, &new->opt, err);
        if (rc != TSM_OK) {
            tsm_settings_release(new);
            return rc;
        }
    }
    sweep(s);
    pthread_mutex_lock(&s->mutex);
    s->settings = new;
    pthread_mutex_unlock(&s->mutex);
    tsm_settings_release(old);
    return TSM_OK;
}
