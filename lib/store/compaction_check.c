/* store/compaction_check.c: the rules of a compaction. */
#include "store/compaction_check.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/banned.h"

enum {
    LEVELS_UP = 100
}; /* of an output above its inputs: levels come to an end, and a file of the last one stays as it is */

bool tsm_file_bit(const uint64_t *set, size_t i)
{
    return set[i / 64] >> i % 64 & 1;
}

void tsm_file_bit_set(uint64_t *set, size_t i)
{
    set[i / 64] |= (uint64_t)1 << i % 64;
}

void tsm_compaction_view_compare(struct tsm_compaction_view *v)
{
    v->readers = tsm_calloc(v->set.n + 1, sizeof(struct tsm_reader *));
    for (size_t i = 0; i < v->set.n; i++)
        v->readers[i] = v->set.files[i].reader;
    tsm_overlaps_find(&v->overlaps, v->readers, v->set.n);
}

void tsm_compaction_view_release(struct tsm_compaction_view *v)
{
    tsm_free(v->readers);
    tsm_overlaps_release(&v->overlaps);
    tsm_file_set_release(&v->set);
    *v = (struct tsm_compaction_view){0};
}

/* ---- closing a set ----------------------------------------------------------------------------- */

struct closing {
    const struct tsm_compaction_view *v;
    struct tsm_merge_set *m;
    size_t first, last; /* inputs */
    bool ordered;       /* the output */
    bool late;          /* an out-of-order file becomes part of an ordered output */
    bool changed, impossible;
};

static bool is_ordered(const struct closing *c, size_t i)
{
    return i < c->v->set.nordered;
}

static struct tsm_file_name name_of(const struct closing *c, size_t i)
{
    return c->v->set.files[i].name;
}

/* Looks at the inputs as they are, and names the output. */
static void survey(struct closing *c)
{
    const struct tsm_file_set *set = &c->v->set;
    uint32_t level = c->m->least_level ? c->m->least_level - 1 : 0;
    c->first = set->n;
    for (size_t i = 0; i < set->n; i++) {
        if (!tsm_file_bit(c->m->in, i))
            continue;
        if (c->first == set->n)
            c->first = i;
        c->last = i;
        if (set->files[i].name.level > level)
            level = set->files[i].name.level;
    }
    struct tsm_file_name *out = &c->m->output;
    *out = (struct tsm_file_name){set->files[c->first].name.generation, level + 1};
    while (tsm_file_set_taken(set, *out))
        out->level++;
    c->ordered = is_ordered(c, c->first);
    c->late = (c->ordered || c->m->into_order) && !is_ordered(c, c->last);
}

static void add(struct closing *c, size_t i, enum tsm_compaction_rule rule)
{
    bool unreadable = c->v->set.files[i].unreadable;
    if (unreadable)
        rule = TSM_RULE_UNREADABLE;
    else
        tsm_file_bit_set(c->m->in, i);
    if (c->m->rule == TSM_RULE_NONE || (unreadable && !c->impossible)) {
        c->m->rule = rule;
        c->m->file = i;
    }
    c->changed = true;
    c->impossible |= unreadable;
}

static bool is_between(const struct closing *c, size_t x, size_t input)
{
    int to_output = tsm_file_name_compare(name_of(c, x), c->m->output);
    return to_output > 0 ? x < input : x > input;
}

/* Whether x overlaps an input, as far as it matters: one that is out of order (late), or one that is on the other side of it
 * than the output's place (between), or any. */
static bool meets(const struct closing *c, size_t x, bool late, bool between)
{
    const struct tsm_overlaps *o = &c->v->overlaps;
    const uint64_t *row = o->bits + x * o->words;
    for (size_t w = 0; w < o->words; w++) {
        for (uint64_t both = row[w] & c->m->in[w]; both; both &= both - 1) {
            size_t i = w * 64 + (size_t)__builtin_ctzll(both);
            if ((!late || !is_ordered(c, i)) && (!between || is_between(c, x, i)))
                return true;
        }
    }
    return false;
}

/* Whether a file has to be an input, too, or forbids the merge when it is unreadable. */
static enum tsm_compaction_rule needs(const struct closing *c, size_t x)
{
    bool unreadable = c->v->set.files[x].unreadable;
    if (c->late && !is_ordered(c, x) && x < c->last)
        return TSM_RULE_LATE_BEFORE;
    if (is_ordered(c, x) && c->late && (unreadable || meets(c, x, true, false)))
        return TSM_RULE_ORDERED_OVERLAP;
    if (unreadable && (is_between(c, x, c->last) || is_between(c, x, c->first)))
        return TSM_RULE_BETWEEN;
    if (meets(c, x, false, true))
        return TSM_RULE_BETWEEN;
    if (is_ordered(c, x) && c->ordered && c->m->disjoint && meets(c, x, false, false))
        return TSM_RULE_ORDERED_OVERLAP;
    return TSM_RULE_NONE;
}

bool tsm_merge_set_close(const struct tsm_compaction_view *v, struct tsm_merge_set *m)
{
    struct closing c = {.v = v, .m = m, .changed = true};
    m->rule = TSM_RULE_NONE;
    while (c.changed && !c.impossible) {
        c.changed = false;
        survey(&c);
        for (size_t i = 0; i < v->set.n && !c.impossible; i++) {
            if (tsm_file_bit(m->in, i)) {
                if (v->set.files[i].unreadable)
                    add(&c, i, TSM_RULE_UNREADABLE);
                continue;
            }
            enum tsm_compaction_rule rule = needs(&c, i);
            if (rule != TSM_RULE_NONE)
                add(&c, i, rule);
        }
    }
    return !c.impossible;
}

/* ---- checking ---------------------------------------------------------------------------------- */

struct checking {
    struct tsm_compaction_view v;
    const struct tsm_compaction *c;
    size_t first, last; /* of the inputs, as numbers of the set */
    uint64_t *in;
    struct tsm_err *err;
};

static void name_text(char out[TSM_NAME_MAX], struct tsm_file_name name)
{
    tsm_file_name_format(out, name, "");
}

static int find_inputs(struct checking *k)
{
    const struct tsm_file_set *set = &k->v.set;
    k->in = tsm_calloc(set->n / 64 + 1, sizeof *k->in);
    for (size_t i = 0; i < k->c->ninputs; i++) {
        size_t at = tsm_file_set_find(set, k->c->inputs[i]);
        char text[TSM_NAME_MAX];
        name_text(text, k->c->inputs[i]);
        if (at == set->n)
            return tsm_err_set(k->err, TSM_ENOTFOUND, "%s: input %s is gone", set->dir, text);
        if (i > 0 && at <= k->last)
            return tsm_err_set(k->err, TSM_EPARSE,
                               "input %s comes before its neighbour in the order of files", text);
        tsm_file_bit_set(k->in, at);
        k->last = at;
        if (i == 0)
            k->first = at;
    }
    return k->c->ninputs ? TSM_OK : tsm_err_set(k->err, TSM_EPARSE, "there are no inputs");
}

static int unreadable(struct checking *k, size_t i)
{
    char text[TSM_NAME_MAX];
    tsm_file_name_format(text, k->v.set.files[i].name, ".tsm");
    return tsm_err_set(k->err, TSM_ECORRUPT,
                       "%s/%s: is unreadable, and nothing may be merged or moved past it", k->v.set.dir,
                       text);
}

/* Opens files [from, to). */
static int open_files(struct checking *k, size_t from, size_t to)
{
    int rc = TSM_OK;
    for (size_t i = from; i < to && rc == TSM_OK; i++)
        rc = tsm_file_set_open(&k->v.set, i, NULL, k->err);
    return rc;
}

static int check_output_name(struct checking *k)
{
    const struct tsm_compaction *c = k->c;
    char text[TSM_NAME_MAX];
    name_text(text, c->output);
    if (c->output.generation != c->inputs[0].generation)
        return tsm_err_set(k->err, TSM_EPARSE, "output %s has not the lowest generation of the inputs", text);
    uint32_t highest = 0;
    for (size_t i = 0; i < c->ninputs; i++)
        highest = c->inputs[i].level > highest ? c->inputs[i].level : highest;
    if (c->output.level <= highest)
        return tsm_err_set(k->err, TSM_EPARSE, "output %s has not a level above that of every input", text);
    if (c->output.level - highest > LEVELS_UP)
        return tsm_err_set(k->err, TSM_EPARSE, "output %s is more than %d levels above every input", text,
                           LEVELS_UP);
    if (tsm_file_set_taken(&k->v.set, c->output))
        return tsm_err_set(k->err, TSM_ENOTFOUND, "%s: output %s is there already", k->v.set.dir, text);
    return TSM_OK;
}

static int broken(struct checking *k, const struct tsm_merge_set *m)
{
    char text[TSM_NAME_MAX];
    if (m->rule == TSM_RULE_UNREADABLE)
        return unreadable(k, m->file);
    name_text(text, k->v.set.files[m->file].name);
    const char *why = m->rule == TSM_RULE_LATE_BEFORE ? "comes before an out-of-order file that is one"
                      : m->rule == TSM_RULE_ORDERED_OVERLAP
                          ? "overlaps an out-of-order file that is one"
                          : "overlaps one and lies between it and the place of the output";
    return tsm_err_set(k->err, TSM_EPARSE, "file %s has to be an input, too: it %s", text, why);
}

static int check_merge(struct checking *k)
{
    const struct tsm_file_set *set = &k->v.set;
    int rc = check_output_name(k);
    if (rc != TSM_OK)
        return rc;
    bool late = k->first < set->nordered && k->last >= set->nordered;
    bool others = late;
    for (size_t i = k->first + 1; i < set->n && !others; i++)
        if (!tsm_file_bit(k->in, i))
            others = i < k->last || tsm_file_name_compare(set->files[i].name, k->c->output) < 0;
    if (!others)
        return TSM_OK; /* neighbours, which change places with nobody */
    size_t to = k->last + 1;
    while (to < set->n && tsm_file_name_compare(set->files[to].name, k->c->output) < 0)
        to++;
    rc = open_files(k, late ? 0 : k->first, to);
    if (rc != TSM_OK)
        return rc;
    tsm_file_set_trim(&k->v.set, to);
    tsm_compaction_view_compare(&k->v);
    struct tsm_merge_set m = {.in = k->in, .least_level = k->c->output.level};
    if (!tsm_merge_set_close(&k->v, &m) || m.rule != TSM_RULE_NONE)
        return broken(k, &m);
    return TSM_OK;
}

static int check_move(struct checking *k)
{
    const struct tsm_file_set *set = &k->v.set;
    const struct tsm_compaction *c = k->c;
    char text[TSM_NAME_MAX];
    name_text(text, c->output);
    if (k->first < set->nordered || c->ninputs != 1)
        return tsm_err_set(k->err, TSM_EPARSE, "only one file that is out of order can be moved");
    if (c->output.level != c->inputs[0].level || tsm_file_name_late(c->output) || c->output.generation == 0)
        return tsm_err_set(k->err, TSM_EPARSE,
                           "output %s is not in the ordered set with the level of the input", text);
    if (tsm_file_set_taken(set, (struct tsm_file_name){c->output.generation, 0}))
        return tsm_err_set(k->err, TSM_ENOTFOUND, "%s: the generation of output %s is taken", set->dir, text);
    if (set->nordered == 0 || c->output.generation > set->files[set->nordered - 1].name.generation)
        return tsm_err_set(k->err, TSM_EPARSE, "the generation of output %s is above all of the ordered set",
                           text);
    if (set->files[k->first].tombstones)
        return tsm_err_set(k->err, TSM_EPARSE, "a file with tombstones beside it cannot be moved");
    int rc = open_files(k, 0, k->first + 1);
    if (rc != TSM_OK)
        return rc;
    tsm_file_set_trim(&k->v.set, k->first + 1);
    for (size_t i = 0; i <= k->first; i++)
        if (set->files[i].unreadable)
            return unreadable(k, i);
    tsm_compaction_view_compare(&k->v);
    for (size_t i = 0; i < k->first; i++) {
        name_text(text, set->files[i].name);
        if (tsm_overlaps_get(&k->v.overlaps, k->first, i))
            return tsm_err_set(k->err, TSM_EPARSE, "the input overlaps file %s and cannot be moved", text);
    }
    return TSM_OK;
}

static int check_drop(struct checking *k)
{
    for (size_t i = k->first; i <= k->last; i++) {
        if (!tsm_file_bit(k->in, i))
            continue;
        int rc = open_files(k, i, i + 1);
        if (rc != TSM_OK)
            return rc;
        if (k->v.set.files[i].unreadable)
            return unreadable(k, i);
        struct tsm_dead_blocks d = tsm_dead_blocks_count(k->v.set.files[i].reader);
        char text[TSM_NAME_MAX];
        name_text(text, k->v.set.files[i].name);
        if (d.dead < d.blocks)
            return tsm_err_set(k->err, TSM_EPARSE,
                               "file %s cannot be dropped: not everything in it is deleted", text);
    }
    return TSM_OK;
}

int tsm_compaction_check(const struct tsm_fs *fs, const char *dir, const struct tsm_compaction *c,
                         struct tsm_err *err)
{
    struct checking k = {.c = c, .err = err};
    if (c->action == TSM_COMPACTION_EXPIRE)
        return TSM_OK;
    int rc = tsm_file_set_list(fs, dir, &k.v.set, err);
    if (rc != TSM_OK)
        return rc;
    rc = find_inputs(&k);
    if (rc == TSM_OK)
        rc = c->action == TSM_COMPACTION_MERGE  ? check_merge(&k)
             : c->action == TSM_COMPACTION_MOVE ? check_move(&k)
                                                : check_drop(&k);
    tsm_free(k.in);
    tsm_compaction_view_release(&k.v);
    return rc;
}
