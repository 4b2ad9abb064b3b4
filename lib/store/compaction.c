/* store/compaction.c: the text of a compaction: printing and parsing a line of a plan. */
#include "store/compaction.h"

#include <inttypes.h>

#include "base/num.h"
#include "format/meta_rules.h"
#include "base/banned.h"

static const char *const actions[] = {"merge", "move", "drop", "expire"};
enum { ACTIONS = sizeof actions / sizeof *actions };

const char *tsm_compaction_action_name(enum tsm_compaction_action action)
{
    return actions[action];
}

int tsm_file_name_compare(struct tsm_file_name a, struct tsm_file_name b)
{
    if (a.generation != b.generation)
        return a.generation < b.generation ? -1 : 1;
    return (a.level > b.level) - (a.level < b.level);
}

bool tsm_file_name_late(struct tsm_file_name name)
{
    return name.generation >= TSM_FIRST_LATE_GENERATION;
}

/* ---- printing ---------------------------------------------------------------------------------- */

static void print_name(struct tsm_buf *out, struct tsm_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        const char *escape = c == '\t'   ? "\\t"
                             : c == '\n' ? "\\n"
                             : c == '\r' ? "\\r"
                             : c == '\\' ? "\\\\"
                                         : NULL;
        if (escape)
            tsm_buf_puts(out, escape);
        else
            tsm_buf_byte(out, (uint8_t)c);
    }
    tsm_buf_byte(out, '\t');
}

static void print_file(struct tsm_buf *out, struct tsm_file_name name)
{
    char text[TSM_NAME_MAX];
    tsm_file_name_format(text, name, "");
    tsm_buf_puts(out, text);
}

void tsm_compaction_print(struct tsm_buf *out, const struct tsm_compaction *c)
{
    tsm_buf_printf(out, "%s\t", actions[c->action]);
    print_name(out, c->db);
    print_name(out, c->rp);
    tsm_buf_printf(out, "%" PRIu64 "\t", c->shard);
    for (size_t i = 0; i < c->ninputs; i++) {
        if (i > 0)
            tsm_buf_byte(out, ',');
        print_file(out, c->inputs[i]);
    }
    tsm_buf_puts(out, c->ninputs ? "\t" : "-\t");
    if (c->action == TSM_COMPACTION_MERGE || c->action == TSM_COMPACTION_MOVE)
        print_file(out, c->output);
    else
        tsm_buf_byte(out, '-');
    tsm_buf_printf(out, "\tcopy=%" PRIu64 "\tjoin=%" PRIu64 "\tmerge=%" PRIu64 "\tbytes=%" PRIu64 "\n",
                   c->copy, c->join, c->merge, c->bytes);
}

/* ---- parsing ----------------------------------------------------------------------------------- */

enum { SHOWN = 60 }; /* bytes of a wrong cell in a message */

struct parsing {
    struct tsm_str rest; /* of the line */
    bool ended;          /* the last column has been taken */
    struct tsm_arena *arena;
    struct tsm_err *err;
};

static int wrong(struct parsing *p, const char *column, struct tsm_str cell, const char *cause)
{
    return tsm_err_set(p->err, TSM_EPARSE, "column %s: '%.*s': %s", column,
                       cell.n > SHOWN ? SHOWN : (int)cell.n, cell.n ? cell.p : "", cause);
}

/* The text up to the separator, or to the end of *rest, which moves behind it. */
static struct tsm_str take_until(struct tsm_str *rest, char separator, bool *last)
{
    const char *end = rest->n ? memchr(rest->p, separator, rest->n) : NULL;
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct tsm_str taken = tsm_str(rest->p, n);
    *last = end == NULL;
    *rest = end ? tsm_str(end + 1, rest->n - n - 1) : tsm_str(rest->p, 0);
    return taken;
}

static int take_column(struct parsing *p, const char *column, struct tsm_str *cell)
{
    if (p->ended)
        return tsm_err_set(p->err, TSM_EPARSE, "column %s: is missing", column);
    *cell = take_until(&p->rest, '\t', &p->ended);
    return TSM_OK;
}

static int parse_action(struct parsing *p, enum tsm_compaction_action *action)
{
    struct tsm_str cell;
    int rc = take_column(p, "action", &cell);
    if (rc != TSM_OK)
        return rc;
    for (int i = 0; i < ACTIONS; i++) {
        if (tsm_str_eq(cell, tsm_str_of(actions[i]))) {
            *action = (enum tsm_compaction_action)i;
            return TSM_OK;
        }
    }
    return wrong(p, "action", cell, "is none of merge, move, drop and expire");
}

/* A name of a database or policy, its escapes resolved. */
static int parse_folder(struct parsing *p, const char *column, struct tsm_str *name)
{
    static const char from[] = "tnr\\", to[] = "\t\n\r\\";
    struct tsm_str cell;
    int rc = take_column(p, column, &cell);
    if (rc != TSM_OK)
        return rc;
    char *out = tsm_arena_bytes(p->arena, cell.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < cell.n; i++) {
        char c = cell.p[i];
        if (c == '\\') {
            const char *known = ++i < cell.n && cell.p[i] ? strchr(from, cell.p[i]) : NULL;
            if (!known)
                return wrong(p, column, cell, "a backslash is followed by none of t, n, r and backslash");
            c = to[known - from];
        }
        out[n++] = c;
    }
    *name = tsm_str(out, n);
    return tsm_meta_name_is_path(*name) ? TSM_OK : wrong(p, column, cell, "cannot be the name of a folder");
}

static int parse_shard(struct parsing *p, uint64_t *shard)
{
    struct tsm_str cell;
    int rc = take_column(p, "shard", &cell);
    if (rc == TSM_OK && (!tsm_parse_uint(cell, shard) || *shard == 0))
        rc = wrong(p, "shard", cell, "is not the number of a shard");
    return rc;
}

static bool is_none(struct tsm_str cell)
{
    return tsm_str_eq(cell, TSM_STR("-"));
}

static int parse_inputs(struct parsing *p, struct tsm_compaction *c)
{
    struct tsm_str cell;
    int rc = take_column(p, "inputs", &cell);
    if (rc != TSM_OK)
        return rc;
    if (is_none(cell) != (c->action == TSM_COMPACTION_EXPIRE))
        return wrong(p, "inputs", cell, is_none(cell) ? "there are none" : "an expired shard has none here");
    if (is_none(cell))
        return TSM_OK;
    size_t n = 1;
    for (size_t i = 0; i < cell.n; i++)
        n += cell.p[i] == ',';
    c->inputs = tsm_arena_alloc(p->arena, n * sizeof *c->inputs);
    struct tsm_str rest = cell;
    for (bool last = false; !last;) {
        struct tsm_str name = take_until(&rest, ',', &last);
        struct tsm_file_name *input = &c->inputs[c->ninputs];
        if (!tsm_file_name_parse(name, "", input))
            return wrong(p, "inputs", name, "is not the name of a file");
        if (c->ninputs > 0 && tsm_file_name_compare(input[-1], *input) >= 0)
            return wrong(p, "inputs", name, "comes before its neighbour in the order of files");
        c->ninputs++;
    }
    if (c->action == TSM_COMPACTION_MOVE && c->ninputs != 1)
        return wrong(p, "inputs", cell, "a move has one input");
    if (c->action == TSM_COMPACTION_MOVE && !tsm_file_name_late(c->inputs[0]))
        return wrong(p, "inputs", cell, "only a file that is out of order can be moved");
    return TSM_OK;
}

static uint32_t highest_level(const struct tsm_compaction *c)
{
    uint32_t level = 0;
    for (size_t i = 0; i < c->ninputs; i++)
        if (c->inputs[i].level > level)
            level = c->inputs[i].level;
    return level;
}

static int parse_output(struct parsing *p, struct tsm_compaction *c)
{
    struct tsm_str cell;
    int rc = take_column(p, "output", &cell);
    if (rc != TSM_OK)
        return rc;
    bool has = c->action == TSM_COMPACTION_MERGE || c->action == TSM_COMPACTION_MOVE;
    if (is_none(cell) == has)
        return wrong(p, "output", cell, has ? "there is none" : "this action has none, which is written -");
    if (!has)
        return TSM_OK;
    if (!tsm_file_name_parse(cell, "", &c->output))
        return wrong(p, "output", cell, "is not the name of a file");
    if (c->action == TSM_COMPACTION_MERGE && c->output.generation != c->inputs[0].generation)
        return wrong(p, "output", cell, "has not the lowest generation of the inputs");
    if (c->action == TSM_COMPACTION_MERGE && c->output.level <= highest_level(c))
        return wrong(p, "output", cell, "the level is not above that of every input");
    if (c->action == TSM_COMPACTION_MOVE && (c->output.generation == 0 || tsm_file_name_late(c->output)))
        return wrong(p, "output", cell, "is not in the ordered set");
    if (c->action == TSM_COMPACTION_MOVE && c->output.level != c->inputs[0].level)
        return wrong(p, "output", cell, "a move keeps the level");
    return TSM_OK;
}

/* What follows the output, in any order, each once or not at all. */
static int parse_figures(struct parsing *p, struct tsm_compaction *c)
{
    const struct {
        const char *name;
        uint64_t *value;
    } figures[] = {{"copy", &c->copy}, {"join", &c->join}, {"merge", &c->merge}, {"bytes", &c->bytes}};
    unsigned seen = 0;
    while (!p->ended) {
        struct tsm_str cell, value;
        int rc = take_column(p, "figures", &cell);
        if (rc != TSM_OK)
            return rc;
        bool none;
        value = cell;
        struct tsm_str name = take_until(&value, '=', &none);
        size_t i = 0;
        while (i < 4 && !tsm_str_eq(name, tsm_str_of(figures[i].name)))
            i++;
        if (none || i == 4)
            return wrong(p, "figures", cell, "is none of copy=N, join=N, merge=N and bytes=N");
        if (seen & 1u << i)
            return wrong(p, figures[i].name, cell, "is given twice");
        seen |= 1u << i;
        if (!tsm_parse_uint(value, figures[i].value))
            return wrong(p, figures[i].name, value, "is not a number");
    }
    return TSM_OK;
}

int tsm_compaction_parse(struct tsm_str line, struct tsm_arena *a, struct tsm_compaction *c,
                         struct tsm_err *err)
{
    struct parsing p = {.rest = line, .arena = a, .err = err};
    *c = (struct tsm_compaction){0};
    int rc = parse_action(&p, &c->action);
    if (rc == TSM_OK)
        rc = parse_folder(&p, "db", &c->db);
    if (rc == TSM_OK)
        rc = parse_folder(&p, "rp", &c->rp);
    if (rc == TSM_OK)
        rc = parse_shard(&p, &c->shard);
    if (rc == TSM_OK)
        rc = parse_inputs(&p, c);
    if (rc == TSM_OK)
        rc = parse_output(&p, c);
    if (rc == TSM_OK)
        rc = parse_figures(&p, c);
    return rc;
}
