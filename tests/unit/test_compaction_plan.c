/* tests/unit/test_compaction_plan.c: lines of a plan; the rules; what is planned for shards in tables; and random shards that are
 * planned and compacted to the end, with the same answers after every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shard_maker.h"
#include "temp_dir.h"

#include "base/alloc.h"
#include "base/time.h"
#include "codec/block.h"
#include "format/tsm_writer.h"
#include "store/compaction_plan.h"
#include "store/compaction_run.h"
#include "store/scan.h"

#define LATE TSM_FIRST_LATE_GENERATION
#define DB TSM_STR("db")
#define RP TSM_STR("autogen")

static void must(int rc, const struct tsm_err *err)
{
    if (rc)
        fail_msg("%s", err->msg);
}

/* ---- shards as text ------------------------------------------------------------------------------
 *
 * A line for each file: its name, 3-1, or L3-1 when it is out of order; then blocks, KEY:FROM-TO, each with a value at its first
 * and its last time; then !KEY:FROM-TO, which is deleted; #SIZE, what it is taken to have; ~, it is damaged.
 */

enum { MAX_SIZES = 6000, DEFAULT_SIZE = 1000 };

static struct {
    char path[128];
    uint64_t size;
} sizes[MAX_SIZES];
static size_t nsizes;
static int64_t mtime;

static int sized_stat(void *ctx, const char *path, struct tsm_fs_stat *st)
{
    int rc = tsm_fs_posix.stat(ctx, path, st);
    size_t n = strlen(path);
    if (rc == 0 && n > 4 && strcmp(path + n - 4, ".tsm") == 0) {
        st->size = DEFAULT_SIZE;
        st->mtime = mtime;
        for (size_t i = 0; i < nsizes; i++)
            if (strcmp(sizes[i].path, path) == 0)
                st->size = sizes[i].size;
    }
    return rc;
}

static struct tsm_fs sized_fs(void)
{
    struct tsm_fs fs = tsm_fs_posix;
    fs.stat = sized_stat;
    return fs;
}

static struct tsm_file_name parse_name(const char *text)
{
    struct tsm_file_name name;
    bool late = *text == 'L';
    if (!tsm_file_name_parse(tsm_str_of(text + late), "", &name))
        fail_msg("%s", text);
    name.generation += late ? LATE - 1 : 0;
    return name;
}

static void add_block(struct tsm_writer *w, const char *key, int64_t from, int64_t to)
{
    struct tsm_err err;
    struct tsm_values v = {0};
    struct tsm_buf block = {0};
    tsm_values_reset(&v, TSM_INTEGER, 2);
    tsm_values_add(&v, from, (union tsm_value){.i = 1});
    if (to > from)
        tsm_values_add(&v, to, (union tsm_value){.i = 2});
    must(tsm_block_encode(&block, &v, 0, v.n, &err), &err);
    must(tsm_writer_block(w, tsm_str_of(key), v.type, from, to, block.data, block.len, &err), &err);
    tsm_buf_release(&block);
    tsm_values_release(&v);
}

static void make_line(char *line)
{
    char *rest, text[TSM_NAME_MAX], key[64];
    struct tsm_err err;
    struct tsm_writer *w;
    long from, to;
    tsm_file_name_format(text, parse_name(strtok_r(line, " ", &rest)), ".tsm");
    must(tsm_writer_open(&tsm_fs_posix, in_temp(text), &w, &err), &err);
    char *words[64];
    size_t n = 0;
    for (char *word; (word = strtok_r(NULL, " ", &rest));)
        words[n++] = word;
    for (size_t i = 0; i < n; i++)
        if (sscanf(words[i], "%[a-z]:%ld-%ld", key, &from, &to) == 3)
            add_block(w, key, from, to);
    must(tsm_writer_install(w, &err), &err);
    for (size_t i = 0; i < n; i++) {
        if (sscanf(words[i], "!%[a-z]:%ld-%ld", key, &from, &to) == 3) {
            make_tombstone(temp_dir, text, key, from, to);
        } else if (words[i][0] == '#') {
            snprintf(sizes[nsizes].path, sizeof sizes[nsizes].path, "%s", in_temp(text));
            sizes[nsizes++].size = strtoull(words[i] + 1, NULL, 10);
        } else if (words[i][0] == '~') {
            damage_file(temp_dir, text, 0);
        }
    }
}

static void make_shard(const char *text)
{
    char *copy = tsm_strdup(text), *rest;
    nsizes = 0;
    must(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), NULL);
    must(tsm_fs_make_dirs(&tsm_fs_posix, temp_dir, NULL), NULL);
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        make_line(line);
    tsm_free(copy);
}

static void print_name(struct tsm_buf *b, struct tsm_file_name name)
{
    bool late = name.generation >= LATE;
    tsm_buf_printf(b, "%s%u-%u", late ? "L" : "", late ? name.generation - LATE + 1 : name.generation,
                   name.level);
}

static void print_plan(struct tsm_buf *b, const struct tsm_compactions *plan)
{
    for (size_t i = 0; i < plan->n; i++) {
        const struct tsm_compaction *c = &plan->items[i];
        tsm_buf_printf(b, "%s", tsm_compaction_action_name(c->action));
        for (size_t j = 0; j < c->ninputs; j++) {
            tsm_buf_byte(b, ' ');
            print_name(b, c->inputs[j]);
        }
        if (c->action != TSM_COMPACTION_DROP) {
            tsm_buf_puts(b, " > ");
            print_name(b, c->output);
        }
        tsm_buf_byte(b, '\n');
    }
}

static int damages;

static void on_damage(void *ctx, const char *message)
{
    (void)ctx;
    (void)message;
    damages++;
}

static const struct tsm_damage damage = {.report = on_damage};

/* Plans the shard in temp_dir; every compaction keeps the rules by itself. */
static void plan_now(const struct tsm_plan_options *opt, struct tsm_compactions *plan)
{
    struct tsm_fs fs = sized_fs();
    struct tsm_err err;
    must(tsm_compaction_plan(&fs, temp_dir, DB, RP, 7, opt, &damage, plan, &err), &err);
    for (size_t i = 0; i < plan->n; i++) {
        assert_int_equal(plan->items[i].shard, 7);
        must(tsm_compaction_check(&fs, temp_dir, &plan->items[i], &err), &err);
    }
}

static void expect_plan(const char *shard, struct tsm_plan_options opt, const char *expected)
{
    struct tsm_compactions plan;
    struct tsm_buf text = {0};
    make_shard(shard);
    plan_now(&opt, &plan);
    print_plan(&text, &plan);
    if (strcmp(tsm_buf_cstr(&text), expected) != 0)
        fail_msg("shard:\n%s\nexpected:\n%s\nplanned:\n%s", shard, expected, tsm_buf_cstr(&text));
    tsm_buf_release(&text);
    tsm_compactions_release(&plan);
}

#define HOT ((struct tsm_plan_options){.now = 1000, .cold = 1000000})
#define COLD ((struct tsm_plan_options){.now = 1000})

/* ---- tables -------------------------------------------------------------------------------------- */

static void test_level_1(void **state)
{
    (void)state;
    expect_plan("", HOT, "");
    expect_plan("1-1 a:0-9", COLD, "");
    expect_plan("1-1 a:0-9\n2-1 a:10-19\n3-1 a:20-29", HOT, "");
    expect_plan("1-1 a:0-9\n2-1 a:10-19\n3-1 a:20-29", COLD, "merge 1-1 2-1 3-1 > 1-3\n");
    expect_plan("1-1 a:0-9\n2-1 a:10-19\n3-1 a:20-29\n4-1 a:30-39", HOT, "merge 1-1 2-1 3-1 4-1 > 1-2\n");
    /* 64 MiB; and not for a single file */
    expect_plan("1-1 a:0-9 #33554432\n2-1 a:10-19 #33554432", HOT, "merge 1-1 2-1 > 1-2\n");
    expect_plan("1-1 a:0-9 #67108864", HOT, "");
    /* neighbours only, except in a cold shard */
    expect_plan("1-1 a:0-9\n2-1 a:10-19\n3-2 a:20-29\n4-1 a:30-39\n5-1 a:40-49", HOT, "");
    expect_plan("1-1 a:0-9\n2-1 a:10-19\n3-2 a:20-29\n4-1 a:30-39\n5-1 a:40-49", COLD,
                "merge 1-1 2-1 4-1 5-1 > 1-3\n");
    /* no more than 2 GiB at once */
    expect_plan(
        "1-1 a:0-9 #900000000\n2-1 a:10-19 #900000000\n3-1 a:20-29 #900000000\n4-1 a:30-39 #900000000", HOT,
        "merge 1-1 2-1 > 1-2\nmerge 3-1 4-1 > 3-2\n");
}

static void test_level_limit(void **state)
{
    (void)state;
    struct tsm_plan_options two = COLD;
    two.max_level = 2;
    expect_plan("1-1 a:0-9\n2-1 a:10-19", two, "merge 1-1 2-1 > 1-2\n");
    expect_plan("1-2 a:0-9\n2-1 a:10-19\nL1-1 a:5-15", two, "");
    two.max_level = 3;
    expect_plan("1-2 a:0-9\n2-1 a:10-19\nL1-1 a:5-15", two, "merge 1-2 2-1 L1-1 > 1-3\n");
}

static void test_small(void **state)
{
    (void)state;
    struct tsm_buf text = {0};
    for (int i = 1; i <= 15; i++)
        tsm_buf_printf(&text, "%d-2 a:%d-%d\n", i, i * 10, i * 10 + 9);
    expect_plan(tsm_buf_cstr(&text), HOT, "");
    expect_plan(tsm_buf_cstr(&text), COLD,
                "merge 1-2 2-2 3-2 4-2 5-2 6-2 7-2 8-2 9-2 10-2 11-2 12-2 13-2 14-2 15-2 > 1-3\n");
    tsm_buf_puts(&text, "16-3 a:160-169\n");
    expect_plan(tsm_buf_cstr(&text), HOT,
                "merge 1-2 2-2 3-2 4-2 5-2 6-2 7-2 8-2 9-2 10-2 11-2 12-2 13-2 14-2 15-2 16-3 > 1-4\n");
    tsm_buf_reset(&text);
    tsm_buf_puts(&text, "1-3 a:0-9 #9000\n"); /* a large one among them stays as it is */
    for (int i = 2; i <= 9; i++)
        tsm_buf_printf(&text, "%d-2 a:%d-%d\n", i, i * 10, i * 10 + 9);
    expect_plan(tsm_buf_cstr(&text), COLD, "merge 2-2 3-2 4-2 5-2 6-2 7-2 8-2 9-2 > 2-3\n");
    tsm_buf_release(&text);
}

static void test_late(void **state)
{
    (void)state;
    /* worth it from a quarter of what it overlaps; what it does not overlap stays */
    expect_plan("1-2 a:0-9\n2-2 a:10-19\n3-2 a:20-29\nL1-1 a:12-13 #250", HOT, "merge 2-2 L1-1 > 2-3\n");
    expect_plan("1-2 a:0-9\n2-2 a:10-19\n3-2 a:20-29\nL1-1 a:12-13 #249", HOT, "");
    expect_plan("1-2 a:0-9\n2-2 a:10-19\n3-2 a:20-29\nL1-1 a:12-13 #1", COLD, "merge 2-2 L1-1 > 2-3\n");
    /* overlap is of blocks, not of files */
    expect_plan("1-2 a:0-9 a:20-29\n3-2 b:0-100\nL1-1 a:12-13 b:200-201", HOT, "move L1-1 > 2-1\n");
    /* eight, and a sixteenth of the bytes */
    expect_plan(
        "1-2 a:0-99 #1000\nL1-1 a:0-1 #8\nL2-1 a:2-3 #8\nL3-1 a:4-5 #8\nL4-1 a:6-7 #8\nL5-1 a:8-9 #8\n"
        "L6-1 a:10-11 #8\nL7-1 a:12-13 #8\nL8-1 a:14-15 #8",
        HOT, "merge 1-2 L1-1 L2-1 L3-1 L4-1 L5-1 L6-1 L7-1 L8-1 > 1-3\n");
    /* less than that: among themselves */
    expect_plan(
        "1-2 a:0-99 #1000\nL1-1 a:0-1 #7\nL2-1 a:2-3 #7\nL3-1 a:4-5 #7\nL4-1 a:6-7 #7\nL5-1 a:8-9 #7\n"
        "L6-1 a:10-11 #7\nL7-1 a:12-13 #7\nL8-1 a:14-15 #7",
        HOT, "merge L1-1 L2-1 L3-1 L4-1 L5-1 L6-1 L7-1 L8-1 > L1-2\n");
    /* all before it come along, and what overlaps those */
    expect_plan("1-2 a:0-9\n2-2 b:0-9\n3-2 c:0-9\nL1-1 a:1-2\nL2-1 b:1-2", COLD,
                "merge 1-2 2-2 L1-1 L2-1 > 1-3\n");
    /* a cold shard's level 1 as well */
    expect_plan("1-2 a:0-9\n2-1 a:10-19\n3-1 a:20-29\nL1-1 a:1-2", COLD, "merge 1-2 2-1 3-1 L1-1 > 1-3\n");
    expect_plan("1-4 a:0-9\nL1-1 a:1-2", COLD, "merge 1-4 L1-1 > 1-5\n");
}

static void test_moves(void **state)
{
    (void)state;
    expect_plan("1-2 a:0-9\n4-2 a:20-29\nL1-1 a:10-19", HOT, "move L1-1 > 3-1\n");
    expect_plan("2-2 a:0-9\n4-2 a:20-29\nL1-1 a:10-19\nL2-1 b:0-0\nL3-2 c:0-0", HOT,
                "move L1-1 > 3-1\nmove L2-1 > 1-1\n");
    /* what overlaps another out-of-order file stays */
    expect_plan("1-2 a:0-9\n4-2 a:20-29\nL1-1 a:10-12\nL2-1 a:12-14", HOT, "");
    /* none is free: with the smallest */
    expect_plan("1-2 a:0-9 #2000\n2-2 a:20-29 #1500\nL1-1 a:10-19", HOT, "merge 2-2 L1-1 > 2-3\n");
    /* nothing is ordered: it wins over nothing as it is */
    expect_plan("L1-1 a:10-19", COLD, "");
    expect_plan("L1-1 a:10-19\nL2-1 b:10-19", COLD, "merge L1-1 L2-1 > L1-3\n");
}

static void test_tombstones(void **state)
{
    (void)state;
    expect_plan("1-2 a:0-9 a:10-19 !a:0-9 #100000", HOT, "");
    expect_plan("1-2 a:0-9 a:10-19 !a:0-9 #300", HOT, "merge 1-2 > 1-3\n");
    expect_plan("1-2 a:0-9 a:10-19 !a:0-3 #300", HOT, "");
    expect_plan("1-2 a:0-9 a:10-19 !a:0-3 #100000", COLD, "merge 1-2 > 1-3\n");
    expect_plan("1-2 a:0-9 a:10-19 !a:30-40 !b:0-9", COLD, ""); /* nothing in it */
    expect_plan("1-2 a:0-9 !a:0-5 !a:6-9\n2-2 a:10-19\nL1-1 b:0-9 !b:0-100", HOT, "drop 1-2 L1-1\n");
    /* with tombstones it cannot be moved; without them it can be, by the next plan */
    expect_plan("1-2 a:0-9\n4-2 a:20-29\nL1-1 a:10-19 b:0-9 !b:0-9 #100", HOT, "merge L1-1 > L1-2\n");
    expect_plan("1-2 a:0-9\n4-2 a:20-29\nL1-2 a:10-19", HOT, "move L1-2 > 3-2\n");
    expect_plan("1-2 a:0-9\n4-2 a:20-29\nL1-1 a:10-19 !b:0-9", HOT, "");
    expect_plan("1-2 a:0-9\n4-2 a:20-29\nL1-1 a:10-19 !b:0-9", COLD, "merge L1-1 > L1-3\n");
}

static void test_damage(void **state)
{
    (void)state;
    damages = 0;
    expect_plan("1-1 a:0-9\n2-1 a:10-19\n3-1 a:20-29 ~\n4-1 a:30-39\n5-1 a:40-49", COLD,
                "merge 1-1 2-1 > 1-3\nmerge 4-1 5-1 > 4-3\n");
    assert_int_equal(damages, 1);
    expect_plan("1-2 a:0-9\n2-2 a:10-19 ~\nL1-1 a:1-2", COLD, "");
    expect_plan("1-2 a:0-9\n4-2 a:10-19 ~\nL1-1 b:1-2", COLD, "");
    expect_plan("1-2 a:0-9\n2-2 a:10-19\nL1-1 a:1-2\nL2-1 a:11-12 ~\nL3-1 a:13-14", COLD,
                "merge 1-2 L1-1 > 1-3\n");
    assert_int_equal(damages, 4);
    /* what is to be avoided is planned around, too, and not reported */
    struct tsm_file_name three = {3, 1};
    struct tsm_plan_options opt = COLD;
    opt.avoid = &three;
    opt.navoid = 1;
    expect_plan("1-1 a:0-9\n2-1 a:10-19\n3-1 a:20-29\n4-1 a:30-39\n5-1 a:40-49", opt,
                "merge 1-1 2-1 > 1-3\nmerge 4-1 5-1 > 4-3\n");
    assert_int_equal(damages, 4);
}

/* influxd's: several files of a generation, overlap among ordered files. */
static void test_influxd(void **state)
{
    (void)state;
    expect_plan("1-4 a:0-9\n1-5 a:10-19\n2-4 a:20-29", COLD, "");
    expect_plan("1-4 a:0-9\n1-5 b:0-9\n2-2 a:5-15\n3-2 b:20-30", COLD, "merge 1-4 2-2 > 1-6\n");
    /* b of 1-5 lies between the output and 2-2, and would come to lose */
    expect_plan("1-4 a:0-9\n1-5 b:0-9\n2-2 a:5-15 b:5-6\n3-2 b:20-30", COLD, "merge 1-4 1-5 2-2 > 1-6\n");
    expect_plan("1-2 a:0-9 #100000\n2-1 a:5-15\n3-1 a:20-29\n4-1 a:30-39\n5-1 a:40-49", HOT, "");
}

static void test_coldness(void **state)
{
    (void)state;
    struct tsm_plan_options opt = {.now = 1000, .cold = 400};
    mtime = 601;
    expect_plan("1-1 a:0-9\n2-1 a:10-19", opt, "");
    mtime = 600;
    expect_plan("1-1 a:0-9\n2-1 a:10-19", opt, "merge 1-1 2-1 > 1-3\n");
    mtime = 0;
}

/* More files than are looked at: the first ones, and nothing out of order. */
static void test_many(void **state)
{
    (void)state;
    struct tsm_compactions plan;
    struct tsm_buf text = {0};
    for (int i = 1; i <= TSM_PLAN_ORDERED + 10; i++)
        tsm_buf_printf(&text, "%d-1 a:%d-%d\n", i, i * 10, i * 10 + 9);
    tsm_buf_puts(&text, "L1-1 a:11-12\n");
    make_shard(tsm_buf_cstr(&text));
    struct tsm_fs fs = sized_fs();
    struct tsm_err err;
    struct tsm_plan_options opt = COLD;
    must(tsm_compaction_plan(&fs, temp_dir, DB, RP, 7, &opt, NULL, &plan, &err), &err);
    assert_int_equal(plan.n, TSM_PLAN_ORDERED / TSM_PLAN_INPUTS);
    for (size_t i = 0; i < plan.n; i++) {
        assert_int_equal(plan.items[i].ninputs, TSM_PLAN_INPUTS);
        must(tsm_compaction_check(&fs, temp_dir, &plan.items[i], &err), &err);
    }
    tsm_compactions_release(&plan);
    tsm_buf_release(&text);
}

/* What an index cannot tell is not counted; what it can is. */
static void test_estimates(void **state)
{
    (void)state;
    struct tsm_compactions plan;
    struct tsm_plan_options opt = COLD;
    make_shard("1-2 a:0-9 b:0-9 b:20-29 c:0-9 !c:0-9\n2-2 b:40-49 d:0-9 !d:0-3\nL1-1 b:5-6 b:60-69");
    plan_now(&opt, &plan);
    assert_int_equal(plan.n, 2);
    assert_int_equal(plan.items[0].copy,
                     2); /* a; the first of b's small ones, to which the other one is joined */
    assert_int_equal(plan.items[0].join, 1);
    assert_int_equal(plan.items[0].merge, 2);
    assert_int_equal(plan.items[0].bytes, 2 * DEFAULT_SIZE);
    tsm_compactions_release(&plan);
}

/* ---- rules --------------------------------------------------------------------------------------- */

static void verdict(const char *line, int code, const char *message)
{
    struct tsm_arena arena = {0};
    struct tsm_compaction c = {.action = TSM_COMPACTION_MERGE, .shard = 7};
    struct tsm_err err = {0};
    struct tsm_file_name inputs[16];
    char copy[200], *rest;
    snprintf(copy, sizeof copy, "%s", line);
    char *word = strtok_r(copy, " ", &rest);
    c.action = strcmp(word, "move") == 0   ? TSM_COMPACTION_MOVE
               : strcmp(word, "drop") == 0 ? TSM_COMPACTION_DROP
                                           : TSM_COMPACTION_MERGE;
    c.inputs = inputs;
    while ((word = strtok_r(NULL, " ", &rest)) && strcmp(word, ">") != 0)
        inputs[c.ninputs++] = parse_name(word);
    if (word)
        c.output = parse_name(strtok_r(NULL, " ", &rest));
    int rc = tsm_compaction_check(&tsm_fs_posix, temp_dir, &c, &err);
    if (rc != code || (message && !strstr(err.msg, message)))
        fail_msg("%s: code %d, %s", line, rc, err.msg);
    tsm_arena_release(&arena);
}

static void test_rules(void **state)
{
    (void)state;
    make_shard("1-2 a:0-9\n2-2 b:0-9\n3-2 a:10-19\nL1-1 b:5-6\nL2-1 a:5-6\nL3-1 c:0-1");
    verdict("merge 1-2 3-2 > 1-3", TSM_OK, NULL);
    verdict("merge 1-2 3-2 > 1-9", TSM_OK, NULL);
    verdict("merge 1-2 3-2 > 1-102", TSM_OK, NULL);
    verdict("merge 1-2 3-2 > 1-103", TSM_EPARSE, "more than 100 levels above");
    verdict("merge 1-2 4-2 > 1-3", TSM_ENOTFOUND, "000000004-000000002 is gone");
    verdict("merge 1-2 3-2 > 3-3", TSM_EPARSE, "lowest generation");
    verdict("merge 1-2 3-2 > 1-2", TSM_EPARSE, "level above");
    verdict("merge 1-2 L2-1 > 1-3", TSM_EPARSE, "comes before an out-of-order file");
    verdict("merge 1-2 L1-1 L2-1 > 1-3", TSM_EPARSE,
            "000000002-000000002 has to be an input, too: it overlaps");
    verdict("merge 1-2 2-2 L1-1 L2-1 > 1-3", TSM_OK, NULL);
    verdict("merge L1-1 L2-1 > L1-2", TSM_OK, NULL);
    verdict("move L3-1 > 4-1", TSM_EPARSE, "above all");
    verdict("move L3-1 > 2-1", TSM_ENOTFOUND, "taken");
    verdict("drop L3-1", TSM_EPARSE, "not everything");
    make_shard("1-4 a:0-9\n1-5 a:5-6\n2-2 a:6-7\n4-2 a:20-29\nL1-1 a:15-16\nL2-1 a:16-17\nL3-1 b:0-0 !b:0-0");
    verdict("merge 1-4 2-2 > 1-6", TSM_EPARSE,
            "000000001-000000005 has to be an input, too: it overlaps one and");
    verdict("merge 1-4 1-5 2-2 > 1-6", TSM_OK, NULL);
    verdict("move L1-1 > 3-1", TSM_OK, NULL);
    verdict("move L2-1 > 3-1", TSM_EPARSE, "overlaps file 500000001-000000001");
    verdict("move L1-1 > 3-2", TSM_EPARSE, "level of the input");
    verdict("move L3-1 > 3-1", TSM_EPARSE, "tombstones");
    verdict("drop L3-1", TSM_OK, NULL);
    make_shard("1-2 a:0-9\n2-2 b:0-9 ~\n3-2 a:10-19\n5-2 a:20-29\nL1-1 a:5-6\nL2-1 c:0-1");
    verdict("merge 1-2 3-2 > 1-3", TSM_ECORRUPT, "000000002-000000002.tsm: is unreadable");
    verdict("merge 3-2 5-2 > 3-3", TSM_OK, NULL);
    verdict("merge 1-2 L1-1 > 1-3", TSM_ECORRUPT, "unreadable");
    verdict("move L2-1 > 4-1", TSM_ECORRUPT, "unreadable");
    make_shard("1-2 a:0-9\n2-2 a:10-19");
    make_tombstone(temp_dir, "000000001-000000003.tsm", "a", 0,
                   100); /* left by something: it would delete the output */
    verdict("merge 1-2 2-2 > 1-3", TSM_ENOTFOUND, "is there already");
}

/* ---- lines --------------------------------------------------------------------------------------- */

static void test_line(void **state)
{
    (void)state;
    struct tsm_arena arena = {0};
    struct tsm_buf text = {0};
    struct tsm_file_name inputs[] = {{1, 1}, {7, 2}, {LATE, 1}};
    struct tsm_compaction c = {
        .action = TSM_COMPACTION_MERGE,
        .db = TSM_STR("a\tb\\c\n\r"),
        .rp = TSM_STR("rp"),
        .shard = 12,
        .inputs = inputs,
        .ninputs = 3,
        .output = {1, 3},
        .copy = 1,
        .join = 2,
        .merge = 3,
        .bytes = UINT64_MAX,
    };
    struct tsm_compaction again;
    tsm_compaction_print(&text, &c);
    assert_string_equal(
        tsm_buf_cstr(&text),
        "merge\ta\\tb\\\\c\\n\\r\trp\t12\t000000001-000000001,000000007-000000002,500000001-000000001\t"
        "000000001-000000003\tcopy=1\tjoin=2\tmerge=3\tbytes=18446744073709551615\n");
    assert_int_equal(tsm_compaction_parse(tsm_str((char *)text.data, text.len - 1), &arena, &again, NULL),
                     TSM_OK);
    assert_true(tsm_str_eq(again.db, c.db));
    assert_int_equal(again.ninputs, 3);
    assert_int_equal(again.inputs[2].generation, LATE);
    assert_int_equal(again.bytes, UINT64_MAX);
    tsm_buf_release(&text);
    tsm_arena_release(&arena);
}

static void test_wrong_lines(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"", "column action: '': is none of"},
        {"Merge\tdb", "column action: 'Merge'"},
        {"merge", "column db: is missing"},
        {"merge\t..\trp", "column db: '..': cannot be the name of a folder"},
        {"merge\ta/b\trp", "column db"},
        {"merge\tdb\t\t1", "column rp"},
        {"merge\tdb\ta\\x\t1", "column rp: 'a\\x': a backslash"},
        {"merge\tdb\trp\tone\t1-1\t1-2", "column shard: 'one'"},
        {"merge\tdb\trp\t0\t1-1\t1-2", "column shard"},
        {"merge\tdb\trp\t1\t-\t1-2", "column inputs: '-': there are none"},
        {"merge\tdb\trp\t1\t1-1,2\t1-2", "column inputs: '2': is not the name"},
        {"merge\tdb\trp\t1\t1-1,1-1\t1-2", "column inputs: '1-1': comes before"},
        {"merge\tdb\trp\t1\t2-1,1-1\t1-2", "column inputs: '1-1': comes before"},
        {"merge\tdb\trp\t1\t1-1,2-1", "column output: is missing"},
        {"merge\tdb\trp\t1\t1-1,2-1\t-", "column output: '-': there is none"},
        {"merge\tdb\trp\t1\t1-1,2-1\t2-2", "column output: '2-2': has not the lowest"},
        {"merge\tdb\trp\t1\t1-3,2-1\t1-3", "column output: '1-3': the level"},
        {"merge\tdb\trp\t1\t1-1,2-1\t1-2\tcopies=1", "column figures: 'copies=1'"},
        {"merge\tdb\trp\t1\t1-1,2-1\t1-2\tcopy=x", "column copy: 'x': is not a number"},
        {"merge\tdb\trp\t1\t1-1,2-1\t1-2\tcopy=1\tcopy=1", "column copy: 'copy=1': is given twice"},
        {"move\tdb\trp\t1\t1-1\t3-1", "column inputs: '1-1': only a file that is out of order"},
        {"move\tdb\trp\t1\t500000001-1,500000002-1\t3-1", "column inputs"},
        {"move\tdb\trp\t1\t500000001-1\t3-2", "column output: '3-2': a move keeps the level"},
        {"move\tdb\trp\t1\t500000001-1\t500000002-1", "column output"},
        {"drop\tdb\trp\t1\t1-1\t1-2", "column output: '1-2': this action has none"},
        {"expire\tdb\trp\t1\t1-1\t-", "column inputs: '1-1': an expired shard"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct tsm_arena arena = {0};
        struct tsm_compaction c;
        struct tsm_err err = {0};
        assert_int_equal(tsm_compaction_parse(tsm_str_of(lines[i][0]), &arena, &c, &err), TSM_EPARSE);
        if (strncmp(err.msg, lines[i][1], strlen(lines[i][1])) != 0)
            fail_msg("%s: %s", lines[i][0], err.msg);
        tsm_arena_release(&arena);
    }
}

/* ---- random shards ------------------------------------------------------------------------------- */

enum { KEYS = 4, TIMES = 300, SHARDS = 60, ROUNDS = 30 };

typedef int64_t content[KEYS][TIMES]; /* 0: no value */

static uint64_t seed = 1;

static int below(int n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((seed >> 33) % (uint64_t)n);
}

static void read_content(content c)
{
    struct tsm_shard *s;
    struct tsm_err err;
    memset(c, 0, sizeof(content));
    must(tsm_shard_open(&tsm_fs_posix, temp_dir, NULL, NULL, &s, &err), &err);
    struct tsm_scan *scan = tsm_scan_new();
    for (size_t key = 0; key < s->nkeys; key++) {
        const struct tsm_values *v;
        must(tsm_scan_start(scan, s, key, INT64_MIN, INT64_MAX, &err), &err);
        for (;;) {
            must(tsm_scan_next(scan, &v, &err), &err);
            if (!v)
                break;
            for (size_t i = 0; i < v->n; i++)
                c[tsm_shard_key(s, key).p[0] - 'a'][v->t[i]] = v->v.i[i];
        }
    }
    tsm_scan_free(scan);
    tsm_shard_close(s);
}

/* A file with blocks of random values; of each key times from `from` on, which moves behind them when it is not NULL. */
static bool random_file(struct tsm_file_name name, int *frontier)
{
    char text[TSM_NAME_MAX];
    struct tsm_writer *w;
    struct tsm_err err;
    struct tsm_values v = {0};
    struct tsm_buf block = {0};
    tsm_file_name_format(text, name, ".tsm");
    must(tsm_writer_open(&tsm_fs_posix, in_temp(text), &w, &err), &err);
    for (int key = 0; key < KEYS; key++) {
        int t = frontier ? frontier[key] : below(TIMES);
        for (int blocks = below(4); blocks > 0 && t < TIMES; blocks--) {
            tsm_values_reset(&v, TSM_INTEGER, 8);
            for (int n = 1 + below(6); n > 0 && t < TIMES; n--, t += 1 + below(4))
                tsm_values_add(&v, t, (union tsm_value){.i = 1 + below(1 << 30)});
            tsm_buf_reset(&block);
            must(tsm_block_encode(&block, &v, 0, v.n, &err), &err);
            char name_of_key[] = {(char)('a' + key), 0};
            must(tsm_writer_block(w, tsm_str_of(name_of_key), v.type, v.t[0], v.t[v.n - 1], block.data,
                                  block.len, &err),
                 &err);
        }
        if (frontier && t > frontier[key])
            frontier[key] = t;
    }
    tsm_values_release(&v);
    tsm_buf_release(&block);
    bool any = !tsm_writer_empty(w);
    if (any)
        must(tsm_writer_install(w, &err), &err);
    else
        tsm_writer_abandon(w);
    if (any && below(8) == 0) {
        char key[] = {(char)('a' + below(KEYS)), 0};
        int from = below(TIMES);
        make_tombstone(temp_dir, text, key, from, from + below(100));
    }
    return any;
}

/* As the engine leaves a shard, or, now and then, as influxd does. */
static void random_shard(void)
{
    int frontier[KEYS] = {0};
    bool influxd = below(5) == 0;
    int n = below(14), late = below(3) == 0 ? 0 : below(12);
    uint32_t generation = 1;
    make_shard("");
    for (int i = 0; i < n; i++) {
        generation += (uint32_t)(below(3) == 0);
        uint32_t level = influxd ? 1 + (uint32_t)below(4) : below(3) ? 1 : 2;
        random_file((struct tsm_file_name){generation++, level}, influxd ? NULL : frontier);
    }
    for (int i = 0; i < late && !influxd; i++)
        random_file((struct tsm_file_name){LATE + (uint32_t)i, 1}, NULL);
}

static uint64_t shard_bytes(size_t *files, size_t *late)
{
    struct tsm_file_set set;
    struct tsm_err err;
    uint64_t bytes = 0;
    must(tsm_file_set_list(&tsm_fs_posix, temp_dir, &set, &err), &err);
    for (size_t i = 0; i < set.n; i++)
        bytes += set.files[i].size;
    *files = set.n;
    *late = set.n - set.nordered;
    tsm_file_set_release(&set);
    return bytes;
}

static void check_ordered_set(void)
{
    struct tsm_compaction_view v = {0};
    struct tsm_err err;
    must(tsm_file_set_list(&tsm_fs_posix, temp_dir, &v.set, &err), &err);
    for (size_t i = 0; i < v.set.n; i++)
        must(tsm_file_set_open(&v.set, i, NULL, &err), &err);
    tsm_compaction_view_compare(&v);
    for (size_t i = 0; i < v.set.nordered; i++)
        for (size_t j = 0; j < i; j++)
            assert_false(tsm_overlaps_get(&v.overlaps, i, j));
    tsm_compaction_view_release(&v);
}

/* Plans and runs until there is nothing left; the answers are the same after every single compaction. */
static void compact_to_end(bool cold)
{
    static content before, after;
    struct tsm_compaction_run run = {.fs = &tsm_fs_posix, .dir = temp_dir, .jobs = 1, .memory = 32 << 20};
    struct tsm_plan_options opt = {.now = 1, .cold = cold ? 0 : INT64_MAX};
    struct tsm_err err;
    size_t files, late;
    uint64_t bytes = shard_bytes(&files, &late);
    read_content(before);
    int round = 0;
    for (bool any = true; any; round++) {
        struct tsm_compactions plan;
        assert_true(round < ROUNDS);
        must(tsm_compaction_plan(&tsm_fs_posix, temp_dir, DB, RP, 7, &opt, NULL, &plan, &err), &err);
        any = plan.n > 0;
        for (size_t i = 0; i < plan.n; i++) {
            must(tsm_compaction_execute(&run, &plan.items[i], &err), &err);
            read_content(after);
            assert_memory_equal(before, after, sizeof before);
        }
        tsm_compactions_release(&plan);
    }
    if (run.figures.written_bytes > 3 * bytes)
        fail_msg("%zu bytes became %zu", (size_t)bytes, (size_t)run.figures.written_bytes);
    shard_bytes(&files, &late);
    if (cold) {
        check_ordered_set();
        assert_true(late == 0 || files == late);
        assert_true(late <= 1);
    }
}

static void test_random(void **state)
{
    (void)state;
    for (int i = 0; i < SHARDS; i++) {
        seed = (uint64_t)i + 1;
        random_shard();
        if (below(2))
            compact_to_end(false);
        compact_to_end(true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test_setup_teardown(test_level_1, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_level_limit, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_small, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_late, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_moves, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_tombstones, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_damage, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_influxd, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_coldness, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_many, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_estimates, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_rules, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_random, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
