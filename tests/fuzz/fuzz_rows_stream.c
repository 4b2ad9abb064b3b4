/* tests/fuzz/fuzz_rows_stream.c: any bytes as the answer of a daemon: printed, or refused; the same in one piece and in many. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "result/rows_stream.h"
#include "result/writer.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_as(const uint8_t *p, size_t n, size_t piece, enum tsm_format format, struct tsm_output *out)
{
    struct tsm_result_options opt = {.format = format, .header = true};
    *out = (struct tsm_output){.fd = -1, .limit = SIZE_MAX};
    struct tsm_sink *sink = tsm_result_writer_new(&opt, out);
    struct tsm_rows_reader *r = tsm_rows_reader_new(sink);
    int rc = TSM_OK;
    for (size_t at = 0; at < n && rc == TSM_OK; at += piece) {
        size_t len = n - at < piece ? n - at : piece;
        uint8_t *copy = malloc(len ? len : 1);
        memcpy(copy, p + at, len);
        rc = tsm_rows_reader_feed(r, copy, len, NULL);
        free(copy);
    }
    if (rc == TSM_OK)
        rc = tsm_rows_reader_end(r, NULL, NULL);
    tsm_rows_reader_free(r);
    tsm_result_writer_free(sink);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tsm_output whole, pieces;
    if (size == 0 || size > 1 << 16)
        return 0;
    enum tsm_format format = (enum tsm_format)(data[0] % (TSM_FORMAT_LINE + 1));
    int a = read_as(data + 1, size - 1, size, format, &whole);
    int b = read_as(data + 1, size - 1, 1 + data[0] / 8, format, &pieces);
    if (a != b || (a == TSM_OK && !tsm_str_eq(tsm_buf_view(&whole.buf), tsm_buf_view(&pieces.buf))))
        abort();
    tsm_output_release(&whole);
    tsm_output_release(&pieces);
    return 0;
}
