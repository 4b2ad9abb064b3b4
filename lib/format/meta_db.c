/*
 * format/meta_db.c: meta.db to memory and back.
 *
 * Decoding copies the message into the arena once; all texts point into that copy. Encoding writes the fields
 * in the order of their numbers, with the unknown ones last, so that a file of influxd's comes back byte for
 * byte.
 */
#include "format/meta_db.h"

#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/protobuf.h"
#include "base/time.h"
#include "format/meta_rules.h"
#include "base/banned.h"

enum {
    DATA_TERM = 1,
    DATA_INDEX = 2,
    DATA_CLUSTER = 3,
    DATA_DATABASE = 5,
    DATA_USER = 6,
    DATA_MAX_NODE = 7,
    DATA_MAX_GROUP = 8,
    DATA_MAX_SHARD = 9,

    DATABASE_NAME = 1,
    DATABASE_DEFAULT = 2,
    DATABASE_RP = 3,
    DATABASE_CONTINUOUS = 4,

    RP_NAME = 1,
    RP_DURATION = 2,
    RP_GROUP_DURATION = 3,
    RP_REPLICAS = 4,
    RP_GROUP = 5,
    RP_SUBSCRIPTION = 6,

    SUBSCRIPTION_NAME = 1,
    SUBSCRIPTION_MODE = 2,
    SUBSCRIPTION_DESTINATION = 3,

    CONTINUOUS_NAME = 1,
    CONTINUOUS_QUERY = 2,

    GROUP_ID = 1,
    GROUP_START = 2,
    GROUP_END = 3,
    GROUP_DELETED = 4,
    GROUP_SHARD = 5,
    GROUP_TRUNCATED = 6,

    SHARD_ID = 1,

    USER_NAME = 1,
    USER_HASH = 2,
    USER_ADMIN = 3,
    USER_PRIVILEGE = 4,

    PRIVILEGE_DATABASE = 1,
    PRIVILEGE_VALUE = 2,
};

enum { MAX_FILE = 64 << 20 };

/* ---- decoding ---------------------------------------------------------------------------------- */

struct decoder {
    struct tsm_meta *m;
    const uint8_t *base; /* start of the file's copy, for offsets in messages */
    struct tsm_err *err;
};

/* One message being decoded: its fields so far. */
struct message {
    struct decoder *d;
    const char *name;
    struct tsm_pb_reader r;
    struct tsm_pb_field f;
    uint32_t seen;          /* bit of each field number */
    struct tsm_buf unknown; /* fields without a place, as they came */
};

static int corrupt(struct decoder *d, const void *at, const char *what, const char *cause)
{
    return tsm_err_set(d->err, TSM_ECORRUPT, "offset %td: %s %s", (const uint8_t *)at - d->base, what, cause);
}

static struct message message(struct decoder *d, const char *name, struct tsm_str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    return (struct message){.d = d, .name = name, .r = {p, p + bytes.n}};
}

/*
 * The next field into m->f: 1; 0 at the end; an error code when malformed. Of what follows, `varints` and
 * `bytes` have the bits of the fields that the caller knows as such; others go to m->unknown.
 */
static int next_field(struct message *m, uint32_t varints, uint32_t bytes)
{
    for (;;) {
        const uint8_t *at = m->r.p;
        int rc = tsm_pb_next(&m->r, &m->f);
        if (rc < 0)
            return corrupt(m->d, at, m->name, "is malformed");
        if (rc == 0)
            return 0;
        uint32_t bit = m->f.number < 32 ? 1u << m->f.number : 0;
        if ((varints | bytes) & bit) {
            if (m->f.wire != (varints & bit ? TSM_PB_VARINT : TSM_PB_BYTES))
                return corrupt(m->d, at, m->name, "has a field of the wrong type");
            m->seen |= bit;
            return 1;
        }
        if (m->f.number != TSM_META_SEAL) /* one that a stranger has kept fits no more */
            tsm_buf_str(&m->unknown, m->f.raw);
    }
}

/* Ends a message: all `required` fields must have been there; the unknown ones go to *unknown. */
static int end_message(struct message *m, int rc, uint32_t required, struct tsm_str *unknown)
{
    if (rc == 0 && (m->seen & required) != required)
        rc = corrupt(m->d, m->r.p, m->name, "lacks a field");
    if (rc == 0 && unknown)
        *unknown = m->unknown.len ? tsm_arena_str(&m->d->m->arena, tsm_buf_view(&m->unknown))
                                  : (struct tsm_str){0};
    tsm_buf_release(&m->unknown);
    return rc;
}

#define BIT(number) (1u << (number))

static int decode_shard(struct decoder *d, struct tsm_str bytes, uint64_t *id)
{
    struct message m = message(d, "shard", bytes);
    int rc;
    *id = 0;
    while ((rc = next_field(&m, BIT(SHARD_ID), 0)) > 0)
        *id = m.f.value;
    if (rc == 0 && *id > INT64_MAX)
        rc = corrupt(d, bytes.p, "shard", "has an id out of range");
    rc = end_message(&m, rc, BIT(SHARD_ID), NULL);
    if (rc == 0 && *id > d->m->max_shard_id)
        d->m->max_shard_id = *id;
    return rc;
}

static int decode_group(struct decoder *d, struct tsm_str bytes, struct tsm_shard_group *g)
{
    struct message m = message(d, "shard group", bytes);
    struct tsm_arena *a = &d->m->arena;
    size_t cap = 0, cap_bytes = 0;
    int rc;
    const uint32_t times = BIT(GROUP_START) | BIT(GROUP_END) | BIT(GROUP_DELETED);
    while ((rc = next_field(&m, BIT(GROUP_ID) | times | BIT(GROUP_TRUNCATED), BIT(GROUP_SHARD))) > 0) {
        int64_t v = (int64_t)m.f.value;
        switch (m.f.number) {
        case GROUP_ID:
            g->id = m.f.value;
            break;
        case GROUP_START:
            g->start = v;
            break;
        case GROUP_END:
            g->end = v;
            break;
        case GROUP_DELETED:
            g->deleted_at = v;
            break;
        case GROUP_TRUNCATED:
            g->truncated_at = v;
            break;
        case GROUP_SHARD:
            TSM_META_ROOM(a, g->shards, g->nshards, cap);
            TSM_META_ROOM(a, g->shard_bytes, g->nshards, cap_bytes);
            g->shard_bytes[g->nshards] = m.f.bytes;
            rc = decode_shard(d, m.f.bytes, &g->shards[g->nshards++]);
            break;
        }
        if (rc < 0)
            break;
    }
    if (rc == 0 && g->id > INT64_MAX)
        rc = corrupt(d, bytes.p, "shard group", "has an id out of range");
    /* What begins before 1677 influxd writes wrapped around to the end of time. */
    if (g->start > g->end && g->end < 0)
        g->start = INT64_MIN;
    rc = end_message(&m, rc, BIT(GROUP_ID) | times, &g->unknown);
    if (rc == 0 && g->id > d->m->max_shard_group_id)
        d->m->max_shard_group_id = g->id;
    return rc;
}

static int decode_subscription(struct decoder *d, struct tsm_str bytes, struct tsm_subscription *s)
{
    struct message m = message(d, "subscription", bytes);
    size_t cap = 0;
    int rc;
    const uint32_t required = BIT(SUBSCRIPTION_NAME) | BIT(SUBSCRIPTION_MODE);
    while ((rc = next_field(&m, 0, required | BIT(SUBSCRIPTION_DESTINATION))) > 0) {
        switch (m.f.number) {
        case SUBSCRIPTION_NAME:
            s->name = m.f.bytes;
            break;
        case SUBSCRIPTION_MODE:
            s->mode = m.f.bytes;
            break;
        case SUBSCRIPTION_DESTINATION:
            TSM_META_ROOM(&d->m->arena, s->destinations, s->ndestinations, cap);
            s->destinations[s->ndestinations++] = m.f.bytes;
            break;
        }
    }
    return end_message(&m, rc, required, &s->unknown);
}

static int decode_rp(struct decoder *d, struct tsm_str bytes, struct tsm_rp *rp)
{
    struct message m = message(d, "retention policy", bytes);
    int rc;
    const uint32_t varints = BIT(RP_DURATION) | BIT(RP_GROUP_DURATION) | BIT(RP_REPLICAS);
    while ((rc = next_field(&m, varints, BIT(RP_NAME) | BIT(RP_GROUP) | BIT(RP_SUBSCRIPTION))) > 0) {
        switch (m.f.number) {
        case RP_NAME:
            rp->name = m.f.bytes;
            break;
        case RP_DURATION:
            rp->duration = (int64_t)m.f.value;
            break;
        case RP_GROUP_DURATION:
            rp->shard_group_duration = (int64_t)m.f.value;
            break;
        case RP_REPLICAS:
            rp->replica_n = (uint32_t)m.f.value;
            break;
        case RP_GROUP:
            TSM_META_ROOM(&d->m->arena, rp->groups, rp->ngroups, rp->capgroups);
            rp->groups[rp->ngroups] = (struct tsm_shard_group){0};
            rc = decode_group(d, m.f.bytes, &rp->groups[rp->ngroups++]);
            break;
        case RP_SUBSCRIPTION:
            TSM_META_ROOM(&d->m->arena, rp->subscriptions, rp->nsubscriptions, rp->capsubscriptions);
            rp->subscriptions[rp->nsubscriptions] = (struct tsm_subscription){0};
            rc = decode_subscription(d, m.f.bytes, &rp->subscriptions[rp->nsubscriptions++]);
            break;
        }
        if (rc < 0)
            break;
    }
    rc = end_message(&m, rc, varints | BIT(RP_NAME), &rp->unknown);
    if (rc)
        return rc;
    if (!tsm_meta_name_is_path(rp->name))
        return corrupt(d, bytes.p, "retention policy", "has a name that cannot be a folder's");
    if (rp->duration < 0 || rp->shard_group_duration < 0)
        return corrupt(d, bytes.p, "retention policy", "has a negative duration");
    if (rp->shard_group_duration == 0)
        rp->shard_group_duration = tsm_meta_shard_duration(0, rp->duration);
    return TSM_OK;
}

static int decode_continuous(struct decoder *d, struct tsm_str bytes, struct tsm_continuous *c)
{
    struct message m = message(d, "continuous query", bytes);
    int rc;
    while ((rc = next_field(&m, 0, BIT(CONTINUOUS_NAME) | BIT(CONTINUOUS_QUERY))) > 0) {
        if (m.f.number == CONTINUOUS_NAME)
            c->name = m.f.bytes;
        else
            c->query = m.f.bytes;
    }
    return end_message(&m, rc, BIT(CONTINUOUS_NAME) | BIT(CONTINUOUS_QUERY), &c->unknown);
}

static int decode_database(struct decoder *d, struct tsm_str bytes, struct tsm_database *db)
{
    struct message m = message(d, "database", bytes);
    int rc;
    const uint32_t required = BIT(DATABASE_NAME) | BIT(DATABASE_DEFAULT);
    while ((rc = next_field(&m, 0, required | BIT(DATABASE_RP) | BIT(DATABASE_CONTINUOUS))) > 0) {
        switch (m.f.number) {
        case DATABASE_NAME:
            db->name = m.f.bytes;
            break;
        case DATABASE_DEFAULT:
            db->default_rp = m.f.bytes;
            break;
        case DATABASE_RP:
            TSM_META_ROOM(&d->m->arena, db->rps, db->nrps, db->caprps);
            db->rps[db->nrps] = (struct tsm_rp){0};
            rc = decode_rp(d, m.f.bytes, &db->rps[db->nrps++]);
            break;
        case DATABASE_CONTINUOUS:
            TSM_META_ROOM(&d->m->arena, db->continuous, db->ncontinuous, db->capcontinuous);
            db->continuous[db->ncontinuous] = (struct tsm_continuous){0};
            rc = decode_continuous(d, m.f.bytes, &db->continuous[db->ncontinuous++]);
            break;
        }
        if (rc < 0)
            break;
    }
    rc = end_message(&m, rc, required, &db->unknown);
    if (rc == 0 && !tsm_meta_name_is_path(db->name))
        rc = corrupt(d, bytes.p, "database", "has a name that cannot be a folder's");
    return rc;
}

static int decode_privilege(struct decoder *d, struct tsm_str bytes, struct tsm_privilege *p)
{
    struct message m = message(d, "privilege", bytes);
    int rc;
    while ((rc = next_field(&m, BIT(PRIVILEGE_VALUE), BIT(PRIVILEGE_DATABASE))) > 0) {
        if (m.f.number == PRIVILEGE_DATABASE)
            p->database = m.f.bytes;
        else
            p->privilege = (int32_t)m.f.value;
    }
    return end_message(&m, rc, BIT(PRIVILEGE_DATABASE) | BIT(PRIVILEGE_VALUE), NULL);
}

static int decode_user(struct decoder *d, struct tsm_str bytes, struct tsm_user *u)
{
    struct message m = message(d, "user", bytes);
    int rc;
    while ((rc = next_field(&m, BIT(USER_ADMIN), BIT(USER_NAME) | BIT(USER_HASH) | BIT(USER_PRIVILEGE))) >
           0) {
        switch (m.f.number) {
        case USER_NAME:
            u->name = m.f.bytes;
            break;
        case USER_HASH:
            u->hash = m.f.bytes;
            break;
        case USER_ADMIN:
            u->admin = m.f.value != 0;
            break;
        case USER_PRIVILEGE:
            TSM_META_ROOM(&d->m->arena, u->privileges, u->nprivileges, u->capprivileges);
            u->privileges[u->nprivileges] = (struct tsm_privilege){0};
            rc = decode_privilege(d, m.f.bytes, &u->privileges[u->nprivileges++]);
            break;
        }
        if (rc < 0)
            break;
    }
    return end_message(&m, rc, BIT(USER_NAME) | BIT(USER_HASH) | BIT(USER_ADMIN), &u->unknown);
}

/* Sets a scalar of the whole. The highest ids seen in groups and shards count as well, so that a new one
 * never meets an old folder. */
static int decode_scalar(struct decoder *d, const struct tsm_pb_field *f)
{
    struct tsm_meta *m = d->m;
    switch (f->number) {
    case DATA_TERM:
        m->term = f->value;
        break;
    case DATA_INDEX:
        m->index = f->value;
        break;
    case DATA_CLUSTER:
        m->cluster_id = f->value;
        break;
    case DATA_MAX_NODE:
        m->max_node_id = f->value;
        break;
    case DATA_MAX_GROUP:
    case DATA_MAX_SHARD:
        if (f->value > INT64_MAX)
            return corrupt(d, f->raw.p, "file", "has an id out of range");
        uint64_t *max = f->number == DATA_MAX_GROUP ? &m->max_shard_group_id : &m->max_shard_id;
        if (*max < f->value)
            *max = f->value;
        break;
    }
    return 1;
}

static int decode_data(struct decoder *d, struct tsm_str bytes)
{
    struct tsm_meta *m = d->m;
    struct message msg = message(d, "file", bytes);
    int rc;
    const uint32_t varints = BIT(DATA_TERM) | BIT(DATA_INDEX) | BIT(DATA_CLUSTER) | BIT(DATA_MAX_NODE) |
                             BIT(DATA_MAX_GROUP) | BIT(DATA_MAX_SHARD);
    while ((rc = next_field(&msg, varints, BIT(DATA_DATABASE) | BIT(DATA_USER))) > 0) {
        switch (msg.f.number) {
        case DATA_DATABASE:
            TSM_META_ROOM(&m->arena, m->databases, m->ndatabases, m->capdatabases);
            m->databases[m->ndatabases] = (struct tsm_database){0};
            rc = decode_database(d, msg.f.bytes, &m->databases[m->ndatabases++]);
            break;
        case DATA_USER:
            TSM_META_ROOM(&m->arena, m->users, m->nusers, m->capusers);
            m->users[m->nusers] = (struct tsm_user){0};
            rc = decode_user(d, msg.f.bytes, &m->users[m->nusers++]);
            break;
        default:
            rc = decode_scalar(d, &msg.f);
            break;
        }
        if (rc < 0)
            break;
    }
    return end_message(&msg, rc, varints, &m->unknown);
}

static void put_seal(struct tsm_str message, struct tsm_buf *out)
{
    tsm_pb_put_fixed64(out, TSM_META_SEAL, XXH3_64bits(message.p, message.n));
}

/* Compares the seal with the message behind it, if there is one. */
static int check_seal(struct decoder *d, struct tsm_str *message)
{
    static const char first_of_influxd = DATA_TERM << 3 | TSM_PB_VARINT;
    struct tsm_str file = *message;
    struct tsm_buf seal = {0};
    if (file.p[0] == first_of_influxd)
        return TSM_OK;
    put_seal(TSM_STR(""), &seal);
    size_t size = seal.len, tag = size - sizeof(uint64_t);
    int rc = TSM_OK;
    if (!tsm_str_starts(file, tsm_str((const char *)seal.data, file.n < tag ? file.n : tag))) {
        rc = corrupt(d, file.p, "file", "begins with neither a seal nor the term");
    } else if (file.n < size) {
        rc = corrupt(d, file.p, "file", "is cut short");
    } else {
        *message = tsm_str(file.p + size, file.n - size);
        tsm_buf_reset(&seal);
        put_seal(*message, &seal);
        if (!tsm_str_starts(file, tsm_buf_view(&seal)))
            rc = corrupt(d, file.p, "file", "does not match its seal");
    }
    tsm_buf_release(&seal);
    return rc;
}

int tsm_meta_decode(const uint8_t *p, size_t len, struct tsm_meta *m, struct tsm_err *err)
{
    *m = (struct tsm_meta){0};
    if (len == 0)
        return tsm_err_set(err, TSM_ECORRUPT, "the file is empty");
    struct tsm_str copy = tsm_arena_str(&m->arena, tsm_str((const char *)p, len));
    struct decoder d = {.m = m, .base = (const uint8_t *)copy.p, .err = err};
    int rc = check_seal(&d, &copy);
    if (rc == TSM_OK)
        rc = decode_data(&d, copy);
    if (rc)
        tsm_meta_release(m);
    return rc;
}

void tsm_meta_release(struct tsm_meta *m)
{
    tsm_arena_release(&m->arena);
    *m = (struct tsm_meta){0};
}

/* ---- encoding ---------------------------------------------------------------------------------- */

static void encode_group(const struct tsm_shard_group *g, struct tsm_buf *out)
{
    struct tsm_buf shard = {0};
    tsm_pb_put_varint(out, GROUP_ID, g->id);
    tsm_pb_put_varint(out, GROUP_START, (uint64_t)g->start);
    tsm_pb_put_varint(out, GROUP_END, (uint64_t)g->end);
    tsm_pb_put_varint(out, GROUP_DELETED, (uint64_t)g->deleted_at);
    for (size_t i = 0; i < g->nshards; i++) {
        if (g->shard_bytes[i].p) {
            tsm_pb_put_bytes(out, GROUP_SHARD, g->shard_bytes[i]);
            continue;
        }
        tsm_buf_reset(&shard);
        tsm_pb_put_varint(&shard, SHARD_ID, g->shards[i]);
        tsm_pb_put_bytes(out, GROUP_SHARD, tsm_buf_view(&shard));
    }
    if (g->truncated_at)
        tsm_pb_put_varint(out, GROUP_TRUNCATED, (uint64_t)g->truncated_at);
    tsm_buf_str(out, g->unknown);
    tsm_buf_release(&shard);
}

static void encode_subscription(const struct tsm_subscription *s, struct tsm_buf *out)
{
    tsm_pb_put_bytes(out, SUBSCRIPTION_NAME, s->name);
    tsm_pb_put_bytes(out, SUBSCRIPTION_MODE, s->mode);
    for (size_t i = 0; i < s->ndestinations; i++)
        tsm_pb_put_bytes(out, SUBSCRIPTION_DESTINATION, s->destinations[i]);
    tsm_buf_str(out, s->unknown);
}

static void encode_rp(const struct tsm_rp *rp, struct tsm_buf *out)
{
    struct tsm_buf part = {0};
    tsm_pb_put_bytes(out, RP_NAME, rp->name);
    tsm_pb_put_varint(out, RP_DURATION, (uint64_t)rp->duration);
    tsm_pb_put_varint(out, RP_GROUP_DURATION, (uint64_t)rp->shard_group_duration);
    tsm_pb_put_varint(out, RP_REPLICAS, rp->replica_n);
    for (size_t i = 0; i < rp->ngroups; i++) {
        tsm_buf_reset(&part);
        encode_group(&rp->groups[i], &part);
        tsm_pb_put_bytes(out, RP_GROUP, tsm_buf_view(&part));
    }
    for (size_t i = 0; i < rp->nsubscriptions; i++) {
        tsm_buf_reset(&part);
        encode_subscription(&rp->subscriptions[i], &part);
        tsm_pb_put_bytes(out, RP_SUBSCRIPTION, tsm_buf_view(&part));
    }
    tsm_buf_str(out, rp->unknown);
    tsm_buf_release(&part);
}

static void encode_database(const struct tsm_database *db, struct tsm_buf *out)
{
    struct tsm_buf part = {0};
    tsm_pb_put_bytes(out, DATABASE_NAME, db->name);
    tsm_pb_put_bytes(out, DATABASE_DEFAULT, db->default_rp);
    for (size_t i = 0; i < db->nrps; i++) {
        tsm_buf_reset(&part);
        encode_rp(&db->rps[i], &part);
        tsm_pb_put_bytes(out, DATABASE_RP, tsm_buf_view(&part));
    }
    for (size_t i = 0; i < db->ncontinuous; i++) {
        tsm_buf_reset(&part);
        tsm_pb_put_bytes(&part, CONTINUOUS_NAME, db->continuous[i].name);
        tsm_pb_put_bytes(&part, CONTINUOUS_QUERY, db->continuous[i].query);
        tsm_buf_str(&part, db->continuous[i].unknown);
        tsm_pb_put_bytes(out, DATABASE_CONTINUOUS, tsm_buf_view(&part));
    }
    tsm_buf_str(out, db->unknown);
    tsm_buf_release(&part);
}

static void encode_user(const struct tsm_user *u, struct tsm_buf *out)
{
    struct tsm_buf privilege = {0};
    tsm_pb_put_bytes(out, USER_NAME, u->name);
    tsm_pb_put_bytes(out, USER_HASH, u->hash);
    tsm_pb_put_varint(out, USER_ADMIN, u->admin);
    for (size_t i = 0; i < u->nprivileges; i++) {
        tsm_buf_reset(&privilege);
        tsm_pb_put_bytes(&privilege, PRIVILEGE_DATABASE, u->privileges[i].database);
        tsm_pb_put_varint(&privilege, PRIVILEGE_VALUE, (uint64_t)(int64_t)u->privileges[i].privilege);
        tsm_pb_put_bytes(out, USER_PRIVILEGE, tsm_buf_view(&privilege));
    }
    tsm_buf_str(out, u->unknown);
    tsm_buf_release(&privilege);
}

void tsm_meta_encode(const struct tsm_meta *m, struct tsm_buf *out)
{
    struct tsm_buf part = {0};
    tsm_pb_put_varint(out, DATA_TERM, m->term);
    tsm_pb_put_varint(out, DATA_INDEX, m->index);
    tsm_pb_put_varint(out, DATA_CLUSTER, m->cluster_id);
    for (size_t i = 0; i < m->ndatabases; i++) {
        tsm_buf_reset(&part);
        encode_database(&m->databases[i], &part);
        tsm_pb_put_bytes(out, DATA_DATABASE, tsm_buf_view(&part));
    }
    for (size_t i = 0; i < m->nusers; i++) {
        tsm_buf_reset(&part);
        encode_user(&m->users[i], &part);
        tsm_pb_put_bytes(out, DATA_USER, tsm_buf_view(&part));
    }
    tsm_pb_put_varint(out, DATA_MAX_NODE, m->max_node_id);
    tsm_pb_put_varint(out, DATA_MAX_GROUP, m->max_shard_group_id);
    tsm_pb_put_varint(out, DATA_MAX_SHARD, m->max_shard_id);
    tsm_buf_str(out, m->unknown);
    tsm_buf_release(&part);
}

void tsm_meta_encode_sealed(const struct tsm_meta *m, struct tsm_buf *out)
{
    struct tsm_buf message = {0};
    tsm_meta_encode(m, &message);
    put_seal(tsm_buf_view(&message), out);
    tsm_buf_str(out, tsm_buf_view(&message));
    tsm_buf_release(&message);
}

/* ---- the file ---------------------------------------------------------------------------------- */

static char *meta_path(const char *dir, const char *tail, struct tsm_buf *b)
{
    tsm_buf_reset(b);
    tsm_buf_printf(b, "%s/meta%s", dir, tail);
    return tsm_buf_cstr(b);
}

/* What influxd has before its first write: index 1 and a cluster id of its own. */
static void start_empty(struct tsm_meta *m)
{
    *m = (struct tsm_meta){.index = 1};
    while (m->cluster_id == 0) {
        if (getrandom(&m->cluster_id, sizeof m->cluster_id, 0) != (ssize_t)sizeof m->cluster_id)
            m->cluster_id = (uint64_t)tsm_now();
        m->cluster_id &= INT64_MAX;
    }
}

/* Whether there is a directory in DIR/data. */
static int has_databases(const struct tsm_fs *fs, const char *dir, bool *has, struct tsm_err *err)
{
    struct tsm_buf path = {0};
    struct tsm_names names;
    tsm_buf_printf(&path, "%s/data", dir);
    size_t base = path.len;
    int rc = tsm_fs_list(fs, tsm_buf_cstr(&path), &names, err);
    *has = false;
    for (size_t i = 0; rc == TSM_OK && i < names.n && !*has; i++) {
        struct tsm_fs_stat st;
        path.len = base;
        tsm_buf_printf(&path, "/%s", names.names[i]);
        *has = fs->stat(fs->ctx, tsm_buf_cstr(&path), &st) == 0 && st.is_dir;
    }
    tsm_buf_release(&path);
    if (rc == TSM_OK)
        tsm_names_release(&names);
    return rc == TSM_ENOTFOUND ? TSM_OK : rc;
}

int tsm_meta_load(const struct tsm_fs *fs, const char *dir, struct tsm_meta *m, struct tsm_err *err)
{
    struct tsm_buf path = {0}, bytes = {0};
    const char *name = meta_path(dir, "/meta.db", &path);
    bool has = false;
    int rc = tsm_fs_read_file(fs, name, MAX_FILE, &bytes, err), found = rc;
    *m = (struct tsm_meta){0};
    if (found == TSM_ENOTFOUND)
        rc = has_databases(fs, dir, &has, err);
    if (has) /* a first writer may have made both meanwhile */
        rc = found = tsm_fs_read_file(fs, name, MAX_FILE, &bytes, err);
    if (found == TSM_OK) {
        rc = tsm_meta_decode(bytes.data, bytes.len, m, err);
        if (rc)
            tsm_err_wrap(err, rc, "%s", name);
    } else if (found == TSM_ELIMIT) {
        rc = tsm_err_set(err, TSM_ECORRUPT, "%s: too large to be a meta.db", name);
    } else if (has && found == TSM_ENOTFOUND) {
        rc = tsm_err_set(err, TSM_ECORRUPT, "%s: missing, although there are databases in %s/data", name,
                         dir);
    } else if (found == TSM_ENOTFOUND && rc == TSM_OK) {
        start_empty(m);
    }
    tsm_buf_release(&bytes);
    tsm_buf_release(&path);
    return rc;
}

int tsm_meta_save(const struct tsm_fs *fs, const char *dir, struct tsm_meta *m, struct tsm_err *err)
{
    struct tsm_buf path = {0}, bytes = {0};
    int rc = tsm_fs_make_dirs(fs, meta_path(dir, "", &path), err);
    if (rc == TSM_OK && !tsm_fs_exists(fs, meta_path(dir, "/meta.db", &path)))
        rc = tsm_fs_sync_way(fs, meta_path(dir, "", &path), err);
    if (rc == TSM_OK) {
        m->index++;
        tsm_meta_encode_sealed(m, &bytes);
        rc = tsm_fs_write_file(fs, meta_path(dir, "/meta.db", &path), tsm_buf_view(&bytes), err);
        if (rc)
            m->index--;
    }
    tsm_buf_release(&bytes);
    tsm_buf_release(&path);
    return rc;
}
