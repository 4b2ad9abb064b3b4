/*
 * cluster/raft_group.c: the beginning of a raft group.
 *
 * libraft writes the first files of a log one after the other, and what a kill leaves of that is no log. So a log is made under
 * another name, and has its own as soon as it is complete.
 */
#include "cluster/raft_group.h"

#include <raft.h>
#include <raft/uv.h>

#include "base/alloc.h"
#include "base/banned.h"

/* ---- a group of one has no peers ---- */

static int peers_init(struct raft_uv_transport *t, raft_id id, const char *address)
{
    (void)t, (void)id, (void)address;
    return 0;
}

static int peers_listen(struct raft_uv_transport *t, raft_uv_accept_cb cb)
{
    (void)t, (void)cb;
    return 0;
}

static int peers_connect(struct raft_uv_transport *t, struct raft_uv_connect *req, raft_id id,
                         const char *address, raft_uv_connect_cb cb)
{
    (void)t, (void)req, (void)id, (void)address, (void)cb;
    return RAFT_NOCONNECTION;
}

static void peers_close(struct raft_uv_transport *t, raft_uv_transport_close_cb cb)
{
    cb(t);
}

void tsm_raft_no_peers(struct raft_uv_transport *t)
{
    *t = (struct raft_uv_transport){
        .init = peers_init, .listen = peers_listen, .connect = peers_connect, .close = peers_close};
}

/* ---- the first files ---- */

static int never_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    (void)fsm, (void)buf, (void)result;
    return RAFT_INVALID;
}

static void on_closed(struct raft *r)
{
    (void)r;
}

static int failure(struct tsm_err *err, int rv, const char *dir, const char *cause)
{
    return tsm_err_set(err, rv == RAFT_NOSPACE ? TSM_ENOSPC : TSM_EIO, "%s: %s", dir,
                       *cause ? cause : raft_strerror(rv));
}

static int write_files(const char *dir, uint64_t id, const char *address, struct tsm_err *err)
{
    uv_loop_t loop;
    struct raft_uv_transport transport;
    struct raft_io io = {0};
    struct raft_fsm fsm = {.version = 1, .apply = never_apply};
    struct raft raft = {0};
    struct raft_configuration configuration;
    uv_loop_init(&loop);
    tsm_raft_no_peers(&transport);
    int rv = raft_uv_init(&io, &loop, dir, &transport);
    if (rv != 0) {
        uv_loop_close(&loop);
        return failure(err, rv, dir, "");
    }
    int rc = TSM_OK;
    rv = raft_init(&raft, &io, &fsm, id, address);
    if (rv != 0) {
        rc = failure(err, rv, dir, io.errmsg);
    } else {
        raft_configuration_init(&configuration);
        rv = raft_configuration_add(&configuration, id, address, RAFT_VOTER);
        if (rv == 0)
            rv = raft_bootstrap(&raft, &configuration);
        raft_configuration_close(&configuration);
        if (rv != 0)
            rc = failure(err, rv, dir, io.errmsg);
        raft_close(&raft, on_closed);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    raft_uv_close(&io);
    uv_loop_close(&loop);
    return rc;
}

int tsm_raft_bootstrap(const struct tsm_fs *fs, const char *dir, uint64_t id, const char *address,
                       struct tsm_err *err)
{
    if (tsm_fs_exists(fs, dir))
        return TSM_OK;
    struct tsm_buf temporary = {0};
    tsm_buf_printf(&temporary, "%s.tmp", dir);
    const char *path = tsm_buf_cstr(&temporary);
    int rc = tsm_fs_remove_tree(fs, path, err);
    if (rc == TSM_OK)
        rc = tsm_fs_make_dirs(fs, path, err);
    if (rc == TSM_OK)
        rc = write_files(path, id, address, err);
    if (rc == TSM_OK)
        rc = tsm_fs_sync_dir(fs, path, err);
    if (rc == TSM_OK) {
        int code = fs->rename(fs->ctx, path, dir);
        rc = code ? tsm_err_sys(err, -code, "rename %s to %s", path, dir) : tsm_fs_sync_parent(fs, dir, err);
    }
    tsm_buf_release(&temporary);
    return rc;
}
