/*
 * store/scan.c: merging the blocks of one key in time order.
 *
 * Every file that has the key, and the log, is a cursor, and so are the two parts of a column in memory. A cursor stands before an
 * entry of the index whose block is not decoded yet, or inside a decoded one; its head is the first time that it may still give. The
 * merge looks at the cursor with the smallest head:
 *
 *   - its block is not decoded and ends before the heads of all others: the block stands alone ("whole");
 *   - its block is not decoded: it is now;
 *   - others have the same head: the newest file keeps it, the others pass over it;
 *   - else its values up to the next head of any other are a run of the answer.
 *
 * Invariant: active cursors are ascending by file, so of equal heads the last one wins.
 */
#include "store/scan.h"

#include "base/alloc.h"
#include "codec/block.h"
#include "store/live.h"
#include "store/log.h"
#include "base/banned.h"

enum {
    LONG_RUN = 256, /* handed out where it is; shorter runs are collected … */
    BATCH = 1000,   /* … until there are so many values */
};

struct cursor {
    const struct tsm_reader *r;      /* NULL: the log or memory */
    const struct tsm_column *memory; /* whose ordered part this is: its blocks, then its tail */
    const struct tsm_encoded **blocks;
    size_t capblocks;
    uint32_t file, key;
    size_t entry, entries; /* the entry that e is, and their number */
    struct tsm_entry e;
    size_t dead_from, dead_to; /* tombstones of the key that may still matter */
    int64_t head, tail;        /* what is left is within these times */
    bool decoded;
    const struct tsm_values *column; /* decoded: own, or the log's */
    size_t i, n;                     /* … of which [i, n) is left */
    struct tsm_values own;
};

/* A piece of the answer. */
struct run {
    struct cursor *c;
    bool whole;      /* the block of c->e, not decoded, alone in its time */
    size_t from, to; /* else these values of c->column */
};

struct tsm_scan {
    const struct tsm_shard *shard;
    int64_t tmin, tmax;
    bool times_only;
    bool encoded; /* whole blocks are handed out as they are */
    struct cursor *cursors;
    size_t ncursors, capcursors; /* [ncursors, capcursors) keep their buffers */
    struct cursor **active;
    size_t nactive;
    struct tsm_scan_figures figures;
    struct run pending;     /* c not NULL: to be handed out next */
    struct tsm_values out;  /* collected short runs */
    struct tsm_values view; /* a run where it is; owns nothing */
};

struct tsm_scan *tsm_scan_new(void)
{
    return tsm_calloc(1, sizeof(struct tsm_scan));
}

void tsm_scan_free(struct tsm_scan *sc)
{
    if (!sc)
        return;
    for (size_t i = 0; i < sc->capcursors; i++) {
        tsm_values_release(&sc->cursors[i].own);
        tsm_free(sc->cursors[i].blocks);
    }
    tsm_free(sc->cursors);
    tsm_free(sc->active);
    tsm_values_release(&sc->out);
    tsm_free(sc);
}

/* ---- places of a key --------------------------------------------------------------------------- */

/* The first index whose time is > t. */
static size_t upper_bound(const struct tsm_values *c, int64_t t)
{
    return t == INT64_MAX ? c->n : tsm_values_lower_bound(c, t + 1);
}

static int64_t min_time(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max_time(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void tsm_key_range(const struct tsm_shard *s, size_t key, int64_t *tmin, int64_t *tmax)
{
    struct tsm_place single;
    size_t n;
    const struct tsm_place *p = tsm_shard_places(s, key, &single, &n);
    *tmin = INT64_MAX;
    *tmax = INT64_MIN;
    for (size_t i = 0; i < n; i++) {
        int64_t from, to;
        if (p[i].file == s->nfiles && s->live)
            continue;
        if (p[i].file == s->nfiles) {
            const struct tsm_values *v = &s->log->items[p[i].position].values;
            from = v->t[0];
            to = v->t[v->n - 1];
        } else {
            const struct tsm_reader *r = s->files[p[i].file];
            from = tsm_reader_entry(r, p[i].position, 0).tmin;
            to = tsm_reader_entry(r, p[i].position, tsm_reader_entries(r, p[i].position) - 1).tmax;
        }
        *tmin = min_time(*tmin, from);
        *tmax = max_time(*tmax, to);
    }
    const struct tsm_key_view *v = s->live ? tsm_live_view(s, key) : NULL;
    for (size_t i = 0; v && i < v->n; i++) {
        *tmin = min_time(*tmin, tsm_column_oldest(v->columns[i]));
        *tmax = max_time(*tmax, v->columns[i]->newest);
    }
}

static size_t count_blocks_in_memory(const struct tsm_column *c, int64_t tmin, int64_t tmax)
{
    size_t blocks = c->n && c->first <= tmax && c->newest >= tmin;
    for (const struct tsm_encoded *b = c->blocks; b && b->tmax >= tmin; b = b->older)
        blocks += b->tmin <= tmax;
    if (c->side && c->side->n && c->side->oldest <= tmax)
        blocks += (c->side->n + TSM_BLOCK_POINTS - 1) / TSM_BLOCK_POINTS;
    return blocks;
}

/* Those of blocks that only touch the range, too. */
static size_t count_values_in_memory(const struct tsm_column *c, int64_t tmin, int64_t tmax)
{
    size_t values = c->n && c->first <= tmax && c->newest >= tmin ? c->n : 0;
    for (const struct tsm_encoded *b = c->blocks; b && b->tmax >= tmin; b = b->older)
        values += b->tmin <= tmax ? b->n : 0;
    if (c->side && c->side->n && c->side->oldest <= tmax)
        values += c->side->n;
    return values;
}

size_t tsm_key_blocks(const struct tsm_shard *s, size_t key, int64_t tmin, int64_t tmax)
{
    struct tsm_place single;
    size_t n, blocks = 0;
    const struct tsm_place *p = tsm_shard_places(s, key, &single, &n);
    for (size_t i = 0; i < n && tmin <= tmax; i++) {
        if (p[i].file == s->nfiles && s->live)
            continue;
        if (p[i].file == s->nfiles) {
            const struct tsm_values *v = &s->log->items[p[i].position].values;
            size_t values = upper_bound(v, tmax) - tsm_values_lower_bound(v, tmin);
            blocks += (values + TSM_BLOCK_POINTS - 1) / TSM_BLOCK_POINTS;
            continue;
        }
        const struct tsm_reader *r = s->files[p[i].file];
        size_t entries = tsm_reader_entries(r, p[i].position);
        size_t from = tsm_reader_entry_at(r, p[i].position, 0, tmin);
        size_t to = tsm_reader_entry_at(r, p[i].position, from, tmax);
        if (to < entries && tsm_reader_entry(r, p[i].position, to).tmin <= tmax)
            to++;
        blocks += to - from;
    }
    const struct tsm_key_view *v = s->live && tmin <= tmax ? tsm_live_view(s, key) : NULL;
    for (size_t i = 0; v && i < v->n; i++)
        blocks += count_blocks_in_memory(v->columns[i], tmin, tmax);
    return blocks;
}

/* The blocks of one file. */
static void add_file_cost(const struct tsm_reader *r, size_t key, int64_t tmin, int64_t tmax,
                          struct tsm_key_cost *cost)
{
    uint64_t before = cost->blocks;
    size_t entries = tsm_reader_entries(r, key), dead = 0, dead_end = 0;
    if (r->tombstones.n)
        tsm_tombstones_find(&r->tombstones, tsm_reader_key(r, key), &dead, &dead_end);
    for (size_t i = tsm_reader_entry_at(r, key, 0, tmin); i < entries; i++) {
        struct tsm_entry e = tsm_reader_entry(r, key, i);
        if (e.tmin > tmax)
            break;
        while (dead < dead_end && r->tombstones.items[dead].tmax < e.tmax)
            dead++;
        if (dead < dead_end && r->tombstones.items[dead].tmin <= e.tmin)
            continue;
        cost->blocks++;
        cost->bytes += e.size;
    }
    cost->files += cost->blocks > before;
}

void tsm_key_cost(const struct tsm_shard *s, size_t key, int64_t tmin, int64_t tmax,
                  struct tsm_key_cost *cost)
{
    struct tsm_place single;
    size_t n;
    const struct tsm_place *p = tsm_shard_places(s, key, &single, &n);
    for (size_t i = 0; i < n && tmin <= tmax; i++) {
        if (p[i].file == s->nfiles && s->live)
            continue;
        if (p[i].file == s->nfiles) {
            const struct tsm_values *v = &s->log->items[p[i].position].values;
            cost->cached += upper_bound(v, tmax) - tsm_values_lower_bound(v, tmin);
        } else {
            add_file_cost(s->files[p[i].file], p[i].position, tmin, tmax, cost);
        }
    }
    const struct tsm_key_view *v = s->live && tmin <= tmax ? tsm_live_view(s, key) : NULL;
    for (size_t i = 0; v && i < v->n; i++)
        cost->cached += count_values_in_memory(v->columns[i], tmin, tmax);
}

/* ---- cursors ----------------------------------------------------------------------------------- */

/* Drops the tombstones that end before the block of c->e; true when one covers the block, or what the scan
 * wants of it, as a whole. */
static bool is_dead(const struct tsm_scan *sc, struct cursor *c)
{
    if (c->dead_from == c->dead_to)
        return false;
    const struct tsm_tombstone *t = c->r->tombstones.items;
    while (c->dead_from < c->dead_to && t[c->dead_from].tmax < c->e.tmin)
        c->dead_from++;
    if (c->dead_from == c->dead_to)
        return false;
    int64_t from = c->e.tmin > sc->tmin ? c->e.tmin : sc->tmin;
    int64_t to = c->e.tmax < sc->tmax ? c->e.tmax : sc->tmax;
    return t[c->dead_from].tmin <= from && to <= t[c->dead_from].tmax;
}

/* Some tombstone touches the block of c->e. To be asked after is_dead(). */
static bool is_hurt(const struct cursor *c)
{
    return c->dead_from < c->dead_to && c->r->tombstones.items[c->dead_from].tmin <= c->e.tmax;
}

/* The block of c->e goes as a whole. One whose header does not check has no values to speak of. */
static void count_dead(struct tsm_scan *sc, const struct cursor *c)
{
    size_t n;
    if (tsm_reader_count(c->r, &c->e, &n, NULL) == TSM_OK)
        sc->figures.deleted += n;
}

/* The times of an entry in memory: those of a block, or of the tail behind them. */
static struct tsm_entry entry_in_memory(const struct cursor *c, size_t entry)
{
    if (entry + 1 == c->entries && c->memory->n)
        return (struct tsm_entry){.tmin = c->memory->first, .tmax = c->memory->newest};
    return (struct tsm_entry){.tmin = c->blocks[entry]->tmin, .tmax = c->blocks[entry]->tmax};
}

/* Goes to the first entry from `entry` on that has something for the scan; false when there is none. */
static bool go_to(struct tsm_scan *sc, struct cursor *c, size_t entry)
{
    c->decoded = false;
    for (c->entry = entry; c->entry < c->entries; c->entry++) {
        c->e = c->r ? tsm_reader_entry(c->r, c->key, c->entry) : entry_in_memory(c, c->entry);
        if (c->e.tmin > sc->tmax)
            return false;
        if (!is_dead(sc, c)) {
            c->head = c->e.tmin > sc->tmin ? c->e.tmin : sc->tmin;
            c->tail = c->e.tmax < sc->tmax ? c->e.tmax : sc->tmax;
            return true;
        }
        if (sc->encoded)
            count_dead(sc, c);
    }
    return false;
}

/* Sets what is left of the cursor's column; false when that is nothing. */
static bool set_rest(struct cursor *c, size_t from, size_t to)
{
    c->i = from;
    c->n = to;
    if (from >= to)
        return false;
    c->head = c->column->t[from];
    c->tail = c->column->t[to - 1];
    return true;
}

static bool open_cursor(struct tsm_scan *sc, struct cursor *c, struct tsm_place p)
{
    const struct tsm_shard *s = sc->shard;
    c->file = p.file;
    c->key = p.position;
    c->memory = NULL;
    if (p.file == s->nfiles) {
        c->r = NULL;
        c->decoded = true;
        c->entry = c->entries = 0;
        c->column = &s->log->items[p.position].values;
        return set_rest(c, tsm_values_lower_bound(c->column, sc->tmin), upper_bound(c->column, sc->tmax));
    }
    c->r = s->files[p.file];
    c->entries = tsm_reader_entries(c->r, c->key);
    c->dead_from = c->dead_to = 0;
    if (c->r->tombstones.n)
        tsm_tombstones_find(&c->r->tombstones, tsm_reader_key(c->r, c->key), &c->dead_from, &c->dead_to);
    size_t entry = 0;
    if (tsm_reader_entry(c->r, c->key, 0).tmax < sc->tmin)
        entry = tsm_reader_entry_at(c->r, c->key, 1, sc->tmin);
    return go_to(sc, c, entry);
}

/* The ordered part of a column in memory. */
static bool open_ordered(struct tsm_scan *sc, struct cursor *c, const struct tsm_column *memory)
{
    size_t n = 0;
    for (const struct tsm_encoded *b = memory->blocks; b && b->tmax >= sc->tmin; b = b->older) {
        TSM_GROW(c->blocks, n + 1, c->capblocks);
        c->blocks[n++] = b;
    }
    for (size_t i = 0; i < n / 2; i++) {
        const struct tsm_encoded *b = c->blocks[i];
        c->blocks[i] = c->blocks[n - 1 - i];
        c->blocks[n - 1 - i] = b;
    }
    c->r = NULL;
    c->memory = memory;
    c->entries = n + (memory->n > 0 && memory->newest >= sc->tmin);
    c->dead_from = c->dead_to = 0;
    return go_to(sc, c, 0);
}

/* Its late part. */
static bool open_late(struct tsm_scan *sc, struct cursor *c, const struct tsm_column *memory)
{
    c->r = NULL;
    c->memory = NULL;
    c->decoded = true;
    c->entry = c->entries = 0;
    tsm_column_late(memory, &c->own);
    c->column = &c->own;
    return set_rest(c, tsm_values_lower_bound(c->column, sc->tmin), upper_bound(c->column, sc->tmax));
}

static void close_cursor(struct tsm_scan *sc, struct cursor *c)
{
    size_t i = 0;
    while (sc->active[i] != c)
        i++;
    sc->nactive--;
    memmove(sc->active + i, sc->active + i + 1, (sc->nactive - i) * sizeof *sc->active);
}

/* Leaves the block behind. Its column stays as it is until the cursor decodes again. */
static void next_block(struct tsm_scan *sc, struct cursor *c)
{
    if (!go_to(sc, c, c->entry + 1))
        close_cursor(sc, c);
}

/* Reads the entry in memory that the cursor stands before. */
static int read_memory(const struct tsm_scan *sc, struct cursor *c, struct tsm_err *err)
{
    if (c->entry + 1 == c->entries && c->memory->n) {
        tsm_column_tail(c->memory, &c->own);
        return TSM_OK;
    }
    const struct tsm_encoded *b = c->blocks[c->entry];
    return sc->times_only ? tsm_block_decode_times(b->bytes, b->len, &c->own, err)
                          : tsm_block_decode(b->bytes, b->len, &c->own, err);
}

static int read_times(struct cursor *c, struct tsm_err *err)
{
    const uint8_t *p;
    size_t len;
    int rc = tsm_reader_block(c->r, &c->e, &p, &len, err);
    if (rc == TSM_OK) {
        rc = tsm_block_decode_times(p, len, &c->own, err);
        if (rc)
            rc = tsm_err_wrap(err, rc, "%s: offset %llu: block", c->r->path, (unsigned long long)c->e.offset);
    }
    if (rc == TSM_OK && (c->own.n == 0 || c->own.t[0] != c->e.tmin || c->own.t[c->own.n - 1] != c->e.tmax))
        rc = tsm_err_set(err, TSM_ECORRUPT,
                         "%s: offset %llu: block: first or last time differs from the index", c->r->path,
                         (unsigned long long)c->e.offset);
    return rc;
}

/* TSM_OK when the damage is to be passed over. */
static int pass(struct tsm_scan *sc, const struct cursor *c, const struct tsm_err *err)
{
    return tsm_reported_pass(sc->shard->reported, c->file, c->e.offset, sc->shard->damage, err);
}

/* Decodes the block that the cursor stands before, without what is deleted or out of range. When nothing is
 * left of it, or it is damaged and passed over, *empty is set; the caller goes on to the next block. */
static int decode(struct tsm_scan *sc, struct cursor *c, bool *empty, struct tsm_err *err)
{
    *empty = true;
    int rc = !c->r            ? read_memory(sc, c, err)
             : sc->times_only ? read_times(c, err)
                              : tsm_reader_decode(c->r, c->key, &c->e, &c->own, err);
    if (rc)
        return c->r ? pass(sc, c, err) : rc;
    sc->figures.merged++;
    sc->figures.merged_bytes += c->e.size;
    if (is_hurt(c)) {
        const struct tsm_tombstone *t = c->r->tombstones.items;
        size_t before = c->own.n;
        for (size_t i = c->dead_from; i < c->dead_to && t[i].tmin <= c->e.tmax; i++)
            tsm_values_delete(&c->own, t[i].tmin, t[i].tmax);
        sc->figures.deleted += before - c->own.n;
    }
    c->decoded = true;
    c->column = &c->own;
    size_t from = c->e.tmin < sc->tmin ? tsm_values_lower_bound(&c->own, sc->tmin) : 0;
    size_t to = c->e.tmax > sc->tmax ? upper_bound(&c->own, sc->tmax) : c->own.n;
    *empty = !set_rest(c, from, to);
    return TSM_OK;
}

/* Moves a decoded cursor on to value i of its column. */
static void move_to(struct tsm_scan *sc, struct cursor *c, size_t i)
{
    if (set_rest(c, i, c->n))
        return;
    if (c->entries)
        next_block(sc, c);
    else
        close_cursor(sc, c);
}

/* ---- the merge --------------------------------------------------------------------------------- */

/* The active cursor with the smallest head; of equal ones one that is not decoded, or the newest. *next is
 * the smallest head of the others. */
static struct cursor *first_cursor(const struct tsm_scan *sc, int64_t *next)
{
    struct cursor *c = sc->active[0];
    *next = INT64_MAX;
    for (size_t i = 1; i < sc->nactive; i++) {
        struct cursor *d = sc->active[i];
        if (d->head < c->head || (d->head == c->head && c->decoded)) {
            *next = c->head;
            c = d;
        } else if (d->head < *next) {
            *next = d->head;
        }
    }
    return c;
}

/* All cursors but the newest pass over the time t, at which several decoded ones stand. */
static void settle(struct tsm_scan *sc, int64_t t)
{
    bool newest = true;
    for (size_t i = sc->nactive; i-- > 0;) {
        struct cursor *c = sc->active[i];
        if (c->head != t)
            continue;
        if (!newest) {
            sc->figures.overwritten++;
            move_to(sc, c, c->i + 1);
        }
        newest = false;
    }
}

/* Where the values of c before time t end; searched from c->i by doubling steps, as t is mostly near. */
static size_t find_end(const struct cursor *c, int64_t t)
{
    size_t from = c->i, to = c->i + 1, step = 1;
    while (to < c->n && c->column->t[to] < t) {
        from = to;
        to += step;
        step *= 2;
    }
    if (to > c->n)
        to = c->n;
    while (to - from > 1) { /* t[from] < t, and t[to] is not */
        size_t middle = from + (to - from) / 2;
        if (c->column->t[middle] < t)
            from = middle;
        else
            to = middle;
    }
    return to;
}

/* 1 and the next piece of the answer, 0 at the end, or an error. A whole block is left for the caller to
 * pass. */
static int next_run(struct tsm_scan *sc, struct run *run, struct tsm_err *err)
{
    while (sc->nactive > 0) {
        int64_t next;
        struct cursor *c = first_cursor(sc, &next);
        bool alone = sc->nactive == 1;
        if (!c->decoded && (alone || c->tail < next)) {
            *run = (struct run){.c = c, .whole = true};
            return 1;
        }
        if (!c->decoded) {
            bool empty;
            int rc = decode(sc, c, &empty, err);
            if (rc)
                return rc;
            if (empty)
                next_block(sc, c);
        } else if (!alone && next == c->head) {
            settle(sc, c->head);
        } else {
            *run = (struct run){.c = c, .from = c->i, .to = alone ? c->n : find_end(c, next)};
            move_to(sc, c, run->to);
            return 1;
        }
    }
    return 0;
}

static void start(struct tsm_scan *sc, const struct tsm_shard *s, size_t key, int64_t tmin, int64_t tmax,
                  bool times_only, bool encoded)
{
    struct tsm_place single;
    size_t n;
    const struct tsm_place *p = tsm_shard_places(s, key, &single, &n);
    sc->shard = s;
    sc->tmin = tmin;
    sc->tmax = tmax;
    sc->times_only = times_only;
    sc->encoded = encoded;
    sc->pending.c = NULL;
    sc->nactive = 0;
    const struct tsm_key_view *v = s->live && tmin <= tmax ? tsm_live_view(s, key) : NULL;
    size_t want = n + (v ? 2 * v->n : 0), used = 0;
    if (want > sc->capcursors) {
        size_t cap = want > 2 * sc->capcursors ? want : 2 * sc->capcursors;
        sc->cursors = tsm_realloc_array(sc->cursors, cap, sizeof *sc->cursors);
        sc->active = tsm_realloc_array(sc->active, cap, sizeof *sc->active);
        memset(sc->cursors + sc->capcursors, 0, (cap - sc->capcursors) * sizeof *sc->cursors);
        sc->capcursors = cap;
    }
    for (size_t i = 0; i < n && tmin <= tmax; i++)
        if (!(s->live && p[i].file == s->nfiles) && open_cursor(sc, &sc->cursors[used++], p[i]))
            sc->active[sc->nactive++] = &sc->cursors[used - 1];
    for (size_t i = 0; v && i < v->n; i++) {
        if (open_ordered(sc, &sc->cursors[used++], v->columns[i]))
            sc->active[sc->nactive++] = &sc->cursors[used - 1];
        if (v->columns[i]->side && open_late(sc, &sc->cursors[used++], v->columns[i]))
            sc->active[sc->nactive++] = &sc->cursors[used - 1];
    }
}

int tsm_scan_start(struct tsm_scan *sc, const struct tsm_shard *s, size_t key, int64_t tmin, int64_t tmax,
                   struct tsm_err *err)
{
    int rc = tsm_live_check(s, err);
    if (rc == TSM_OK)
        start(sc, s, key, tmin, tmax, false, false);
    return rc;
}

int tsm_scan_start_pieces(struct tsm_scan *sc, const struct tsm_shard *s, size_t key, struct tsm_err *err)
{
    (void)err;
    start(sc, s, key, INT64_MIN, INT64_MAX, false, true);
    return TSM_OK;
}

/* ---- batches ----------------------------------------------------------------------------------- */

/* Values [from, to) of a column, where they are. */
static const struct tsm_values *view(struct tsm_scan *sc, const struct tsm_values *column, size_t from,
                                     size_t to)
{
    sc->view = (struct tsm_values){
        .type = column->type,
        .n = to - from,
        .t = column->t + from,
        .v.p = (uint8_t *)column->v.p + from * tsm_value_size(column->type),
    };
    return &sc->view;
}

/* Appends a short run to what is collected, for which there is room. */
static void collect_run(struct tsm_values *out, const struct tsm_values *c, size_t from, size_t to)
{
    if (to - from > 4 || c->type == TSM_STRING) {
        tsm_values_append(out, c, from, to);
        return;
    }
    /* Two files that alternate give runs of one value: worth a loop of its own. */
    size_t n = out->n;
    for (size_t i = from; i < to; i++, n++) {
        out->t[n] = c->t[i];
        if (c->type == TSM_BOOLEAN)
            out->v.b[n] = c->v.b[i];
        else
            out->v.u[n] = c->v.u[i];
    }
    out->n = n;
}

/* Hands out a whole block: as it is when the scan is one of pieces and no tombstone cuts it, else decoded. The piece stays
 * empty when nothing is left of it. */
static int take_block(struct tsm_scan *sc, struct cursor *c, struct tsm_piece *piece, struct tsm_err *err)
{
    if (sc->encoded && c->r && !is_hurt(c)) {
        piece->file = c->r;
        piece->key = c->key;
        piece->entry = c->e;
        next_block(sc, c);
        return TSM_OK;
    }
    bool empty;
    int rc = decode(sc, c, &empty, err);
    if (rc)
        return rc;
    if (!empty)
        piece->values = view(sc, c->column, c->i, c->n);
    next_block(sc, c);
    return TSM_OK;
}

int tsm_scan_piece(struct tsm_scan *sc, struct tsm_piece *piece, struct tsm_err *err)
{
    struct tsm_err local;
    struct tsm_values *out = &sc->out;
    int rc = 1;
    if (!err)
        err = &local;
    *piece = (struct tsm_piece){0};
    out->n = 0;
    while (!piece->values && !piece->file && out->n < BATCH) {
        struct run run = sc->pending;
        sc->pending.c = NULL;
        if (!run.c)
            rc = next_run(sc, &run, err);
        if (rc <= 0)
            break;
        bool collect = !run.whole && run.to - run.from < LONG_RUN;
        if (!collect && out->n) {
            sc->pending = run;
            break;
        }
        if (run.whole) {
            rc = take_block(sc, run.c, piece, err);
            if (rc)
                break;
            rc = 1;
        } else if (!collect) {
            piece->values = view(sc, run.c->column, run.from, run.to);
        } else {
            if (out->n == 0)
                tsm_values_reset(out, run.c->column->type, BATCH + LONG_RUN);
            collect_run(out, run.c->column, run.from, run.to);
        }
    }
    if (rc < 0)
        *piece = (struct tsm_piece){0};
    else if (out->n)
        piece->values = out;
    return rc < 0 ? rc : TSM_OK;
}

int tsm_scan_next(struct tsm_scan *sc, const struct tsm_values **batch, struct tsm_err *err)
{
    struct tsm_piece piece;
    int rc = tsm_scan_piece(sc, &piece, err);
    *batch = piece.values;
    return rc;
}

const struct tsm_scan_figures *tsm_scan_figures(const struct tsm_scan *sc)
{
    return &sc->figures;
}

/* The number of values in a whole block: from its header where nothing of it is cut away. */
static int count_block(struct tsm_scan *sc, struct cursor *c, size_t *n, struct tsm_err *err)
{
    const uint8_t *p;
    size_t len;
    *n = 0;
    if (c->e.tmin < sc->tmin || c->e.tmax > sc->tmax || is_hurt(c)) {
        bool empty;
        int rc = decode(sc, c, &empty, err);
        if (rc == TSM_OK && !empty)
            *n = c->n - c->i;
        return rc;
    }
    if (!c->r) {
        bool tail = c->entry + 1 == c->entries && c->memory->n;
        *n = tail ? c->memory->n : c->blocks[c->entry]->n;
        return TSM_OK;
    }
    int rc = tsm_reader_block(c->r, &c->e, &p, &len, err);
    if (rc == TSM_OK) {
        rc = tsm_block_count(p, len, n, err);
        if (rc)
            rc = tsm_err_wrap(err, rc, "%s: offset %llu: block", c->r->path, (unsigned long long)c->e.offset);
    }
    return rc ? pass(sc, c, err) : TSM_OK;
}

int tsm_scan_count(struct tsm_scan *sc, const struct tsm_shard *s, size_t key, int64_t tmin, int64_t tmax,
                   uint64_t *count, struct tsm_err *err)
{
    struct tsm_err local;
    struct run run;
    int rc;
    if (!err)
        err = &local;
    *count = 0;
    rc = tsm_live_check(s, err);
    if (rc != TSM_OK)
        return rc;
    start(sc, s, key, tmin, tmax, true, false);
    while ((rc = next_run(sc, &run, err)) > 0) {
        size_t n = run.to - run.from;
        if (run.whole) {
            rc = count_block(sc, run.c, &n, err);
            if (rc)
                return rc;
            next_block(sc, run.c);
        }
        *count += n;
    }
    return rc;
}
