/* tests/unit/test_frontier.c: the table of frontiers, and the split of flushes into ordered and out-of-order files that
 * rests on it, against a model, while files are replaced, the table is lost and the writer starts anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "engine_grid.h"

#include "base/alloc.h"
#include "base/map.h"
#include "store/data_dir.h"
#include "store/engine_impl.h"

/* ---- the table ---- */

static uint64_t hash_of(uint64_t i)
{
    return tsm_hash(tsm_str((const char *)&i, sizeof i));
}

static void test_table(void **state)
{
    (void)state;
    enum { KEYS = 5000 };
    struct tsm_frontiers all = {.limit = 1 << 20};
    struct tsm_frontier f = {.all = &all};
    assert_true(tsm_frontier_empty(&f));
    assert_null(tsm_frontier_find(&f, hash_of(0)));
    for (uint64_t i = 0; i < KEYS; i++)
        assert_true(tsm_frontier_raise(&f, hash_of(i), (int64_t)i - 100));
    for (uint64_t i = 0; i < KEYS; i += 2) {
        assert_true(tsm_frontier_raise(&f, hash_of(i), INT64_MIN + 1)); /* lower: stays */
        assert_true(tsm_frontier_raise(&f, hash_of(i + 1), INT64_MAX));
    }
    assert_true(tsm_frontier_raise(&f, hash_of(KEYS), INT64_MIN)); /* not a time: stays unknown */
    assert_null(tsm_frontier_find(&f, hash_of(KEYS)));
    for (uint64_t i = 0; i < KEYS; i++)
        assert_int_equal(*tsm_frontier_find(&f, hash_of(i)), i % 2 ? INT64_MAX : (int64_t)i - 100);
    assert_int_equal(f.used, KEYS);
    assert_true(all.bytes >= KEYS * 16 / 3 * 4 && all.bytes <= all.limit);
    tsm_frontier_drop(&f);
    assert_int_equal(all.bytes, 0);
    assert_null(tsm_frontier_find(&f, hash_of(1)));
    tsm_frontier_drop(&f);
    struct tsm_frontier none = {0};
    assert_false(tsm_frontier_raise(&none, 1, 1));
    tsm_frontier_drop(&none);
}

static void fill(struct tsm_frontier *f, uint64_t keys)
{
    for (uint64_t i = 0; i < keys; i++)
        assert_true(tsm_frontier_raise(f, hash_of(i), 5));
}

/* What was used longest ago goes first, in the end the table itself. */
static void test_limit(void **state)
{
    (void)state;
    struct tsm_frontiers all = {.limit = 24 << 10};
    struct tsm_frontier a = {.all = &all}, b = {.all = &all}, c = {.all = &all};
    fill(&a, 190); /* of 256: 4 KiB */
    fill(&b, 190);
    fill(&c, 190);
    assert_int_equal(all.bytes, 12 << 10);
    tsm_frontier_touch(&a);
    fill(&c, 380); /* 8 KiB beside its 4: all three have room */
    assert_int_equal(all.bytes, 16 << 10);
    assert_false(tsm_frontier_empty(&b));
    fill(&c, 400); /* 16 KiB beside its 8: none of the others has */
    assert_true(tsm_frontier_empty(&a));
    assert_true(tsm_frontier_empty(&b));
    assert_int_equal(*tsm_frontier_find(&c, hash_of(399)), 5);
    fill(&c, 768);
    assert_int_equal(all.bytes, 16 << 10);
    assert_false(tsm_frontier_raise(&c, hash_of(768), 5)); /* 32 KiB */
    assert_true(tsm_frontier_empty(&c));
    assert_int_equal(all.bytes, 0);
    fill(&b, 190);
    fill(&a, 190);
    fill(&c, 190);
    fill(&b, 380);
    tsm_frontier_touch(&c);
    all.limit = 20 << 10;
    fill(&c, 200); /* 8 KiB more: a goes, which was used before b */
    assert_true(tsm_frontier_empty(&a));
    assert_false(tsm_frontier_empty(&b));
    tsm_frontier_drop(&b);
    tsm_frontier_drop(&c);
    assert_null(all.first);
    assert_null(all.last);
}

/* ---- the split ---- */

#define WEEK (7 * TSM_DAY)
enum { SHARDS = 5, ROUNDS = 30 };

static int64_t newest[SHARDS][SERIES][FIELDS]; /* INT64_MIN: none */
static uint64_t late;                          /* values so far */

static int shard_of(int t)
{
    return (int)((grid_time(t) - START + 2 * TSM_DAY) / WEEK); /* START is a Wednesday */
}

static void forget_frontiers(void)
{
    late = 0;
    for (int i = 0; i < SHARDS * SERIES * FIELDS; i++)
        (&newest[0][0][0])[i] = INT64_MIN;
}

/* What was written since the last flush: each value counts once, and is late when an older flush reached it. */
static void note_round(grid round)
{
    int64_t before[SHARDS][SERIES][FIELDS];
    memcpy(before, newest, sizeof before);
    for (int s = 0; s < SERIES; s++)
        for (int f = 0; f < FIELDS; f++)
            for (int t = 0; t < TIMES; t++) {
                if (!round[s][f][t])
                    continue;
                model[s][f][t] = round[s][f][t];
                late += grid_time(t) <= before[shard_of(t)][s][f];
                if (grid_time(t) > newest[shard_of(t)][s][f])
                    newest[shard_of(t)][s][f] = grid_time(t);
            }
}

static struct tsm_engine *open_engine(void)
{
    struct tsm_engine_options opt = engine_options();
    struct tsm_engine *e;
    struct tsm_err err;
    if (tsm_engine_open(&tsm_fs_posix, &opt, &e, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return e;
}

/* Gives every file of level 1 another name: to the writer it looks as if each had been compacted. */
static void replace_files(void)
{
    for (int shard = 1; shard <= SHARDS; shard++) {
        char dir[100];
        struct tsm_names names;
        snprintf(dir, sizeof dir, "%s/data/db/autogen/%d", temp_dir, shard);
        if (tsm_fs_list(&tsm_fs_posix, dir, &names, NULL) != TSM_OK)
            continue;
        for (size_t i = 0; i < names.n; i++) {
            struct tsm_file_name name;
            char to[TSM_NAME_MAX];
            if (!tsm_file_name_parse(tsm_str_of(names.names[i]), ".tsm", &name))
                continue;
            name.level++;
            tsm_file_name_format(to, name, ".tsm");
            char *a = tsm_path_join(dir, names.names[i]), *b = tsm_path_join(dir, to);
            assert_int_equal(rename(a, b), 0);
            tsm_free(a);
            tsm_free(b);
        }
        tsm_names_release(&names);
    }
}

enum event { NOTHING, RESTART, REPLACE, LOSE_TABLES, EVENTS };

static void run_split(uint64_t start, int only)
{
    static grid round;
    struct tsm_engine_stats st;
    uint64_t late_before = 0;
    seed = start;
    memset(model, 0, sizeof model);
    forget_frontiers();
    struct tsm_engine *e = open_engine();
    for (int r = 0; r < ROUNDS; r++) {
        struct tsm_buf text = {0};
        struct rejected rejected = {0};
        struct tsm_err err;
        memset(round, 0, sizeof round);
        put_lines(&text, round, 1 + below(400));
        note_round(round);
        if (write_text(e, tsm_buf_view(&text), &rejected, &err) != TSM_OK ||
            tsm_engine_sync(e, &err) != TSM_OK)
            fail_msg("%s", err.msg);
        tsm_buf_release(&text);
        assert_int_equal(rejected.n, 0);
        tsm_engine_stats(e, &st);
        assert_int_equal(st.late + late_before, late);
        switch (only >= 0 ? only : below(EVENTS)) {
        case RESTART:
            tsm_engine_close(e);
            late_before = late;
            e = open_engine();
            break;
        case REPLACE:
            replace_files();
            break;
        case LOSE_TABLES:
            for (size_t i = 0; i < e->nshards; i++)
                tsm_frontier_drop(&e->shards[i]->flush.frontier);
            break;
        default:
            break;
        }
    }
    tsm_engine_close(e);
    check_grid();
    assert_true(late > 100);
}

static void test_split(void **state)
{
    (void)state;
    for (int i = -1; i < EVENTS; i++) {
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        run_split(50 + (uint64_t)i, i);
    }
}

/* Once a key is known, its flushes read no file. */
static void test_known_keys_read_no_file(void **state)
{
    (void)state;
    struct tsm_err err;
    struct rejected rejected = {0};
    struct tsm_engine_stats st;
    memset(model, 0, sizeof model);
    struct tsm_engine *e = open_engine();
    static const char *const texts[] = {
        "m,host=h0,x=even a=1.5 1577836800000000000\nm,host=h1,x=odd a=1.5 1577838000000000000\n",
        "m,host=h0,x=even a=2.5 1577836800000000000\nm,host=h1,x=odd a=3.5 1577837400000000000\n",
        "m,host=h2,x=even a=9.5 1577838600000000000\nm,host=h0,x=even a=4.5 1577838600000000000\n",
        "m,host=h2,x=even a=8.5 1577838600000000000\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (i == 1) { /* unreadable to whoever looks */
            char path[200];
            snprintf(path, sizeof path, "%s/data/db/autogen/1/000000001-000000001.tsm", temp_dir);
            assert_int_equal(rename(path, in_temp("aside")), 0);
            write_bytes("data/db/autogen/1/000000001-000000001.tsm", "x", 1);
        }
        if (write_text(e, tsm_str_of(texts[i]), &rejected, &err) != TSM_OK ||
            tsm_engine_sync(e, &err) != TSM_OK)
            fail_msg("%s", err.msg);
        if (i == 1) {
            char path[200];
            snprintf(path, sizeof path, "%s/data/db/autogen/1/000000001-000000001.tsm", temp_dir);
            assert_int_equal(rename(in_temp("aside"), path), 0);
        }
    }
    tsm_engine_stats(e, &st);
    assert_int_equal(st.late, 3);
    assert_int_equal(warnings, 0);
    tsm_engine_close(e);
    model[0][0][0] = 2;
    model[1][0][1] = 3;
    model[1][0][2] = 1;
    model[2][0][3] = 8;
    model[0][0][3] = 4;
    check_grid();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_limit),
        cmocka_unit_test_setup_teardown(test_split, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_known_keys_read_no_file, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
