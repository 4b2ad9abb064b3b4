/* tests/unit/test_compaction_run.c: compactions: what they make of their inputs, and that readers see no difference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "codec/block.h"
#include "format/tsm_reader.h"
#include "format/tsm_writer.h"
#include "shard_maker.h"
#include "shard_state.h"
#include "store/compaction_run.h"
#include "temp_dir.h"

static uint64_t seed = 1;

static uint64_t rnd(uint64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % n;
}

/* ---- running one ---- */

static struct tsm_compaction_run new_run(unsigned jobs)
{
    return (struct tsm_compaction_run){
        .fs = &tsm_fs_posix, .dir = temp_dir, .jobs = jobs, .memory = 64 << 20};
}

/* names: as in a plan, separated by commas. */
static size_t parse_names(const char *names, struct tsm_file_name out[16])
{
    size_t n = 0;
    for (const char *p = names; *p; n++) {
        unsigned generation, level;
        int used;
        assert_int_equal(sscanf(p, "%u-%u%n", &generation, &level, &used), 2);
        out[n] = (struct tsm_file_name){generation, level};
        p += used + (p[used] == ',');
    }
    return n;
}

static int execute(struct tsm_compaction_run *run, enum tsm_compaction_action action, const char *inputs,
                   const char *output, struct tsm_err *err)
{
    struct tsm_file_name in[16], out[16] = {{0, 0}};
    struct tsm_compaction c = {
        .action = action, .db = TSM_STR("db"), .rp = TSM_STR("rp"), .shard = 1, .inputs = in};
    c.ninputs = parse_names(inputs, in);
    parse_names(output, out);
    c.output = out[0];
    return tsm_compaction_execute(run, &c, err);
}

static struct tsm_compaction_figures merge(const char *inputs, const char *output)
{
    struct tsm_compaction_run run = new_run(2);
    struct tsm_err err;
    if (execute(&run, TSM_COMPACTION_MERGE, inputs, output, &err))
        fail_msg("%s", err.msg);
    return run.figures;
}

static void assert_names(const char *want)
{
    char names[2000];
    list_files(temp_dir, "", names, sizeof names);
    assert_string_equal(names, want);
}

/* ---- making files ---- */

struct file {
    struct tsm_writer *w;
    struct tsm_buf block;
    struct tsm_values c;
};

static struct file *begin_file(const char *name)
{
    char path[200];
    struct file *f = tsm_calloc(1, sizeof *f);
    struct tsm_err err;
    snprintf(path, sizeof path, "%s/%s.tsm", temp_dir, name);
    if (tsm_writer_open(&tsm_fs_posix, path, &f->w, &err))
        fail_msg("%s", err.msg);
    return f;
}

static void add_value(struct tsm_values *c, int64_t t, uint64_t version)
{
    char text[32];
    union tsm_value v = {.u = version};
    if (c->type == TSM_FLOAT)
        v.f = (double)version * 0.25;
    else if (c->type == TSM_BOOLEAN)
        v.b = version % 2;
    else if (c->type == TSM_STRING)
        v.s = tsm_str(text, (size_t)snprintf(text, sizeof text, "text %llu", (unsigned long long)version));
    tsm_values_add(c, t, v);
}

static void put_column(struct file *f, const char *key)
{
    struct tsm_err err;
    tsm_buf_reset(&f->block);
    if (tsm_block_encode(&f->block, &f->c, 0, f->c.n, &err) ||
        tsm_writer_block(f->w, tsm_str_of(key), f->c.type, f->c.t[0], f->c.t[f->c.n - 1], f->block.data,
                         f->block.len, &err))
        fail_msg("%s", err.msg);
}

/* A block of n values at first, first + step, …; each has its version. */
static void put(struct file *f, const char *key, enum tsm_type type, int64_t first, int64_t step, size_t n,
                uint64_t version)
{
    tsm_values_reset(&f->c, type, n);
    for (size_t i = 0; i < n; i++)
        add_value(&f->c, first + (int64_t)i * step, version + i);
    put_column(f, key);
}

static void end_file(struct file *f)
{
    struct tsm_err err;
    if (tsm_writer_empty(f->w))
        tsm_writer_abandon(f->w);
    else if (tsm_writer_install(f->w, &err))
        fail_msg("%s", err.msg);
    tsm_buf_release(&f->block);
    tsm_values_release(&f->c);
    tsm_free(f);
}

/* A file with one float block. */
static void one_block(const char *name, const char *key, int64_t first, int64_t step, size_t n,
                      uint64_t version)
{
    struct file *f = begin_file(name);
    put(f, key, TSM_FLOAT, first, step, n, version);
    end_file(f);
}

/* ---- random shards ---- */

enum { KEYS = 6 };
static const char *const key_names[KEYS] = {"a#!~#f", "a,t=1#!~#i", "a,t=2#!~#b",
                                            "b#!~#s", "b#!~#u",     "c#!~#f"};
static const enum tsm_type key_types[KEYS] = {TSM_FLOAT,  TSM_INTEGER,  TSM_BOOLEAN,
                                              TSM_STRING, TSM_UNSIGNED, TSM_FLOAT};

/* Blocks of random sizes, small ones and full ones, for random keys; from times on. */
static void random_file(const char *name, int64_t from, int64_t span)
{
    struct file *f = begin_file(name);
    bool any = false;
    for (size_t key = 0; key < KEYS; key++) {
        if (rnd(4) == 0 && (any || key + 1 < KEYS))
            continue;
        int64_t t = from + (int64_t)rnd((uint64_t)span / 2);
        for (size_t blocks = 1 + rnd(6); blocks > 0 && t < from + span; blocks--) {
            size_t n = rnd(3) == 0 ? 1000 : 1 + rnd(rnd(2) ? 700 : 20);
            tsm_values_reset(&f->c, key_types[key], n);
            for (int64_t gap = 1 + (int64_t)rnd(4); n > 0; n--, t += 1 + (int64_t)rnd((uint64_t)gap))
                add_value(&f->c, t, rnd(1000000));
            put_column(f, key_names[key]);
            any = true;
            t += (int64_t)rnd(3000);
        }
    }
    end_file(f);
    char file[64];
    snprintf(file, sizeof file, "%s.tsm", name);
    for (size_t n = rnd(2) ? rnd(5) : 0; n > 0; n--) {
        int64_t tmin = from + (int64_t)rnd((uint64_t)span);
        bool all = rnd(6) == 0;
        make_tombstone(temp_dir, file, key_names[rnd(KEYS)], all ? INT64_MIN : tmin,
                       all ? INT64_MAX : tmin + (int64_t)rnd(2000));
    }
}

/* Some ordered files and some late ones; their names as in a plan. */
static void random_shard(char *inputs, size_t size, bool overlapping)
{
    size_t ordered = 1 + rnd(5), late = rnd(4), used = 0;
    for (size_t i = 0; i < ordered + late; i++) {
        char name[40];
        snprintf(name, sizeof name, "%09u-000000001",
                 i < ordered ? (unsigned)i + 1 : (unsigned)(TSM_FIRST_LATE_GENERATION + i - ordered));
        if (i < ordered && !overlapping)
            random_file(name, (int64_t)i * 1000000, 20000);
        else
            random_file(name, (int64_t)rnd(overlapping ? 5000 : 1000000), 20000);
        used += (size_t)snprintf(inputs + used, size - used, "%s%s", i ? "," : "", name);
    }
}

static void readers_see_no_difference(void **state)
{
    (void)state;
    for (int i = 0; i < 150; i++) {
        char inputs[500];
        struct tsm_buf before = {0};
        seed = (uint64_t)i + 1;
        random_shard(inputs, sizeof inputs, i % 2);
        read_content(temp_dir, &before);
        struct tsm_compaction_figures f = merge(inputs, "000000001-000000002");
        assert_content(temp_dir, &before);
        if (before.len)
            assert_names("000000001-000000002.tsm ");
        assert_int_equal(f.outputs, before.len > 0);
        assert_int_equal(f.compactions, 1);
        tsm_buf_release(&before);
        assert_int_equal(remove_temp(state), 0);
        assert_int_equal(make_temp(state), 0);
    }
}

/* Whatever the number of threads, the memory and the tasks that follow from them. */
static void the_same_inputs_give_the_same_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        char inputs[500];
        struct saved_files before, first = {0};
        seed = (uint64_t)i + 1000;
        if (i < 2) { /* keys of which one alone is more than a task may hold */
            struct file *a = begin_file("000000001-000000001"), *b = begin_file("500000001-000000001");
            for (int64_t k = 0; k < 100; k++)
                for (int file = 0; file < 2; file++) {
                    struct file *f = file ? b : a;
                    tsm_values_reset(&f->c, i ? TSM_STRING : TSM_INTEGER, 1000);
                    for (int64_t n = 0; n < 1000; n++)
                        add_value(&f->c, (k * 1000 + n) * 2 + file * 999, rnd(1ull << 31));
                    put_column(f, "k#!~#v");
                }
            end_file(a);
            end_file(b);
            strcpy(inputs, "000000001-000000001,500000001-000000001");
        } else {
            random_shard(inputs, sizeof inputs, i % 2);
        }
        save_files(temp_dir, &before);
        for (unsigned jobs = 1; jobs <= 3; jobs++)
            for (size_t memory = 1; memory <= (1 << 28); memory *= 1 << 14) {
                restore_files(temp_dir, &before);
                struct tsm_compaction_run run = new_run(jobs);
                struct tsm_err err;
                run.memory = memory;
                if (execute(&run, TSM_COMPACTION_MERGE, inputs, "000000001-000000002", &err))
                    fail_msg("%s", err.msg);
                if (first.files)
                    assert_files(temp_dir, &first);
                else
                    save_files(temp_dir, &first);
            }
        release_files(&first);
        release_files(&before);
        assert_int_equal(remove_temp(state), 0);
        assert_int_equal(make_temp(state), 0);
    }
}

/* ---- what is copied, joined and merged ---- */

static struct tsm_reader *open_output(const char *name)
{
    char path[200];
    struct tsm_reader *r;
    struct tsm_err err;
    snprintf(path, sizeof path, "%s/%s.tsm", temp_dir, name);
    if (tsm_reader_open_bare(&tsm_fs_posix, path, &r, &err))
        fail_msg("%s", err.msg);
    return r;
}

/* The numbers of values in the blocks of key 0 of a file are these. */
static void assert_blocks(const char *name, const char *want)
{
    struct tsm_reader *r = open_output(name);
    char have[1000] = "";
    size_t used = 0;
    for (size_t i = 0; i < tsm_reader_entries(r, 0); i++) {
        struct tsm_entry e = tsm_reader_entry(r, 0, i);
        size_t n;
        assert_int_equal(tsm_reader_count(r, &e, &n, NULL), TSM_OK);
        used += (size_t)snprintf(have + used, sizeof have - used, "%s%zu", i ? " " : "", n);
    }
    assert_string_equal(have, want);
    tsm_reader_close(r);
}

static void assert_figures(struct tsm_compaction_figures f, uint64_t copied, uint64_t joined, uint64_t merged,
                           uint64_t points, uint64_t overwritten, uint64_t deleted)
{
    assert_int_equal(f.copied, copied);
    assert_int_equal(f.joined, joined);
    assert_int_equal(f.merged, merged);
    assert_int_equal(f.points, points);
    assert_int_equal(f.overwritten, overwritten);
    assert_int_equal(f.deleted, deleted);
}

#define A "000000001-000000001"
#define B "000000002-000000001"
#define C "000000003-000000001"
#define L "500000001-000000001"
#define OUT "000000001-000000002"
#define K "k#!~#f"

static void ordered_blocks_are_copied(void **state)
{
    (void)state;
    struct file *f = begin_file(A);
    put(f, K, TSM_FLOAT, 0, 10, 1000, 0);
    put(f, K, TSM_FLOAT, 10000, 10, 300, 0); /* small, alone between large ones */
    end_file(f);
    f = begin_file(B);
    put(f, K, TSM_FLOAT, 20000, 10, 1000, 0);
    put(f, K, TSM_FLOAT, 30000, 10, 500, 0);
    end_file(f);
    struct tsm_reader *a = open_output(A), *b = open_output(B);
    uint64_t size_a = a->map.size, size_b = b->map.size, digest_a = tsm_reader_digest(a);
    tsm_reader_close(a);
    tsm_reader_close(b);
    struct tsm_compaction_figures fig = merge(A "," B, OUT);
    assert_figures(fig, 4, 0, 0, 2800, 0, 0);
    assert_int_equal(fig.inputs, 2);
    assert_int_equal(fig.read_bytes, size_a + size_b);
    assert_blocks(OUT, "1000 300 1000 500");
    struct tsm_reader *r = open_output(OUT);
    assert_int_equal(fig.written_bytes, r->map.size);
    assert_true(r->sealed);
    assert_int_equal(r->norigins, 2);
    assert_int_equal(r->origins[0].name.generation, 1);
    assert_int_equal(r->origins[0].name.level, 1);
    assert_true(r->origins[0].size == size_a && r->origins[0].digest == digest_a);
    assert_int_equal(r->origins[1].name.generation, 2);
    tsm_reader_close(r);
}

static void small_neighbours_are_joined(void **state)
{
    (void)state;
    static const struct {
        size_t blocks[6];
        const char *want;
        uint64_t copied, joined;
    } cases[] = {
        {{1000, 499, 499, 1000}, "1000 998 1000", 2, 2}, {{400, 400, 400}, "600 600", 0, 3},
        {{499, 499, 499, 499}, "1000 996", 0, 4},        {{1, 1, 1, 1, 1, 1}, "6", 0, 6},
        {{499, 500, 499}, "499 500 499", 3, 0},          {{10, 1000, 10, 10}, "10 1000 20", 2, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_buf before = {0};
        uint64_t points = 0;
        for (size_t k = 0; k < 6 && cases[i].blocks[k]; k++) { /* each in a file of its own */
            char name[40];
            snprintf(name, sizeof name, "%09zu-000000001", k + 1);
            one_block(name, K, (int64_t)k * 100000, 7, cases[i].blocks[k], k * 5000);
            points += cases[i].blocks[k];
        }
        read_content(temp_dir, &before);
        char inputs[300] = A;
        for (unsigned k = 2; k <= 6 && cases[i].blocks[k - 1]; k++)
            snprintf(inputs + strlen(inputs), sizeof inputs - strlen(inputs), ",%09u-000000001", k);
        assert_figures(merge(inputs, OUT), cases[i].copied, cases[i].joined, 0, points, 0, 0);
        assert_blocks(OUT, cases[i].want);
        assert_content(temp_dir, &before);
        tsm_buf_release(&before);
        assert_int_equal(remove_temp(state), 0);
        assert_int_equal(make_temp(state), 0);
    }
}

static void only_what_overlaps_is_merged(void **state)
{
    (void)state;
    struct tsm_buf before = {0};
    struct file *f = begin_file(A);
    for (int64_t i = 0; i < 5; i++)
        put(f, K, TSM_FLOAT, i * 10000, 10, 1000, 0);
    end_file(f);
    f = begin_file(L);
    put(f, K, TSM_FLOAT, 15000, 10, 100, 7000); /* over values of the second block */
    put(f, K, TSM_FLOAT, 35005, 10, 100, 8000); /* between values of the fourth */
    end_file(f);
    read_content(temp_dir, &before);
    struct tsm_compaction_figures fig = merge(A "," L, OUT);
    assert_figures(fig, 3, 0, 4, 5100, 100, 0);
    assert_blocks(OUT, "1000 1000 1000 550 550 1000");
    assert_content(temp_dir, &before);
    tsm_buf_release(&before);
}

static void strings_are_cut_by_their_bytes(void **state)
{
    (void)state;
    struct tsm_buf before = {0};
    static char text[100001];
    memset(text, 'x', sizeof text);
    struct file *f = begin_file(A);
    for (int64_t i = 0; i < 10; i++) {
        tsm_values_reset(&f->c, TSM_STRING, 1);
        text[0] = (char)('a' + i);
        tsm_values_add(&f->c, i, (union tsm_value){.s = tsm_str(text, i < 8 ? 100000 : 10)});
        put_column(f, "k#!~#s");
    }
    end_file(f);
    read_content(temp_dir, &before);
    assert_figures(merge(A, OUT), 0, 10, 0, 10, 0, 0);
    assert_blocks(OUT, "2 2 2 4");
    assert_content(temp_dir, &before);
    tsm_buf_release(&before);
}

static void nothing_is_joined_over_a_file_that_stays(void **state)
{
    (void)state;
    struct tsm_buf before = {0};
    one_block(A, K, 0, 10, 100, 0);
    one_block(B, K, 2000, 10, 100, 0); /* no input */
    one_block(C, K, 4000, 10, 100, 0);
    one_block("000000004-000000001", K, 6000, 10, 100, 0);
    read_content(temp_dir, &before);
    assert_figures(merge(A "," C ",000000004-000000001", OUT), 1, 2, 0, 300, 0, 0);
    assert_blocks(OUT, "100 200");
    assert_names(OUT ".tsm " B ".tsm ");
    assert_content(temp_dir, &before);
    tsm_buf_release(&before);
}

/* The end of one merged block and the beginning of the next are decoded together; a block that is not merged may lie between. */
static void merged_stretches_do_not_reach_over_a_file_that_stays(void **state)
{
    (void)state;
    struct tsm_buf before = {0};
    struct file *f = begin_file(A);
    put(f, K, TSM_FLOAT, 0, 10, 600, 0);
    put(f, K, TSM_FLOAT, 50000, 10, 600, 0);
    end_file(f);
    one_block(B, K, 20000, 10, 600, 0); /* no input */
    f = begin_file(L);
    put(f, K, TSM_FLOAT, 5985, 10, 2, 100);  /* over the end of the first */
    put(f, K, TSM_FLOAT, 49995, 10, 2, 100); /* … and the beginning of the second */
    end_file(f);
    read_content(temp_dir, &before);
    assert_figures(merge(A "," L, OUT), 0, 0, 4, 1204, 0, 0);
    assert_blocks(OUT, "602 602");
    assert_content(temp_dir, &before);
    tsm_buf_release(&before);
}

/* ---- deletes ---- */

static void deleted_values_are_gone(void **state)
{
    (void)state;
    struct tsm_buf before = {0};
    struct file *f = begin_file(A);
    put(f, "a#!~#f", TSM_FLOAT, 0, 10, 1000, 0);
    put(f, "a#!~#f", TSM_FLOAT, 10000, 10, 1000, 0);
    put(f, "a#!~#f", TSM_FLOAT, 20000, 10, 1000, 0);
    put(f, "b#!~#f", TSM_FLOAT, 0, 10, 1000, 0);
    put(f, "c#!~#f", TSM_FLOAT, 0, 10, 1000, 0);
    end_file(f);
    make_tombstone(temp_dir, A ".tsm", "a#!~#f", 5000, 5990);   /* cuts the first block */
    make_tombstone(temp_dir, A ".tsm", "a#!~#f", 10000, 19990); /* all of the second */
    make_tombstone(temp_dir, A ".tsm", "b#!~#f", INT64_MIN, INT64_MAX);
    one_block(B, "b#!~#f", 500, 10, 1000, 50000);
    read_content(temp_dir, &before);
    assert_figures(merge(A "," B, OUT), 3, 0, 1, 3900, 0, 2100);
    assert_names(OUT ".tsm ");
    assert_content(temp_dir, &before);
    tsm_buf_release(&before);
}

static void when_everything_is_deleted_nothing_is_left(void **state)
{
    (void)state;
    one_block(A, K, 0, 10, 1000, 0);
    one_block(B, K, 20000, 10, 1000, 0);
    make_tombstone(temp_dir, A ".tsm", K, 0, 9990);
    make_tombstone(temp_dir, B ".tsm", K, 20000, 25000);
    make_tombstone(temp_dir, B ".tsm", K, 25001, INT64_MAX);
    struct tsm_compaction_figures f = merge(A "," B, OUT);
    assert_names("");
    assert_int_equal(f.deleted, 2000);
    assert_int_equal(f.outputs, 0);
}

static void a_dead_file_is_dropped(void **state)
{
    (void)state;
    struct tsm_compaction_run run = new_run(1);
    struct tsm_err err;
    one_block(A, K, 0, 10, 1000, 0);
    one_block(B, K, 20000, 10, 1000, 0);
    make_tombstone(temp_dir, A ".tsm", K, 0, 9989);
    assert_int_equal(execute(&run, TSM_COMPACTION_DROP, A, "", &err), TSM_EPARSE);
    assert_non_null(strstr(err.msg, "not everything in it is deleted"));
    assert_names(A ".tombstone " A ".tsm " B ".tsm ");
    make_tombstone(temp_dir, A ".tsm", K, 9990, 9990);
    if (execute(&run, TSM_COMPACTION_DROP, A, "", &err))
        fail_msg("%s", err.msg);
    assert_names(B ".tsm ");
    assert_int_equal(run.figures.dropped, 1);
    assert_int_equal(run.figures.deleted, 1000);
}

static void a_late_file_is_moved(void **state)
{
    (void)state;
    struct tsm_compaction_run run = new_run(1);
    struct tsm_buf before = {0};
    struct tsm_err err;
    one_block(A, K, 0, 10, 100, 0);
    one_block(C, K, 20000, 10, 100, 0);
    one_block(L, K, 10000, 10, 100, 0);
    read_content(temp_dir, &before);
    assert_int_equal(execute(&run, TSM_COMPACTION_MOVE, L, A, &err), TSM_ENOTFOUND);
    assert_int_not_equal(execute(&run, TSM_COMPACTION_MOVE, L, "000000004-000000001", &err), TSM_OK);
    assert_int_not_equal(execute(&run, TSM_COMPACTION_MOVE, L, "000000002-000000002", &err), TSM_OK);
    make_tombstone(temp_dir, L ".tsm", K, 10000, 10000);
    assert_int_not_equal(execute(&run, TSM_COMPACTION_MOVE, L, B, &err), TSM_OK);
    char path[200];
    snprintf(path, sizeof path, "%s/" L ".tombstone", temp_dir);
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, path, NULL), TSM_OK);
    assert_names(A ".tsm " C ".tsm " L ".tsm ");
    if (execute(&run, TSM_COMPACTION_MOVE, L, B, &err))
        fail_msg("%s", err.msg);
    assert_names(A ".tsm " B ".tsm " C ".tsm ");
    assert_content(temp_dir, &before);
    assert_int_equal(run.figures.moved, 1);
    tsm_buf_release(&before);
}

/* ---- influxd's files ---- */

/* influxd writes a large generation as several files, whose levels go on from each other. */
static void generations_of_several_files(void **state)
{
    (void)state;
    struct tsm_buf before = {0};
    one_block("000000001-000000005", "a#!~#f", 0, 10, 1000, 0);
    one_block("000000001-000000006", "b#!~#f", 0, 10, 1000, 0);
    one_block("000000002-000000005", "b#!~#f", 5000, 10, 1000, 70000);
    one_block("000000003-000000001", "c#!~#f", 0, 10, 1000, 0);
    read_content(temp_dir, &before);
    assert_figures(
        merge("000000001-000000005,000000001-000000006,000000002-000000005", "000000001-000000007"), 1, 0, 2,
        2500, 500, 0);
    assert_names("000000001-000000007.tsm 000000003-000000001.tsm ");
    assert_content(temp_dir, &before);
    tsm_buf_release(&before);
}

/* ---- limits ---- */

static void too_many_blocks_of_one_key(void **state)
{
    (void)state;
    struct saved_files before;
    struct tsm_compaction_run run = new_run(2);
    struct tsm_err err;
    for (int i = 0; i < 2; i++) {
        struct file *f = begin_file(i ? B : A);
        for (int64_t k = 0; k < 33000; k++)
            put(f, K, TSM_INTEGER, (k + i * 33000) * 500, 1, 500, 0);
        end_file(f);
    }
    save_files(temp_dir, &before);
    assert_int_equal(execute(&run, TSM_COMPACTION_MERGE, A "," B, OUT, &err), TSM_ELIMIT);
    assert_non_null(strstr(err.msg, "more than 65535 blocks for one key"));
    assert_files(temp_dir, &before);
    assert_int_equal(run.figures.compactions, 0);
    release_files(&before);
}

static int no_room(void *ctx, const char *path, uint64_t *room, uint64_t *total)
{
    (void)ctx, (void)path;
    *room = 1000;
    *total = 1 << 30;
    return 0;
}

static bool stop_at_once(void *ctx)
{
    return ++*(int *)ctx > 0;
}

static void nothing_changes_when_it_cannot_be_done(void **state)
{
    (void)state;
    struct saved_files before;
    struct tsm_err err;
    int asked = 0;
    one_block(A, K, 0, 10, 1000, 0);
    one_block(B, K, 20000, 7, 1000, 0);
    save_files(temp_dir, &before);

    struct tsm_fs full = tsm_fs_posix;
    full.space = no_room;
    struct tsm_compaction_run run = new_run(2);
    run.fs = &full;
    assert_int_equal(execute(&run, TSM_COMPACTION_MERGE, A "," B, OUT, &err), TSM_ENOSPC);
    assert_files(temp_dir, &before);

    run = new_run(2);
    run.stop = stop_at_once;
    run.ctx = &asked;
    assert_int_equal(execute(&run, TSM_COMPACTION_MERGE, A "," B, OUT, &err), TSM_ESTOP);
    assert_true(asked > 0);
    assert_files(temp_dir, &before);

    run = new_run(2);
    assert_int_equal(execute(&run, TSM_COMPACTION_MERGE, A "," C, OUT, &err), TSM_ENOTFOUND);
    assert_files(temp_dir, &before);
    run.io_limit = 1 << 20; /* and a pace: no failure, but one more way to run */
    assert_int_equal(execute(&run, TSM_COMPACTION_MERGE, A "," B, OUT, &err), TSM_OK);
    release_files(&before);
}

static void damage_is_named_and_nothing_changes(void **state)
{
    (void)state;
    struct saved_files before;
    struct tsm_err err;
    for (int late = 0; late < 2; late++) { /* in a block that is copied, and in one that is merged */
        one_block(A, K, 0, 10, 1000, 0);
        one_block(late ? L : B, K, late ? 5000 : 20000, 7, 1000, 0);
        damage_file(temp_dir, late ? L ".tsm" : B ".tsm", 300);
        save_files(temp_dir, &before);
        struct tsm_compaction_run run = new_run(2);
        assert_int_equal(execute(&run, TSM_COMPACTION_MERGE, late ? A "," L : A "," B, OUT, &err),
                         TSM_ECORRUPT);
        assert_non_null(strstr(err.msg, late ? L ".tsm: offset 5: " : B ".tsm: offset 5: "));
        assert_files(temp_dir, &before);
        assert_int_equal(run.figures.compactions, 0);
        release_files(&before);
        assert_int_equal(remove_temp(state), 0);
        assert_int_equal(make_temp(state), 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_temp, remove_temp)
    const struct CMUnitTest tests[] = {
        TEST(readers_see_no_difference),
        TEST(the_same_inputs_give_the_same_bytes),
        TEST(ordered_blocks_are_copied),
        TEST(small_neighbours_are_joined),
        TEST(only_what_overlaps_is_merged),
        TEST(strings_are_cut_by_their_bytes),
        TEST(nothing_is_joined_over_a_file_that_stays),
        TEST(merged_stretches_do_not_reach_over_a_file_that_stays),
        TEST(deleted_values_are_gone),
        TEST(when_everything_is_deleted_nothing_is_left),
        TEST(a_dead_file_is_dropped),
        TEST(a_late_file_is_moved),
        TEST(generations_of_several_files),
        TEST(too_many_blocks_of_one_key),
        TEST(nothing_changes_when_it_cannot_be_done),
        TEST(damage_is_named_and_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
