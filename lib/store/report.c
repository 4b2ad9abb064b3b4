/* store/report.c: counting series, tag values, fields, blocks and bytes. */
#include "store/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/parallel.h"
#include "base/sort.h"
#include "codec/block.h"
#include "format/series_key.h"
#include "base/banned.h"

/* ---- a set of hashes ------------------------------------------------------------------------------------
 */

/* Open addressing, at most half full; 0 is an empty slot. Zeroed: empty. */
struct hash_set {
    uint64_t *slots;
    size_t cap, used;
};

static void put(struct hash_set *s, uint64_t h)
{
    size_t i = (size_t)h & (s->cap - 1);
    while (s->slots[i])
        i = (i + 1) & (s->cap - 1);
    s->slots[i] = h;
}

static void grow(struct hash_set *s)
{
    struct hash_set bigger = {.cap = s->cap ? 2 * s->cap : 8, .used = s->used};
    bigger.slots = tsm_calloc(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < s->cap; i++)
        if (s->slots[i])
            put(&bigger, s->slots[i]);
    tsm_free(s->slots);
    *s = bigger;
}

/* True when h was not in the set yet. */
static bool add_hash(struct hash_set *s, uint64_t h)
{
    h += h == 0;
    if (s->cap) {
        size_t i = (size_t)h & (s->cap - 1);
        for (; s->slots[i]; i = (i + 1) & (s->cap - 1))
            if (s->slots[i] == h)
                return false;
    }
    if (2 * (s->used + 1) > s->cap)
        grow(s);
    put(s, h);
    s->used++;
    return true;
}

/* ---- the report -----------------------------------------------------------------------------------------
 */

struct tag {
    struct tsm_str name;
    struct hash_set values;
    uint64_t series;
};

struct measurement {
    struct tsm_str db, name;
    uint64_t series, blocks, values, bytes;
    struct hash_set fields;
    struct tag *tags;
    size_t ntags, captags;
};

struct database {
    struct tsm_str name;
    struct hash_set series;
    struct tsm_map by_name; /* measurements */
};

struct tsm_report {
    struct tsm_arena names;
    struct database *databases;
    size_t ndatabases, capdatabases;
    struct measurement *measurements;
    size_t nmeasurements, capmeasurements;
    struct tsm_report_encoding *encodings;
    size_t nencodings, capencodings;
    struct tsm_report_view view;
};

struct tsm_report *tsm_report_new(void)
{
    struct tsm_report *r = tsm_calloc(1, sizeof *r);
    r->view.tmin = INT64_MAX;
    r->view.tmax = INT64_MIN;
    return r;
}

void tsm_report_free(struct tsm_report *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->ndatabases; i++) {
        tsm_free(r->databases[i].series.slots);
        tsm_map_release(&r->databases[i].by_name);
    }
    for (size_t i = 0; i < r->nmeasurements; i++) {
        for (size_t j = 0; j < r->measurements[i].ntags; j++)
            tsm_free(r->measurements[i].tags[j].values.slots);
        tsm_free(r->measurements[i].tags);
        tsm_free(r->measurements[i].fields.slots);
    }
    tsm_free(r->databases);
    tsm_free(r->measurements);
    tsm_free(r->encodings);
    tsm_free(r->view.measurements);
    tsm_free(r->view.tags);
    tsm_arena_release(&r->names);
    tsm_free(r);
}

static size_t database_of(struct tsm_report *r, struct tsm_str name)
{
    for (size_t i = 0; i < r->ndatabases; i++)
        if (tsm_str_eq(r->databases[i].name, name))
            return i;
    TSM_GROW(r->databases, r->ndatabases + 1, r->capdatabases);
    r->databases[r->ndatabases] = (struct database){.name = tsm_arena_str(&r->names, name)};
    return r->ndatabases++;
}

static struct measurement *measurement_of(struct tsm_report *r, size_t db, struct tsm_str name)
{
    struct database *d = &r->databases[db];
    uint64_t hash = tsm_hash(name);
    uint32_t i = tsm_map_get(&d->by_name, name, hash);
    if (i == TSM_MAP_NONE) {
        TSM_GROW(r->measurements, r->nmeasurements + 1, r->capmeasurements);
        i = (uint32_t)r->nmeasurements++;
        struct tsm_str own = tsm_arena_str(&r->names, name);
        r->measurements[i] = (struct measurement){.db = d->name, .name = own};
        tsm_map_put(&d->by_name, own, hash, i);
    }
    return &r->measurements[i];
}

static struct tag *tag_of(struct tsm_report *r, struct measurement *m, struct tsm_str name)
{
    for (size_t i = 0; i < m->ntags; i++)
        if (tsm_str_eq(m->tags[i].name, name))
            return &m->tags[i];
    TSM_GROW(m->tags, m->ntags + 1, m->captags);
    m->tags[m->ntags] = (struct tag){.name = tsm_arena_str(&r->names, name)};
    return &m->tags[m->ntags++];
}

/* ---- series ---------------------------------------------------------------------------------------------
 */

static struct measurement *add_series(struct tsm_report *r, size_t db, struct tsm_str key,
                                      struct tsm_err *err)
{
    struct tsm_arena scratch = {0};
    struct tsm_series s;
    struct measurement *m = NULL;
    if (tsm_series_parse(key, &scratch, &s, err) == TSM_OK) {
        m = measurement_of(r, db, s.measurement);
        if (add_hash(&r->databases[db].series, tsm_hash(key))) {
            m->series++;
            for (size_t i = 0; i < s.ntags; i++) {
                struct tag *t = tag_of(r, m, s.tags[i].key);
                t->series++;
                add_hash(&t->values, tsm_hash(s.tags[i].value));
            }
        }
    }
    tsm_arena_release(&scratch);
    return m;
}

/* The keys of a shard are sorted, so those of one series follow each other. */
static int add_keys(struct tsm_report *r, size_t db, const struct tsm_shard *shard, struct tsm_err *err)
{
    struct tsm_str before = {0};
    struct measurement *m = NULL;
    for (size_t i = 0; i < shard->nkeys; i++) {
        struct tsm_str series, field, key = tsm_shard_key(shard, i);
        if (!tsm_key_split(key, &series, &field))
            return tsm_err_set(err, TSM_ECORRUPT, "key '%.*s' has no field", (int)(key.n < 200 ? key.n : 200),
                               key.p);
        if (!m || !tsm_str_eq(series, before))
            m = add_series(r, db, series, err);
        if (!m)
            return tsm_err_wrap(err, TSM_ECORRUPT, "key '%.*s'", (int)(key.n < 200 ? key.n : 200), key.p);
        before = series;
        add_hash(&m->fields, tsm_hash(field));
    }
    return TSM_OK;
}

/* ---- blocks ---------------------------------------------------------------------------------------------
 */

/* Keys [from, to) of one file. */
struct task {
    const struct tsm_reader *r;
    size_t from, to;
};

/* The blocks of one series that follow each other in a task. */
struct run_of_series {
    struct tsm_str series;
    uint64_t blocks, values, bytes;
};

struct outcome {
    struct run_of_series *runs;
    size_t n, cap;
    struct tsm_report_encoding *encodings;
    size_t nencodings, capencodings;
};

struct block_run {
    struct tsm_report *report;
    size_t db;
    const struct tsm_damage *damage;
    struct task *tasks;
    size_t n, cap;
};

/* Adds to the row of list that is like e. */
static void add_encoding(struct tsm_report_encoding **list, size_t *n, size_t *cap,
                         const struct tsm_report_encoding *e)
{
    struct tsm_report_encoding *found = NULL;
    for (size_t i = 0; i < *n && !found; i++) {
        struct tsm_report_encoding *x = &(*list)[i];
        if (x->type == e->type && x->time_encoding == e->time_encoding &&
            x->value_encoding == e->value_encoding)
            found = x;
    }
    if (!found) {
        TSM_GROW(*list, *n + 1, *cap);
        found = &(*list)[(*n)++];
        *found = (struct tsm_report_encoding){e->type, e->time_encoding, e->value_encoding, 0, 0, 0, 0};
    }
    found->blocks += e->blocks;
    found->values += e->values;
    found->time_bytes += e->time_bytes;
    found->value_bytes += e->value_bytes;
}

static int look_at_block(const struct tsm_reader *r, const struct tsm_entry *e, struct run_of_series *run,
                         struct outcome *o, struct tsm_err *err)
{
    const uint8_t *p;
    size_t len;
    struct tsm_block_info info;
    int c = tsm_reader_block(r, e, &p, &len, err);
    if (c != TSM_OK)
        return c;
    c = tsm_block_info(p, len, &info, err);
    if (c != TSM_OK)
        return tsm_err_wrap(err, c, "%s: offset %" PRIu64 ": block", r->path, e->offset);
    run->blocks++;
    run->values += info.n;
    run->bytes += e->size;
    struct tsm_report_encoding row = {info.type, info.time_encoding, info.value_encoding, 1,
                                      info.n,    info.time_bytes,    info.value_bytes};
    add_encoding(&o->encodings, &o->nencodings, &o->capencodings, &row);
    return TSM_OK;
}

static void drop_outcome(void *ctx, void *slot)
{
    (void)ctx;
    struct outcome *o = slot;
    if (!o)
        return;
    tsm_free(o->runs);
    tsm_free(o->encodings);
    tsm_free(o);
}

static int look_at_task(void *ctx, size_t number, unsigned thread, void **slot, struct tsm_err *err)
{
    (void)thread;
    struct block_run *run = ctx;
    const struct task *t = &run->tasks[number];
    struct outcome *o = tsm_calloc(1, sizeof *o);
    *slot = o;
    for (size_t i = t->from; i < t->to; i++) {
        struct tsm_str series, field;
        if (!tsm_key_split(tsm_reader_key(t->r, i), &series, &field))
            continue; /* the keys of the shard have been looked at */
        if (o->n == 0 || !tsm_str_eq(o->runs[o->n - 1].series, series)) {
            TSM_GROW(o->runs, o->n + 1, o->cap);
            o->runs[o->n++] = (struct run_of_series){.series = series};
        }
        size_t entries = tsm_reader_entries(t->r, i);
        for (size_t j = 0; j < entries; j++) {
            struct tsm_entry e = tsm_reader_entry(t->r, i, j);
            struct tsm_err local;
            int c = look_at_block(t->r, &e, &o->runs[o->n - 1], o, &local);
            if (c != TSM_OK && (!run->damage || !run->damage->skip))
                return tsm_err_set(err, c, "%s", local.msg);
            if (c != TSM_OK && run->damage->report)
                run->damage->report(run->damage->ctx, local.msg);
        }
    }
    return TSM_OK;
}

static int add_outcome(void *ctx, size_t number, void *slot, struct tsm_err *err)
{
    (void)number;
    struct block_run *run = ctx;
    struct outcome *o = slot;
    struct tsm_arena scratch = {0};
    int r = TSM_OK;
    for (size_t i = 0; i < o->n && r == TSM_OK; i++) {
        struct tsm_series s;
        r = tsm_series_parse(o->runs[i].series, &scratch, &s, err);
        if (r != TSM_OK)
            break;
        struct measurement *m = measurement_of(run->report, run->db, s.measurement);
        m->blocks += o->runs[i].blocks;
        m->values += o->runs[i].values;
        m->bytes += o->runs[i].bytes;
    }
    for (size_t i = 0; i < o->nencodings; i++)
        add_encoding(&run->report->encodings, &run->report->nencodings, &run->report->capencodings,
                     &o->encodings[i]);
    tsm_arena_release(&scratch);
    drop_outcome(NULL, o);
    return r;
}

static void add_tasks(struct block_run *run, const struct tsm_reader *r)
{
    enum { TASK_BYTES = 4 << 20 };
    size_t step = r->nkeys / (r->map.size / TASK_BYTES + 1) + 1;
    for (size_t from = 0; from < r->nkeys; from += step) {
        TSM_GROW(run->tasks, run->n + 1, run->cap);
        run->tasks[run->n++] = (struct task){r, from, r->nkeys - from < step ? r->nkeys : from + step};
    }
}

int tsm_report_add(struct tsm_report *r, struct tsm_str db, const struct tsm_shard *shard, unsigned jobs,
                   struct tsm_err *err)
{
    struct block_run run = {.report = r, .db = database_of(r, db), .damage = shard->damage};
    r->view.shards++;
    for (size_t i = 0; i < shard->nfiles; i++) {
        const struct tsm_reader *f = shard->files[i];
        r->view.files++;
        r->view.file_bytes += f->map.size;
        r->view.tmin = f->tmin < r->view.tmin ? f->tmin : r->view.tmin;
        r->view.tmax = f->tmax > r->view.tmax ? f->tmax : r->view.tmax;
        add_tasks(&run, f);
    }
    int c = add_keys(r, run.db, shard, err);
    struct tsm_parallel p = {
        .jobs = jobs ? jobs : 1,
        .tasks = run.n,
        .ctx = &run,
        .work = look_at_task,
        .emit = add_outcome,
        .drop = drop_outcome,
    };
    if (c == TSM_OK && run.n)
        c = tsm_parallel_run(&p, err);
    tsm_free(run.tasks);
    return c;
}

/* ---- the result -----------------------------------------------------------------------------------------
 */

static int compare_measurements(const void *a, const void *b)
{
    const struct tsm_report_measurement *x = a, *y = b;
    if (x->series != y->series)
        return x->series > y->series ? -1 : 1;
    int c = tsm_str_cmp(x->db, y->db);
    return c ? c : tsm_str_cmp(x->name, y->name);
}

static int compare_tags(const void *a, const void *b)
{
    const struct tsm_report_tag *x = a, *y = b;
    if (x->values != y->values)
        return x->values > y->values ? -1 : 1;
    int c = tsm_str_cmp(x->db, y->db);
    c = c ? c : tsm_str_cmp(x->measurement, y->measurement);
    return c ? c : tsm_str_cmp(x->name, y->name);
}

static int compare_encodings(const void *a, const void *b)
{
    const struct tsm_report_encoding *x = a, *y = b;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    if (x->values != y->values)
        return x->values > y->values ? -1 : 1;
    return 0;
}

const struct tsm_report_view *tsm_report_finish(struct tsm_report *r)
{
    struct tsm_report_view *v = &r->view;
    size_t captags = 0;
    v->measurements = tsm_calloc(r->nmeasurements + 1, sizeof *v->measurements);
    for (size_t i = 0; i < r->nmeasurements; i++) {
        const struct measurement *m = &r->measurements[i];
        v->measurements[v->nmeasurements++] = (struct tsm_report_measurement){
            m->db, m->name, m->series, m->fields.used, m->ntags, m->blocks, m->values, m->bytes};
        v->series += m->series;
        v->blocks += m->blocks;
        v->values += m->values;
        for (size_t j = 0; j < m->ntags; j++) {
            TSM_GROW(v->tags, v->ntags + 1, captags);
            v->tags[v->ntags++] = (struct tsm_report_tag){m->db, m->name, m->tags[j].name,
                                                          m->tags[j].values.used, m->tags[j].series};
        }
    }
    v->encodings = r->encodings;
    v->nencodings = r->nencodings;
    tsm_sort(v->measurements, v->nmeasurements, sizeof *v->measurements, compare_measurements);
    tsm_sort(v->tags, v->ntags, sizeof *v->tags, compare_tags);
    tsm_sort(v->encodings, v->nencodings, sizeof *v->encodings, compare_encodings);
    return v;
}
