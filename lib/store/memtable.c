/*
 * store/memtable.c: the series table and the way of a point into its columns.
 *
 * In time order every point hits another series, and each of the five or six cache lines on its way would be
 * waited for in turn. So points go in groups: each step is made for the whole group, and fetches what the
 * next one needs.
 *
 * Invariant: every series is in the table under its canonical key, and once more under each other spelling
 * that was seen.
 */
#include "store/memtable.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "store/column_cut.h"
#include "base/banned.h"

/* Columns that series got in a shard. */
struct made {
    struct tsm_made_column *columns;
    size_t n, cap;
    uint64_t generation;
};

struct tsm_memtable {
    atomic_uint shares;
    struct tsm_series_index index; /* of struct tsm_mem_series */
    uint64_t points, slices, columns;
    struct tsm_column_memory memory;
    struct tsm_arena text; /* keys */
    struct tsm_buf key;    /* scratch */
    uint32_t *resolved;    /* scratch: the columns of a point's fields */
    size_t capresolved;
    bool watched;
    struct made *made; /* by shard */
    size_t nmade;
    size_t made_bytes;
    struct tsm_field_types **types; /* that columns refer to, or did */
    size_t ntypes, captypes;
    struct tsm_slice_before *before; /* all of them */
    _Atomic size_t before_bytes;
};

enum {
    FLUSH_BYTES_PER_SLICE = 88, /* what a flush needs to sort them: store/flush.c */
    FLUSH_BYTES_PER_COLUMN = 16,
    WIDE = 16, /* columns */
    NEW_COLUMN = -1,
    NO_COLUMN = -2,
};

struct tsm_memtable *tsm_memtable_new(void)
{
    struct tsm_memtable *m = tsm_calloc(1, sizeof *m);
    tsm_series_index_init(&m->index);
    atomic_init(&m->shares, 1);
    return m;
}

struct tsm_memtable *tsm_memtable_share(struct tsm_memtable *m)
{
    atomic_fetch_add(&m->shares, 1);
    return m;
}

bool tsm_memtable_is_shared(const struct tsm_memtable *m)
{
    return atomic_load(&m->shares) > 1;
}

static void forget_before(struct tsm_memtable *m)
{
    for (struct tsm_slice_before *b = m->before, *next; b; b = next) {
        next = b->next;
        b->series->before = NULL;
        tsm_free(b);
    }
    m->before = NULL;
    m->before_bytes = 0;
}

void tsm_memtable_free(struct tsm_memtable *m)
{
    if (!m || atomic_fetch_sub(&m->shares, 1) > 1)
        return;
    forget_before(m);
    for (size_t i = 0; i < m->nmade; i++)
        tsm_free(m->made[i].columns);
    tsm_free(m->made);
    for (size_t i = 0; i < m->ntypes; i++)
        tsm_field_types_free(m->types[i]);
    tsm_free(m->types);
    tsm_series_index_release(&m->index);
    tsm_column_memory_release(&m->memory);
    tsm_arena_release(&m->text);
    tsm_buf_release(&m->key);
    tsm_free(m->resolved);
    tsm_free(m);
}

/* ---- the series table ---- */

static struct tsm_mem_series *find(const struct tsm_memtable *m, struct tsm_str raw, uint64_t hash)
{
    return (struct tsm_mem_series *)tsm_series_index_find(&m->index, raw, hash); /* its first member */
}

static struct tsm_mem_series *insert(struct tsm_memtable *m, struct tsm_str raw, uint64_t hash,
                                     struct tsm_mem_series *same)
{
    struct tsm_mem_series *s = tsm_slab_alloc(&m->memory.slab, tsm_slab_class(sizeof *s));
    *s = (struct tsm_mem_series){.raw = {tsm_arena_str(&m->text, raw).p, (uint32_t)raw.n}};
    s->same = same ? same : s;
    tsm_series_index_insert(&m->index, &s->raw, hash);
    return s;
}

/* Appends the name of the measurement of a series key. */
static void add_measurement(struct tsm_buf *out, struct tsm_str key)
{
    struct tsm_arena a = {0};
    struct tsm_series s;
    struct tsm_str name = tsm_key_measurement(key);
    if (tsm_series_parse(key, &a, &s, NULL) == TSM_OK)
        name = s.measurement;
    tsm_buf_str(out, name);
    tsm_arena_release(&a);
}

/* True when a tag's name is "time", which InfluxDB does not allow. */
static bool has_time_tag(struct tsm_str key)
{
    if (!memmem(key.p, key.n, ",time=", 6))
        return false;
    struct tsm_arena a = {0};
    struct tsm_series s;
    bool found = tsm_series_parse(key, &a, &s, NULL) == TSM_OK && tsm_series_tag(&s, TSM_STR("time")).p;
    tsm_arena_release(&a);
    return found;
}

/* A raw key that is not in the table: the series that it stands for, made when new. NULL: the cause is in
 * err. */
static struct tsm_mem_series *new_spelling(struct tsm_memtable *m, struct tsm_str raw, uint64_t hash,
                                           struct tsm_memtable_counts *counts, tsm_new_series_fn *new_series,
                                           void *ctx, struct tsm_err *err)
{
    tsm_buf_reset(&m->key);
    if (tsm_line_key(raw, &m->key, err) != TSM_OK)
        return NULL;
    struct tsm_str key = tsm_buf_view(&m->key);
    bool canonical = tsm_str_eq(raw, key);
    uint64_t key_hash = canonical ? hash : tsm_hash(key);
    struct tsm_mem_series *s = canonical ? NULL : find(m, key, key_hash);
    if (!s) {
        if (has_time_tag(key)) {
            struct tsm_buf name = {0};
            add_measurement(&name, key);
            tsm_err_set(err, TSM_ECONFLICT,
                        "invalid tag key: input tag \"time\" on measurement \"%s\" is invalid",
                        tsm_buf_cstr(&name));
            tsm_buf_release(&name);
            return NULL;
        }
        s = insert(m, key, key_hash, NULL);
        counts->new_series++;
        if (new_series)
            new_series(ctx, key);
    }
    if (!canonical)
        insert(m, raw, hash, s);
    return s;
}

/* ---- slices and columns ---- */

/* The first slice in all whose shard is not below this one. */
static uint32_t seek_slice(const struct tsm_slices *all, uint32_t shard)
{
    uint32_t from = 0, to = all->n;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (all->items[middle].shard < shard)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static struct tsm_slices *new_slices(struct tsm_memtable *m, unsigned class, const struct tsm_slices *old)
{
    struct tsm_slices *all = tsm_slab_alloc(&m->memory.slab, class);
    all->n = old ? old->n : 0;
    all->class = class;
    if (old)
        memcpy(all->items, old->items, old->n * sizeof *old->items);
    return all;
}

static void insert_slice(struct tsm_memtable *m, struct tsm_mem_series *s, uint32_t at,
                         struct tsm_slice slice)
{
    struct tsm_slices *all = s->all;
    if (((size_t)TSM_SLAB_MIN << all->class) < sizeof *all + (all->n + 1) * sizeof *all->items) {
        s->all = new_slices(m, all->class + 1, all);
        tsm_slab_free(&m->memory.slab, all, all->class);
        all = s->all;
    }
    memmove(all->items + at + 1, all->items + at, (all->n - at) * sizeof *all->items);
    all->items[at] = slice;
    all->n++;
}

/* Makes the slice of this shard the current one. */
static void switch_slice(struct tsm_memtable *m, struct tsm_mem_series *s, uint32_t shard)
{
    if (!s->slice.columns) { /* nothing in it yet */
        if (!s->all) {
            s->slice = (struct tsm_slice){.shard = shard};
            return;
        }
    } else if (!s->all) {
        s->all = new_slices(m, 0, NULL);
        insert_slice(m, s, 0, s->slice);
    } else {
        uint32_t at = seek_slice(s->all, s->slice.shard);
        if (at == s->all->n || s->all->items[at].shard != s->slice.shard)
            insert_slice(m, s, at, s->slice);
        else
            s->all->items[at] = s->slice;
    }
    uint32_t at = seek_slice(s->all, shard);
    bool found = at < s->all->n && s->all->items[at].shard == shard;
    s->slice = found ? s->all->items[at] : (struct tsm_slice){.shard = shard};
}

/* Room for n more columns, which may move them. */
static void reserve_columns(struct tsm_memtable *m, struct tsm_slice *sl, size_t n)
{
    if (sl->capcolumns - sl->ncolumns >= n)
        return;
    size_t want = sl->ncolumns + n;
    if (sl->ncolumns && want < 2 * (size_t)sl->ncolumns)
        want = 2 * (size_t)sl->ncolumns;
    unsigned class = tsm_slab_class(want * sizeof *sl->columns);
    struct tsm_column *columns = tsm_slab_alloc(&m->memory.slab, class);
    if (sl->ncolumns)
        memcpy(columns, sl->columns, sl->ncolumns * sizeof *columns);
    if (sl->columns)
        tsm_slab_free(&m->memory.slab, sl->columns, tsm_slab_class(sl->capcolumns * sizeof *columns));
    sl->columns = columns;
    sl->capcolumns = (uint32_t)(((size_t)TSM_SLAB_MIN << class) / sizeof *columns);
}

_Static_assert(sizeof(struct tsm_column) == TSM_SLAB_MIN, "a column is a cache line");
_Static_assert(sizeof(struct tsm_mem_series) <= TSM_SLAB_MIN, "a series fits a cache line");

static void keep_types(struct tsm_memtable *m, struct tsm_field_types *types)
{
    TSM_GROW(m->types, m->ntypes + 1, m->captypes);
    m->types[m->ntypes++] = tsm_field_types_share(types);
}

static void add_made(struct made *made, const struct tsm_mem_series *s, const struct tsm_field_def *field)
{
    TSM_GROW(made->columns, made->n + 1, made->cap);
    made->columns[made->n++] = (struct tsm_made_column){s, field};
}

/* Notes that a series gets a column in its present slice. */
static void note_made(struct tsm_memtable *m, const struct tsm_mem_series *s, struct tsm_field_types *types,
                      const struct tsm_field_def *field)
{
    uint32_t shard = s->slice.shard;
    if (shard >= m->nmade) {
        size_t n = m->nmade;
        m->nmade = shard + 1;
        m->made = tsm_realloc_array(m->made, m->nmade, sizeof *m->made);
        memset(m->made + n, 0, (m->nmade - n) * sizeof *m->made);
        m->made_bytes += (m->nmade - n) * sizeof *m->made;
    }
    struct made *made = &m->made[shard];
    if (made->n == 0)
        keep_types(m, types);
    size_t cap = made->cap;
    add_made(made, s, field);
    m->made_bytes += (made->cap - cap) * sizeof *made->columns;
}

static uint32_t add_column(struct tsm_memtable *m, struct tsm_mem_series *s,
                           const struct tsm_memtable_shard *shard, struct tsm_field_def *def)
{
    struct tsm_slice *sl = &s->slice;
    if (m->watched)
        note_made(m, s, shard->types, def);
    reserve_columns(m, sl, 1);
    def->column = sl->ncolumns;
    sl->columns[sl->ncolumns] = (struct tsm_column){
        .field = def, .newest = INT64_MIN, .number = (uint32_t)m->columns};
    m->columns++;
    m->slices += sl->ncolumns == 0;
    return sl->ncolumns++;
}

static inline bool names_equal(struct tsm_str a, struct tsm_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) /* names are short, and nearly always equal */
        if (a.p[i] != b.p[i])
            return false;
    return true;
}

/* The column of a field that is not where it was expected. In a wide series the names are not walked: a field
 * that the shard does not know has no column, and one that it knows is mostly where it was the last time. */
static uint32_t search_column(const struct tsm_memtable_shard *shard, const struct tsm_mem_series *s,
                              struct tsm_str name)
{
    const struct tsm_slice *sl = &s->slice;
    struct tsm_field_def *def = NULL;
    if (sl->ncolumns > WIDE && shard->types) {
        def = tsm_field_types_find(shard->types, tsm_key_measurement(tsm_mem_series_key(s)), name);
        if (!def)
            return (uint32_t)NO_COLUMN;
        if (def->column < sl->ncolumns && sl->columns[def->column].field == def)
            return def->column;
    }
    for (uint32_t i = 0; i < sl->ncolumns; i++) {
        if (def ? sl->columns[i].field == def : names_equal(sl->columns[i].field->name, name)) {
            if (def)
                def->column = i;
            return i;
        }
    }
    return (uint32_t)NO_COLUMN;
}

/* The column of a field, looked for first where it was in the point before. NO_COLUMN when there is none. */
static inline uint32_t find_column(const struct tsm_memtable_shard *shard, const struct tsm_mem_series *s,
                                   struct tsm_str name, uint32_t expected)
{
    if (expected < s->slice.ncolumns && names_equal(s->slice.columns[expected].field->name, name))
        return expected;
    return search_column(shard, s, name);
}

/* ---- points ---- */

static void type_conflict(struct tsm_buf *cause, const struct tsm_field *f, struct tsm_str key,
                          enum tsm_type known)
{
    tsm_buf_puts(cause, "field type conflict: input field \"");
    tsm_buf_str(cause, f->name);
    tsm_buf_puts(cause, "\" on measurement \"");
    add_measurement(cause, key);
    tsm_buf_printf(cause, "\" is type %s, already exists as type %s", tsm_type_name(f->type),
                   tsm_type_name(known));
}

/* A field that the series does not have in this shard yet: may it be added? The fields of the same point
 * before it count, too. */
static bool check_new_field(const struct tsm_memtable_shard *shard, struct tsm_str key,
                            const struct tsm_field *first, const struct tsm_field *f, struct tsm_buf *cause)
{
    if (key.n + 4 + f->name.n > TSM_KEY_MAX) {
        tsm_buf_printf(cause, "max key length exceeded: %zu > %d", key.n + 4 + f->name.n, TSM_KEY_MAX);
        return false;
    }
    const struct tsm_field_def *def = tsm_field_types_find(shard->types, tsm_key_measurement(key), f->name);
    enum tsm_type known = def ? def->type : f->type;
    for (const struct tsm_field *g = first; g < f && !def; g++)
        if (tsm_str_eq(g->name, f->name))
            known = g->type;
    if (known != f->type)
        type_conflict(cause, f, key, known);
    return known == f->type;
}

/* Finds the column of each field of p, or what is wrong with it. False: the cause was appended. */
static bool resolve(struct tsm_memtable *m, const struct tsm_mem_series *s,
                    const struct tsm_memtable_shard *shard, const struct tsm_field *fields, uint32_t n,
                    struct tsm_buf *cause)
{
    const struct tsm_slice *sl = &s->slice;
    struct tsm_str key = tsm_mem_series_key(s);
    uint32_t expected = 0, usable = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct tsm_field *f = &fields[i];
        uint32_t column = find_column(shard, s, f->name, expected);
        m->resolved[i] = column;
        if (f->type == TSM_FLOAT && !isfinite(f->value.f)) {
            tsm_buf_printf(cause, "field \"%.*s\": not a finite number", (int)f->name.n, f->name.p);
            return false;
        }
        usable++;
        if (__builtin_expect(column != (uint32_t)NO_COLUMN, 1)) {
            expected = column + 1;
            enum tsm_type known = sl->columns[column].field->type;
            if (__builtin_expect(known != f->type, 0)) {
                type_conflict(cause, f, key, known);
                return false;
            }
        } else if (tsm_str_eq(f->name, TSM_STR("time"))) {
            usable--;
        } else {
            m->resolved[i] = (uint32_t)NEW_COLUMN;
            if (!check_new_field(shard, key, fields, f, cause))
                return false;
        }
    }
    if (usable == 0) {
        tsm_buf_puts(cause, "invalid field name: input field \"time\" on measurement \"");
        add_measurement(cause, key);
        tsm_buf_puts(cause, "\" is invalid");
    }
    return usable > 0;
}

/* Keeps what the present slice has for its readers, as it gets a column. */
static void keep_before(struct tsm_memtable *m, struct tsm_mem_series *s)
{
    const struct tsm_slice *sl = &s->slice;
    size_t bytes = sizeof *s->before + sl->ncolumns * sizeof *s->before->columns;
    struct tsm_slice_before *b = tsm_alloc(bytes);
    m->before_bytes += bytes;
    *b = (struct tsm_slice_before){
        .older = s->before,
        .next = m->before,
        .series = s,
        .number = (uint32_t)m->columns,
        .shard = sl->shard,
        .ncolumns = sl->ncolumns,
    };
    for (uint32_t i = 0; i < sl->ncolumns; i++)
        tsm_column_copy(&sl->columns[i], sl->columns[i].field, &b->columns[i].column, &b->columns[i].side);
    s->before = m->before = b;
}

static bool has_new_column(const struct tsm_memtable *m, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (m->resolved[i] == (uint32_t)NEW_COLUMN)
            return true;
    return false;
}

static void add_point(struct tsm_memtable *m, struct tsm_mem_series *s,
                      const struct tsm_memtable_shard *shard, const struct tsm_point *p,
                      const struct tsm_field *fields, struct tsm_memtable_counts *counts)
{
    struct tsm_slice *sl = &s->slice;
    if (sl->ncolumns == 0)
        reserve_columns(m, sl, p->nfields);
    else if (__builtin_expect(tsm_slab_is_held(&m->memory.slab), 0) && has_new_column(m, p->nfields))
        keep_before(m, s);
    for (uint32_t i = 0; i < p->nfields; i++) {
        uint32_t column = m->resolved[i];
        if (__builtin_expect(column == (uint32_t)NO_COLUMN, 0)) {
            counts->dropped_fields++;
            continue;
        }
        if (__builtin_expect(column == (uint32_t)NEW_COLUMN, 0)) {
            column = find_column(shard, s, fields[i].name, sl->ncolumns - 1); /* twice in this point? */
            if (column == (uint32_t)NO_COLUMN)
                column = add_column(m, s, shard,
                                    tsm_field_types_add(shard->types,
                                                        tsm_key_measurement(tsm_mem_series_key(s)),
                                                        fields[i].name, fields[i].type));
        }
        tsm_column_add(&m->memory, &sl->columns[column], p->time, fields[i].value);
        counts->points++;
        m->points++;
    }
    counts->rows++;
}

static void reject_point(const struct tsm_point *p, const char *cause, bool parse, tsm_reject_fn *reject,
                         void *ctx)
{
    struct tsm_buf message = {0};
    if (parse)
        tsm_line_error(&message, p->text, cause);
    else
        tsm_buf_puts(&message, cause);
    reject(ctx, p->line, p->text, tsm_buf_cstr(&message));
    tsm_buf_release(&message);
}

uint32_t tsm_memtable_write(struct tsm_memtable *m, const struct tsm_points *batch,
                            const struct tsm_point *points, const struct tsm_memtable_shard *const *shards,
                            size_t n, struct tsm_memtable_counts *counts, tsm_new_series_fn *new_series,
                            tsm_reject_fn *reject, void *ctx)
{
    struct tsm_mem_series *series[TSM_MEMTABLE_GROUP];
    uint32_t added = 0;
    for (size_t i = 0; i < n; i++)
        tsm_series_index_prefetch(&m->index, points[i].hash);
    for (size_t i = 0; i < n; i++)
        __builtin_prefetch(tsm_series_index_guess(&m->index, points[i].hash));
    for (size_t i = 0; i < n; i++) {
        const struct tsm_series_name *guess = tsm_series_index_guess(&m->index, points[i].hash);
        if (guess)
            __builtin_prefetch(guess->p);
    }
    for (size_t i = 0; i < n; i++) {
        const struct tsm_point *p = &points[i];
        series[i] = NULL;
        if (!shards[i])
            continue;
        struct tsm_mem_series *s = find(m, p->raw_key, p->hash);
        if (__builtin_expect(!s, 0)) {
            struct tsm_err err;
            s = new_spelling(m, p->raw_key, p->hash, counts, new_series, ctx, &err);
            if (!s) {
                reject_point(p, err.msg, err.code == TSM_EPARSE, reject, ctx);
                continue;
            }
        }
        series[i] = s->same;
        for (uint32_t k = 0; k < s->same->slice.ncolumns && k < 8; k++)
            __builtin_prefetch(&s->same->slice.columns[k]);
    }
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; series[i] && k < series[i]->slice.ncolumns && k < 8; k++)
            tsm_column_prefetch(&series[i]->slice.columns[k]);
    for (size_t i = 0; i < n; i++) {
        struct tsm_mem_series *s = series[i];
        if (!s)
            continue;
        const struct tsm_point *p = &points[i];
        const struct tsm_field *fields = &batch->fields[p->first_field];
        if (s->slice.shard != shards[i]->index)
            switch_slice(m, s, shards[i]->index);
        TSM_GROW(m->resolved, p->nfields, m->capresolved);
        struct tsm_buf cause = {0};
        if (__builtin_expect(resolve(m, s, shards[i], fields, p->nfields, &cause), 1)) {
            add_point(m, s, shards[i], p, fields, counts);
            added |= 1u << i;
        } else {
            reject_point(p, tsm_buf_cstr(&cause), false, reject, ctx);
        }
        tsm_buf_release(&cause);
    }
    return added;
}

int tsm_memtable_add(struct tsm_memtable *m, const struct tsm_memtable_shard *shard, struct tsm_str tsm_key,
                     const struct tsm_values *values, struct tsm_err *err)
{
    struct tsm_str key, field;
    if (!tsm_key_split(tsm_key, &key, &field))
        return tsm_err_set(err, TSM_ECORRUPT, "key '%.*s' without a field", (int)tsm_key.n, tsm_key.p);
    uint64_t hash = tsm_hash(key);
    struct tsm_mem_series *s = find(m, key, hash);
    if (!s)
        s = insert(m, key, hash, NULL);
    s = s->same;
    if (s->slice.shard != shard->index)
        switch_slice(m, s, shard->index);
    struct tsm_field_def *def = tsm_field_types_add(shard->types, tsm_key_measurement(key), field,
                                                    values->type);
    if (def->type != values->type)
        return tsm_err_set(err, TSM_ECONFLICT, "key '%.*s' is type %s, exists as type %s", (int)tsm_key.n,
                           tsm_key.p, tsm_type_name(values->type), tsm_type_name(def->type));
    uint32_t column = find_column(shard, s, field, 0);
    if (column == (uint32_t)NO_COLUMN)
        column = add_column(m, s, shard, def);
    struct tsm_column *c = &s->slice.columns[column];
    for (size_t i = 0; i < values->n; i++) {
        union tsm_value v = tsm_values_get(values, i);
        if (values->type == TSM_FLOAT && !isfinite(v.f))
            return tsm_err_set(err, TSM_ECORRUPT, "key '%.*s': a value that is not finite", (int)tsm_key.n,
                               tsm_key.p);
        tsm_column_add(&m->memory, c, values->t[i], v);
    }
    m->points += values->n;
    return TSM_OK;
}

/* The column is cut into blocks, and what is left of them is added anew. */
static int remove_range(struct tsm_memtable *m, struct tsm_column *c, int64_t tmin, int64_t tmax,
                        struct tsm_err *err)
{
    struct tsm_cutter cutter = {0};
    struct tsm_cut_output out = {0};
    struct tsm_values v = {0};
    int rc = tsm_column_cut(&cutter, c, INT64_MIN, &out, err);
    if (rc == TSM_OK)
        *c = (struct tsm_column){.field = c->field, .newest = INT64_MIN, .number = c->number};
    for (size_t i = 0; i < out.n && rc == TSM_OK; i++) {
        const struct tsm_cut_block *b = &out.blocks[i];
        rc = tsm_block_decode(b->bytes ? b->bytes : out.bytes.data + b->offset, b->len, &v, err);
        if (rc != TSM_OK)
            break;
        tsm_values_delete(&v, tmin, tmax);
        for (size_t k = 0; k < v.n; k++)
            tsm_column_add(&m->memory, c, v.t[k], tsm_values_get(&v, k));
    }
    tsm_values_release(&v);
    tsm_cut_output_release(&out);
    tsm_cutter_release(&cutter);
    return rc;
}

int tsm_memtable_remove(struct tsm_memtable *m, const struct tsm_memtable_shard *shard,
                        struct tsm_str tsm_key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    struct tsm_str key, field;
    if (!tsm_key_split(tsm_key, &key, &field))
        return TSM_OK;
    struct tsm_mem_series *s = find(m, key, tsm_hash(key));
    if (!s)
        return TSM_OK;
    s = s->same;
    if (s->slice.shard != shard->index)
        switch_slice(m, s, shard->index);
    uint32_t column = find_column(shard, s, field, 0);
    return column == (uint32_t)NO_COLUMN ? TSM_OK
                                         : remove_range(m, &s->slice.columns[column], tmin, tmax, err);
}

/* ---- deletes of many series ---- */

static bool has_slice(const struct tsm_mem_series *s, uint32_t shard)
{
    if (s->same != s)
        return false;
    if (s->slice.shard == shard)
        return s->slice.ncolumns > 0;
    uint32_t at = s->all ? seek_slice(s->all, shard) : 0;
    return s->all && at < s->all->n && s->all->items[at].shard == shard;
}

static int delete_from_series(struct tsm_memtable *m, struct tsm_mem_series *s, uint32_t shard, int64_t tmin,
                              int64_t tmax, struct tsm_err *err)
{
    int rc = TSM_OK;
    if (s->slice.shard != shard)
        switch_slice(m, s, shard);
    if (tsm_slab_is_held(&m->memory.slab)) {
        keep_before(m, s);
        m->columns++; /* who comes now is not meant */
    }
    for (uint32_t i = 0; i < s->slice.ncolumns && rc == TSM_OK; i++) {
        struct tsm_column *c = &s->slice.columns[i];
        if (tsm_column_is_empty(c) || c->newest < tmin) /* late values are older */
            continue;
        int64_t oldest = tsm_column_oldest(c);
        if (oldest > tmax)
            continue;
        if (tmin <= oldest && c->newest <= tmax)
            *c = (struct tsm_column){.field = c->field, .newest = INT64_MIN, .number = c->number};
        else
            rc = remove_range(m, c, tmin, tmax, err);
    }
    return rc;
}

int tsm_memtable_delete(struct tsm_memtable *m, const struct tsm_memtable_shard *shard,
                        bool (*wanted)(void *ctx, struct tsm_str series_key), void *ctx, int64_t tmin,
                        int64_t tmax, struct tsm_turn *turn, struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = 0; i <= m->index.mask && rc == TSM_OK; i++) {
        struct tsm_mem_series *s = (struct tsm_mem_series *)m->index.slots[i].entry;
        if (!s || !has_slice(s, shard->index) || !wanted(ctx, tsm_mem_series_key(s)))
            continue;
        tsm_turn_take(turn);
        rc = delete_from_series(m, s, shard->index, tmin, tmax, err);
        tsm_turn_give(turn);
    }
    return rc;
}

/* Puts another list in place of the one there is, if there is one. */
static void renew_made(struct tsm_memtable *m, uint32_t shard, struct made *made, struct tsm_turn *turn)
{
    tsm_turn_take(turn);
    if (shard < m->nmade) {
        struct made old = m->made[shard];
        made->generation = old.generation + 1;
        m->made[shard] = *made;
        m->made_bytes += made->cap * sizeof *made->columns;
        m->made_bytes -= old.cap * sizeof *old.columns;
        *made = old;
    }
    tsm_turn_give(turn);
    tsm_free(made->columns);
}

void tsm_memtable_retype(struct tsm_memtable *m, uint32_t shard, struct tsm_field_types *types,
                         struct tsm_turn *turn)
{
    struct made made = {0};
    if (m->watched && shard < m->nmade)
        keep_types(m, types);
    for (size_t i = 0; i <= m->index.mask; i++) {
        struct tsm_mem_series *s = (struct tsm_mem_series *)m->index.slots[i].entry;
        if (!s || !has_slice(s, shard))
            continue;
        tsm_turn_take(turn);
        if (s->slice.shard != shard)
            switch_slice(m, s, shard);
        struct tsm_slice *sl = &s->slice;
        uint32_t kept = 0;
        for (uint32_t k = 0; k < sl->ncolumns; k++) {
            struct tsm_column *c = &sl->columns[k];
            if (tsm_column_is_empty(c))
                continue;
            c->field = tsm_field_types_add(types, tsm_key_measurement(tsm_mem_series_key(s)), c->field->name,
                                           c->field->type);
            add_made(&made, s, c->field);
            sl->columns[kept++] = *c;
        }
        sl->ncolumns = kept;
        tsm_turn_give(turn);
    }
    renew_made(m, shard, &made, turn);
}

/* ---- reading beside the writer ---- */

void tsm_memtable_watch(struct tsm_memtable *m)
{
    m->watched = true;
}

const struct tsm_made_column *tsm_memtable_made(const struct tsm_memtable *m, uint32_t shard, size_t *n,
                                                uint64_t *generation)
{
    static const struct made none;
    const struct made *made = shard < m->nmade ? &m->made[shard] : &none;
    *n = made->n;
    *generation = made->generation;
    return made->columns;
}

uint32_t tsm_memtable_columns(const struct tsm_memtable *m)
{
    return (uint32_t)m->columns;
}

unsigned tsm_memtable_hold(struct tsm_memtable *m)
{
    return tsm_slab_hold(&m->memory.slab);
}

void tsm_memtable_unhold(struct tsm_memtable *m, unsigned epoch)
{
    tsm_slab_unhold(&m->memory.slab, epoch);
    if (!tsm_slab_is_held(&m->memory.slab))
        forget_before(m);
}

const struct tsm_mem_series *tsm_memtable_find(const struct tsm_memtable *m, struct tsm_str series_key,
                                               uint64_t hash)
{
    const struct tsm_mem_series *s = find(m, series_key, hash);
    return s && s->same == s ? s : NULL;
}

struct tsm_slice tsm_memtable_slice(const struct tsm_mem_series *s, uint32_t shard)
{
    if (s->slice.shard == shard)
        return s->slice;
    uint32_t at = s->all ? seek_slice(s->all, shard) : 0;
    if (s->all && at < s->all->n && s->all->items[at].shard == shard)
        return s->all->items[at];
    return (struct tsm_slice){.shard = shard};
}

const struct tsm_slice_before *tsm_memtable_before(const struct tsm_mem_series *s, uint32_t shard,
                                                   uint32_t number)
{
    const struct tsm_slice_before *found = NULL;
    for (const struct tsm_slice_before *b = s->before; b; b = b->older)
        if (b->shard == shard && b->number >= number)
            found = b;
    return found;
}

bool tsm_memtable_empty(const struct tsm_memtable *m)
{
    return m->points == 0;
}

size_t tsm_memtable_bytes(const struct tsm_memtable *m, unsigned jobs)
{
    return tsm_series_index_bytes(&m->index) + tsm_column_memory_bytes(&m->memory) + m->text.bytes +
           m->made_bytes + m->before_bytes + m->slices * FLUSH_BYTES_PER_SLICE +
           m->columns * FLUSH_BYTES_PER_COLUMN + tsm_column_scratch(&m->memory, jobs);
}

void tsm_memtable_each(const struct tsm_memtable *m, void (*each)(void *ctx, const struct tsm_mem_series *s),
                       void *ctx)
{
    for (size_t i = 0; i <= m->index.mask; i++) {
        const struct tsm_mem_series *s = (struct tsm_mem_series *)m->index.slots[i].entry;
        if (s && s->same == s)
            each(ctx, s);
    }
}
