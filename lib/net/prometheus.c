/* net/prometheus.c: remote write and remote read. */
#include "net/prometheus.h"

#include <inttypes.h>
#include <math.h>
#include <snappy-c.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/map.h"
#include "base/protobuf.h"
#include "base/time.h"
#include "query/ast.h"
#include "base/banned.h"

enum { /* field numbers */
       REQUEST_SERIES = 1,
       REQUEST_QUERIES = 1,
       SERIES_LABELS = 1,
       SERIES_SAMPLES = 2,
       LABEL_NAME = 1,
       LABEL_VALUE = 2,
       SAMPLE_VALUE = 1,
       SAMPLE_TIME = 2,
       QUERY_START = 1,
       QUERY_END = 2,
       QUERY_MATCHERS = 3,
       MATCHER_TYPE = 1,
       MATCHER_NAME = 2,
       MATCHER_VALUE = 3,
       RESPONSE_RESULTS = 1,
       RESULT_SERIES = 1,
};

enum match { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX, MATCH_NOT_REGEX, MATCHES };

#define NAME_LABEL TSM_STR("__name__")
#define FIELD TSM_STR("value")
#define NO_NAME TSM_STR("prom_metric_not_specified")

static int malformed(struct tsm_err *err, const char *what)
{
    return tsm_err_set(err, TSM_EPARSE, "malformed %s", what);
}

static struct tsm_pb_reader reader(struct tsm_str s)
{
    return (struct tsm_pb_reader){(const uint8_t *)s.p, (const uint8_t *)s.p + s.n};
}

static bool is_bytes(const struct tsm_pb_field *f, uint32_t number)
{
    return f->number == number && f->wire == TSM_PB_BYTES;
}

int tsm_prometheus_unpack(const uint8_t *p, size_t n, size_t limit, struct tsm_buf *out, struct tsm_err *err)
{
    size_t size;
    if (snappy_uncompressed_length((const char *)p, n, &size) != SNAPPY_OK)
        return tsm_err_set(err, TSM_EPARSE, "snappy: corrupt input");
    if (size > limit)
        return tsm_err_set(err, TSM_ELIMIT, "the request is larger than %zu bytes", limit);
    if (size == 0)
        return TSM_OK;
    if (snappy_uncompress((const char *)p, n, (char *)tsm_buf_room(out, size), &size) != SNAPPY_OK)
        return tsm_err_set(err, TSM_EPARSE, "snappy: corrupt input");
    out->len += size;
    return TSM_OK;
}

/* ---- writing ----------------------------------------------------------------------------------- */

struct write_series {
    struct tsm_points *out;
    struct tsm_prometheus_dropped *dropped;
    struct tsm_buf key, tags;
    struct tsm_str name;
};

static int take_label(struct write_series *s, struct tsm_str label)
{
    struct tsm_pb_reader r = reader(label);
    struct tsm_pb_field f;
    struct tsm_str name = {"", 0}, value = {"", 0};
    int more;
    while ((more = tsm_pb_next(&r, &f)) > 0) {
        if (is_bytes(&f, LABEL_NAME))
            name = f.bytes;
        else if (is_bytes(&f, LABEL_VALUE))
            value = f.bytes;
    }
    if (tsm_str_eq(name, NAME_LABEL) && value.n)
        s->name = value;
    if (name.n && value.n) { /* an empty one is the same as none */
        tsm_buf_byte(&s->tags, ',');
        tsm_escape_tag(&s->tags, name);
        tsm_buf_byte(&s->tags, '=');
        tsm_escape_tag(&s->tags, value);
    }
    return more;
}

static int take_sample(struct write_series *s, struct tsm_str sample, struct tsm_str key, uint64_t hash)
{
    struct tsm_pb_reader r = reader(sample);
    struct tsm_pb_field f;
    union {
        double f;
        uint64_t u;
    } v = {.u = 0};
    uint64_t ms = 0;
    int more;
    while ((more = tsm_pb_next(&r, &f)) > 0) {
        if (f.number == SAMPLE_VALUE && f.wire == TSM_PB_FIXED64)
            v.u = tsm_get_le64((const uint8_t *)f.bytes.p);
        else if (f.number == SAMPLE_TIME && f.wire == TSM_PB_VARINT)
            ms = f.value;
    }
    if (more < 0)
        return more;
    int64_t t;
    if (isnan(v.f))
        s->dropped->nan++;
    else if (isinf(v.f))
        *(v.f > 0 ? &s->dropped->positive : &s->dropped->negative) += 1;
    else if (__builtin_mul_overflow((int64_t)ms, (int64_t)TSM_MSEC, &t) || t < TSM_TIME_MIN ||
             t > TSM_TIME_MAX)
        return -1;
    else {
        struct tsm_points *out = s->out;
        TSM_GROW(out->points, out->n + 1, out->cap);
        TSM_GROW(out->fields, out->nfields + 1, out->capfields);
        out->points[out->n] = (struct tsm_point){.raw_key = key, .hash = hash, .time = t, .text = key};
        out->points[out->n].first_field = (uint32_t)out->nfields;
        out->points[out->n].nfields = 1;
        out->points[out->n].line = (uint32_t)out->n + 1;
        out->n++;
        out->fields[out->nfields] = (struct tsm_field){.name = FIELD, .type = TSM_FLOAT};
        out->fields[out->nfields++].value.f = v.f;
    }
    return 0;
}

static int take_series(struct write_series *s, struct tsm_str series)
{
    struct tsm_pb_reader r = reader(series);
    struct tsm_pb_field f;
    int more;
    tsm_buf_reset(&s->key);
    tsm_buf_reset(&s->tags);
    s->name = NO_NAME;
    while ((more = tsm_pb_next(&r, &f)) > 0)
        if (is_bytes(&f, SERIES_LABELS) && take_label(s, f.bytes) < 0)
            return -1;
    if (more < 0)
        return more;
    tsm_escape_measurement(&s->key, s->name);
    tsm_buf_str(&s->key, tsm_buf_view(&s->tags));
    if (s->key.len + TSM_FIELD_SEPARATOR.n + FIELD.n > TSM_KEY_MAX)
        return -1;
    struct tsm_str key = tsm_arena_str(&s->out->arena, tsm_buf_view(&s->key));
    uint64_t hash = tsm_hash(key);
    r = reader(series);
    while (tsm_pb_next(&r, &f) > 0)
        if (is_bytes(&f, SERIES_SAMPLES) && take_sample(s, f.bytes, key, hash) < 0)
            return -1;
    return 0;
}

int tsm_prometheus_write(const uint8_t *p, size_t n, struct tsm_points *out,
                         struct tsm_prometheus_dropped *dropped, struct tsm_err *err)
{
    struct write_series s = {.out = out, .dropped = dropped};
    struct tsm_pb_reader r = {p, p + n};
    struct tsm_pb_field f;
    int more;
    *dropped = (struct tsm_prometheus_dropped){0};
    while ((more = tsm_pb_next(&r, &f)) > 0)
        if (is_bytes(&f, REQUEST_SERIES) && (more = take_series(&s, f.bytes)) < 0)
            break;
    tsm_buf_release(&s.key);
    tsm_buf_release(&s.tags);
    return more < 0 ? malformed(err, "write request") : TSM_OK;
}

/* ---- reading: the question --------------------------------------------------------------------- */

/* A regular expression that has to match all of a text, as a literal. */
static void put_regex(struct tsm_buf *out, struct tsm_str re)
{
    tsm_buf_puts(out, "/^(?:");
    for (size_t i = 0; i < re.n; i++) {
        if (re.p[i] == '/')
            tsm_buf_byte(out, '\\');
        tsm_buf_byte(out, (uint8_t)re.p[i]);
    }
    tsm_buf_puts(out, ")$/");
}

struct matcher {
    uint64_t type;
    struct tsm_str name, value;
};

static int read_matcher(struct tsm_str bytes, struct matcher *m)
{
    struct tsm_pb_reader r = reader(bytes);
    struct tsm_pb_field f;
    int more;
    *m = (struct matcher){.name = {"", 0}, .value = {"", 0}};
    while ((more = tsm_pb_next(&r, &f)) > 0) {
        if (f.number == MATCHER_TYPE && f.wire == TSM_PB_VARINT)
            m->type = f.value;
        else if (is_bytes(&f, MATCHER_NAME))
            m->name = f.bytes;
        else if (is_bytes(&f, MATCHER_VALUE))
            m->value = f.bytes;
    }
    return m->type < MATCHES ? more : -1;
}

static void put_condition(struct tsm_buf *out, const struct matcher *m)
{
    static const char *const operators[MATCHES] = {" = ", " != ", " =~ ", " !~ "};
    tsm_buf_puts(out, " AND ");
    tsm_quote_ident(out, m->name);
    tsm_buf_puts(out, "::tag");
    tsm_buf_puts(out, operators[m->type]);
    if (m->type >= MATCH_REGEX)
        put_regex(out, m->value);
    else
        tsm_quote_string(out, m->value);
}

static int64_t clamp_time(uint64_t ms)
{
    int64_t t;
    if (__builtin_mul_overflow((int64_t)ms, (int64_t)TSM_MSEC, &t))
        return (int64_t)ms < 0 ? TSM_TIME_MIN : TSM_TIME_MAX;
    return t < TSM_TIME_MIN ? TSM_TIME_MIN : t > TSM_TIME_MAX ? TSM_TIME_MAX : t;
}

static int put_query(struct tsm_buf *out, struct tsm_str query)
{
    struct tsm_buf conditions = {0}, source = {0};
    struct tsm_pb_reader r = reader(query);
    struct tsm_pb_field f;
    struct matcher m;
    uint64_t start = 0, end = 0;
    int more;
    while ((more = tsm_pb_next(&r, &f)) > 0) {
        if (f.number == QUERY_START && f.wire == TSM_PB_VARINT) {
            start = f.value;
        } else if (f.number == QUERY_END && f.wire == TSM_PB_VARINT) {
            end = f.value;
        } else if (is_bytes(&f, QUERY_MATCHERS)) {
            if ((more = read_matcher(f.bytes, &m)) < 0)
                break;
            bool name = tsm_str_eq(m.name, NAME_LABEL) && source.len == 0;
            if (name && m.type == MATCH_EQUAL)
                tsm_quote_ident(&source, m.value);
            else if (name && m.type == MATCH_REGEX)
                put_regex(&source, m.value);
            else
                put_condition(&conditions, &m);
        }
    }
    tsm_buf_puts(out, "SELECT \"value\" FROM ");
    if (source.len)
        tsm_buf_str(out, tsm_buf_view(&source));
    else
        tsm_buf_puts(out, "/.*/");
    tsm_buf_printf(out, " WHERE time >= %" PRId64 " AND time <= %" PRId64, clamp_time(start),
                   clamp_time(end));
    tsm_buf_str(out, tsm_buf_view(&conditions));
    tsm_buf_puts(out, " GROUP BY *");
    tsm_buf_release(&conditions);
    tsm_buf_release(&source);
    return more;
}

int tsm_prometheus_read(const uint8_t *p, size_t n, struct tsm_buf *influxql, struct tsm_err *err)
{
    struct tsm_pb_reader r = {p, p + n};
    struct tsm_pb_field f;
    int more;
    bool any = false;
    while ((more = tsm_pb_next(&r, &f)) > 0) {
        if (!is_bytes(&f, REQUEST_QUERIES))
            continue;
        if (any)
            tsm_buf_puts(influxql, "; ");
        any = true;
        if ((more = put_query(influxql, f.bytes)) < 0)
            break;
    }
    return more < 0 || !any ? malformed(err, "read request") : TSM_OK;
}

/* ---- reading: the answer ----------------------------------------------------------------------- */

struct tsm_prometheus_answer {
    struct tsm_sink sink;
    size_t limit;
    struct tsm_buf response, result, series, part;
    bool any; /* sample in the series */
};

static int on_statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    (void)id, (void)err;
    tsm_buf_reset(&((struct tsm_prometheus_answer *)s)->result);
    return TSM_OK;
}

static int on_series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct tsm_prometheus_answer *a = (struct tsm_prometheus_answer *)s;
    (void)err;
    tsm_buf_reset(&a->series);
    a->any = false;
    for (size_t i = 0; i < head->ntags; i++) {
        if (head->tags[i].value.n == 0)
            continue;
        tsm_buf_reset(&a->part);
        tsm_pb_put_bytes(&a->part, LABEL_NAME, head->tags[i].key);
        tsm_pb_put_bytes(&a->part, LABEL_VALUE, head->tags[i].value);
        tsm_pb_put_bytes(&a->series, SERIES_LABELS, tsm_buf_view(&a->part));
    }
    return TSM_OK;
}

/* A cell as a number; false: it is none. */
static bool number(const struct tsm_cells *c, size_t i, double *out)
{
    if (c->nulls && c->nulls[i])
        return false;
    switch (c->type) {
    case TSM_CELL_FLOAT:
        *out = c->v.f[i];
        return true;
    case TSM_CELL_INTEGER:
        *out = (double)c->v.i[i];
        return true;
    case TSM_CELL_UNSIGNED:
        *out = (double)c->v.u[i];
        return true;
    case TSM_CELL_BOOLEAN:
        *out = c->v.b[i];
        return true;
    default:
        return false;
    }
}

static int on_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct tsm_prometheus_answer *a = (struct tsm_prometheus_answer *)s;
    union {
        double f;
        uint64_t u;
    } v;
    for (size_t i = 0; i < rows->n; i++) {
        if (!number(&rows->columns[1], i, &v.f))
            continue;
        tsm_buf_reset(&a->part);
        tsm_pb_put_fixed64(&a->part, SAMPLE_VALUE, v.u);
        int64_t ms = tsm_time_truncate(rows->columns[0].v.i[i], TSM_MSEC) / TSM_MSEC;
        tsm_pb_put_varint(&a->part, SAMPLE_TIME, (uint64_t)ms);
        tsm_pb_put_bytes(&a->series, SERIES_SAMPLES, tsm_buf_view(&a->part));
        a->any = true;
    }
    size_t size = a->response.len + a->result.len + a->series.len;
    return size <= a->limit ? TSM_OK
                            : tsm_err_set(err, TSM_ELIMIT, "the answer is larger than %zu bytes", a->limit);
}

static int on_series_end(struct tsm_sink *s, struct tsm_err *err)
{
    struct tsm_prometheus_answer *a = (struct tsm_prometheus_answer *)s;
    (void)err;
    if (a->any)
        tsm_pb_put_bytes(&a->result, RESULT_SERIES, tsm_buf_view(&a->series));
    return TSM_OK;
}

static int on_statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    struct tsm_prometheus_answer *a = (struct tsm_prometheus_answer *)s;
    (void)err;
    if (!error)
        tsm_pb_put_bytes(&a->response, RESPONSE_RESULTS, tsm_buf_view(&a->result));
    return TSM_OK;
}

struct tsm_prometheus_answer *tsm_prometheus_answer_new(size_t limit)
{
    struct tsm_prometheus_answer *a = tsm_calloc(1, sizeof *a);
    a->sink = (struct tsm_sink){on_statement_begin, on_series_begin,  on_rows,
                                on_series_end,      on_statement_end, NULL};
    a->limit = limit;
    return a;
}

void tsm_prometheus_answer_free(struct tsm_prometheus_answer *a)
{
    if (!a)
        return;
    tsm_buf_release(&a->response);
    tsm_buf_release(&a->result);
    tsm_buf_release(&a->series);
    tsm_buf_release(&a->part);
    tsm_free(a);
}

struct tsm_sink *tsm_prometheus_answer_sink(struct tsm_prometheus_answer *a)
{
    return &a->sink;
}

void tsm_prometheus_answer_pack(struct tsm_prometheus_answer *a, struct tsm_buf *out)
{
    size_t size = snappy_max_compressed_length(a->response.len);
    if (snappy_compress((const char *)a->response.data, a->response.len, (char *)tsm_buf_room(out, size),
                        &size) == SNAPPY_OK)
        out->len += size;
}
