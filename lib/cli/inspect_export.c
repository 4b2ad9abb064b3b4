/* cli/inspect_export.c: tsm-inspect export: all points as line protocol on stdout. */
#include "cli/inspect.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/num.h"
#include "base/time.h"
#include "store/export.h"
#include "base/banned.h"

static int write_lines(void *ctx, struct tsm_str text, struct tsm_err *err)
{
    struct tsm_inspect *in = ctx;
    tsm_buf_str(&in->out.buf, text);
    return tsm_output_check(&in->out, err);
}

/* RFC 3339, a date, or nanoseconds since 1970. */
static int read_time(const char *option, const char *text, int64_t *t, struct tsm_err *err)
{
    struct tsm_str s = tsm_str_of(text);
    if (!text || tsm_parse_int(s, t) || tsm_parse_time(s, t))
        return TSM_OK;
    return tsm_err_set(err, TSM_EUSAGE, "option --%s: '%s' is not a time such as 2006-01-02T15:04:05Z",
                       option, text);
}

static int read_range(const struct tsm_inspect *in, struct tsm_export *e, struct tsm_err *err)
{
    int64_t end = INT64_MAX;
    e->tmin = INT64_MIN;
    int c = read_time("start", in->start, &e->tmin, err);
    if (c == TSM_OK)
        c = read_time("end", in->end, &end, err);
    e->tmax = in->end && end > INT64_MIN ? end - 1 : end;
    if (c == TSM_OK && e->tmin > e->tmax)
        c = tsm_err_set(err, TSM_EUSAGE, "option --end: not after --start");
    return c;
}

static int export_source(struct tsm_inspect *in, struct tsm_export *e, const struct tsm_source *s,
                         struct tsm_err *err)
{
    struct tsm_shard *shard;
    if (in->common.verbose)
        tsm_inspect_say(in, "exporting %s", s->path ? s->path : "files");
    int c = tsm_source_open(in->fs, s, &in->damage, &shard, err);
    if (c != TSM_OK)
        return c;
    c = tsm_export_shard(e, shard, err);
    tsm_shard_close(shard);
    return c;
}

int tsm_inspect_export(struct tsm_inspect *in, int *status, struct tsm_err *err)
{
    struct tsm_sources s;
    struct tsm_export e = {
        .jobs = in->jobs,
        .damage = &in->damage,
        .write = write_lines,
        .ctx = in,
    };
    int c = read_range(in, &e, err);
    if (c == TSM_OK)
        c = tsm_inspect_sources(in, &s, err);
    if (c != TSM_OK)
        return c;
    c = tsm_inspect_refuse_mixture(in, &s, err);
    for (size_t i = 0; i < s.n && c == TSM_OK; i++) {
        if (in->header && (i == 0 || !tsm_inspect_same_place(&s.items[i - 1], &s.items[i])))
            tsm_inspect_add_header(in, &s.items[i], i == 0);
        c = export_source(in, &e, &s.items[i], err);
    }
    tsm_sources_release(&s);
    if (c == TSM_OK && in->common.summary)
        fprintf(stderr,
                "{\"lines\":%" PRIu64 ",\"values\":%" PRIu64 ",\"shards\":%zu,\"left_out\":%" PRIu64 "}\n",
                e.lines, e.values, s.n, in->skipped);
    *status = in->skipped ? TSM_EXIT_CORRUPT : TSM_EXIT_OK;
    return c;
}
