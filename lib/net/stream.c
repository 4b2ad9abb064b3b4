/*
 * net/stream.c: from the thread of a query to the network. The query waits while the ring is full, the connection is suspended while
 * it is empty: a slow reader costs the ring and nothing else, and a slow query no thread of the network.
 */
#include <errno.h>
#include <time.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/time.h"
#include "net/server_impl.h"

#include "base/banned.h"

enum {
    RING = 256 << 10,
    GZIP = 16,
    LOOK_AGAIN = 200 /* ms: a query that waits for its reader looks whether it has been killed */
};

struct tsm_stream {
    struct tsm_request *r;
    pthread_mutex_t mutex;
    pthread_cond_t room;
    uint8_t *ring;
    size_t head, len;
    bool parked; /* the connection is suspended, for want of bytes */
    bool ended, failed, gone;
    bool cut; /* the query was ended while it waited for room: some bytes are missing */
    bool gzip;
    z_stream z;
    struct tsm_buf packed;
};

struct tsm_stream *tsm_stream_new(struct tsm_request *r, bool gzip)
{
    struct tsm_stream *s = tsm_calloc(1, sizeof *s);
    pthread_condattr_t attr;
    s->r = r;
    s->gzip = gzip;
    s->ring = tsm_alloc(RING);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->room, &attr);
    pthread_condattr_destroy(&attr);
    s->z = (z_stream){.zalloc = tsm_zlib_alloc, .zfree = tsm_zlib_free};
    if (gzip &&
        deflateInit2(&s->z, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    return s;
}

void tsm_stream_free(struct tsm_stream *s)
{
    if (!s)
        return;
    if (s->gzip)
        deflateEnd(&s->z);
    tsm_buf_release(&s->packed);
    pthread_cond_destroy(&s->room);
    pthread_mutex_destroy(&s->mutex);
    tsm_free(s->ring);
    tsm_free(s);
}

/* With the mutex held. */
static void wake(struct tsm_stream *s)
{
    if (!s->parked)
        return;
    s->parked = false;
    MHD_resume_connection(s->r->connection);
}

static void wait_for_room(struct tsm_stream *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_AGAIN * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    (void)pthread_cond_timedwait(&s->room, &s->mutex, &until);
}

static int put_bytes(struct tsm_stream *s, const uint8_t *p, size_t n, struct tsm_err *err)
{
    int rc = TSM_OK;
    pthread_mutex_lock(&s->mutex);
    while (n && rc == TSM_OK) {
        if (s->gone || s->cut) {
            rc = tsm_err_set(err, TSM_EPIPE, s->gone ? "the client has gone" : "the answer has been cut off");
        } else if (s->len == RING) {
            wait_for_room(s);
            rc = tsm_control_check(&s->r->control, 0, err);
            s->cut = rc != TSM_OK;
        } else {
            size_t at = (s->head + s->len) % RING, fits = RING - s->len;
            fits = fits < RING - at ? fits : RING - at;
            fits = fits < n ? fits : n;
            memcpy(s->ring + at, p, fits);
            s->len += fits;
            p += fits;
            n -= fits;
            wake(s);
        }
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static void pack(struct tsm_stream *s, const void *p, size_t n, int flush)
{
    s->z.next_in = (uint8_t *)(uintptr_t)p;
    s->z.avail_in = (unsigned)n;
    tsm_buf_reset(&s->packed);
    do {
        size_t room = n / 4 + 4096;
        s->z.next_out = tsm_buf_room(&s->packed, room);
        s->z.avail_out = (unsigned)room;
        (void)deflate(&s->z, flush);
        s->packed.len += room - s->z.avail_out;
    } while (s->z.avail_out == 0);
}

int tsm_stream_put(void *stream, const void *p, size_t n, struct tsm_err *err)
{
    struct tsm_stream *s = stream;
    if (!s->gzip)
        return put_bytes(s, p, n, err);
    pack(s, p, n, Z_SYNC_FLUSH); /* the reader may wait for just this */
    return put_bytes(s, s->packed.data, s->packed.len, err);
}

void tsm_stream_end(struct tsm_stream *s, bool failed)
{
    if (s->gzip && !failed) {
        pack(s, NULL, 0, Z_FINISH);
        failed = put_bytes(s, s->packed.data, s->packed.len, NULL) != TSM_OK;
    }
    pthread_mutex_lock(&s->mutex);
    s->ended = true;
    s->failed = failed || s->cut;
    wake(s);
    pthread_mutex_unlock(&s->mutex);
}

void tsm_stream_gone(struct tsm_stream *s)
{
    pthread_mutex_lock(&s->mutex);
    s->gone = true;
    pthread_cond_signal(&s->room);
    pthread_mutex_unlock(&s->mutex);
}

ssize_t tsm_stream_read(void *request, uint64_t pos, char *p, size_t max)
{
    struct tsm_request *r = request;
    struct tsm_stream *s = r->stream;
    ssize_t n = 0;
    (void)pos;
    pthread_mutex_lock(&s->mutex);
    if (s->ended && s->failed) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (s->len) {
        size_t fits = s->len < RING - s->head ? s->len : RING - s->head;
        fits = fits < max ? fits : max;
        memcpy(p, s->ring + s->head, fits);
        s->head = (s->head + fits) % RING;
        s->len -= fits;
        if (s->len <= RING / 2)
            pthread_cond_signal(&s->room);
        n = (ssize_t)fits;
        r->sent += fits;
    } else if (s->ended) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        s->parked = true;
        MHD_suspend_connection(r->connection);
    }
    pthread_mutex_unlock(&s->mutex);
    return n;
}
