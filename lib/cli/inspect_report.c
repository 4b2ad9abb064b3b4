/* cli/inspect_report.c: tsm-inspect report: series, cardinality, values, bytes and encodings. */
#include "cli/inspect.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/rowset.h"
#include "store/report.h"
#include "base/banned.h"

enum { DEFAULT_TOP = 20 };

static double ratio(uint64_t bytes, uint64_t values)
{
    /* Three decimals: more would only look exact. */
    return values ? (double)(int64_t)((double)bytes / (double)values * 1000 + 0.5) / 1000 : 0;
}

static int list_total(const struct tsm_report_view *v, struct tsm_sink *sink, struct tsm_err *err)
{
    struct tsm_rowset r;
    int c = tsm_rowset_begin(
        &r, sink, TSM_STR("total"), false,
        "shards:i files:i bytes:i measurements:i series:i blocks:i values:i bytes_per_value:f "
        "first:t last:t",
        err);
    tsm_rowset_int(&r, (int64_t)v->shards);
    tsm_rowset_int(&r, (int64_t)v->files);
    tsm_rowset_int(&r, (int64_t)v->file_bytes);
    tsm_rowset_int(&r, (int64_t)v->nmeasurements);
    tsm_rowset_int(&r, (int64_t)v->series);
    tsm_rowset_int(&r, (int64_t)v->blocks);
    tsm_rowset_int(&r, (int64_t)v->values);
    tsm_rowset_float(&r, ratio(v->file_bytes, v->values));
    tsm_rowset_time(&r, v->files ? v->tmin : 0);
    tsm_rowset_time(&r, v->files ? v->tmax : 0);
    if (c == TSM_OK)
        c = tsm_rowset_next(&r, err);
    return tsm_rowset_end(&r, c, err);
}

static int list_encodings(const struct tsm_report_view *v, struct tsm_sink *sink, struct tsm_err *err)
{
    struct tsm_rowset r;
    int c = tsm_rowset_begin(
        &r, sink, TSM_STR("encodings"), true,
        "type:s time_encoding:s value_encoding:s blocks:i values:i time_bytes:i value_bytes:i "
        "bytes_per_value:f",
        err);
    for (size_t i = 0; i < v->nencodings && c == TSM_OK; i++) {
        const struct tsm_report_encoding *e = &v->encodings[i];
        tsm_rowset_text(&r, tsm_str_of(tsm_type_name(e->type)));
        tsm_rowset_text(&r, tsm_str_of(e->time_encoding));
        tsm_rowset_text(&r, tsm_str_of(e->value_encoding));
        tsm_rowset_int(&r, (int64_t)e->blocks);
        tsm_rowset_int(&r, (int64_t)e->values);
        tsm_rowset_int(&r, (int64_t)e->time_bytes);
        tsm_rowset_int(&r, (int64_t)e->value_bytes);
        tsm_rowset_float(&r, ratio(e->time_bytes + e->value_bytes, e->values));
        c = tsm_rowset_next(&r, err);
    }
    return tsm_rowset_end(&r, c, err);
}

static int list_measurements(const struct tsm_report_view *v, uint64_t top, struct tsm_sink *sink,
                             struct tsm_err *err)
{
    struct tsm_rowset r;
    int c = tsm_rowset_begin(&r, sink, TSM_STR("measurements"), true,
                             "database:s measurement:s series:i tags:i fields:i blocks:i values:i bytes:i "
                             "bytes_per_value:f",
                             err);
    for (size_t i = 0; i < v->nmeasurements && i < top && c == TSM_OK; i++) {
        const struct tsm_report_measurement *m = &v->measurements[i];
        tsm_rowset_text(&r, m->db);
        tsm_rowset_text(&r, m->name);
        tsm_rowset_int(&r, (int64_t)m->series);
        tsm_rowset_int(&r, (int64_t)m->tags);
        tsm_rowset_int(&r, (int64_t)m->fields);
        tsm_rowset_int(&r, (int64_t)m->blocks);
        tsm_rowset_int(&r, (int64_t)m->values);
        tsm_rowset_int(&r, (int64_t)m->bytes);
        tsm_rowset_float(&r, ratio(m->bytes, m->values));
        c = tsm_rowset_next(&r, err);
    }
    return tsm_rowset_end(&r, c, err);
}

static int list_tags(const struct tsm_report_view *v, uint64_t top, struct tsm_sink *sink,
                     struct tsm_err *err)
{
    struct tsm_rowset r;
    int c = tsm_rowset_begin(&r, sink, TSM_STR("tags"), true,
                             "database:s measurement:s tag:s values:i series:i", err);
    for (size_t i = 0; i < v->ntags && i < top && c == TSM_OK; i++) {
        const struct tsm_report_tag *t = &v->tags[i];
        tsm_rowset_text(&r, t->db);
        tsm_rowset_text(&r, t->measurement);
        tsm_rowset_text(&r, t->name);
        tsm_rowset_int(&r, (int64_t)t->values);
        tsm_rowset_int(&r, (int64_t)t->series);
        c = tsm_rowset_next(&r, err);
    }
    return tsm_rowset_end(&r, c, err);
}

static int print_report(struct tsm_inspect *in, const struct tsm_report_view *v, struct tsm_err *err)
{
    uint64_t top = in->top ? in->top : DEFAULT_TOP;
    struct tsm_sink *sink = tsm_inspect_open_sink(in, "table");
    int c = list_total(v, sink, err);
    if (c == TSM_OK)
        c = list_encodings(v, sink, err);
    if (c == TSM_OK)
        c = list_measurements(v, top, sink, err);
    if (c == TSM_OK)
        c = list_tags(v, top, sink, err);
    return tsm_inspect_close_sink(in, sink, "table", c, err);
}

int tsm_inspect_report(struct tsm_inspect *in, int *status, struct tsm_err *err)
{
    struct tsm_sources s;
    int c = tsm_inspect_sources(in, &s, err);
    if (c != TSM_OK)
        return c;
    struct tsm_report *r = tsm_report_new();
    for (size_t i = 0; i < s.n && c == TSM_OK; i++) {
        struct tsm_shard *shard;
        if (in->common.verbose)
            tsm_inspect_say(in, "reading %s", s.items[i].path ? s.items[i].path : "files");
        c = tsm_source_open(in->fs, &s.items[i], &in->damage, &shard, err);
        if (c == TSM_OK) {
            c = tsm_report_add(r, s.items[i].db, shard, in->jobs, err);
            tsm_shard_close(shard);
        }
    }
    if (c == TSM_OK) {
        const struct tsm_report_view *v = tsm_report_finish(r);
        c = print_report(in, v, err);
        if (c == TSM_OK && in->common.summary)
            fprintf(stderr,
                    "{\"shards\":%" PRIu64 ",\"files\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"series\":%" PRIu64
                    ",\"values\":%" PRIu64 ",\"left_out\":%" PRIu64 "}\n",
                    v->shards, v->files, v->file_bytes, v->series, v->values, in->skipped);
    }
    tsm_report_free(r);
    tsm_sources_release(&s);
    *status = in->skipped ? TSM_EXIT_CORRUPT : TSM_EXIT_OK;
    return c;
}
