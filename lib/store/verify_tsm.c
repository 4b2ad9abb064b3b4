/* store/verify_tsm.c: blocks against their index, and overlap inside the ordered set. */
#include "store/verify_tsm.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/sort.h"
#include "base/time.h"
#include "codec/block.h"
#include "base/banned.h"

void tsm_add_printable(struct tsm_buf *out, struct tsm_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = (uint8_t)text.p[i];
        if (c < 0x20 || c == 0x7f)
            tsm_buf_printf(out, "\\x%02x", c);
        else
            tsm_buf_byte(out, c);
    }
}

static void add_time(struct tsm_buf *out, int64_t t)
{
    out->len += tsm_format_rfc3339((char *)tsm_buf_room(out, TSM_TIME_TEXT_MAX), t);
}

void tsm_add_block_name(struct tsm_buf *out, struct tsm_str key, int64_t tmin, int64_t tmax)
{
    enum { SHOWN = 300 }; /* of a key, which may have 64 KiB */
    tsm_buf_byte(out, '\'');
    tsm_add_printable(out, tsm_str(key.p, key.n < SHOWN ? key.n : SHOWN));
    tsm_buf_puts(out, key.n > SHOWN ? "...' from " : "' from ");
    add_time(out, tmin);
    tsm_buf_puts(out, " to ");
    add_time(out, tmax);
}

static int hand_on(struct tsm_verify *v, enum tsm_finding kind, const char *line, struct tsm_err *err)
{
    v->stats.faults += kind == TSM_FINDING_FAULT;
    v->stats.unreadable += kind == TSM_FINDING_UNREADABLE;
    v->stats.notes += kind == TSM_FINDING_NOTE;
    return v->report(v->ctx, kind, line, err);
}

int tsm_verify_report(struct tsm_verify *v, enum tsm_finding kind, struct tsm_err *err, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct tsm_buf line = {0};
    tsm_add_printable(&line, tsm_str_of(text));
    int r = hand_on(v, kind, tsm_buf_cstr(&line), err);
    tsm_buf_release(&line);
    return r;
}

int tsm_verify_failure(struct tsm_verify *v, const struct tsm_err *failure, struct tsm_err *err)
{
    bool damage = failure->code == TSM_ECORRUPT || failure->code == TSM_ELIMIT;
    return tsm_verify_report(v, damage ? TSM_FINDING_FAULT : TSM_FINDING_UNREADABLE, err, "%s", failure->msg);
}

/* ---- blocks ------------------------------------------------------------------------------------------- */

/* Keys [from, to) of one file: the unit of work of a thread. */
struct task {
    const struct tsm_reader *r;
    size_t from, to;
};

/* What a task found. */
struct outcome {
    struct tsm_buf faults; /* terminated lines, one after the other */
    uint64_t blocks, values;
};

struct block_run {
    struct tsm_verify *v;
    struct task *tasks;
    size_t ntasks, cap;
    struct tsm_values *columns; /* one per thread */
};

static void add_fault(struct outcome *o, const struct tsm_reader *r, size_t key, const struct tsm_entry *e,
                      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void add_fault(struct outcome *o, const struct tsm_reader *r, size_t key, const struct tsm_entry *e,
                      const char *fmt, ...)
{
    char cause[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cause, sizeof cause, fmt, ap);
    va_end(ap);
    tsm_add_printable(&o->faults, tsm_str_of(r->path));
    tsm_buf_printf(&o->faults, ": offset %" PRIu64 ": block of ", e->offset);
    tsm_add_block_name(&o->faults, tsm_reader_key(r, key), e->tmin, e->tmax);
    tsm_buf_puts(&o->faults, ": ");
    tsm_add_printable(&o->faults, tsm_str_of(cause));
    tsm_buf_byte(&o->faults, 0);
}

static bool ascending(const struct tsm_values *c)
{
    for (size_t i = 1; i < c->n; i++)
        if (c->t[i] <= c->t[i - 1])
            return false;
    return true;
}

static void check_block(const struct tsm_reader *r, size_t key, const struct tsm_entry *e,
                        struct tsm_values *c, struct outcome *o)
{
    const uint8_t *p;
    size_t len, n;
    struct tsm_err err;
    if (tsm_reader_block(r, e, &p, &len, NULL) != TSM_OK) {
        add_fault(o, r, key, e, "checksum mismatch");
        return;
    }
    if (tsm_block_decode(p, len, c, &err) != TSM_OK) {
        add_fault(o, r, key, e, "%s", err.msg);
        return;
    }
    enum tsm_type type = tsm_reader_type(r, key);
    if (c->type != type)
        add_fault(o, r, key, e, "holds %s values, the index says %s", tsm_type_name(c->type),
                  tsm_type_name(type));
    if (c->n == 0)
        add_fault(o, r, key, e, "holds no values");
    else if (c->t[0] != e->tmin)
        add_fault(o, r, key, e, "its first time differs from the index: %" PRId64, c->t[0]);
    else if (c->t[c->n - 1] != e->tmax)
        add_fault(o, r, key, e, "its last time differs from the index: %" PRId64, c->t[c->n - 1]);
    else if (!ascending(c))
        add_fault(o, r, key, e, "its times are out of order");
    if (tsm_block_count(p, len, &n, NULL) != TSM_OK || n != c->n)
        add_fault(o, r, key, e, "its number of values differs from its header");
    o->values += c->n;
}

static int check_task(void *ctx, size_t number, unsigned thread, void **slot, struct tsm_err *err)
{
    (void)err;
    struct block_run *run = ctx;
    const struct task *t = &run->tasks[number];
    struct outcome *o = tsm_calloc(1, sizeof *o);
    for (size_t i = t->from; i < t->to; i++) {
        size_t n = tsm_reader_entries(t->r, i);
        for (size_t j = 0; j < n; j++) {
            struct tsm_entry e = tsm_reader_entry(t->r, i, j);
            check_block(t->r, i, &e, &run->columns[thread], o);
        }
        o->blocks += n;
    }
    *slot = o;
    return TSM_OK;
}

static void drop_outcome(void *ctx, void *slot)
{
    (void)ctx;
    struct outcome *o = slot;
    tsm_buf_release(&o->faults);
    tsm_free(o);
}

static int emit_outcome(void *ctx, size_t number, void *slot, struct tsm_err *err)
{
    (void)number;
    struct block_run *run = ctx;
    struct outcome *o = slot;
    run->v->stats.blocks += o->blocks;
    run->v->stats.values += o->values;
    int r = TSM_OK;
    for (size_t at = 0; at < o->faults.len && r == TSM_OK;) {
        const char *line = (const char *)o->faults.data + at;
        r = hand_on(run->v, TSM_FINDING_FAULT, line, err);
        at += strlen(line) + 1;
    }
    drop_outcome(NULL, o);
    return r;
}

/* Cuts a file into tasks of about TASK_BYTES. */
static void add_tasks(struct block_run *run, const struct tsm_reader *r)
{
    enum { TASK_BYTES = 4 << 20 };
    uint64_t pieces = r->map.size / TASK_BYTES + 1;
    size_t step = r->nkeys / pieces + 1;
    for (size_t from = 0; from < r->nkeys; from += step) {
        TSM_GROW(run->tasks, run->ntasks + 1, run->cap);
        size_t to = r->nkeys - from < step ? r->nkeys : from + step;
        run->tasks[run->ntasks++] = (struct task){r, from, to};
    }
}

/* InfluxDB and tsmkit write a file's blocks without gaps in the order of the index. */
static int check_layout(struct tsm_verify *v, const struct tsm_reader *r, struct tsm_err *err)
{
    uint64_t next = TSM_HEADER_SIZE;
    for (size_t i = 0; i < r->nkeys; i++) {
        size_t n = tsm_reader_entries(r, i);
        for (size_t j = 0; j < n; j++) {
            struct tsm_entry e = tsm_reader_entry(r, i, j);
            if (e.offset != next)
                return tsm_verify_report(v, r->sealed ? TSM_FINDING_FAULT : TSM_FINDING_NOTE, err,
                                         "%s: offset %" PRIu64
                                         ": blocks do not follow each other in the order of the "
                                         "index, the next one is at %" PRIu64,
                                         r->path, next, e.offset);
            next = e.offset + e.size;
        }
    }
    return TSM_OK;
}

int tsm_verify_blocks(struct tsm_verify *v, struct tsm_reader *const *files, size_t n, struct tsm_err *err)
{
    struct block_run run = {.v = v};
    int r = TSM_OK;
    for (size_t i = 0; i < n && r == TSM_OK; i++) {
        v->stats.keys += files[i]->nkeys;
        v->stats.bytes += files[i]->map.size;
        add_tasks(&run, files[i]);
        r = check_layout(v, files[i], err);
    }
    unsigned jobs = v->jobs ? v->jobs : 1;
    run.columns = tsm_calloc(jobs, sizeof *run.columns);
    struct tsm_parallel p = {
        .jobs = jobs,
        .tasks = run.ntasks,
        .ctx = &run,
        .work = check_task,
        .emit = emit_outcome,
        .drop = drop_outcome,
    };
    if (r == TSM_OK && run.ntasks)
        r = tsm_parallel_run(&p, err);
    for (unsigned i = 0; i < jobs; i++)
        tsm_values_release(&run.columns[i]);
    tsm_free(run.columns);
    tsm_free(run.tasks);
    return r;
}

/* ---- overlap ------------------------------------------------------------------------------------------ */

/* A file's place in the merge of all keys. */
struct cursor {
    const struct tsm_reader *r;
    size_t key;
};

struct place {
    struct tsm_entry e;
    const struct tsm_reader *r;
};

/* A heap of cursors by key, then by file, so that cursors of one key come out together. */
struct merge {
    struct cursor *heap;
    size_t n;
};

static int compare_cursors(const struct cursor *a, const struct cursor *b)
{
    int c = tsm_str_cmp(tsm_reader_key(a->r, a->key), tsm_reader_key(b->r, b->key));
    return c ? c : strcmp(a->r->path, b->r->path);
}

static void sift_down(struct merge *m, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < m->n; child++)
            if (compare_cursors(&m->heap[child], &m->heap[least]) < 0)
                least = child;
        if (least == i)
            return;
        struct cursor c = m->heap[i];
        m->heap[i] = m->heap[least];
        m->heap[least] = c;
        i = least;
    }
}

/* Moves the least cursor on. */
static void advance(struct merge *m)
{
    if (++m->heap[0].key == m->heap[0].r->nkeys)
        m->heap[0] = m->heap[--m->n];
    sift_down(m, 0);
}

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->e.tmin != y->e.tmin)
        return x->e.tmin < y->e.tmin ? -1 : 1;
    return strcmp(x->r->path, y->r->path);
}

/* Blocks of one key from several files. */
static int check_places(struct tsm_verify *v, struct tsm_str key, struct place *places, size_t n,
                        struct tsm_err *err)
{
    tsm_sort(places, n, sizeof *places, compare_places);
    size_t reach = 0; /* the block before that ends last */
    int r = TSM_OK;
    for (size_t i = 1; i < n && r == TSM_OK; i++) {
        const struct place *a = &places[reach], *b = &places[i];
        if (b->e.tmin <= a->e.tmax) {
            struct tsm_buf line = {0};
            tsm_add_printable(&line, tsm_str_of(b->r->path));
            tsm_buf_printf(&line, ": offset %" PRIu64 ": block of ", b->e.offset);
            tsm_add_block_name(&line, key, b->e.tmin, b->e.tmax);
            tsm_buf_puts(&line, ": overlaps another of the ordered set, in ");
            tsm_add_printable(&line, tsm_str_of(a->r->path));
            tsm_buf_printf(&line, " at offset %" PRIu64, a->e.offset);
            r = hand_on(v, TSM_FINDING_FAULT, tsm_buf_cstr(&line), err);
            tsm_buf_release(&line);
        }
        if (b->e.tmax > a->e.tmax)
            reach = i;
    }
    return r;
}

static bool name_of(const struct tsm_reader *r, struct tsm_file_name *name)
{
    const char *slash = strrchr(r->path, '/');
    return tsm_file_name_parse(tsm_str_of(slash ? slash + 1 : r->path), ".tsm", name);
}

static bool is_ordered(const struct tsm_reader *r)
{
    struct tsm_file_name name;
    return r->sealed && name_of(r, &name) && name.generation < TSM_FIRST_LATE_GENERATION;
}

/* A file that was made from r by a compaction that is about to remove r, or was killed before; NULL: none. */
static const struct tsm_reader *made_from(const struct tsm_reader *r, struct tsm_reader *const *files,
                                          size_t n)
{
    struct tsm_file_name name;
    if (!name_of(r, &name))
        return NULL;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < files[i]->norigins; k++) {
            const struct tsm_origin *o = &files[i]->origins[k];
            if (o->name.generation == name.generation && o->name.level == name.level &&
                o->size == r->map.size && o->digest == tsm_reader_digest(r))
                return files[i];
        }
    return NULL;
}

int tsm_verify_overlap(struct tsm_verify *v, struct tsm_reader *const *files, size_t n, struct tsm_err *err)
{
    struct merge m = {.heap = tsm_calloc(n + 1, sizeof *m.heap)};
    int r = TSM_OK;
    for (size_t i = 0; i < n && r == TSM_OK; i++) {
        const struct tsm_reader *output = made_from(files[i], files, n);
        if (output)
            r = tsm_verify_report(v, TSM_FINDING_NOTE, err,
                                  "%s: left over by a compaction: all of it is in %s", files[i]->path,
                                  output->path);
        else if (is_ordered(files[i]))
            m.heap[m.n++] = (struct cursor){files[i], 0};
    }
    for (size_t i = m.n; i-- > 0;)
        sift_down(&m, i);
    struct place *places = NULL;
    size_t cap = 0;
    while (m.n > 1 && r == TSM_OK) {
        struct tsm_str key = tsm_reader_key(m.heap[0].r, m.heap[0].key);
        size_t nplaces = 0, nfiles = 0;
        do {
            struct cursor c = m.heap[0];
            size_t entries = tsm_reader_entries(c.r, c.key);
            TSM_GROW(places, nplaces + entries, cap);
            for (size_t j = 0; j < entries; j++)
                places[nplaces++] = (struct place){tsm_reader_entry(c.r, c.key, j), c.r};
            nfiles++;
            advance(&m);
        } while (m.n > 0 && tsm_str_eq(tsm_reader_key(m.heap[0].r, m.heap[0].key), key));
        if (nfiles > 1)
            r = check_places(v, key, places, nplaces, err);
    }
    tsm_free(places);
    tsm_free(m.heap);
    return r;
}
