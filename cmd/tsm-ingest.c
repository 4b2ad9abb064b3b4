/*
 * tsm-ingest: line protocol or CSV from files or stdin into a data directory or a server.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/time.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/rejects.h"
#include "cli/server.h"
#include "net/remote_writer.h"
#include "store/data_dir.h"
#include "store/load.h"
#include "base/banned.h"

enum {
    DEFAULT_MEMORY_MB = 512,
    LEAST_MEMORY_MB = 32,
    SHOWN_REJECTS = 10,
};

static struct {
    struct tsm_common common;
    const char *format, *precision, *measurement, *measurement_column, *tags, *fields, *time, *separator,
        *rejects, *wal, *sync, *reserve, *checkpoint;
    int64_t flush_interval, patience;
    bool dry_run;
} opt = {
    .common = {.data = "./tsm-data", .memory = (uint64_t)DEFAULT_MEMORY_MB << 20},
    .format = "line",
    .precision = "ns",
    .separator = ",",
    .wal = "auto",
    .sync = "1s",
    .flush_interval = 10 * TSM_MINUTE,
    .patience = TSM_MINUTE,
};

static const struct tsm_option options[] = {
    TSM_OPT_DATA(&opt.common),
    TSM_OPT_DB(&opt.common),
    TSM_OPT_RP(&opt.common),
    TSM_OPT_HOST(&opt.common),
    TSM_OPT_USER(&opt.common),
    TSM_OPT_INSECURE(&opt.common),
    {'f', "format", TSM_OPT_CHOICE, "NAME", "input format (default line)", "line csv", NULL, &opt.format},
    {0, "precision", TSM_OPT_CHOICE, "UNIT", "unit of integer timestamps (default ns)", "ns us ms s m h",
     NULL, &opt.precision},
    {0, "measurement", TSM_OPT_STRING, "NAME", "csv: measurement of all rows", NULL, NULL, &opt.measurement},
    {0, "measurement-column", TSM_OPT_STRING, "NAME", "csv: column that holds the measurement", NULL, NULL,
     &opt.measurement_column},
    {0, "tags", TSM_OPT_STRING, "NAMES", "csv: columns that are tags, separated by commas", NULL, NULL,
     &opt.tags},
    {0, "fields", TSM_OPT_STRING, "NAMES",
     "csv: columns that are fields, each as NAME or NAME:TYPE (default: all others)", NULL, NULL,
     &opt.fields},
    {0, "time", TSM_OPT_STRING, "NAME", "csv: column of the timestamps (default: time, if there is one)",
     NULL, NULL, &opt.time},
    {0, "separator", TSM_OPT_STRING, "CHAR", "csv: character between cells (default ',')", NULL, NULL,
     &opt.separator},
    {0, "rejects", TSM_OPT_STRING, "FILE", "save rejected lines to FILE", NULL, NULL, &opt.rejects},
    {0, "wal", TSM_OPT_CHOICE, "WHEN",
     "keep a log, so that points are visible and durable soon (default auto: unless all input is files)",
     "auto on off", NULL, &opt.wal},
    {0, "sync", TSM_OPT_STRING, "INTERVAL", "fsync the log after so long, or always (default 1s)", NULL, NULL,
     &opt.sync},
    {0, "flush-interval", TSM_OPT_DURATION, "INTERVAL",
     "write points to TSM files after so long at the latest (default 10m; 0s: never by time)", NULL, NULL,
     &opt.flush_interval},
    {0, "checkpoint", TSM_OPT_STRING, "FILE",
     "remember in FILE how far the input files are durable, and go on there", NULL, NULL, &opt.checkpoint},
    {0, "reserve", TSM_OPT_STRING, "SIZE",
     "free space to leave on the disk, as 1G or 10% (default 256M or 5%, whichever is less)", NULL, NULL,
     &opt.reserve},
    {0, "patience", TSM_OPT_DURATION, "INTERVAL",
     "how long to try again when the server is busy or does not answer (default 1m)", NULL, NULL,
     &opt.patience},
    {'n', "dry-run", TSM_OPT_FLAG, NULL, "check the input, write nothing", NULL, NULL, &opt.dry_run},
    TSM_OPT_CONFIG(&opt.common),
    TSM_OPT_JOBS(&opt.common),
    TSM_OPT_MEMORY(&opt.common),
    TSM_OPT_SUMMARY(&opt.common),
    TSM_OPT_QUIET(&opt.common),
    TSM_OPT_VERBOSE(&opt.common),
};

static const struct tsm_program program = {
    .name = "tsm-ingest",
    .synopsis = "[OPTION]... [FILE]...",
    .summary = "Write line protocol or CSV into a data directory or to a server. Without FILE, or when FILE "
               "is -, read stdin.\n"
               "gzip and LZ4 input is recognised.",
    .details =
        "examples:\n"
        "  tsm-ingest -d data -b home sensors.lp\n"
        "  zcat *.lp.gz | tsm-ingest -d data -b home --rejects bad.lp\n"
        "  tail -F app.lp | tsm-ingest -d data -b app --sync always\n"
        "  tsm-ingest -H http://127.0.0.1:8086 -b home sensors.lp\n"
        "  tsm-ingest -b home -f csv --measurement air --tags room,floor --precision s air.csv\n"
        "\n"
        "exit status: 0 everything is stored and fsynced, 1 failed (the message says what is stored),\n"
        "2 wrong usage, 3 stored, but some lines were rejected, 5 damaged input, 75 another process\n"
        "holds the data directory, the server does not answer, or a signal came while the disk had no room\n",
    .options = options,
    .noptions = sizeof options / sizeof *options,
    .common = &opt.common,
};

static atomic_bool stop;

static void on_signal(int sig)
{
    (void)sig;
    atomic_store(&stop, true);
}

/* A first signal ends the reading, a second one the program. */
static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    /* A reader of our messages that goes away, or a limit on the size of files, must not cost data. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

/* ---- options ---- */

static char separator_char(void)
{
    if (strcmp(opt.separator, "\\t") == 0 || strcmp(opt.separator, "tab") == 0)
        return '\t';
    if (strlen(opt.separator) != 1 || strchr("\"\r\n", opt.separator[0]))
        tsm_usage(&program, "option --separator: '%s' is not a character that can separate cells",
                  opt.separator);
    return opt.separator[0];
}

static struct tsm_reserve reserve(void)
{
    struct tsm_reserve r = TSM_RESERVE_DEFAULT;
    if (opt.reserve && !tsm_reserve_parse(tsm_str_of(opt.reserve), &r))
        tsm_usage(&program, "option --reserve: '%s' is neither a size nor a percentage", opt.reserve);
    return r;
}

/* Opening it for writing would empty it before it is read. */
static void check_rejects_file(char *const *paths, int n)
{
    struct stat a, b;
    if (!opt.rejects || stat(opt.rejects, &a) != 0)
        return;
    for (int i = -1; i < n; i++) {
        bool standard = i < 0 ? n == 0 : strcmp(paths[i], "-") == 0;
        if (i < 0 && !standard)
            continue;
        if ((standard ? fstat(STDIN_FILENO, &b) : stat(paths[i], &b)) == 0 && a.st_dev == b.st_dev &&
            a.st_ino == b.st_ino && S_ISREG(a.st_mode))
            tsm_usage(&program, "option --rejects: %s is also the input", opt.rejects);
    }
}

/* Whether a pipe, or something else that is no file, is among the input. */
static bool has_pipe(char *const *paths, int n)
{
    struct stat st;
    bool any = n == 0 && (fstat(STDIN_FILENO, &st) != 0 || !S_ISREG(st.st_mode));
    for (int i = 0; i < n; i++) {
        int rc = strcmp(paths[i], "-") == 0 ? fstat(STDIN_FILENO, &st) : stat(paths[i], &st);
        any |= rc == 0 && !S_ISREG(st.st_mode);
    }
    return any;
}

static int64_t sync_interval(void)
{
    int64_t interval = 0;
    if (strcmp(opt.sync, "always") == 0)
        return 0;
    if (!tsm_parse_duration(tsm_str_of(opt.sync), &interval) || interval < 0)
        tsm_usage(&program, "option --sync: '%s' is neither always nor a duration, as 1s", opt.sync);
    return interval;
}

/* What is read again has to be the same as before. */
static void check_checkpoint(char *const *paths, int n)
{
    struct stat st;
    if (!opt.checkpoint)
        return;
    if (opt.dry_run)
        tsm_usage(&program, "option --checkpoint: nothing is durable after a dry run");
    if (opt.rejects && strcmp(opt.rejects, opt.checkpoint) == 0)
        tsm_usage(&program, "option --checkpoint: %s is also the file for rejected lines", opt.checkpoint);
    for (int i = 0; i < n || n == 0; i++) {
        bool standard = n == 0 || strcmp(paths[i], "-") == 0;
        if (standard || (stat(paths[i], &st) == 0 && !S_ISREG(st.st_mode)))
            tsm_usage(&program, "option --checkpoint: %s is not a regular file",
                      standard ? "stdin" : paths[i]);
    }
}

static void check_options(struct tsm_load_options *load)
{
    bool csv = strcmp(opt.format, "csv") == 0;
    const char *csv_only[][2] = {{"measurement", opt.measurement},
                                 {"measurement-column", opt.measurement_column},
                                 {"tags", opt.tags},
                                 {"fields", opt.fields},
                                 {"time", opt.time}};
    for (size_t i = 0; i < sizeof csv_only / sizeof *csv_only && !csv; i++)
        if (csv_only[i][1])
            tsm_usage(&program, "option --%s needs --format csv", csv_only[i][0]);
    if (!opt.common.database || !*opt.common.database)
        tsm_usage(&program, "no database given (option --database)");
    if (csv && !opt.measurement == !opt.measurement_column)
        tsm_usage(&program, "csv needs one of the options --measurement and --measurement-column");
    if (opt.flush_interval < 0)
        tsm_usage(&program, "option --flush-interval: not a duration such as 10m");
    if (opt.common.memory < (uint64_t)LEAST_MEMORY_MB << 20)
        tsm_usage(&program, "option --memory: at least %dM", LEAST_MEMORY_MB);
    *load = (struct tsm_load_options){
        .csv = csv,
        .csv_options = {.measurement = tsm_str_of(csv && opt.measurement ? opt.measurement
                                                                         : opt.measurement_column),
                        .measurement_column = opt.measurement_column != NULL,
                        .tags = tsm_str_of(opt.tags),
                        .fields = tsm_str_of(opt.fields),
                        .time = tsm_str_of(opt.time),
                        .separator = separator_char()},
        .unit = tsm_precision_unit(tsm_str_of(opt.precision)),
        .jobs = tsm_jobs(&program),
        .stop = &stop,
    };
}

/* ---- telling ---- */

struct run {
    struct tsm_progress progress;
    struct tsm_rejects rejects;
    struct tsm_checkpoint *checkpoint; /* NULL: none is kept */
};

static void clear_progress(void *ctx)
{
    tsm_progress_clear(&((struct run *)ctx)->progress);
}

static void show_progress(void *ctx, const struct tsm_load_progress *p)
{
    struct run *run = ctx;
    if (!tsm_progress_due(&run->progress))
        return;
    double seconds = tsm_progress_seconds(&run->progress);
    char rows[TSM_AMOUNT_MAX], rate[TSM_AMOUNT_MAX], bytes[TSM_AMOUNT_MAX], part[32] = "";
    tsm_amount(rows, (double)p->engine.rows);
    tsm_amount(rate, (double)p->engine.rows / seconds);
    tsm_amount(bytes, (double)p->bytes);
    if (p->input_total)
        snprintf(part, sizeof part, ", %.0f %%", 100.0 * (double)p->input_bytes / (double)p->input_total);
    tsm_progress_show(&run->progress, "%s rows, %sB%s, %s rows/s", rows, bytes, part, rate);
}

static int reject(void *ctx, const struct tsm_load_reject *r, struct tsm_err *err)
{
    return tsm_rejects_add(&((struct run *)ctx)->rejects, r->file, r->line, r->text, r->cause, r->header,
                           err);
}

static int sync_rejects(void *ctx, struct tsm_err *err)
{
    return tsm_rejects_sync(&((struct run *)ctx)->rejects, err);
}

static void warn(void *ctx, const char *message)
{
    (void)ctx; /* called by any thread: one write, and the progress line heals itself */
    tsm_complain(&program, "warning: %s", message); /* of damage: also with -q */
}

/* An interrupted sleep is one that is to end. */
static bool wait_for_room(void *ctx, enum tsm_room_event event, const char *message)
{
    static const struct timespec moment = {.tv_nsec = TSM_ROOM_WAIT_MS * 1000000l};
    (void)ctx;
    if (event == TSM_ROOM_NONE)
        tsm_complain(&program, "%s; waiting", message);
    if (event == TSM_ROOM_AGAIN)
        tsm_complain(&program, "%s; going on", message);
    else if (!atomic_load(&stop))
        nanosleep(&moment, NULL);
    return !atomic_load(&stop);
}

static void print_summary(const struct tsm_engine_stats *st, const struct tsm_load_result *result,
                          double seconds)
{
    double rate = seconds > 0 ? (double)st->rows / seconds : 0;
    if (opt.common.summary) {
        fprintf(stderr,
                "{\"points\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"durable_rows\":%" PRIu64
                ",\"series\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"late\":%" PRIu64 ",\"bytes\":%" PRIu64
                ",\"file_bytes\":%" PRIu64 ",\"files\":%" PRIu64 ",\"waits\":%" PRIu64
                ",\"log_records\":%" PRIu64 ",\"log_bytes\":%" PRIu64 ",\"log_syncs\":%" PRIu64
                ",\"replayed\":%" PRIu64 ",\"seconds\":%.3f,\"rows_per_second\":%.0f}\n",
                st->points, st->rows, st->durable_rows, st->series, result->rejected, st->late, result->bytes,
                st->file_bytes, st->files, st->waits, st->log_records, st->log_bytes, st->log_syncs,
                st->replayed, seconds, rate);
        return;
    }
    if (opt.common.quiet || (!opt.common.verbose && !isatty(STDERR_FILENO)))
        return;
    char rows[TSM_AMOUNT_MAX], per_second[TSM_AMOUNT_MAX], bytes[TSM_AMOUNT_MAX];
    tsm_amount(rows, (double)st->rows);
    tsm_amount(per_second, rate);
    tsm_amount(bytes, (double)st->file_bytes);
    fprintf(stderr,
            "%s: %s rows, %" PRIu64 " values, %" PRIu64 " series in %.2f s (%s rows/s); %" PRIu64
            " files, %sB\n",
            program.name, rows, st->points, st->series, seconds, per_second, st->files, bytes);
    if (st->replayed)
        fprintf(stderr, "%s: %" PRIu64 " rows were in the log of an earlier run\n", program.name,
                st->replayed);
}

/* What became of the rows when something failed. */
static void print_durable(const struct tsm_engine_stats *st)
{
    if (st->rows == 0)
        return;
    if (st->rows == st->durable_rows)
        tsm_complain(&program, "%" PRIu64 " row%s read, all of them are durable", st->rows,
                     st->rows == 1 ? " was" : "s were");
    else
        tsm_complain(&program, "%" PRIu64 " rows are durable, the rest is not", st->durable_rows);
}

/* ---- where the points go ---- */

/* A directory, by its engine, or a server. */
struct destination {
    struct tsm_engine *engine; /* or NULL */
    struct tsm_client *client;
    struct tsm_remote_writer *writer;
    struct tsm_load_target target;
};

static int open_server(struct destination *d, struct tsm_err *err)
{
    struct tsm_client_options client = {.stop = &stop, .patience = opt.patience, .warn = warn};
    int rc = tsm_server_client(&opt.common, &client, &d->client, err);
    if (rc != TSM_OK || !d->client)
        return rc;
    d->writer = tsm_remote_writer_new(opt.dry_run ? NULL : d->client, tsm_str_of(opt.common.database),
                                      tsm_str_of(opt.common.rp));
    d->target = tsm_load_into_server(d->writer);
    return TSM_OK;
}

static int open_directory(struct destination *d, const struct tsm_load_options *load, struct tsm_err *err)
{
    struct tsm_engine_options engine = {
        .dir = opt.common.data,
        .database = tsm_str_of(opt.common.database),
        .rp = tsm_str_of(opt.common.rp),
        .holder = program.name,
        .memory = opt.common.memory - opt.common.memory / 8 - ((uint64_t)LEAST_MEMORY_MB << 19),
        .jobs = load->jobs,
        .dry_run = opt.dry_run,
        .wal = strcmp(opt.wal, "on") == 0 ||
               (strcmp(opt.wal, "auto") == 0 && has_pipe(load->paths, (int)load->npaths)),
        .sync_interval = sync_interval(),
        .flush_interval = opt.flush_interval,
        .warn = warn,
        .room = wait_for_room,
        .reserve = reserve(),
    };
    int rc = tsm_engine_open(&tsm_fs_posix, &engine, &d->engine, err);
    if (rc == TSM_OK)
        d->target = tsm_load_into_engine(d->engine);
    return rc;
}

static void close_destination(struct destination *d)
{
    tsm_engine_close(d->engine);
    tsm_remote_writer_free(d->writer);
    tsm_client_free(d->client);
}

/* What a server has taken is durable. */
static int sync_destination(struct destination *d, struct tsm_err *err)
{
    return d->engine ? tsm_engine_sync(d->engine, err) : TSM_OK;
}

/* ---- the work ---- */

/* What an earlier run has loaded counts only as long as it is there. */
static int open_checkpoint(const struct destination *d, struct tsm_checkpoint **c, struct tsm_err *err)
{
    char dir[PATH_MAX];
    if (!opt.checkpoint)
        return TSM_OK;
    if (d->engine && !realpath(opt.common.data, dir))
        return tsm_err_sys(err, errno, "%s", opt.common.data);
    struct tsm_checkpoint_target target = {
        .dir = tsm_str_of(d->engine ? dir : tsm_client_name(d->client)),
        .database = tsm_str_of(opt.common.database),
        .rp = d->engine ? tsm_engine_rp(d->engine) : tsm_str_of(opt.common.rp),
    };
    int rc = tsm_checkpoint_open(&tsm_fs_posix, opt.checkpoint, &target, c, err);
    if (rc == TSM_OK) /* a folder that is not there shows now, not when all is loaded */
        rc = tsm_fs_sync_parent(&tsm_fs_posix, opt.checkpoint, err);
    if (rc != TSM_OK || !d->engine)
        return rc;
    char *data = tsm_path_rp(dir, target.database, target.rp);
    if (!tsm_checkpoint_empty(*c) && !tsm_fs_exists(&tsm_fs_posix, data)) {
        tsm_complain(&program,
                     "warning: what %s says is loaded is not in %s: all files are loaded from the start",
                     opt.checkpoint, dir);
        tsm_checkpoint_clear(*c);
    }
    tsm_free(data);
    return TSM_OK;
}

/* After the last sync. */
static int save_checkpoint(struct run *run, const struct tsm_load_target *t, struct tsm_err *err)
{
    if (!run->checkpoint || !tsm_checkpoint_advance(run->checkpoint, t->durable(t->ctx)))
        return TSM_OK;
    int rc = tsm_rejects_sync(&run->rejects, err);
    return rc == TSM_OK ? tsm_checkpoint_save(run->checkpoint, err) : rc;
}

/* Loads and flushes. What was read before a failure is flushed, too. */
static int load_and_sync(struct destination *d, const struct tsm_load_options *load,
                         struct tsm_load_result *result)
{
    struct tsm_err err;
    int rc = tsm_load_run(&tsm_fs_posix, &d->target, load, result, &err);
    clear_progress(load->ctx);
    int status = tsm_exit_status(rc);
    if (rc != TSM_OK)
        tsm_complain(&program, "%s", err.msg);
    if (rc == TSM_EPARSE)
        status = TSM_EXIT_FAILED;
    struct tsm_err late;
    int synced = sync_destination(d, &late);
    if (synced != TSM_OK && (rc == TSM_OK || strcmp(late.msg, err.msg) != 0))
        tsm_complain(&program, "%s", late.msg);
    if (save_checkpoint(load->ctx, &d->target, &late) != TSM_OK) {
        tsm_complain(&program, "%s", late.msg);
        status = TSM_EXIT_FAILED;
    }
    if (synced != TSM_OK) /* not stored: that counts for more than damaged input */
        status = rc == TSM_OK ? tsm_exit_status(synced) : TSM_EXIT_FAILED;
    return status;
}

static int finish(struct run *run, const struct destination *d, struct tsm_load_result *result, int status)
{
    struct tsm_err err;
    struct tsm_engine_stats st;
    if (tsm_rejects_close(&run->rejects, &err) != TSM_OK) {
        tsm_complain(&program, "%s", err.msg);
        status = TSM_EXIT_FAILED;
    }
    d->target.stats(d->target.ctx, &st);
    if (result->stopped && status == TSM_EXIT_OK) {
        tsm_complain(&program, "stopped by a signal%s after line %" PRIu64 " of %s",
                     result->no_room ? " while there was no room," : "", result->lines,
                     result->file ? result->file : "the input");
        status = result->no_room ? TSM_EXIT_LATER : TSM_EXIT_FAILED;
    }
    if (status != TSM_EXIT_OK && !opt.dry_run)
        print_durable(&st);
    if (st.dropped_fields && !opt.common.quiet)
        tsm_complain(&program,
                     "warning: a field named \"time\" was left out of %" PRIu64 " rows, as InfluxDB does",
                     st.dropped_fields);
    if (result->rejected) {
        tsm_complain(&program, "%" PRIu64 " line%s rejected%s%s", result->rejected,
                     result->rejected == 1 ? " was" : "s were", opt.rejects ? "; they are in " : "",
                     opt.rejects ? opt.rejects : "");
        if (status == TSM_EXIT_OK)
            status = TSM_EXIT_REJECTED;
    }
    print_summary(&st, result, tsm_progress_seconds(&run->progress));
    return status;
}

int main(int argc, char **argv)
{
    tsm_program_start();
    int first = tsm_options_parse(&program, argc, argv);
    struct run run = {0};
    struct tsm_load_options load;
    struct tsm_load_result result = {0};
    struct tsm_err err;
    check_options(&load);
    check_rejects_file(argv + first, argc - first);
    check_checkpoint(argv + first, argc - first);
    catch_signals();
    /* Large pieces of memory go back to the system when freed, so that the limit on memory is kept. */
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    load.paths = argv + first;
    load.npaths = (size_t)(argc - first);
    load.memory = opt.common.memory / 8;
    load.reject = reject;
    load.sync_rejects = sync_rejects;
    load.warn = warn;
    load.ctx = &run;
    if (!opt.common.quiet)
        load.progress = show_progress;

    tsm_progress_start(&run.progress, program.name);
    if (opt.common.quiet)
        run.progress.on = false;
    struct destination d = {0};
    int rc = open_server(&d, &err);
    if (rc == TSM_OK && !d.client)
        rc = open_directory(&d, &load, &err);
    if (rc != TSM_OK) {
        tsm_complain(&program, "%s", err.msg);
        return tsm_exit_status(rc);
    }
    run.rejects = (struct tsm_rejects){
        .fs = &tsm_fs_posix,
        .path = opt.rejects,
        .show = opt.common.verbose ? UINT64_MAX
                : opt.common.quiet ? 0
                                   : SHOWN_REJECTS,
        .before = clear_progress,
        .ctx = &run,
    };
    int status = TSM_EXIT_FAILED;
    rc = open_checkpoint(&d, &run.checkpoint, &err);
    load.checkpoint = run.checkpoint;
    run.rejects.append = run.checkpoint && !tsm_checkpoint_empty(run.checkpoint);
    if (rc == TSM_OK)
        rc = tsm_rejects_open(&run.rejects, &err);
    if (rc != TSM_OK)
        tsm_complain(&program, "%s", err.msg);
    if (rc == TSM_EUSAGE || rc == TSM_EPARSE)
        status = TSM_EXIT_USAGE;
    if (rc == TSM_OK)
        status = finish(&run, &d, &result, load_and_sync(&d, &load, &result));
    tsm_load_result_release(&result);
    tsm_checkpoint_free(run.checkpoint);
    close_destination(&d);
    return status;
}
