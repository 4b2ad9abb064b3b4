/* cli/compact_run.c: tsm-compact --run: the lines of a plan, one after the other. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/time.h"
#include "cli/compact.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum { MAX_LINE = 16 << 20 };

struct lines {
    struct tsm_compact *c;
    const char *name; /* of the input, for messages */
    uint64_t number;
    struct tsm_compact_shard shard; /* of the last line; dir NULL: none is open */
};

static void complain(struct lines *l, int code, const struct tsm_err *err)
{
    char place[300];
    snprintf(place, sizeof place, "%.250s: line %" PRIu64, l->name, l->number);
    tsm_compact_note(l->c, place, code, err);
}

/* Opens the shard of a line, unless it is that of the line before. */
static int open_shard(struct lines *l, const struct tsm_compaction *item, struct tsm_err *err)
{
    struct tsm_compact *c = l->c;
    char *dir = tsm_path_shard(c->common.data, item->db, item->rp, item->shard);
    int rc = TSM_OK;
    if (!l->shard.dir || strcmp(l->shard.dir, dir) != 0) {
        tsm_compact_close(&l->shard);
        if (!tsm_fs_exists(c->fs, dir))
            rc = tsm_err_set(err, TSM_ENOTFOUND, "%s: there is no such shard", dir);
        else
            rc = tsm_compact_open(c, item->db, item->rp, item->shard, &l->shard, err);
        c->totals.shards += rc == TSM_OK;
    }
    tsm_free(dir);
    return rc;
}

/* The shard must have expired by what meta.db says now. */
static int expire(struct lines *l, const struct tsm_compaction *item, struct tsm_err *err)
{
    struct tsm_expired_shards all;
    struct tsm_compact *c = l->c;
    tsm_compact_close(&l->shard);
    int rc = tsm_retention_find(c->fs, c->common.data, item->db, item->rp, tsm_now(), &all, err);
    if (rc != TSM_OK)
        return rc;
    size_t i = 0;
    while (i < all.n && all.items[i].shard != item->shard)
        i++;
    if (i == all.n)
        rc = tsm_err_set(err, TSM_ENOTFOUND, "shard %" PRIu64 " is gone or has not expired", item->shard);
    else if (!c->dry_run)
        rc = tsm_compact_expire(c, &all.items[i], 1, err);
    tsm_expired_shards_release(&all);
    return rc;
}

/* -n: what the line would do, or why it would not. */
static int describe(struct lines *l, const struct tsm_compaction *item, struct tsm_err *err)
{
    struct tsm_compact *c = l->c;
    char *dir = tsm_path_shard(c->common.data, item->db, item->rp, item->shard);
    int rc = item->action == TSM_COMPACTION_EXPIRE ? expire(l, item, err)
                                                   : tsm_compaction_check(c->fs, dir, item, err);
    tsm_free(dir);
    if (rc != TSM_OK)
        return rc;
    tsm_compact_describe(&c->out.buf, item);
    tsm_buf_byte(&c->out.buf, '\n');
    rc = tsm_output_check(&c->out, err);
    c->output_failed |= rc != TSM_OK;
    return rc;
}

/* One line; what is wrong with it is said and does not keep the others from being run. */
static int run_line(struct lines *l, struct tsm_str text)
{
    struct tsm_compact *c = l->c;
    struct tsm_arena arena = {0};
    struct tsm_compaction item;
    struct tsm_err err = {0};
    l->number++;
    if (text.n == 0 || text.p[0] == '#')
        return TSM_OK;
    int rc = tsm_compaction_parse(text, &arena, &item, &err);
    if (rc == TSM_OK && tsm_compact_wants(c, item.db, item.rp, item.shard) &&
        !(c->level && item.action == TSM_COMPACTION_MERGE && item.output.level > c->level)) {
        if (c->dry_run) {
            rc = describe(l, &item, &err);
        } else if (item.action == TSM_COMPACTION_EXPIRE) {
            rc = expire(l, &item, &err);
        } else {
            rc = open_shard(l, &item, &err);
            if (rc == TSM_OK)
                rc = tsm_compact_execute(&l->shard, &item, &err);
        }
    }
    if (!c->output_failed)
        complain(l, rc, &err);
    tsm_arena_release(&arena);
    return c->output_failed ? rc : TSM_OK;
}

/* Reads a line, without its newline. TSM_ENOTFOUND: there is none any more. */
static int read_line(const struct lines *l, FILE *f, struct tsm_buf *line, struct tsm_err *err)
{
    int c;
    tsm_buf_reset(line);
    while ((c = getc_unlocked(f)) != EOF && c != '\n') {
        if (line->len == MAX_LINE)
            return tsm_err_set(err, TSM_ELIMIT, "%s: line %" PRIu64 ": is too long", l->name, l->number + 1);
        tsm_buf_byte(line, (uint8_t)c);
    }
    if (ferror(f) && !tsm_compact_is_over(l->c))
        return tsm_err_sys(err, errno, "read %s", l->name);
    return c == EOF && line->len == 0 ? TSM_ENOTFOUND : TSM_OK;
}

static int run_file(struct lines *l, FILE *f, struct tsm_err *err)
{
    struct tsm_buf line = {0};
    int rc = TSM_OK;
    while (rc == TSM_OK && !tsm_compact_is_over(l->c)) {
        rc = read_line(l, f, &line, err);
        if (rc == TSM_OK && !tsm_compact_is_over(l->c))
            rc = run_line(l, tsm_buf_view(&line));
    }
    tsm_buf_release(&line);
    return rc == TSM_ENOTFOUND ? TSM_OK : rc;
}

int tsm_compact_run(struct tsm_compact *c, struct tsm_err *err)
{
    bool standard = strcmp(c->run, "-") == 0;
    struct lines l = {.c = c, .name = standard ? "standard input" : c->run};
    FILE *f = standard ? stdin : fopen(c->run, "re");
    if (!f)
        return tsm_err_sys(err, errno, "open %s", c->run);
    int rc = run_file(&l, f, err);
    tsm_compact_close(&l.shard);
    if (!standard)
        fclose(f);
    return rc;
}
