/*
 * tests/fuzz/fuzz_select.c: any text as a query over a small TSM file: it is answered or refused, with the same answer for one
 * thread and for several, and no more rows after an error.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/map.h"
#include "base/time.h"
#include "format/tsm_writer.h"
#include "codec/block.h"
#include "query/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/tsmkit-fuzz-XXXXXX";
static char path[64];

static void clean(void)
{
    unlink(path);
    rmdir(dir);
}

static union tsm_value make_value(enum tsm_type type, unsigned n)
{
    static const char *const texts[] = {"", "a", "b b", "x\"y"};
    switch (type) {
    case TSM_FLOAT:
        return (union tsm_value){.f = (double)(n * 7 % 11) / 4};
    case TSM_BOOLEAN:
        return (union tsm_value){.b = n % 3 == 0};
    case TSM_STRING:
        return (union tsm_value){.s = tsm_str_of(texts[n % 4])};
    case TSM_UNSIGNED:
        return (union tsm_value){.u = UINT64_MAX - n % 5};
    default:
        return (union tsm_value){.i = (int64_t)(n % 6) - 2};
    }
}

/* Seven series of two measurements, with gaps and shared times. */
static void make_file(void)
{
    static const struct {
        const char *key;
        enum tsm_type type;
    } keys[] = {
        {"cpu#!~#v", TSM_FLOAT},         {"cpu,h=a#!~#b", TSM_BOOLEAN},
        {"cpu,h=a#!~#i", TSM_INTEGER},   {"cpu,h=a#!~#s", TSM_STRING},
        {"cpu,h=a#!~#v", TSM_FLOAT},     {"cpu,h=b,r=x#!~#i", TSM_INTEGER},
        {"cpu,h=b,r=x#!~#v", TSM_FLOAT}, {"cpu,h=c,r=x#!~#u", TSM_UNSIGNED},
        {"mem,h=a#!~#v", TSM_INTEGER},   {"mem,h=b#!~#s", TSM_STRING},
    };
    struct tsm_writer *w;
    struct tsm_values v = {0};
    struct tsm_buf block = {0};
    if (!mkdtemp(dir) || atexit(clean))
        abort();
    snprintf(path, sizeof path, "%s/000000001-000000001.tsm", dir);
    if (tsm_writer_open(&tsm_fs_posix, path, &w, NULL))
        abort();
    for (unsigned k = 0; k < sizeof keys / sizeof *keys; k++) {
        tsm_values_reset(&v, keys[k].type, 0);
        for (unsigned i = 0; i < 9; i++)
            if ((i * 5 + k) % 4)
                tsm_values_add(&v, (int64_t)(i * 10) * TSM_SEC, make_value(keys[k].type, i * 3 + k));
        tsm_buf_reset(&block);
        if (tsm_block_encode(&block, &v, 0, v.n, NULL) ||
            tsm_writer_block(w, tsm_str_of(keys[k].key), keys[k].type, v.t[0], v.t[v.n - 1], block.data,
                             block.len, NULL))
            abort();
    }
    if (tsm_writer_install(w, NULL))
        abort();
    tsm_values_release(&v);
    tsm_buf_release(&block);
}

/* A sink that remembers a digest of what it was given, up to a number of rows. */
struct digest {
    struct tsm_sink sink;
    uint64_t value;
    size_t rows, ncolumns;
    bool open;
};

static void note(struct digest *d, const void *p, size_t n)
{
    d->value = d->value * 31 + tsm_hash(tsm_str(p, n));
}

static int statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    (void)err;
    note((struct digest *)s, &id, sizeof id);
    return TSM_OK;
}

static int series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct digest *d = (struct digest *)s;
    (void)err;
    if (d->open)
        abort();
    d->open = true;
    d->ncolumns = head->ncolumns;
    note(d, head->name.p, head->name.n);
    for (size_t i = 0; i < head->ntags; i++)
        note(d, head->tags[i].value.p, head->tags[i].value.n);
    for (size_t i = 0; i < head->ncolumns; i++)
        note(d, head->columns[i].name.p, head->columns[i].name.n);
    return TSM_OK;
}

static void note_cell(struct digest *d, const struct tsm_cells *c, size_t i)
{
    bool null = c->nulls && c->nulls[i];
    note(d, &null, sizeof null);
    if (null)
        return;
    if (c->type == TSM_CELL_STRING)
        note(d, c->v.s[i].p, c->v.s[i].n);
    else if (c->type == TSM_CELL_BOOLEAN)
        note(d, &c->v.b[i], 1);
    else
        note(d, &c->v.u[i], 8);
}

static int give_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct digest *d = (struct digest *)s;
    if (!d->open)
        abort();
    for (size_t i = 0; i < rows->n; i++) {
        if (++d->rows > 20000)
            return tsm_err_set(err, TSM_ESTOP, "enough");
        for (size_t c = 0; c < d->ncolumns; c++)
            note_cell(d, &rows->columns[c], i);
    }
    return TSM_OK;
}

static int series_end(struct tsm_sink *s, struct tsm_err *err)
{
    (void)err;
    ((struct digest *)s)->open = false;
    return TSM_OK;
}

static int statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    struct digest *d = (struct digest *)s;
    (void)err;
    if (error)
        note(d, error, strlen(error));
    d->open = false;
    return TSM_OK;
}

static struct digest answer(struct tsm_str text, unsigned jobs, size_t memory, int *code)
{
    char *files[] = {path};
    struct tsm_query_options o = {
        .fs = &tsm_fs_posix, .files = files, .nfiles = 1, .jobs = jobs, .memory = memory};
    o.now = 100 * TSM_SEC;
    struct tsm_query_control control = {.deadline = tsm_monotonic() +
                                                    2 * TSM_SEC}; /* rows of subqueries are not counted */
    o.control = &control;
    struct digest d = {.sink = {statement_begin, series_begin, give_rows, series_end, statement_end}};
    *code = tsm_query_run(&o, text, &d.sink, NULL, NULL);
    if (tsm_monotonic() > control.deadline)
        d.rows = UINT64_MAX;
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!path[0])
        make_file();
    if (size > 2000)
        return 0;
    struct tsm_str text = tsm_str((const char *)data, size);
    int one, three;
    struct digest a = answer(text, 1, 4 << 20, &one);
    if (one == TSM_EPARSE || a.rows > 20000)
        return 0;
    struct digest b = answer(text, 3, 4 << 20, &three);
    if (b.rows == UINT64_MAX)
        return 0;
    if (one != three || a.value != b.value || a.rows != b.rows)
        abort();
    answer(text, 2, 60 << 10, &three);
    return 0;
}
