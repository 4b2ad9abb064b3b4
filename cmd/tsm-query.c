/* cmd/tsm-query.c: InfluxQL over a data directory or loose TSM files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/time.h"
#include "cli/continuous.h"
#include "cli/options.h"
#include "cli/server.h"
#include "net/remote_query.h"
#include "result/writer.h"
#include "query/query.h"
#include "store/data_dir.h"
#include "base/banned.h"

static struct tsm_common common = {.data = "tsm-data", .memory = 512 << 20};
static struct {
    const char *format, *precision, *file;
    bool pretty, no_header, exit_status, skip_corrupt, continuous;
} given;

static const struct tsm_option options[] = {
    TSM_OPT_DATA(&common),
    TSM_OPT_DB(&common),
    TSM_OPT_RP(&common),
    TSM_OPT_HOST(&common),
    TSM_OPT_USER(&common),
    TSM_OPT_INSECURE(&common),
    {'f', "format", TSM_OPT_CHOICE, "NAME", "output format (default: table on a terminal, else csv)",
     "table csv tsv json jsonl line", NULL, &given.format},
    {0, "precision", TSM_OPT_CHOICE, "UNIT", "times as RFC 3339 or as a number of UNIT since 1970",
     "rfc3339 ns u us ms s m h", NULL, &given.precision},
    {0, "pretty", TSM_OPT_FLAG, NULL, "indent JSON", NULL, NULL, &given.pretty},
    {0, "no-header", TSM_OPT_FLAG, NULL, "leave out the header lines of CSV and TSV", NULL, NULL,
     &given.no_header},
    {0, "file", TSM_OPT_STRING, "FILE", "read the query from FILE ('-': standard input)", NULL, NULL,
     &given.file},
    {'e', "exit-status", TSM_OPT_FLAG, NULL, "exit with status 4 when there is no row", NULL, NULL,
     &given.exit_status},
    {0, "skip-corrupt", TSM_OPT_FLAG, NULL, "leave damage out, say so, and go on; the exit status is still 5",
     NULL, NULL, &given.skip_corrupt},
    {0, "run-continuous-queries", TSM_OPT_FLAG, NULL,
     "run the continuous queries of the directory that are due, for cron", NULL, NULL, &given.continuous},
    TSM_OPT_JOBS(&common),
    TSM_OPT_MEMORY(&common),
    TSM_OPT_CONFIG(&common),
    TSM_OPT_SUMMARY(&common),
    TSM_OPT_QUIET(&common),
    TSM_OPT_VERBOSE(&common),
};

static const struct tsm_program program = {
    .name = "tsm-query",
    .synopsis = "[OPTION]... 'QUERY' [FILE.tsm]...",
    .summary = "Answer InfluxQL from a data directory, from the TSM files given, or by asking a server.",
    .details =
        "QUERY holds one or more statements separated by ';'; '-' reads it from standard input.\n"
        "\n"
        "examples:\n"
        "  tsm-query -b db 'SELECT mean(usage) FROM cpu WHERE time > now() - 1h GROUP BY host'\n"
        "  tsm-query -b db -f csv 'SELECT * FROM cpu' | mlr --icsv --opprint stats1 -a p99 -f usage -g host\n"
        "  tsm-query -b db -f line 'SELECT * FROM cpu' | tsm-ingest -b copy\n"
        "  tsm-query 'SHOW MEASUREMENTS' 000000001-000000001.tsm\n"
        "  tsm-query -d DIR --run-continuous-queries\n"
        "  tsm-query -H http://127.0.0.1:8086 -b db 'SELECT last(usage) FROM cpu GROUP BY host'\n"
        "\n"
        "exit status: 0 done, 1 failed, 2 wrong usage or syntax, 4 no row (only with -e), 5 damage found,\n"
        "75 the directory is locked, or the server does not answer\n",
    .options = options,
    .noptions = sizeof options / sizeof *options,
    .common = &common,
};

/* ---- the query's text ------------------------------------------------------------------------- */

enum { QUERY_MAX = 64 << 20 };

static void read_query(const char *name, struct tsm_buf *text)
{
    bool is_stdin = strcmp(name, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && text->len < QUERY_MAX) {
        n = read(fd, tsm_buf_room(text, 1 << 16), 1 << 16);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            text->len += (size_t)n;
    }
    if (n < 0) {
        tsm_complain(&program, "read the query from '%s': %s", is_stdin ? "standard input" : name,
                     strerror(errno));
        exit(TSM_EXIT_FAILED);
    }
    if (text->len >= QUERY_MAX)
        tsm_usage(&program, "the query is longer than %d bytes", QUERY_MAX);
    if (!is_stdin)
        close(fd);
}

/* The query into text; returns the operands behind it: the TSM files. */
static char **take_query(char **operands, struct tsm_buf *text)
{
    if (given.file) {
        read_query(given.file, text);
        return operands;
    }
    if (!*operands)
        tsm_usage(&program, "no query given");
    if (strcmp(*operands, "-") == 0)
        read_query("-", text);
    else
        tsm_buf_puts(text, *operands);
    return operands + 1;
}

/* ---- run -------------------------------------------------------------------------------------- */

struct run {
    struct tsm_output out;
    struct tsm_result_options result;
    bool damaged;
    uint64_t rows;
};

static void on_damage(void *ctx, const char *message)
{
    ((struct run *)ctx)->damaged = true;
    tsm_complain(&program, "skipped: %s", message);
}

static void choose_format(struct run *r)
{
    const char *name = given.format ? given.format : isatty(STDOUT_FILENO) ? "table" : "csv";
    const char *unit = given.precision ? given.precision : "rfc3339";
    (void)tsm_format_by_name(tsm_str_of(name), &r->result.format);
    r->result.epoch_unit = tsm_precision_unit(tsm_str_of(unit)); /* 0 for rfc3339 */
    if (r->result.format == TSM_FORMAT_LINE)
        r->result.epoch_unit = 1;
    r->result.pretty = given.pretty;
    r->result.header = !given.no_header;
}

/* Asks a server. */
static int run_remote(struct run *r, struct tsm_client *client, struct tsm_str text, struct tsm_sink *sink,
                      struct tsm_err *err)
{
    struct tsm_remote_query q = {
        .text = text,
        .database = tsm_str_of(common.database),
        .rp = tsm_str_of(common.rp),
        .needs_tags = r->result.format == TSM_FORMAT_LINE,
    };
    return tsm_remote_query_run(client, &q, sink, &r->rows, err);
}

/* Instead of a query. */
static int run_continuous(struct run *r, const struct tsm_query_options *opt, const struct tsm_client *client,
                          struct tsm_err *err)
{
    if (client)
        return tsm_err_set(err, TSM_ELOCKED,
                           "a daemon has the directory, and runs continuous queries itself");
    return tsm_cli_continuous(&program, opt, &r->rows, err);
}

static int run_query(struct run *r, char **files, struct tsm_str text, struct tsm_err *err)
{
    size_t nfiles = 0;
    while (files[nfiles])
        nfiles++;
    struct tsm_query_options opt = {
        .fs = &tsm_fs_posix,
        .dir = nfiles ? NULL : common.data,
        .files = files,
        .nfiles = nfiles,
        .database = nfiles ? tsm_str("", 0) : tsm_str_of(common.database),
        .rp = nfiles ? tsm_str("", 0) : tsm_str_of(common.rp),
        .now = tsm_now(),
        .jobs = tsm_jobs(&program),
        .memory = common.memory,
        .damage = {given.skip_corrupt, on_damage, r},
    };
    struct tsm_client_options client_options = {0};
    struct tsm_client *client = NULL;
    int rc = nfiles ? TSM_OK : tsm_server_client(&common, &client_options, &client, err);
    if (rc == TSM_OK && nfiles == 0 && !client)
        rc = tsm_data_unflushed(&tsm_fs_posix, common.data, err);
    if (rc != TSM_OK)
        return rc;
    if (given.continuous) {
        rc = run_continuous(r, &opt, client, err);
        tsm_client_free(client);
        return rc;
    }
    struct tsm_sink *sink = tsm_result_writer_new(&r->result, &r->out);
    rc = client ? run_remote(r, client, text, sink, err) : tsm_query_run(&opt, text, sink, &r->rows, err);
    tsm_client_free(client);
    if (rc == TSM_EPARSE && r->result.format == TSM_FORMAT_JSON) {
        tsm_json_error(&r->out.buf, err->msg, r->result.pretty);
        tsm_result_writer_free(sink);
        return rc;
    }
    int finish = tsm_result_writer_finish(sink, rc == TSM_OK ? err : NULL);
    return rc == TSM_OK ? finish : rc;
}

static int status_of(const struct run *r, int rc)
{
    if (rc != TSM_OK)
        return tsm_exit_status(rc);
    if (r->damaged)
        return TSM_EXIT_CORRUPT;
    return given.exit_status && r->rows == 0 ? TSM_EXIT_NOTHING : TSM_EXIT_OK;
}

static void print_summary(const struct run *r, int64_t start)
{
    double seconds = (double)(tsm_now() - start) / 1e9;
    if (common.summary)
        fprintf(stderr, "{\"rows\":%llu,\"bytes\":%llu,\"seconds\":%.3f}\n", (unsigned long long)r->rows,
                (unsigned long long)r->out.written, seconds);
    else if (common.verbose)
        tsm_complain(&program, "%llu rows, %llu bytes, %.3f s", (unsigned long long)r->rows,
                     (unsigned long long)r->out.written, seconds);
}

int main(int argc, char **argv)
{
    tsm_program_start();
    int first = tsm_options_parse(&program, argc, argv);
    int64_t start = tsm_now();
    struct run r = {0};
    struct tsm_buf text = {0};
    struct tsm_err err = {0};
    if (given.continuous && argv[first])
        tsm_usage(&program, "--run-continuous-queries takes no query");
    char **files = given.continuous ? argv + first : take_query(argv + first, &text);
    tsm_output_init(&r.out, STDOUT_FILENO);
    choose_format(&r);

    int rc = run_query(&r, files, tsm_buf_view(&text), &err);
    if (rc != TSM_OK)
        tsm_complain(&program, "%s", err.msg);
    int status = status_of(&r, rc);
    rc = tsm_output_close(&r.out, &err);
    if (rc != TSM_OK && status != TSM_EXIT_FAILED) {
        tsm_complain(&program, "%s", err.msg);
        status = TSM_EXIT_FAILED;
    }
    print_summary(&r, start);
    tsm_output_release(&r.out);
    tsm_buf_release(&text);
    return status;
}
