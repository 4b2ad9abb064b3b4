/* cmd/tsm-inspect.c: verify, dump, export, report, diff, repair: what one needs to trust a binary format. */
#include <stdio.h>
#include <string.h>

#include "cli/inspect.h"
#include "base/banned.h"

static struct tsm_inspect in;

static const struct tsm_option options[] = {
    TSM_OPT_DATA(&in.common),
    TSM_OPT_DB(&in.common),
    {'p', "rp", TSM_OPT_STRING, "NAME", "retention policy (default: all)", NULL, NULL, &in.common.rp},
    {'f', "format", TSM_OPT_CHOICE, "NAME",
     "of dump (default: table on a terminal, else tsv), report and repair (table)",
     "table csv tsv json jsonl", NULL, &in.format},
    {0, "blocks", TSM_OPT_FLAG, NULL, "dump: a line per block instead of per key", NULL, NULL, &in.blocks},
    {0, "origins", TSM_OPT_FLAG, NULL, "dump: the files that a compaction made this one from", NULL, NULL,
     &in.origins},
    {0, "start", TSM_OPT_STRING, "TIME", "export: points at or after TIME (RFC 3339, a date, or nanoseconds)",
     NULL, NULL, &in.start},
    {0, "end", TSM_OPT_STRING, "TIME", "export: points before TIME", NULL, NULL, &in.end},
    {0, "header", TSM_OPT_FLAG, NULL,
     "export and diff: comments that name database and policy, as influx -import reads them", NULL, NULL,
     &in.header},
    {0, "top", TSM_OPT_COUNT, "N", "report: how many measurements and tags (default 20)", NULL, NULL,
     &in.top},
    {0, "skip-corrupt", TSM_OPT_FLAG, NULL, "leave damage out, say so, and go on; the exit status is still 5",
     NULL, NULL, &in.skip_corrupt},
    {'e', "exit-status", TSM_OPT_FLAG, NULL, "diff: exit with status 4 when there is no difference", NULL,
     NULL, &in.exit_status},
    {'n', "dry-run", TSM_OPT_FLAG, NULL, "repair: say what would be done, change nothing", NULL, NULL,
     &in.dry_run},
    TSM_OPT_JOBS(&in.common),
    TSM_OPT_CONFIG(&in.common),
    TSM_OPT_SUMMARY(&in.common),
    TSM_OPT_QUIET(&in.common),
    TSM_OPT_VERBOSE(&in.common),
};

static const struct tsm_program program = {
    .name = "tsm-inspect",
    .synopsis = "[OPTION]... verify|dump|export|report|diff|repair [DIR|FILE]...",
    .summary = "Prove, show and export what is in TSM files.",
    .details =
        "commands:\n"
        "  verify    check every checksum, block, index, tombstone and log; a line per fault\n"
        "  dump      keys of TSM files (with --blocks: their blocks); entries of tombstones and logs,\n"
        "            shards of meta.db\n"
        "  export    all points as line protocol, overlap resolved and deletes applied\n"
        "  report    series, cardinality of measurements and tags, bytes per value and encoding\n"
        "  diff A B  points that B has and A has not, or with another value, as line protocol: what has to "
        "be\n"
        "            written into A to bring it up to B\n"
        "  repair    write damaged files anew with all that checks; the damaged ones are kept as *.bad\n"
        "\n"
        "An operand is a data directory, any directory with TSM files, or a file; without one it is\n"
        "the data directory of -d.\n"
        "\n"
        "examples:\n"
        "  tsm-inspect verify /var/lib/influxdb\n"
        "  tsm-inspect dump --blocks data/data/db/autogen/2/000000001-000000001.tsm | sort -t "
        "\"$(printf '\\t')\" -k4nr\n"
        "  tsm-inspect export -b db --start 2024-05-01 data | gzip > db.lp.gz\n"
        "  tsm-inspect report -f json data | jq '.tags[0]'\n"
        "  tsm-inspect diff -b db data backup | tsm-ingest -d data -b db\n"
        "\n"
        "exit status: 0 done, 1 failed, 2 wrong usage, 4 no difference (diff -e), 5 damage\n"
        "found, or not repaired without a loss, 75 a writer or a compaction is at work where repair has to "
        "be\n",
    .options = options,
    .noptions = sizeof options / sizeof *options,
    .common = &in.common,
};

static const struct command {
    const char *name;
    int (*run)(struct tsm_inspect *in, int *status, struct tsm_err *err);
} commands[] = {
    {"verify", tsm_inspect_verify}, {"dump", tsm_inspect_dump}, {"export", tsm_inspect_export},
    {"report", tsm_inspect_report}, {"diff", tsm_inspect_diff}, {"repair", tsm_inspect_repair},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* An option that the command does not have would otherwise be passed over in silence. In a configuration file it may be meant for
 * other commands and programs. */
static void refuse(const struct command *c, const char *option, bool given, const char *owners)
{
    if (given && !in.common.config && !strstr(owners, c->name))
        tsm_usage(&program, "option --%s is for %s, not for %s", option, owners, c->name);
}

static void check_options(const struct command *c)
{
    refuse(c, "format", in.format, "dump, report and repair");
    refuse(c, "blocks", in.blocks, "dump");
    refuse(c, "origins", in.origins, "dump");
    refuse(c, "start", in.start, "export");
    refuse(c, "end", in.end, "export");
    refuse(c, "header", in.header, "export and diff");
    refuse(c, "exit-status", in.exit_status, "diff");
    refuse(c, "dry-run", in.dry_run, "repair");
    refuse(c, "top", in.top, "report");
    refuse(c, "skip-corrupt", in.skip_corrupt, "dump, export, report and diff");
}

int main(int argc, char **argv)
{
    tsm_program_start();
    int first = tsm_options_parse(&program, argc, argv);
    if (first == argc)
        tsm_usage(&program, "no command given: verify, dump, export, report, diff or repair");
    const struct command *command = find_command(argv[first]);
    if (!command)
        tsm_usage(&program, "unknown command '%s': verify, dump, export, report, diff or repair",
                  argv[first]);
    check_options(command);
    in.program = &program;
    in.fs = &tsm_fs_posix;
    in.operands = argv + first + 1;
    in.noperands = (size_t)(argc - first - 1);
    tsm_inspect_start(&in);

    struct tsm_err err = {0};
    int status = TSM_EXIT_OK;
    int code = command->run(&in, &status, &err);
    if (code != TSM_OK) {
        tsm_complain(&program, "%s", err.msg);
        status = tsm_exit_status(code);
    }
    if (tsm_output_close(&in.out, &err) != TSM_OK && code == TSM_OK) {
        tsm_complain(&program, "%s", err.msg);
        status = TSM_EXIT_FAILED;
    }
    tsm_output_release(&in.out);
    return status;
}
