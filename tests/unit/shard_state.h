/* tests/unit/shard_state.h: what a shard's folder holds, to be compared, and to be put back. All fail the test on error. */
#ifndef SHARD_STATE_H
#define SHARD_STATE_H

#include "base/buf.h"

/* All values that a reader of the folder finds, as bytes: equal for equal content. */
void read_content(const char *dir, struct tsm_buf *out);
void assert_content(const char *dir, const struct tsm_buf *want);

/* The files of a folder, byte for byte. */
struct saved_files {
    struct saved_file {
        char *name;
        struct tsm_buf bytes;
    } * files;
    size_t n, cap;
};
void save_files(const char *dir, struct saved_files *s);
/* Makes dir hold these files and no others. */
void restore_files(const char *dir, const struct saved_files *s);
/* dir holds these files and no others. */
void assert_files(const char *dir, const struct saved_files *s);
void release_files(struct saved_files *s);

/* The names in dir that end in suffix, each followed by a space; terminated. */
void list_files(const char *dir, const char *suffix, char *out, size_t size);

#endif
