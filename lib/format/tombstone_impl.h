/* format/tombstone_impl.h: numbers of tombstone files that reader and writer share. */
#ifndef TSM_FORMAT_TOMBSTONE_IMPL_H
#define TSM_FORMAT_TOMBSTONE_IMPL_H

enum {
    TSM_TOMBSTONE_HEADER = 4, /* bytes */
    TSM_TOMBSTONE_VERSION_2 = 0x1502,
    TSM_TOMBSTONE_VERSION_3 = 0x1503,
    TSM_TOMBSTONE_VERSION_4 = 0x1504,
    TSM_TOMBSTONE_LENGTH = 4,        /* of an entry: the length of its key */
    TSM_TOMBSTONE_RANGE = 16,        /* of an entry: its times */
    TSM_TOMBSTONE_ENTRIES = 1 << 25, /* in a file; a TSM file does not have more keys, a gzip bomb does */
};

#endif
