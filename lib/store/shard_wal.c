/*
 * store/shard_wal.c: the write-ahead log of a shard, from the side of those who write.
 *
 * Two threads use a handle: the writer's (append, sync, freeze) and that of a flush (begin, end). What they share is
 * behind the mutex; the locks of the folder are never waited for with the mutex held.
 *
 * Invariants: `tail` is the newest segment there is, the one that a delete appends to, also when we have ended it; what
 * it has behind tail.end is somebody else's, or was left by a write that failed. The deletes in `noticed` are those
 * that the active memtable (behind `applied`) or the frozen one may still have to see.
 */
#include "store/shard_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum { SEGMENT_MAX = 32 << 20 }; /* bytes after which another one is begun */

struct segment {
    uint32_t number;
    int fd; /* -1: none */
    uint64_t end;
    uint64_t unsynced; /* bytes of ours */
};

struct noticed {
    uint64_t sequence;
    struct tsm_buf payload;
};

struct tsm_shard_wal {
    const struct tsm_fs *fs;
    char *dir;
    struct tsm_lock append, flush;

    pthread_mutex_t mutex;
    struct segment tail;
    bool ended;           /* our next record begins a segment */
    bool new_names;       /* segments were made since the folder was fsynced */
    bool frozen;          /* between a freeze and the beginning of its flush */
    bool failed;          /* an fsync did: what it was for may be lost whatever later ones say */
    uint32_t first, next; /* segments that may be there: [first, next) */
    struct segment *old;  /* before the tail, not fsynced yet */
    size_t nold, capold;
    uint64_t sequence; /* of the last record in the log */
    uint64_t applied;  /* the last one that the active memtable has seen */
    struct noticed *noticed;
    size_t nnoticed, capnoticed;
    struct tsm_buf record; /* scratch */
};

/* ---- segments ---- */

static char *segment_path(const char *dir, uint32_t number)
{
    char name[TSM_WAL_NAME_MAX];
    tsm_wal_name_format(name, number);
    return tsm_path_join(dir, name);
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int tsm_wal_list(const struct tsm_fs *fs, const char *dir, uint32_t **numbers, size_t *n, struct tsm_err *err)
{
    struct tsm_names names;
    *numbers = NULL;
    *n = 0;
    int rc = tsm_fs_list(fs, dir, &names, err);
    if (rc != TSM_OK)
        return rc;
    *numbers = tsm_realloc_array(NULL, names.n, sizeof **numbers);
    for (size_t i = 0; i < names.n; i++)
        if (tsm_wal_name_parse(tsm_str_of(names.names[i]), &(*numbers)[*n]))
            ++*n;
    tsm_sort(*numbers, *n, sizeof **numbers, compare_numbers);
    tsm_names_release(&names);
    return TSM_OK;
}

int tsm_wal_remove(const struct tsm_fs *fs, const char *dir, const uint32_t *numbers, size_t n,
                   struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < n && rc == TSM_OK; i++) {
        char *path = segment_path(dir, numbers[i]);
        rc = tsm_fs_remove(fs, path, err);
        tsm_free(path);
        if (rc == TSM_OK)
            rc = tsm_fs_sync_dir(fs, dir, err);
    }
    return rc;
}

static int open_segment(const struct tsm_fs *fs, const char *dir, uint32_t number, int flags,
                        struct segment *s, struct tsm_err *err)
{
    char *path = segment_path(dir, number);
    *s = (struct segment){.number = number};
    s->fd = fs->open(fs->ctx, path, O_RDWR | O_APPEND | flags, 0644);
    int rc = s->fd < 0 ? tsm_err_sys(err, -s->fd, "%s %s", flags ? "create" : "open", path) : TSM_OK;
    if (rc != TSM_OK)
        s->fd = -1;
    tsm_free(path);
    return rc;
}

static void close_segment(const struct tsm_fs *fs, struct segment *s)
{
    if (s->fd >= 0)
        fs->close(fs->ctx, s->fd);
    *s = (struct segment){.fd = -1};
}

static int fail(int e, const char *dir, uint32_t number, const char *verb, struct tsm_err *err)
{
    char *path = segment_path(dir, number);
    int rc = tsm_err_sys(err, e, "%s %s", verb, path);
    tsm_free(path);
    return rc;
}

int tsm_wal_settle(const struct tsm_fs *fs, const char *dir, const uint32_t *numbers, size_t n,
                   struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < n && rc == TSM_OK; i++) {
        struct segment s;
        rc = open_segment(fs, dir, numbers[i], 0, &s, err);
        if (rc != TSM_OK)
            break;
        int e = fs->fsync(fs->ctx, s.fd);
        if (e < 0)
            rc = fail(-e, dir, numbers[i], "fsync", err);
        close_segment(fs, &s);
    }
    return rc;
}

/* What stands in the segment behind `from`. */
static int read_rest(const struct tsm_fs *fs, const char *dir, const struct segment *s, uint64_t from,
                     uint64_t size, struct tsm_buf *out, struct tsm_err *err)
{
    while (from < size) {
        size_t want = size - from < 1 << 20 ? (size_t)(size - from) : 1 << 20;
        ssize_t n = fs->pread(fs->ctx, s->fd, tsm_buf_room(out, want), want, (off_t)from);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return fail((int)-n, dir, s->number, "read", err);
        if (n == 0)
            break;
        out->len += (size_t)n;
        from += (size_t)n;
    }
    return TSM_OK;
}

/* Writes a whole record behind s->end, or leaves nothing of it. When even that fails, the next one to append finds
 * half a record and cuts it off. */
static int write_record(const struct tsm_fs *fs, const char *dir, struct segment *s,
                        const struct tsm_buf *record, struct tsm_err *err)
{
    size_t done = 0;
    while (done < record->len) {
        ssize_t n = fs->write(fs->ctx, s->fd, record->data + done, record->len - done);
        if (n == -EINTR)
            continue;
        if (n <= 0) {
            int rc = fail(n < 0 ? (int)-n : EIO, dir, s->number, "write", err);
            fs->ftruncate(fs->ctx, s->fd, (off_t)s->end);
            return rc;
        }
        done += (size_t)n;
    }
    s->end += record->len;
    return TSM_OK;
}

static int cut(const struct tsm_fs *fs, const char *dir, const struct segment *s, struct tsm_err *err)
{
    int e = fs->ftruncate(fs->ctx, s->fd, (off_t)s->end);
    return e < 0 ? fail(-e, dir, s->number, "truncate", err) : TSM_OK;
}

/* The last sequence in the bytes, if there is one; *end is where whole records end. Bytes that do not check are passed
 * over here: whoever replays them says so. */
static void survey(const uint8_t *p, size_t len, uint64_t *sequence, uint64_t *end)
{
    struct tsm_wal_reader r = {.p = p, .len = len};
    struct tsm_wal_record record;
    int rc;
    while ((rc = tsm_wal_next(&r, &record, NULL)) != TSM_ENOTFOUND)
        if (rc == TSM_OK && record.sequence > *sequence)
            *sequence = record.sequence;
    *end = r.torn ? r.at : len;
    tsm_wal_reader_release(&r);
}

/* Opens the newest segment, if there is one, and finds the last sequence of the log. */
static int open_newest(const struct tsm_fs *fs, const char *dir, const uint32_t *numbers, size_t n,
                       struct segment *newest, uint64_t *sequence, struct tsm_err *err)
{
    *newest = (struct segment){.fd = -1};
    *sequence = 0;
    int rc = TSM_OK;
    for (size_t i = n; i-- > 0 && rc == TSM_OK && (i + 1 == n || *sequence == 0);) {
        struct tsm_map_file m;
        uint64_t end;
        char *path = segment_path(dir, numbers[i]);
        rc = tsm_map_open(fs, path, &m, err);
        tsm_free(path);
        if (rc != TSM_OK)
            break;
        survey(m.data, m.size, sequence, &end);
        tsm_map_close(&m);
        if (i + 1 < n)
            continue;
        rc = open_segment(fs, dir, numbers[i], 0, newest, err);
        newest->end = end;
    }
    return rc;
}

/* ---- deletes of others ---- */

static void note_delete(struct tsm_shard_wal *w, const struct tsm_wal_record *record)
{
    TSM_GROW(w->noticed, w->nnoticed + 1, w->capnoticed);
    struct noticed *d = &w->noticed[w->nnoticed++];
    *d = (struct noticed){.sequence = record->sequence};
    tsm_buf_str(&d->payload, record->payload);
}

/* Reads what others have appended. With append.lock, what one of them has left unfinished is cut off. */
static int notice(struct tsm_shard_wal *w, bool locked, struct tsm_err *err)
{
    struct tsm_fs_stat st;
    struct segment *s = &w->tail;
    if (s->fd < 0)
        return TSM_OK;
    int e = w->fs->fstat(w->fs->ctx, s->fd, &st);
    if (e < 0)
        return fail(-e, w->dir, s->number, "stat", err);
    if (__builtin_expect(st.size <= s->end, 1))
        return TSM_OK;
    struct tsm_buf bytes = {0};
    int rc = read_rest(w->fs, w->dir, s, s->end, st.size, &bytes, err);
    struct tsm_wal_reader r = {.p = bytes.data, .len = bytes.len};
    struct tsm_wal_record record;
    for (int next; rc == TSM_OK && (next = tsm_wal_next(&r, &record, NULL)) != TSM_ENOTFOUND;) {
        if (next != TSM_OK)
            continue;
        if (record.kind == TSM_WAL_DELETE)
            note_delete(w, &record);
        if (record.sequence > w->sequence)
            w->sequence = record.sequence;
    }
    if (rc == TSM_OK)
        s->end += r.torn ? r.at : bytes.len;
    if (rc == TSM_OK && r.torn && locked)
        rc = cut(w->fs, w->dir, s, err);
    tsm_wal_reader_release(&r);
    tsm_buf_release(&bytes);
    return rc;
}

static int deliver(struct tsm_shard_wal *w, uint64_t behind, tsm_wal_remove_fn *remove, void *ctx,
                   struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < w->nnoticed && rc == TSM_OK; i++)
        if (w->noticed[i].sequence > behind)
            rc = tsm_wal_delete_read(tsm_buf_view(&w->noticed[i].payload), remove, ctx, err);
    return rc;
}

/* Drops what both memtables have seen. */
static void forget_deletes(struct tsm_shard_wal *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->nnoticed; i++) {
        if (w->frozen || w->noticed[i].sequence > w->applied)
            w->noticed[kept++] = w->noticed[i];
        else
            tsm_buf_release(&w->noticed[i].payload);
    }
    w->nnoticed = kept;
}

/* For the active memtable. */
static int catch_up(struct tsm_shard_wal *w, bool locked, tsm_wal_remove_fn *remove, void *ctx,
                    struct tsm_err *err)
{
    int rc = notice(w, locked, err);
    if (rc == TSM_OK && w->nnoticed)
        rc = deliver(w, w->applied, remove, ctx, err);
    if (rc != TSM_OK)
        return rc;
    w->applied = w->sequence;
    if (w->nnoticed)
        forget_deletes(w);
    return TSM_OK;
}

/* ---- the writer ---- */

static int open_log(struct tsm_shard_wal *w, struct tsm_err *err)
{
    char *append = tsm_path_join(w->dir, "append.lock"), *flush = tsm_path_join(w->dir, "flush.lock");
    int rc = tsm_data_make_shard(w->fs, w->dir, err);
    if (rc == TSM_OK)
        rc = tsm_lock_open(w->fs, append, &w->append, err);
    if (rc == TSM_OK)
        rc = tsm_lock_open(w->fs, flush, &w->flush, err);
    if (rc == TSM_OK)
        rc = tsm_lock_acquire(&w->append, err);
    tsm_free(append);
    tsm_free(flush);
    if (rc != TSM_OK)
        return rc;
    uint32_t *numbers;
    size_t n;
    rc = tsm_wal_list(w->fs, w->dir, &numbers, &n, err);
    if (rc == TSM_OK)
        rc = open_newest(w->fs, w->dir, numbers, n, &w->tail, &w->sequence, err);
    if (rc == TSM_OK && n && numbers[n - 1] == UINT32_MAX)
        rc = tsm_err_set(err, TSM_ELIMIT, "%s: there are no more numbers for segments", w->dir);
    w->ended = true;
    w->applied = w->sequence;
    w->first = n ? numbers[0] : 1;
    w->next = n ? numbers[n - 1] + 1 : 1;
    tsm_free(numbers);
    tsm_lock_drop(&w->append);
    return rc;
}

int tsm_shard_wal_open(const struct tsm_fs *fs, const char *dir, struct tsm_shard_wal **out,
                       struct tsm_err *err)
{
    struct tsm_shard_wal *w = tsm_calloc(1, sizeof *w);
    w->fs = fs;
    w->dir = tsm_strdup(dir);
    w->tail.fd = -1;
    pthread_mutex_init(&w->mutex, NULL);
    int rc = open_log(w, err);
    if (rc != TSM_OK) {
        tsm_shard_wal_close(w);
        w = NULL;
    }
    *out = w;
    return rc;
}

void tsm_shard_wal_close(struct tsm_shard_wal *w)
{
    if (!w)
        return;
    close_segment(w->fs, &w->tail);
    for (size_t i = 0; i < w->nold; i++)
        close_segment(w->fs, &w->old[i]);
    tsm_free(w->old);
    for (size_t i = 0; i < w->nnoticed; i++)
        tsm_buf_release(&w->noticed[i].payload);
    tsm_free(w->noticed);
    tsm_buf_release(&w->record);
    tsm_lock_release(&w->append);
    tsm_lock_release(&w->flush);
    pthread_mutex_destroy(&w->mutex);
    tsm_free(w->dir);
    tsm_free(w);
}

/* Makes the segment for the next record. The one before is kept open until it is fsynced. */
static int begin_segment(struct tsm_shard_wal *w, struct tsm_err *err)
{
    struct segment s;
    if (w->next == UINT32_MAX)
        return tsm_err_set(err, TSM_ELIMIT, "%s: there are no more numbers for segments", w->dir);
    int rc = open_segment(w->fs, w->dir, w->next, O_CREAT | O_EXCL, &s, err);
    if (rc != TSM_OK)
        return rc;
    if (w->tail.fd >= 0 && w->tail.unsynced) {
        TSM_GROW(w->old, w->nold + 1, w->capold);
        w->old[w->nold++] = w->tail;
    } else {
        close_segment(w->fs, &w->tail);
    }
    w->tail = s;
    w->next++;
    w->new_names = true;
    w->ended = false;
    return TSM_OK;
}

int tsm_shard_wal_append(struct tsm_shard_wal *w, struct tsm_str payload, tsm_wal_remove_fn *remove,
                         void *ctx, struct tsm_err *err)
{
    int rc = tsm_lock_acquire(&w->append, err);
    if (rc != TSM_OK)
        return rc;
    pthread_mutex_lock(&w->mutex);
    rc = catch_up(w, true, remove, ctx, err);
    if (rc == TSM_OK && (w->ended || w->tail.fd < 0 || w->tail.end >= SEGMENT_MAX))
        rc = begin_segment(w, err);
    if (rc == TSM_OK) {
        tsm_buf_reset(&w->record);
        tsm_wal_encode(&w->record, TSM_WAL_POINTS, w->sequence + 1, payload);
        rc = write_record(w->fs, w->dir, &w->tail, &w->record, err);
    }
    if (rc == TSM_OK) {
        w->applied = ++w->sequence;
        w->tail.unsynced += w->record.len;
    }
    pthread_mutex_unlock(&w->mutex);
    tsm_lock_drop(&w->append);
    return rc;
}

static int sync_segment(struct tsm_shard_wal *w, struct segment *s, struct tsm_err *err)
{
    if (s->fd < 0 || s->unsynced == 0)
        return TSM_OK;
    int e = w->fs->fsync(w->fs->ctx, s->fd);
    if (e < 0)
        return fail(-e, w->dir, s->number, "fsync", err);
    s->unsynced = 0;
    return TSM_OK;
}

static int sync_all(struct tsm_shard_wal *w, struct tsm_err *err)
{
    int rc = w->failed ? tsm_err_set(err, TSM_EIO, "%s: an fsync has failed", w->dir) : TSM_OK;
    for (size_t i = 0; i < w->nold && rc == TSM_OK; i++)
        rc = sync_segment(w, &w->old[i], err);
    if (rc == TSM_OK)
        rc = sync_segment(w, &w->tail, err);
    if (rc == TSM_OK && w->new_names)
        rc = tsm_fs_sync_dir(w->fs, w->dir, err);
    w->failed |= rc != TSM_OK;
    if (rc != TSM_OK)
        return rc;
    w->new_names = false;
    for (size_t i = 0; i < w->nold; i++)
        close_segment(w->fs, &w->old[i]);
    w->nold = 0;
    return TSM_OK;
}

int tsm_shard_wal_sync(struct tsm_shard_wal *w, struct tsm_err *err)
{
    pthread_mutex_lock(&w->mutex);
    int rc = sync_all(w, err);
    pthread_mutex_unlock(&w->mutex);
    return rc;
}

bool tsm_shard_wal_synced(struct tsm_shard_wal *w)
{
    pthread_mutex_lock(&w->mutex);
    bool synced = w->tail.unsynced == 0 && w->nold == 0 && !w->new_names && !w->failed;
    pthread_mutex_unlock(&w->mutex);
    return synced;
}

uint64_t tsm_shard_wal_last_size(const struct tsm_shard_wal *w)
{
    return w->record.len;
}

int tsm_shard_wal_freeze(struct tsm_shard_wal *w, uint32_t *covered, uint64_t *sequence,
                         tsm_wal_remove_fn *remove, void *ctx, struct tsm_err *err)
{
    pthread_mutex_lock(&w->mutex);
    int rc = catch_up(w, false, remove, ctx, err);
    /* What the flush writes is in the log, durably, before it is in files: a replay repeats the deletes of the log over
     * those files, and then what was written after them. */
    if (rc == TSM_OK)
        rc = sync_all(w, err);
    if (rc == TSM_OK) {
        w->ended = true;
        w->frozen = true;
        *covered = w->next - 1;
        *sequence = w->applied;
    }
    pthread_mutex_unlock(&w->mutex);
    return rc;
}

/* ---- the flush ---- */

int tsm_shard_wal_flush_begin(struct tsm_shard_wal *w, uint64_t sequence, tsm_wal_remove_fn *remove,
                              void *ctx, struct tsm_err *err)
{
    int rc = tsm_lock_acquire(&w->flush, err);
    if (rc != TSM_OK)
        return rc;
    pthread_mutex_lock(&w->mutex);
    rc = notice(w, false, err);
    if (rc == TSM_OK)
        rc = deliver(w, sequence, remove, ctx, err);
    pthread_mutex_unlock(&w->mutex);
    if (rc != TSM_OK)
        tsm_lock_drop(&w->flush);
    return rc;
}

/* Forgets the segments that are going to be removed, so that nobody appends to one or fsyncs it. */
static uint32_t let_go(struct tsm_shard_wal *w, uint32_t covered)
{
    pthread_mutex_lock(&w->mutex);
    size_t kept = 0;
    for (size_t i = 0; i < w->nold; i++) {
        if (w->old[i].number > covered)
            w->old[kept++] = w->old[i];
        else
            close_segment(w->fs, &w->old[i]);
    }
    w->nold = kept;
    if (w->tail.fd >= 0 && w->tail.number <= covered)
        close_segment(w->fs, &w->tail);
    uint32_t first = w->first;
    pthread_mutex_unlock(&w->mutex);
    return first;
}

int tsm_shard_wal_flush_end(struct tsm_shard_wal *w, uint32_t covered, bool flushed, struct tsm_err *err)
{
    int rc = TSM_OK;
    if (flushed) {
        uint32_t from = let_go(w, covered);
        while (from <= covered && (rc = tsm_wal_remove(w->fs, w->dir, &from, 1, err)) == TSM_OK)
            from++;
        pthread_mutex_lock(&w->mutex);
        w->first = from; /* one that could not be removed comes first when it is tried again */
        w->frozen = rc != TSM_OK;
        forget_deletes(w);
        pthread_mutex_unlock(&w->mutex);
    }
    tsm_lock_drop(&w->flush);
    return rc;
}

/* ---- a delete ---- */

static int take(const struct tsm_fs *fs, const char *dir, const char *name, struct tsm_lock *lock,
                struct tsm_err *err)
{
    char *path = tsm_path_join(dir, name);
    int rc = tsm_lock_open(fs, path, lock, err);
    tsm_free(path);
    if (rc != TSM_OK)
        return rc;
    rc = tsm_lock_acquire(lock, err);
    if (rc != TSM_OK)
        tsm_lock_release(lock);
    return rc;
}

int tsm_wal_guard_take(const struct tsm_fs *fs, const char *dir, struct tsm_wal_guard *g, struct tsm_err *err)
{
    struct tsm_fs_stat st;
    *g = (struct tsm_wal_guard){0};
    int e = fs->stat(fs->ctx, dir, &st);
    if (e == -ENOENT)
        return TSM_OK;
    if (e < 0)
        return tsm_err_sys(err, -e, "open %s", dir);
    g->fs = fs;
    g->dir = tsm_strdup(dir);
    int rc = take(fs, dir, "flush.lock", &g->flush, err);
    if (rc == TSM_OK)
        rc = take(fs, dir, "append.lock", &g->append, err);
    if (rc == TSM_OK) /* a segment that a killed process has removed must not come back */
        rc = tsm_fs_sync_dir(fs, dir, err);
    if (rc != TSM_OK)
        tsm_wal_guard_release(g);
    return rc;
}

int tsm_wal_guard_delete(struct tsm_wal_guard *g, struct tsm_str payload, struct tsm_err *err)
{
    uint32_t *numbers;
    size_t n;
    if (!g->dir)
        return TSM_OK;
    int rc = tsm_wal_list(g->fs, g->dir, &numbers, &n, err);
    if (rc != TSM_OK || n == 0) { /* nothing is in the log, so nothing of it is to be deleted */
        tsm_free(numbers);
        return rc;
    }
    struct segment s;
    struct tsm_buf record = {0};
    uint64_t sequence;
    rc = open_newest(g->fs, g->dir, numbers, n, &s, &sequence, err);
    if (rc == TSM_OK) /* what a killed process has left unfinished would hide what follows it */
        rc = cut(g->fs, g->dir, &s, err);
    if (rc == TSM_OK) {
        tsm_wal_encode(&record, TSM_WAL_DELETE, sequence + 1, payload);
        rc = write_record(g->fs, g->dir, &s, &record, err);
    }
    int e = rc == TSM_OK ? g->fs->fsync(g->fs->ctx, s.fd) : 0;
    if (e < 0)
        rc = fail(-e, g->dir, s.number, "fsync", err);
    if (rc == TSM_OK)
        rc = tsm_fs_sync_dir(g->fs, g->dir, err);
    close_segment(g->fs, &s);
    tsm_buf_release(&record);
    tsm_free(numbers);
    return rc;
}

void tsm_wal_guard_release(struct tsm_wal_guard *g)
{
    tsm_lock_release(&g->append);
    tsm_lock_release(&g->flush);
    tsm_free(g->dir);
    *g = (struct tsm_wal_guard){0};
}
