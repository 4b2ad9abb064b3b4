/* cli/inspect_dump.c: tsm-inspect dump: what is in single files: keys or blocks of TSM files, tombstones, log
 * entries. */
#include "cli/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/time.h"
#include "cli/inspect_dump.h"
#include "cli/rowset.h"
#include "codec/block.h"
#include "format/influx_wal.h"
#include "format/meta_db.h"
#include "format/wal.h"
#include "store/data_dir.h"
#include "base/banned.h"

#define KEY_COLUMNS "key:s type:s blocks:i values:i first:t last:t bytes:i"
#define BLOCK_COLUMNS                                                                                      \
    "key:s type:s offset:i bytes:i values:i first:t last:t time_encoding:s time_bytes:i value_encoding:s " \
    "value_bytes:i"
#define ORIGIN_COLUMNS "file:s bytes:i digest:s"
#define TOMBSTONE_COLUMNS "key:s first:t last:t"
#define META_COLUMNS \
    "database:s policy:s default:i duration:s shard_duration:s group:i shard:i start:t end:t deleted:i"

/* ---- TSM files ------------------------------------------------------------------------------- */

/* A block's CRC and header. */
static int look_at_block(const struct tsm_reader *r, const struct tsm_entry *e, struct tsm_block_info *info,
                         struct tsm_err *err)
{
    const uint8_t *p;
    size_t len;
    int c = tsm_reader_block(r, e, &p, &len, err);
    if (c != TSM_OK)
        return c;
    c = tsm_block_info(p, len, info, err);
    return c == TSM_OK
               ? c
               : tsm_err_wrap(err, c, "%s: offset %llu: block", r->path, (unsigned long long)e->offset);
}

static int dump_block(struct tsm_rowset *rows, const struct tsm_reader *r, size_t key,
                      const struct tsm_entry *e, const struct tsm_block_info *info, struct tsm_err *err)
{
    tsm_rowset_text(rows, tsm_reader_key(r, key));
    tsm_rowset_text(rows, tsm_str_of(tsm_type_name(tsm_reader_type(r, key))));
    tsm_rowset_int(rows, (int64_t)e->offset);
    tsm_rowset_int(rows, e->size);
    tsm_rowset_int(rows, (int64_t)info->n);
    tsm_rowset_time(rows, e->tmin);
    tsm_rowset_time(rows, e->tmax);
    tsm_rowset_text(rows, tsm_str_of(info->time_encoding));
    tsm_rowset_int(rows, (int64_t)info->time_bytes);
    tsm_rowset_text(rows, tsm_str_of(info->value_encoding));
    tsm_rowset_int(rows, (int64_t)info->value_bytes);
    return tsm_rowset_next(rows, err);
}

static int dump_key(struct tsm_dump *d, struct tsm_rowset *rows, const struct tsm_reader *r, size_t key,
                    struct tsm_err *err)
{
    size_t n = tsm_reader_entries(r, key);
    int64_t values = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        struct tsm_entry e = tsm_reader_entry(r, key, i);
        struct tsm_block_info info;
        int c = look_at_block(r, &e, &info, err);
        if (c != TSM_OK && tsm_damage_pass(&d->in->damage, err) == TSM_OK)
            continue;
        if (c == TSM_OK && d->in->blocks)
            c = dump_block(rows, r, key, &e, &info, err);
        if (c != TSM_OK)
            return c;
        values += (int64_t)info.n;
        bytes += e.size;
    }
    if (d->in->blocks)
        return TSM_OK;
    tsm_rowset_text(rows, tsm_reader_key(r, key));
    tsm_rowset_text(rows, tsm_str_of(tsm_type_name(tsm_reader_type(r, key))));
    tsm_rowset_int(rows, (int64_t)n);
    tsm_rowset_int(rows, values);
    tsm_rowset_time(rows, tsm_reader_entry(r, key, 0).tmin);
    tsm_rowset_time(rows, tsm_reader_entry(r, key, n - 1).tmax);
    tsm_rowset_int(rows, bytes);
    return tsm_rowset_next(rows, err);
}

/* The files that a compaction made this one from. */
static int dump_origins(struct tsm_rowset *rows, const struct tsm_reader *r, struct tsm_err *err)
{
    int c = TSM_OK;
    for (size_t i = 0; i < r->norigins && c == TSM_OK; i++) {
        char name[TSM_NAME_MAX], digest[17];
        tsm_file_name_format(name, r->origins[i].name, ".tsm");
        snprintf(digest, sizeof digest, "%016" PRIx64, r->origins[i].digest);
        tsm_rowset_text(rows, tsm_str_of(name));
        tsm_rowset_int(rows, (int64_t)r->origins[i].size);
        tsm_rowset_text(rows, tsm_str_of(digest));
        c = tsm_rowset_next(rows, err);
    }
    return c;
}

static int dump_tsm(struct tsm_dump *d, const char *path, struct tsm_err *err)
{
    struct tsm_reader *r;
    struct tsm_rowset rows;
    int c = tsm_reader_open_bare(d->in->fs, path, &r, err);
    if (c != TSM_OK)
        return tsm_damage_pass(&d->in->damage, err);
    c = tsm_rowset_begin(&rows, d->sink, tsm_str_of(path), d->several,
                         d->in->origins  ? ORIGIN_COLUMNS
                         : d->in->blocks ? BLOCK_COLUMNS
                                         : KEY_COLUMNS,
                         err);
    if (c == TSM_OK && d->in->origins)
        c = dump_origins(&rows, r, err);
    for (size_t i = 0; i < r->nkeys && c == TSM_OK && !d->in->origins; i++)
        c = dump_key(d, &rows, r, i, err);
    c = tsm_rowset_end(&rows, c, err);
    tsm_reader_close(r);
    return c;
}

/* ---- tombstones ------------------------------------------------------------------------------ */

static int dump_tombstone(struct tsm_dump *d, const char *path, struct tsm_err *err)
{
    struct tsm_tombstones t;
    struct tsm_rowset rows;
    int c = tsm_tombstones_read(d->in->fs, path, &t, err);
    if (c != TSM_OK)
        return tsm_damage_pass(&d->in->damage, err);
    c = tsm_rowset_begin(&rows, d->sink, tsm_str_of(path), d->several, TOMBSTONE_COLUMNS, err);
    for (size_t i = 0; i < t.n && c == TSM_OK; i++) {
        tsm_rowset_text(&rows, t.items[i].key);
        tsm_rowset_time(&rows, t.items[i].tmin);
        tsm_rowset_time(&rows, t.items[i].tmax);
        c = tsm_rowset_next(&rows, err);
    }
    c = tsm_rowset_end(&rows, c, err);
    tsm_tombstones_release(&t);
    return c;
}

/* ---- meta.db --------------------------------------------------------------------------------- */

static void add_duration(struct tsm_rowset *rows, int64_t d)
{
    char text[TSM_TIME_TEXT_MAX];
    tsm_rowset_text(rows, tsm_str(text, tsm_format_duration_influxql(text, d)));
}

/* One shard. A policy without groups has a row of its own (group 0), and so has a group without shards (shard
 * 0). */
static int meta_row(struct tsm_rowset *rows, const struct tsm_database *db, const struct tsm_rp *rp,
                    const struct tsm_shard_group *g, uint64_t shard, struct tsm_err *err)
{
    tsm_rowset_text(rows, db->name);
    tsm_rowset_text(rows, rp->name);
    tsm_rowset_int(rows, tsm_str_eq(db->default_rp, rp->name));
    add_duration(rows, rp->duration);
    add_duration(rows, rp->shard_group_duration);
    tsm_rowset_int(rows, g ? (int64_t)g->id : 0);
    tsm_rowset_int(rows, (int64_t)shard);
    tsm_rowset_time(rows, g ? g->start : 0);
    tsm_rowset_time(rows, g ? g->end : 0);
    tsm_rowset_int(rows, g && g->deleted_at);
    return tsm_rowset_next(rows, err);
}

static int dump_policy(struct tsm_rowset *rows, const struct tsm_database *db, const struct tsm_rp *rp,
                       struct tsm_err *err)
{
    int c = rp->ngroups ? TSM_OK : meta_row(rows, db, rp, NULL, 0, err);
    for (size_t i = 0; i < rp->ngroups && c == TSM_OK; i++) {
        const struct tsm_shard_group *g = &rp->groups[i];
        if (g->nshards == 0)
            c = meta_row(rows, db, rp, g, 0, err);
        for (size_t j = 0; j < g->nshards && c == TSM_OK; j++)
            c = meta_row(rows, db, rp, g, g->shards[j], err);
    }
    return c;
}

static int dump_meta(struct tsm_dump *d, const char *path, struct tsm_err *err)
{
    struct tsm_buf bytes = {0};
    struct tsm_meta m = {0};
    struct tsm_rowset rows;
    int c = tsm_fs_read_file(d->in->fs, path, 64 << 20, &bytes, err);
    if (c == TSM_OK) {
        c = tsm_meta_decode(bytes.data, bytes.len, &m, err);
        if (c != TSM_OK)
            tsm_err_wrap(err, c, "%s", path);
    }
    tsm_buf_release(&bytes);
    if (c != TSM_OK) {
        tsm_meta_release(&m);
        return tsm_damage_pass(&d->in->damage, err);
    }
    c = tsm_rowset_begin(&rows, d->sink, tsm_str_of(path), d->several, META_COLUMNS, err);
    for (size_t i = 0; i < m.ndatabases && c == TSM_OK; i++)
        for (size_t j = 0; j < m.databases[i].nrps && c == TSM_OK; j++)
            c = dump_policy(&rows, &m.databases[i], &m.databases[i].rps[j], err);
    c = tsm_rowset_end(&rows, c, err);
    tsm_meta_release(&m);
    return c;
}

/* ---- operands -------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

static int dump_file(struct tsm_dump *d, const char *path, struct tsm_err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    uint32_t id;
    d->files++;
    if (strcmp(name, "meta.db") == 0)
        return dump_meta(d, path, err);
    if (ends_with(path, ".tombstone"))
        return dump_tombstone(d, path, err);
    if (tsm_influx_wal_name(tsm_str_of(name), &id))
        return tsm_dump_influx_log(d, path, err);
    if (tsm_wal_name_parse(tsm_str_of(name), NULL))
        return tsm_dump_own_log(d, path, err);
    return dump_tsm(d, path, err);
}

/* The TSM files of a folder, and of those below it that hold shards. */
static int dump_source(struct tsm_dump *d, const struct tsm_source *s, struct tsm_err *err)
{
    int c = TSM_OK;
    for (size_t i = 0; i < s->nfiles && c == TSM_OK; i++)
        c = dump_file(d, s->files[i], err);
    if (s->nfiles)
        return c;
    struct tsm_names l;
    c = tsm_fs_list(d->in->fs, s->path, &l, err);
    if (c == TSM_ENOTFOUND) /* all of it is in the log */
        return TSM_OK;
    if (c != TSM_OK)
        return c;
    for (size_t i = 0; i < l.n && c == TSM_OK; i++) {
        struct tsm_file_name name;
        if (!tsm_file_name_parse(tsm_str_of(l.names[i]), ".tsm", &name))
            continue;
        char *path = tsm_path_join(s->path, l.names[i]);
        c = dump_file(d, path, err);
        tsm_free(path);
    }
    tsm_names_release(&l);
    return c;
}

int tsm_inspect_dump(struct tsm_inspect *in, int *status, struct tsm_err *err)
{
    struct tsm_sources s;
    const char *format = in->out.limit == 0 ? "table" : "tsv"; /* a terminal or not */
    int c = tsm_inspect_sources(in, &s, err);
    if (c != TSM_OK)
        return c;
    struct tsm_dump d = {.in = in, .sink = tsm_inspect_open_sink(in, format)};
    d.several = s.n != 1 || s.items[0].nfiles != 1;
    for (size_t i = 0; i < s.n && c == TSM_OK; i++)
        c = dump_source(&d, &s.items[i], err);
    c = tsm_inspect_close_sink(in, d.sink, format, c, err);
    tsm_sources_release(&s);
    if (c == TSM_OK && in->common.summary)
        fprintf(stderr, "{\"files\":%llu,\"left_out\":%llu}\n", (unsigned long long)d.files,
                (unsigned long long)in->skipped);
    *status = in->skipped ? TSM_EXIT_CORRUPT : TSM_EXIT_OK;
    return c;
}
