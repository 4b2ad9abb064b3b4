/*
 * query/directory.h: a backend over a data directory, for programs that have no daemon.
 *
 * Reading takes no lock. A change takes the directory's lock while it lasts, but for deletes: those run beside a writer. The first
 * write of SELECT INTO takes it as well, and keeps it until the next change or the end: what is written is in the write-ahead log
 * at once, and goes to files then.
 */
#ifndef TSM_QUERY_DIRECTORY_H
#define TSM_QUERY_DIRECTORY_H

#include "query/backend.h"

struct tsm_directory_options {
    const struct tsm_fs *fs;
    const char *dir;
    const char *program; /* for the locks: "tsm-query" */
    size_t memory;       /* for writes, in bytes */
    unsigned jobs;
    const struct tsm_damage *damage; /* lives as long as the directory */
};

/* Looks at nothing yet. Texts are borrowed. */
struct tsm_directory *tsm_directory_new(const struct tsm_directory_options *opt);
const struct tsm_backend *tsm_directory_backend(struct tsm_directory *d);
/* Takes what was written to files, and frees, also after an error. NULL is allowed. */
int tsm_directory_close(struct tsm_directory *d, struct tsm_err *err);

#endif
