/* store/room.c: watching the room on the disk, and waiting for it. */
#include "store/room.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/time.h"
#include "base/banned.h"

enum {
    ASK_MS = 100,
    ASK_BYTES = 16 << 20,
    ASK_PART = 4,         /* of what was left: a log takes some of it, too */
    HYSTERESIS_PART = 16, /* of the reserve, that must be free besides to end a wait */
    RETRY_WAITS = 25, /* after so many at the most it is tried again, whatever the disk says of its room */
};

bool tsm_reserve_parse(struct tsm_str text, struct tsm_reserve *r)
{
    uint64_t percent;
    if (text.n > 1 && text.p[text.n - 1] == '%') {
        if (!tsm_parse_uint(tsm_str(text.p, text.n - 1), &percent) || percent > 100)
            return false;
        *r = (struct tsm_reserve){UINT64_MAX, (unsigned)percent};
        return true;
    }
    r->percent = 100;
    return tsm_parse_size(text, &r->bytes);
}

uint64_t tsm_reserve_bytes(struct tsm_reserve r, uint64_t total)
{
    uint64_t part = total / 100 * r.percent;
    return r.bytes < part ? r.bytes : part;
}

/* False when the disk does not say: then its errors have to. */
static bool ask(const struct tsm_room *r, uint64_t *free_bytes, uint64_t *total)
{
    return r->fs->space(r->fs->ctx, r->dir, free_bytes, total) == 0;
}

void tsm_room_init(struct tsm_room *r, const struct tsm_fs *fs, const char *dir, struct tsm_reserve reserve,
                   tsm_room_fn *wait, void *ctx)
{
    uint64_t free_bytes, total;
    *r = (struct tsm_room){.fs = fs, .dir = dir, .wait = wait, .ctx = ctx};
    if (!wait)
        return;
    if (!ask(r, &free_bytes, &total))
        total = 0;
    r->reserve = tsm_reserve_bytes(reserve, total);
}

bool tsm_room_enough(struct tsm_room *r, uint64_t unflushed)
{
    if (!r->wait)
        return true;
    int64_t now = tsm_monotonic();
    /* Since it was enough there was something left then. */
    bool recent = r->asked && now - r->asked < ASK_MS * TSM_MSEC && unflushed >= r->unflushed &&
                  unflushed - r->unflushed < ASK_BYTES &&
                  unflushed - r->unflushed < (r->free - r->reserve - r->unflushed) / ASK_PART;
    if (!recent) {
        uint64_t total;
        if (!ask(r, &r->free, &total))
            r->free = UINT64_MAX;
        r->asked = now;
        r->unflushed = unflushed;
    }
    uint64_t more = r->waiting ? r->reserve / HYSTERESIS_PART : 0;
    bool enough = r->free >= r->reserve && r->free - r->reserve >= unflushed + more;
    if (!enough)
        r->asked = 0;
    return enough;
}

/* Tells, or waits on. */
static bool wait(struct tsm_room *r, const char *message)
{
    bool first = !atomic_exchange(&r->waiting, true);
    return r->wait(r->ctx, first ? TSM_ROOM_NONE : TSM_ROOM_STILL, first ? message : NULL);
}

static void print_size(char *out, size_t n, uint64_t bytes)
{
    bool small = bytes < 10 << 20;
    snprintf(out, n, "%" PRIu64 " %s", bytes >> (small ? 10 : 20), small ? "KiB" : "MiB");
}

bool tsm_room_wait(struct tsm_room *r, struct tsm_err *err)
{
    char message[sizeof err->msg], has[32], reserve[32];
    print_size(has, sizeof has, r->free);
    print_size(reserve, sizeof reserve, r->reserve);
    snprintf(message, sizeof message, "%s: the disk has %s free, and %s are to stay free", r->dir, has,
             reserve);
    if (wait(r, message))
        return true;
    tsm_err_set(err, TSM_ENOSPC, "%s", message);
    return false;
}

bool tsm_room_wait_after(struct tsm_room *r, const struct tsm_err *err)
{
    uint64_t before, now, total;
    if (!r->wait)
        return false;
    if (!ask(r, &before, &total))
        before = UINT64_MAX;
    int waits = 1 << (r->tries < 5 ? r->tries : 5);
    r->tries++;
    for (int i = 0; i < waits && i < RETRY_WAITS; i++) {
        if (!wait(r, err->msg))
            return false;
        if (ask(r, &now, &total) && now > before)
            break;
    }
    return true;
}

void tsm_room_found(struct tsm_room *r)
{
    if (atomic_load_explicit(&r->waiting, memory_order_relaxed) && atomic_exchange(&r->waiting, false))
        r->wait(r->ctx, TSM_ROOM_AGAIN, "there is room again");
    r->tries = 0;
}
