/* tests/unit/test_verify.c: verifying files and directories: each fault is found, named, and the only one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "codec/block.h"
#include "faulty_fs.h"
#include "format/meta_db.h"
#include "format/tsm_reader.h"
#include "format/tsm_writer.h"
#include "store/data_dir.h"
#include "store/verify.h"
#include "temp_dir.h"

#define GOLDEN "tests/unit/golden/"

/* ---- findings ------------------------------------------------------------------------------------------ */

static struct {
    char lines[32][512];
    enum tsm_finding kinds[32];
    size_t n;
    struct tsm_verify_stats stats;
} found;

static int note_finding(void *ctx, enum tsm_finding kind, const char *line, struct tsm_err *err)
{
    (void)ctx, (void)err;
    if (found.n < 32) {
        found.kinds[found.n] = kind;
        snprintf(found.lines[found.n], sizeof found.lines[0], "%s", line);
    }
    found.n++;
    return TSM_OK;
}

static int verify(const char *path)
{
    struct tsm_verify v = {.fs = &tsm_fs_posix, .jobs = 2, .report = note_finding};
    found.n = 0;
    struct tsm_err err;
    int r = tsm_verify_path(&v, path, &err);
    found.stats = v.stats;
    return r;
}

static void assert_finding(size_t i, enum tsm_finding kind, const char *start, const char *cause)
{
    if (i >= found.n)
        fail_msg("%zu findings; not found: %s", found.n, cause);
    if (found.kinds[i] != kind || strncmp(found.lines[i], start, strlen(start)) != 0 ||
        !strstr(found.lines[i], cause))
        fail_msg("'%s' is not '%s … %s'", found.lines[i], start, cause);
}

static void assert_clean(const char *path)
{
    assert_int_equal(verify(path), TSM_OK);
    if (found.n)
        fail_msg("%s", found.lines[0]);
}

/* ---- files --------------------------------------------------------------------------------------------- */

enum { N = 10 };

/* A file with keys a … (keys of them), each with blocks of N integers a second apart, from `start` seconds
 * on. */
static void write_tsm(const char *path, int keys, int blocks, int64_t start)
{
    struct tsm_writer *w;
    struct tsm_values v = {0};
    struct tsm_buf b = {0};
    struct tsm_err err;
    assert_int_equal(tsm_writer_open(&tsm_fs_posix, path, &w, &err), TSM_OK);
    for (int i = 0; i < keys; i++) {
        char key[16];
        int n = snprintf(key, sizeof key, "%c#!~#f", 'a' + i);
        for (int j = 0; j < blocks; j++) {
            tsm_values_reset(&v, TSM_INTEGER, N);
            for (int64_t k = 0; k < N; k++)
                tsm_values_add(&v, (start + j * N + k) * 1000000000, (union tsm_value){.i = k});
            tsm_buf_reset(&b);
            assert_int_equal(tsm_block_encode(&b, &v, 0, N, &err), TSM_OK);
            assert_int_equal(tsm_writer_block(w, tsm_str(key, (size_t)n), TSM_INTEGER, v.t[0], v.t[N - 1],
                                              b.data, b.len, &err),
                             TSM_OK);
        }
    }
    assert_int_equal(tsm_writer_install(w, &err), TSM_OK);
    tsm_values_release(&v);
    tsm_buf_release(&b);
}

static void flip(const char *path, long offset)
{
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, offset < 0 ? SEEK_END : SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    assert_int_equal(fputc(c ^ 1, f), c ^ 1);
    assert_int_equal(fclose(f), 0);
}

static void copy(const char *from, const char *to)
{
    struct tsm_buf b = {0};
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, from, 1 << 20, &b, NULL), TSM_OK);
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, to, tsm_buf_view(&b), NULL), TSM_OK);
    tsm_buf_release(&b);
}

static void put_text(const char *path, const char *text)
{
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, path, tsm_str_of(text), NULL), TSM_OK);
}

static void sound_files_are_clean(void **state)
{
    (void)state;
    write_tsm(in_temp("1-1.tsm"), 3, 4, 0);
    assert_clean(in_temp("1-1.tsm"));
    assert_int_equal(found.stats.files, 1);
    assert_int_equal(found.stats.keys, 3);
    assert_int_equal(found.stats.blocks, 12);
    assert_int_equal(found.stats.values, 12 * N);
    assert_true(found.stats.bytes > 0);
    assert_clean(GOLDEN "influxd-types.tsm");
    assert_int_equal(found.stats.values, 8 * 1200);
    assert_clean(GOLDEN "influxd-drop.tombstone");
    assert_int_equal(found.stats.tombstones, 1);
}

static void all_damaged_blocks_are_listed(void **state)
{
    (void)state;
    write_tsm(in_temp("1-1.tsm"), 3, 4, 0);
    struct tsm_reader *r;
    assert_int_equal(tsm_reader_open(&tsm_fs_posix, in_temp("1-1.tsm"), &r, NULL), TSM_OK);
    struct tsm_entry first = tsm_reader_entry(r, 0, 1), second = tsm_reader_entry(r, 2, 3);
    tsm_reader_close(r);
    flip(in_temp("1-1.tsm"), (long)first.offset + 7);
    flip(in_temp("1-1.tsm"), (long)second.offset);
    assert_int_equal(verify(in_temp("1-1.tsm")), TSM_OK);
    assert_int_equal(found.n, 2);
    assert_int_equal(found.stats.faults, 2);
    assert_int_equal(found.stats.values, 10 * N);
    assert_int_equal(found.stats.blocks, 12);
    char start[200];
    snprintf(start, sizeof start,
             "%s: offset %d: block of 'a#!~#f' from 1970-01-01T00:00:10Z to 1970-01-01T00:00:19Z: ",
             in_temp("1-1.tsm"), (int)first.offset);
    assert_finding(0, TSM_FINDING_FAULT, start, "checksum mismatch");
    snprintf(start, sizeof start, "%s: offset %d: block of 'c#!~#f'", in_temp("1-1.tsm"), (int)second.offset);
    assert_finding(1, TSM_FINDING_FAULT, start, "checksum mismatch");
}

static void damaged_indexes_and_foreign_files_are_listed(void **state)
{
    (void)state;
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, in_temp("d"), NULL), TSM_OK);
    write_tsm(in_temp("d/1-1.tsm"), 3, 4, 0);
    write_tsm(in_temp("d/2-1.tsm"), 3, 4, 100);
    write_tsm(in_temp("d/3-1.tsm"), 3, 4, 200);
    flip(in_temp("d/2-1.tsm"), -21);
    put_text(in_temp("d/4-1.tsm"), "");
    put_text(in_temp("d/5-1.tsm"), "this is not a TSM file at all");
    put_text(in_temp("d/1-1.tombstone"), "nor is this a tombstone");
    put_text(in_temp("d/7-1.tombstone"), "m#!~#f\n");
    put_text(in_temp("d/8-1.tsm.tmp"), "half");
    put_text(in_temp("d/_00003.wal"), "\x09garbage");
    assert_int_equal(symlink("nowhere", in_temp("d/6-1.tsm")), 0);
    assert_int_equal(verify(in_temp("d")), TSM_OK);
    assert_int_equal(found.stats.faults, 5);
    assert_int_equal(found.stats.unreadable, 1);
    assert_int_equal(found.stats.notes, 2);
    assert_finding(0, TSM_FINDING_FAULT, in_temp("d/2-1.tsm"), "the index does not match its seal");
    assert_finding(1, TSM_FINDING_FAULT, in_temp("d/4-1.tsm"), "the file is empty");
    assert_finding(2, TSM_FINDING_FAULT, in_temp("d/5-1.tsm"), "not a TSM file");
    assert_finding(3, TSM_FINDING_UNREADABLE, "open ", "6-1.tsm: No such file");
    assert_finding(4, TSM_FINDING_FAULT, in_temp("d/1-1.tombstone"), "neither a known version");
    assert_finding(5, TSM_FINDING_NOTE, in_temp("d/7-1.tombstone"),
                   "the TSM file that it belongs to is not there");
    assert_finding(6, TSM_FINDING_NOTE, in_temp("d/8-1.tsm.tmp"), "unfinished output");
    assert_finding(7, TSM_FINDING_FAULT, in_temp("d/_00003.wal"), "offset");
    assert_int_equal(found.stats.blocks, 24); /* the sound ones were verified all the same */
    assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, in_temp("d"), NULL), TSM_OK);
}

static void overlap_counts_in_the_ordered_set_only(void **state)
{
    (void)state;
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, in_temp("o"), NULL), TSM_OK);
    write_tsm(in_temp("o/000000001-000000001.tsm"), 3, 2, 0);
    write_tsm(in_temp("o/000000002-000000001.tsm"), 2, 2, 20);
    write_tsm(in_temp("o/500000001-000000001.tsm"), 3, 2, 5); /* late: may overlap anything */
    assert_clean(in_temp("o"));
    write_tsm(in_temp("o/000000003-000000001.tsm"), 2, 1, 39); /* a and b overlap the last block of file 2 */
    assert_int_equal(verify(in_temp("o")), TSM_OK);
    assert_int_equal(found.n, 2);
    assert_finding(0, TSM_FINDING_FAULT, in_temp("o/000000003-000000001.tsm: offset 5: block of 'a#!~#f'"),
                   in_temp("o/000000002-000000001.tsm at offset"));
    assert_finding(1, TSM_FINDING_FAULT, in_temp("o/000000003-000000001.tsm"),
                   "overlaps another of the ordered set");
    /* files given one by one are not taken for one shard, and those of influxd may overlap */
    assert_clean(in_temp("o/000000003-000000001.tsm"));
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, in_temp("o/000000003-000000001.tsm"), NULL), TSM_OK);
    copy(GOLDEN "influxd-types.tsm", in_temp("o/000000004-000000001.tsm"));
    copy(GOLDEN "influxd-types.tsm", in_temp("o/000000005-000000001.tsm"));
    assert_clean(in_temp("o"));
    assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, in_temp("o"), NULL), TSM_OK);
}

static void a_data_directory_is_matched_with_its_meta(void **state)
{
    (void)state;
    char d[160];
    snprintf(d, sizeof d, "%s/data-dir", temp_dir);
    struct tsm_meta m = {0};
    struct tsm_err err;
    assert_int_equal(tsm_meta_create_database(&m, TSM_STR("db"), NULL, &err), TSM_OK);
    struct tsm_rp *rp = tsm_meta_rp(tsm_meta_database(&m, TSM_STR("db")), TSM_STR(""));
    bool created;
    uint64_t shard = tsm_meta_group_for(&m, rp, 0, &created)->shards[0];
    assert_int_equal(tsm_meta_save(&tsm_fs_posix, d, &m, &err), TSM_OK);
    tsm_meta_release(&m);
    char *path = tsm_path_shard(d, TSM_STR("db"), TSM_STR("autogen"), shard);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, path, &err), TSM_OK);
    char *file = tsm_path_join(path, "1-1.tsm");
    write_tsm(file, 1, 1, 0);
    assert_clean(d);
    assert_int_equal(found.stats.metas, 1);
    assert_int_equal(found.stats.files, 1);

    write_tsm(file, 1, 1, 7 * 86400); /* beyond the group */
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, in_temp("data-dir/data/db/autogen/99"), &err), TSM_OK);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, in_temp("data-dir/data/db/_series/00"), &err), TSM_OK);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, in_temp("data-dir/wal/db/autogen/1"), &err), TSM_OK);
    copy(GOLDEN "influxd-drop.tombstone", in_temp("data-dir/wal/db/autogen/1/_00001.wal"));
    assert_int_equal(verify(d), TSM_OK);
    assert_int_equal(found.stats.notes, 2);
    assert_int_equal(found.stats.faults, 1);
    assert_finding(0, TSM_FINDING_NOTE, file, "go beyond its shard group");
    assert_finding(1, TSM_FINDING_NOTE, in_temp("data-dir/data/db/autogen/99"),
                   "without an entry in meta.db");
    assert_finding(2, TSM_FINDING_FAULT, in_temp("data-dir/wal/db/autogen/1/_00001.wal"), "offset");

    put_text(in_temp("data-dir/meta/meta.db"), "\xff\xff\xff");
    assert_int_equal(verify(d), TSM_OK);
    assert_int_equal(found.stats.faults, 2);
    assert_finding(0, TSM_FINDING_FAULT, in_temp("data-dir/meta/meta.db"), ":");
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, in_temp("data-dir/meta/meta.db"), NULL), TSM_OK);
    assert_int_equal(verify(d), TSM_OK);
    assert_int_equal(found.stats.faults, 2);
    assert_finding(0, TSM_FINDING_FAULT, in_temp("data-dir/meta/meta.db"), "missing");
    tsm_free(file);
    tsm_free(path);
}

static void nothing_to_verify_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, in_temp("empty/sub"), NULL), TSM_OK);
    assert_int_equal(verify(in_temp("empty")), TSM_ENOTFOUND);
    assert_int_equal(verify(in_temp("nothing here")), TSM_ENOTFOUND);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, in_temp("empty/data"), NULL), TSM_OK);
    assert_int_equal(verify(in_temp("empty")), TSM_OK);
}

static int refuse(void *ctx, enum tsm_finding kind, const char *line, struct tsm_err *err)
{
    (void)kind, (void)line;
    ++*(int *)ctx;
    return tsm_err_set(err, TSM_EPIPE, "no reader");
}

static void a_closed_output_stops_the_run(void **state)
{
    (void)state;
    write_tsm(in_temp("1-1.tsm"), 3, 4, 0);
    flip(in_temp("1-1.tsm"), 10);
    flip(in_temp("1-1.tsm"), 150);
    int calls = 0;
    struct tsm_verify v = {.fs = &tsm_fs_posix, .jobs = 2, .report = refuse, .ctx = &calls};
    struct tsm_err err;
    assert_int_equal(tsm_verify_path(&v, in_temp("1-1.tsm"), &err), TSM_EPIPE);
    assert_int_equal(calls, 1);
}

/* Each call that fails once: said, as not readable, and never taken for sound or for damage. */
static void a_failing_disk_is_said(void **state)
{
    (void)state;
    char d[160];
    snprintf(d, sizeof d, "%s/failing", temp_dir);
    char *shard = tsm_path_shard(d, TSM_STR("db"), TSM_STR("autogen"), 1);
    char *wal = tsm_path_wal(d, TSM_STR("db"), TSM_STR("autogen"), 1);
    char *tsm = tsm_path_join(shard, "000000001-000000001.tsm");
    char *tombstone = tsm_path_join(shard, "000000001-000000001.tombstone");
    char *segment = tsm_path_join(wal, "_00001.wal"), *meta = tsm_path_meta(d);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, shard, NULL), TSM_OK);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, wal, NULL), TSM_OK);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, in_temp("failing/meta"), NULL), TSM_OK);
    copy(GOLDEN "influxd-types.tsm", tsm);
    copy(GOLDEN "influxd-drop.tombstone", tombstone);
    copy(GOLDEN "all.wal", segment);
    copy(GOLDEN "meta.db", meta);

    struct faulty_fs f;
    faulty_fs_init(&f);
    f.kinds = FAULTY_OPEN | FAULTY_READ;
    long silent = 0;
    for (f.fail_at = 1; f.fail_at < 1000; f.fail_at++) {
        struct tsm_verify v = {.fs = &f.fs, .jobs = 1, .report = note_finding};
        struct tsm_err err;
        f.calls = 0;
        found.n = 0;
        int r = tsm_verify_path(&v, d, &err);
        assert_int_equal(v.stats.faults, 0);
        if (f.calls < f.fail_at)
            break;
        silent += v.stats.unreadable == 0 && r == TSM_OK;
    }
    assert_in_range(f.fail_at, 20, 100);
    /* Whether DIR/data, meta.db or a tombstone is there is asked of stat alone; they are missed when they are
     * used. */
    assert_in_range(silent, 0, 2);
    char *paths[] = {shard, wal, tsm, tombstone, segment, meta};
    for (size_t i = 0; i < 6; i++)
        tsm_free(paths[i]);
}

/* Each record of each of our segments, and the sequence across them. */
static void our_log_is_verified(void **state)
{
    (void)state;
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, in_temp("log"), NULL), TSM_OK);
    copy(GOLDEN "log/compressed.log", in_temp("log/000000041.log"));
    assert_clean(in_temp("log"));
    assert_int_equal(found.stats.segments, 1);
    copy(GOLDEN "log/torn.log", in_temp("log/000000042.log"));
    copy(GOLDEN "log/bad-float.log", in_temp("log/000000043.log"));
    copy(GOLDEN "log/bad-delete.log", in_temp("log/000000043.log.bad"));
    assert_int_equal(verify(in_temp("log")), TSM_OK);
    assert_int_equal(found.stats.segments, 3);
    assert_int_equal(found.n, 5);
    assert_finding(0, TSM_FINDING_NOTE, in_temp("log/000000043.log.bad"),
                   ": a damaged segment that was set aside");
    assert_finding(1, TSM_FINDING_FAULT, in_temp("log/000000042.log"),
                   ": record at offset 0: sequence 1 comes after 42");
    assert_finding(2, TSM_FINDING_NOTE, in_temp("log/000000042.log"), ": the last record is cut short, ");
    assert_finding(3, TSM_FINDING_FAULT, in_temp("log/000000043.log"),
                   ": record at offset 0: sequence 1 comes after 1");
    assert_finding(4, TSM_FINDING_FAULT, in_temp("log/000000043.log"), "a float that is no number");
    assert_int_equal(verify(in_temp("log/000000043.log")), TSM_OK);
    assert_int_equal(found.n, 1);
    assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, in_temp("log"), NULL), TSM_OK);

    /* what readers leave out is a fault, and nothing else is: but a type that changes, which needs the files to tell */
    struct tsm_names names;
    assert_int_equal(tsm_fs_list(&tsm_fs_posix, GOLDEN "log", &names, NULL), TSM_OK);
    for (size_t i = 0; i < names.n; i++) {
        if (!strstr(names.names[i], ".log"))
            continue;
        char path[300];
        snprintf(path, sizeof path, "%s/000000001.log", temp_dir);
        char *golden = tsm_path_join(GOLDEN "log", names.names[i]);
        copy(golden, path);
        tsm_free(golden);
        assert_int_equal(verify(path), TSM_OK);
        bool bad = strncmp(names.names[i], "bad-", 4) == 0 && strcmp(names.names[i], "bad-type.log") != 0;
        if ((found.stats.faults > 0) != bad)
            fail_msg("%s: %zu faults", names.names[i], (size_t)found.stats.faults);
    }
    tsm_names_release(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_files_are_clean),
        cmocka_unit_test(all_damaged_blocks_are_listed),
        cmocka_unit_test(damaged_indexes_and_foreign_files_are_listed),
        cmocka_unit_test(overlap_counts_in_the_ordered_set_only),
        cmocka_unit_test(a_data_directory_is_matched_with_its_meta),
        cmocka_unit_test(nothing_to_verify_is_an_error),
        cmocka_unit_test(a_closed_output_stops_the_run),
        cmocka_unit_test(a_failing_disk_is_said),
        cmocka_unit_test(our_log_is_verified),
    };
    return cmocka_run_group_tests(tests, make_temp, remove_temp);
}
