/*
 * store/repair.h: salvaging what checks from damaged files: TSM files, tombstones, segments of the write-ahead logs.
 *
 * A damaged file is written anew under its name with everything that checks, and kept beside as NAME.bad (.bad2, …). The copy is
 * durable before the name changes hands, so at any moment the damaged bytes exist, and under the name stands the damaged file or the
 * repaired one. A sound file is not touched.
 *
 * Of a TSM file, a block counts when its checksum holds, it decodes, and an index record ties it to a key; a record whose place in
 * a damaged index is not known is searched for. Keys have no checksum of their own: when the seal of an index does not fit, every
 * record may parse and one name of a series may yet be wrong. That is said (uncertain). A file that lost its index has
 * lost all names.
 */
#ifndef TSM_STORE_REPAIR_H
#define TSM_STORE_REPAIR_H

#include "base/err.h"
#include "base/str.h"
#include "sys/fs.h"

/* What became of a damaged file. */
struct tsm_repaired {
    const char *path;
    const char *fault;   /* the first one */
    const char *aside;   /* where it is kept now; NULL in a dry run, and when nothing could be done */
    const char *unit;    /* of the numbers: "block", "record", "member" */
    uint64_t kept, lost; /* lost: of which so much is known that they can be counted */
    bool uncertain;      /* more may be lost or wrong than the numbers say */
    bool left;           /* nothing can be done about it here: the file stays as it is */
};

struct tsm_repair {
    const struct tsm_fs *fs;
    const char *holder; /* for the locks: "tsm-inspect, process 4711" */
    bool dry_run;
    /* Called for each damaged file; an error stops the run. */
    int (*report)(void *ctx, const struct tsm_repaired *what, struct tsm_err *err);
    void *ctx;
    uint64_t files, damaged, lossy; /* added to: looked at; of these damaged; of these with a loss */
};

/* A file (by its name: TSM, tombstone, segment of a log, meta.db) or a directory with all below it. TSM_ELOCKED when a
 * compaction, a delete or a writer works there. */
int tsm_repair_path(struct tsm_repair *r, const char *path, struct tsm_err *err);

/* ---- for repair_*.c ---- */

/* Puts the damaged file aside: copied (or, with nothing to take its place, moved), durably. *aside is its new path (tsm_free). */
int tsm_repair_set_aside(struct tsm_repair *r, const char *path, bool move, char **aside,
                         struct tsm_err *err);

/* Each looks at one file; a sound one is passed over. Locks are held. */
int tsm_repair_tsm(struct tsm_repair *r, const char *path, struct tsm_err *err);
int tsm_repair_tombstone(struct tsm_repair *r, const char *path, struct tsm_err *err);
int tsm_repair_log(struct tsm_repair *r, const char *path, struct tsm_err *err);
int tsm_repair_influx_log(struct tsm_repair *r, const char *path, struct tsm_err *err);

/* Puts the file aside, installs bytes (none: nothing) under its name, and reports. what->path and fault are given. */
int tsm_repair_replace(struct tsm_repair *r, struct tsm_repaired *what, struct tsm_str bytes,
                       struct tsm_err *err);
/* Counts and reports. */
int tsm_repair_report(struct tsm_repair *r, const struct tsm_repaired *what, struct tsm_err *err);

#endif
