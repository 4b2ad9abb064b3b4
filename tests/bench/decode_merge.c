/*
 * tests/bench/decode_merge.c: what a compaction costs that decodes everything: the measure for one that copies blocks.
 *
 *   decode_merge OUT.tsm IN.tsm...
 *
 * The inputs, a later one wins, are merged key by key; every block is decoded, and blocks of 1,000 values are encoded anew.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "codec/block.h"
#include "format/tsm_writer.h"
#include "store/scan.h"
#include "base/banned.h"

struct merge {
    struct tsm_writer *out;
    struct tsm_buf block;
    struct tsm_values pending;
};

static int put_block(struct merge *m, struct tsm_str key, const struct tsm_values *v, size_t from, size_t to,
                     struct tsm_err *err)
{
    tsm_buf_reset(&m->block);
    int rc = tsm_block_encode(&m->block, v, from, to, err);
    return rc == TSM_OK ? tsm_writer_block(m->out, key, v->type, v->t[from], v->t[to - 1], m->block.data,
                                           m->block.len, err)
                        : rc;
}

static int merge_key(struct merge *m, struct tsm_scan *scan, const struct tsm_shard *s, size_t i,
                     struct tsm_err *err)
{
    struct tsm_str key = tsm_shard_key(s, i);
    const struct tsm_values *batch;
    struct tsm_values *pending = &m->pending;
    tsm_values_reset(pending, tsm_shard_key_type(s, i), TSM_BLOCK_POINTS);
    int rc = tsm_scan_start(scan, s, i, INT64_MIN, INT64_MAX, err);
    while (rc == TSM_OK && (rc = tsm_scan_next(scan, &batch, err)) == TSM_OK && batch) {
        for (size_t from = 0, n; from < batch->n && rc == TSM_OK; from += n) {
            n = batch->n - from < TSM_BLOCK_POINTS - pending->n ? batch->n - from
                                                                : TSM_BLOCK_POINTS - pending->n;
            tsm_values_append(pending, batch, from, from + n);
            if (pending->n == TSM_BLOCK_POINTS) {
                rc = put_block(m, key, pending, 0, pending->n, err);
                tsm_values_reset(pending, pending->type, TSM_BLOCK_POINTS);
            }
        }
    }
    if (rc == TSM_OK && pending->n)
        rc = put_block(m, key, pending, 0, pending->n, err);
    return rc;
}

int main(int argc, char **argv)
{
    struct tsm_err err = {0};
    struct tsm_shard *shard = NULL;
    struct merge m = {0};
    if (argc < 3) {
        fputs("usage: decode_merge OUT.tsm IN.tsm...\n", stderr);
        return 2;
    }
    int rc = tsm_shard_open_files(&tsm_fs_posix, argv + 2, (size_t)argc - 2, NULL, &shard, &err);
    if (rc == TSM_OK)
        rc = tsm_writer_open(&tsm_fs_posix, argv[1], &m.out, &err);
    struct tsm_scan *scan = tsm_scan_new();
    for (size_t i = 0; rc == TSM_OK && i < shard->nkeys; i++)
        rc = merge_key(&m, scan, shard, i, &err);
    tsm_scan_free(scan);
    if (rc == TSM_OK)
        rc = tsm_writer_install(m.out, &err);
    else
        tsm_writer_abandon(m.out);
    tsm_shard_close(shard);
    tsm_buf_release(&m.block);
    tsm_values_release(&m.pending);
    if (rc != TSM_OK)
        fprintf(stderr, "decode_merge: %s\n", err.msg);
    return rc == TSM_OK ? 0 : 1;
}
