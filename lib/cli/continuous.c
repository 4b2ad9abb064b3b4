/* cli/continuous.c: continuous queries for cron. */
#include "cli/continuous.h"

#include "base/time.h"
#include "query/continuous.h"
#include "query/directory.h"

#include "base/banned.h"

struct reporting {
    const struct tsm_program *program;
    uint64_t written;
};

static void report(void *ctx, const struct tsm_continuous_report *r)
{
    struct reporting *to = ctx;
    char from[TSM_TIME_TEXT_MAX], till[TSM_TIME_TEXT_MAX];
    int n = (int)tsm_format_rfc3339(from, r->start), m = (int)tsm_format_rfc3339(till, r->end);
    if (r->error) {
        tsm_complain(to->program, "continuous query %.*s on %.*s: %s", (int)r->name.n, r->name.p,
                     (int)r->database.n, r->database.p, r->error);
        return;
    }
    if (r->written > 0)
        to->written += (uint64_t)r->written;
    if (to->program->common->verbose)
        tsm_complain(to->program, "continuous query %.*s on %.*s: %.*s to %.*s, %lld points written, %.3f s",
                     (int)r->name.n, r->name.p, (int)r->database.n, r->database.p, n, from, m, till,
                     (long long)r->written, (double)r->took / 1e9);
}

int tsm_cli_continuous(const struct tsm_program *program, const struct tsm_query_options *query,
                       uint64_t *rows, struct tsm_err *err)
{
    struct tsm_directory_options place = {
        .fs = query->fs,
        .dir = query->dir,
        .program = program->name,
        .memory = query->memory,
        .jobs = query->jobs,
        .damage = &query->damage,
    };
    struct tsm_directory *directory = tsm_directory_new(&place);
    struct tsm_query_options over = *query;
    over.backend = tsm_directory_backend(directory);
    struct reporting reporting = {.program = program};
    struct tsm_continuous_options opt = {
        .query = &over, .at_once = true, .report = report, .ctx = &reporting};
    struct tsm_continuous_runs *runs = NULL;
    struct tsm_err last = {0};
    int rc = tsm_continuous_runs_load(query->fs, query->dir, &runs, err);
    int ran = rc == TSM_OK ? tsm_continuous_run(&opt, query->now, runs, err) : rc;
    rc = tsm_directory_close(directory, &last);
    if (rc == TSM_OK && ran != TSM_ENOTFOUND) /* a run is remembered when its points are in files */
        rc = tsm_continuous_runs_save(query->fs, query->dir, runs, &last);
    if (ran == TSM_OK && rc != TSM_OK && err)
        *err = last;
    tsm_continuous_runs_free(runs);
    *rows = reporting.written;
    return ran == TSM_OK ? rc : ran;
}
