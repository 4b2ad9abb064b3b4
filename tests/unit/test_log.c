/* tests/unit/test_log.c: replaying tsmkit's own log: order, deletes, damage, and segments that vanish meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "faulty_fs.h"
#include "format/batch.h"
#include "format/wal.h"
#include "store/log.h"
#include "store/sources.h"
#include "temp_dir.h"
#include "wal_maker.h"

/* ---- segments ---- */

static void no_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)ctx;
    fail_msg("line %u: %.*s: %s", line, (int)text.n, text.p, cause);
}

static void add_points(struct tsm_buf *segment, uint64_t sequence, const char *lines)
{
    struct tsm_line_options opt = {1, 0};
    struct tsm_points points = {0};
    struct tsm_buf payload = {0};
    struct tsm_batch_encoder *e = tsm_batch_encoder_new();
    tsm_line_parse(tsm_str_of(lines), &opt, &points, no_reject, NULL);
    uint32_t *which = tsm_realloc_array(NULL, points.n, sizeof *which);
    for (uint32_t i = 0; i < points.n; i++)
        which[i] = i;
    tsm_batch_encode(e, &points, which, points.n, &payload);
    tsm_wal_encode(segment, TSM_WAL_POINTS, sequence, tsm_buf_view(&payload));
    tsm_batch_encoder_free(e);
    tsm_buf_release(&payload);
    tsm_points_release(&points);
    tsm_free(which);
}

static void add_delete(struct tsm_buf *segment, uint64_t sequence, const char *key, int64_t tmin,
                       int64_t tmax)
{
    struct tsm_buf payload = {0};
    tsm_wal_delete_begin(&payload, tmin, tmax);
    tsm_wal_delete_key(&payload, tsm_str_of(key));
    tsm_wal_encode(segment, TSM_WAL_DELETE, sequence, tsm_buf_view(&payload));
    tsm_buf_release(&payload);
}

/* Writes the segment and empties it. */
static void put(const char *name, struct tsm_buf *segment)
{
    FILE *f = fopen(in_temp(name), "wb");
    assert_non_null(f);
    if (segment->len)
        assert_int_equal(fwrite(segment->data, 1, segment->len, f), segment->len);
    assert_int_equal(fclose(f), 0);
    tsm_buf_reset(segment);
}

/* ---- what is read ---- */

static struct tsm_buf reported;

static void on_report(void *ctx, const char *message)
{
    (void)ctx;
    tsm_buf_printf(&reported, "%s\n", strrchr(message, '/') + 1);
}

static const struct tsm_damage skip = {.skip = true, .report = on_report};

static const char *story(const struct tsm_log *log)
{
    static struct tsm_buf text;
    tsm_buf_reset(&text);
    for (size_t i = 0; log && i < log->n; i++) {
        const struct tsm_values *v = &log->items[i].values;
        tsm_buf_str(&text, log->items[i].key);
        for (size_t k = 0; k < v->n; k++) {
            tsm_buf_printf(&text, " %lld=", (long long)v->t[k]);
            tsm_line_value(&text, v->type, tsm_values_get(v, k));
        }
        tsm_buf_puts(&text, "\n");
    }
    return tsm_buf_cstr(&text);
}

/* Reads the log of the folder: it has this content, and gives these reports (each without its folder). */
static void expect_with(const struct tsm_fs *fs, const char *content, const char *reports)
{
    struct tsm_log *log;
    struct tsm_err err = {0};
    tsm_buf_reset(&reported);
    if (tsm_log_read(fs, temp_dir, &skip, &log, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(story(log), content);
    assert_string_equal(tsm_buf_cstr(&reported), reports);
    tsm_log_free(log);
    if (*reports) { /* without leave, the first one is the error */
        assert_int_equal(tsm_log_read(fs, temp_dir, NULL, &log, &err), TSM_ECORRUPT);
        assert_null(log);
        const char *message = strrchr(err.msg, '/') + 1;
        assert_memory_equal(message, reports, strlen(message));
    }
}

static void expect(const char *content, const char *reports)
{
    expect_with(&tsm_fs_posix, content, reports);
}

/* ---- tests ---- */

static void the_last_value_wins(void **state)
{
    (void)state;
    struct tsm_buf s = {0};
    add_points(&s, 1,
               "m,b=1,a=2 f=1,g=5i 20\nm,a=2,b=1 f=2 10\nm,a=2,b=1 f=3 20\n"
               "o s=\"x\\\"y\",b=true,u=7u,time=3 -5\nn f=1,f=2 7\n");
    add_points(&s, 2, "m,a=2,b=1 g=6i,f=4 10\n");
    put("000000002.log", &s);
    add_points(&s, 3, "o s=\"\" -5\n");
    put("000000010.log", &s);
    expect("m,a=2,b=1#!~#f 10=4 20=3\n"
           "m,a=2,b=1#!~#g 10=6i 20=5i\n"
           "n#!~#f 7=2\n"
           "o#!~#b -5=true\no#!~#s -5=\"\"\no#!~#u -5=7u\n",
           "");
    tsm_buf_release(&s);
}

static void influxds_comes_after_ours(void **state)
{
    (void)state;
    struct tsm_buf s = {0}, content = {0};
    struct tsm_values v = {0};
    tsm_values_reset(&v, TSM_FLOAT, 3);
    for (int64_t t = 1; t <= 3; t++)
        tsm_values_add(&v, t, (union tsm_value){.f = 0.5});
    wal_add_values(&content, TSM_STR("m#!~#f"), &v);
    wal_add_record(&s, 1, content.data, content.len);
    put("_00007.wal", &s);
    add_delete(&s, 1, "m#!~#f", 1, 1);
    add_points(&s, 2, "m f=2 2\n");
    put("000000001.log", &s);
    expect("m#!~#f 1=0.5 2=0.5 3=0.5\n", "");
    tsm_values_release(&v);
    tsm_buf_release(&s);
    tsm_buf_release(&content);
}

static void a_delete_takes_what_came_before(void **state)
{
    (void)state;
    struct tsm_buf s = {0};
    add_points(&s, 1, "m f=1,g=1 1\nm f=2,g=2 2\nm f=3,g=3 3\nm f=9 1\n");
    add_delete(&s, 2, "m#!~#f", 1, 2);
    add_delete(&s, 3, "unknown#!~#f", INT64_MIN, INT64_MAX);
    add_points(&s, 4, "m f=7 2\n");
    put("000000001.log", &s);
    expect("m#!~#f 2=7 3=3\nm#!~#g 1=1 2=2 3=3\n", "");
    /* a field that was dropped may come back with another type */
    add_delete(&s, 5, "m#!~#f", INT64_MIN, INT64_MAX);
    add_points(&s, 6, "m f=7i 2\n");
    add_delete(&s, 7, "m#!~#g", INT64_MIN, INT64_MAX);
    put("000000002.log", &s);
    expect("m#!~#f 2=7i\n", "");
    tsm_buf_release(&s);
}

/* Fields beyond those that are compared one by one, in another order each time. */
static void series_with_many_fields(void **state)
{
    (void)state;
    enum { FIELDS = 100, ROWS = 5 };
    struct tsm_buf s = {0}, lines = {0}, content = {0};
    for (int row = 0; row < ROWS; row++) {
        tsm_buf_puts(&lines, "m,t=v ");
        for (int i = 0; i < FIELDS; i++) {
            int f = (i * 7 + row * 13) % FIELDS;
            tsm_buf_printf(&lines, "%sf%02d=%di", i ? "," : "", f, f * 10 + row);
        }
        tsm_buf_printf(&lines, " %d\n", row);
    }
    for (int f = 0; f < FIELDS; f++) {
        tsm_buf_printf(&content, "m,t=v#!~#f%02d", f);
        for (int row = 0; row < ROWS; row++)
            tsm_buf_printf(&content, " %d=%di", row, f * 10 + row);
        tsm_buf_puts(&content, "\n");
    }
    add_points(&s, 1, tsm_buf_cstr(&lines));
    put("000000001.log", &s);
    expect(tsm_buf_cstr(&content), "");
    tsm_buf_release(&s);
    tsm_buf_release(&lines);
    tsm_buf_release(&content);
}

/* An end that is cut loses what was never acknowledged, and is not spoken of; nor is the same sequence once more. */
static void an_unfinished_end_is_silent(void **state)
{
    (void)state;
    struct tsm_buf s = {0}, whole = {0};
    add_points(&whole, 1, "m f=1 1\n");
    size_t first = whole.len;
    add_points(&whole, 2, "m f=2 2\n");
    for (size_t n = first; n < whole.len; n++) {
        tsm_buf_add(&s, whole.data, n);
        put("000000001.log", &s);
        expect("m#!~#f 1=1\n", "");
    }
    tsm_buf_add(&s, whole.data, whole.len - 5);
    put("000000001.log", &s);
    add_points(&s, 2, "m f=3 3\n");
    put("000000002.log", &s);
    expect("m#!~#f 1=1 3=3\n", "");
    put("000000003.log", &s); /* nothing in it yet */
    expect("m#!~#f 1=1 3=3\n", "");
    tsm_buf_release(&s);
    tsm_buf_release(&whole);
}

static void a_bad_record_loses_itself(void **state)
{
    (void)state;
    struct tsm_buf s = {0};
    size_t ends[4];
    for (int i = 0; i < 4; i++) {
        char line[32];
        snprintf(line, sizeof line, "m f=%d %d\n", i, i);
        add_points(&s, (uint64_t)i + 1, line);
        ends[i] = s.len;
    }
    s.data[ends[1] - 1] ^= 1;
    struct tsm_buf copy = {0};
    tsm_buf_add(&copy, s.data, s.len);
    put("000000001.log", &copy);
    char report[200];
    snprintf(report, sizeof report,
             "000000001.log: offset %zu: %zu bytes: a record whose checksum does not match\n", ends[0],
             ends[1] - ends[0]);
    expect("m#!~#f 0=0 2=2 3=3\n", report);
    /* two headers in a row: what they were is not known, but how many */
    s.data[ends[1] - 1] ^= 1;
    memset(s.data + ends[0], 0xff, TSM_WAL_HEADER);
    memset(s.data + ends[1], 0xff, TSM_WAL_HEADER);
    put("000000001.log", &s);
    snprintf(report, sizeof report,
             "000000001.log: offset %zu: %zu bytes: no record begins here\n"
             "000000001.log: record at offset %zu: 1 more record is missing before sequence 4\n",
             ends[0], ends[2] - ends[0], ends[2]);
    expect("m#!~#f 0=0 3=3\n", report);
    tsm_buf_release(&s);
    tsm_buf_release(&copy);
}

static void a_gap_in_the_sequence_is_reported(void **state)
{
    (void)state;
    struct tsm_buf s = {0};
    add_points(&s, 5, "m f=1 1\n"); /* what came before has been flushed */
    put("000000003.log", &s);
    add_points(&s, 8, "m f=2 2\n");
    put("000000005.log", &s);
    expect("m#!~#f 1=1 2=2\n",
           "000000005.log: record at offset 0: 2 records are missing before sequence 8\n");
    add_points(&s, 6, "m f=2 2\n");
    add_points(&s, 6, "m f=3 2\n");
    put("000000005.log", &s);
    size_t size = 0;
    struct tsm_buf one = {0};
    add_points(&one, 6, "m f=2 2\n");
    size = one.len;
    char report[100];
    snprintf(report, sizeof report, "000000005.log: record at offset %zu: sequence 6 comes after 6\n", size);
    expect("m#!~#f 1=1 2=3\n", report);
    tsm_buf_release(&one);
    tsm_buf_release(&s);
}

/* Checksums that hold do not make a record one. */
static void what_no_writer_logs_is_damage(void **state)
{
    (void)state;
    struct tsm_buf s = {0};
    add_points(&s, 1, "m f=1 1\n");
    tsm_wal_encode(&s, TSM_WAL_POINTS, 2, TSM_STR("no points"));
    size_t second = s.len;
    tsm_wal_encode(&s, TSM_WAL_DELETE, 3, TSM_STR("no delete"));
    size_t third = s.len;
    add_points(&s, 4, "m f=2i,g=1 2\nm f=2i 3\n"); /* the conflict is told once */
    size_t fourth = s.len;
    add_points(&s, 5, "m,a=1,a=2 f=1 1\nm f=5 5\nm,a=1,a=2 f=1 2\n");
    put("000000001.log", &s);
    struct tsm_buf one = {0};
    add_points(&one, 1, "m f=1 1\n");
    char report[600];
    snprintf(report, sizeof report,
             "000000001.log: record at offset %zu: offset 1 of the points: more keys or names than "
             "there are bytes\n"
             "000000001.log: record at offset %zu: a delete of 9 bytes\n"
             "000000001.log: record at offset %zu: key 'm#!~#f': values of type integer after values of type "
             "float\n"
             "000000001.log: record at offset %zu: series 'm,a=1,a=2': duplicate tags\n",
             one.len, second, third, fourth);
    expect("m#!~#f 1=1 5=5\nm#!~#g 2=1\n", report);
    tsm_buf_release(&one);
    tsm_buf_release(&s);
}

static void nothing_and_no_folder(void **state)
{
    (void)state;
    struct tsm_buf s = {0};
    struct tsm_log *log;
    expect("", "");
    tsm_buf_puts(&s, "not ours");
    put("append.lock", &s);
    put("000000001.log", &s); /* empty */
    expect("", "");
    assert_int_equal(tsm_log_read(&tsm_fs_posix, in_temp("missing"), &skip, &log, NULL), TSM_ENOTFOUND);
    assert_null(log);
    tsm_buf_release(&s);
}

/* ---- a flush while it is read ---- */

/* A disk on which segments are removed, and others made, before the n-th opening of a file. */
struct flushing_fs {
    struct tsm_fs fs;
    int opens, at;
    void (*flush)(void);
};

static int flushing_open(void *ctx, const char *path, int flags, mode_t mode)
{
    struct flushing_fs *f = ctx;
    if (++f->opens == f->at)
        f->flush();
    return tsm_fs_posix.open(tsm_fs_posix.ctx, path, flags, mode);
}

static void flush_two(void)
{
    assert_int_equal(remove(in_temp("000000001.log")), 0);
    assert_int_equal(remove(in_temp("000000002.log")), 0);
    struct tsm_buf s = {0};
    add_points(&s, 4, "m f=4 4\n");
    put("000000004.log", &s);
    tsm_buf_release(&s);
}

static void remove_and_make(void)
{
    static int n = 2;
    char name[TSM_WAL_NAME_MAX];
    tsm_wal_name_format(name, (uint32_t)n - 1);
    assert_int_equal(remove(in_temp(name)), 0);
    struct tsm_buf s = {0};
    tsm_wal_name_format(name, (uint32_t)n++);
    put(name, &s);
    tsm_buf_release(&s);
}

static int always_open(void *ctx, const char *path, int flags, mode_t mode)
{
    struct flushing_fs *f = ctx;
    f->opens++;
    remove_and_make();
    return tsm_fs_posix.open(tsm_fs_posix.ctx, path, flags, mode);
}

static void put_three(void)
{
    struct tsm_buf s = {0};
    add_points(&s, 1, "m f=1 1\n");
    s.data[s.len - 1] ^= 1; /* reported once, however often it is read */
    add_points(&s, 2, "m f=2 2\n");
    put("000000001.log", &s);
    add_points(&s, 3, "m f=2 2\n");
    put("000000002.log", &s);
    add_points(&s, 4, "m f=3 3\n");
    put("000000003.log", &s);
    tsm_buf_release(&s);
}

static void segments_vanish(void **state)
{
    (void)state;
    struct flushing_fs f;
    struct tsm_log *log;
    struct tsm_err err;
    for (int at = 1; at <= 2; at++) {
        put_three();
        f = (struct flushing_fs){.fs = tsm_fs_posix, .at = at, .flush = flush_two};
        f.fs.ctx = &f;
        f.fs.open = flushing_open;
        /* the segment that comes with the flush repeats a sequence: it is seen only when all is read again */
        expect_with(&f.fs, "m#!~#f 3=3 4=4\n",
                    "000000004.log: record at offset 0: sequence 4 comes after 4\n");
        assert_true(f.opens >= at + 2);
        assert_int_equal(remove(in_temp("000000004.log")), 0);
    }
    assert_int_equal(remove(in_temp("000000003.log")), 0);
    struct tsm_buf s = {0};
    put("000000001.log", &s);
    f = (struct flushing_fs){.fs = tsm_fs_posix};
    f.fs.ctx = &f;
    f.fs.open = always_open; /* they vanish each time: that has an end */
    assert_int_equal(tsm_log_read(&f.fs, temp_dir, NULL, &log, &err), TSM_EIO);
    assert_null(log);
    assert_true(f.opens < 100);
    tsm_buf_release(&s);
}

/* A disk whose first reads give other bytes, as when the end of a segment is rewritten between them. */
struct changing_fs {
    struct tsm_fs fs;
    int changed; /* reads that are still to give other bytes */
};

static ssize_t changing_pread(void *ctx, int fd, void *p, size_t n, off_t offset)
{
    struct changing_fs *f = ctx;
    ssize_t got = tsm_fs_posix.pread(tsm_fs_posix.ctx, fd, p, n, offset);
    if (got > 0 && f->changed-- > 0)
        ((uint8_t *)p)[got - 1] ^= (uint8_t)(1 + f->changed);
    return got;
}

static void damage_counts_when_it_is_met_twice(void **state)
{
    (void)state;
    struct tsm_buf s = {0};
    add_points(&s, 1, "m f=1 1\n");
    put("000000001.log", &s);
    struct changing_fs f = {.fs = tsm_fs_posix, .changed = 1};
    f.fs.ctx = &f;
    f.fs.pread = changing_pread;
    expect_with(&f.fs, "m#!~#f 1=1\n", "");
    f.changed = 2; /* the same damage twice */
    struct tsm_log *log;
    assert_int_equal(tsm_log_read(&f.fs, temp_dir, NULL, &log, NULL), TSM_ECORRUPT);
    assert_null(log);
    tsm_buf_release(&s);
}

static void every_failing_call_is_reported(void **state)
{
    (void)state;
    struct faulty_fs f;
    struct tsm_log *log;
    struct tsm_buf s = {0};
    add_points(&s, 1, "m f=1 1\n");
    put("000000001.log", &s);
    add_points(&s, 2, "m f=2 2\n");
    put("000000002.log", &s);
    faulty_fs_init(&f);
    f.kinds = FAULTY_OPEN | FAULTY_READ;
    for (f.fail_at = 1;; f.fail_at++) {
        f.calls = 0;
        int rc = tsm_log_read(&f.fs, temp_dir, &skip, &log, NULL);
        tsm_log_free(log);
        if (f.calls < f.fail_at) {
            assert_int_equal(rc, TSM_OK);
            break;
        }
        assert_int_equal(rc, TSM_EIO);
    }
    assert_true(f.fail_at > 5);
    tsm_buf_release(&s);
}

/* A directory that holds nothing but such a log is a shard. */
static void a_log_alone_is_a_source(void **state)
{
    (void)state;
    struct tsm_buf s = {0};
    struct tsm_sources sources = {0};
    struct tsm_shard *shard;
    struct tsm_err err = {0};
    add_points(&s, 1, "m f=1 1\n");
    put("000000001.log", &s);
    assert_int_equal(tsm_sources_add(&tsm_fs_posix, temp_dir, TSM_STR(""), TSM_STR(""), &sources, &err),
                     TSM_OK);
    assert_int_equal(sources.n, 1);
    assert_int_equal(tsm_source_open(&tsm_fs_posix, &sources.items[0], NULL, &shard, &err), TSM_OK);
    assert_int_equal(shard->nkeys, 1);
    tsm_shard_close(shard);
    tsm_sources_release(&sources);
    tsm_buf_release(&s);
}

/* ---- golden files (golden/make_log.py) ---- */

#define GOLDEN "tests/unit/golden/log/"

static void read_file(const char *path, struct tsm_buf *out)
{
    struct tsm_err err;
    tsm_buf_reset(out);
    if (tsm_fs_read_file(&tsm_fs_posix, path, 1 << 20, out, &err) != TSM_OK)
        fail_msg("%s", err.msg);
}

/* NAME.log has in it what NAME.txt says: keys with their values, then, behind "! ", faults. */
static void check_golden(const char *name)
{
    struct tsm_buf path = {0}, segment = {0}, text = {0}, content = {0}, reports = {0};
    tsm_buf_printf(&path, GOLDEN "%s.log", name);
    read_file(tsm_buf_cstr(&path), &segment);
    put("000000001.log", &segment);
    tsm_buf_reset(&path);
    tsm_buf_printf(&path, GOLDEN "%s.txt", name);
    read_file(tsm_buf_cstr(&path), &text);
    for (char *p = tsm_buf_cstr(&text), *end; (end = strchr(p, '\n')); p = end + 1) {
        *end = 0;
        if (*p == '!')
            tsm_buf_printf(&reports, "000000001.log: %s\n", p + 2);
        else
            tsm_buf_printf(&content, "%s\n", p);
    }
    assert_int_equal(reports.len > 0, strncmp(name, "bad-", 4) == 0);
    print_message("# %s\n", name);
    expect(tsm_buf_cstr(&content), tsm_buf_cstr(&reports));
    tsm_buf_release(&path);
    tsm_buf_release(&segment);
    tsm_buf_release(&text);
    tsm_buf_release(&content);
    tsm_buf_release(&reports);
}

static void golden_segments(void **state)
{
    (void)state;
    struct tsm_names names;
    size_t n = 0;
    assert_int_equal(tsm_fs_list(&tsm_fs_posix, GOLDEN, &names, NULL), TSM_OK);
    for (size_t i = 0; i < names.n; i++) {
        char *dot = strrchr(names.names[i], '.');
        if (strcmp(dot, ".log") != 0)
            continue;
        *dot = 0;
        check_golden(names.names[i]);
        n++;
    }
    assert_int_equal(n, 23);
    tsm_names_release(&names);
}

/* What is written is, byte for byte, what the format page says; how LZ4 packs is its own affair. */
static void golden_bytes_are_written(void **state)
{
    (void)state;
    struct tsm_buf golden = {0}, s = {0};
    read_file(GOLDEN "types.log", &golden);
    add_points(&s, 1,
               "all,z=1,a=2 f=-0.5,i=-9223372036854775808i,b=true 1\n"
               "all,a=2,z=1 s=\"a \\\"word\\\"\",u=18446744073709551615u -9223372036854775806\n"
               "all,a=2,z=1 u=0u,b=false,s=\"\" 9223372036854775806\n");
    struct tsm_wal_reader a = {.p = golden.data, .len = golden.len}, b = {.p = s.data, .len = s.len};
    struct tsm_wal_record x, y;
    assert_int_equal(tsm_wal_next(&a, &x, NULL), TSM_OK);
    assert_int_equal(tsm_wal_next(&b, &y, NULL), TSM_OK);
    assert_true(tsm_str_eq(x.payload, y.payload));
    tsm_buf_reset(&s);
    tsm_wal_encode(&s, x.kind, x.sequence, tsm_str(x.payload.p, 8)); /* too short to pack */
    assert_int_equal(s.len, TSM_WAL_HEADER + 8);
    tsm_wal_reader_release(&a);
    tsm_wal_reader_release(&b);
    read_file(GOLDEN "deletes.log", &golden);
    tsm_buf_reset(&s);
    add_points(&s, 1, "cpu,host=a load=0.5 1\n");
    add_points(&s, 2, "cpu,host=a load=1 2\n");
    assert_memory_equal(s.data, golden.data, s.len);
    tsm_buf_release(&golden);
    tsm_buf_release(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_temp, remove_temp)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_last_value_wins),
        TEST(influxds_comes_after_ours),
        TEST(a_delete_takes_what_came_before),
        TEST(series_with_many_fields),
        TEST(an_unfinished_end_is_silent),
        TEST(a_bad_record_loses_itself),
        TEST(a_gap_in_the_sequence_is_reported),
        TEST(what_no_writer_logs_is_damage),
        TEST(nothing_and_no_folder),
        TEST(segments_vanish),
        TEST(damage_counts_when_it_is_met_twice),
        TEST(every_failing_call_is_reported),
        TEST(a_log_alone_is_a_source),
        TEST(golden_segments),
        TEST(golden_bytes_are_written),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tsm_buf_release(&reported);
    return failed;
}
