/*
 * cli/inspect.h: the commands of tsm-inspect: what each does with its operands, what it prints and how it
 * exits.
 */
#ifndef TSM_CLI_INSPECT_H
#define TSM_CLI_INSPECT_H

#include "cli/options.h"
#include "result/output.h"
#include "store/sources.h"

struct tsm_inspect {
    const struct tsm_program *program;
    const struct tsm_fs *fs;
    struct tsm_common common;
    const char *format; /* NULL: the command's own */
    const char *start, *end;
    uint64_t top;
    unsigned jobs; /* filled by tsm_inspect_start() */
    bool blocks, origins, header, skip_corrupt, exit_status, dry_run;
    char **operands;
    size_t noperands;
    struct tsm_output out;
    struct tsm_damage damage; /* likewise */
    uint64_t skipped;         /* damage that --skip-corrupt left out */
};

/* Completes what the options gave: output, damage, jobs. in stays in place from then on. */
void tsm_inspect_start(struct tsm_inspect *in);

/* Each command: TSM_OK or the error that ended it; what it has to say by status is in *status. */
int tsm_inspect_verify(struct tsm_inspect *in, int *status, struct tsm_err *err);
int tsm_inspect_dump(struct tsm_inspect *in, int *status, struct tsm_err *err);
int tsm_inspect_export(struct tsm_inspect *in, int *status, struct tsm_err *err);
int tsm_inspect_diff(struct tsm_inspect *in, int *status, struct tsm_err *err);
int tsm_inspect_repair(struct tsm_inspect *in, int *status, struct tsm_err *err);
int tsm_inspect_report(struct tsm_inspect *in, int *status, struct tsm_err *err);

/* The database of -b; one that only TSM_DB names does not concern an operand that has no databases. */
struct tsm_str tsm_inspect_database(const struct tsm_inspect *in, const char *operand);
/* For the commands: the shards that operands and -b, -p stand for. */
int tsm_inspect_sources(struct tsm_inspect *in, struct tsm_sources *s, struct tsm_err *err);
/* Whether both are of one database and policy. */
bool tsm_inspect_same_place(const struct tsm_source *a, const struct tsm_source *b);
/* Points of several databases in one stream cannot be told apart any more: TSM_EUSAGE without --header. */
int tsm_inspect_refuse_mixture(const struct tsm_inspect *in, const struct tsm_sources *s,
                               struct tsm_err *err);
/* Puts comments out that name database and policy: `influx -import` takes the context from them. */
void tsm_inspect_add_header(struct tsm_inspect *in, const struct tsm_source *s, bool first);
/* A sink in the format of -f, or else `format`; tsm_inspect_close_sink() ends it (or, with a code that is not
 * TSM_OK, only frees it). */
struct tsm_sink *tsm_inspect_open_sink(struct tsm_inspect *in, const char *format);
int tsm_inspect_close_sink(struct tsm_inspect *in, struct tsm_sink *s, const char *format, int code,
                           struct tsm_err *err);
/* "tsm-inspect: …" on stderr unless -q. */
void tsm_inspect_say(const struct tsm_inspect *in, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
