/*
 * store/overlap.c: which files overlap, key by key.
 *
 * Of each key first the times of its first and last block in each file are compared; mostly that is all. Files whose
 * spans overlap are looked at block by block, in the order of the blocks' first times: a block overlaps those before
 * it that have not ended yet. Where every file is known to overlap every other one, nothing has to be looked at any more:
 * so shuffled data costs little, too.
 */
#include "store/overlap.h"

#include "base/alloc.h"
#include "base/sort.h"
#include "store/key_walk.h"
#include "base/banned.h"

enum {
    SMALL_BLOCK =
        256, /* bytes: only such blocks are asked for the number of their values, not to read the whole file … */
    SMALL_VALUES = 500, /* … and are small when they have fewer than this */
};

/* The blocks of one key in one file; `next` is the one that it stands before. */
struct span {
    int64_t lo, hi; /* over all its blocks */
    const struct tsm_reader *r;
    uint32_t file, position;
    size_t entry, entries;
    struct tsm_entry next;
    size_t dead_from, dead_to; /* tombstones of the key */
};

struct spans {
    struct span *items;
    struct span **heap; /* by the first time of the next block */
    size_t n, nheap;
};

static void load(struct spans *s, struct tsm_reader *const *files, const struct tsm_key_walk *w)
{
    s->n = 0;
    for (size_t i = 0; i < w->nplaces; i++) {
        struct span *p = &s->items[s->n++];
        *p = (struct span){
            .r = files[w->places[i].file], .file = w->places[i].file, .position = w->places[i].position};
        p->entries = tsm_reader_entries(p->r, p->position);
        p->next = tsm_reader_entry(p->r, p->position, 0);
        p->lo = p->next.tmin;
        p->hi = p->entries == 1 ? p->next.tmax : tsm_reader_entry(p->r, p->position, p->entries - 1).tmax;
    }
}

static int by_start(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return x->lo != y->lo ? (x->lo < y->lo ? -1 : 1) : (x->file > y->file) - (x->file < y->file);
}

/* Sorts by the first time; mostly they are. */
static void sort(struct spans *s)
{
    for (size_t i = 1; i < s->n; i++) {
        if (by_start(&s->items[i - 1], &s->items[i]) > 0) {
            tsm_sort(s->items, s->n, sizeof *s->items, by_start);
            return;
        }
    }
}

/* The end of the spans from `from` on (sorted) that overlap each other, directly or through others. */
static size_t cluster_end(const struct spans *s, size_t from)
{
    int64_t hi = s->items[from].hi;
    size_t to = from + 1;
    for (; to < s->n && s->items[to].lo <= hi; to++)
        if (s->items[to].hi > hi)
            hi = s->items[to].hi;
    return to;
}

/* ---- blocks in the order of their first times -------------------------------------------------- */

static bool before(const struct span *a, const struct span *b)
{
    return a->next.tmin != b->next.tmin ? a->next.tmin < b->next.tmin : a->file < b->file;
}

static void sink(struct spans *s, size_t at)
{
    struct span *moved = s->heap[at];
    for (size_t child; (child = 2 * at + 1) < s->nheap; at = child) {
        if (child + 1 < s->nheap && before(s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s->heap[child], moved))
            break;
        s->heap[at] = s->heap[child];
    }
    s->heap[at] = moved;
}

/* Spans [from, to) are sorted, which makes them a heap. */
static void begin_blocks(struct spans *s, size_t from, size_t to)
{
    s->nheap = to - from;
    for (size_t i = 0; i < s->nheap; i++)
        s->heap[i] = &s->items[from + i];
}

/* The next block of all; false at the end. */
static bool next_block(struct spans *s, struct span **of, struct tsm_entry *e)
{
    if (s->nheap == 0)
        return false;
    struct span *p = s->heap[0];
    *of = p;
    *e = p->next;
    if (++p->entry < p->entries)
        p->next = tsm_reader_entry(p->r, p->position, p->entry);
    else
        s->heap[0] = s->heap[--s->nheap];
    if (s->nheap > 0)
        sink(s, 0);
    return true;
}

static void start_spans(struct spans *s, size_t nfiles)
{
    *s = (struct spans){
        .items = tsm_calloc(nfiles + 1, sizeof(struct span)),
        .heap = tsm_calloc(nfiles + 1, sizeof(struct span *)),
    };
}

static void release_spans(struct spans *s)
{
    tsm_free(s->items);
    tsm_free(s->heap);
}

/* ---- overlaps of files ------------------------------------------------------------------------- */

struct active {
    int64_t tmax;
    uint32_t file;
};

struct finding {
    struct tsm_overlaps *o;
    struct spans spans;
    struct active *active; /* blocks that have begun and not ended; one of each file at most */
    uint64_t *mask;
};

static void set(uint64_t *row, size_t i)
{
    row[i / 64] |= (uint64_t)1 << i % 64;
}

static uint64_t *row_of(const struct tsm_overlaps *o, size_t i)
{
    return o->bits + i * o->words;
}

bool tsm_overlaps_get(const struct tsm_overlaps *o, size_t a, size_t b)
{
    return row_of(o, a)[b / 64] >> b % 64 & 1;
}

/* Whether all files of the cluster are known to overlap each other. */
static bool is_known(struct finding *f, size_t from, size_t to)
{
    const struct tsm_overlaps *o = f->o;
    memset(f->mask, 0, o->words * sizeof *f->mask);
    for (size_t i = from; i < to; i++)
        set(f->mask, f->spans.items[i].file);
    for (size_t i = from; i < to; i++) {
        uint32_t file = f->spans.items[i].file;
        const uint64_t *row = row_of(o, file);
        for (size_t w = 0; w < o->words; w++) {
            uint64_t missing = f->mask[w] & ~row[w];
            if (w == file / 64)
                missing &= ~((uint64_t)1 << file % 64);
            if (missing)
                return false;
        }
    }
    return true;
}

static void find_in_cluster(struct finding *f, size_t from, size_t to)
{
    struct span *p;
    struct tsm_entry e;
    size_t nactive = 0;
    if (is_known(f, from, to))
        return;
    begin_blocks(&f->spans, from, to);
    while (next_block(&f->spans, &p, &e)) {
        size_t kept = 0;
        for (size_t i = 0; i < nactive; i++) {
            if (f->active[i].tmax < e.tmin)
                continue;
            set(row_of(f->o, p->file), f->active[i].file);
            set(row_of(f->o, f->active[i].file), p->file);
            f->active[kept++] = f->active[i];
        }
        f->active[kept] = (struct active){e.tmax, p->file};
        nactive = kept + 1;
    }
}

static void find_in_key(struct finding *f)
{
    struct spans *s = &f->spans;
    for (size_t i = 0; i < s->n; i++) {
        uint32_t *most = &f->o->most[s->items[i].file];
        if (s->items[i].entries > *most)
            *most = (uint32_t)s->items[i].entries;
    }
    if (s->n < 2)
        return;
    sort(s);
    for (size_t from = 0, to; from < s->n; from = to) {
        to = cluster_end(s, from);
        if (to - from > 1)
            find_in_cluster(f, from, to);
    }
}

void tsm_overlaps_find(struct tsm_overlaps *o, struct tsm_reader *const *files, size_t n)
{
    *o = (struct tsm_overlaps){.n = n, .words = (n + 63) / 64};
    o->bits = tsm_calloc(n * o->words + 1, sizeof *o->bits);
    o->most = tsm_calloc(n + 1, sizeof *o->most);
    struct finding f = {.o = o};
    struct tsm_key_walk w;
    start_spans(&f.spans, n);
    f.active = tsm_calloc(n + 1, sizeof *f.active);
    f.mask = tsm_calloc(o->words + 1, sizeof *f.mask);
    tsm_key_walk_start(&w, files, n);
    while (tsm_key_walk_next(&w)) {
        load(&f.spans, files, &w);
        find_in_key(&f);
    }
    tsm_key_walk_release(&w);
    tsm_free(f.active);
    tsm_free(f.mask);
    release_spans(&f.spans);
}

void tsm_overlaps_release(struct tsm_overlaps *o)
{
    tsm_free(o->bits);
    tsm_free(o->most);
    *o = (struct tsm_overlaps){0};
}

/* ---- tombstones -------------------------------------------------------------------------------- */

enum fate { ALIVE, CUT, DEAD };

/* What tombstones [from, to), of the block's key, leave of it. Ranges that touch are one. */
static enum fate fate_of(const struct tsm_tombstones *t, size_t from, size_t to, const struct tsm_entry *e)
{
    enum fate fate = ALIVE;
    for (size_t i = from; i < to && t->items[i].tmin <= e->tmax; i++) {
        if (t->items[i].tmax < e->tmin)
            continue;
        if (t->items[i].tmin <= e->tmin && e->tmax <= t->items[i].tmax)
            return DEAD;
        fate = CUT;
    }
    return fate;
}

struct tsm_dead_blocks tsm_dead_blocks_count(const struct tsm_reader *r)
{
    const struct tsm_tombstones *t = &r->tombstones;
    struct tsm_dead_blocks d = {0};
    for (size_t i = 0; i < r->nkeys; i++)
        d.blocks += tsm_reader_entries(r, i);
    for (size_t from = 0, to; from < t->n; from = to) {
        for (to = from + 1; to < t->n && tsm_str_eq(t->items[to].key, t->items[from].key);)
            to++;
        bool found;
        size_t key = tsm_reader_seek(r, t->items[from].key, &found);
        for (size_t i = 0; found && i < tsm_reader_entries(r, key); i++) {
            struct tsm_entry e = tsm_reader_entry(r, key, i);
            enum fate fate = fate_of(t, from, to, &e);
            d.dead += fate == DEAD;
            d.dead_bytes += fate == DEAD ? e.size : 0;
            d.cut += fate == CUT;
        }
    }
    return d;
}

/* ---- what a merge would do --------------------------------------------------------------------- */

/* The block that ends last of those so far. */
struct last_block {
    bool any, overlaps, small;
    int64_t tmax;
};

struct estimating {
    struct tsm_merge_estimate sum;
    bool small; /* the last block that was counted is small, and stands alone so far */
};

static void count(struct estimating *c, const struct last_block *b)
{
    if (!b->any)
        return;
    if (b->overlaps) {
        c->sum.merge++;
        c->small = false;
    } else if (b->small && c->small) {
        c->sum.join++;
    } else {
        c->sum.copy++;
        c->small = b->small;
    }
}

static bool is_small(const struct tsm_reader *r, const struct tsm_entry *e)
{
    size_t n;
    return e->size < SMALL_BLOCK && tsm_reader_count(r, e, &n, NULL) == TSM_OK && n < SMALL_VALUES;
}

static void estimate_key(struct spans *s, struct estimating *c)
{
    struct span *p;
    struct tsm_entry e;
    struct last_block last = {0};
    c->small = false;
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].r->tombstones.n)
            tsm_tombstones_find(&s->items[i].r->tombstones,
                                tsm_reader_key(s->items[i].r, s->items[i].position), &s->items[i].dead_from,
                                &s->items[i].dead_to);
    sort(s);
    begin_blocks(s, 0, s->n);
    while (next_block(s, &p, &e)) {
        enum fate fate = fate_of(&p->r->tombstones, p->dead_from, p->dead_to, &e);
        if (fate == DEAD)
            continue;
        struct last_block b = {
            .any = true, .overlaps = fate == CUT, .small = is_small(p->r, &e), .tmax = e.tmax};
        if (last.any && e.tmin <= last.tmax)
            b.overlaps = last.overlaps = true;
        if (last.any && last.tmax > b.tmax) { /* the one before goes on */
            count(c, &b);
            continue;
        }
        count(c, &last);
        last = b;
    }
    count(c, &last);
}

struct tsm_merge_estimate tsm_merge_estimate(struct tsm_reader *const *files, size_t n)
{
    struct spans s;
    struct tsm_key_walk w;
    struct estimating c = {0};
    start_spans(&s, n);
    tsm_key_walk_start(&w, files, n);
    while (tsm_key_walk_next(&w)) {
        load(&s, files, &w);
        estimate_key(&s, &c);
    }
    tsm_key_walk_release(&w);
    release_spans(&s);
    return c.sum;
}
