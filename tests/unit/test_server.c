/*
 * tests/unit/test_server.c: the HTTP server with a service of the test's own behind it: writes that wait, fail and come late;
 * readers that are slow or go away; bodies, heads and methods that are wrong; the end of the server while all of this goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/time.h"
#include "net/server.h"
#include "temp_dir.h"

/* ---- a service ----------------------------------------------------------------------------------- */

enum mode { TAKE, BUSY, REJECT, LATER };

struct pending {
    tsm_written_fn *done;
    void *ctx;
};

static struct {
    struct tsm_meta meta;
    struct tsm_tasks *tasks;
    struct tsm_service service;
    struct tsm_backend backend;
    struct tsm_server *server;
    char *socket_path;
    pthread_mutex_t mutex;
    enum mode mode;
    size_t points;
    char last[200]; /* the last line that came */
    struct pending pending[64];
    size_t npending;
} t;

static int get_meta(void *ctx, struct tsm_meta *m, struct tsm_err *err)
{
    struct tsm_buf b = {0};
    (void)ctx;
    tsm_meta_encode(&t.meta, &b);
    int rc = tsm_meta_decode(b.data, b.len, m, err);
    tsm_buf_release(&b);
    return rc;
}

static int no_shard(void *ctx, struct tsm_str db, struct tsm_str rp, uint64_t id,
                    const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err)
{
    (void)ctx, (void)db, (void)rp, (void)id, (void)damage, (void)s;
    return tsm_err_set(err, TSM_ENOTFOUND, "no such shard");
}

static int no_change(void *ctx, const struct tsm_change *c, struct tsm_err *err)
{
    (void)ctx, (void)c;
    return tsm_err_set(err, TSM_EQUERY, "not here");
}

static uint64_t meta_version(void *ctx)
{
    (void)ctx;
    return 1;
}

static void take_write(void *ctx, struct tsm_str database, struct tsm_str rp, struct tsm_points *points,
                       struct tsm_buf *text, tsm_written_fn *done, void *done_ctx)
{
    (void)ctx, (void)database, (void)rp;
    struct tsm_points mine = *points;
    struct tsm_buf body = *text;
    *points = (struct tsm_points){0};
    *text = (struct tsm_buf){0};
    pthread_mutex_lock(&t.mutex);
    enum mode mode = t.mode;
    t.points += mine.n;
    if (mine.n)
        snprintf(t.last, sizeof t.last, "%.*s", (int)mine.points[mine.n - 1].text.n,
                 mine.points[mine.n - 1].text.p);
    if (mode == LATER && t.npending < 64)
        t.pending[t.npending++] = (struct pending){done, done_ctx};
    else
        mode = mode == LATER ? BUSY : mode;
    pthread_mutex_unlock(&t.mutex);
    tsm_points_release(&mine);
    tsm_buf_release(&body);
    if (mode == LATER)
        return;
    struct tsm_write_result r = {.code = mode == BUSY ? TSM_EAGAIN : TSM_OK,
                                 .message = "too much on its way"};
    if (mode == REJECT) {
        r.rejected = 2;
        r.first_cause = "points beyond retention policy";
    }
    done(done_ctx, &r);
}

static void set_mode(enum mode mode)
{
    pthread_mutex_lock(&t.mutex);
    t.mode = mode;
    pthread_mutex_unlock(&t.mutex);
}

/* Gives the late writes their answer. */
static size_t release_pending(void)
{
    struct pending list[64];
    pthread_mutex_lock(&t.mutex);
    size_t n = t.npending;
    memcpy(list, t.pending, n * sizeof *list);
    t.npending = 0;
    pthread_mutex_unlock(&t.mutex);
    for (size_t i = 0; i < n; i++)
        list[i].done(list[i].ctx, &(struct tsm_write_result){.code = TSM_OK});
    return n;
}

static size_t wait_pending(size_t n)
{
    size_t have = 0;
    for (int i = 0; i < 3000 && have < n; i++) {
        pthread_mutex_lock(&t.mutex);
        have = t.npending;
        pthread_mutex_unlock(&t.mutex);
        if (have < n)
            usleep(10000);
    }
    return have;
}

static void start_with(void (*change)(struct tsm_server_options *o))
{
    struct tsm_server_options o = {
        .bind = "127.0.0.1:0",
        .socket_path = t.socket_path,
        .threads = 2,
        .query_threads = 1,
        .max_body = 1 << 20,
        .query_memory = 64 << 20,
    };
    struct tsm_err err = {0};
    if (change)
        change(&o);
    if (tsm_server_start(&o, &t.service, &t.server, &err) != TSM_OK)
        fail_msg("%s", err.msg);
}

static int set_up(void **state)
{
    make_temp(state);
    pthread_mutex_init(&t.mutex, NULL);
    t.socket_path = tsm_strdup(in_temp("server.sock"));
    t.tasks = tsm_tasks_new(0);
    t.backend = (struct tsm_backend){.meta = get_meta, .open_shard = no_shard, .change = no_change};
    t.service = (struct tsm_service){
        .backend = &t.backend, .tasks = t.tasks, .meta_version = meta_version, .write = take_write};
    /* So many databases that SHOW DATABASES is an answer of some megabytes. */
    for (int i = 0; i < 20000; i++) {
        char name[200];
        int n = snprintf(name, sizeof name, "%s%06d",
                         i ? "a database with a name that is quite long, to fill the ring soon, "
                             "and once more: a name that is quite long "
                           : "db",
                         i);
        assert_int_equal(
            tsm_meta_create_database(&t.meta, i ? tsm_str(name, (size_t)n) : TSM_STR("db"), NULL, NULL),
            TSM_OK);
    }
    return 0;
}

static int tear_down(void **state)
{
    tsm_meta_release(&t.meta);
    tsm_tasks_free(t.tasks);
    tsm_free(t.socket_path);
    return remove_temp(state);
}

static void stop(void)
{
    tsm_server_stop(t.server, TSM_SEC / 10);
    t.server = NULL;
}

/* ---- a client ------------------------------------------------------------------------------------ */

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)tsm_server_port(t.server))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void put(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t done = send(fd, p, n, MSG_NOSIGNAL);
        if (done <= 0)
            return; /* the server may have had enough */
        p += done;
        n -= (size_t)done;
    }
}

static void say(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

/* Takes the framing of the chunks out of the body, which begins at `head`. */
static void unchunk(struct tsm_buf *b, size_t head)
{
    size_t w = head;
    for (size_t at = head; at < b->len;) {
        char *end;
        size_t n = (size_t)strtoul((const char *)b->data + at, &end, 16);
        at = (size_t)(end - (const char *)b->data) + 2;
        assert_true(at + n + 2 <= b->len);
        memmove(b->data + w, b->data + at, n);
        w += n;
        at += n + 2;
    }
    b->len = w;
}

/* Reads one answer (head and body) into out; its status, 0 when the connection ended before. */
static int hear(int fd, struct tsm_buf *out)
{
    size_t head = 0, want = 0; /* bytes; want is that of the body when it is known */
    bool chunked = false;
    tsm_buf_reset(out);
    for (;;) {
        const char *end = head ? NULL : strstr(tsm_buf_cstr(out), "\r\n\r\n");
        if (end) {
            const char *text = (const char *)out->data, *length = strcasestr(text, "\r\nContent-Length:"),
                       *coding = strcasestr(text, "\r\nTransfer-Encoding: chunked");
            head = (size_t)(end - text) + 4;
            chunked = coding && coding < end;
            want = length && length < end ? (size_t)strtoul(length + 17, NULL, 10) : 0;
        }
        if (head && (chunked ? out->len >= 5 && memcmp(out->data + out->len - 5, "0\r\n\r\n", 5) == 0
                             : out->len >= head + want)) {
            (void)tsm_buf_cstr(out);
            if (chunked)
                unchunk(out, head);
            return (int)strtol((const char *)out->data + 9, NULL, 10);
        }
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t n = poll(&p, 1, 30000) == 1 ? recv(fd, tsm_buf_room(out, 65536), 65536, 0) : -1;
        if (n <= 0)
            return 0;
        out->len += (size_t)n;
    }
}

static int ask(const char *text, struct tsm_buf *out)
{
    int fd = dial();
    say(fd, text);
    int status = hear(fd, out);
    close(fd);
    return status;
}

static void assert_has(const struct tsm_buf *b, const char *text)
{
    struct tsm_buf copy = {0};
    tsm_buf_str(&copy, tsm_buf_view(b));
    bool has = strstr(tsm_buf_cstr(&copy), text) != NULL;
    if (!has)
        fail_msg("'%s' is not in: %.500s", text, (char *)copy.data);
    tsm_buf_release(&copy);
}

#define WRITE "POST /write?db=db HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\ncpu value=1 1"

/* ---- tests --------------------------------------------------------------------------------------- */

static void test_writes(void **state)
{
    struct tsm_buf b = {0};
    (void)state;
    start_with(NULL);
    set_mode(TAKE);
    assert_int_equal(ask(WRITE, &b), 204);
    assert_has(&b, "X-Tsmkit-Version: ");
    assert_string_equal(t.last, "cpu value=1 1");
    set_mode(BUSY);
    assert_int_equal(ask(WRITE, &b), 503);
    assert_has(&b, "Retry-After: ");
    assert_has(&b, "{\"error\":\"too much on its way\"}");
    set_mode(REJECT);
    assert_int_equal(ask(WRITE, &b), 400);
    assert_has(&b, "{\"error\":\"partial write: points beyond retention policy dropped=2\"}");
    set_mode(TAKE);
    stop();
    tsm_buf_release(&b);
}

/* Writes that wait hold no thread: with two of them, a dozen wait and others are answered meanwhile. */
static void test_writes_that_wait(void **state)
{
    struct tsm_buf b = {0};
    int fd[12];
    (void)state;
    start_with(NULL);
    set_mode(LATER);
    for (int i = 0; i < 12; i++) {
        fd[i] = dial();
        say(fd[i], WRITE);
    }
    assert_int_equal(wait_pending(12), 12);
    assert_int_equal(ask("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", &b), 204);
    set_mode(TAKE);
    assert_int_equal(ask(WRITE, &b), 204);
    assert_int_equal(release_pending(), 12);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(hear(fd[i], &b), 204);
        close(fd[i]);
    }
    /* A client that is gone by the time of its answer. */
    set_mode(LATER);
    int gone = dial();
    say(gone, WRITE);
    assert_int_equal(wait_pending(1), 1);
    close(gone);
    assert_int_equal(release_pending(), 1);
    set_mode(TAKE);
    stop();
    tsm_buf_release(&b);
}

static void test_keep_alive(void **state)
{
    struct tsm_buf b = {0};
    (void)state;
    start_with(NULL);
    int fd = dial();
    for (int i = 0; i < 50; i++) {
        say(fd, WRITE);
        assert_int_equal(hear(fd, &b), 204);
        say(fd, "POST /write?db=nope HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\ncpu value=1 1");
        assert_int_equal(hear(fd, &b), 404);
        say(fd, "GET /query?q=SELECT HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(hear(fd, &b), 400);
    }
    /* Byte by byte, and in chunks. */
    for (const char *p = WRITE; *p; p++)
        put(fd, p, 1);
    assert_int_equal(hear(fd, &b), 204);
    say(fd, "POST /write?db=db HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ncpu "
            "\r\n9\r\nvalue=2 2\r\n0\r\n\r\n");
    assert_int_equal(hear(fd, &b), 204);
    assert_string_equal(t.last, "cpu value=2 2");
    close(fd);
    stop();
    tsm_buf_release(&b);
}

static void test_wrong_requests(void **state)
{
    struct tsm_buf b = {0}, big = {0};
    (void)state;
    start_with(NULL);
    static const struct {
        const char *text;
        int status; /* 0: with any, or none */
    } cases[] = {
        {"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404},
        {"PUT /write HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405},
        {"nonsense\r\n\r\n", 0},
        {"GET / HTTP/9.9\r\n\r\n", 0},
        {"GET /ping\r\n\r\n", 0},
        {"\r\n\r\n\r\n", 0},
        {"POST /write?db=db HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 0},
        {"POST /write?db=db HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 0},
        {"POST /write?db=db HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 0},
        {"POST /write?db=db HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413},
        {"POST /write?db=db HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n",
         413},
        {"POST /api/v2/query HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nfrom()", 403},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = dial();
        say(fd, cases[i].text);
        if (cases[i].status)
            assert_int_equal(hear(fd, &b), cases[i].status);
        close(fd);
    }
    /* Heads that are too long: refused, and the server goes on. */
    tsm_buf_puts(&big, "GET /ping?");
    for (int i = 0; i < 200000; i++)
        tsm_buf_byte(&big, 'x');
    tsm_buf_puts(&big, " HTTP/1.1\r\nHost: x\r\n\r\n");
    int fd = dial();
    put(fd, (char *)big.data, big.len);
    int status = hear(fd, &b);
    assert_true(status == 0 || status == 414 || status == 431);
    close(fd);
    /* A body that is larger than was said to be allowed, in chunks: no length tells. */
    fd = dial();
    say(fd, "POST /write?db=db HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 30; i++) {
        say(fd, "10000\r\n");
        put(fd, (char *)big.data, 0x10000);
        say(fd, "\r\n");
    }
    say(fd, "0\r\n\r\n");
    assert_int_equal(hear(fd, &b), 413);
    close(fd);
    assert_int_equal(ask(WRITE, &b), 204);
    stop();
    tsm_buf_release(&b);
    tsm_buf_release(&big);
}

/* Some 18 MB: more than the sockets' buffers hold. */
#define SHOW                                                                                   \
    "GET /query?q=SHOW+DATABASES;SHOW+DATABASES;SHOW+DATABASES;SHOW+DATABASES;SHOW+DATABASES;" \
    "SHOW+DATABASES;SHOW+DATABASES;SHOW+DATABASES HTTP/1.1\r\nHost: x\r\n\r\n"

/* A window of many segments, but a small one. */
static int dial_slow(void)
{
    int fd = dial(), small = 256 << 10;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    return fd;
}

/* What comes in a stream is whole, however slowly it is read, and others are served meanwhile. */
static void test_slow_readers(void **state)
{
    struct tsm_buf b = {0}, first = {0};
    int fd[6];
    (void)state;
    start_with(NULL);
    for (int i = 0; i < 6; i++) {
        fd[i] = dial_slow();
        say(fd[i], SHOW);
    }
    assert_int_equal(ask("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", &b), 204);
    assert_int_equal(ask(WRITE, &b), 204);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(hear(fd[i], &b), 200);
        assert_has(&b, "\r\nTransfer-Encoding: chunked\r\n");
        assert_true(b.len > 15000000);
        if (i == 0)
            tsm_buf_str(&first, tsm_buf_view(&b));
        else
            assert_int_equal(b.len, first.len);
        close(fd[i]);
    }
    stop();
    tsm_buf_release(&b);
    tsm_buf_release(&first);
}

static bool wait_no_tasks(void)
{
    for (int i = 0; i < 3000 && tsm_tasks_count(t.tasks); i++)
        usleep(10000);
    return tsm_tasks_count(t.tasks) == 0;
}

/* A reader that goes away ends its query. */
static void test_readers_that_go(void **state)
{
    struct tsm_buf b = {0};
    (void)state;
    start_with(NULL);
    for (int i = 0; i < 10; i++) {
        int fd = dial();
        say(fd, SHOW);
        if (i % 2) {
            char some[1000];
            assert_true(recv(fd, some, sizeof some, 0) > 0);
        }
        close(fd);
    }
    assert_true(wait_no_tasks());
    assert_int_equal(ask(SHOW, &b), 200);
    stop();
    tsm_buf_release(&b);
}

/* A reader that has stopped reading: KILL QUERY ends its query, and so does the end of the server. */
static void test_readers_that_stop(void **state)
{
    struct tsm_buf b = {0};
    (void)state;
    start_with(NULL);
    for (int round = 0; round < 2; round++) {
        int fd = dial_slow();
        say(fd, SHOW);
        for (int i = 0; i < 3000 && !tsm_tasks_count(t.tasks); i++)
            usleep(1000);
        if (round == 0) {
            for (uint64_t id = 1; id < 1000; id++)
                (void)tsm_tasks_kill(t.tasks, id, NULL);
            assert_true(wait_no_tasks());
        } else {
            stop();
        }
        close(fd);
    }
    tsm_buf_release(&b);
}

static void test_idle_connections(void **state)
{
    struct tsm_buf b = {0};
    struct rlimit limit;
    enum { MANY = 2000 };
    static int fd[MANY];
    (void)state;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < 2 * MANY + 100)
        skip();
    start_with(NULL);
    for (int i = 0; i < MANY; i++)
        fd[i] = dial();
    for (int i = 0; i < MANY; i += 100)
        say(fd[i], "GET /pi"); /* half a head */
    for (int i = 50; i < MANY; i += 100)
        say(fd[i],
            "POST /write?db=db HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\ncpu va"); /* half a body */
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask(WRITE, &b), 204);
    say(fd[50], "lue=7 7");
    assert_int_equal(hear(fd[50], &b), 204);
    say(fd[100], "ng HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(hear(fd[100], &b), 204);
    stop();
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
    tsm_buf_release(&b);
}

static void with_auth(struct tsm_server_options *o)
{
    o->auth_enabled = true;
}

/* The socket needs no credentials; a second server does not take it from the first. */
static void test_socket(void **state)
{
    struct tsm_buf b = {0};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct tsm_server *second;
    struct tsm_err err;
    (void)state;
    start_with(with_auth);
    memcpy(a.sun_path, t.socket_path, strlen(t.socket_path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    say(fd, WRITE);
    assert_int_equal(hear(fd, &b), 204);
    close(fd);
    assert_int_equal(ask(WRITE, &b), 403); /* there is no admin, and nobody has logged in */
    struct tsm_server_options o = {.socket_path = t.socket_path};
    assert_int_equal(tsm_server_start(&o, &t.service, &second, &err), TSM_ELOCKED);
    stop();
    assert_int_not_equal(access(t.socket_path, F_OK), 0);
    o = (struct tsm_server_options){.bind = "nonsense"};
    assert_int_equal(tsm_server_start(&o, &t.service, &second, &err), TSM_EUSAGE);
    tsm_buf_release(&b);
}

static void test_reload(void **state)
{
    struct tsm_buf b = {0};
    struct tsm_server_options o = {
        .bind = "127.0.0.1:0", .socket_path = t.socket_path, .threads = 2, .max_body = 5};
    (void)state;
    start_with(NULL);
    int fd = dial();
    say(fd, WRITE);
    assert_int_equal(hear(fd, &b), 204);
    assert_int_equal(tsm_server_reload(t.server, &o, NULL), TSM_OK);
    say(fd, WRITE);
    assert_int_equal(hear(fd, &b), 413);
    close(fd);
    stop();
    tsm_buf_release(&b);
}

/* Writes that wait when the server stops get their answer first. */
static void *release_soon(void *arg)
{
    (void)arg;
    usleep(300000);
    release_pending();
    return NULL;
}

static void test_stop_waits_for_writes(void **state)
{
    pthread_t thread;
    int fd;
    (void)state;
    start_with(NULL);
    set_mode(LATER);
    fd = dial();
    say(fd, WRITE);
    assert_int_equal(wait_pending(1), 1);
    pthread_create(&thread, NULL, release_soon, NULL);
    stop();
    pthread_join(thread, NULL);
    close(fd);
    set_mode(TAKE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_writes_that_wait),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_wrong_requests),
        cmocka_unit_test(test_slow_readers),
        cmocka_unit_test(test_readers_that_go),
        cmocka_unit_test(test_readers_that_stop),
        cmocka_unit_test(test_idle_connections),
        cmocka_unit_test(test_socket),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_stop_waits_for_writes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
