/*
 * format/meta_db.h: meta/meta.db, InfluxDB's protobuf message meta.Data: databases, retention policies, shard
 * groups, users. Fields that tsmkit does not know are kept and written back. Source: influxdb v1.8
 * services/meta/internal/meta.proto and services/meta/data.go.
 *
 * The format has no checksum: a flipped bit may move a shard group in time or rename a database. So a file
 * that tsmkit wrote begins with a seal, a field of Data that InfluxDB does not know, skips, and leaves out
 * when it writes the file anew:
 *
 *   field TSM_META_SEAL, fixed64: the XXH3-64 of everything behind it
 *
 * As no bit of what comes first may turn the sealed file into one without a seal, the fields of the latter
 * must be in the order in which InfluxDB writes them: its first byte is the tag of Term. A file that begins
 * with neither is damaged.
 */
#ifndef TSM_FORMAT_META_DB_H
#define TSM_FORMAT_META_DB_H

#include "base/arena.h"
#include "base/buf.h"
#include "sys/fs.h"

struct tsm_shard_group {
    uint64_t id;
    int64_t start, end;   /* nanoseconds, [start, end) */
    int64_t deleted_at;   /* 0: live */
    int64_t truncated_at; /* 0: not truncated */
    uint64_t *shards;     /* one on a single node */
    size_t nshards;
    struct tsm_str *shard_bytes; /* each shard's message as read; p NULL for a new one */
    struct tsm_str unknown;      /* encoded fields that we do not know; likewise below */
};

struct tsm_subscription {
    struct tsm_str name, mode; /* "ALL" or "ANY" */
    struct tsm_str *destinations;
    size_t ndestinations;
    struct tsm_str unknown;
};

struct tsm_rp {
    struct tsm_str name;
    int64_t duration;             /* 0: infinite */
    int64_t shard_group_duration; /* > 0 */
    uint32_t replica_n;
    struct tsm_shard_group *groups; /* ascending by end (or truncation), then start */
    size_t ngroups, capgroups;
    struct tsm_subscription *subscriptions;
    size_t nsubscriptions, capsubscriptions;
    struct tsm_str unknown;
};

struct tsm_continuous {
    struct tsm_str name;
    struct tsm_str query; /* CREATE CONTINUOUS QUERY …, all names of measurements complete */
    struct tsm_str unknown;
};

struct tsm_database {
    struct tsm_str name;
    struct tsm_str default_rp; /* empty: none */
    struct tsm_rp *rps;
    size_t nrps, caprps;
    struct tsm_continuous *continuous;
    size_t ncontinuous, capcontinuous;
    struct tsm_str unknown;
};

struct tsm_privilege {
    struct tsm_str database;
    int32_t privilege; /* influxql: 0 none, 1 read, 2 write, 3 all */
};

struct tsm_user {
    struct tsm_str name;
    struct tsm_str hash; /* bcrypt */
    bool admin;
    struct tsm_privilege *privileges;
    size_t nprivileges, capprivileges;
    struct tsm_str unknown;
};

/* Everything is owned by the arena; arrays grow inside it. A zeroed struct is an empty meta.db. */
struct tsm_meta {
    struct tsm_arena arena;
    uint64_t term, index, cluster_id;
    uint64_t max_node_id;
    uint64_t max_shard_group_id, max_shard_id; /* new ones count on from here */
    struct tsm_database *databases;            /* in the order of their creation, as influxd shows them */
    size_t ndatabases, capdatabases;
    struct tsm_user *users;
    size_t nusers, capusers;
    struct tsm_str unknown;
};

enum { TSM_META_SEAL = 0x54534D }; /* "TSM" */

/* The content of a file, with or without a seal; TSM_ECORRUPT names offset and cause. */
int tsm_meta_decode(const uint8_t *p, size_t len, struct tsm_meta *m, struct tsm_err *err);
/* The message without a seal: what influxd would write. */
void tsm_meta_encode(const struct tsm_meta *m, struct tsm_buf *out);
/* Adds the content of a file: seal and message. */
void tsm_meta_encode_sealed(const struct tsm_meta *m, struct tsm_buf *out);
/* DIR/meta/meta.db. A missing file gives what influxd starts with: no databases, a random cluster id; unless
 * there are databases in DIR/data, as shards that are numbered anew would be mixed with those. On failure *m
 * is empty. */
int tsm_meta_load(const struct tsm_fs *fs, const char *dir, struct tsm_meta *m, struct tsm_err *err);
/* Counts the index up, seals the file and installs it atomically, making DIR/meta when it is missing. */
int tsm_meta_save(const struct tsm_fs *fs, const char *dir, struct tsm_meta *m, struct tsm_err *err);
void tsm_meta_release(struct tsm_meta *m);

struct tsm_database *tsm_meta_database(const struct tsm_meta *m, struct tsm_str name); /* NULL: none */
/* name empty: the default policy. NULL: none. */
struct tsm_rp *tsm_meta_rp(const struct tsm_database *db, struct tsm_str name);

/* Changes in memory; tsm_meta_save() makes them durable. Errors (TSM_EQUERY) carry influxd's texts, and leave
 * *m as it was. Pointers into *m's arrays may move. */
struct tsm_rp_spec {
    struct tsm_str name;
    const int64_t *duration, *shard_group_duration; /* NULL: not given */
    const uint32_t *replica_n;
    bool make_default;
};
/* Idempotent as in influxd: an existing database is success, as long as rp (when given) is its default
 * policy. rp NULL: autogen with infinite duration and 7-day shards. In rp an empty name means autogen; the
 * policy becomes the default whatever make_default says. */
int tsm_meta_create_database(struct tsm_meta *m, struct tsm_str name, const struct tsm_rp_spec *rp,
                             struct tsm_err *err);
int tsm_meta_drop_database(struct tsm_meta *m,
                           struct tsm_str name); /* TSM_ENOTFOUND, which influxd passes over */
int tsm_meta_create_rp(struct tsm_meta *m, struct tsm_str db, const struct tsm_rp_spec *rp,
                       struct tsm_err *err);
int tsm_meta_alter_rp(struct tsm_meta *m, struct tsm_str db, const struct tsm_rp_spec *rp,
                      struct tsm_err *err);
int tsm_meta_drop_rp(struct tsm_meta *m, struct tsm_str db, struct tsm_str name); /* likewise */

/* Where a shard is: false for an unknown one. */
bool tsm_meta_find_shard(const struct tsm_meta *m, uint64_t shard, struct tsm_database **db,
                         struct tsm_rp **rp, struct tsm_shard_group **group);
/* Takes a shard out of its group, which is deleted at `now` when it was the last one. TSM_ENOTFOUND for an unknown one. */
int tsm_meta_drop_shard(struct tsm_meta *m, uint64_t shard, int64_t now);

/* ---- users, continuous queries, subscriptions: meta_admin.c ---- */

struct tsm_user *tsm_meta_user(const struct tsm_meta *m, struct tsm_str name); /* NULL: none */
bool tsm_meta_has_admin(const struct tsm_meta *m);
/* What the user was given on a database. 0: nothing. */
int32_t tsm_user_privilege(const struct tsm_user *u, struct tsm_str database);
/* A user that exists is success when hash and admin are the same. */
int tsm_meta_create_user(struct tsm_meta *m, struct tsm_str name, struct tsm_str hash, bool admin,
                         struct tsm_err *err);
int tsm_meta_drop_user(struct tsm_meta *m, struct tsm_str name, struct tsm_err *err);
int tsm_meta_set_password(struct tsm_meta *m, struct tsm_str name, struct tsm_str hash, struct tsm_err *err);
int tsm_meta_set_admin(struct tsm_meta *m, struct tsm_str name, bool admin, struct tsm_err *err);
/* Also 0: influxd keeps what was revoked as such. */
int tsm_meta_set_privilege(struct tsm_meta *m, struct tsm_str user, struct tsm_str database,
                           int32_t privilege, struct tsm_err *err);

/* The same query again, in any case of letters, is success. */
int tsm_meta_create_continuous(struct tsm_meta *m, struct tsm_str database, struct tsm_str name,
                               struct tsm_str query, struct tsm_err *err);
/* TSM_ENOTFOUND, which influxd passes over. */
int tsm_meta_drop_continuous(struct tsm_meta *m, struct tsm_str database, struct tsm_str name);

int tsm_meta_create_subscription(struct tsm_meta *m, struct tsm_str database, struct tsm_str rp,
                                 const struct tsm_subscription *s, struct tsm_err *err);
int tsm_meta_drop_subscription(struct tsm_meta *m, struct tsm_str database, struct tsm_str rp,
                               struct tsm_str name, struct tsm_err *err);

/* ---- shard groups ---- */

/* The live shard group of t, or NULL. */
struct tsm_shard_group *tsm_rp_group_at(const struct tsm_rp *rp, int64_t t);
/* Creates the group for t (with one shard) when there is none; *created tells. */
struct tsm_shard_group *tsm_meta_group_for(struct tsm_meta *m, struct tsm_rp *rp, int64_t t, bool *created);

#endif
