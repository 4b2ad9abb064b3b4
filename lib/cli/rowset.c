/* cli/rowset.c: building the rows of a list cell by cell. */
#include "cli/rowset.h"

#include "base/banned.h"

enum { BATCH = 1000 };

static enum tsm_cell_type type_of(char letter)
{
    switch (letter) {
    case 'i':
        return TSM_CELL_INTEGER;
    case 'f':
        return TSM_CELL_FLOAT;
    case 't':
        return TSM_CELL_TIME;
    default:
        return TSM_CELL_STRING;
    }
}

/* Fresh arrays for the next batch. */
static void make_room(struct tsm_rowset *r)
{
    tsm_arena_release(&r->arena);
    r->n = 0;
    for (size_t i = 0; i < r->head.ncolumns; i++) {
        size_t size = r->cells[i].type == TSM_CELL_STRING ? sizeof(struct tsm_str) : sizeof(int64_t);
        r->data[i] = tsm_arena_alloc(&r->arena, BATCH * size);
        r->cells[i].v.s = r->data[i];
    }
}

int tsm_rowset_begin(struct tsm_rowset *r, struct tsm_sink *sink, struct tsm_str name, bool several,
                     const char *columns, struct tsm_err *err)
{
    *r = (struct tsm_rowset){.sink = sink};
    size_t n = 0;
    for (const char *p = columns; *p && n < TSM_ROWSET_COLUMNS; n++) {
        const char *colon = strchr(p, ':');
        r->names[n].name = tsm_str(p, (size_t)(colon - p));
        r->cells[n].type = type_of(colon[1]);
        p = colon + 2;
        p += *p == ' ';
    }
    r->head = (struct tsm_series_head){.name = name, .several = several, .columns = r->names, .ncolumns = n};
    make_room(r);
    return sink->series_begin(sink, &r->head, err);
}

void tsm_rowset_text(struct tsm_rowset *r, struct tsm_str s)
{
    ((struct tsm_str *)r->data[r->column++])[r->n] = tsm_arena_str(&r->arena, s);
}

void tsm_rowset_int(struct tsm_rowset *r, int64_t v)
{
    ((int64_t *)r->data[r->column++])[r->n] = v;
}

void tsm_rowset_time(struct tsm_rowset *r, int64_t t)
{
    tsm_rowset_int(r, t);
}

void tsm_rowset_float(struct tsm_rowset *r, double v)
{
    ((double *)r->data[r->column++])[r->n] = v;
}

static int hand_on(struct tsm_rowset *r, struct tsm_err *err)
{
    struct tsm_rows rows = {.n = r->n, .columns = r->cells};
    int c = r->n ? r->sink->rows(r->sink, &rows, err) : TSM_OK;
    make_room(r);
    return c;
}

int tsm_rowset_next(struct tsm_rowset *r, struct tsm_err *err)
{
    r->column = 0;
    return ++r->n == BATCH ? hand_on(r, err) : TSM_OK;
}

int tsm_rowset_end(struct tsm_rowset *r, int code, struct tsm_err *err)
{
    /* What was collected before a failure is shown too. */
    int c = hand_on(r, code == TSM_OK ? err : NULL);
    if (c == TSM_OK)
        c = r->sink->series_end(r->sink, code == TSM_OK ? err : NULL);
    tsm_arena_release(&r->arena);
    return code != TSM_OK ? code : c;
}
