/* cli/inspect.c: what the commands of tsm-inspect share. */
#include "cli/inspect.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/list_json.h"
#include "result/writer.h"
#include "store/data_dir.h"
#include "base/banned.h"

static void report_damage(void *ctx, const char *message)
{
    struct tsm_inspect *in = ctx;
    __atomic_add_fetch(&in->skipped, 1, __ATOMIC_RELAXED);
    tsm_complain(in->program, "left out: %s", message);
}

void tsm_inspect_start(struct tsm_inspect *in)
{
    tsm_output_init(&in->out, STDOUT_FILENO);
    in->damage = (struct tsm_damage){.skip = in->skip_corrupt, .report = report_damage, .ctx = in};
    in->jobs = tsm_jobs(in->program);
    if (!in->common.data)
        in->common.data = "tsm-data";
    if (in->noperands == 0) {
        in->operands = (char **)&in->common.data;
        in->noperands = 1;
    }
}

struct tsm_str tsm_inspect_database(const struct tsm_inspect *in, const char *operand)
{
    const char *name = in->common.database;
    if (name && name == getenv("TSM_DB") && !tsm_is_data_dir(in->fs, operand))
        name = NULL;
    return tsm_str_of(name);
}

int tsm_inspect_sources(struct tsm_inspect *in, struct tsm_sources *s, struct tsm_err *err)
{
    struct tsm_err unflushed;
    *s = (struct tsm_sources){0};
    for (size_t i = 0; i < in->noperands; i++) {
        if (tsm_data_unflushed(in->fs, in->operands[i], &unflushed) != TSM_OK)
            tsm_inspect_say(in, "warning: %s", unflushed.msg);
        struct tsm_str db = tsm_inspect_database(in, in->operands[i]);
        int r = tsm_sources_add(in->fs, in->operands[i], db, tsm_str_of(in->common.rp), s, err);
        if (r != TSM_OK) {
            tsm_sources_release(s);
            return r;
        }
    }
    return TSM_OK;
}

bool tsm_inspect_same_place(const struct tsm_source *a, const struct tsm_source *b)
{
    return tsm_str_eq(a->db, b->db) && tsm_str_eq(a->rp, b->rp);
}

int tsm_inspect_refuse_mixture(const struct tsm_inspect *in, const struct tsm_sources *s, struct tsm_err *err)
{
    for (size_t i = 1; i < s->n && !in->header; i++)
        if (!tsm_inspect_same_place(&s->items[0], &s->items[i]))
            return tsm_err_set(
                err, TSM_EUSAGE,
                "'%.*s.%.*s' and '%.*s.%.*s' would be mixed: choose with -b and -p, or mark them with "
                "--header",
                (int)s->items[0].db.n, s->items[0].db.p, (int)s->items[0].rp.n, s->items[0].rp.p,
                (int)s->items[i].db.n, s->items[i].db.p, (int)s->items[i].rp.n, s->items[i].rp.p);
    return TSM_OK;
}

void tsm_inspect_add_header(struct tsm_inspect *in, const struct tsm_source *s, bool first)
{
    struct tsm_buf *out = &in->out.buf;
    if (first)
        tsm_buf_puts(out, "# DML\n");
    if (s->db.n == 0)
        return;
    tsm_buf_printf(out, "# CONTEXT-DATABASE:%.*s\n", (int)s->db.n, s->db.p);
    tsm_buf_printf(out, "# CONTEXT-RETENTION-POLICY:%.*s\n", (int)s->rp.n, s->rp.p);
}

struct tsm_sink *tsm_inspect_open_sink(struct tsm_inspect *in, const char *format)
{
    const char *name = in->format ? in->format : format;
    if (strcmp(name, "json") == 0)
        return tsm_list_json_new(&in->out, "total");
    struct tsm_result_options opt = {.header = true};
    tsm_format_by_name(tsm_str_of(name), &opt.format);
    struct tsm_sink *s = tsm_result_writer_new(&opt, &in->out);
    s->statement_begin(s, 0, NULL);
    return s;
}

int tsm_inspect_close_sink(struct tsm_inspect *in, struct tsm_sink *s, const char *format, int code,
                           struct tsm_err *err)
{
    const char *name = in->format ? in->format : format;
    bool json = strcmp(name, "json") == 0;
    if (code != TSM_OK) {
        if (json)
            tsm_list_json_free(s);
        else
            tsm_result_writer_free(s);
        return code;
    }
    if (json)
        return tsm_list_json_finish(s, err);
    code = s->statement_end(s, NULL, err);
    if (code == TSM_OK)
        return tsm_result_writer_finish(s, err);
    tsm_result_writer_free(s);
    return code;
}

void tsm_inspect_say(const struct tsm_inspect *in, const char *fmt, ...)
{
    if (in->common.quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s: ", in->program->name);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}
