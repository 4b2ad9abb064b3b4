/*
 * tests/unit/power_oracle.h: what a directory must hold: for each cell (series, field, time) the value that was
 * acknowledged last, and those that were begun since and may have happened or not.
 *
 * A value is the number of its write, so it tells which one it came from. 0 is none: never written, or deleted. What is
 * pending may also be the number of a delete, negated.
 */
#ifndef TESTS_POWER_ORACLE_H
#define TESTS_POWER_ORACLE_H

#include "base/buf.h"
#include "base/time.h"
#include "store/engine.h"
#include "sys/fs.h"

enum {
    ORACLE_SERIES = 5,
    ORACLE_FIELDS = 3,
    ORACLE_TIMES = 1600,
    ORACLE_CELLS = ORACLE_SERIES * ORACLE_FIELDS * ORACLE_TIMES
};
#define ORACLE_START 1577836800000000000 /* 2020-01-01 */
#define ORACLE_STEP (15 * TSM_MINUTE)    /* three shards of a week */
#define ORACLE_DB TSM_STR("db")
#define ORACLE_RP TSM_STR("autogen")

struct oracle_cell {
    int32_t acked;
    int32_t *pending; /* in the order in which they were begun */
    uint32_t n, cap;
    uint32_t stray; /* the first ones of pending: their writer is gone, whether they come is open */
};

struct oracle {
    struct oracle_cell cells[ORACLE_CELLS];
    int32_t last;    /* number of the last write */
    int32_t deletes; /* number of the last delete */
};

struct oracle *oracle_new(void);
void oracle_free(struct oracle *o);

int64_t oracle_time(int t);
/* Appends a line with some of the fields (a mask), and notes its values as begun. */
void oracle_write(struct oracle *o, struct tsm_buf *text, int series, int t, unsigned fields);
/* Notes that a delete of these times of a series (-1: all) was begun; its number. */
int32_t oracle_delete(struct oracle *o, int series, int tmin, int tmax);
/* The writer ended, or failed: what it had begun may be there or not, now and later. */
void oracle_forsake(struct oracle *o);
/* Every write up to this number by the present writer has happened, in its order. */
void oracle_acknowledge(struct oracle *o, int32_t last);
/* This delete has happened. It saw everything that was begun before it. */
void oracle_acknowledge_delete(struct oracle *o, int32_t number);

enum oracle_strictness {
    ORACLE_ANY,    /* acknowledged, or any that was begun */
    ORACLE_NEWEST, /* the one that was begun last: another process has to see it at once */
};

/* What a directory holds. */
typedef int32_t oracle_found[ORACLE_CELLS];
/* Reads all of it, by the log first, or by an engine that is read (NULL: by the directory). False: message says what is wrong. */
bool oracle_read(const struct tsm_fs *fs, const char *dir, struct tsm_engine *e, oracle_found found,
                 char *message, size_t size);
bool oracle_check(const struct oracle *o, const oracle_found found, enum oracle_strictness strictness,
                  char *message, size_t size);
/* After a cut: what was found is what there is. Counts the values that were begun and are there, or not. */
void oracle_settle(struct oracle *o, const oracle_found found, unsigned long *kept, unsigned long *lost);

#endif
