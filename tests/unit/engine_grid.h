/* tests/unit/engine_grid.h: writing through the engine and reading back, against a model: a grid of series, fields and
 * times. Everything works on one directory, made by make_temp(); all fail the test on error unless they return a code. */
#ifndef ENGINE_GRID_H
#define ENGINE_GRID_H

#include "base/time.h"
#include "store/engine.h"
#include "temp_dir.h"

#define DB TSM_STR("db")
#define START 1577836800000000000 /* 2020-01-01, a Wednesday: shards start on Mondays */

enum { SERIES = 6, FIELDS = 2, TIMES = 3000 };
#define TIME_STEP (10 * TSM_MINUTE) /* so that the grid has four shards */

typedef int32_t grid[SERIES][FIELDS][TIMES]; /* 0: no value */

extern uint64_t seed;
extern grid model; /* what there should be */
extern int warnings;
extern char last_warning[1024];

int below(int n); /* a random number */

int64_t grid_time(int t);
/* Appends n lines, in one of several orders, and notes them in g. Field a is a float, b an integer. */
void put_lines(struct tsm_buf *text, grid g, int n);

struct rejected {
    int n;
    char cause[1024];
};

/* Notes what a struct rejected has: a tsm_reject_fn. */
void count_rejected(void *ctx, uint32_t line, struct tsm_str text, const char *cause);
struct tsm_engine_options engine_options(void);
int write_text(struct tsm_engine *e, struct tsm_str text, struct rejected *rejected, struct tsm_err *err);
/* A whole run: open, write, sync, close. stats and rejected may be NULL. */
int run_engine(const struct tsm_fs *fs, const struct tsm_engine_options *opt, struct tsm_str text,
               struct tsm_engine_stats *stats, struct rejected *rejected, struct tsm_err *err);
/* The same, which has to succeed. */
struct tsm_engine_stats write_run(const char *text, struct rejected *rejected);

/* Reads everything in the directory into g, and checks the rules that files keep. */
void read_grid(grid g);
void check_grid(void); /* the directory holds the model */

int count_files(const char *sub, const char *suffix);
void write_bytes(const char *sub, const void *p, size_t n);

#endif
