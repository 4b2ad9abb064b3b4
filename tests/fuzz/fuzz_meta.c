/* tests/fuzz/fuzz_meta.c: any bytes as meta.db; what is read is written, read again and written the same. */
#include <stdlib.h>

#include "format/meta_db.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tsm_meta m, again;
    struct tsm_buf a = {0}, b = {0};
    struct tsm_err err;
    if (tsm_meta_decode(p, n, &m, &err) == TSM_OK) {
        bool created;
        tsm_meta_encode(&m, &a);
        if (tsm_meta_decode(a.data, a.len, &again, &err))
            abort();
        tsm_meta_encode(&again, &b);
        if (!tsm_str_eq(tsm_buf_view(&a), tsm_buf_view(&b)))
            abort();
        for (size_t d = 0; d < again.ndatabases; d++) {
            for (size_t r = 0; r < again.databases[d].nrps; r++) {
                struct tsm_rp *rp = &again.databases[d].rps[r];
                for (int i = -1; i <= 1; i++) {
                    int64_t t = i * (INT64_MAX - 1);
                    const struct tsm_shard_group *g = tsm_meta_group_for(&again, rp, t, &created);
                    if (t < g->start || t >= g->end)
                        abort();
                }
            }
        }
        tsm_meta_release(&m);
        tsm_meta_release(&again);
    }
    tsm_buf_release(&a);
    tsm_buf_release(&b);
    return 0;
}
