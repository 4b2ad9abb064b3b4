/* tests/fuzz/fuzz_answer.c: any bytes, in pieces of any size, as an answer in MessagePack: the sink's calls nest as they should. */
#include <stdlib.h>

#include "net/answer_msgpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* msgpack-c takes memory for as many elements as an array or a map says that it has, before they have come; libFuzzer takes that for
 * a fault. */
static bool has_large_head(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++)
        if ((p[i] == 0xdd || p[i] == 0xdf) && p[i + 1])
            return true;
    return false;
}

struct nesting {
    struct tsm_sink sink;
    bool statement, series;
    size_t ncolumns;
};

static int on_statement(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    struct nesting *x = (struct nesting *)s;
    (void)id, (void)err;
    if (x->statement)
        abort();
    x->statement = true;
    return TSM_OK;
}

static int on_series(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct nesting *x = (struct nesting *)s;
    (void)err;
    if (!x->statement || x->series)
        abort();
    x->series = true;
    x->ncolumns = head->ncolumns;
    return TSM_OK;
}

/* Every value is read once. */
static int on_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct nesting *x = (struct nesting *)s;
    volatile uint64_t sum = 0;
    (void)err;
    if (!x->series)
        abort();
    for (size_t c = 0; c < x->ncolumns; c++) {
        const struct tsm_cells *cells = &rows->columns[c];
        for (size_t i = 0; i < rows->n; i++) {
            if (cells->nulls && cells->nulls[i])
                continue;
            if (cells->type == TSM_CELL_STRING)
                sum += cells->v.s[i].n ? (uint8_t)cells->v.s[i].p[cells->v.s[i].n - 1] : 0;
            else
                sum += cells->type == TSM_CELL_BOOLEAN ? cells->v.b[i] : cells->v.u[i];
        }
    }
    return TSM_OK;
}

static int on_series_end(struct tsm_sink *s, struct tsm_err *err)
{
    (void)err;
    if (!((struct nesting *)s)->series)
        abort();
    ((struct nesting *)s)->series = false;
    return TSM_OK;
}

static int on_statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    struct nesting *x = (struct nesting *)s;
    (void)error, (void)err;
    if (!x->statement || x->series)
        abort();
    x->statement = false;
    return TSM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct nesting x = {.sink = {on_statement, on_series, on_rows, on_series_end, on_statement_end}};
    struct tsm_answer_options opt = {.sink = &x.sink};
    struct tsm_answer_msgpack *a = tsm_answer_msgpack_new(&opt);
    struct tsm_err err = {0};
    uint64_t rows;
    size_t piece = n ? (size_t)p[0] % 17 + 1 : 1;
    int rc = has_large_head(p, n) ? TSM_ESTOP : TSM_OK;
    for (size_t at = 0; at < n && rc == TSM_OK; at += piece)
        rc = tsm_answer_msgpack_feed(a, p + at, at + piece < n ? piece : n - at, &err);
    if (rc == TSM_OK && tsm_answer_msgpack_end(a, &rows, &err) == TSM_OK && x.statement)
        abort();
    tsm_answer_msgpack_free(a);
    return 0;
}
