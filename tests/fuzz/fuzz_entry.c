/* Entries of the raft log from any bytes: nothing is read out of bounds, and what is accepted can be encoded again. */
#include <stdlib.h>

#include "base/alloc.h"
#include "cluster/entry.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode_again(const struct tsm_raft_entry *entry, const struct tsm_points *points)
{
    struct tsm_entry_encoder *e = tsm_entry_encoder_new();
    struct tsm_raft_entry again;
    struct tsm_buf unpacked = {0}, why = {0};
    struct tsm_points copy = {0};
    size_t len;
    for (size_t i = 0; i < points->n; i++)
        if (!tsm_entry_can_hold(points, &points->points[i], &why))
            abort();
    uint8_t *p = tsm_entry_batch(e, entry->db, entry->rp, points, 0, points->n, &len);
    if (tsm_entry_decode(p, len, &again, NULL) != TSM_OK || !tsm_str_eq(again.db, entry->db) ||
        !tsm_str_eq(again.rp, entry->rp) || tsm_entry_points(&again, &unpacked, &copy, NULL) != TSM_OK ||
        copy.n != points->n || copy.nfields != points->nfields)
        abort();
    tsm_free(p);
    tsm_points_release(&copy);
    tsm_buf_release(&unpacked);
    tsm_buf_release(&why);
    tsm_entry_encoder_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tsm_raft_entry entry;
    struct tsm_buf unpacked = {0};
    struct tsm_points points = {0};
    if (tsm_entry_decode(data, size, &entry, NULL) == TSM_OK && entry.kind == TSM_ENTRY_BATCH &&
        entry.size <= 1 << 20 && tsm_entry_points(&entry, &unpacked, &points, NULL) == TSM_OK && points.n)
        encode_again(&entry, &points);
    tsm_points_release(&points);
    tsm_buf_release(&unpacked);
    return 0;
}
