/*
 * net/api_write.c: /write and /api/v2/write: line protocol to points, to the service; and influxd's answers.
 *
 * A body is parsed where it lies. The points and the buffer go to the service, which lets us know when they are durable.
 */
#include <inttypes.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "base/time.h"
#include "net/server_impl.h"
#include "query/access.h"

#include "base/banned.h"

enum {
    ERRORS_MAX = 1 << 20, /* bytes of messages about lines in one answer */
    REJECTS_MAX = 1 << 20 /* lines */
};

/* ---- keys that are known to be valid ------------------------------------------------------------- */

enum {
    KEY_SLOTS = 1 << 20,
    AHEAD = 8, /* slots are far apart: they are fetched before they are needed */
};

/*
 * Looking closely at a series key costs more than parsing its line, and clients write the same series again and again: the hashes
 * of keys that were found valid are remembered. A slot that two keys want holds the last one. Hashes that collide would let a key
 * pass that is wrong: the service refuses it then.
 */
struct tsm_key_cache {
    atomic_ullong slots[KEY_SLOTS];
};

struct tsm_key_cache *tsm_key_cache_new(void)
{
    return tsm_calloc(1, sizeof(struct tsm_key_cache));
}

void tsm_key_cache_free(struct tsm_key_cache *k)
{
    tsm_free(k);
}

/* ---- lines that are wrong ------------------------------------------------------------------------ */

struct reject {
    uint32_t line;
    size_t from, n; /* of the message in texts */
};

struct write {
    struct tsm_request *r;
    struct tsm_points points;
    struct reject *rejects;
    size_t nrejects, caprejects;
    struct tsm_buf texts;
};

static void add_reject(struct write *w, uint32_t line, size_t from)
{
    TSM_GROW(w->rejects, w->nrejects + 1, w->caprejects);
    w->rejects[w->nrejects++] = (struct reject){line, from, w->texts.len - from};
}

static bool is_enough(const struct write *w)
{
    return w->texts.len > ERRORS_MAX || w->nrejects > REJECTS_MAX;
}

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    struct write *w = ctx;
    size_t from = w->texts.len;
    (void)text;
    if (is_enough(w))
        return;
    tsm_buf_puts(&w->texts, cause);
    add_reject(w, line, from);
}

/* Takes the points with an invalid key out. */
static void check_keys(struct write *w)
{
    struct tsm_key_cache *cache = w->r->server->keys;
    struct tsm_buf key = {0};
    struct tsm_err err;
    size_t n = 0;
    for (size_t i = 0; i < w->points.n; i++) {
        struct tsm_point *p = &w->points.points[i];
        if (i + AHEAD < w->points.n)
            __builtin_prefetch(&cache->slots[p[AHEAD].hash & (KEY_SLOTS - 1)]);
        atomic_ullong *slot = &cache->slots[p->hash & (KEY_SLOTS - 1)];
        if (atomic_load_explicit(slot, memory_order_relaxed) != p->hash) {
            tsm_buf_reset(&key);
            if (tsm_line_key(p->raw_key, &key, &err) != TSM_OK) {
                size_t from = w->texts.len;
                if (!is_enough(w)) {
                    tsm_line_error(&w->texts, p->text, err.msg);
                    add_reject(w, p->line, from);
                }
                continue;
            }
            atomic_store_explicit(slot, p->hash, memory_order_relaxed);
        }
        if (n != i)
            w->points.points[n] = *p;
        n++;
    }
    w->points.n = n;
    tsm_buf_release(&key);
}

static int compare_rejects(const void *x, const void *y)
{
    const struct reject *a = x, *b = y;
    return (a->line > b->line) - (a->line < b->line);
}

/* The messages in the order of the lines, one a line. */
static void join_rejects(struct write *w)
{
    struct tsm_buf *out = &w->r->parse_errors;
    tsm_sort(w->rejects, w->nrejects, sizeof *w->rejects, compare_rejects);
    for (size_t i = 0; i < w->nrejects; i++) {
        if (i)
            tsm_buf_byte(out, '\n');
        tsm_buf_add(out, w->texts.data + w->rejects[i].from, w->rejects[i].n);
    }
}

/* ---- answers ------------------------------------------------------------------------------------- */

static void partial(struct tsm_request *r, struct tsm_str reason, uint64_t dropped)
{
    struct tsm_buf text = {0};
    tsm_buf_puts(&text, "partial write: ");
    tsm_buf_str(&text, reason);
    tsm_buf_printf(&text, " dropped=%" PRIu64, dropped);
    tsm_request_error_text(r, MHD_HTTP_BAD_REQUEST, tsm_buf_view(&text));
    tsm_buf_release(&text);
}

static void answer(struct tsm_request *r, const struct tsm_write_result *result)
{
    uint64_t stored = r->points - (result->rejected < r->points ? result->rejected : r->points);
    if (result->code == TSM_OK) {
        TSM_COUNT(r, points_written, stored);
        TSM_COUNT(r, points_dropped, result->rejected);
        if (result->rejected)
            partial(r, tsm_str_of(result->first_cause), result->rejected);
        else if (r->parse_errors.len)
            partial(r, tsm_buf_view(&r->parse_errors), 0);
        else
            tsm_request_status(r, MHD_HTTP_NO_CONTENT);
        return;
    }
    TSM_COUNT(r, points_failed, r->points);
    if (result->code == TSM_EAGAIN || result->code == TSM_ENOSPC || result->code == TSM_ELOCKED)
        tsm_request_busy(r, result->message);
    else
        tsm_request_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "%s", result->message);
}

void tsm_write_finish(struct tsm_request *r)
{
    TSM_COUNT(r, write_nanoseconds, (unsigned long long)(tsm_monotonic() - r->started));
    TSM_COUNT(r, writes_active, -1ull);
    tsm_request_done(r);
}

static void written(void *ctx, const struct tsm_write_result *result)
{
    struct tsm_request *r = ctx;
    answer(r, result);
    tsm_write_finish(r);
}

/* ---- the write ----------------------------------------------------------------------------------- */

static bool is_consistency(struct tsm_str level)
{
    static const char *const levels[] = {"", "any", "one", "quorum", "all"};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (level.n == strlen(levels[i]) && strncasecmp(level.p, levels[i], level.n) == 0)
            return true;
    }
    return false;
}

/* Whether the body gave points to write; else an answer has been set. */
static bool parse(struct write *w, int64_t unit)
{
    struct tsm_request *r = w->r;
    struct tsm_line_options opt = {.unit = unit};
    int64_t now = tsm_now();
    opt.now = now - now % unit;
    TSM_COUNT(r, write_bytes, r->body.len);
    tsm_line_parse(tsm_buf_view(&r->body), &opt, &w->points, on_reject, w);
    check_keys(w);
    if (w->nrejects)
        join_rejects(w);
    r->points = w->points.n;
    if (w->points.n == 0 && r->parse_errors.len) {
        tsm_request_error_text(r, MHD_HTTP_BAD_REQUEST, tsm_buf_view(&r->parse_errors));
        return false;
    }
    if (!is_consistency(tsm_parameter(&r->url, TSM_STR("consistency")))) {
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "invalid consistency level");
        return false;
    }
    return true;
}

bool tsm_write_allowed(struct tsm_request *r, struct tsm_str database)
{
    struct tsm_err err = {0};
    if (!database.n) {
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "database is required");
        return false;
    }
    if (!r->meta)
        r->meta = tsm_server_meta(r->server, &err);
    if (!r->meta) {
        tsm_request_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "%s", err.msg);
        return false;
    }
    struct tsm_buf name = {0};
    tsm_go_quote(&name, database);
    if (!tsm_meta_database(&r->meta->meta, database))
        tsm_request_error(r, MHD_HTTP_NOT_FOUND, "database not found: %s", tsm_buf_cstr(&name));
    else if (!r->settings->opt.auth_enabled || r->local)
        ;
    else if (!r->user.n)
        tsm_request_error(r, MHD_HTTP_FORBIDDEN, "user is required to write to database %s",
                          tsm_buf_cstr(&name));
    else if (tsm_access_write(&r->meta->meta, r->user, database, &err) != TSM_OK)
        tsm_request_error(r, MHD_HTTP_FORBIDDEN, "%s", err.msg);
    tsm_buf_release(&name);
    return !r->status;
}

/* influxd looks for the policy last, and answers with a fault of its own. */
static bool has_policy(struct tsm_request *r, struct tsm_str database, struct tsm_str rp)
{
    const struct tsm_database *db = tsm_meta_database(&r->meta->meta, database);
    if (db && tsm_meta_rp(db, rp))
        return true;
    tsm_request_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "retention policy not found: %.*s", (int)rp.n, rp.p);
    return false;
}

void tsm_write_points(struct tsm_request *r, struct tsm_str database, struct tsm_str rp,
                      struct tsm_points *points)
{
    struct tsm_service *service = r->server->service;
    r->points = points->n;
    if (has_policy(r, database, rp) && points->n) {
        struct tsm_buf text = r->body;
        r->body = (struct tsm_buf){0};
        tsm_request_forget_body(r); /* the service's own limits hold from here on */
        service->write(service->ctx, database, rp, points, &text, written, r);
        return;
    }
    tsm_points_release(points);
    if (!r->status) /* nothing to write */
        tsm_request_status(r, MHD_HTTP_NO_CONTENT);
    tsm_write_finish(r);
}

static void run(struct tsm_request *r, struct tsm_str database, struct tsm_str rp, int64_t unit)
{
    struct write w = {.r = r};
    bool go_on = !r->status && tsm_write_allowed(r, database) && parse(&w, unit);
    tsm_free(w.rejects);
    tsm_buf_release(&w.texts);
    if (go_on) {
        tsm_write_points(r, database, rp, &w.points);
        return;
    }
    tsm_points_release(&w.points);
    tsm_write_finish(r);
}

void tsm_write_begin(struct tsm_request *r)
{
    TSM_COUNT(r, write_requests, 1);
    TSM_COUNT(r, writes_active, 1);
    tsm_tracker_count(r, true);
}

void tsm_api_write(struct tsm_request *r)
{
    struct tsm_str precision = tsm_parameter(&r->url, TSM_STR("precision"));
    int64_t unit = precision.n ? tsm_precision_unit(precision) : 1;
    tsm_write_begin(r);
    if (!unit) {
        struct tsm_buf name = {0};
        tsm_go_quote(&name, precision);
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "invalid precision %s (use n, u, ms, s, m or h)",
                          tsm_buf_cstr(&name));
        tsm_buf_release(&name);
    }
    run(r, tsm_parameter(&r->url, TSM_STR("db")), tsm_parameter(&r->url, TSM_STR("rp")), unit);
}

void tsm_api_write_v2(struct tsm_request *r)
{
    struct tsm_str precision = tsm_parameter(&r->url, TSM_STR("precision"));
    struct tsm_str bucket = tsm_parameter(&r->url, TSM_STR("bucket")), database = bucket, rp = {"", 0};
    const char *slash = bucket.n ? memchr(bucket.p, '/', bucket.n) : NULL;
    int64_t unit = 1;
    struct tsm_buf name = {0};
    tsm_write_begin(r);
    if (slash) {
        database = tsm_str(bucket.p, (size_t)(slash - bucket.p));
        rp = tsm_str(slash + 1, bucket.n - database.n - 1);
    }
    if (tsm_str_eq(precision, TSM_STR("ns")) || tsm_str_eq(precision, TSM_STR("us")) ||
        tsm_str_eq(precision, TSM_STR("ms")) || tsm_str_eq(precision, TSM_STR("s"))) {
        unit = tsm_precision_unit(precision);
    } else if (precision.n) {
        tsm_go_quote(&name, precision);
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "invalid precision %s (use ns, us, ms or s)",
                          tsm_buf_cstr(&name));
    }
    if (!r->status && !database.n) {
        tsm_go_quote(&name, bucket);
        tsm_request_error(
            r, MHD_HTTP_NOT_FOUND,
            slash ? "bucket name %s is in db/rp form but has an empty database"
                  : "bucket name %s is missing a slash; not in \"database/retention-policy\" format",
            tsm_buf_cstr(&name));
    }
    tsm_buf_release(&name);
    run(r, database, rp, unit);
}
