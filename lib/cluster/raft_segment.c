/*
 * cluster/raft_segment.c: reading libraft's open segments.
 *
 *   segment   8 bytes version, 1; batches; zeros
 *   batch     4 bytes CRC-32 of the head, 4 bytes CRC-32 of the data
 *   head      8 bytes number of entries; for each: 8 bytes term, 1 byte type, 3 bytes 0, 4 bytes length
 *   data      of the entries, one after the other
 *
 * Everything is little-endian; lengths are multiples of 8. The CRC has the polynomial 0x04C11DB7, neither reflected nor
 * inverted.
 */
#include "cluster/raft_segment.h"

#include <endian.h>

#include "base/alloc.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum { VERSION = 1, HEAD = 8, PREAMBLE = 16, ENTRY = 16, MOST_ENTRIES = 1 << 18 };

struct segment {
    const uint8_t *p;
    size_t len;
    uint32_t table[256];
};

static void make_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i << 24;
        for (int bit = 0; bit < 8; bit++)
            crc = crc << 1 ^ (crc >> 31 ? 0x04C11DB7u : 0);
        table[i] = crc;
    }
}

static uint32_t crc_of(const struct segment *s, const uint8_t *p, size_t n)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < n; i++)
        crc = crc << 8 ^ s->table[(crc >> 24 ^ p[i]) & 255];
    return crc;
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

/* The length of the batch at this offset, 0 when there is none that checks. */
static size_t batch_at(const struct segment *s, size_t at)
{
    if (s->len - at < PREAMBLE)
        return 0;
    const uint8_t *p = s->p + at;
    uint64_t n = get64(p + HEAD), data = 0;
    if (n == 0 || n > MOST_ENTRIES || n > (s->len - at - PREAMBLE) / ENTRY)
        return 0;
    size_t head = sizeof n + (size_t)n * ENTRY;
    if (crc_of(s, p + HEAD, head) != get32(p))
        return 0;
    for (uint64_t i = 0; i < n; i++)
        data += get32(p + PREAMBLE + i * ENTRY + 12);
    if (data > s->len - at - HEAD - head || crc_of(s, p + HEAD + head, data) != get32(p + 4))
        return 0;
    return HEAD + head + data;
}

int tsm_raft_check_segment(const uint8_t *p, size_t len, struct tsm_err *err)
{
    struct segment s = {.p = p, .len = len};
    size_t at = 8, n;
    if (len < at || get64(p) != VERSION)
        return TSM_OK; /* never written to; libraft says what else it may be */
    make_table(s.table);
    while ((n = batch_at(&s, at)) > 0)
        at += n;
    for (size_t next = at + 8; next < len; next += 8)
        if (batch_at(&s, next))
            return tsm_err_set(err, TSM_ECORRUPT, "damage at offset %zu: the entries at offset %zu are sound",
                               at, next);
    return TSM_OK;
}

static int check_file(const struct tsm_fs *fs, const char *path, struct tsm_err *err)
{
    struct tsm_map_file map;
    int rc = tsm_map_open(fs, path, &map, err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    rc = tsm_raft_check_segment(map.data, map.size, err);
    tsm_map_close(&map);
    return rc == TSM_OK ? rc : tsm_err_wrap(err, rc, "%s", path);
}

int tsm_raft_check_segments(const struct tsm_fs *fs, const char *dir, struct tsm_err *err)
{
    struct tsm_names names = {0};
    int rc = tsm_fs_list(fs, dir, &names, err);
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++) {
        if (strncmp(names.names[i], "open-", 5) != 0)
            continue;
        char *path = tsm_path_join(dir, names.names[i]);
        rc = check_file(fs, path, err);
        tsm_free(path);
    }
    tsm_names_release(&names);
    return rc;
}
