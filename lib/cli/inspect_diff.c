/* cli/inspect_diff.c: tsm-inspect diff: what has to be written into one directory to make it hold what another has. */
#include "cli/inspect.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "store/difference.h"
#include "base/banned.h"

static int write_lines(void *ctx, struct tsm_str text, struct tsm_err *err)
{
    struct tsm_inspect *in = ctx;
    tsm_buf_str(&in->out.buf, text);
    return tsm_output_check(&in->out, err);
}

/* The shards of one database and policy. */
struct opened {
    struct tsm_shard **shards;
    size_t n;
};

static void close_shards(struct opened *o)
{
    for (size_t i = 0; i < o->n; i++)
        tsm_shard_close(o->shards[i]);
    tsm_free(o->shards);
    *o = (struct opened){0};
}

static int open_shards(struct tsm_inspect *in, const struct tsm_sources *s, const struct tsm_source *place,
                       struct opened *o, struct tsm_err *err)
{
    int rc = TSM_OK;
    *o = (struct opened){.shards = tsm_calloc(s->n, sizeof *o->shards)};
    for (size_t i = 0; i < s->n && rc == TSM_OK; i++) {
        if (!tsm_inspect_same_place(&s->items[i], place))
            continue;
        rc = tsm_source_open(in->fs, &s->items[i], &in->damage, &o->shards[o->n], err);
        o->n += rc == TSM_OK;
    }
    return rc;
}

static bool has_place(const struct tsm_sources *s, size_t n, const struct tsm_source *place)
{
    for (size_t i = 0; i < n; i++)
        if (tsm_inspect_same_place(&s->items[i], place))
            return true;
    return false;
}

static int compare_place(struct tsm_inspect *in, struct tsm_difference *d, const struct tsm_sources *a,
                         const struct tsm_source *in_a, const struct tsm_sources *b,
                         const struct tsm_source *in_b, struct tsm_err *err)
{
    struct opened x, y = {0};
    int rc = open_shards(in, a, in_a, &x, err);
    if (rc == TSM_OK)
        rc = open_shards(in, b, in_b, &y, err);
    if (rc == TSM_OK)
        rc = tsm_difference_run(d, x.shards, x.n, y.shards, y.n, err);
    close_shards(&x);
    close_shards(&y);
    return rc;
}

/* All sources stand for one place: so that a data directory can be compared with loose files. */
static bool is_one_place(const struct tsm_sources *s)
{
    for (size_t i = 1; i < s->n; i++)
        if (!tsm_inspect_same_place(&s->items[0], &s->items[i]))
            return false;
    return s->n > 0;
}

static int compare_all(struct tsm_inspect *in, struct tsm_difference *d, const struct tsm_sources *a,
                       const struct tsm_sources *b, struct tsm_err *err)
{
    int rc = TSM_OK;
    if (is_one_place(a) && is_one_place(b))
        return compare_place(in, d, a, &a->items[0], b, &b->items[0], err);
    for (size_t i = 0; i < a->n && rc == TSM_OK; i++) /* what only the first has */
        if (!has_place(a, i, &a->items[i]) && !has_place(b, b->n, &a->items[i]))
            rc = compare_place(in, d, a, &a->items[i], b, &a->items[i], err);
    for (size_t i = 0; i < b->n && rc == TSM_OK; i++) {
        if (has_place(b, i, &b->items[i]))
            continue;
        if (in->header)
            tsm_inspect_add_header(in, &b->items[i], i == 0);
        rc = compare_place(in, d, a, &b->items[i], b, &b->items[i], err);
    }
    return rc;
}

static int add_sources(struct tsm_inspect *in, const char *operand, struct tsm_sources *s,
                       struct tsm_err *err)
{
    *s = (struct tsm_sources){0};
    int rc = tsm_sources_add(in->fs, operand, tsm_inspect_database(in, operand), tsm_str_of(in->common.rp), s,
                             err);
    if (rc == TSM_ENOTFOUND && tsm_is_data_dir(in->fs, operand)) /* it has nothing yet of what was chosen */
        rc = TSM_OK;
    if (rc == TSM_OK)
        rc = tsm_inspect_refuse_mixture(in, s, err);
    return rc;
}

int tsm_inspect_diff(struct tsm_inspect *in, int *status, struct tsm_err *err)
{
    struct tsm_sources a, b = {0};
    struct tsm_difference d = {.write = write_lines, .ctx = in};
    if (in->noperands != 2)
        return tsm_err_set(err, TSM_EUSAGE, "diff needs two operands: tsm-inspect diff A B");
    int rc = add_sources(in, in->operands[0], &a, err);
    if (rc == TSM_OK)
        rc = add_sources(in, in->operands[1], &b, err);
    if (rc == TSM_OK && a.n + b.n == 0 && (in->common.database || in->common.rp))
        rc = tsm_err_set(err, TSM_ENOTFOUND, "neither %s nor %s has such points", in->operands[0],
                         in->operands[1]);
    if (rc == TSM_OK)
        rc = compare_all(in, &d, &a, &b, err);
    tsm_sources_release(&a);
    tsm_sources_release(&b);
    if (rc != TSM_OK)
        return rc;
    if (in->common.summary)
        fprintf(stderr,
                "{\"equal\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"different\":%" PRIu64 ",\"extra\":%" PRIu64
                ",\"left_out\":%" PRIu64 "}\n",
                d.equal, d.missing, d.different, d.extra, in->skipped);
    else
        tsm_inspect_say(in,
                        "%" PRIu64 " values are equal, %" PRIu64 " are only in %s, %" PRIu64
                        " differ, %" PRIu64 " are only in %s",
                        d.equal, d.missing, in->operands[1], d.different, d.extra, in->operands[0]);
    if (in->skipped)
        *status = TSM_EXIT_CORRUPT;
    else if (in->exit_status && d.missing + d.different + d.extra == 0)
        *status = TSM_EXIT_NOTHING;
    return TSM_OK;
}
