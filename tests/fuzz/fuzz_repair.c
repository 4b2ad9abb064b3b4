/*
 * tests/fuzz/fuzz_repair.c: whatever is in a file, it is sound after a repair, or gone, its bytes are kept, and the next repair
 * finds nothing to do. The first byte chooses: a TSM file (with checksums made right, by its upper bits), a tombstone file,
 * segments of our log (two, cut where the second byte says), one of influxd's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/repair.h"
#include "store/verify.h"
#include "tsm_image.h"

static char dir[64];
static const char *what; /* the input, for the comparison with what is kept */
static size_t size;
static const char *name; /* of its file; NULL: there are two */

static void die(const char *text)
{
    fprintf(stderr, "%s\n", text);
    abort();
}

static void clean_up(void)
{
    tsm_fs_remove_tree(&tsm_fs_posix, dir, NULL);
}

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "%s/tsmkit-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(dir))
        abort();
}

static void put(const char *file, const uint8_t *p, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0)
        abort();
}

static int look(void *ctx, const struct tsm_repaired *r, struct tsm_err *err)
{
    struct tsm_buf kept = {0};
    (void)ctx;
    if (r->state == TSM_REPAIR_IMPOSSIBLE || !r->kept_as || !r->cause[0])
        abort();
    if (tsm_fs_read_file(&tsm_fs_posix, r->kept_as, 1 << 24, &kept, err) != TSM_OK)
        abort();
    if (name && (kept.len != size || memcmp(kept.data, what, size) != 0))
        abort();
    tsm_buf_release(&kept);
    return TSM_OK;
}

static int complain(void *ctx, enum tsm_finding kind, const char *line, struct tsm_err *err)
{
    (void)ctx, (void)err;
    if (kind != TSM_FINDING_NOTE)
        fprintf(stderr, "%s\n", line);
    return TSM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 2)
        return 0;
    if (!dir[0])
        make_dir();
    static const char *const names[] = {"000000001-000000001.tsm", "000000001-000000001.tombstone", NULL,
                                        "_00001.wal"};
    uint8_t kind = p[0] & 3;
    struct image f = image_of("a", p + 2, n - 2);
    name = names[kind];
    if (kind == 0)
        image_repair(&f, p[0] >> 2);
    what = (const char *)f.p;
    size = f.n;
    if (name) {
        put(name, f.p, f.n);
    } else {
        size_t cut = f.n * p[1] / 255;
        put("000000001.log", f.p, cut);
        put("000000002.log", f.p + cut, f.n - cut);
    }
    struct tsm_repair r = {.fs = &tsm_fs_posix, .holder = "fuzz", .report = look};
    struct tsm_err err = {0};
    char path[128];
    snprintf(path, sizeof path, name ? "%s/%s" : "%s", dir, name);
    if (tsm_repair_path(&r, path, &err) != TSM_OK)
        die(err.msg);
    bool damaged = r.damaged;
    struct tsm_verify v = {.fs = &tsm_fs_posix, .jobs = 1, .report = complain};
    int rc = tsm_verify_path(&v, dir, &err);
    if ((rc != TSM_OK && rc != TSM_ENOTFOUND) || v.stats.faults || v.stats.unreadable)
        die("not sound after its repair");
    r.damaged = 0;
    rc = tsm_repair_path(&r, path, &err);
    if ((rc != TSM_OK && !(rc == TSM_ENOTFOUND && damaged)) || r.damaged)
        die("the second repair finds something");
    clean_up();
    dir[0] = 0;
    tsm_free(f.p);
    return 0;
}
