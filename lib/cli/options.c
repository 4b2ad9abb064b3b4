/* cli/options.c: the option table at work: arguments, environment, help. The configuration file is in
 * cli/config.c. */
#include "cli/options.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/num.h"
#include "base/parallel.h"
#include "base/time.h"
#include "cli/bus_error.h"
#include "cli/config.h"
#include "cli/option_value.h"
#include "base/banned.h"

enum { MOST_JOBS = 1024 };
enum { OPT_HELP = 0x1000, OPT_VERSION, OPT_TABLE, OPT_FIRST };

static void complain(const struct tsm_program *p, const char *fmt, va_list ap)
{
    fprintf(stderr, "%s: ", p->name);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

void tsm_complain(const struct tsm_program *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(p, fmt, ap);
    va_end(ap);
}

void tsm_usage(const struct tsm_program *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(p, fmt, ap);
    va_end(ap);
    fprintf(stderr, "try '%s --help'\n", p->name);
    exit(TSM_EXIT_USAGE);
}

int tsm_exit_status(int code)
{
    switch (code) {
    case TSM_OK:
        return TSM_EXIT_OK;
    case TSM_EUSAGE:
    case TSM_EPARSE:
        return TSM_EXIT_USAGE;
    case TSM_ECORRUPT:
        return TSM_EXIT_CORRUPT;
    case TSM_ELOCKED:
    case TSM_EAGAIN:
        return TSM_EXIT_LATER;
    default:
        return TSM_EXIT_FAILED;
    }
}

unsigned tsm_jobs(const struct tsm_program *p)
{
    if (p->common->jobs > MOST_JOBS)
        tsm_usage(p, "option --jobs: at most %d", MOST_JOBS);
    return p->common->jobs ? (unsigned)p->common->jobs : tsm_cpu_count();
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *c = choices; *c;) {
        size_t len = strcspn(c, " ");
        if (len == n && memcmp(c, text, n) == 0)
            return true;
        c += len;
        c += *c == ' ';
    }
    return false;
}

int tsm_option_set(const struct tsm_option *o, const char *text, struct tsm_err *err)
{
    struct tsm_str s = tsm_str_of(text);
    bool ok = true;
    switch (o->kind) {
    case TSM_OPT_FLAG:
        ok = !text || strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
        *(bool *)o->value = !text || strcmp(text, "true") == 0;
        break;
    case TSM_OPT_STRING:
        *(const char **)o->value = text;
        break;
    case TSM_OPT_SIZE:
        ok = tsm_parse_size(s, o->value);
        break;
    case TSM_OPT_COUNT:
        ok = tsm_parse_uint(s, o->value);
        break;
    case TSM_OPT_DURATION:
        ok = tsm_parse_duration(s, o->value) && *(int64_t *)o->value >= 0;
        if (!ok && tsm_str_eq(s, TSM_STR("0"))) { /* needs no unit */
            *(int64_t *)o->value = 0;
            ok = true;
        }
        break;
    case TSM_OPT_CHOICE:
        if (!is_choice(o->choices, text))
            return tsm_err_set(err, TSM_EUSAGE, "option --%s: '%s' is not one of: %s", o->name, text,
                               o->choices);
        *(const char **)o->value = text;
        break;
    }
    if (ok)
        return TSM_OK;
    static const char *const wanted[] = {
        [TSM_OPT_FLAG] = "true or false",
        [TSM_OPT_SIZE] = "a size such as 512M",
        [TSM_OPT_COUNT] = "a number",
        [TSM_OPT_DURATION] = "a duration such as 10s",
    };
    return tsm_err_set(err, TSM_EUSAGE, "option --%s: '%s' is not %s", o->name, text, wanted[o->kind]);
}

/* ---- help ------------------------------------------------------------------------------------ */

static void print_option(char letter, const char *name, const char *argument, const char *help,
                         const char *env)
{
    char left[64];
    int n = snprintf(left, sizeof left, letter ? "  -%c, --%s%s%s" : "  %c   --%s%s%s", letter ? letter : ' ',
                     name, argument ? " " : "", argument ? argument : "");
    printf("%-28s%s%s", left, n > 27 ? "\n                            " : "", help);
    if (env)
        printf(" (environment: %s)", env);
    putchar('\n');
}

static void print_help(const struct tsm_program *p)
{
    printf("usage: %s %s\n%s\n\n", p->name, p->synopsis, p->summary);
    for (size_t i = 0; i < p->noptions; i++) {
        const struct tsm_option *o = &p->options[i];
        print_option(o->letter, o->name, o->argument, o->help, o->env);
        if (o->choices)
            printf("%28sone of: %s\n", "", o->choices);
    }
    print_option('h', "help", NULL, "this text", NULL);
    print_option('V', "version", NULL, "the version", NULL);
    if (p->details)
        printf("\n%s", p->details);
}

static void print_table(const struct tsm_program *p)
{
    for (size_t i = 0; i < p->noptions; i++) {
        const struct tsm_option *o = &p->options[i];
        printf("%s\t%c\t%s\t%s\n", o->name, o->letter ? o->letter : '-', o->argument ? o->argument : "-",
               o->choices ? o->choices : "-");
    }
    printf("help\th\t-\t-\nversion\tV\t-\t-\n");
}

_Noreturn static void finish_stdout(const struct tsm_program *p)
{
    if (fflush(stdout) != 0 || ferror(stdout) || fclose(stdout) != 0) {
        tsm_complain(p, "write standard output: %m");
        exit(TSM_EXIT_FAILED);
    }
    exit(TSM_EXIT_OK);
}

/* ---- parsing --------------------------------------------------------------------------------- */

struct getopt_tables {
    struct tsm_buf letters;
    struct option *longs;
};

static struct getopt_tables make_tables(const struct tsm_program *p)
{
    struct getopt_tables t = {0};
    t.longs = tsm_calloc(p->noptions + 4, sizeof *t.longs);
    tsm_buf_puts(&t.letters, ":hV");
    for (size_t i = 0; i < p->noptions; i++) {
        const struct tsm_option *o = &p->options[i];
        bool takes = o->kind != TSM_OPT_FLAG;
        t.longs[i] = (struct option){o->name, takes ? required_argument : no_argument, NULL,
                                     OPT_FIRST + (int)i};
        if (o->letter)
            tsm_buf_printf(&t.letters, "%c%s", o->letter, takes ? ":" : "");
    }
    tsm_buf_cstr(&t.letters);
    t.longs[p->noptions] = (struct option){"help", no_argument, NULL, OPT_HELP};
    t.longs[p->noptions + 1] = (struct option){"version", no_argument, NULL, OPT_VERSION};
    t.longs[p->noptions + 2] = (struct option){"help-options", no_argument, NULL, OPT_TABLE};
    return t;
}

static const struct tsm_option *find_option(const struct tsm_program *p, int c)
{
    if (c >= OPT_FIRST)
        return &p->options[c - OPT_FIRST];
    for (size_t i = 0; i < p->noptions; i++)
        if (p->options[i].letter && p->options[i].letter == c)
            return &p->options[i];
    return NULL;
}

/* One pass over the arguments. With `only`, just that option is set and faults are left to the full pass. */
static void parse_arguments(const struct tsm_program *p, int argc, char **argv, const struct getopt_tables *t,
                            const struct tsm_option *only)
{
    opterr = 0;
    optind = 0; /* makes getopt start afresh, permutation included */
    int c;
    while ((c = getopt_long(argc, argv, (const char *)t->letters.data, t->longs, NULL)) != -1) {
        const struct tsm_option *o = c < OPT_FIRST && c >= OPT_HELP ? NULL : find_option(p, c);
        struct tsm_err err;
        if (only) {
            if (o == only && tsm_option_set(o, optarg, &err) != TSM_OK)
                tsm_usage(p, "%s", err.msg);
            continue;
        }
        if (o) {
            if (tsm_option_set(o, o->kind == TSM_OPT_FLAG ? NULL : optarg, &err) != TSM_OK)
                tsm_usage(p, "%s", err.msg);
        } else if (c == OPT_HELP || c == 'h') {
            print_help(p);
            finish_stdout(p);
        } else if (c == OPT_VERSION || c == 'V') {
            printf("%s (tsmkit) %s\n", p->name, TSM_VERSION_TEXT);
            finish_stdout(p);
        } else if (c == OPT_TABLE) {
            print_table(p);
            finish_stdout(p);
        } else if (c == ':') {
            tsm_usage(p, "option '%s' needs an argument", argv[optind - 1]);
        } else if (optopt && optopt < OPT_HELP) {
            tsm_usage(p, "unknown option '-%c'", optopt);
        } else {
            tsm_usage(p, optopt ? "option '%s' takes no argument" : "unknown option '%s'", argv[optind - 1]);
        }
    }
}

static const struct tsm_option *config_option(const struct tsm_program *p)
{
    for (size_t i = 0; i < p->noptions; i++)
        if (strcmp(p->options[i].name, "config") == 0)
            return &p->options[i];
    return NULL;
}

int tsm_options_parse(const struct tsm_program *p, int argc, char **argv)
{
    struct getopt_tables t = make_tables(p);
    struct tsm_err err;
    const struct tsm_option *config = config_option(p);
    if (config) {
        parse_arguments(p, argc, argv, &t, config);
        const char *path = *(const char **)config->value;
        if (path && tsm_config_read(p, path, &err) != TSM_OK)
            tsm_usage(p, "%s", err.msg);
    }
    for (size_t i = 0; i < p->noptions; i++) {
        const char *text = p->options[i].env ? getenv(p->options[i].env) : NULL;
        if (text && *text && tsm_option_set(&p->options[i], text, &err) != TSM_OK)
            tsm_usage(p, "environment variable %s: %s", p->options[i].env, err.msg);
    }
    parse_arguments(p, argc, argv, &t, NULL);
    tsm_buf_release(&t.letters);
    tsm_free(t.longs);
    return optind;
}

/* ---- start of a program ---------------------------------------------------------------------- */

void tsm_program_start(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        /* The wrong direction on purpose: reading stdin or writing stdout must fail, not pretend. */
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            _exit(TSM_EXIT_FAILED);
    }
    signal(SIGPIPE, SIG_DFL);
    tsm_catch_bus_errors();
}
