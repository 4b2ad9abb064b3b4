/* store/load_reader.h: the input files of a load, cut into pieces of whole lines. */
#ifndef TSM_STORE_LOAD_READER_H
#define TSM_STORE_LOAD_READER_H

#include "format/csv.h"
#include "format/input.h"
#include "store/checkpoint.h"
#include "store/load.h"

/* An input file; it lives as long as the reader. */
struct tsm_load_file {
    const char *name;
    struct tsm_csv *csv; /* NULL: line protocol */
    struct tsm_str header;
    struct tsm_str path; /* absolute; empty without a checkpoint */
    uint64_t lines;      /* before the text that is read: the header, what was loaded before */
    struct tsm_load_file *next;
};

struct tsm_load_reader {
    const struct tsm_fs *fs;
    const struct tsm_load_options *opt;
    size_t piece;   /* bytes of text that make a piece */
    size_t longest; /* bytes that a line may have */
    size_t next_path;
    struct tsm_input *input; /* open, or NULL */
    int fd;                  /* its descriptor */
    bool regular;
    struct tsm_load_file *file;
    struct tsm_load_file *files;       /* all, newest first */
    struct tsm_buf carry;              /* text behind the last whole line */
    bool skipping;                     /* the rest of a line that is too long */
    bool before_header;                /* of a CSV file that has been opened */
    uint64_t text;                     /* bytes of it that have been read or passed over, in this file */
    uint64_t whole;                    /* of them, up to the end of the last line that was handed out */
    uint8_t head[TSM_CHECKPOINT_HEAD]; /* the beginning of the text; only with a checkpoint */
    size_t nhead;
    struct tsm_checkpoint_place from; /* where an earlier run ended in this file; zero: nowhere */
    bool skip_file;                   /* it has been given before */
    bool stopped;
    atomic_bool quit; /* nobody wants more */
    uint64_t input_bytes, input_total;
    uint64_t done_bytes; /* of the files before this one */
    struct tsm_arena arena;
};

/* A piece of one file. */
struct tsm_load_piece {
    struct tsm_buf text; /* whole lines */
    struct tsm_load_file *file;
    bool first;                        /* of its file */
    struct tsm_checkpoint_place place; /* behind it, but for the lines; with a checkpoint */
    bool too_long;                     /* stands for a line that is too long; text is empty */
    int64_t now;                       /* when it was read */
    bool end;                          /* there are no more */
    int code;                          /* reading failed behind this piece */
    struct tsm_err err;
    uint64_t input_bytes;
};

/* Checks that all files can be opened. */
int tsm_load_reader_init(struct tsm_load_reader *r, const struct tsm_fs *fs,
                         const struct tsm_load_options *opt, size_t piece, struct tsm_err *err);
/* Fills an empty piece with the next text. When a pipe is silent for a while the piece stays empty: whoever writes
 * has things to do by the clock. */
void tsm_load_reader_next(struct tsm_load_reader *r, struct tsm_load_piece *p);
void tsm_load_reader_release(struct tsm_load_reader *r);

#endif
