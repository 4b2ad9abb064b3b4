/* cmd/tsm-compact.c: plans and runs compactions, removes what is deleted and what has expired. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include "base/time.h"
#include "cli/compact.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum {
    DEFAULT_MEMORY_MB = 512,
    LEAST_MEMORY_MB = 32,
    MOST_LEVEL = 999999998,
};

static atomic_bool stop;

static const char *reserve;

static struct tsm_compact compact = {
    .common = {.data = "./tsm-data", .memory = (uint64_t)DEFAULT_MEMORY_MB << 20},
    .cold = 4 * TSM_HOUR,
    .reserve = TSM_RESERVE_DEFAULT,
    .stop = &stop,
};

static const struct tsm_option options[] = {
    TSM_OPT_DATA(&compact.common),
    {'b', "database", TSM_OPT_STRING, "NAME", "this database alone (default: all)", NULL, "TSM_DB",
     &compact.common.database},
    {'p', "rp", TSM_OPT_STRING, "NAME", "this retention policy alone (default: all)", NULL, NULL,
     &compact.common.rp},
    {0, "shard", TSM_OPT_COUNT, "ID", "this shard alone (default: all)", NULL, NULL, &compact.shard},
    {0, "plan", TSM_OPT_FLAG, NULL, "print what there is to do, a line for each compaction", NULL, NULL,
     &compact.plan},
    {0, "run", TSM_OPT_STRING, "FILE", "run the lines of a plan; - is stdin", NULL, NULL, &compact.run},
    {0, "level", TSM_OPT_COUNT, "N", "make nothing above this level", NULL, NULL, &compact.level},
    {0, "cold", TSM_OPT_DURATION, "DURATION",
     "a shard without a new file for so long is compacted to its end (default 4h; 0: every shard)", NULL,
     NULL, &compact.cold},
    {0, "io-limit", TSM_OPT_SIZE, "SIZE", "write at most so much per second", NULL, NULL, &compact.io_limit},
    {0, "max-time", TSM_OPT_DURATION, "DURATION",
     "end after so long; what is not finished then is left as it was", NULL, NULL, &compact.max_time},
    {0, "reserve", TSM_OPT_STRING, "SIZE",
     "leave so much of the disk free, or a percentage (default: 256M, or 5% when that is less)", NULL, NULL,
     &reserve},
    {'n', "dry-run", TSM_OPT_FLAG, NULL, "say what would be done", NULL, NULL, &compact.dry_run},
    TSM_OPT_CONFIG(&compact.common),
    TSM_OPT_JOBS(&compact.common),
    TSM_OPT_MEMORY(&compact.common),
    TSM_OPT_SUMMARY(&compact.common),
    TSM_OPT_QUIET(&compact.common),
    TSM_OPT_VERBOSE(&compact.common),
};

static const struct tsm_program program = {
    .name = "tsm-compact",
    .synopsis = "[OPTION]...",
    .summary = "Compact the shards of a data directory: fewer and larger files, late points merged, deleted "
               "and expired "
               "data\nremoved. Writers and readers go on beside it.",
    .details =
        "examples:\n"
        "  tsm-compact -d data\n"
        "  tsm-compact -d data --plan | grep -w home | tsm-compact -d data --run -\n"
        "  tsm-compact -d data --cold 0 -v\n"
        "  tsm-compact -q -d data --max-time 50m --io-limit 50M    # from cron, every hour\n"
        "\n"
        "exit status: 0 done, 1 failed, 2 wrong usage, 5 damage found (the rest is done), 75 something was\n"
        "left out: a shard that another process works on, a line out of date, too little room\n",
    .options = options,
    .noptions = sizeof options / sizeof *options,
    .common = &compact.common,
};

static void on_signal(int sig)
{
    (void)sig;
    atomic_store(&stop, true);
}

/* A first signal abandons what is being done, a second one ends the program: nothing is lost by either. */
static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGXFSZ, SIG_IGN);
}

static void check_options(void)
{
    if (compact.plan && compact.run)
        tsm_usage(&program, "options --plan and --run exclude each other");
    if (compact.common.memory < (uint64_t)LEAST_MEMORY_MB << 20)
        tsm_usage(&program, "option --memory: at least %dM", LEAST_MEMORY_MB);
    if (compact.level == 1 || compact.level > MOST_LEVEL)
        tsm_usage(&program, "option --level: from 2 to %d", MOST_LEVEL);
    if (reserve && !tsm_reserve_parse(tsm_str_of(reserve), &compact.reserve))
        tsm_usage(&program, "option --reserve: '%s' is neither a size nor a percentage", reserve);
}

int main(int argc, char **argv)
{
    tsm_program_start();
    int first = tsm_options_parse(&program, argc, argv);
    if (first < argc)
        tsm_usage(&program, "unexpected operand '%s'", argv[first]);
    check_options();
    if (!compact.plan)
        catch_signals();
    /* Large pieces of memory go back to the system when freed, so that the limit on memory is kept. */
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    compact.program = &program;
    compact.fs = &tsm_fs_posix;
    tsm_compact_start(&compact);

    struct tsm_err err = {0};
    int rc = tsm_data_abandoned(compact.fs, compact.common.data, &err);
    if (rc == TSM_OK)
        rc = compact.run                       ? tsm_compact_run(&compact, &err)
             : compact.plan || compact.dry_run ? tsm_compact_plan(&compact, &err)
                                               : tsm_compact_all(&compact, &err);
    tsm_progress_clear(&compact.progress);
    int status = tsm_compact_status(&compact);
    if (rc != TSM_OK) {
        tsm_complain(&program, "%s", err.msg);
        status = rc == TSM_EPARSE ? TSM_EXIT_FAILED : tsm_exit_status(rc);
    }
    if (tsm_output_close(&compact.out, &err) != TSM_OK && rc == TSM_OK) {
        tsm_complain(&program, "%s", err.msg);
        status = TSM_EXIT_FAILED;
    }
    if (atomic_load(&stop)) {
        tsm_complain(&program,
                     "stopped by a signal; what was being done has been abandoned, all else is finished");
        status = TSM_EXIT_FAILED;
    }
    if (!compact.plan && !compact.dry_run)
        tsm_compact_summary(&compact);
    tsm_output_release(&compact.out);
    return status;
}
