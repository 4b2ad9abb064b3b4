/* query_cases.c: reads case files, asks queries. */
#include "query_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "format/line.h"
#include "result/writer.h"
#include "store/engine.h"

/* The next line of *rest, without its end. */
static struct tsm_str take_line(struct tsm_str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct tsm_str line = tsm_str(rest->p, n);
    *rest = tsm_str(rest->p + n + (end != NULL), rest->n - n - (end != NULL));
    return line;
}

struct tsm_str query_cases_section(const struct query_cases *c, const char *name)
{
    struct tsm_str rest = tsm_buf_view(&c->text), line = {0};
    while (rest.n) {
        line = take_line(&rest);
        if (line.n && line.p[0] == '%' && tsm_str_eq(tsm_str(line.p + 1, line.n - 1), tsm_str_of(name)))
            break;
    }
    struct tsm_str section = tsm_str(rest.p, 0);
    while (rest.n && rest.p[0] != '%') {
        take_line(&rest);
        section.n = (size_t)(rest.p - section.p);
    }
    return section;
}

static void add_section(struct query_cases *c, const char *name)
{
    struct tsm_str rest = query_cases_section(c, name);
    while (rest.n) {
        struct query_case one;
        one.query = take_line(&rest);
        one.answer = take_line(&rest);
        take_line(&rest);
        TSM_GROW(c->items, c->n + 1, c->cap);
        c->items[c->n++] = one;
    }
}

void query_cases_load(struct query_cases *c, const char *path)
{
    *c = (struct query_cases){0};
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        exit(1);
    }
    size_t n;
    do {
        n = fread(tsm_buf_room(&c->text, 65536), 1, 65536, f);
        c->text.len += n;
    } while (n);
    fclose(f);
    add_section(c, "cases");
    add_section(c, "newer");
}

void query_cases_release(struct query_cases *c)
{
    tsm_free(c->items);
    tsm_buf_release(&c->text);
    *c = (struct query_cases){0};
}

static void no_reject(void *ctx, uint32_t line, struct tsm_str point, const char *cause)
{
    (void)ctx;
    fail_msg("line %u: %.*s: %s", line, (int)point.n, point.p, cause);
}

void query_cases_write(const char *dir, const char *database, const char *rp, struct tsm_str lines)
{
    struct tsm_engine_options o = {
        .dir = dir, .database = tsm_str_of(database), .holder = "test", .memory = 1 << 24};
    o.rp = tsm_str_of(rp);
    o.jobs = 1;
    struct tsm_line_options lo = {.unit = 1};
    struct tsm_engine *e;
    struct tsm_points points = {0};
    struct tsm_err err = {0};
    if (tsm_engine_open(&tsm_fs_posix, &o, &e, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    tsm_line_parse(lines, &lo, &points, no_reject, NULL);
    assert_int_equal(tsm_engine_write(e, &points, no_reject, NULL, &err), TSM_OK);
    assert_int_equal(tsm_engine_sync(e, &err), TSM_OK);
    tsm_engine_close(e);
    tsm_points_release(&points);
}

char *query_answer(const struct tsm_query_options *opt, struct tsm_str query)
{
    struct tsm_result_options ro = {.format = TSM_FORMAT_JSON};
    struct tsm_output out;
    tsm_output_init(&out, 1);
    out.limit = SIZE_MAX; /* keeps everything */
    struct tsm_sink *sink = tsm_result_writer_new(&ro, &out);
    struct tsm_err err = {0};
    int code = tsm_query_run(opt, query, sink, NULL, &err);
    if (code == TSM_EPARSE) {
        tsm_result_writer_free(sink);
        tsm_buf_reset(&out.buf);
        tsm_json_error(&out.buf, err.msg, false);
    } else {
        assert_true(code == TSM_OK || code == TSM_EQUERY || code == TSM_ELIMIT);
        assert_int_equal(tsm_result_writer_finish(sink, &err), TSM_OK);
    }
    char *json = tsm_strndup((char *)out.buf.data, out.buf.len ? out.buf.len - 1 : 0);
    tsm_buf_reset(&out.buf);
    tsm_output_release(&out);
    return json;
}
