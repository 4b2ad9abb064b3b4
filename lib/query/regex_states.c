/*
 * query/regex_states.c: from a rewritten pattern to a program of states, and its run.
 *
 *   alternation = sequence ("|" sequence)*
 *   sequence    = (atom ("*" | "+" | "?" | "{" n ["," [m]] "}")* ["?"])*
 *   atom        = "(?" flags ")" | "(?" flags ":" alternation ")" | assertion | one character
 *
 * What one character may be is asked of PCRE2, so that classes, properties and letter case mean the same in both.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "query/regex_states.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/err.h"

#include "base/banned.h"

enum { MOST_STATES = 1 << 16, MOST_WORK = 1 << 30, KNOWN = 256 };

/* ---- sets of characters -------------------------------------------------------------------------- */

struct set {
    struct tsm_str text;
    bool caseless, any_newline;
    uint8_t known[KNOWN / 8]; /* of the first characters */
    pcre2_code *code;         /* for all others */
};

/* ---- the tree ------------------------------------------------------------------------------------ */

enum kind {
    KIND_EMPTY,
    KIND_SET,
    KIND_BEGIN,      /* of the text */
    KIND_LINE_BEGIN, /* of a line */
    KIND_END,
    KIND_LINE_END,
    KIND_WORD, /* a border of one */
    KIND_NO_WORD,
    KIND_SEQUENCE,
    KIND_CHOICE,
    KIND_REPEAT,
};

struct node {
    enum kind kind;
    struct node *lhs, *rhs;
    uint32_t set;
    int min, max; /* max -1: no limit */
};

struct flags {
    bool caseless, lines, any_newline;
};

struct parser {
    struct tsm_regex_states *m;
    struct tsm_arena arena;
    const char *p, *end;
    bool failed;
};

enum op { OP_SET, OP_ASSERT, OP_SPLIT, OP_JUMP, OP_MATCH };

struct state {
    uint8_t op, assertion; /* enum kind */
    uint32_t set;
    uint32_t next, other; /* other: of OP_SPLIT */
};

struct tsm_regex_states {
    struct set *sets;
    size_t nsets, capsets;
    struct state *states;
    size_t n, cap;
    bool too_many;
};

static struct node *new_node(struct parser *p, enum kind kind)
{
    struct node *n = tsm_arena_calloc(&p->arena, sizeof *n);
    n->kind = kind;
    return n;
}

/* ---- parsing ------------------------------------------------------------------------------------- */

static bool accept(struct parser *p, const char *s)
{
    size_t n = strlen(s);
    if ((size_t)(p->end - p->p) < n || memcmp(p->p, s, n) != 0)
        return false;
    p->p += n;
    return true;
}

/* A character that is spelled as text, in the flags that hold. */
static struct node *set_node(struct parser *p, struct tsm_str text, struct flags f)
{
    struct tsm_regex_states *m = p->m;
    struct node *n = new_node(p, KIND_SET);
    for (size_t i = 0; i < m->nsets; i++) {
        n->set = (uint32_t)i;
        if (tsm_str_eq(m->sets[i].text, text) && m->sets[i].caseless == f.caseless &&
            m->sets[i].any_newline == f.any_newline)
            return n;
    }
    TSM_GROW(m->sets, m->nsets + 1, m->capsets);
    m->sets[m->nsets] = (struct set){.text = tsm_str(tsm_strndup(text.p, text.n), text.n),
                                     .caseless = f.caseless,
                                     .any_newline = f.any_newline};
    n->set = (uint32_t)m->nsets++;
    return n;
}

/* The end of a class, at its bracket. */
static const char *class_end(const char *p, const char *end)
{
    for (p++; p < end && *p != ']';) {
        if (*p == '\\') {
            p += 2;
        } else if (*p == '[' && p + 1 < end && p[1] == ':') {
            const char *to = memmem(p, (size_t)(end - p), ":]", 2);
            p = to ? to + 2 : end;
        } else {
            p++;
        }
    }
    return p < end ? p + 1 : end;
}

/* \D, \x{e4}, \p{Greek}, or a character that stands for itself. */
static const char *character_end(const char *p, const char *end)
{
    if (*p == '[')
        return class_end(p, end);
    if (*p != '\\' || end - p < 2)
        return p + 1;
    p += 2;
    if (p < end && *p == '{' && (p[-1] == 'x' || p[-1] == 'p' || p[-1] == 'P')) {
        const char *to = memchr(p, '}', (size_t)(end - p));
        return to ? to + 1 : end;
    }
    return p;
}

static struct node *choice(struct parser *p, struct flags *f);

/* At "(?". Flags without a group change *f; the result is NULL then. */
static struct node *group(struct parser *p, struct flags *f)
{
    struct flags g = *f;
    bool value = true;
    for (p->p += 2; p->p < p->end && *p->p != ':' && *p->p != ')'; p->p++) {
        switch (*p->p) {
        case '-':
            value = false;
            break;
        case 'i':
            g.caseless = value;
            break;
        case 'm':
            g.lines = value;
            break;
        case 's':
            g.any_newline = value;
            break;
        default: /* U: which one is found first does not matter */
            break;
        }
    }
    if (accept(p, ")")) {
        *f = g;
        return NULL;
    }
    if (!accept(p, ":")) {
        p->failed = true;
        return NULL;
    }
    struct node *n = choice(p, &g);
    p->failed |= !accept(p, ")");
    return n;
}

static struct node *atom(struct parser *p, struct flags *f)
{
    if (p->end - p->p >= 2 && p->p[0] == '(' && p->p[1] == '?')
        return group(p, f);
    if (accept(p, "^"))
        return new_node(p, f->lines ? KIND_LINE_BEGIN : KIND_BEGIN);
    if (accept(p, "$"))
        return new_node(p, f->lines ? KIND_LINE_END : KIND_END);
    if (accept(p, "\\A"))
        return new_node(p, KIND_BEGIN);
    if (accept(p, "\\z"))
        return new_node(p, KIND_END);
    if (accept(p, "\\b"))
        return new_node(p, KIND_WORD);
    if (accept(p, "\\B"))
        return new_node(p, KIND_NO_WORD);
    const char *from = p->p;
    p->p = character_end(p->p, p->end);
    return set_node(p, tsm_str(from, (size_t)(p->p - from)), *f);
}

/* A repetition operator; false: there is none. */
static bool repetition(struct parser *p, int *min, int *max)
{
    *min = 0;
    *max = -1;
    if (accept(p, "*"))
        return true;
    if (accept(p, "+")) {
        *min = 1;
        return true;
    }
    if (accept(p, "?")) {
        *max = 1;
        return true;
    }
    if (!accept(p, "{"))
        return false;
    char *to;
    *min = *max = (int)strtol(p->p, &to, 10);
    p->p = to;
    if (accept(p, ",")) {
        *max = -1;
        if (p->p < p->end && *p->p != '}') {
            *max = (int)strtol(p->p, &to, 10);
            p->p = to;
        }
    }
    p->failed |= !accept(p, "}");
    return true;
}

static struct node *sequence(struct parser *p, struct flags *f)
{
    struct node *all = new_node(p, KIND_EMPTY);
    while (!p->failed && p->p < p->end && *p->p != '|' && *p->p != ')') {
        struct node *one = atom(p, f);
        if (!one)
            continue;
        int min, max;
        if (repetition(p, &min, &max)) {
            (void)accept(p, "?");
            struct node *r = new_node(p, KIND_REPEAT);
            r->lhs = one;
            r->min = min;
            r->max = max;
            one = r;
        }
        struct node *both = new_node(p, KIND_SEQUENCE);
        both->lhs = all;
        both->rhs = one;
        all = both;
    }
    return all;
}

/* Flags that are set in one branch hold in the next. */
static struct node *choice(struct parser *p, struct flags *f)
{
    struct node *all = sequence(p, f);
    while (!p->failed && accept(p, "|")) {
        struct node *either = new_node(p, KIND_CHOICE);
        either->lhs = all;
        either->rhs = sequence(p, f);
        all = either;
    }
    return all;
}

/* ---- states -------------------------------------------------------------------------------------- */

static uint32_t emit(struct tsm_regex_states *m, struct state s)
{
    if (m->n >= MOST_STATES) {
        m->too_many = true;
        return 0;
    }
    TSM_GROW(m->states, m->n + 1, m->cap);
    m->states[m->n] = s;
    return (uint32_t)m->n++;
}

/* States for n that go on to `next`; returns the first. They are made from the end on. */
static uint32_t states_of(struct tsm_regex_states *m, const struct node *n, uint32_t next);

static uint32_t repeat(struct tsm_regex_states *m, const struct node *n, uint32_t next)
{
    uint32_t at = next;
    if (n->max < 0) {
        uint32_t loop = emit(m, (struct state){.op = OP_SPLIT, .other = next});
        uint32_t body = states_of(m, n->lhs, loop);
        if (!m->too_many)
            m->states[loop].next = body;
        at = loop;
    }
    for (int i = n->min; i < n->max && !m->too_many; i++) {
        uint32_t body = states_of(m, n->lhs, at);
        at = emit(m, (struct state){.op = OP_SPLIT, .next = body, .other = next});
    }
    for (int i = 0; i < n->min && !m->too_many; i++)
        at = states_of(m, n->lhs, at);
    return at;
}

static uint32_t states_of(struct tsm_regex_states *m, const struct node *n, uint32_t next)
{
    uint32_t l, r;
    switch (n->kind) {
    case KIND_EMPTY:
        return next;
    case KIND_SEQUENCE: /* the left side is as deep as the sequence is long */
        for (; n->kind == KIND_SEQUENCE; n = n->lhs)
            next = states_of(m, n->rhs, next);
        return next;
    case KIND_CHOICE:
        r = states_of(m, n->rhs, next);
        for (n = n->lhs; n->kind == KIND_CHOICE; n = n->lhs) {
            l = states_of(m, n->rhs, next);
            r = emit(m, (struct state){.op = OP_SPLIT, .next = l, .other = r});
        }
        l = states_of(m, n, next);
        return emit(m, (struct state){.op = OP_SPLIT, .next = l, .other = r});
    case KIND_REPEAT:
        return repeat(m, n, next);
    case KIND_SET:
        return emit(m, (struct state){.op = OP_SET, .set = n->set, .next = next});
    default:
        return emit(m, (struct state){.op = OP_ASSERT, .assertion = (uint8_t)n->kind, .next = next});
    }
}

static size_t encode(uint32_t c, uint8_t *p)
{
    if (c < 0x80) {
        p[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        p[0] = (uint8_t)(0xc0 | c >> 6);
        p[1] = (uint8_t)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        p[0] = (uint8_t)(0xe0 | c >> 12);
        p[1] = (uint8_t)(0x80 | (c >> 6 & 63));
        p[2] = (uint8_t)(0x80 | (c & 63));
        return 3;
    }
    p[0] = (uint8_t)(0xf0 | c >> 18);
    p[1] = (uint8_t)(0x80 | (c >> 12 & 63));
    p[2] = (uint8_t)(0x80 | (c >> 6 & 63));
    p[3] = (uint8_t)(0x80 | (c & 63));
    return 4;
}

static bool ask(const struct set *s, uint32_t c, pcre2_match_data *md)
{
    uint8_t text[4];
    size_t n = encode(c, text);
    return pcre2_match(s->code, text, n, 0, PCRE2_NO_UTF_CHECK, md, NULL) >= 0;
}

static bool compile_set(struct set *s, pcre2_match_data *md)
{
    int code;
    PCRE2_SIZE offset;
    uint32_t options = PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C |
                       (s->caseless ? PCRE2_CASELESS : 0) | (s->any_newline ? PCRE2_DOTALL : 0);
    pcre2_compile_context *cc = pcre2_compile_context_create(NULL);
    if (cc)
        pcre2_set_newline(cc, PCRE2_NEWLINE_LF);
    s->code = pcre2_compile((PCRE2_SPTR)s->text.p, s->text.n, options, &code, &offset, cc);
    pcre2_compile_context_free(cc);
    if (!s->code)
        return false;
    for (uint32_t c = 0; c < KNOWN; c++)
        if (ask(s, c, md))
            s->known[c / 8] |= (uint8_t)(1u << c % 8);
    return true;
}

struct tsm_regex_states *tsm_regex_states_new(struct tsm_str rewritten)
{
    struct tsm_regex_states *m = tsm_calloc(1, sizeof *m);
    char *text = tsm_strndup(rewritten.p, rewritten.n); /* strtol() needs an end */
    struct parser p = {.m = m, .p = text, .end = text + rewritten.n};
    struct flags f = {0};
    struct node *root = choice(&p, &f);
    bool ok = !p.failed && p.p == p.end;
    if (ok) {
        uint32_t match = emit(m, (struct state){.op = OP_MATCH});
        uint32_t first = states_of(m, root, match);
        (void)emit(m, (struct state){.op = OP_JUMP, .next = first}); /* the last state is the first */
    }
    tsm_arena_release(&p.arena);
    tsm_free(text);
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    ok = ok && !m->too_many && md;
    for (size_t i = 0; i < m->nsets && ok; i++)
        ok = compile_set(&m->sets[i], md);
    pcre2_match_data_free(md);
    if (ok)
        return m;
    tsm_regex_states_free(m);
    return NULL;
}

void tsm_regex_states_free(struct tsm_regex_states *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->nsets; i++) {
        tsm_free((char *)(uintptr_t)m->sets[i].text.p);
        pcre2_code_free(m->sets[i].code);
    }
    tsm_free(m->sets);
    tsm_free(m->states);
    tsm_free(m);
}

/* ---- running ------------------------------------------------------------------------------------- */

#define NO_CHARACTER UINT32_MAX

struct runner {
    const struct tsm_regex_states *m;
    uint32_t *mark;       /* per state: the position, from 1, at which it was added last */
    uint32_t *stack;      /* of states to be followed */
    uint32_t *now, *then; /* states that wait for a character */
    size_t nnow, nthen;
    uint32_t position;
    bool found;
};

static bool is_word(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool holds(uint8_t assertion, uint32_t before, uint32_t after)
{
    switch (assertion) {
    case KIND_BEGIN:
        return before == NO_CHARACTER;
    case KIND_LINE_BEGIN:
        return before == NO_CHARACTER || before == '\n';
    case KIND_END:
        return after == NO_CHARACTER;
    case KIND_LINE_END:
        return after == NO_CHARACTER || after == '\n';
    case KIND_WORD:
        return is_word(before) != is_word(after);
    default:
        return is_word(before) == is_word(after);
    }
}

/* Adds a state, and those that it leads to without a character, to r->then. */
static void follow(struct runner *r, uint32_t state, uint32_t before, uint32_t after)
{
    size_t depth = 0;
    r->stack[depth++] = state;
    while (depth) {
        uint32_t at = r->stack[--depth];
        const struct state *s = &r->m->states[at];
        if (r->mark[at] == r->position)
            continue;
        r->mark[at] = r->position;
        switch (s->op) {
        case OP_SET:
            r->then[r->nthen++] = at;
            break;
        case OP_ASSERT:
            if (holds(s->assertion, before, after))
                r->stack[depth++] = s->next;
            break;
        case OP_SPLIT:
            r->stack[depth++] = s->other;
            r->stack[depth++] = s->next;
            break;
        case OP_JUMP:
            r->stack[depth++] = s->next;
            break;
        default:
            r->found = true;
            break;
        }
    }
}

static uint32_t decode(const uint8_t *p, size_t *n)
{
    if (p[0] < 0x80) {
        *n = 1;
        return p[0];
    }
    *n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t c = p[0] & (0x7fu >> *n);
    for (size_t i = 1; i < *n; i++)
        c = c << 6 | (p[i] & 63);
    return c;
}

static void run(struct runner *r, struct tsm_str s, pcre2_match_data *md)
{
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n;
    uint32_t start = (uint32_t)r->m->n - 1;
    size_t len = 0;
    uint32_t c = p < end ? decode(p, &len) : NO_CHARACTER;
    r->position = 1;
    follow(r, start, NO_CHARACTER, c);
    while (!r->found && p < end) {
        p += len;
        uint32_t after = p < end ? decode(p, &len) : NO_CHARACTER;
        uint32_t *was = r->now;
        r->now = r->then;
        r->nnow = r->nthen;
        r->then = was;
        r->nthen = 0;
        r->position++;
        for (size_t i = 0; i < r->nnow && !r->found; i++) {
            const struct state *state = &r->m->states[r->now[i]];
            const struct set *set = &r->m->sets[state->set];
            if (c < KNOWN ? set->known[c / 8] >> c % 8 & 1 : ask(set, c, md))
                follow(r, state->next, c, after);
        }
        follow(r, start, c, after);
        c = after;
    }
}

int tsm_regex_states_match(const struct tsm_regex_states *m, struct tsm_str s)
{
    if (s.n > MOST_WORK / m->n)
        return TSM_ELIMIT;
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    uint32_t *room = tsm_calloc(5 * m->n + 2, sizeof *room);
    struct runner r = {
        .m = m, .mark = room, .now = room + m->n, .then = room + 2 * m->n, .stack = room + 3 * m->n};
    run(&r, s, md);
    tsm_free(room);
    pcre2_match_data_free(md);
    return r.found;
}
