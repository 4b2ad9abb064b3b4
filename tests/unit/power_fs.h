/*
 * tests/unit/power_fs.h: a disk in memory that can lose its power, fill up, or fail.
 *
 * What is durable and what is only cached are kept apart: of a file, each sector of 512 bytes written, and each size it
 * had, since its last fsync; of a directory, each entry made, renamed or removed since the last fsync of that directory.
 * An fsync of a file does not make its name durable, nor an fsync of a directory that of its parent's entry for it.
 *
 * A cut keeps everything durable. Of the rest, each sector is kept, dropped (old bytes, or zeros where there were none) or
 * torn; a size is the old one, the new one or something between; of the pending changes of a directory some subset
 * survives, a rename as a whole or not at all. Descriptors from before the cut are dead.
 *
 * Locks hold between descriptors, as those of open file descriptions do. A mapping is a copy, exactly as long as the file
 * was, so that a sanitizer sees a read beyond it. Renames between directories are refused (EXDEV): nothing needs them.
 * Any number of threads may use a disk. Paths are taken from the root; there are no links, owners or modes.
 */
#ifndef TESTS_POWER_FS_H
#define TESTS_POWER_FS_H

#include <stdio.h>

#include "sys/fs.h"

struct power_disk;

struct power_disk *power_disk_new(void);
void power_disk_free(struct power_disk *d); /* NULL is allowed; no descriptor may be in use */
/* What the code under test gets; lives as long as the disk. */
const struct tsm_fs *power_disk_fs(const struct power_disk *d);

/* Calls that change something (open that creates or truncates, write, fsync, ftruncate, rename, unlink, rmdir, mkdir) so
 * far, and all calls that may fail. */
long power_disk_changes(const struct power_disk *d);
long power_disk_calls(const struct power_disk *d);

/* Plans a cut: the change with this number, counted from now (from 1), gets as far as the cache, if it is none that makes
 * something durable; it and every later call fail with EIO. 0: no cut. */
void power_disk_plan_cut(struct power_disk *d, long change);
bool power_disk_is_off(const struct power_disk *d);
/* The power goes, if it has not yet, and comes back. The seed decides what survives. A planned cut is forgotten. */
void power_disk_cut(struct power_disk *d, uint64_t seed);

/* The process is killed instead, if a cut was planned and has come: what was written is there, durable or not. */
void power_disk_kill(struct power_disk *d);

/* The call with this number, counted from now (from 1), fails with this errno value, and all later ones too when for_good;
 * ENOSPC hits only calls that take room. An fsync that fails loses what it should have written, some of it for good: a later
 * fsync does not make it durable (the kernel drops such pages). 0: no failure. */
void power_disk_plan_failure(struct power_disk *d, long call, int error, bool for_good);
bool power_disk_has_failed(const struct power_disk *d); /* the planned failure has come */

/* Bytes that all files together may take; 0: no limit. */
void power_disk_limit(struct power_disk *d, uint64_t bytes);
uint64_t power_disk_used(const struct power_disk *d);

/* From now on fsync does nothing: for seeing that a test notices a loss. */
void power_disk_lie(struct power_disk *d);

/* The time that new content of files gets, nanoseconds since 1970; it goes on by itself, a millisecond per change. */
void power_disk_set_time(struct power_disk *d, int64_t now);
int64_t power_disk_time(const struct power_disk *d);

/* The last calls, and the tree with sizes: for people who look for a fault. */
void power_disk_note(struct power_disk *d, const char *text); /* a line in the trace */
void power_disk_print_trace(const struct power_disk *d, FILE *out);
void power_disk_print_tree(const struct power_disk *d, FILE *out);
/* Copies every file into a folder of the real disk. False when that fails. */
bool power_disk_export(const struct power_disk *d, const char *dir);

/* A generator of random numbers, splitmix64: state is any number. */
uint64_t power_random(uint64_t *state);
/* In [0, n). */
uint64_t power_below(uint64_t *state, uint64_t n);

#endif
