/* tests/fuzz/fuzz_plan.c: any bytes as a line of a plan; what is read is printed, read again and printed the same. */
#include <stdlib.h>

#include "store/compaction.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool same(const struct tsm_compaction *a, const struct tsm_compaction *b)
{
    if (a->action != b->action || !tsm_str_eq(a->db, b->db) || !tsm_str_eq(a->rp, b->rp) ||
        a->shard != b->shard || a->ninputs != b->ninputs || tsm_file_name_compare(a->output, b->output) != 0)
        return false;
    for (size_t i = 0; i < a->ninputs; i++)
        if (tsm_file_name_compare(a->inputs[i], b->inputs[i]) != 0)
            return false;
    return a->copy == b->copy && a->join == b->join && a->merge == b->merge && a->bytes == b->bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tsm_arena arena = {0};
    struct tsm_compaction c, again;
    struct tsm_buf text = {0};
    struct tsm_err err = {0};
    if (tsm_compaction_parse(tsm_str((const char *)p, n), &arena, &c, &err) == TSM_OK) {
        tsm_compaction_print(&text, &c);
        if (text.len == 0 || text.data[text.len - 1] != '\n' || memchr(text.data, '\n', text.len - 1))
            abort();
        if (tsm_compaction_parse(tsm_str((const char *)text.data, text.len - 1), &arena, &again, &err) ||
            !same(&c, &again))
            abort();
    } else if (err.code != TSM_EPARSE || strncmp(err.msg, "column ", 7) != 0) {
        abort();
    }
    tsm_buf_release(&text);
    tsm_arena_release(&arena);
    return 0;
}
