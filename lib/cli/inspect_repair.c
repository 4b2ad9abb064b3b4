/* cli/inspect_repair.c: tsm-inspect repair: a row for each damaged file on stdout, what was lost in it on stderr. */
#include "cli/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "cli/rowset.h"
#include "store/repair.h"
#include "base/banned.h"

#define COLUMNS                                                                                    \
    "file:s result:s keys:i blocks:i values:i lost_keys:i lost_blocks:i lost_bytes:i lost_from:s " \
    "lost_to:s kept_as:s cause:s"

struct repairing {
    struct tsm_inspect *in;
    struct tsm_sink *sink;
    struct tsm_rowset rows;
    bool begun; /* with the first damaged file: else there is nothing to say */
};

static int begin(struct repairing *p, struct tsm_err *err)
{
    bool json = p->in->format && strcmp(p->in->format, "json") == 0;
    p->begun = true;
    return tsm_rowset_begin(&p->rows, p->sink, json ? TSM_STR("damaged") : TSM_STR(""), false, COLUMNS, err);
}

static void add_time(struct tsm_rowset *rows, bool known, int64_t t)
{
    char text[TSM_TIME_TEXT_MAX];
    tsm_rowset_text(rows, tsm_str(text, known ? tsm_format_rfc3339(text, t) : 0));
}

static int print_file(void *ctx, const struct tsm_repaired *f, struct tsm_err *err)
{
    struct repairing *p = ctx;
    struct tsm_rowset *rows = &p->rows;
    bool range = f->lost_tmin <= f->lost_tmax;
    int rc = p->begun ? TSM_OK : begin(p, err);
    if (rc != TSM_OK)
        return rc;
    if (f->state == TSM_REPAIR_IMPOSSIBLE)
        tsm_complain(p->in->program, "%s: cannot be repaired: %s", f->path, f->cause);
    if (f->state == TSM_REPAIR_NOTHING)
        tsm_complain(p->in->program, "%s: nothing in it can be saved", f->path);
    if (f->warning)
        tsm_complain(p->in->program, "%s: %s", f->path, f->warning);
    tsm_rowset_text(rows, tsm_str_of(f->path));
    tsm_rowset_text(rows, tsm_str_of(tsm_repair_state_name(f->state)));
    tsm_rowset_int(rows, (int64_t)f->keys);
    tsm_rowset_int(rows, (int64_t)f->blocks);
    tsm_rowset_int(rows, (int64_t)f->values);
    tsm_rowset_int(rows, (int64_t)f->lost_keys);
    tsm_rowset_int(rows, (int64_t)f->lost_blocks);
    tsm_rowset_int(rows, (int64_t)f->lost_bytes);
    add_time(rows, range, f->lost_tmin);
    add_time(rows, range, f->lost_tmax);
    tsm_rowset_text(rows, f->kept_as ? tsm_str_of(f->kept_as) : TSM_STR(""));
    tsm_rowset_text(rows, tsm_str_of(f->cause));
    return tsm_rowset_next(rows, err);
}

static void print_lost(void *ctx, const char *line)
{
    struct repairing *p = ctx;
    tsm_inspect_say(p->in, "%s", line);
}

static void say_result(const struct tsm_inspect *in, const struct tsm_repair *r)
{
    if (in->common.summary)
        fprintf(stderr, "{\"files\":%" PRIu64 ",\"damaged\":%" PRIu64 ",\"lossy\":%" PRIu64 "}\n", r->files,
                r->damaged, r->lossy);
    else if (r->damaged == 0)
        tsm_inspect_say(in, "%" PRIu64 " files are sound", r->files);
    else
        tsm_inspect_say(in, "%s%" PRIu64 " of %" PRIu64 " files %s damaged; %s",
                        r->dry_run ? "dry run: " : "", r->damaged, r->files, r->damaged == 1 ? "is" : "are",
                        r->lossy ? "something is lost" : "nothing is lost");
}

int tsm_inspect_repair(struct tsm_inspect *in, int *status, struct tsm_err *err)
{
    struct repairing p = {.in = in};
    char holder[64];
    snprintf(holder, sizeof holder, "tsm-inspect, process %ld", (long)getpid());
    struct tsm_repair r = {
        .fs = in->fs,
        .holder = holder,
        .dry_run = in->dry_run,
        .report = print_file,
        .lost = print_lost,
        .ctx = &p,
    };
    int rc = TSM_OK;
    p.sink = tsm_inspect_open_sink(in, "table");
    for (size_t i = 0; i < in->noperands && rc == TSM_OK; i++) {
        r.db = tsm_inspect_database(in, in->operands[i]);
        r.rp = tsm_str_of(in->common.rp);
        rc = tsm_repair_path(&r, in->operands[i], err);
    }
    struct tsm_err other = {0};
    struct tsm_err *why = rc == TSM_OK ? err : &other;
    int ended = p.begun ? tsm_rowset_end(&p.rows, TSM_OK, why)
                        : TSM_OK; /* what was done is told in any case */
    ended = tsm_inspect_close_sink(in, p.sink, "table", ended, why);
    if (rc == TSM_OK || r.files > 0)
        say_result(in, &r);
    *status = r.lossy || (r.dry_run && r.damaged) ? TSM_EXIT_CORRUPT : TSM_EXIT_OK;
    return rc != TSM_OK ? rc : ended;
}
