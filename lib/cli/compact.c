/* cli/compact.c: what the ways to run tsm-compact share: a shard under its lock, one compaction, what is said of it. */
#include "cli/compact.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/time.h"
#include "store/data_dir.h"
#include "base/banned.h"

void tsm_compact_say(struct tsm_compact *c, const char *fmt, ...)
{
    va_list ap;
    char text[1200];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tsm_progress_clear(&c->progress);
    tsm_complain(c->program, "%s", text);
}

static void report_damage(void *ctx, const char *message)
{
    struct tsm_compact *c = ctx;
    c->totals.damaged++;
    tsm_compact_say(c, "%s", message);
}

void tsm_compact_start(struct tsm_compact *c)
{
    tsm_output_init(&c->out, STDOUT_FILENO);
    c->damage = (struct tsm_damage){.skip = true, .report = report_damage, .ctx = c};
    c->jobs = tsm_jobs(c->program);
    snprintf(c->holder, sizeof c->holder, "tsm-compact, process %ld", (long)getpid());
    tsm_progress_start(&c->progress, c->program->name);
    if (c->common.quiet || c->plan || c->dry_run)
        c->progress.on = false;
}

bool tsm_compact_is_over(const struct tsm_compact *c)
{
    if (atomic_load(c->stop))
        return true;
    return c->max_time > 0 && tsm_progress_seconds(&c->progress) * 1e9 >= (double)c->max_time;
}

bool tsm_compact_wants(const struct tsm_compact *c, struct tsm_str db, struct tsm_str rp, uint64_t shard)
{
    struct tsm_str of_db = tsm_str_of(c->common.database), of_rp = tsm_str_of(c->common.rp);
    return (of_db.n == 0 || tsm_str_eq(of_db, db)) && (of_rp.n == 0 || tsm_str_eq(of_rp, rp)) &&
           (c->shard == 0 || c->shard == shard);
}

int tsm_compact_sources(struct tsm_compact *c, struct tsm_sources *s, struct tsm_err *err)
{
    *s = (struct tsm_sources){0};
    const char *dir = c->common.data;
    if (tsm_fs_exists(c->fs, dir) && !tsm_is_data_dir(c->fs, dir))
        return tsm_err_set(err, TSM_ENOTFOUND, "%s: is not a data directory", dir);
    int rc = tsm_sources_add(c->fs, dir, tsm_str_of(c->common.database), tsm_str_of(c->common.rp), s, err);
    if (rc == TSM_OK && c->shard) {
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++)
            if (s->items[i].id == c->shard)
                s->items[n++] = s->items[i];
        s->n = n;
        if (n == 0)
            rc = tsm_err_set(err, TSM_ENOTFOUND, "%s: no shard %" PRIu64, dir, c->shard);
    }
    if (rc != TSM_OK)
        tsm_sources_release(s);
    return rc;
}

/* ---- telling ----------------------------------------------------------------------------------- */

void tsm_compact_shard_text(char out[TSM_SHARD_TEXT_MAX], struct tsm_str db, struct tsm_str rp,
                            uint64_t shard)
{
    snprintf(out, TSM_SHARD_TEXT_MAX, "%.*s.%.*s shard %" PRIu64, db.n > 60 ? 60 : (int)db.n, db.p,
             rp.n > 60 ? 60 : (int)rp.n, rp.p, shard);
}

void tsm_compact_describe(struct tsm_buf *out, const struct tsm_compaction *item)
{
    char shard[TSM_SHARD_TEXT_MAX], bytes[TSM_AMOUNT_MAX], name[TSM_NAME_MAX];
    tsm_compact_shard_text(shard, item->db, item->rp, item->shard);
    tsm_amount(bytes, (double)item->bytes);
    tsm_buf_printf(out, "%s: ", shard);
    if (item->action == TSM_COMPACTION_EXPIRE) {
        tsm_buf_puts(out, "expire");
        return;
    }
    tsm_buf_printf(out, "%s %zu file%s of %sB", tsm_compaction_action_name(item->action), item->ninputs,
                   item->ninputs == 1 ? "" : "s", bytes);
    tsm_file_name_format(name, item->output, "");
    if (item->action != TSM_COMPACTION_DROP)
        tsm_buf_printf(out, " to %s", name);
}

static void say_done(struct tsm_compact *c, const struct tsm_compaction *item,
                     const struct tsm_compaction_figures *f)
{
    if (!c->common.verbose)
        return;
    struct tsm_buf text = {0};
    tsm_compact_describe(&text, item);
    if (item->action == TSM_COMPACTION_MERGE) {
        char bytes[TSM_AMOUNT_MAX];
        tsm_amount(bytes, (double)f->written_bytes);
        tsm_buf_printf(&text,
                       ", %sB: %" PRIu64 " blocks copied, %" PRIu64 " joined, %" PRIu64 " merged; %" PRIu64
                       " points overwritten, %" PRIu64 " deleted",
                       bytes, f->copied, f->joined, f->merged, f->overwritten, f->deleted);
    }
    tsm_compact_say(c, "%s", tsm_buf_cstr(&text));
    tsm_buf_release(&text);
}

static void show_progress(struct tsm_compact_shard *s)
{
    struct tsm_compact *c = s->c;
    if (!tsm_progress_due(&c->progress))
        return;
    char shard[TSM_SHARD_TEXT_MAX], bytes[TSM_AMOUNT_MAX];
    tsm_compact_shard_text(shard, s->db, s->rp, s->id);
    tsm_amount(bytes, (double)(c->totals.figures.written_bytes + s->run.figures.written_bytes));
    tsm_progress_show(&c->progress, "%s; %" PRIu64 " compactions done, %sB written", shard,
                      c->totals.figures.compactions, bytes);
}

void tsm_compact_note(struct tsm_compact *c, const char *shard, int code, const struct tsm_err *err)
{
    switch (code) {
    case TSM_OK:
    case TSM_ESTOP:
        return;
    case TSM_ELOCKED:
        c->totals.skipped++;
        if (!c->common.quiet)
            tsm_compact_say(c, "%s: skipped: %s", shard, err->msg);
        return;
    case TSM_ENOTFOUND:
        c->totals.stale++;
        if (!c->common.quiet)
            tsm_compact_say(c, "%s: out of date: %s", shard, err->msg);
        return;
    case TSM_ENOSPC:
        c->totals.delayed++;
        break;
    case TSM_ECORRUPT:
        c->totals.damaged++;
        break;
    default:
        c->totals.failed++;
        break;
    }
    tsm_compact_say(c, "%s: %s", shard, err->msg);
}

/* ---- a shard ----------------------------------------------------------------------------------- */

/* Called by any thread. */
static bool must_stop(void *ctx)
{
    return tsm_compact_is_over(((struct tsm_compact_shard *)ctx)->c);
}

int tsm_compact_open(struct tsm_compact *c, struct tsm_str db, struct tsm_str rp, uint64_t id,
                     struct tsm_compact_shard *s, struct tsm_err *err)
{
    *s = (struct tsm_compact_shard){.c = c, .db = db, .rp = rp, .id = id};
    s->dir = tsm_path_shard(c->common.data, db, rp, id);
    char *path = tsm_path_shard_lock(s->dir);
    int rc = tsm_lock_take(c->fs, path, c->holder, &s->lock, err);
    tsm_free(path);
    s->run = (struct tsm_compaction_run){
        .fs = c->fs,
        .dir = s->dir,
        .jobs = c->jobs,
        .memory = c->common.memory - c->common.memory / 8,
        .io_limit = c->io_limit,
        .reserve = c->reserve,
        .stop = must_stop,
        .ctx = s,
    };
    if (rc == TSM_OK)
        rc = tsm_compaction_clean(&s->run, err);
    if (rc != TSM_OK)
        tsm_compact_close(s);
    return rc;
}

void tsm_compact_close(struct tsm_compact_shard *s)
{
    tsm_lock_release(&s->lock);
    tsm_free(s->dir);
    tsm_free(s->outputs);
    *s = (struct tsm_compact_shard){0};
}

/* The bytes of the inputs that this run did not write. */
static uint64_t first_bytes(const struct tsm_compact_shard *s, const struct tsm_compaction *item,
                            uint64_t read)
{
    for (size_t i = 0; i < item->ninputs; i++)
        for (size_t j = 0; j < s->noutputs; j++)
            if (tsm_file_name_compare(s->outputs[j].name, item->inputs[i]) == 0)
                read -= s->outputs[j].size < read ? s->outputs[j].size : read;
    return read;
}

static void add_figures(struct tsm_compact_totals *t, const struct tsm_compaction_figures *f)
{
    struct tsm_compaction_figures *to = &t->figures;
    to->compactions += f->compactions;
    to->inputs += f->inputs;
    to->outputs += f->outputs;
    to->moved += f->moved;
    to->dropped += f->dropped;
    to->copied += f->copied;
    to->joined += f->joined;
    to->merged += f->merged;
    to->copied_bytes += f->copied_bytes;
    to->joined_bytes += f->joined_bytes;
    to->merged_bytes += f->merged_bytes;
    to->read_bytes += f->read_bytes;
    to->written_bytes += f->written_bytes;
    to->points += f->points;
    to->overwritten += f->overwritten;
    to->deleted += f->deleted;
}

int tsm_compact_execute(struct tsm_compact_shard *s, const struct tsm_compaction *item, struct tsm_err *err)
{
    show_progress(s);
    s->run.figures = (struct tsm_compaction_figures){0};
    int rc = tsm_compaction_execute(&s->run, item, err);
    if (rc != TSM_OK)
        return rc;
    const struct tsm_compaction_figures *f = &s->run.figures;
    s->c->totals.flushed += first_bytes(s, item, f->read_bytes);
    add_figures(&s->c->totals, f);
    if (f->outputs) {
        TSM_GROW(s->outputs, s->noutputs + 1, s->capoutputs);
        s->outputs[s->noutputs++] = (struct tsm_compact_output){item->output, f->written_bytes};
    }
    say_done(s->c, item, f);
    return TSM_OK;
}

/* ---- retention --------------------------------------------------------------------------------- */

static void on_expired(void *ctx, const struct tsm_expired_shard *shard, int code, const struct tsm_err *err)
{
    struct tsm_compact *c = ctx;
    char text[TSM_SHARD_TEXT_MAX];
    tsm_compact_shard_text(text, shard->db, shard->rp, shard->shard);
    tsm_compact_note(c, text, code, err);
    if (code != TSM_OK)
        return;
    c->totals.expired++;
    c->totals.expired_bytes += shard->bytes;
    if (c->common.verbose)
        tsm_compact_say(c, "%s: expired, %" PRIu64 " files removed", text, shard->files);
}

int tsm_compact_expire(struct tsm_compact *c, struct tsm_expired_shard *shards, size_t n, struct tsm_err *err)
{
    struct tsm_retention r = {
        .fs = c->fs,
        .dir = c->common.data,
        .holder = c->holder,
        .now = tsm_now(),
        .done = on_expired,
        .ctx = c,
    };
    return tsm_retention_run(&r, shards, n, err);
}

/* ---- the end ----------------------------------------------------------------------------------- */

static double amplification(const struct tsm_compact_totals *t)
{
    return t->flushed ? (double)(t->figures.written_bytes + t->flushed) / (double)t->flushed : 1;
}

static void print_json(const struct tsm_compact_totals *t, double seconds)
{
    const struct tsm_compaction_figures *f = &t->figures;
    fprintf(stderr,
            "{\"shards\":%" PRIu64 ",\"compactions\":%" PRIu64 ",\"inputs\":%" PRIu64 ",\"outputs\":%" PRIu64
            ",\"moved\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"expired\":%" PRIu64
            ",\"copied_blocks\":%" PRIu64 ",\"joined_blocks\":%" PRIu64 ",\"merged_blocks\":%" PRIu64
            ",\"copied_bytes\":%" PRIu64 ",\"joined_bytes\":%" PRIu64 ",\"merged_bytes\":%" PRIu64 ",",
            t->shards, f->compactions, f->inputs, f->outputs, f->moved, f->dropped, t->expired, f->copied,
            f->joined, f->merged, f->copied_bytes, f->joined_bytes, f->merged_bytes);
    fprintf(stderr,
            "\"read_bytes\":%" PRIu64 ",\"written_bytes\":%" PRIu64 ",\"flushed_bytes\":%" PRIu64
            ",\"write_amplification\":%.3f,\"points\":%" PRIu64 ",\"overwritten\":%" PRIu64
            ",\"deleted\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"stale\":%" PRIu64 ",\"delayed\":%" PRIu64
            ",\"damaged\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"expired_bytes\":%" PRIu64
            ",\"seconds\":%.3f}\n",
            f->read_bytes, f->written_bytes, t->flushed, amplification(t), f->points, f->overwritten,
            f->deleted, t->skipped, t->stale, t->delayed, t->damaged, t->failed, t->expired_bytes, seconds);
}

void tsm_compact_summary(const struct tsm_compact *c)
{
    const struct tsm_compact_totals *t = &c->totals;
    const struct tsm_compaction_figures *f = &t->figures;
    double seconds = tsm_progress_seconds(&c->progress);
    if (c->common.summary) {
        print_json(t, seconds);
        return;
    }
    if (c->common.quiet || (!c->common.verbose && !isatty(STDERR_FILENO)))
        return;
    char copied[TSM_AMOUNT_MAX], joined[TSM_AMOUNT_MAX], merged[TSM_AMOUNT_MAX], written[TSM_AMOUNT_MAX];
    tsm_amount(copied, (double)f->copied_bytes);
    tsm_amount(joined, (double)f->joined_bytes);
    tsm_amount(merged, (double)f->merged_bytes);
    tsm_amount(written, (double)f->written_bytes);
    fprintf(stderr,
            "%s: %" PRIu64 " shards, %" PRIu64 " compactions: %" PRIu64 " files to %" PRIu64 ", %" PRIu64
            " moved, %" PRIu64 " dropped, %" PRIu64 " shards expired\n",
            c->program->name, t->shards, f->compactions, f->inputs, f->outputs, f->moved, f->dropped,
            t->expired);
    fprintf(stderr,
            "%s: blocks: %" PRIu64 " copied (%sB), %" PRIu64 " joined (%sB), %" PRIu64
            " merged (%sB); %sB written, write amplification %.2f, %.2f s\n",
            c->program->name, f->copied, copied, f->joined, joined, f->merged, merged, written,
            amplification(t), seconds);
}

int tsm_compact_status(const struct tsm_compact *c)
{
    const struct tsm_compact_totals *t = &c->totals;
    if (t->failed)
        return TSM_EXIT_FAILED;
    if (t->damaged)
        return TSM_EXIT_CORRUPT;
    return t->skipped + t->stale + t->delayed ? TSM_EXIT_LATER : TSM_EXIT_OK;
}
