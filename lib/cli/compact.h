/*
 * cli/compact.h: what tsm-compact does: plan, run a plan, or both for every shard; what it says about it, and how it exits.
 */
#ifndef TSM_CLI_COMPACT_H
#define TSM_CLI_COMPACT_H

#include <stdatomic.h>

#include "cli/options.h"
#include "result/output.h"
#include "cli/progress.h"
#include "store/compaction_plan.h"
#include "store/compaction_run.h"
#include "store/retention.h"
#include "store/sources.h"

struct tsm_compact_totals {
    struct tsm_compaction_figures figures;
    uint64_t flushed; /* bytes of inputs that this run has not written itself */
    uint64_t shards, skipped, stale,
        delayed; /* looked at; locked; lines without inputs; merges without room */
    uint64_t expired, expired_bytes;
    uint64_t damaged, failed;
};

/* An output of this run, in the shard that is being worked on. */
struct tsm_compact_output {
    struct tsm_file_name name;
    uint64_t size;
};

struct tsm_compact {
    const struct tsm_program *program;
    const struct tsm_fs *fs;
    struct tsm_common common;
    const char *run;
    struct tsm_reserve reserve;
    uint64_t shard, level, io_limit;
    int64_t cold, max_time;
    bool plan, dry_run;
    atomic_bool *stop; /* a signal has come */

    /* filled by tsm_compact_start() */
    unsigned jobs;
    char holder[64];
    struct tsm_output out;
    struct tsm_damage damage;
    struct tsm_progress progress;

    struct tsm_compact_totals totals;
    bool output_failed; /* stdout: nothing else is worth doing */
};

/* Completes what the options gave. c stays in place from then on. */
void tsm_compact_start(struct tsm_compact *c);

/* Each: TSM_OK or the error that ended it; all else is said, and counted in the totals. */
int tsm_compact_plan(struct tsm_compact *c, struct tsm_err *err); /* --plan */
int tsm_compact_run(struct tsm_compact *c, struct tsm_err *err);  /* --run */
int tsm_compact_all(struct tsm_compact *c, struct tsm_err *err);

/* The figures of the run, and its exit status by the totals. */
void tsm_compact_summary(const struct tsm_compact *c);
int tsm_compact_status(const struct tsm_compact *c);

/* ---- for these ---- */

/* "tsm-compact: …" on stderr in place of the progress line. */
void tsm_compact_say(struct tsm_compact *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Whether a signal came or --max-time is over: no new compaction is begun, the present one is abandoned. */
bool tsm_compact_is_over(const struct tsm_compact *c);
/* The shards of -d that -b, -p and --shard stand for. */
int tsm_compact_sources(struct tsm_compact *c, struct tsm_sources *s, struct tsm_err *err);
bool tsm_compact_wants(const struct tsm_compact *c, struct tsm_str db, struct tsm_str rp, uint64_t shard);
/* For people: "db.rp shard 7". Terminated, cut when it is long. */
enum { TSM_SHARD_TEXT_MAX = 160 };
void tsm_compact_shard_text(char out[TSM_SHARD_TEXT_MAX], struct tsm_str db, struct tsm_str rp,
                            uint64_t shard);
/* For people: "merge 4 files (1.2MB) to 000000001-000000002: …" into out, and, when not dry, prints it on stderr under -v. */
void tsm_compact_describe(struct tsm_buf *out, const struct tsm_compaction *item);

/* A shard that is being compacted: locked and cleaned. */
struct tsm_compact_shard {
    struct tsm_compact *c;
    struct tsm_str db, rp;
    uint64_t id;
    char *dir;
    struct tsm_lock lock;
    struct tsm_compaction_run run;
    struct tsm_compact_output *outputs; /* of this run */
    size_t noutputs, capoutputs;
};

/* TSM_ELOCKED is said and counted. */
int tsm_compact_open(struct tsm_compact *c, struct tsm_str db, struct tsm_str rp, uint64_t id,
                     struct tsm_compact_shard *s, struct tsm_err *err);
void tsm_compact_close(struct tsm_compact_shard *s); /* accepts a zeroed one */
/* Runs one compaction and adds it to the totals. */
int tsm_compact_execute(struct tsm_compact_shard *s, const struct tsm_compaction *item, struct tsm_err *err);
/* Says and counts why a compaction was not done. */
void tsm_compact_note(struct tsm_compact *c, const char *shard, int code, const struct tsm_err *err);
/* Removes expired shards. */
int tsm_compact_expire(struct tsm_compact *c, struct tsm_expired_shard *shards, size_t n,
                       struct tsm_err *err);

#endif
