/* cli/inspect_verify.c: tsm-inspect verify: one line per fault on stdout, the rest on stderr. */
#include "cli/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdbool.h>

#include "store/verify.h"
#include "base/banned.h"

struct printing {
    struct tsm_inspect *in;
    bool failed; /* stdout */
};

static int print_finding(void *ctx, enum tsm_finding kind, const char *line, struct tsm_err *err)
{
    struct printing *p = ctx;
    if (kind == TSM_FINDING_NOTE) {
        tsm_inspect_say(p->in, "note: %s", line);
        return TSM_OK;
    }
    if (kind == TSM_FINDING_UNREADABLE) {
        tsm_complain(p->in->program, "%s", line);
        return TSM_OK;
    }
    tsm_buf_printf(&p->in->out.buf, "%s\n", line);
    int r = tsm_output_flush(&p->in->out, err); /* at once: a run over a large directory takes its time */
    p->failed = r != TSM_OK;
    return r;
}

/* "1 block", "2 blocks" */
static void add_count(struct tsm_buf *b, const char *before, uint64_t n, const char *what)
{
    tsm_buf_printf(b, "%s%" PRIu64 " %s%s", before, n, what, n == 1 ? "" : "s");
}

static void say_result(const struct tsm_inspect *in, const struct tsm_verify_stats *s)
{
    struct tsm_buf b = {0};
    if (s->files) {
        add_count(&b, "; ", s->files, "TSM file");
        add_count(&b, " of ", s->bytes, "byte");
        add_count(&b, " with ", s->keys, "key");
        add_count(&b, ", ", s->blocks, "block");
        add_count(&b, ", ", s->values, "value");
    }
    if (s->tombstones)
        add_count(&b, "; ", s->tombstones, "tombstone file");
    if (s->segments)
        add_count(&b, "; ", s->segments, "log segment");
    if (s->metas)
        tsm_buf_puts(&b, "; meta.db");
    if (b.len == 0)
        tsm_buf_puts(&b, "; nothing");
    if (s->faults + s->unreadable == 0)
        tsm_buf_puts(&b, ": sound");
    else
        add_count(&b, "; ", s->faults, "fault"); /* of all, not of the last in the list */
    if (s->unreadable)
        tsm_buf_printf(&b, ", %" PRIu64 " not readable", s->unreadable);
    tsm_inspect_say(in, "%s", tsm_buf_cstr(&b) + 2);
    tsm_buf_release(&b);
}

static void print_summary(const struct tsm_inspect *in, const struct tsm_verify_stats *s)
{
    if (!in->common.summary)
        return;
    fprintf(stderr,
            "{\"files\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"keys\":%" PRIu64 ",\"blocks\":%" PRIu64
            ",\"values\":%" PRIu64 ",\"tombstones\":%" PRIu64 ",\"segments\":%" PRIu64 ",\"metas\":%" PRIu64
            ",\"faults\":%" PRIu64 ",\"unreadable\":%" PRIu64 ",\"notes\":%" PRIu64 "}\n",
            s->files, s->bytes, s->keys, s->blocks, s->values, s->tombstones, s->segments, s->metas,
            s->faults, s->unreadable, s->notes);
}

int tsm_inspect_verify(struct tsm_inspect *in, int *status, struct tsm_err *err)
{
    struct printing p = {.in = in};
    struct tsm_verify v = {
        .fs = in->fs,
        .jobs = in->jobs,
        .report = print_finding,
        .ctx = &p,
    };
    for (size_t i = 0; i < in->noperands; i++) {
        struct tsm_err failure;
        if (in->common.verbose)
            tsm_inspect_say(in, "verifying %s", in->operands[i]);
        v.db = tsm_inspect_database(in, in->operands[i]);
        v.rp = tsm_str_of(in->common.rp);
        int r = tsm_verify_path(&v, in->operands[i], &failure);
        if (p.failed || r == TSM_EUSAGE)
            return tsm_err_set(err, r, "%s", failure.msg);
        if (r != TSM_OK) { /* the other operands are verified all the same */
            tsm_complain(in->program, "%s", failure.msg);
            v.stats.unreadable++;
        }
    }
    say_result(in, &v.stats);
    print_summary(in, &v.stats);
    *status = v.stats.faults ? TSM_EXIT_CORRUPT : v.stats.unreadable ? TSM_EXIT_FAILED : TSM_EXIT_OK;
    return TSM_OK;
}
