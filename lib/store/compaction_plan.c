/*
 * store/compaction_plan.c: deciding what to compact in a shard.
 *
 * Each step proposes a set of files; the rules (store/compaction_check.h) add what has to go along; then the step weighs the
 * result and takes it or not. Files that have been taken are `used`: a later proposal that contains one, or overlaps one,
 * is left for the next plan. So the compactions of one plan may be run one after the other.
 */
#include "store/compaction_plan.h"

#include "base/alloc.h"
#include "store/compaction_check.h"
#include "base/banned.h"

enum {
    MAX_LISTINGS = 20,
    COLD_LEVEL = 3,
    LEVEL_1_FILES = 4,
    LATE_FILES = 8,
    SMALL_FILES = 16,
    SMALL_FILES_COLD = 8,
    DRAG =
        4, /* a merge of level 1 takes along files of influxd's that overlap it up to so many times its bytes */
};
#define LEVEL_1_BYTES (64ull << 20)

struct planning {
    const struct tsm_plan_options *opt;
    struct tsm_compactions *out;
    struct tsm_str db, rp;
    uint64_t shard;
    struct tsm_compaction_view v;
    size_t words;                 /* of a set of files */
    uint64_t *used, *gone;        /* in a compaction of this plan; in a drop */
    struct tsm_dead_blocks *dead; /* of files with tombstones */
    uint32_t free_below;          /* generations from here on are not free any more */
    bool crowded;                 /* there are more ordered files than are looked at; the others are not */
};

/* ---- sets of files ----------------------------------------------------------------------------- */

static const struct tsm_set_file *file_at(const struct planning *p, size_t i)
{
    return &p->v.set.files[i];
}

static uint64_t *new_set(const struct planning *p)
{
    return tsm_calloc(p->words + 1, sizeof(uint64_t));
}

static void copy_set(const struct planning *p, uint64_t *to, const uint64_t *from)
{
    memcpy(to, from, p->words * sizeof *to);
}

/* Readable, and not in a compaction of this plan. */
static bool is_usable(const struct planning *p, size_t i)
{
    return file_at(p, i)->reader && !tsm_file_bit(p->used, i);
}

struct weight {
    size_t files;
    uint64_t bytes, ordered_bytes, late_bytes;
    uint64_t entries;         /* of one key, at most */
    bool ordered, tombstones; /* some file is; has them beside it */
};

static struct weight weigh(const struct planning *p, const uint64_t *in)
{
    struct weight w = {0};
    for (size_t i = 0; i < p->v.set.n; i++) {
        if (!tsm_file_bit(in, i))
            continue;
        bool ordered = i < p->v.set.nordered;
        w.files++;
        w.bytes += file_at(p, i)->size;
        *(ordered ? &w.ordered_bytes : &w.late_bytes) += file_at(p, i)->size;
        w.entries += p->v.overlaps.most[i];
        w.ordered |= ordered;
        w.tombstones |= file_at(p, i)->tombstones;
    }
    return w;
}

/* ---- proposals --------------------------------------------------------------------------------- */

static uint32_t least_level(const struct planning *p)
{
    bool limited = p->opt->max_level && p->opt->max_level < COLD_LEVEL;
    return p->out->cold && !limited ? COLD_LEVEL : 0;
}

/* Whether a file of the set is used, or overlaps one that is used and stays. */
static bool meets_used(const struct planning *p, const uint64_t *in)
{
    for (size_t w = 0; w < p->words; w++)
        if (in[w] & p->used[w])
            return true;
    for (size_t i = 0; i < p->v.set.n; i++) {
        if (!tsm_file_bit(p->used, i) || tsm_file_bit(p->gone, i))
            continue;
        const uint64_t *row = p->v.overlaps.bits + i * p->v.overlaps.words;
        for (size_t w = 0; w < p->words; w++)
            if (row[w] & in[w])
                return true;
    }
    return false;
}

/* Completes a set; false when it cannot be merged, or not by this plan. */
static bool propose(const struct planning *p, struct tsm_merge_set *m, struct weight *w)
{
    m->least_level = least_level(p);
    m->disjoint = true;
    if (!tsm_merge_set_close(&p->v, m) || meets_used(p, m->in))
        return false;
    if (p->opt->max_level && m->output.level > p->opt->max_level)
        return false;
    *w = weigh(p, m->in);
    return w->entries <= TSM_MAX_ENTRIES;
}

static struct tsm_compaction *add(struct planning *p, enum tsm_compaction_action action, const uint64_t *in)
{
    struct tsm_compactions *l = p->out;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        struct tsm_compaction *items = tsm_arena_alloc(&l->arena, cap * sizeof *items);
        if (l->n)
            memcpy(items, l->items, l->n * sizeof *items);
        l->items = items;
        l->cap = cap;
    }
    struct tsm_compaction *c = &l->items[l->n++];
    *c = (struct tsm_compaction){.action = action, .db = p->db, .rp = p->rp, .shard = p->shard};
    c->inputs = tsm_arena_alloc(&l->arena, weigh(p, in).files * sizeof *c->inputs);
    for (size_t i = 0; i < p->v.set.n; i++) {
        if (!tsm_file_bit(in, i))
            continue;
        c->inputs[c->ninputs++] = file_at(p, i)->name;
        c->bytes += file_at(p, i)->size;
        tsm_file_bit_set(p->used, i);
        if (action == TSM_COMPACTION_DROP)
            tsm_file_bit_set(p->gone, i);
    }
    return c;
}

static void add_merge(struct planning *p, const struct tsm_merge_set *m)
{
    struct tsm_compaction *c = add(p, TSM_COMPACTION_MERGE, m->in);
    struct tsm_reader **inputs = tsm_calloc(c->ninputs, sizeof(struct tsm_reader *));
    size_t n = 0;
    for (size_t i = 0; i < p->v.set.n; i++)
        if (tsm_file_bit(m->in, i))
            inputs[n++] = p->v.readers[i];
    struct tsm_merge_estimate e = tsm_merge_estimate(inputs, n);
    c->output = m->output;
    c->copy = e.copy;
    c->join = e.join;
    c->merge = e.merge;
    tsm_free(inputs);
}

/* ---- 1: drops ---------------------------------------------------------------------------------- */

static void plan_drops(struct planning *p)
{
    uint64_t *in = new_set(p);
    bool any = false;
    for (size_t i = 0; i < p->v.set.n; i++) {
        if (!is_usable(p, i) || p->dead[i].blocks == 0 || p->dead[i].dead < p->dead[i].blocks)
            continue;
        tsm_file_bit_set(in, i);
        any = true;
    }
    if (any)
        add(p, TSM_COMPACTION_DROP, in);
    tsm_free(in);
}

/* ---- 2: moves ---------------------------------------------------------------------------------- */

/* The highest generation of the ordered files that stay. */
static uint32_t highest_generation(const struct planning *p)
{
    for (size_t i = p->v.set.nordered; i > 0; i--)
        if (!tsm_file_bit(p->gone, i - 1))
            return file_at(p, i - 1)->name.generation;
    return 0;
}

/* The highest free generation; 0 when there is none. */
static uint32_t free_generation(struct planning *p)
{
    while (p->free_below > 1) {
        struct tsm_file_name name = {p->free_below - 1, 0};
        if (!tsm_file_set_taken(&p->v.set, name))
            return name.generation;
        p->free_below--;
    }
    return 0;
}

/* Whether a file overlaps another one that stays. */
static bool overlaps_any(const struct planning *p, size_t i)
{
    const uint64_t *row = p->v.overlaps.bits + i * p->v.overlaps.words;
    for (size_t w = 0; w < p->words; w++)
        if (row[w] & ~p->gone[w])
            return true;
    return false;
}

static bool ordered_unreadable(const struct planning *p)
{
    for (size_t i = 0; i < p->v.set.nordered; i++)
        if (file_at(p, i)->unreadable)
            return true;
    return false;
}

static void plan_moves(struct planning *p)
{
    uint64_t *in = new_set(p);
    for (size_t i = p->v.set.nordered; i < p->v.set.n; i++) {
        if (file_at(p, i)->unreadable)
            break;
        uint32_t generation = free_generation(p);
        if (!generation)
            break;
        if (!is_usable(p, i) || file_at(p, i)->tombstones || overlaps_any(p, i))
            continue;
        memset(in, 0, p->words * sizeof *in);
        tsm_file_bit_set(in, i);
        struct tsm_compaction *c = add(p, TSM_COMPACTION_MOVE, in);
        c->output = (struct tsm_file_name){generation, file_at(p, i)->name.level};
        p->free_below = generation;
    }
    tsm_free(in);
}

/* ---- small files of about the same size -------------------------------------------------------- */

/*
 * Proposes files[0, n) (numbers, neighbours) when there are at least `least` and none has more than a quarter of all bytes;
 * else takes out the largest one and looks at both sides of it.
 */
static void join_small(struct planning *p, const size_t *files, size_t n, size_t least)
{
    while (n >= least) {
        uint64_t sum = 0;
        size_t largest = 0;
        for (size_t i = 0; i < n; i++) {
            sum += file_at(p, files[i])->size;
            if (file_at(p, files[i])->size > file_at(p, files[largest])->size)
                largest = i;
        }
        if (file_at(p, files[largest])->size <= sum / 4) {
            struct tsm_merge_set m = {.in = new_set(p)};
            struct weight w;
            for (size_t i = 0; i < n; i++)
                tsm_file_bit_set(m.in, files[i]);
            if (propose(p, &m, &w) && w.bytes <= DRAG * sum)
                add_merge(p, &m);
            tsm_free(m.in);
            return;
        }
        join_small(p, files, largest, least);
        files += largest + 1;
        n -= largest + 1;
    }
}

/* Small files of [from, to) that are neighbours, of at least this level; cut where a merge would become too large. */
static void plan_small(struct planning *p, size_t from, size_t to, uint32_t level, size_t least)
{
    size_t *run = tsm_calloc(to - from + 1, sizeof *run), n = 0;
    uint64_t bytes = 0, entries = 0;
    for (size_t i = from; i <= to; i++) {
        if (i < to && tsm_file_bit(p->gone, i))
            continue;
        bool fits = i < to && is_usable(p, i) && file_at(p, i)->name.level >= level &&
                    file_at(p, i)->size <= TSM_MAX_FILE_SIZE / 8;
        bool full = fits && (n == TSM_PLAN_INPUTS || bytes + file_at(p, i)->size > TSM_MAX_FILE_SIZE ||
                             entries + p->v.overlaps.most[i] > TSM_MAX_ENTRIES);
        if (!fits || full) {
            join_small(p, run, n, least);
            n = 0;
            bytes = entries = 0;
        }
        if (fits) {
            run[n++] = i;
            bytes += file_at(p, i)->size;
            entries += p->v.overlaps.most[i];
        }
    }
    tsm_free(run);
}

/* ---- 3 and 4: out-of-order files, and what is merged with them --------------------------------- */

/* The number behind the out-of-order files that may be merged: as far as all before can be read. */
static size_t late_end(const struct planning *p)
{
    size_t i = p->v.set.nordered;
    while (i < p->v.set.n && !file_at(p, i)->unreadable)
        i++;
    return i;
}

/* Adds the smallest ordered file. */
static void add_smallest(const struct planning *p, uint64_t *in)
{
    size_t best = p->v.set.nordered;
    for (size_t i = 0; i < p->v.set.nordered; i++)
        if (is_usable(p, i) && (best == p->v.set.nordered || file_at(p, i)->size < file_at(p, best)->size))
            best = i;
    if (best < p->v.set.nordered)
        tsm_file_bit_set(in, best);
}

/* Adds what a cold shard's merge takes along: level 1, and what overlaps in the ordered set. */
static void add_cold(const struct planning *p, uint64_t *in)
{
    const struct tsm_overlaps *o = &p->v.overlaps;
    for (size_t i = 0; i < p->v.set.nordered; i++) {
        if (!is_usable(p, i))
            continue;
        bool overlaps = false;
        for (size_t j = 0; j < p->v.set.nordered && !overlaps; j++)
            overlaps = tsm_overlaps_get(o, i, j) && !tsm_file_bit(p->gone, j);
        if (overlaps || file_at(p, i)->name.level == 1)
            tsm_file_bit_set(in, i);
    }
}

static bool is_worth(const struct planning *p, const struct weight *w, size_t late)
{
    if (p->out->cold || w->late_bytes >= w->ordered_bytes / 4)
        return true;
    return late >= LATE_FILES && w->late_bytes >= w->ordered_bytes / 16;
}

/* Takes the merge of a set, when there is one and it is worth it. */
static bool merge_late(struct planning *p, const uint64_t *seed, size_t late)
{
    struct tsm_merge_set m = {.in = new_set(p), .into_order = true};
    struct weight w;
    copy_set(p, m.in, seed);
    bool is = propose(p, &m, &w);
    if (is && w.late_bytes > 0 && !w.ordered && p->v.set.nordered > 0 && !free_generation(p)) {
        add_smallest(p, m.in); /* or it would stay out of order for ever */
        is = propose(p, &m, &w);
    }
    /* One that only its tombstones keep from being moved is rewritten without them, whatever they delete. */
    is = is && (w.files >= 2 || (p->out->cold && !w.ordered && w.tombstones)) && is_worth(p, &w, late);
    if (is && !w.ordered) /* out of order it stays: that is worth it for what is small */
        is = p->out->cold || late >= LATE_FILES;
    if (is)
        add_merge(p, &m);
    tsm_free(m.in);
    return is;
}

static void plan_late(struct planning *p)
{
    size_t from = p->v.set.nordered, to = late_end(p), n = 0;
    bool blocked = ordered_unreadable(p);
    uint64_t *seed = new_set(p), *more = new_set(p);
    for (size_t i = from; i < to && !blocked; i++) {
        if (!is_usable(p, i))
            continue;
        tsm_file_bit_set(seed, i);
        n++;
    }
    bool done = false;
    if (p->out->cold) {
        copy_set(p, more, seed);
        add_cold(p, more);
        struct weight w = weigh(p, more);
        done = w.files >= 2 && w.bytes <= TSM_MAX_FILE_SIZE && merge_late(p, more, n);
    }
    /* Fewer at a time, when all of them are too many. */
    for (size_t left = n; left > 0 && !done; left /= 2) {
        size_t kept = 0;
        memset(seed, 0, p->words * sizeof *seed);
        for (size_t i = from; i < to && kept < left; i++) {
            if (!is_usable(p, i))
                continue;
            tsm_file_bit_set(seed, i);
            kept++;
        }
        done = merge_late(p, seed, left);
    }
    if (!done)
        plan_small(p, from, to, 0, LATE_FILES);
    tsm_free(seed);
    tsm_free(more);
}

/* Ordered files that overlap each other, which only influxd makes, when the shard is cold and 4 did not take them. */
static void plan_overlapping(struct planning *p)
{
    for (size_t i = 0; i < p->v.set.nordered && p->out->cold; i++) {
        struct tsm_merge_set m = {.in = new_set(p)};
        struct weight w;
        tsm_file_bit_set(m.in, i);
        if (is_usable(p, i) && overlaps_any(p, i) && propose(p, &m, &w) && w.files >= 2)
            add_merge(p, &m);
        tsm_free(m.in);
    }
}

/* ---- 5: level 1 -------------------------------------------------------------------------------- */

struct group {
    uint64_t *in;
    size_t files;
    uint64_t bytes, entries;
};

static void end_group(struct planning *p, struct group *g)
{
    bool enough = p->out->cold ? g->files >= 2
                               : g->files >= LEVEL_1_FILES || (g->files >= 2 && g->bytes >= LEVEL_1_BYTES);
    if (enough) {
        struct tsm_merge_set m = {.in = g->in};
        struct weight w;
        if (propose(p, &m, &w) && (p->out->cold || w.bytes <= DRAG * g->bytes))
            add_merge(p, &m);
    }
    memset(g->in, 0, p->words * sizeof *g->in);
    g->files = 0;
    g->bytes = g->entries = 0;
}

static void plan_level_1(struct planning *p)
{
    struct group g = {.in = new_set(p)};
    for (size_t i = 0; i < p->v.set.nordered; i++) {
        const struct tsm_set_file *f = file_at(p, i);
        if (tsm_file_bit(p->gone, i))
            continue;
        if (!is_usable(p, i) || f->name.level > 1) {
            /* Others may be in between in a cold shard, where level 1 will not come any more. */
            if (!p->out->cold || f->unreadable)
                end_group(p, &g);
            continue;
        }
        uint32_t entries = p->v.overlaps.most[i];
        if (g.files == TSM_PLAN_INPUTS || g.bytes + f->size > TSM_MAX_FILE_SIZE ||
            g.entries + entries > TSM_MAX_ENTRIES)
            end_group(p, &g);
        tsm_file_bit_set(g.in, i);
        g.files++;
        g.bytes += f->size;
        g.entries += entries;
    }
    end_group(p, &g);
    tsm_free(g.in);
}

/* ---- 7: tombstones ----------------------------------------------------------------------------- */

static void plan_tombstones(struct planning *p)
{
    for (size_t i = 0; i < p->v.set.n; i++) {
        const struct tsm_dead_blocks *d = &p->dead[i];
        bool enough = p->out->cold ? d->dead + d->cut > 0
                                   : d->dead > 0 && d->dead_bytes >= file_at(p, i)->size / 10;
        if (!is_usable(p, i) || !enough)
            continue;
        struct tsm_merge_set m = {.in = new_set(p)};
        struct weight w;
        tsm_file_bit_set(m.in, i);
        if (propose(p, &m, &w) && (p->out->cold || w.bytes <= DRAG * file_at(p, i)->size))
            add_merge(p, &m);
        tsm_free(m.in);
    }
}

/* ---- all --------------------------------------------------------------------------------------- */

static void avoid(struct planning *p)
{
    for (size_t i = 0; i < p->opt->navoid; i++) {
        size_t at = tsm_file_set_find(&p->v.set, p->opt->avoid[i]);
        if (at < p->v.set.n)
            p->v.set.files[at].unreadable = true;
    }
}

static bool is_cold(const struct tsm_file_set *s, const struct tsm_plan_options *opt)
{
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < s->n; i++)
        if (s->files[i].mtime > newest)
            newest = s->files[i].mtime;
    int64_t age;
    return opt->cold == 0 || (!__builtin_sub_overflow(opt->now, newest, &age) && age >= opt->cold);
}

/* Lists the shard and opens what is looked at. TSM_ENOTFOUND: a file has gone in between. */
static int open_shard(struct planning *p, const struct tsm_fs *fs, const char *dir,
                      const struct tsm_damage *damage, struct tsm_err *err)
{
    struct tsm_file_set *s = &p->v.set;
    int rc = tsm_file_set_list(fs, dir, s, err);
    if (rc != TSM_OK)
        return rc;
    p->out->cold = is_cold(s, p->opt);
    p->crowded = s->nordered > TSM_PLAN_ORDERED;
    if (p->crowded)
        tsm_file_set_trim(s, TSM_PLAN_ORDERED);
    else if (s->n - s->nordered > TSM_PLAN_LATE)
        tsm_file_set_trim(s, s->nordered + TSM_PLAN_LATE);
    avoid(p);
    for (size_t i = 0; i < s->n && rc == TSM_OK; i++)
        rc = tsm_file_set_open(s, i, damage, err);
    return rc;
}

static void plan(struct planning *p)
{
    size_t n = p->v.set.n;
    tsm_compaction_view_compare(&p->v);
    p->words = p->v.overlaps.words;
    p->used = new_set(p);
    p->gone = new_set(p);
    p->dead = tsm_calloc(n + 1, sizeof *p->dead);
    for (size_t i = 0; i < n; i++)
        if (p->v.readers[i] && p->v.readers[i]->tombstones.n)
            p->dead[i] = tsm_dead_blocks_count(p->v.readers[i]);
    plan_drops(p);
    if (!p->crowded) {
        p->free_below = ordered_unreadable(p) ? 0 : highest_generation(p);
        plan_moves(p);
        plan_late(p);
        plan_overlapping(p);
    }
    plan_level_1(p);
    plan_small(p, 0, p->v.set.nordered, p->out->cold ? 1 : 2, p->out->cold ? SMALL_FILES_COLD : SMALL_FILES);
    plan_tombstones(p);
    tsm_free(p->used);
    tsm_free(p->gone);
    tsm_free(p->dead);
}

int tsm_compaction_plan(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                        uint64_t shard, const struct tsm_plan_options *opt, const struct tsm_damage *damage,
                        struct tsm_compactions *out, struct tsm_err *err)
{
    int rc = TSM_ENOTFOUND;
    *out = (struct tsm_compactions){0};
    struct tsm_str db_name = tsm_arena_str(&out->arena, db), rp_name = tsm_arena_str(&out->arena, rp);
    for (int i = 0; i < MAX_LISTINGS && rc == TSM_ENOTFOUND; i++) {
        struct planning p = {.opt = opt, .out = out, .db = db_name, .rp = rp_name, .shard = shard};
        rc = open_shard(&p, fs, dir, damage, err);
        if (rc == TSM_OK && p.v.set.n > 0)
            plan(&p);
        tsm_compaction_view_release(&p.v);
    }
    if (rc != TSM_OK)
        tsm_compactions_release(out);
    if (rc == TSM_ENOTFOUND && err)
        err->code = TSM_EIO; /* and its message says which */
    return rc == TSM_ENOTFOUND ? TSM_EIO : rc;
}

void tsm_compactions_release(struct tsm_compactions *l)
{
    tsm_arena_release(&l->arena);
    *l = (struct tsm_compactions){0};
}
