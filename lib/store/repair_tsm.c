/* store/repair_tsm.c: TSM files and tombstone files. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "format/tombstone.h"
#include "format/series_key.h"
#include "format/tombstone_impl.h"
#include "format/tsm_writer.h"
#include "store/repair_impl.h"
#include "store/salvage.h"
#include "store/verify_tsm.h"
#include "base/banned.h"

/* ---- TSM files ---------------------------------------------------------------------------------------- */

struct telling {
    struct tsm_repair *r;
    const char *path;
};

static void tell_lost(void *ctx, struct tsm_str key, const struct tsm_entry *e, const char *cause)
{
    struct telling *t = ctx;
    if (!t->r->lost)
        return;
    struct tsm_buf line = {0};
    tsm_add_printable(&line, tsm_str_of(t->path));
    tsm_buf_printf(&line, ": offset %" PRIu64 ": lost: block of ", e->offset);
    tsm_add_block_name(&line, key, e->tmin, e->tmax);
    tsm_buf_printf(&line, ": %s", cause);
    t->r->lost(t->r->ctx, tsm_buf_cstr(&line));
    tsm_buf_release(&line);
}

static int write_blocks(const struct tsm_salvage *s, struct tsm_writer *w, struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < s->nkeys; i++) {
        const struct tsm_salvaged_key *k = &s->keys[i];
        for (size_t j = k->from; j < k->to && rc == TSM_OK; j++) {
            const struct tsm_entry *e = &s->blocks[j];
            rc = tsm_writer_copy(w, k->key, k->type, e->tmin, e->tmax, s->map.data + e->offset, e->size, err);
        }
    }
    return rc;
}

/* What was written is what there was: the disk has just given us a damaged file. */
static int check_output(const struct tsm_repair *r, const struct tsm_salvage *s, const char *tmp,
                        struct tsm_err *err)
{
    struct tsm_reader *reader;
    int rc = tsm_reader_open_bare(r->fs, tmp, &reader, err);
    if (rc != TSM_OK)
        return rc;
    size_t blocks = 0;
    for (size_t i = 0; i < reader->nkeys && rc == TSM_OK; i++)
        for (size_t j = 0; j < tsm_reader_entries(reader, i) && rc == TSM_OK; j++, blocks++) {
            struct tsm_entry e = tsm_reader_entry(reader, i, j);
            const uint8_t *p;
            size_t len;
            rc = tsm_reader_block(reader, &e, &p, &len, err);
        }
    size_t want = 0;
    for (size_t i = 0; i < s->nkeys; i++)
        want += s->keys[i].to - s->keys[i].from;
    if (rc == TSM_OK && blocks != want)
        rc = tsm_err_set(err, TSM_ECORRUPT, "%s: %zu blocks were written, %zu are there", tmp, want, blocks);
    tsm_reader_close(reader);
    return rc;
}

static int rewrite(const struct tsm_repair *r, const char *path, const struct tsm_salvage *s, char **aside,
                   struct tsm_err *err)
{
    struct tsm_writer *w;
    const char *tmp;
    int rc = tsm_writer_open(r->fs, path, &w, err);
    if (rc != TSM_OK)
        return rc;
    rc = write_blocks(s, w, err);
    if (rc == TSM_OK)
        rc = tsm_writer_finish(w, &tmp, err);
    if (rc == TSM_OK)
        rc = check_output(r, s, tmp, err);
    if (rc == TSM_OK)
        rc = tsm_repair_keep(r, path, tsm_str((const char *)s->map.data, s->map.size), aside, err);
    if (rc == TSM_OK)
        return tsm_writer_install(w, err);
    tsm_writer_abandon(w);
    return rc;
}

/* The tombstones of a file of which nothing is left would else be those of another one that gets the name. */
static int move_tombstones(const struct tsm_repair *r, const char *path, struct tsm_err *err)
{
    char *beside = tsm_tombstone_path(path), *aside = NULL;
    int rc = tsm_fs_exists(r->fs, beside) ? tsm_repair_move(r, beside, &aside, err) : TSM_OK;
    tsm_free(aside);
    tsm_free(beside);
    return rc;
}

int tsm_repair_tsm(struct tsm_repair *r, const char *path, bool act, bool *damaged, struct tsm_err *err)
{
    struct telling telling = {r, path};
    struct tsm_salvage s;
    int rc = tsm_salvage_open(r->fs, path, act ? tell_lost : NULL, &telling, &s, err);
    *damaged = rc == TSM_OK && !s.sound;
    if (rc != TSM_OK || s.sound || !act) {
        if (rc == TSM_OK)
            tsm_salvage_release(&s);
        return rc;
    }
    struct tsm_repaired what = {
        .path = path,
        .cause = s.cause,
        .keys = s.nkeys,
        .values = s.values,
        .lost_keys = s.lost_keys,
        .lost_blocks = s.lost_blocks,
        .lost_bytes = s.lost_bytes,
        .lost_tmin = s.lost_tmin,
        .lost_tmax = s.lost_tmax,
    };
    for (size_t i = 0; i < s.nkeys; i++)
        what.blocks += s.keys[i].to - s.keys[i].from;
    bool lost = s.lost_bytes || s.lost_blocks || s.lost_keys || s.doubted;
    what.state = !s.nkeys ? TSM_REPAIR_NOTHING : lost ? TSM_REPAIR_PART : TSM_REPAIR_WHOLE;
    if (s.nkeys && s.doubted)
        what.warning = "the index contradicts its seal: the name of a key may be wrong";
    char *aside = NULL;
    if (!r->dry_run && s.nkeys)
        rc = rewrite(r, path, &s, &aside, err);
    else if (!r->dry_run)
        rc = tsm_repair_move(r, path, &aside, err);
    if (rc == TSM_OK && !r->dry_run && !s.nkeys)
        rc = move_tombstones(r, path, err);
    what.kept_as = aside;
    if (rc == TSM_OK)
        rc = tsm_repair_tell(r, &what, err);
    tsm_free(aside);
    tsm_salvage_release(&s);
    return rc;
}

/* ---- tombstones --------------------------------------------------------------------------------------- */

struct tombstones {
    struct tsm_tombstones kept;
    uint64_t members, lost_members, lost_bytes;
};

static void take_all(struct tombstones *t, const struct tsm_tombstones *from)
{
    for (size_t i = 0; i < from->n; i++)
        tsm_tombstones_add(&t->kept, from->items[i].key, from->items[i].tmin, from->items[i].tmax);
}

/* Bytes of the gzip member that begins at p, its own checksum included; 0 when there is none. */
static size_t member_length(const uint8_t *p, size_t len)
{
    enum { PIECE = 64 << 10, MOST = 1 << 30 };
    uint8_t *out;
    z_stream z = {.zalloc = tsm_zlib_alloc, .zfree = tsm_zlib_free};
    if (len < 18 || p[0] != 0x1f || p[1] != 0x8b || p[2] != 8 || inflateInit2(&z, MAX_WBITS + 16) != Z_OK)
        return 0;
    out = tsm_alloc(PIECE);
    z.next_in = (Bytef *)(uintptr_t)p;
    z.avail_in = (uInt)len;
    int s = Z_OK;
    while (s == Z_OK && z.total_out < MOST) {
        z.next_out = out;
        z.avail_out = PIECE;
        s = inflate(&z, Z_NO_FLUSH);
    }
    size_t n = s == Z_STREAM_END ? z.total_in : 0;
    inflateEnd(&z);
    tsm_free(out);
    return n;
}

/* Takes the members that check; behind damage the next one is looked for. */
static void take_members(const uint8_t *p, size_t len, struct tombstones *t)
{
    struct tsm_buf one = {0};
    bool bad = false;
    for (size_t at = TSM_TOMBSTONE_HEADER; at < len;) {
        struct tsm_tombstones found;
        size_t n = member_length(p + at, len - at);
        uint8_t head[TSM_TOMBSTONE_HEADER];
        tsm_put_be32(head, TSM_TOMBSTONE_VERSION_4);
        tsm_buf_reset(&one);
        tsm_buf_add(&one, head, sizeof head);
        tsm_buf_add(&one, p + at, n);
        if (n && tsm_tombstones_decode("", one.data, one.len, NULL, &found, NULL) == TSM_OK) {
            take_all(t, &found);
            tsm_tombstones_release(&found);
            t->members++;
            at += n;
            bad = false;
            continue;
        }
        t->lost_members += !bad;
        bad = true;
        const uint8_t *next = len - at > 1 ? memchr(p + at + 1, 0x1f, len - at - 1) : NULL;
        size_t to = next ? (size_t)(next - p) : len;
        t->lost_bytes += to - at;
        at = to;
    }
    tsm_buf_release(&one);
}

/* The version without checksums: whole entries from the front, as long as they are ones. */
static void take_front(const uint8_t *p, size_t len, struct tombstones *t)
{
    struct tsm_tombstones found;
    size_t at = TSM_TOMBSTONE_HEADER;
    while (len - at >= TSM_TOMBSTONE_LENGTH + TSM_TOMBSTONE_RANGE) {
        size_t n = tsm_get_be32(p + at);
        if (n == 0 || n > TSM_KEY_MAX || n > len - at - TSM_TOMBSTONE_LENGTH - TSM_TOMBSTONE_RANGE)
            break;
        at += TSM_TOMBSTONE_LENGTH + n + TSM_TOMBSTONE_RANGE;
    }
    if (tsm_tombstones_decode("", p, at, NULL, &found, NULL) == TSM_OK) {
        take_all(t, &found);
        tsm_tombstones_release(&found);
    }
    t->members = t->kept.n > 0;
    t->lost_members = 1;
    t->lost_bytes = len - at;
}

static void salvage_tombstones(const struct tsm_buf *b, struct tombstones *t)
{
    uint32_t version = b->len >= TSM_TOMBSTONE_HEADER ? tsm_get_be32(b->data) : 0;
    if (version == TSM_TOMBSTONE_VERSION_2)
        take_front(b->data, b->len, t);
    else
        take_members(b->data, b->len, t);
    if (b->len < TSM_TOMBSTONE_HEADER) {
        t->lost_members = 1;
        t->lost_bytes = b->len;
    }
    tsm_tombstones_sort(&t->kept);
}

int tsm_repair_tombstone(struct tsm_repair *r, const char *path, bool act, bool *damaged, struct tsm_err *err)
{
    struct tsm_buf bytes = {0};
    struct tsm_tombstones sound;
    struct tsm_err failure = {0};
    int rc = tsm_tombstones_bytes(r->fs, path, &bytes, err);
    if (rc != TSM_OK) {
        tsm_buf_release(&bytes);
        return rc;
    }
    *damaged = tsm_tombstones_decode(path, bytes.data, bytes.len, NULL, &sound, &failure) != TSM_OK;
    if (!*damaged)
        tsm_tombstones_release(&sound);
    if (!*damaged || !act) {
        tsm_buf_release(&bytes);
        return TSM_OK;
    }
    struct tombstones t = {0};
    salvage_tombstones(&bytes, &t);
    const char *cause = failure.msg;
    size_t n = strlen(path);
    if (strncmp(cause, path, n) == 0 && strncmp(cause + n, ": ", 2) == 0)
        cause += n + 2;
    struct tsm_repaired what = {
        .path = path,
        .cause = cause,
        .state = !t.kept.n        ? TSM_REPAIR_NOTHING
                 : t.lost_members ? TSM_REPAIR_PART
                                  : TSM_REPAIR_WHOLE,
        .blocks = t.members,
        .values = t.kept.n,
        .lost_blocks = t.lost_members,
        .lost_bytes = t.lost_bytes,
        .lost_tmin = INT64_MAX,
        .lost_tmax = INT64_MIN,
    };
    if (what.state != TSM_REPAIR_WHOLE)
        what.warning = "values that had been deleted may come back";
    for (size_t i = 0; i < t.kept.n; i++)
        what.keys += i == 0 || !tsm_str_eq(t.kept.items[i].key, t.kept.items[i - 1].key);
    char *aside = NULL;
    if (!r->dry_run && t.kept.n) {
        rc = tsm_repair_keep(r, path, tsm_buf_view(&bytes), &aside, err);
        if (rc == TSM_OK)
            rc = tsm_tombstones_write(r->fs, path, &t.kept, err);
    } else if (!r->dry_run) {
        rc = tsm_repair_move(r, path, &aside, err);
    }
    what.kept_as = aside;
    if (rc == TSM_OK)
        rc = tsm_repair_tell(r, &what, err);
    tsm_free(aside);
    tsm_tombstones_release(&t.kept);
    tsm_buf_release(&bytes);
    return rc;
}
