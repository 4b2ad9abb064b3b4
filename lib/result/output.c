/* result/output.c: bytes on their way to a descriptor or a function. */
#include "result/output.h"

#include <errno.h>
#include <unistd.h>

#include "base/banned.h"

enum { LIMIT = 64 << 10 };

void tsm_output_init(struct tsm_output *o, int fd)
{
    *o = (struct tsm_output){.fd = fd, .limit = isatty(fd) ? 0 : LIMIT};
}

void tsm_output_init_put(struct tsm_output *o, tsm_put_fn *put, void *ctx)
{
    *o = (struct tsm_output){.fd = -1, .put = put, .ctx = ctx, .limit = LIMIT};
}

int tsm_output_check(struct tsm_output *o, struct tsm_err *err)
{
    return o->buf.len > o->limit ? tsm_output_flush(o, err) : TSM_OK;
}

static int put_all(struct tsm_output *o, struct tsm_err *err)
{
    int r = o->buf.len ? o->put(o->ctx, o->buf.data, o->buf.len, err) : TSM_OK;
    o->written += r == TSM_OK ? o->buf.len : 0;
    tsm_buf_reset(&o->buf);
    return r;
}

int tsm_output_flush(struct tsm_output *o, struct tsm_err *err)
{
    size_t done = 0;
    int r = TSM_OK;
    if (o->put)
        return put_all(o, err);
    while (done < o->buf.len && r == TSM_OK) {
        ssize_t n = write(o->fd, o->buf.data + done, o->buf.len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            r = tsm_err_sys(err, n == 0 ? EIO : errno, "write standard output");
    }
    o->written += done;
    /* After a failure nothing more is written: the reader would get a stream with a hole. */
    tsm_buf_reset(&o->buf);
    return r;
}

int tsm_output_close(struct tsm_output *o, struct tsm_err *err)
{
    int r = tsm_output_flush(o, err);
    int c = o->put ? 0 : close(o->fd);
    o->fd = -1;
    if (r == TSM_OK && c != 0)
        r = tsm_err_sys(err, errno, "close standard output");
    return r;
}

void tsm_output_release(struct tsm_output *o)
{
    tsm_buf_release(&o->buf);
}
