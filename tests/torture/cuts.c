/*
 * tests/torture/cuts.c: runs of tests/unit/power_run.h until so many cuts, or failures of a call, have been survived.
 *
 *   cuts [--faults|--every STEP] [--jobs N] [--first SEED] [--keep DIR] COUNT
 *
 * --faults: failures of a random call instead of cuts. --every: COUNT runs are done again and again, each time with a call
 * STEP further on failing, in four ways: EIO or ENOSPC, once or for good.
 * --keep: DIR/SEED.log tells what a run that failed did, DIR/SEED is its directory: what depends on the order of threads does
 * not come again by its seed.
 * Workers are processes, so that one which crashes or hangs is a failure with a seed like any other. Prints the figures and the
 * seeds that failed; exits 1 when there are some. POWER_SEED=N build/unit/test_power repeats one and tells what it does.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "power_run.h"

enum { LIVES = 6, JOBS_MAX = 16, FAILURES_MAX = 50, SECONDS_PER_RUN = 120, MESSAGE = 1024 };

/* Of each worker, in memory that all share. */
struct worker {
    struct power_run_figures figures;
    uint64_t seed; /* the one at work */
    unsigned long done, failed;
    unsigned long runs; /* of --every */
    pid_t pid;
};

static bool faults;
static long every;
static uint64_t first = 1;
static unsigned long count;
static const char *keep;

static unsigned long progress(const struct worker *w)
{
    return every ? w->runs : faults ? w->figures.faults : w->figures.cuts;
}

static bool run(struct worker *w, struct power_run_options opt)
{
    char message[MESSAGE] = "", dir[4096], *text = NULL;
    size_t size = 0;
    alarm(SECONDS_PER_RUN);
    if (keep) {
        snprintf(dir, sizeof dir, "%s/%llu", keep, (unsigned long long)w->seed);
        opt.keep = dir;
        opt.log = open_memstream(&text, &size);
    }
    bool ok = power_run(&opt, &w->figures, message, sizeof message);
    if (!ok) {
        if (opt.fail_at)
            printf("FAILED: call %ld, %s%s: ", opt.fail_at, strerror(opt.error),
                   opt.for_good ? " for good" : "");
        printf("FAILED: POWER_SEED=%llu: %s\n", (unsigned long long)w->seed, message);
        fflush(stdout);
    }
    if (opt.log) {
        fclose(opt.log);
        strncat(dir, ".log", sizeof dir - strlen(dir) - 1);
        FILE *out = ok ? NULL : fopen(dir, "w");
        if (out) {
            fprintf(out, "%s%s\n", text, message);
            fclose(out);
        }
        free(text);
    }
    return ok;
}

/* The same run with each call failing, in turn, until it ends before the failure comes. */
static void run_every(struct worker *w)
{
    for (int way = 0; way < 4; way++) {
        for (long at = 1; w->failed < FAILURES_MAX; at += every) {
            unsigned long before = w->figures.faults;
            struct power_run_options opt = {.seed = w->seed,
                                            .lives = 2,
                                            .error = way & 1 ? EIO : ENOSPC,
                                            .for_good = way & 2,
                                            .fail_at = at};
            w->failed += !run(w, opt);
            w->done++;
            if (w->figures.faults == before)
                break;
        }
    }
}

static void work(struct worker *w, unsigned jobs, unsigned long share)
{
    while (progress(w) < share && w->failed < FAILURES_MAX) {
        struct power_run_options opt = {.seed = w->seed, .lives = LIVES};
        if (faults) {
            opt.error = w->seed & 1 ? EIO : ENOSPC;
            opt.for_good = w->seed & 2;
        }
        if (every) {
            run_every(w);
            w->runs++;
        } else {
            w->failed += !run(w, opt);
            w->done++;
        }
        w->seed += jobs;
    }
}

static void start(struct worker *w, unsigned jobs, unsigned long share)
{
    fflush(stdout);
    w->pid = fork();
    if (w->pid == 0) {
        work(w, jobs, share);
        fflush(stdout);
        _exit(0);
    }
    if (w->pid < 0) {
        perror("fork");
        exit(1);
    }
}

/* Waits for all; one that died goes on behind the seed that killed it. */
static void wait_for_all(struct worker *workers, unsigned jobs, unsigned long share)
{
    int status;
    pid_t pid;
    while ((pid = wait(&status)) > 0) {
        struct worker *w = workers;
        while (w < workers + jobs && w->pid != pid)
            w++;
        if (w == workers + jobs || WIFEXITED(status))
            continue;
        printf("FAILED: POWER_SEED=%llu: %s\n", (unsigned long long)w->seed,
               WTERMSIG(status) == SIGALRM ? "it hangs" : strsignal(WTERMSIG(status)));
        w->failed++;
        w->seed += jobs;
        if (w->failed < FAILURES_MAX)
            start(w, jobs, share);
    }
}

static unsigned parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"faults", no_argument, NULL, 'f'},      {"jobs", required_argument, NULL, 'j'},
        {"every", required_argument, NULL, 'e'}, {"first", required_argument, NULL, 's'},
        {"keep", required_argument, NULL, 'k'},  {NULL, 0, NULL, 0}};
    unsigned jobs = 2;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'f')
            faults = true;
        else if (c == 'j')
            jobs = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'e')
            every = strtol(optarg, NULL, 10);
        else if (c == 's')
            first = strtoull(optarg, NULL, 0);
        else if (c == 'k')
            keep = optarg;
        else
            exit(2);
    }
    count = optind < argc ? strtoul(argv[optind], NULL, 10) : 0;
    if (!count || !jobs || jobs > JOBS_MAX) {
        fprintf(stderr, "usage: cuts [--faults|--every STEP] [--jobs N] [--first SEED] [--keep DIR] COUNT\n");
        exit(2);
    }
    if (faults)
        first += POWER_FAULT_SEEDS;
    return jobs;
}

int main(int argc, char **argv)
{
    unsigned jobs = parse(argc, argv);
    struct worker *workers = mmap(NULL, JOBS_MAX * sizeof *workers, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (workers == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    unsigned long share = (count + jobs - 1) / jobs, failed = 0, done = 0;
    struct power_run_figures sum = {0};
    for (unsigned i = 0; i < jobs; i++) {
        workers[i].seed = first + i;
        start(&workers[i], jobs, share);
    }
    wait_for_all(workers, jobs, share);
    for (unsigned i = 0; i < jobs; i++) {
        power_run_add(&sum, &workers[i].figures);
        failed += workers[i].failed;
        done += workers[i].done;
    }
    char text[1024];
    power_run_describe(&sum, text, sizeof text);
    printf("%lu runs: %s\n%s\n", done, text, failed ? "FAILED" : "nothing lost");
    return failed ? 1 : 0;
}
