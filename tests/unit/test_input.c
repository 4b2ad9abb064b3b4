/* tests/unit/test_input.c: plain, gzip and LZ4 input: several members, cut and damaged streams, pipes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include <lz4frame.h>
#include <zlib.h>

#include "base/alloc.h"
#include "format/input.h"

enum { TEXT_SIZE = 700 * 1000 };

static struct tsm_buf text;

static int make_text(void **state)
{
    (void)state;
    uint32_t x = 1;
    while (text.len < TEXT_SIZE) {
        x = x * 1664525 + 1013904223;
        tsm_buf_printf(&text, "cpu,host=h%u v=%u %u\n", x >> 24, x >> 12, x);
    }
    return 0;
}

static int drop_text(void **state)
{
    (void)state;
    tsm_buf_release(&text);
    return 0;
}

static void add_gzip(struct tsm_buf *out, struct tsm_str s)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t most = deflateBound(&z, s.n) + 32;
    z.next_out = tsm_buf_room(out, most);
    z.avail_out = (uInt)most;
    z.next_in = (Bytef *)(uintptr_t)s.p;
    z.avail_in = (uInt)s.n;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += most - z.avail_out;
    deflateEnd(&z);
}

static void add_lz4(struct tsm_buf *out, struct tsm_str s)
{
    LZ4F_preferences_t prefs = {.frameInfo = {.blockSizeID = LZ4F_max64KB,
                                              .contentChecksumFlag = LZ4F_contentChecksumEnabled,
                                              .blockChecksumFlag = LZ4F_blockChecksumEnabled}};
    size_t most = LZ4F_compressFrameBound(s.n, &prefs);
    size_t n = LZ4F_compressFrame(tsm_buf_room(out, most), most, s.p, s.n, &prefs);
    assert_false(LZ4F_isError(n));
    out->len += n;
}

/* A descriptor from which these bytes are read. */
static int file_of(struct tsm_str s)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, s.p, s.n), s.n);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Reads all in pieces of at most max bytes; returns the code that ended it. The fault must stay. */
static int read_all(int fd, size_t max, struct tsm_buf *out, struct tsm_err *err)
{
    struct tsm_input *in = tsm_input_open(fd, "in");
    bool eof = false;
    int rc = 0;
    tsm_buf_reset(out);
    for (int i = 0; !rc && !eof && i < 5000000; i++) {
        size_t before = out->len;
        rc = tsm_input_read(in, out, max, &eof, err);
        assert_true(out->len - before <= max);
    }
    if (rc) {
        struct tsm_err again;
        assert_int_equal(tsm_input_read(in, out, max, &eof, &again), rc);
        assert_string_equal(again.msg, err->msg);
        assert_false(eof);
    } else {
        assert_true(eof);
        assert_int_equal(tsm_input_read(in, out, max, &eof, err), 0);
        assert_true(eof);
    }
    tsm_input_close(in);
    return rc;
}

static void expect(const struct tsm_buf *input, struct tsm_str expected)
{
    static const size_t sizes[] = {1 << 20, 100000, 777};
    struct tsm_buf out = {0};
    struct tsm_err err;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(read_all(file_of(tsm_buf_view(input)), sizes[i], &out, &err), TSM_OK);
        assert_int_equal(out.len, expected.n);
        if (expected.n)
            assert_memory_equal(out.data, expected.p, expected.n);
    }
    tsm_buf_release(&out);
}

static void plain_input_is_unchanged(void **state)
{
    (void)state;
    expect(&text, tsm_buf_view(&text));
    static const char *const few[] = {
        "", "a", "\x1f", "\x1f\x8c", "\x04\x22\x4d", "\x04\x22\x4d\x19 x", "cpu v=1\n"};
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        struct tsm_buf b = {0};
        tsm_buf_puts(&b, few[i]);
        expect(&b, tsm_str_of(few[i]));
        tsm_buf_release(&b);
    }
}

typedef void add_fn(struct tsm_buf *out, struct tsm_str s);

static void members_in_a_row(add_fn *add)
{
    struct tsm_buf b = {0}, all = {0};
    for (int i = 0; i < 5; i++) {
        struct tsm_str part = tsm_str((char *)text.data + i * 1000, i == 2 ? 0 : (size_t)i * 90000 + 1);
        add(&b, part);
        tsm_buf_str(&all, part);
        expect(&b, tsm_buf_view(&all));
    }
    tsm_buf_release(&b);
    tsm_buf_release(&all);
}

static void gzip_members_in_a_row(void **state)
{
    (void)state;
    members_in_a_row(add_gzip);
    struct tsm_buf b = {0};
    add_gzip(&b, tsm_buf_view(&text));
    tsm_buf_add(&b, (char[700]){0}, 700); /* as tar pads */
    expect(&b, tsm_buf_view(&text));
    tsm_buf_release(&b);
}

static void lz4_frames_in_a_row(void **state)
{
    (void)state;
    members_in_a_row(add_lz4);
}

/* Every cut is noticed, and what was before it is delivered. */
static void cuts_are_noticed(add_fn *add, size_t magic, size_t lost)
{
    struct tsm_buf b = {0}, out = {0};
    struct tsm_err err;
    add(&b, tsm_str((char *)text.data, 200000));
    for (size_t n = magic; n < b.len; n += n < 40 || n > b.len - 40 ? 1 : 4999) {
        assert_int_equal(read_all(file_of(tsm_str((char *)b.data, n)), 1 << 20, &out, &err), TSM_ECORRUPT);
        assert_string_equal(strrchr(err.msg, ':'), ": the compressed data ends too early");
        assert_true(out.len <= 200000);
        assert_memory_equal(out.data ? (char *)out.data : "", text.data, out.len);
        assert_true(n < lost || out.len > 0);
    }
    tsm_buf_release(&b);
    tsm_buf_release(&out);
}

static void cut_gzip_is_noticed(void **state)
{
    (void)state;
    cuts_are_noticed(add_gzip, 2, 60000);
}

static void cut_lz4_is_noticed(void **state)
{
    (void)state;
    cuts_are_noticed(add_lz4, 4, 66000);
}

/* Flipping any bit gives a fault, never different bytes in front of a clean end. */
static void flips_are_noticed(add_fn *add, size_t from)
{
    struct tsm_buf b = {0}, out = {0};
    struct tsm_err err;
    add(&b, tsm_str((char *)text.data, 3000));
    for (size_t i = from; i < b.len; i++) {
        b.data[i] ^= (uint8_t)(1 << i % 8);
        int rc = read_all(file_of(tsm_buf_view(&b)), 1 << 20, &out, &err);
        if (!rc) /* a bit that does not matter, such as the time in a gzip header */
            assert_true(out.len == 3000 && memcmp(out.data, text.data, 3000) == 0);
        else
            assert_int_equal(rc, TSM_ECORRUPT);
        b.data[i] ^= (uint8_t)(1 << i % 8);
    }
    tsm_buf_release(&b);
    tsm_buf_release(&out);
}

static void damaged_gzip_is_noticed(void **state)
{
    (void)state;
    flips_are_noticed(add_gzip, 2);
}

static void damaged_lz4_is_noticed(void **state)
{
    (void)state;
    flips_are_noticed(add_lz4, 4);
}

static void bytes_before_a_fault_are_delivered(void **state)
{
    (void)state;
    struct tsm_buf b = {0}, out = {0};
    struct tsm_err err;
    add_gzip(&b, tsm_str((char *)text.data, 1000));
    tsm_buf_puts(&b, "garbage");
    assert_int_equal(read_all(file_of(tsm_buf_view(&b)), 1 << 20, &out, &err), TSM_ECORRUPT);
    assert_int_equal(out.len, 1000);
    assert_non_null(strstr(err.msg, "bytes after the end of the gzip data"));
    tsm_buf_reset(&b);
    add_lz4(&b, tsm_str((char *)text.data, 3 * 65536));
    size_t last_block = b.len - 30;
    b.data[last_block] ^= 1;
    assert_int_equal(read_all(file_of(tsm_buf_view(&b)), 1 << 20, &out, &err), TSM_ECORRUPT);
    assert_int_equal(out.len, 2 * 65536);
    assert_memory_equal(out.data, text.data, out.len);
    tsm_buf_release(&b);
    tsm_buf_release(&out);
}

static void a_pipe_returns_early(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct tsm_input *in = tsm_input_open(fds[0], "pipe");
    struct tsm_buf out = {0};
    bool eof;
    assert_int_equal(write(fds[1], "cpu", 3), 3);
    assert_int_equal(tsm_input_read(in, &out, 1 << 20, &eof, NULL), TSM_OK);
    assert_true(out.len == 3 && !eof);
    assert_int_equal(write(fds[1], " v=1\n", 5), 5);
    assert_int_equal(tsm_input_read(in, &out, 1 << 20, &eof, NULL), TSM_OK);
    assert_true(out.len == 8 && !eof);
    close(fds[1]);
    assert_int_equal(tsm_input_read(in, &out, 1 << 20, &eof, NULL), TSM_OK);
    assert_true(out.len == 8 && eof);
    tsm_input_close(in);
    tsm_buf_release(&out);
}

/* Every byte of the input comes in a read of its own, as each message of such a socket does. */
static void a_slow_compressed_pipe(void **state)
{
    (void)state;
    add_fn *const adders[] = {add_gzip, add_lz4};
    for (int k = 0; k < 2; k++) {
        struct tsm_buf b = {0}, out = {0};
        adders[k](&b, TSM_STR("cpu v=1\n"));
        adders[k](&b, TSM_STR("cpu v=2\n"));
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
        for (size_t i = 0; i < b.len; i++)
            assert_int_equal(write(fds[1], b.data + i, 1), 1);
        struct tsm_input *in = tsm_input_open(fds[0], "pipe");
        bool eof = false;
        close(fds[1]);
        for (int i = 0; !eof && i < 1000; i++)
            assert_int_equal(tsm_input_read(in, &out, 100, &eof, NULL), TSM_OK);
        assert_true(eof);
        assert_int_equal(out.len, 16);
        assert_memory_equal(out.data, "cpu v=1\ncpu v=2\n", 16);
        tsm_input_close(in);
        tsm_buf_release(&b);
        tsm_buf_release(&out);
    }
}

static void read_errors_are_reported(void **state)
{
    (void)state;
    struct tsm_err err;
    struct tsm_buf out = {0};
    assert_int_equal(read_all(open("/tmp", O_RDONLY | O_CLOEXEC), 100, &out, &err), TSM_EIO);
    assert_string_equal(err.msg, "in: read: Is a directory");
    tsm_buf_release(&out);
}

/* A pipe that has given something compressed and falls silent: all that it gave comes out, and nobody waits. */
static void test_silent_pipe(void **state)
{
    (void)state;
    for (int lz4 = 0; lz4 < 2; lz4++) {
        struct tsm_buf packed = {0}, out = {0};
        struct tsm_str some = {(const char *)text.data, 100 * 1000};
        int ends[2];
        bool eof = false;
        if (lz4)
            add_lz4(&packed, some);
        else
            add_gzip(&packed, some);
        assert_int_equal(pipe(ends), 0);
        struct tsm_input *in = tsm_input_open(ends[0], "pipe");
        assert_int_equal(tsm_input_drain(in, &out, 1 << 20, NULL), TSM_OK);
        /* Half of a block, then the rest, but not the end of the pipe. */
        for (size_t at = 0, n; at < packed.len; at += n) {
            n = at == 0 ? 20 : packed.len - at < 30000 ? packed.len - at : 30000;
            assert_int_equal(write(ends[1], packed.data + at, n), (ssize_t)n);
            assert_int_equal(tsm_input_read(in, &out, 1000, &eof, NULL), TSM_OK);
            assert_false(eof);
            for (size_t before = SIZE_MAX; before != out.len;) {
                before = out.len;
                assert_int_equal(tsm_input_drain(in, &out, 1000, NULL), TSM_OK);
            }
            assert_true(at > 0 || out.len == 0);
        }
        assert_int_equal(out.len, some.n);
        assert_memory_equal(out.data, some.p, some.n);
        close(ends[1]);
        assert_int_equal(tsm_input_read(in, &out, 1000, &eof, NULL), TSM_OK);
        assert_true(eof);
        tsm_input_close(in);
        tsm_buf_release(&packed);
        tsm_buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_input_is_unchanged), cmocka_unit_test(gzip_members_in_a_row),
        cmocka_unit_test(lz4_frames_in_a_row),      cmocka_unit_test(cut_gzip_is_noticed),
        cmocka_unit_test(cut_lz4_is_noticed),       cmocka_unit_test(damaged_gzip_is_noticed),
        cmocka_unit_test(damaged_lz4_is_noticed),   cmocka_unit_test(bytes_before_a_fault_are_delivered),
        cmocka_unit_test(a_pipe_returns_early),     cmocka_unit_test(a_slow_compressed_pipe),
        cmocka_unit_test(read_errors_are_reported), cmocka_unit_test(test_silent_pipe),
    };
    return cmocka_run_group_tests(tests, make_text, drop_text);
}
