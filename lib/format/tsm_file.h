/*
 * format/tsm_file.h: what reader and writer of TSM files share: the layout and the names.
 *
 *   header   4 bytes magic 0x16D116D1, 1 byte version 1
 *   blocks   each: 4 bytes CRC-32 (IEEE) of the block, then the block (codec/block.h)
 *   origins  only in files that tsmkit made by compaction (see below)
 *   seal     only in files that tsmkit wrote (see below)
 *   index    per key, ascending: 2 bytes key length, key, 1 byte type, 2 bytes number of entries, then per
 *            entry, ascending in time: 8 bytes smallest time, 8 bytes largest time, 8 bytes offset of the CRC,
 *            4 bytes size of CRC and block
 *   footer   8 bytes offset of the index
 *
 * All integers are big-endian. The seal closes a gap of the format, whose index has no checksum: 16 bytes
 * "TSMSEAL1" and the XXH3-64 of everything from the index to the end of the file. InfluxDB never looks
 * between the last block and the index. A file without a seal is one that influxd wrote; bytes in that place
 * that are not a valid seal, with or without valid origins before it, are a fault.
 *
 * The origins say which files a compaction made this one from, so that what a crash left of them is known to be here too: 8
 * bytes "TSMFROM1", 4 bytes number, and for each 4 bytes generation, 4 bytes level, 8 bytes size of the file, 8 bytes XXH3-64 of
 * everything from its index to its end (what its seal holds), and behind all of them the XXH3-64 of the origins. Size and
 * digest are there because a name may come again.
 *
 * Source: influxdb v1.8 tsdb/engine/tsm1/{writer,reader}.go.
 */
#ifndef TSM_FORMAT_TSM_FILE_H
#define TSM_FORMAT_TSM_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum {
    TSM_MAGIC = 0x16D116D1,
    TSM_VERSION = 1,
    TSM_HEADER_SIZE = 5,
    TSM_ENTRY_SIZE = 28,
    TSM_FOOTER_SIZE = 8,
    TSM_SEAL_SIZE = 16,
    TSM_ORIGINS_SIZE = 8 + 4 + 8, /* and for each: */
    TSM_ORIGIN_SIZE = 4 + 4 + 8 + 8,
    TSM_MAX_ENTRIES = 65535, /* per key in one file */
};
#define TSM_SEAL_MAGIC "TSMSEAL1"
#define TSM_ORIGINS_MAGIC "TSMFROM1"

#define TSM_FIRST_LATE_GENERATION 500000001u /* generations of out-of-order files start here */
#define TSM_MAX_FILE_SIZE (2048ull << 20)    /* a writer starts a new file beyond, as InfluxDB does */

struct tsm_file_name {
    uint32_t generation;
    uint32_t level; /* InfluxDB calls it sequence */
};

/* A file as the origins of another one name it. */
struct tsm_origin {
    struct tsm_file_name name;
    uint64_t size;
    uint64_t digest;
};

enum { TSM_NAME_MAX = 40 };

/* "000000007-000000002.tsm"; terminated. */
void tsm_file_name_format(char out[TSM_NAME_MAX], struct tsm_file_name name, const char *suffix);
/* False unless s is such a name with this suffix (".tsm", ".tombstone", ".tsm.tmp"). As in InfluxDB the
 * numbers may have fewer digits, so a file that exists is opened by the name that it was listed with. */
bool tsm_file_name_parse(struct tsm_str s, const char *suffix, struct tsm_file_name *name);

#endif
