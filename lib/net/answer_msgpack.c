/* net/answer_msgpack.c: from MessagePack to calls of a sink, one chunk at a time. */
#include "net/answer_msgpack.h"

#include <msgpack.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "base/sort.h"
#include "base/time.h"
#include "base/banned.h"

enum {
    EXT_TIME = 5,
    EXT_TIME_BYTES = 12,
    CHUNK_MAX = 1 << 30, /* bytes of one document */
};

struct tsm_answer_msgpack {
    struct tsm_answer_options opt;
    msgpack_unpacker unpacker;
    bool in_statement;
    int64_t statement; /* the present or the last one; -1: none yet */
    bool in_series;
    struct tsm_series_head head;
    struct tsm_arena texts; /* of the head */
    uint64_t rows;
    int failed; /* TSM_EQUERY: a statement was answered with an error */
    struct tsm_err err;

    struct tsm_cells *cells; /* per column of the head */
    uint8_t **nulls;
    void **values;
    size_t cap; /* rows that they have room for */
    size_t ncolumns;
};

struct tsm_answer_msgpack *tsm_answer_msgpack_new(const struct tsm_answer_options *opt)
{
    struct tsm_answer_msgpack *a = tsm_calloc(1, sizeof *a);
    a->opt = *opt;
    a->statement = -1;
    if (!msgpack_unpacker_init(&a->unpacker, MSGPACK_UNPACKER_INIT_BUFFER_SIZE))
        abort();
    return a;
}

static void release_columns(struct tsm_answer_msgpack *a)
{
    for (size_t i = 0; i < a->ncolumns; i++) {
        tsm_free(a->nulls[i]);
        tsm_free(a->values[i]);
    }
    tsm_free(a->cells);
    tsm_free(a->nulls);
    tsm_free(a->values);
    a->cells = NULL;
    a->nulls = NULL;
    a->values = NULL;
    a->ncolumns = a->cap = 0;
}

void tsm_answer_msgpack_free(struct tsm_answer_msgpack *a)
{
    if (!a)
        return;
    msgpack_unpacker_destroy(&a->unpacker);
    release_columns(a);
    tsm_arena_release(&a->texts);
    tsm_free(a);
}

static int bad(struct tsm_err *err, const char *what)
{
    return tsm_err_set(err, TSM_ECORRUPT, "the server's answer cannot be read: %s", what);
}

static struct tsm_str text_of(const msgpack_object *o)
{
    if (!o || o->type != MSGPACK_OBJECT_STR)
        return tsm_str("", 0);
    return tsm_str(o->via.str.ptr, o->via.str.size);
}

/* The value of a key in a map; NULL: it has none, or is no map. */
static const msgpack_object *member(const msgpack_object *map, const char *name)
{
    if (map->type != MSGPACK_OBJECT_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->via.map.size; i++)
        if (tsm_str_eq(text_of(&map->via.map.ptr[i].key), tsm_str_of(name)))
            return &map->via.map.ptr[i].val;
    return NULL;
}

static bool is_true(const msgpack_object *o)
{
    return o && o->type == MSGPACK_OBJECT_BOOLEAN && o->via.boolean;
}

/* ---- rows -------------------------------------------------------------------------------------- */

/* The type of a cell; false: it is null. */
static bool cell_type(const msgpack_object *o, enum tsm_cell_type *type)
{
    switch (o->type) {
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        *type = o->via.u64 > INT64_MAX ? TSM_CELL_UNSIGNED : TSM_CELL_INTEGER;
        return true;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        *type = TSM_CELL_INTEGER;
        return true;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        *type = TSM_CELL_FLOAT;
        return true;
    case MSGPACK_OBJECT_BOOLEAN:
        *type = TSM_CELL_BOOLEAN;
        return true;
    case MSGPACK_OBJECT_STR:
        *type = TSM_CELL_STRING;
        return true;
    case MSGPACK_OBJECT_EXT:
        *type = TSM_CELL_TIME;
        return o->via.ext.type == EXT_TIME && o->via.ext.size == EXT_TIME_BYTES;
    default:
        return false;
    }
}

static void put_cell(struct tsm_answer_msgpack *a, size_t column, size_t row, const msgpack_object *o)
{
    union {
        double f;
        int64_t i;
        uint64_t u;
    } v = {.u = 0};
    switch (o->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        ((uint8_t *)a->values[column])[row] = o->via.boolean;
        return;
    case MSGPACK_OBJECT_STR:
        ((struct tsm_str *)a->values[column])[row] = text_of(o);
        return;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        v.f = o->via.f64;
        break;
    case MSGPACK_OBJECT_EXT: {
        const uint8_t *p = (const uint8_t *)o->via.ext.ptr;
        v.u = tsm_get_be64(p) * (uint64_t)TSM_SEC + tsm_get_be32(p + 8);
        break;
    }
    default:
        v.u = o->via.u64;
        break;
    }
    memcpy((char *)a->values[column] + 8 * row, &v, 8);
}

static void make_room(struct tsm_answer_msgpack *a, size_t n)
{
    if (n <= a->cap)
        return;
    for (size_t i = 0; i < a->ncolumns; i++) {
        a->nulls[i] = tsm_realloc_array(a->nulls[i], n, 1);
        a->values[i] = tsm_realloc_array(a->values[i], n, sizeof(struct tsm_str));
    }
    a->cap = n;
}

/* Rows from `from` on, up to where a column changes its type. Returns the end. */
static size_t take_rows(struct tsm_answer_msgpack *a, const msgpack_object_array *rows, size_t from)
{
    size_t end = rows->size;
    for (size_t c = 0; c < a->ncolumns; c++) {
        bool known = false;
        enum tsm_cell_type type = TSM_CELL_FLOAT, t;
        size_t missing = 0;
        for (size_t i = from; i < end; i++) {
            const msgpack_object *o = &rows->ptr[i].via.array.ptr[c];
            bool there = cell_type(o, &t);
            if (there && known && t != type) {
                end = i;
                break;
            }
            a->nulls[c][i - from] = !there;
            missing += !there;
            if (there) {
                known = true;
                type = t;
                put_cell(a, c, i - from, o);
            }
        }
        a->cells[c] = (struct tsm_cells){.type = type, .nulls = missing ? a->nulls[c] : NULL};
        a->cells[c].v.s = a->values[c];
        if (missing) /* what a null covers is never looked at, but has to be there */
            for (size_t i = from; i < end; i++)
                if (a->nulls[c][i - from] && type == TSM_CELL_STRING)
                    ((struct tsm_str *)a->values[c])[i - from] = tsm_str("", 0);
    }
    return end;
}

static int give_rows(struct tsm_answer_msgpack *a, const msgpack_object *values, struct tsm_err *err)
{
    const msgpack_object_array *rows = &values->via.array;
    for (size_t i = 0; i < rows->size; i++)
        if (rows->ptr[i].type != MSGPACK_OBJECT_ARRAY || rows->ptr[i].via.array.size != a->ncolumns)
            return bad(err, "a row does not have a value per column");
    make_room(a, rows->size);
    for (size_t from = 0, end; from < rows->size; from = end) {
        end = take_rows(a, rows, from);
        struct tsm_rows batch = {end - from, a->cells};
        int rc = a->opt.sink->rows(a->opt.sink, &batch, err);
        if (rc != TSM_OK)
            return rc;
        a->rows += batch.n;
    }
    return TSM_OK;
}

/* ---- series ------------------------------------------------------------------------------------ */

static int compare_tags(const void *x, const void *y)
{
    const struct tsm_tag *a = x, *b = y;
    return tsm_str_cmp(a->key, b->key);
}

static const struct tsm_tag *make_tags(struct tsm_answer_msgpack *a, const msgpack_object *map, size_t *n)
{
    *n = map && map->type == MSGPACK_OBJECT_MAP ? map->via.map.size : 0;
    struct tsm_tag *tags = tsm_arena_calloc(&a->texts, (*n + 1) * sizeof *tags);
    for (size_t i = 0; i < *n; i++) {
        tags[i].key = tsm_arena_str(&a->texts, text_of(&map->via.map.ptr[i].key));
        tags[i].value = tsm_arena_str(&a->texts, text_of(&map->via.map.ptr[i].val));
    }
    tsm_sort(tags, *n, sizeof *tags, compare_tags);
    return tags;
}

/* A time, in the first column of the first row, tells rows of points from those of SHOW. */
static bool has_time(const msgpack_object *values)
{
    enum tsm_cell_type type;
    if (values->via.array.size == 0 || values->via.array.ptr[0].type != MSGPACK_OBJECT_ARRAY ||
        values->via.array.ptr[0].via.array.size == 0)
        return false;
    return cell_type(&values->via.array.ptr[0].via.array.ptr[0], &type) && type == TSM_CELL_TIME;
}

static int begin_series(struct tsm_answer_msgpack *a, const msgpack_object *series,
                        const msgpack_object *columns, const msgpack_object *values, struct tsm_err *err)
{
    tsm_arena_release(&a->texts);
    release_columns(a);
    const msgpack_object *name = member(series, "name");
    size_t n = columns->via.array.size;
    struct tsm_column_head *heads = tsm_arena_calloc(&a->texts, (n + 1) * sizeof *heads);
    a->head = (struct tsm_series_head){.name = tsm_arena_str(&a->texts, text_of(name)), .columns = heads};
    a->head.ncolumns = a->ncolumns = n;
    a->head.tags = make_tags(a, member(series, "tags"), &a->head.ntags);
    a->head.several = a->opt.several && a->opt.several(a->opt.ctx, (unsigned)a->statement);
    bool points = has_time(values);
    for (size_t i = 0; i < n; i++) {
        heads[i].name = tsm_arena_str(&a->texts, text_of(&columns->via.array.ptr[i]));
        heads[i].role = !points ? TSM_ROLE_OTHER : i == 0 ? TSM_ROLE_TIME : TSM_ROLE_FIELD;
        if (points && i && a->opt.is_tag && a->opt.is_tag(a->opt.ctx, a->head.name, heads[i].name))
            heads[i].role = TSM_ROLE_TAG;
    }
    a->cells = tsm_calloc(n + 1, sizeof *a->cells);
    a->nulls = tsm_calloc(n + 1, sizeof *a->nulls);
    a->values = tsm_calloc(n + 1, sizeof *a->values);
    a->in_series = true;
    return a->opt.sink->series_begin(a->opt.sink, &a->head, err);
}

static int end_series(struct tsm_answer_msgpack *a, struct tsm_err *err)
{
    a->in_series = false;
    return a->opt.sink->series_end(a->opt.sink, err);
}

static int take_series(struct tsm_answer_msgpack *a, const msgpack_object *series, struct tsm_err *err)
{
    const msgpack_object *columns = member(series, "columns"), *values = member(series, "values");
    static const msgpack_object none = {.type = MSGPACK_OBJECT_ARRAY};
    if (!columns || columns->type != MSGPACK_OBJECT_ARRAY)
        return bad(err, "a series has no columns");
    if (!values || values->type != MSGPACK_OBJECT_ARRAY)
        values = &none;
    int rc = a->in_series ? TSM_OK : begin_series(a, series, columns, values, err);
    if (rc == TSM_OK)
        rc = give_rows(a, values, err);
    if (rc == TSM_OK && !is_true(member(series, "partial")))
        rc = end_series(a, err);
    return rc;
}

/* ---- statements -------------------------------------------------------------------------------- */

static int end_statement(struct tsm_answer_msgpack *a, struct tsm_str error, struct tsm_err *err)
{
    int rc = a->in_series ? end_series(a, err) : TSM_OK;
    a->in_statement = false;
    if (error.n) {
        struct tsm_err e;
        tsm_err_set(&e, TSM_EQUERY, "%.*s", (int)error.n, error.p);
        if (!a->failed) /* the first one is the cause of those that follow */
            a->err = e;
        a->failed = TSM_EQUERY;
        return rc == TSM_OK ? a->opt.sink->statement_end(a->opt.sink, e.msg, err) : rc;
    }
    return rc == TSM_OK ? a->opt.sink->statement_end(a->opt.sink, NULL, err) : rc;
}

static int take_result(struct tsm_answer_msgpack *a, const msgpack_object *result, struct tsm_err *err)
{
    const msgpack_object *id = member(result, "statement_id"), *series = member(result, "series");
    struct tsm_str error = text_of(member(result, "error"));
    int64_t statement = a->statement + !a->in_statement; /* of an error without a number */
    if (id && id->type == MSGPACK_OBJECT_POSITIVE_INTEGER && id->via.u64 <= INT32_MAX)
        statement = (int64_t)id->via.u64;
    int rc = TSM_OK;
    if (a->in_statement && statement != a->statement)
        rc = end_statement(a, tsm_str("", 0), err);
    if (rc == TSM_OK && !a->in_statement) {
        a->in_statement = true;
        a->statement = statement;
        rc = a->opt.sink->statement_begin(a->opt.sink, (unsigned)statement, err);
    }
    for (uint32_t i = 0;
         rc == TSM_OK && series && series->type == MSGPACK_OBJECT_ARRAY && i < series->via.array.size; i++)
        rc = take_series(a, &series->via.array.ptr[i], err);
    if (rc == TSM_OK && (error.n || !is_true(member(result, "partial"))))
        rc = end_statement(a, error, err);
    return rc;
}

static int take_document(struct tsm_answer_msgpack *a, const msgpack_object *o, struct tsm_err *err)
{
    struct tsm_str error = text_of(member(o, "error"));
    if (error.n)
        return tsm_err_set(err, TSM_EQUERY, "%.*s", (int)error.n, error.p);
    const msgpack_object *results = member(o, "results");
    if (!results || results->type != MSGPACK_OBJECT_ARRAY)
        return bad(err, "it has no results");
    int rc = TSM_OK;
    for (uint32_t i = 0; i < results->via.array.size && rc == TSM_OK; i++)
        rc = take_result(a, &results->via.array.ptr[i], err);
    return rc;
}

int tsm_answer_msgpack_feed(struct tsm_answer_msgpack *a, const uint8_t *p, size_t n, struct tsm_err *err)
{
    if (msgpack_unpacker_message_size(&a->unpacker) + n > CHUNK_MAX)
        return bad(err, "a piece of it is too large");
    if (!msgpack_unpacker_reserve_buffer(&a->unpacker, n))
        abort();
    memcpy(msgpack_unpacker_buffer(&a->unpacker), p, n);
    msgpack_unpacker_buffer_consumed(&a->unpacker, n);

    msgpack_unpacked u;
    msgpack_unpacked_init(&u);
    int rc = TSM_OK;
    msgpack_unpack_return got = MSGPACK_UNPACK_CONTINUE;
    while (rc == TSM_OK && (got = msgpack_unpacker_next(&a->unpacker, &u)) == MSGPACK_UNPACK_SUCCESS) {
        /* influxd ends each document with a newline, which is the integer 10 here */
        if (u.data.type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            rc = take_document(a, &u.data, err);
    }
    if (rc == TSM_OK && got != MSGPACK_UNPACK_CONTINUE)
        rc = bad(err, "it is no MessagePack");
    msgpack_unpacked_destroy(&u);
    return rc;
}

int tsm_answer_msgpack_end(struct tsm_answer_msgpack *a, uint64_t *rows, struct tsm_err *err)
{
    *rows = a->rows;
    if (a->in_statement || msgpack_unpacker_message_size(&a->unpacker))
        return bad(err, "it ends too soon");
    if (a->failed && err)
        *err = a->err;
    return a->failed;
}
