/*
 * cli/rejects.c: telling and saving rejected lines.
 *
 * The file holds, for each line of line protocol, a comment with the cause and then the line as it was. CSV
 * has no comments: there the file is the header and the records.
 */
#include "cli/rejects.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum { CAUSE_MAX = 1000 }; /* bytes of a cause that are told: it repeats the line, which may be long */

/* Appends a cause as one line of text. */
static void add_cause(struct tsm_buf *out, const char *cause)
{
    size_t n = strlen(cause);
    /* Of a long one the beginning and the end, where the reason is. */
    size_t head = n <= CAUSE_MAX ? n : CAUSE_MAX / 2, tail = n <= CAUSE_MAX ? n : n - CAUSE_MAX / 2;
    for (size_t i = 0; i < n; i++) {
        if (i == head && head < tail) {
            tsm_buf_puts(out, " ... ");
            i = tail;
        }
        unsigned char c = (unsigned char)cause[i];
        if (c == '\n')
            tsm_buf_puts(out, "\\n");
        else if (c == '\r')
            tsm_buf_puts(out, "\\r");
        else if (c < ' ' && c != '\t')
            tsm_buf_printf(out, "\\x%02x", c);
        else
            tsm_buf_byte(out, c);
    }
}

int tsm_rejects_open(struct tsm_rejects *r, struct tsm_err *err)
{
    if (!r->path)
        return TSM_OK;
    int rc = r->append ? tsm_file_append(r->fs, r->path, &r->file, err)
                       : tsm_file_create(r->fs, r->path, &r->file, err);
    if (rc == TSM_OK) {
        struct tsm_fs_stat st;
        r->open = true;
        r->file.special = r->fs->fstat(r->fs->ctx, r->file.fd, &st) == 0 && st.is_special;
        if (!r->file.special)
            rc = tsm_fs_sync_parent(r->fs, r->path, err);
    }
    return rc;
}

static int save(struct tsm_rejects *r, struct tsm_str text, struct tsm_str comment,
                const struct tsm_str *header, struct tsm_err *err)
{
    struct tsm_buf b = {0};
    if (header && !tsm_str_eq(*header, tsm_buf_view(&r->header))) {
        tsm_buf_reset(&r->header);
        tsm_buf_str(&r->header, *header);
        tsm_buf_str(&b, *header);
        tsm_buf_byte(&b, '\n');
    } else if (!header) {
        tsm_buf_puts(&b, "# ");
        tsm_buf_str(&b, comment);
        tsm_buf_byte(&b, '\n');
    }
    if (text.p) {
        tsm_buf_str(&b, text);
        tsm_buf_byte(&b, '\n');
    }
    int rc = tsm_file_write(&r->file, b.data, b.len, err);
    tsm_buf_release(&b);
    return rc;
}

int tsm_rejects_add(struct tsm_rejects *r, const char *file, uint64_t line, struct tsm_str text,
                    const char *cause, const struct tsm_str *header, struct tsm_err *err)
{
    int rc = TSM_OK;
    bool tell = r->count < r->show;
    r->count++;
    if (!tell && !r->open)
        return TSM_OK;
    struct tsm_buf message = {0};
    tsm_buf_printf(&message, "%s:%" PRIu64 ": ", file, line);
    add_cause(&message, cause);
    if (tell) {
        if (r->before)
            r->before(r->ctx);
        fprintf(stderr, "%s\n", tsm_buf_cstr(&message));
    }
    if (r->open)
        rc = save(r, text, tsm_buf_view(&message), header, err);
    tsm_buf_release(&message);
    return rc;
}

int tsm_rejects_sync(struct tsm_rejects *r, struct tsm_err *err)
{
    return r->open ? tsm_file_sync(&r->file, err) : TSM_OK;
}

int tsm_rejects_close(struct tsm_rejects *r, struct tsm_err *err)
{
    if (r->show > 0 && r->count > r->show) {
        if (r->before)
            r->before(r->ctx);
        fprintf(stderr, "... and %" PRIu64 " more\n", r->count - r->show);
    }
    tsm_buf_release(&r->header);
    if (!r->open)
        return TSM_OK;
    r->open = false;
    return tsm_file_finish(&r->file, err);
}
