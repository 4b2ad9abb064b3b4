/*
 * store/flush_frontier.c: the frontiers of the columns that are flushed: from the shard's table, and for keys that are
 * not there from the indexes of its files.
 *
 * Only files are read whose times and keys can matter: in time order, there are none. The frontier of a key is known
 * after its first flush, also when no file was read: those that were left out hold nothing newer than what is
 * written now.
 */
#include "store/flush_impl.h"

#include "base/alloc.h"
#include "base/banned.h"

enum {
    FEW_COLUMNS = 32, /* a file with so many times more keys than we ask for is searched, not walked */
    AHEAD = 16,       /* columns whose slots of the table are fetched at a time */
};

static bool is_unknown(const struct tsm_shard_flush *s, size_t column)
{
    return !s->unknown || (s->unknown[column / 64] >> (column % 64) & 1);
}

static void fill_frontiers(struct tsm_shard_flush *s, int64_t value)
{
    if (!s->frontiers)
        s->frontiers = tsm_realloc_array(NULL, s->ncolumns, sizeof *s->frontiers);
    for (size_t i = 0; i < s->ncolumns; i++)
        s->frontiers[i] = value;
}

/* ---- the table ---- */

static void note_unknown(struct tsm_shard_flush *s, const struct tsm_run *run, uint32_t k)
{
    size_t column = run->first + k;
    int64_t t = tsm_column_oldest(&run->columns[k]);
    if (t < s->oldest)
        s->oldest = t;
    if (!s->nunknown++)
        s->first_unknown = run;
    s->last_unknown = run;
    if (s->unknown)
        s->unknown[column / 64] |= 1ull << (column % 64);
}

/* Calls visit for every column that is not empty, with its hash; slots are on their way into the cache by then. */
static void each_column(struct tsm_shard_flush *s, bool unknown_only,
                        bool (*visit)(struct tsm_shard_flush *s, const struct tsm_run *run, uint32_t k,
                                      uint64_t hash))
{
    struct {
        const struct tsm_run *run;
        uint32_t k;
        uint64_t hash;
    } ahead[AHEAD];
    size_t n = 0;
    bool more = true;
    for (size_t i = 0; i < s->nruns && more; i++) {
        const struct tsm_run *run = &s->runs[i];
        for (uint32_t k = 0; k < run->ncolumns && more; k++) {
            if (!tsm_column_is_empty(&run->columns[k]) && (!unknown_only || is_unknown(s, run->first + k))) {
                tsm_run_key(&s->key, run->series, &run->columns[k]);
                ahead[n].run = run;
                ahead[n].k = k;
                ahead[n].hash = tsm_hash(tsm_buf_view(&s->key));
                tsm_frontier_prefetch(&s->shard->frontier, ahead[n++].hash);
            }
            bool last = i + 1 == s->nruns && k + 1 == run->ncolumns;
            if (n == AHEAD || last) {
                for (size_t a = 0; a < n && more; a++)
                    more = visit(s, ahead[a].run, ahead[a].k, ahead[a].hash);
                n = 0;
            }
        }
    }
}

/* What is written now is remembered at once: when that fails, the table is dropped. */
static bool look_up(struct tsm_shard_flush *s, const struct tsm_run *run, uint32_t k, uint64_t hash)
{
    int64_t newest = run->columns[k].newest, *known = tsm_frontier_find(&s->shard->frontier, hash);
    if (!known) {
        note_unknown(s, run, k);
        return true;
    }
    s->frontiers[run->first + k] = *known;
    if (newest > *known)
        *known = newest;
    return true;
}

static bool remember(struct tsm_shard_flush *s, const struct tsm_run *run, uint32_t k, uint64_t hash)
{
    int64_t newest = run->columns[k].newest;
    if (s->frontiers && s->frontiers[run->first + k] > newest)
        newest = s->frontiers[run->first + k];
    return tsm_frontier_raise(&s->shard->frontier, hash, newest);
}

static void ask_table(struct tsm_shard_flush *s)
{
    s->oldest = INT64_MAX;
    if (tsm_frontier_empty(&s->shard->frontier)) {
        for (size_t i = 0; i < s->nruns; i++)
            for (uint32_t k = 0; k < s->runs[i].ncolumns; k++)
                if (!tsm_column_is_empty(&s->runs[i].columns[k]))
                    note_unknown(s, &s->runs[i], k);
        return;
    }
    fill_frontiers(s, INT64_MIN);
    s->unknown = tsm_calloc(s->ncolumns / 64 + 1, sizeof *s->unknown);
    tsm_frontier_touch(&s->shard->frontier);
    each_column(s, false, look_up);
}

/* ---- the files ---- */

static void raise_frontier(struct tsm_shard_flush *s, size_t column, const struct tsm_reader *r, size_t key)
{
    int64_t t = tsm_reader_entry(r, key, tsm_reader_entries(r, key) - 1).tmax;
    if (t > s->frontiers[column])
        s->frontiers[column] = t;
}

/* Raises the frontiers of the unknown columns that r has. */
static void walk_file(struct tsm_shard_flush *s, const struct tsm_reader *r)
{
    bool few = s->nunknown < r->nkeys / FEW_COLUMNS, begun = false;
    size_t key = 0;
    for (const struct tsm_run *run = s->first_unknown; run <= s->last_unknown && key < r->nkeys; run++) {
        for (uint32_t k = 0; k < run->ncolumns && key < r->nkeys; k++) {
            if (!is_unknown(s, run->first + k))
                continue;
            tsm_run_key(&s->key, run->series, &run->columns[k]);
            struct tsm_str want = tsm_buf_view(&s->key);
            bool found = false;
            if (few || !begun) {
                key = tsm_reader_seek(r, want, &found);
            } else {
                int c = 1;
                while (key < r->nkeys && (c = tsm_str_cmp(tsm_reader_key(r, key), want)) < 0)
                    key++;
                found = key < r->nkeys && c == 0;
            }
            begun = true;
            if (found)
                raise_frontier(s, run->first + k, r, key);
        }
    }
}

/* False when no value of an unknown column can be as old as what the file holds for the same key. */
static bool may_matter(struct tsm_shard_flush *s, const struct tsm_covered_file *file)
{
    if (file->tmax < s->oldest)
        return false;
    const struct tsm_run *first = s->first_unknown, *last = s->last_unknown;
    tsm_run_key(&s->key, first->series, first->columns);
    if (tsm_str_cmp(tsm_buf_view(&s->key), tsm_str(file->last, file->nlast)) > 0)
        return false;
    tsm_run_key(&s->key, last->series, &last->columns[last->ncolumns - 1]);
    return tsm_str_cmp(tsm_buf_view(&s->key), tsm_str(file->first, file->nfirst)) >= 0;
}

static int read_file(struct tsm_shard_flush *s, struct tsm_file_name name, struct tsm_err *err)
{
    struct tsm_shard_files *files = s->shard->files;
    struct tsm_reader *r;
    char *path = tsm_shard_files_path(files, name);
    struct tsm_err cause;
    int rc = tsm_reader_open_bare(s->f->fs, path, &r, &cause);
    tsm_free(path);
    if (rc == TSM_OK) {
        walk_file(s, r);
        tsm_reader_close(r);
    } else if (rc == TSM_ECORRUPT) {
        s->f->damage(s->f->ctx, cause.msg);
        files->damaged = true;
        rc = TSM_OK;
    } else if (err) {
        *err = cause;
    }
    return rc;
}

static int read_files(struct tsm_shard_flush *s, struct tsm_err *err)
{
    struct tsm_shard_files *files = s->shard->files;
    int rc = tsm_shard_files_refresh(s->f->fs, files, NULL, s->f->damage, s->f->ctx, err);
    for (size_t i = 0; i < files->n && rc == TSM_OK && !files->damaged; i++) {
        if (!may_matter(s, &files->files[i]))
            continue;
        if (!s->frontiers)
            fill_frontiers(s, INT64_MIN);
        rc = read_file(s, files->files[i].name, err);
        if (rc == TSM_ENOTFOUND) { /* compacted away since: what replaces it has the same values */
            rc = tsm_shard_files_refresh(s->f->fs, files, NULL, s->f->damage, s->f->ctx, err);
            i = (size_t)-1;
        }
    }
    return rc;
}

/* A damaged file hides what it has: then every value goes to an out-of-order file, which wins over any. */
int tsm_flush_frontiers(struct tsm_shard_flush *s, struct tsm_err *err)
{
    bool *damaged = &s->shard->files->damaged;
    if (!*damaged)
        ask_table(s);
    if (!*damaged && s->nunknown > 0) {
        int rc = read_files(s, err);
        if (rc != TSM_OK)
            return rc;
    }
    if (*damaged) {
        tsm_frontier_drop(&s->shard->frontier);
        fill_frontiers(s, INT64_MAX);
    } else if (s->nunknown > 0) {
        each_column(s, true, remember);
    }
    return TSM_OK;
}
