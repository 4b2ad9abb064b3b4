/* tests/unit/test_repair.c: what is left of damaged files: every bit of small ones is flipped, every length tried. */
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
#include "format/batch.h"
#include "format/tombstone_writer.h"
#include "format/tsm_reader.h"
#include "format/tsm_writer.h"
#include "format/wal.h"
#include "shard_maker.h"
#include "store/log.h"
#include "store/repair.h"
#include "store/verify.h"
#include "temp_dir.h"

#define NAME "000000001-000000001.tsm"

enum { POINTS = 4, SEAL = TSM_SEAL_SIZE };
#define KEYS ((size_t)5)
#define BLOCKS ((size_t)3)

static struct tsm_repaired last; /* what was reported */
static char last_path[512], last_aside[512], last_cause[1024];
static int reports;

static int keep_report(void *ctx, const struct tsm_repaired *r, struct tsm_err *err)
{
    (void)ctx, (void)err;
    last = *r;
    reports++;
    snprintf(last_path, sizeof last_path, "%s", r->path);
    snprintf(last_aside, sizeof last_aside, "%s", r->kept_as ? r->kept_as : "");
    snprintf(last_cause, sizeof last_cause, "%s", r->cause);
    return TSM_OK;
}

static struct tsm_repair repair(const char *path, bool dry_run)
{
    struct tsm_repair r = {.fs = &tsm_fs_posix, .holder = "test", .dry_run = dry_run, .report = keep_report};
    struct tsm_err err;
    reports = 0;
    if (tsm_repair_path(&r, path, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return r;
}

static int print_fault(void *ctx, enum tsm_finding kind, const char *line, struct tsm_err *err)
{
    (void)ctx, (void)err;
    if (kind != TSM_FINDING_NOTE)
        print_message("%s\n", line);
    return TSM_OK;
}

static void assert_sound(const char *path)
{
    struct tsm_verify v = {.fs = &tsm_fs_posix, .jobs = 1, .report = print_fault};
    struct tsm_err err;
    assert_int_equal(tsm_verify_path(&v, path, &err), TSM_OK);
    assert_int_equal(v.stats.faults + v.stats.unreadable, 0);
}

static void put_file(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static struct tsm_buf get_file(const char *path)
{
    struct tsm_buf b = {0};
    struct tsm_err err;
    if (tsm_fs_read_file(&tsm_fs_posix, path, 1 << 24, &b, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return b;
}

/* The file as it was is kept under the name that was told; it goes away again. */
static void assert_kept(const struct tsm_buf *damaged)
{
    struct tsm_buf kept = get_file(last_aside);
    assert_int_equal(kept.len, damaged->len);
    assert_memory_equal(kept.data, damaged->data, kept.len);
    tsm_buf_release(&kept);
    unlink(last_aside);
}

/* ---- TSM files ---- */

/* KEYS keys of different types and lengths, BLOCKS blocks each, of different sizes. */
static void make_tsm(const char *path)
{
    struct tsm_writer *w;
    struct tsm_values c = {0};
    struct tsm_buf block = {0};
    assert_int_equal(tsm_writer_open(&tsm_fs_posix, path, &w, NULL), TSM_OK);
    for (int k = 0; k < (int)KEYS; k++) {
        char key[64];
        snprintf(key, sizeof key, "m%d%.*s,t=x#!~#v%d", k, k * 7 % 5, "xxxxx", k);
        for (int b = 0; b < (int)BLOCKS; b++) {
            tsm_values_reset(&c, (enum tsm_type)k, POINTS);
            for (int i = 0; i < POINTS + b; i++) {
                union tsm_value v = {.i = k * 1000 + b * 100 + i};
                if (k == TSM_FLOAT)
                    v.f = b + i * 0.1;
                else if (k == TSM_BOOLEAN)
                    v.b = i & 1;
                else if (k == TSM_STRING)
                    v.s = TSM_STR("some text");
                tsm_values_add(&c, 1000000000LL * (b * 100 + i * i + k), v);
            }
            tsm_buf_reset(&block);
            assert_int_equal(tsm_block_encode(&block, &c, 0, c.n, NULL), TSM_OK);
            assert_int_equal(tsm_writer_block(w, tsm_str_of(key), c.type, c.t[0], c.t[c.n - 1], block.data,
                                              block.len, NULL),
                             TSM_OK);
        }
    }
    assert_int_equal(tsm_writer_install(w, NULL), TSM_OK);
    tsm_buf_release(&block);
    tsm_values_release(&c);
}

/* The same file without its seal, as influxd would have written it. */
static void strip_seal(struct tsm_buf *b)
{
    uint64_t index = tsm_get_be64(b->data + b->len - 8);
    memmove(b->data + index - SEAL, b->data + index, b->len - index);
    b->len -= SEAL;
    tsm_put_be64(b->data + b->len - 8, index - SEAL);
}

/* How many blocks of `whole` are in the file, byte for byte, under the same key and with the same times. */
static size_t count_found(const struct tsm_reader *whole, const char *path, size_t *others)
{
    struct tsm_reader *r;
    struct tsm_err err;
    size_t n = 0;
    *others = 0;
    if (access(path, F_OK) != 0)
        return 0;
    if (tsm_reader_open_bare(&tsm_fs_posix, path, &r, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < r->nkeys; i++) {
        bool found;
        size_t k = tsm_reader_seek(whole, tsm_reader_key(r, i), &found);
        for (size_t j = 0; j < tsm_reader_entries(r, i); j++) {
            struct tsm_entry e = tsm_reader_entry(r, i, j);
            bool same = false;
            for (size_t l = 0; found && l < tsm_reader_entries(whole, k) && !same; l++) {
                struct tsm_entry x = tsm_reader_entry(whole, k, l);
                same = x.tmin == e.tmin && x.tmax == e.tmax && x.size == e.size &&
                       memcmp(whole->map.data + x.offset, r->map.data + e.offset, e.size) == 0;
            }
            n += same;
            *others += !same;
        }
    }
    tsm_reader_close(r);
    return n;
}

struct maker {
    char dir[256], path[300], model[300];
    struct tsm_buf bytes;
    struct tsm_reader *whole;
    uint64_t index;
};

static struct maker start(bool sealed)
{
    struct maker m;
    memset(&m, 0, sizeof m);
    snprintf(m.dir, sizeof m.dir, "%s", temp_dir);
    snprintf(m.path, sizeof m.path, "%s/" NAME, m.dir);
    snprintf(m.model, sizeof m.model, "%s/model", m.dir);
    make_tsm(m.model);
    m.bytes = get_file(m.model);
    if (!sealed)
        strip_seal(&m.bytes);
    put_file(m.model, m.bytes.data, m.bytes.len);
    assert_int_equal(tsm_reader_open_bare(&tsm_fs_posix, m.model, &m.whole, NULL), TSM_OK);
    m.index = m.whole->index_offset;
    return m;
}

static void stop(struct maker *m)
{
    tsm_reader_close(m->whole);
    tsm_buf_release(&m->bytes);
}

static void test_flip_sealed(void **state)
{
    (void)state;
    struct maker m = start(true);
    for (size_t bit = 0; bit < 8 * m.bytes.len; bit++) {
        struct tsm_buf damaged = {0};
        size_t others, at = bit / 8;
        tsm_buf_add(&damaged, m.bytes.data, m.bytes.len);
        damaged.data[at] ^= (uint8_t)(1u << bit % 8);
        put_file(m.path, damaged.data, damaged.len);
        struct tsm_repair r = repair(m.path, false);
        assert_int_equal(r.damaged, 1);
        bool block = at >= TSM_HEADER_SIZE && at < m.index - SEAL;
        size_t found = count_found(m.whole, m.path, &others);
        if (found != KEYS * BLOCKS - block || others || r.lossy != block || last.lost_blocks != block)
            fail_msg("bit %zu (index at %zu): %zu blocks found, %zu others, %d lost: %s", bit,
                     (size_t)m.index, found, others, (int)last.lost_blocks, last_cause);
        assert_int_equal(last.state, block ? TSM_REPAIR_PART : TSM_REPAIR_WHOLE);
        assert_sound(m.path);
        assert_kept(&damaged);
        tsm_buf_release(&damaged);
    }
    stop(&m);
}

/* Without a seal a changed name cannot be known, and one block may become unreachable. */
static void test_flip_unsealed(void **state)
{
    (void)state;
    struct maker m = start(false);
    size_t lost = 0, renamed = 0;
    for (size_t bit = 0; bit < 8 * m.bytes.len; bit += 3) {
        size_t others, at = bit / 8;
        m.bytes.data[at] ^= (uint8_t)(1u << bit % 8);
        put_file(m.path, m.bytes.data, m.bytes.len);
        struct tsm_buf damaged = get_file(m.path);
        struct tsm_repair r = repair(m.path, false);
        bool block = at >= TSM_HEADER_SIZE && at < m.index;
        size_t found = count_found(m.whole, m.path, &others);
        if (r.damaged)
            assert_kept(&damaged);
        if (found + others < KEYS * BLOCKS - block)
            lost += KEYS * BLOCKS - block - found - others;
        renamed += others > 0;
        if (found < KEYS * BLOCKS - BLOCKS || (at < m.index && found != KEYS * BLOCKS - block))
            fail_msg("bit %zu (index at %zu): %zu blocks found, %zu others: %s", bit, (size_t)m.index, found,
                     others, last_cause);
        assert_sound(m.path);
        m.bytes.data[at] ^= (uint8_t)(1u << bit % 8);
        tsm_buf_release(&damaged);
    }
    print_message("in an index of %zu bits: %zu blocks lost, %zu times other names\n",
                  8 * (m.bytes.len - (size_t)m.index), lost, renamed);
    assert_true(lost < 200);
    stop(&m);
}

/* Several wrong bytes in the index: the records around them are found again. */
static void test_torn_index(void **state)
{
    (void)state;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct maker m = start(sealed);
        for (size_t at = m.index; at + 12 <= m.bytes.len - TSM_FOOTER_SIZE; at++) {
            struct tsm_buf damaged = {0};
            size_t others;
            tsm_buf_add(&damaged, m.bytes.data, m.bytes.len);
            memset(damaged.data + at, 0xa5, 12);
            put_file(m.path, damaged.data, damaged.len);
            if (!repair(m.path, false).damaged) {
                tsm_buf_release(&damaged);
                continue;
            }
            size_t found = count_found(m.whole, m.path, &others);
            /* Twelve bytes reach into two entries of one key, or into the end of a key's record and the head of the next. */
            if (found + others < KEYS * BLOCKS - BLOCKS - 1)
                fail_msg("offset %zu: %zu blocks found, %zu others", at, found, others);
            assert_sound(m.path);
            assert_kept(&damaged);
            tsm_buf_release(&damaged);
        }
        stop(&m);
    }
}

static void test_cut(void **state)
{
    (void)state;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct maker m = start(sealed);
        for (size_t len = 0; len < m.bytes.len; len++) {
            size_t others;
            put_file(m.path, m.bytes.data, len);
            struct tsm_buf damaged = get_file(m.path);
            struct tsm_repair r = repair(m.path, false);
            assert_int_equal(r.damaged, 1);
            size_t found = count_found(m.whole, m.path, &others);
            assert_int_equal(others, 0);
            if (len <= m.index) {
                assert_int_equal(found, 0);
                assert_int_equal(last.state, TSM_REPAIR_NOTHING);
                assert_int_not_equal(access(m.path, F_OK), 0);
            } else if (len == m.bytes.len - 1) {
                assert_int_equal(found, KEYS * BLOCKS);
            }
            if (found)
                assert_sound(m.path);
            assert_kept(&damaged);
            tsm_buf_release(&damaged);
        }
        stop(&m);
    }
}

static void test_names(void **state)
{
    (void)state;
    struct maker m = start(true);
    char other[320];
    m.bytes.data[20] ^= 1;
    put_file(m.path, m.bytes.data, m.bytes.len);
    struct tsm_repair r = repair(m.dir, true); /* a dry run */
    assert_int_equal(r.damaged, 1);
    assert_null(last.kept_as);
    struct tsm_buf now = get_file(m.path);
    assert_memory_equal(now.data, m.bytes.data, now.len);
    tsm_buf_release(&now);
    snprintf(other, sizeof other, "%s.bad", m.path);
    put_file(other, "x", 1);
    repair(m.dir, false);
    snprintf(other, sizeof other, "%s.bad.2", m.path);
    assert_string_equal(last_aside, other);
    assert_int_equal(reports, 1);
    r = repair(m.dir, false);
    assert_int_equal(r.damaged, 0);
    stop(&m);
}

/* A compaction holds the shard. */
static void test_locked(void **state)
{
    (void)state;
    struct maker m = start(true);
    struct tsm_lock lock;
    struct tsm_err err;
    char path[320];
    snprintf(path, sizeof path, "%s/lock", m.dir);
    assert_int_equal(tsm_lock_take(&tsm_fs_posix, path, "someone", &lock, &err), TSM_OK);
    put_file(m.path, m.bytes.data, m.bytes.len);
    struct tsm_repair r = {.fs = &tsm_fs_posix, .holder = "test", .report = keep_report};
    assert_int_equal(tsm_repair_path(&r, m.path, &err), TSM_OK); /* nothing to do, so no lock is needed */
    m.bytes.data[20] ^= 1;
    put_file(m.path, m.bytes.data, m.bytes.len);
    assert_int_equal(tsm_repair_path(&r, m.path, &err), TSM_ELOCKED);
    assert_non_null(strstr(err.msg, "someone"));
    tsm_lock_release(&lock);
    stop(&m);
}

/* Whatever call fails, the damaged bytes are there, and under the name stands the damaged file or the repaired one. */
static void test_failing_disk(void **state)
{
    (void)state;
    struct maker m = start(true);
    struct faulty_fs f;
    struct tsm_err err;
    char bad[320];
    size_t others;
    snprintf(bad, sizeof bad, "%s.bad", m.path);
    m.bytes.data[20] ^= 1;
    faulty_fs_init(&f);
    bool reached = true;
    for (f.fail_at = 1; reached; f.fail_at++) {
        unlink(bad);
        put_file(m.path, m.bytes.data, m.bytes.len);
        f.calls = 0;
        struct tsm_repair r = {.fs = &f.fs, .holder = "test", .report = keep_report};
        int rc = tsm_repair_path(&r, m.path, &err);
        reached = f.calls >= f.fail_at;
        struct tsm_buf now = get_file(m.path);
        bool same = now.len == m.bytes.len && memcmp(now.data, m.bytes.data, now.len) == 0;
        tsm_buf_release(&now);
        if (!same) {
            assert_int_equal(count_found(m.whole, m.path, &others), KEYS * BLOCKS - 1);
            now = get_file(bad);
            assert_int_equal(now.len, m.bytes.len);
            assert_memory_equal(now.data, m.bytes.data, now.len);
            tsm_buf_release(&now);
        }
        assert_true(reached || (rc == TSM_OK && !same));
    }
    assert_true(f.fail_at > 10);
    stop(&m);
}

static void test_other_names(void **state)
{
    (void)state;
    struct tsm_err err;
    struct tsm_repair r = {.fs = &tsm_fs_posix, .holder = "test", .report = keep_report};
    put_file(in_temp("notes.txt"), "x", 1);
    assert_int_equal(tsm_repair_path(&r, in_temp("notes.txt"), &err), TSM_EUSAGE);
    assert_int_equal(tsm_repair_path(&r, in_temp("nowhere"), &err), TSM_ENOTFOUND);
    assert_int_equal(r.damaged, 0);
}

/* ---- tombstones ---- */

static void test_tombstones(void **state)
{
    (void)state;
    enum { MEMBERS = 4 };
    char dir[256], path[300];
    struct tsm_buf plain = {0}, file = {0};
    size_t ends[MEMBERS];
    snprintf(dir, sizeof dir, "%s", temp_dir);
    snprintf(path, sizeof path, "%s/000000001-000000001.tombstone", dir);
    uint8_t head[4];
    tsm_put_be32(head, 0x1504);
    tsm_buf_add(&file, head, 4);
    for (int i = 0; i < MEMBERS; i++) {
        char key[16];
        snprintf(key, sizeof key, "m,t=%d#!~#v", i);
        tsm_buf_reset(&plain);
        tsm_tombstone_entry(&plain, tsm_str_of(key), i, 10 + i);
        assert_int_equal(tsm_tombstone_pack(tsm_buf_view(&plain), &file, NULL), TSM_OK);
        ends[i] = file.len;
    }
    for (size_t bit = 8 * 4; bit < 8 * file.len; bit++) {
        size_t member = 0;
        while (bit / 8 >= ends[member])
            member++;
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        put_file(path, file.data, file.len);
        struct tsm_buf damaged = get_file(path);
        struct tsm_repair r = repair(path, false);
        struct tsm_tombstones t;
        assert_int_equal(tsm_tombstones_read(&tsm_fs_posix, path, &t, NULL), TSM_OK);
        if (r.damaged) { /* a few bits of a gzip header say nothing */
            assert_int_equal(t.n, MEMBERS - 1);
            assert_non_null(last.warning);
            assert_int_equal(last.lost_blocks, 1);
            for (size_t i = 0; i < t.n; i++)
                assert_int_equal(t.items[i].tmin, (int64_t)(i + (i >= member)));
            assert_kept(&damaged);
        } else {
            assert_int_equal(t.n, MEMBERS);
        }
        tsm_tombstones_release(&t);
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        tsm_buf_release(&damaged);
    }
    put_file(path, "", 0);
    repair(path, false);
    assert_int_equal(last.state, TSM_REPAIR_NOTHING);
    assert_non_null(last.warning);
    assert_int_not_equal(access(path, F_OK), 0);
    tsm_buf_release(&plain);
    tsm_buf_release(&file);
}

/* ---- logs ---- */

enum { RECORDS = 4, SEGMENTS = 2 };

/* Each record has a point of its own: time and value are its number. */
static void make_segment(struct tsm_buf *out, uint64_t first)
{
    struct tsm_batch_encoder *e = tsm_batch_encoder_new();
    struct tsm_buf payload = {0};
    struct tsm_points points = {0};
    for (uint64_t i = first; i < first + RECORDS; i++) {
        char text[64];
        uint32_t which = 0;
        struct tsm_line_options opt = {.unit = 1};
        int n = snprintf(text, sizeof text, "m v=%di %d\n", (int)i, (int)i);
        tsm_points_reset(&points);
        tsm_line_parse(tsm_str(text, (size_t)n), &opt, &points, NULL, NULL);
        tsm_buf_reset(&payload);
        tsm_batch_encode(e, &points, &which, 1, &payload);
        tsm_wal_encode(out, TSM_WAL_POINTS, i, tsm_buf_view(&payload));
    }
    tsm_points_release(&points);
    tsm_buf_release(&payload);
    tsm_batch_encoder_free(e);
}

static void test_segments(void **state)
{
    (void)state;
    char dir[256], path[SEGMENTS][300];
    struct tsm_buf bytes[SEGMENTS] = {{0}};
    snprintf(dir, sizeof dir, "%s", temp_dir);
    for (int i = 0; i < SEGMENTS; i++) {
        snprintf(path[i], sizeof path[i], "%s/00000000%d.log", dir, i + 1);
        make_segment(&bytes[i], (uint64_t)(1 + i * RECORDS));
    }
    for (int s = 0; s < SEGMENTS; s++)
        for (size_t bit = 0; bit < 8 * bytes[s].len; bit++) {
            for (int i = 0; i < SEGMENTS; i++)
                put_file(path[i], bytes[i].data, bytes[i].len);
            bytes[s].data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            put_file(path[s], bytes[s].data, bytes[s].len);
            struct tsm_buf damaged = get_file(path[s]);
            bytes[s].data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            struct tsm_repair r = repair(dir, false);
            struct tsm_log *log;
            struct tsm_err err;
            size_t lost = bit / 8 / (bytes[s].len / RECORDS) + (size_t)s * RECORDS + 1;
            if (tsm_log_read(&tsm_fs_posix, dir, NULL, &log, &err) !=
                TSM_OK) /* strictly: nothing is passed over */
                fail_msg("bit %zu of segment %d: %s", bit, s, err.msg);
            if (r.damaged) {
                assert_string_equal(last_path, path[s]);
                assert_kept(&damaged);
                assert_int_equal(last.lost_blocks, 1);
            }
            /* The very last record may look like one that was not written to the end. */
            assert_true(r.damaged == 1 || lost == SEGMENTS * RECORDS);
            assert_int_equal(log->n, 1);
            assert_int_equal(log->items[0].values.n, SEGMENTS * RECORDS - 1);
            for (size_t i = 0; i < log->items[0].values.n; i++)
                assert_int_equal(log->items[0].values.t[i], (int64_t)(i + 1 + (i + 1 >= lost)));
            assert_sound(dir);
            tsm_log_free(log);
            tsm_buf_release(&damaged);
        }
    for (int i = 0; i < SEGMENTS; i++)
        tsm_buf_release(&bytes[i]);
}

#define IN_TEMP(test) cmocka_unit_test_setup_teardown(test, make_temp, remove_temp)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TEMP(test_flip_sealed),  IN_TEMP(test_flip_unsealed), IN_TEMP(test_torn_index),
        IN_TEMP(test_cut),          IN_TEMP(test_names),         IN_TEMP(test_locked),
        IN_TEMP(test_failing_disk), IN_TEMP(test_other_names),   IN_TEMP(test_tombstones),
        IN_TEMP(test_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
