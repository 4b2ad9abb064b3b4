/*
 * cli/options.h: one table of options per program gives the parser (getopt_long), the help text and, through
 * `--help-options`, the completion and the check of the manual page.
 */
#ifndef TSM_CLI_OPTIONS_H
#define TSM_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum tsm_option_kind {
    TSM_OPT_FLAG,     /* bool *                            no argument */
    TSM_OPT_STRING,   /* const char **                     */
    TSM_OPT_SIZE,     /* uint64_t *, as 512M               */
    TSM_OPT_COUNT,    /* uint64_t *, a number              */
    TSM_OPT_CHOICE,   /* const char **, one of choices     */
    TSM_OPT_DURATION, /* int64_t *, nanoseconds, as 10s    */
};

struct tsm_option {
    char letter;      /* 0: none */
    const char *name; /* long name */
    enum tsm_option_kind kind;
    const char *argument; /* "DIR"; NULL for flags */
    const char *help;     /* one line, lower case, no full stop */
    const char *choices;  /* "csv json"; for CHOICE, and for the completion */
    const char *env;      /* environment variable with the default, or NULL */
    void *value;
};

/* What every program has; point the options at these with TSM_COMMON_OPTIONS(c). */
struct tsm_common {
    const char *data, *database, *rp, *config, *summary;
    const char *host, *user; /* a server; the user's password is in $TSM_PASSWORD or the URL */
    bool insecure;
    uint64_t jobs, memory;
    bool quiet, verbose;
    struct tsm_arena texts; /* values from the configuration file */
};

/* Table rows for the standard options, so that they read the same in every program. */
#define TSM_OPT_DATA(c)                                                                    \
    {                                                                                      \
        'd', "data", TSM_OPT_STRING, "DIR", "data directory", NULL, "TSM_DATA", &(c)->data \
    }
#define TSM_OPT_DB(c)                                                                       \
    {                                                                                       \
        'b', "database", TSM_OPT_STRING, "NAME", "database", NULL, "TSM_DB", &(c)->database \
    }
#define TSM_OPT_RP(c)                                                                                        \
    {                                                                                                        \
        'p', "rp", TSM_OPT_STRING, "NAME", "retention policy (default: the database's default)", NULL, NULL, \
            &(c)->rp                                                                                         \
    }
#define TSM_OPT_HOST(c)                                                                               \
    {                                                                                                 \
        'H', "host", TSM_OPT_STRING, "URL",                                                           \
            "ask a server instead of a directory: http://HOST:8086, https://HOST, unix:SOCKET", NULL, \
            "TSM_HOST", &(c)->host                                                                    \
    }
#define TSM_OPT_USER(c)                                                                                      \
    {                                                                                                        \
        'u', "user", TSM_OPT_STRING, "NAME", "user of the server; the password is taken from $TSM_PASSWORD", \
            NULL, "TSM_USER", &(c)->user                                                                     \
    }
#define TSM_OPT_INSECURE(c)                                                                            \
    {                                                                                                  \
        0, "insecure", TSM_OPT_FLAG, NULL, "https: accept any certificate", NULL, NULL, &(c)->insecure \
    }
#define TSM_OPT_CONFIG(c)                                                                                \
    {                                                                                                    \
        'c', "config", TSM_OPT_STRING, "FILE", "YAML file with a key for every long option", NULL, NULL, \
            &(c)->config                                                                                 \
    }
#define TSM_OPT_JOBS(c)                                                                                  \
    {                                                                                                    \
        'j', "jobs", TSM_OPT_COUNT, "N", "worker threads (default: online CPUs)", NULL, NULL, &(c)->jobs \
    }
#define TSM_OPT_MEMORY(c)                                                                          \
    {                                                                                              \
        0, "memory", TSM_OPT_SIZE, "SIZE", "memory limit (default 512M)", NULL, NULL, &(c)->memory \
    }
#define TSM_OPT_SUMMARY(c)                                                                                \
    {                                                                                                     \
        0, "summary", TSM_OPT_CHOICE, "FORMAT", "figures of the run as one line on stderr", "json", NULL, \
            &(c)->summary                                                                                 \
    }
#define TSM_OPT_QUIET(c)                                                                   \
    {                                                                                      \
        'q', "quiet", TSM_OPT_FLAG, NULL, "errors only on stderr", NULL, NULL, &(c)->quiet \
    }
#define TSM_OPT_VERBOSE(c)                                                              \
    {                                                                                   \
        'v', "verbose", TSM_OPT_FLAG, NULL, "more on stderr", NULL, NULL, &(c)->verbose \
    }

struct tsm_program {
    const char *name;     /* "tsm-query" */
    const char *synopsis; /* "[OPTION]... 'QUERY'" */
    const char *summary;  /* one sentence */
    const char *details;  /* text after the options in the help: examples, exit statuses; may be NULL */
    const struct tsm_option *options;
    size_t noptions; /* --help and --version are added */
    struct tsm_common *common;
};

/*
 * Fills the values from the configuration file, then the environment, then the arguments: a later one wins;
 * what none of them gives stays as it was. Returns the index of the first operand (arguments are permuted).
 * --help, --version and
 * --help-options (one line per option for the completion and the tests: long name, letter, argument, choices,
 * separated by tabs, '-' for none) print and exit 0; a wrong option prints the message and a pointer to
 * --help and exits 2.
 *
 * The configuration file is a YAML mapping. A key at the top is the long name of an option and holds for
 * every program that has it; a key that is a program's name holds a mapping for that program alone, which
 * wins.
 */
int tsm_options_parse(const struct tsm_program *p, int argc, char **argv);

/* Exit statuses (DESIGN section 2). */
enum {
    TSM_EXIT_OK = 0,
    TSM_EXIT_FAILED = 1,
    TSM_EXIT_USAGE = 2,
    TSM_EXIT_REJECTED = 3,
    TSM_EXIT_NOTHING = 4,
    TSM_EXIT_CORRUPT = 5,
    TSM_EXIT_LATER = 75
};
int tsm_exit_status(int code); /* of a library error */

/* "tsm-query: <message>" on stderr. */
void tsm_complain(const struct tsm_program *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints the usage pointer and exits 2. */
void tsm_usage(const struct tsm_program *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* Worker threads by --jobs: as many as there are CPUs when it was not given. Ends as tsm_usage() does when there
 * are too many. */
unsigned tsm_jobs(const struct tsm_program *p);

/* What every program does first: SIGPIPE ends it quietly; SIGBUS ends it with a message (cli/bus_error.h);
 * standard descriptors that are closed are occupied, so that no data file
 * becomes descriptor 1, in a way that using them still fails. */
void tsm_program_start(void);

#endif
