/* tests/unit/test_tsm_damage.c: every kind of damage to a TSM file is found. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "temp_dir.h"
#include "tsm_content.h"

static char path[96];

static int make_path(void **state)
{
    int r = make_temp(state);
    snprintf(path, sizeof path, "%s/000000001-000000001.tsm", temp_dir);
    return r;
}

/* ---- a file in memory, in a mapping of exactly its size: a sanitizer sees every byte read too many -------
 */

static struct tsm_buf image;

static int memory_open(void *ctx, const char *name, int flags, mode_t mode)
{
    (void)mode;
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".tsm") == 0 ? tsm_fs_posix.open(ctx, "/dev/null", flags, 0)
                                                      : -ENOENT;
}

static int memory_fstat(void *ctx, int fd, struct tsm_fs_stat *st)
{
    (void)ctx, (void)fd;
    *st = (struct tsm_fs_stat){.size = image.len};
    return 0;
}

static int memory_mmap(void *ctx, int fd, size_t size, const uint8_t **p)
{
    (void)ctx, (void)fd;
    *p = memcpy(tsm_alloc(size), image.data, size);
    return 0;
}

static int memory_munmap(void *ctx, const uint8_t *p, size_t size)
{
    (void)ctx, (void)size;
    tsm_free((void *)(uintptr_t)p);
    return 0;
}

static struct tsm_fs memory_fs(void)
{
    struct tsm_fs fs = tsm_fs_posix;
    fs.open = memory_open;
    fs.fstat = memory_fstat;
    fs.mmap = memory_mmap;
    fs.munmap = memory_munmap;
    fs.forget = NULL;
    return fs;
}

/* Opens image and decodes every block: the first error. */
static int read_image(struct tsm_err *err)
{
    struct tsm_fs fs = memory_fs();
    struct tsm_reader *r;
    int e = tsm_reader_open(&fs, "x.tsm", &r, err);
    if (e != TSM_OK) {
        assert_null(r);
        return e;
    }
    struct tsm_values v = {0};
    for (size_t i = 0; i < r->nkeys && e == TSM_OK; i++)
        for (size_t j = 0; j < tsm_reader_entries(r, i) && e == TSM_OK; j++) {
            struct tsm_entry entry = tsm_reader_entry(r, i, j);
            e = tsm_reader_decode(r, i, &entry, &v, err);
        }
    tsm_values_release(&v);
    tsm_reader_close(r);
    return e;
}

static void assert_image_corrupt(const char *cause)
{
    struct tsm_err err = {0};
    if (read_image(&err) != TSM_ECORRUPT)
        fail_msg("taken, but: %s", cause);
    if (!strstr(err.msg, "x.tsm: offset ") || !strstr(err.msg, cause))
        fail_msg("'%s' does not say '%s'", err.msg, cause);
}

static void load_image(const char *from)
{
    tsm_buf_reset(&image);
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, from, 1 << 20, &image, NULL), TSM_OK);
}

/* ---- the tests ---------------------------------------------------------------------------------------- */

/* A small sealed file with keys of every type. */
static void make_small_image(void)
{
    struct tsm_err err;
    assert_int_equal(write_file(&tsm_fs_posix, path, 5, 3, &err), TSM_OK);
    load_image(path);
    assert_int_equal(read_image(&err), TSM_OK);
}

static void every_flipped_bit_is_detected(void **state)
{
    (void)state;
    make_small_image();
    for (size_t bit = 0; bit < image.len * 8; bit++) {
        image.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct tsm_err err;
        if (read_image(&err) != TSM_ECORRUPT)
            fail_msg("bit %zu of byte %zu: not detected", bit % 8, bit / 8);
        if (!strstr(err.msg, "x.tsm: offset "))
            fail_msg("bit %zu of byte %zu: '%s'", bit % 8, bit / 8, err.msg);
        image.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void every_changed_byte_is_detected(void **state)
{
    (void)state;
    make_small_image();
    for (size_t i = 0; i < image.len; i++) {
        uint8_t was = image.data[i];
        static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
        for (size_t j = 0; j < sizeof values; j++) {
            image.data[i] = values[j];
            if (values[j] != was && read_image(NULL) != TSM_ECORRUPT)
                fail_msg("byte %zu as %02x: not detected", i, values[j]);
        }
        image.data[i] = was;
    }
}

static void every_cut_is_detected(void **state)
{
    (void)state;
    static const char *const files[] = {NULL, GOLDEN "influxd-compacted.tsm"};
    for (size_t f = 0; f < 2; f++) {
        if (files[f])
            load_image(files[f]);
        else
            make_small_image();
        size_t whole = image.len;
        for (image.len = 0; image.len < whole; image.len++)
            if (read_image(NULL) != TSM_ECORRUPT)
                fail_msg("cut at %zu of %zu: not detected", image.len, whole);
        /* nor may anything come after the end, or zeros in place of a tail */
        tsm_buf_byte(&image, 0);
        assert_int_equal(read_image(NULL), TSM_ECORRUPT);
        image.len = whole;
        memset(image.data + whole / 2, 0, whole - whole / 2);
        assert_int_equal(read_image(NULL), TSM_ECORRUPT);
    }
}

/* The same of a file that names its origins. */
static void damaged_origins_are_detected(void **state)
{
    with_origins = true;
    every_flipped_bit_is_detected(state);
    every_changed_byte_is_detected(state);
    every_cut_is_detected(state);
    with_origins = false;
}

static uint64_t index_of_image(void)
{
    return tsm_get_be64(image.data + image.len - 8);
}

/* Makes the seal fit whatever the index says now. */
static void seal_image(uint64_t index)
{
    tsm_put_be64(image.data + index - 8, XXH3_64bits(image.data + index, image.len - index));
}

/* Every number of the index in turn says something else, under a seal that fits. */
static void lying_numbers_are_detected(void **state)
{
    (void)state;
    make_small_image();
    uint64_t index = index_of_image();
    struct tsm_buf original = {0};
    tsm_buf_add(&original, image.data, image.len);
    static const uint64_t lies[] = {0,
                                    1,
                                    4,
                                    5,
                                    16,
                                    255,
                                    UINT16_MAX,
                                    INT32_MAX,
                                    UINT32_MAX,
                                    1ull << 40,
                                    INT64_MAX,
                                    1ull << 63,
                                    UINT64_MAX,
                                    UINT64_MAX - 7,
                                    UINT64_MAX - 27};
    size_t undetected = 0;
    for (size_t at = index; at < image.len; at++)
        for (size_t width = 1; width <= 8 && at + width <= image.len; width *= 2)
            for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
                memcpy(image.data, original.data, original.len);
                for (size_t b = 0; b < width; b++)
                    image.data[at + b] = (uint8_t)(lies[i] >> (8 * (width - 1 - b)));
                if (memcmp(image.data, original.data, image.len) == 0)
                    continue;
                seal_image(index);
                undetected += read_image(NULL) == TSM_OK;
            }
    /* Only another name for a key, still in order, can pass. */
    assert_true(undetected > 0);
    for (size_t bit = index * 8; bit < image.len * 8; bit++) {
        memcpy(image.data, original.data, original.len);
        image.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        seal_image(index);
        read_image(NULL);
    }
    tsm_buf_release(&original);
}

/* A file with one key "k", one block, and what the test makes of it. */
static uint64_t make_tiny_image(void)
{
    struct tsm_writer *w;
    struct tsm_values v = {0};
    assert_int_equal(tsm_writer_open(&tsm_fs_posix, path, &w, NULL), TSM_OK);
    fill(&v, TSM_INTEGER, 0, 4);
    assert_int_equal(add_block(w, "k", &v, NULL), TSM_OK);
    fill(&v, TSM_INTEGER, 4, 4);
    assert_int_equal(add_block(w, "k", &v, NULL), TSM_OK);
    assert_int_equal(add_block(w, "l", &v, NULL), TSM_OK);
    assert_int_equal(tsm_writer_install(w, NULL), TSM_OK);
    tsm_values_release(&v);
    load_image(path);
    return index_of_image();
}

static void each_fault_has_its_message(void **state)
{
    (void)state;
    uint64_t index = make_tiny_image();
    enum {
        KEY = 2,
        TYPE = 3,
        COUNT = 4,
        FIRST = 6,
        SECOND = FIRST + TSM_ENTRY_SIZE,
        NEXT = SECOND + TSM_ENTRY_SIZE
    };
    static const struct {
        size_t at; /* in the index */
        size_t width;
        uint64_t value;
        const char *cause;
    } faults[] = {
        {0, 2, 0, "index record with an empty key"},
        {0, 2, 65535, "index record is cut short"},
        {KEY, 1, 'l', "keys of the index are out of order"},
        {KEY, 1, 'm', "keys of the index are out of order"},
        {TYPE, 1, 5, "index record of an unknown type"},
        {TYPE, 1, 0, "block: type differs from the index"},
        {COUNT, 2, 0, "index record without entries"},
        {COUNT, 2, 65535, "index record is cut short"},
        {FIRST, 8, 1, "block: first or last time differs from the index"},
        {FIRST, 8, INT64_MAX, "index entry ends before it starts"},
        {SECOND, 8, 1, "index entries of one key are out of order"},
        {SECOND + 8, 8, INT64_MAX, "block: first or last time differs from the index"},
        {FIRST + 16, 8, 4, "index entry points outside the blocks"},
        {FIRST + 16, 8, 6, "block: checksum mismatch"},
        {FIRST + 16, 8, UINT64_MAX, "index entry points outside the blocks"},
        {FIRST + 24, 4, UINT32_MAX, "index entry points outside the blocks"},
        {FIRST + 24, 4, 7, "index entry with a block that is too small"},
        {FIRST + 24, 4, 9, "block: checksum mismatch"},
        {NEXT, 2, 2, "index record is cut short"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        make_tiny_image();
        for (size_t b = 0; b < faults[i].width; b++)
            image.data[index + faults[i].at + b] = (uint8_t)(faults[i].value >>
                                                             (8 * (faults[i].width - 1 - b)));
        assert_image_corrupt(faults[i].at == NEXT ? faults[i].cause : "");
        seal_image(index);
        assert_image_corrupt(faults[i].cause);
    }
}

static void the_frame_is_checked(void **state)
{
    (void)state;
    uint64_t index = make_tiny_image();
    image.len = 0;
    assert_image_corrupt("offset 0: the file is empty");
    image.len = 4;
    assert_image_corrupt("offset 4: the file is cut short");
    image.data[0] = 'P';
    assert_image_corrupt("offset 0: not a TSM file");
    make_tiny_image();
    image.data[4] = 2;
    assert_image_corrupt("offset 4: format version 2 is not known");

    static const uint64_t wrong[] = {0, 5, UINT64_MAX, INT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        make_tiny_image();
        tsm_put_be64(image.data + image.len - 8, wrong[i]);
        assert_image_corrupt("is outside the file");
    }
    make_tiny_image();
    image.data[index - 16] ^= 1;
    assert_image_corrupt("neither a block nor a seal before the index");
    make_tiny_image();
    image.data[index - 1] ^= 1;
    assert_image_corrupt("the index does not match its seal");

    /* The seal taken out: a file as influxd writes it. */
    make_tiny_image();
    memmove(image.data + index - 16, image.data + index, image.len - index);
    image.len -= 16;
    tsm_put_be64(image.data + image.len - 8, index - 16);
    assert_int_equal(read_image(NULL), TSM_OK);
    struct tsm_fs fs = memory_fs();
    struct tsm_reader *r;
    assert_int_equal(tsm_reader_open(&fs, "x.tsm", &r, NULL), TSM_OK);
    assert_false(r->sealed);
    tsm_reader_close(r);
}

/* Origins that their own checksum confirms, under a seal that fits, and yet are none. */
static void lying_origins_are_detected(void **state)
{
    (void)state;
    static const struct {
        size_t at, width;
        uint64_t value;
        const char *cause;
    } faults[] = {
        {0, 1, 'X', "neither a block nor a seal before the index"},
        {8, 4, 0, "origins: their number does not fit their size"},
        {8, 4, ORIGINS - 1, "origins: their number does not fit their size"},
        {8, 4, ORIGINS + 1, "origins: their number does not fit their size"},
        {8, 4, UINT32_MAX, "origins: their number does not fit their size"},
        {20, 1, 77, NULL}, /* another origin: nothing can tell */
    };
    enum { SIZE = TSM_ORIGINS_SIZE + ORIGINS * TSM_ORIGIN_SIZE };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        with_origins = true;
        make_small_image();
        with_origins = false;
        uint8_t *p = image.data + index_of_image() - TSM_SEAL_SIZE - SIZE;
        for (size_t b = 0; b < faults[i].width; b++)
            p[faults[i].at + b] = (uint8_t)(faults[i].value >> (8 * (faults[i].width - 1 - b)));
        assert_image_corrupt(i == 0 ? faults[i].cause : "origins: ");
        tsm_put_be64(p + SIZE - 8, XXH3_64bits(p, SIZE - 8));
        if (faults[i].cause)
            assert_image_corrupt(faults[i].cause);
        else
            assert_int_equal(read_image(NULL), TSM_OK);
    }
    /* Without a seal behind them they are a fault. */
    with_origins = true;
    make_small_image();
    with_origins = false;
    uint64_t index = index_of_image();
    memmove(image.data + index - 16, image.data + index, image.len - index);
    image.len -= 16;
    tsm_put_be64(image.data + image.len - 8, index - 16);
    assert_image_corrupt("neither a block nor a seal before the index");
}

/* The checksum is right, the block is not. */
static void damage_under_a_right_checksum_is_detected(void **state)
{
    (void)state;
    make_small_image();
    struct tsm_fs fs = memory_fs();
    struct tsm_buf original = {0};
    tsm_buf_add(&original, image.data, image.len);
    struct tsm_reader *r;
    assert_int_equal(tsm_reader_open(&fs, "x.tsm", &r, NULL), TSM_OK);
    size_t detected = 0;
    for (size_t i = 0; i < r->nkeys; i++) {
        struct tsm_entry e = tsm_reader_entry(r, i, 1);
        for (size_t at = e.offset + 4; at < e.offset + e.size; at++)
            for (unsigned bit = 0; bit < 8; bit++) {
                memcpy(image.data, original.data, original.len);
                image.data[at] ^= (uint8_t)(1 << bit);
                uint32_t crc = (uint32_t)crc32(0, image.data + e.offset + 4, e.size - 4);
                tsm_put_be32(image.data + e.offset, crc);
                detected += read_image(NULL) != TSM_OK;
            }
    }
    assert_true(detected > 100); /* the others gave other values: nothing can tell */
    tsm_reader_close(r);
    tsm_buf_release(&original);
}

static int release_image(void **state)
{
    tsm_buf_release(&image);
    return remove_temp(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_bit_is_detected),
        cmocka_unit_test(every_changed_byte_is_detected),
        cmocka_unit_test(every_cut_is_detected),
        cmocka_unit_test(damaged_origins_are_detected),
        cmocka_unit_test(lying_origins_are_detected),
        cmocka_unit_test(lying_numbers_are_detected),
        cmocka_unit_test(each_fault_has_its_message),
        cmocka_unit_test(the_frame_is_checked),
        cmocka_unit_test(damage_under_a_right_checksum_is_detected),
    };
    return cmocka_run_group_tests(tests, make_path, release_image);
}
