/* tests/unit/power_oracle.c: what a directory must hold, and what it does hold. */
#include "power_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "format/meta_db.h"
#include "store/data_dir.h"
#include "store/scan.h"

struct oracle *oracle_new(void)
{
    return tsm_calloc(1, sizeof(struct oracle));
}

void oracle_free(struct oracle *o)
{
    for (size_t i = 0; o && i < ORACLE_CELLS; i++)
        tsm_free(o->cells[i].pending);
    tsm_free(o);
}

int64_t oracle_time(int t)
{
    return ORACLE_START + t * ORACLE_STEP;
}

static size_t cell_number(int series, int field, int t)
{
    return ((size_t)series * ORACLE_FIELDS + (size_t)field) * ORACLE_TIMES + (size_t)t;
}

static void begin(struct oracle *o, int series, int field, int t, int32_t value)
{
    struct oracle_cell *c = &o->cells[cell_number(series, field, t)];
    TSM_GROW(c->pending, c->n + 1, c->cap);
    c->pending[c->n++] = value;
}

void oracle_write(struct oracle *o, struct tsm_buf *text, int series, int t, unsigned fields)
{
    static const char *const names[] = {"a=%d.5", "b=%di", "c=\"text %d.\""};
    const char *separator = "";
    tsm_buf_printf(text, "m,host=h%d,x=%s ", series, series % 2 ? "odd" : "even");
    for (int f = 0; f < ORACLE_FIELDS; f++) {
        if (!(fields & 1u << f))
            continue;
        int32_t v = ++o->last;
        tsm_buf_printf(text, "%s", separator);
        tsm_buf_printf(text, names[f], v);
        begin(o, series, f, t, v);
        separator = ",";
    }
    tsm_buf_printf(text, " %lld\n", (long long)oracle_time(t));
}

int32_t oracle_delete(struct oracle *o, int series, int tmin, int tmax)
{
    o->deletes++;
    for (int s = 0; s < ORACLE_SERIES; s++)
        for (int f = 0; f < ORACLE_FIELDS && (series < 0 || s == series); f++)
            for (int t = tmin; t <= tmax; t++) {
                const struct oracle_cell *c = &o->cells[cell_number(s, f, t)];
                if (c->n || c->acked)
                    begin(o, s, f, t, -o->deletes);
            }
    return o->deletes;
}

/* The event with this index has happened, and so all before it have, or never will. */
static void settle_cell(struct oracle_cell *c, uint32_t event)
{
    c->acked = c->pending[event] > 0 ? c->pending[event] : 0;
    c->n -= event + 1;
    memmove(c->pending, c->pending + event + 1, c->n * sizeof *c->pending);
    c->stray = c->stray > event + 1 ? c->stray - event - 1 : 0;
}

void oracle_acknowledge(struct oracle *o, int32_t last)
{
    for (size_t i = 0; i < ORACLE_CELLS; i++) {
        struct oracle_cell *c = &o->cells[i];
        for (uint32_t k = c->n; k-- > c->stray;)
            if (c->pending[k] > 0 && c->pending[k] <= last) {
                settle_cell(c, k);
                break;
            }
    }
}

void oracle_acknowledge_delete(struct oracle *o, int32_t number)
{
    for (size_t i = 0; i < ORACLE_CELLS; i++) {
        struct oracle_cell *c = &o->cells[i];
        for (uint32_t k = c->n; k-- > 0;)
            if (c->pending[k] == -number) {
                settle_cell(c, k);
                break;
            }
    }
}

void oracle_forsake(struct oracle *o)
{
    for (size_t i = 0; i < ORACLE_CELLS; i++)
        o->cells[i].stray = o->cells[i].n;
}

static bool gives(int32_t pending, int32_t found)
{
    return found == (pending > 0 ? pending : 0);
}

void oracle_settle(struct oracle *o, const oracle_found found, unsigned long *kept, unsigned long *lost)
{
    for (size_t i = 0; i < ORACLE_CELLS; i++) {
        struct oracle_cell *c = &o->cells[i];
        for (uint32_t k = 0; k < c->n; k++)
            ++*(gives(c->pending[k], found[i]) ? kept : lost);
        c->acked = found[i];
        c->n = c->stray = 0;
    }
}

static void describe(const struct oracle_cell *c, size_t number, int32_t found, char *message, size_t size)
{
    size_t t = number % ORACLE_TIMES, f = number / ORACLE_TIMES % ORACLE_FIELDS,
           s = number / ORACLE_TIMES / ORACLE_FIELDS;
    int n = snprintf(message, size, "series h%zu field %c time %zu (%lld): found %d instead of %d", s,
                     (int)('a' + f), t, (long long)oracle_time((int)t), found, c->acked);
    for (uint32_t k = 0; k < c->n && n > 0 && (size_t)n < size; k++)
        n += snprintf(message + n, size - (size_t)n, c->pending[k] > 0 ? " or %d" : " or 0 (delete %d)",
                      abs(c->pending[k]));
}

bool oracle_check(const struct oracle *o, const oracle_found found, enum oracle_strictness strictness,
                  char *message, size_t size)
{
    for (size_t i = 0; i < ORACLE_CELLS; i++) {
        const struct oracle_cell *c = &o->cells[i];
        uint32_t k = 0;
        bool ok = found[i] == c->acked;
        if (strictness == ORACLE_NEWEST) /* the last write, or a delete behind it */
            for (uint32_t last = c->n; last-- > c->stray && ok;)
                if (c->pending[last] > 0) {
                    k = last;
                    ok = false;
                }
        for (; k < c->n && !ok; k++)
            ok = gives(c->pending[k], found[i]);
        if (!ok) {
            describe(c, i, found[i], message, size);
            return false;
        }
    }
    return true;
}

/* ---- reading ---- */

struct reading {
    int32_t *found;
    char *message;
    size_t size;
    bool bad;
};

static bool complain(struct reading *r, const char *what, const char *cause)
{
    r->bad = true;
    snprintf(r->message, r->size, "%s: %s", what, cause);
    return false;
}

/* Nothing but an unfinished log may be damaged after a cut: what was not synced there may have holes. */
static void on_damage(void *ctx, const char *message)
{
    struct reading *r = ctx;
    if (!strstr(message, ".log"))
        complain(r, "damage", message);
}

static int32_t value_number(const struct tsm_values *v, size_t i)
{
    switch (v->type) {
    case TSM_FLOAT:
        return v->v.f[i] == (int32_t)v->v.f[i] + 0.5 ? (int32_t)v->v.f[i] : -1;
    case TSM_INTEGER:
        return (int32_t)v->v.i[i];
    case TSM_STRING:
        return v->v.s[i].n > 5 && memcmp(v->v.s[i].p, "text ", 5) == 0 ? atoi(v->v.s[i].p + 5) : -1;
    default:
        return -1;
    }
}

static bool read_key(struct reading *r, struct tsm_scan *sc, const struct tsm_shard *s, size_t key)
{
    static const enum tsm_type types[ORACLE_FIELDS] = {TSM_FLOAT, TSM_INTEGER, TSM_STRING};
    struct tsm_str name = tsm_shard_key(s, key);
    struct tsm_err err;
    int series = name.n > 8 ? name.p[8] - '0' : -1, field = name.p[name.n - 1] - 'a';
    if (series < 0 || series >= ORACLE_SERIES || field < 0 || field >= ORACLE_FIELDS)
        return complain(r, "a key that was never written", "");
    const struct tsm_values *v;
    int rc = tsm_scan_start(sc, s, key, INT64_MIN, INT64_MAX, &err);
    while (rc == TSM_OK && (rc = tsm_scan_next(sc, &v, &err)) == TSM_OK && v) {
        if (v->type != types[field])
            return complain(r, "a value of another type", tsm_type_name(v->type));
        for (size_t k = 0; k < v->n; k++) {
            int64_t t = (v->t[k] - ORACLE_START) / ORACLE_STEP;
            if (t < 0 || t >= ORACLE_TIMES || oracle_time((int)t) != v->t[k])
                return complain(r, "a time that was never written", "");
            int32_t *cell = &r->found[cell_number(series, field, (int)t)];
            if (*cell)
                return complain(r, "the same time twice", "");
            *cell = value_number(v, k);
        }
    }
    return rc == TSM_OK || complain(r, "scan", err.msg);
}

static bool read_shard(struct reading *r, const struct tsm_fs *fs, const char *dir, struct tsm_engine *e,
                       uint64_t id)
{
    struct tsm_shard *s;
    struct tsm_err err;
    struct tsm_damage damage = {true, on_damage, r};
    char *path = tsm_path_shard(dir, ORACLE_DB, ORACLE_RP, id),
         *wal = tsm_path_wal(dir, ORACLE_DB, ORACLE_RP, id);
    int rc = e ? tsm_engine_read_shard(e, ORACLE_DB, ORACLE_RP, id, &damage, &s, &err)
               : tsm_shard_open(fs, path, wal, &damage, &s, &err);
    tsm_free(wal);
    tsm_free(path);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND || complain(r, "open shard", err.msg);
    struct tsm_scan *sc = tsm_scan_new();
    for (size_t i = 0; i < s->nkeys && !r->bad; i++)
        read_key(r, sc, s, i);
    tsm_scan_free(sc);
    if (e)
        tsm_engine_release_shard(e, s);
    else
        tsm_shard_close(s);
    return !r->bad;
}

bool oracle_read(const struct tsm_fs *fs, const char *dir, struct tsm_engine *e, oracle_found found,
                 char *message, size_t size)
{
    struct tsm_meta meta = {0};
    struct tsm_err err;
    struct reading r = {found, message, size, false};
    memset(found, 0, sizeof(oracle_found));
    int rc = e ? tsm_engine_meta(e, &meta, &err) : tsm_meta_load(fs, dir, &meta, &err);
    if (rc != TSM_OK)
        return complain(&r, "meta.db", err.msg);
    struct tsm_database *db = tsm_meta_database(&meta, ORACLE_DB);
    struct tsm_rp *rp = db ? tsm_meta_rp(db, ORACLE_RP) : NULL;
    for (size_t i = 0; rp && i < rp->ngroups && !r.bad; i++)
        if (!rp->groups[i].deleted_at)
            read_shard(&r, fs, dir, e, rp->groups[i].shards[0]);
    tsm_meta_release(&meta);
    return !r.bad;
}
