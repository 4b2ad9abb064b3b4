/* cli/inspect_repair.c: tsm-inspect repair: a line on stdout for each damaged file, what was kept and what was lost. */
#include "cli/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "store/repair.h"
#include "base/banned.h"

static int print_repaired(void *ctx, const struct tsm_repaired *what, struct tsm_err *err)
{
    struct tsm_inspect *in = ctx;
    struct tsm_buf *out = &in->out.buf;
    tsm_buf_printf(out, "%s: ", what->fault);
    if (what->left) {
        tsm_buf_puts(out, "this cannot be repaired\n");
        return tsm_output_flush(&in->out, err);
    }
    tsm_buf_printf(out, "%" PRIu64 " %s%s kept, %" PRIu64 " lost%s", what->kept, what->unit,
                   what->kept == 1 ? "" : "s", what->lost, what->uncertain ? " for certain" : "");
    if (what->aside)
        tsm_buf_printf(out, "; the damaged file is %s", what->aside);
    tsm_buf_byte(out, '\n');
    return tsm_output_flush(&in->out, err);
}

int tsm_inspect_repair(struct tsm_inspect *in, int *status, struct tsm_err *err)
{
    char holder[64];
    snprintf(holder, sizeof holder, "%s, process %ld", in->program->name, (long)getpid());
    struct tsm_repair r = {
        .fs = in->fs, .holder = holder, .dry_run = in->dry_run, .report = print_repaired, .ctx = in};
    int rc = TSM_OK;
    for (size_t i = 0; i < in->noperands && rc == TSM_OK; i++)
        rc = tsm_repair_path(&r, in->operands[i], err);
    if (in->common.summary)
        fprintf(stderr, "{\"files\":%" PRIu64 ",\"damaged\":%" PRIu64 ",\"lossy\":%" PRIu64 "}\n", r.files,
                r.damaged, r.lossy);
    else if (rc == TSM_OK)
        tsm_inspect_say(in,
                        "%" PRIu64 " files looked at, %" PRIu64 " damaged, %s%" PRIu64 " of them with a loss",
                        r.files, r.damaged, in->dry_run && r.damaged ? "to be repaired; " : "", r.lossy);
    if (r.lossy || (in->dry_run && r.damaged))
        *status = TSM_EXIT_CORRUPT;
    return rc;
}
