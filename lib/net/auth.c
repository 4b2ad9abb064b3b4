/* net/auth.c: who asks: credentials in the URL, basic, Token, JWT; and what the server keeps of meta.db. */
#include <errno.h>
#include <jansson.h>
#include <jwt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <strings.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/time.h"
#include "net/server_impl.h"
#include "query/access.h"

#include "base/banned.h"

/* ---- meta.db ------------------------------------------------------------------------------------- */

void tsm_meta_copy_release(struct tsm_meta_copy *m)
{
    if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    tsm_meta_release(&m->meta);
    tsm_free(m);
}

static struct tsm_meta_copy *kept(struct tsm_server *s, uint64_t version)
{
    struct tsm_meta_copy *m = NULL;
    pthread_mutex_lock(&s->mutex);
    if (s->meta && s->meta->version == version) {
        m = s->meta;
        atomic_fetch_add(&m->refs, 1);
    }
    pthread_mutex_unlock(&s->mutex);
    return m;
}

struct tsm_meta_copy *tsm_server_meta(struct tsm_server *s, struct tsm_err *err)
{
    const struct tsm_service *service = s->service;
    /* Asked before the copy is made: it may be newer than it says, never older. */
    uint64_t version = service->meta_version ? service->meta_version(service->ctx) : 0;
    struct tsm_meta_copy *m = service->meta_version ? kept(s, version) : NULL;
    if (m)
        return m;
    m = tsm_calloc(1, sizeof *m);
    atomic_store(&m->refs, 1);
    m->version = version;
    if (service->backend->meta(service->backend->ctx, &m->meta, err) != TSM_OK) {
        tsm_free(m);
        return NULL;
    }
    if (!service->meta_version)
        return m;
    pthread_mutex_lock(&s->mutex);
    struct tsm_meta_copy *old = s->meta;
    s->meta = m;
    atomic_fetch_add(&m->refs, 1);
    pthread_mutex_unlock(&s->mutex);
    tsm_meta_copy_release(old);
    return m;
}

static const struct tsm_user *find_user(const struct tsm_meta *m, struct tsm_str name)
{
    for (size_t i = 0; i < m->nusers; i++)
        if (tsm_str_eq(m->users[i].name, name))
            return &m->users[i];
    return NULL;
}

/* ---- passwords that were right ------------------------------------------------------------------- */

enum { SALT = 32, DIGEST = 32, CACHE = 1024 };

/*
 * bcrypt takes a good part of a tenth of a second on purpose. What a client sends with every request is therefore compared with
 * a salted SHA-256 of the password that bcrypt found right before, for as long as the user has the same bcrypt hash.
 */
struct cached {
    char *user, *hash; /* NULL: free */
    uint8_t salt[SALT], digest[DIGEST];
};

struct tsm_password_cache {
    pthread_mutex_t mutex;
    struct cached slots[CACHE]; /* by the hash of the user's name; another one's is overwritten */
};

struct tsm_password_cache *tsm_password_cache_new(void)
{
    struct tsm_password_cache *c = tsm_calloc(1, sizeof *c);
    pthread_mutex_init(&c->mutex, NULL);
    return c;
}

void tsm_password_cache_free(struct tsm_password_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < CACHE; i++) {
        tsm_free(c->slots[i].user);
        tsm_free(c->slots[i].hash);
    }
    OPENSSL_cleanse(c->slots, sizeof c->slots);
    pthread_mutex_destroy(&c->mutex);
    tsm_free(c);
}

static bool digest(const uint8_t salt[SALT], struct tsm_str password, uint8_t out[DIGEST])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool done = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && EVP_DigestUpdate(ctx, salt, SALT) &&
                EVP_DigestUpdate(ctx, password.p, password.n) && EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
    return done;
}

static bool is_cached(struct tsm_password_cache *c, const struct tsm_user *u, struct tsm_str password)
{
    struct cached *slot = &c->slots[tsm_hash(u->name) % CACHE];
    uint8_t salt[SALT], right[DIGEST], given[DIGEST];
    pthread_mutex_lock(&c->mutex);
    bool known = slot->user && tsm_str_eq(tsm_str_of(slot->user), u->name) &&
                 tsm_str_eq(tsm_str_of(slot->hash), u->hash);
    if (known) {
        memcpy(salt, slot->salt, SALT);
        memcpy(right, slot->digest, DIGEST);
    }
    pthread_mutex_unlock(&c->mutex);
    return known && digest(salt, password, given) && CRYPTO_memcmp(right, given, DIGEST) == 0;
}

static void remember(struct tsm_password_cache *c, const struct tsm_user *u, struct tsm_str password)
{
    struct cached new = {0}, *slot = &c->slots[tsm_hash(u->name) % CACHE], old;
    if (getrandom(new.salt, SALT, 0) != SALT || !digest(new.salt, password, new.digest))
        return;
    new.user = tsm_strndup(u->name.p, u->name.n);
    new.hash = tsm_strndup(u->hash.p, u->hash.n);
    pthread_mutex_lock(&c->mutex);
    old = *slot;
    *slot = new;
    pthread_mutex_unlock(&c->mutex);
    tsm_free(old.user);
    tsm_free(old.hash);
}

/* ---- credentials --------------------------------------------------------------------------------- */

struct credentials {
    struct tsm_str user, password, token;
    bool bearer;
};

/* base64, also the URL's alphabet; padding is optional. False: it is none. */
static bool decode_base64(struct tsm_str s, struct tsm_arena *a, struct tsm_str *out)
{
    uint32_t bits = 0;
    unsigned have = 0;
    char *w = tsm_arena_bytes(a, s.n + 1);
    size_t n = 0;
    while (s.n && s.p[s.n - 1] == '=')
        s.n--;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                : c >= 'a' && c <= 'z' ? c - 'a' + 26
                : c >= '0' && c <= '9' ? c - '0' + 52
                : c == '+' || c == '-' ? 62
                : c == '/' || c == '_' ? 63
                                       : -1;
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            w[n++] = (char)(bits >> have);
        }
    }
    w[n] = '\0';
    *out = tsm_str(w, n);
    return true;
}

static bool split_password(struct tsm_str s, struct credentials *c)
{
    const char *colon = s.n ? memchr(s.p, ':', s.n) : NULL;
    if (!colon)
        return false;
    c->user = tsm_str(s.p, (size_t)(colon - s.p));
    c->password = tsm_str(colon + 1, s.n - c->user.n - 1);
    return true;
}

static bool read_credentials(struct tsm_request *r, struct credentials *c)
{
    struct tsm_str h = r->authorization, decoded;
    while (h.n && (h.p[h.n - 1] == ' ' || h.p[h.n - 1] == '\t'))
        h.n--;
    *c = (struct credentials){.user = tsm_parameter(&r->url, TSM_STR("u")),
                              .password = tsm_parameter(&r->url, TSM_STR("p"))};
    if (c->user.n && c->password.n)
        return true;
    const char *space = h.n ? memchr(h.p, ' ', h.n) : NULL;
    if (!space)
        return false;
    struct tsm_str scheme = tsm_str(h.p, (size_t)(space - h.p)),
                   rest = tsm_str(space + 1, h.n - scheme.n - 1);
    if (!memchr(rest.p, ' ', rest.n)) {
        if (tsm_str_eq(scheme, TSM_STR("Bearer"))) {
            c->bearer = true;
            c->token = rest;
            return true;
        }
        if (tsm_str_eq(scheme, TSM_STR("Token")) && split_password(rest, c))
            return true;
    }
    return scheme.n == 5 && strncasecmp(scheme.p, "Basic", 5) == 0 &&
           decode_base64(rest, &r->arena, &decoded) && split_password(decoded, c);
}

static bool refuse(struct tsm_request *r, const char *text)
{
    TSM_COUNT(r, auth_failures, 1);
    tsm_request_error(r, MHD_HTTP_UNAUTHORIZED, "%s", text);
    return false;
}

/* ---- JWT ----------------------------------------------------------------------------------------- */

/* The part of a token as JSON; NULL: it is none. */
static json_t *token_part(struct tsm_request *r, struct tsm_str part)
{
    struct tsm_str text;
    return decode_base64(part, &r->arena, &text) ? json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL)
                                                 : NULL;
}

/* The three parts between the dots. */
static bool split_token(struct tsm_str token, struct tsm_str parts[3])
{
    for (int i = 0; i < 3; i++) {
        const char *dot = token.n ? memchr(token.p, '.', token.n) : NULL;
        if ((dot != NULL) != (i < 2))
            return false;
        size_t n = dot ? (size_t)(dot - token.p) : token.n;
        parts[i] = tsm_str(token.p, n);
        token = dot ? tsm_str(dot + 1, token.n - n - 1) : tsm_str("", 0);
    }
    return true;
}

/* A time of the claims; false: it has none, or 0, which the library takes for none. */
static bool claim_time(const json_t *claims, const char *name, double *t)
{
    const json_t *v = json_object_get(claims, name);
    *t = json_is_number(v) ? json_number_value(v) : 0;
    return *t != 0;
}

/* In the words of the library that influxd uses; NULL: the signature and the times are right. */
static const char *check_token(struct tsm_request *r, struct tsm_str token, const json_t *header,
                               const json_t *claims)
{
    const char *secret = r->settings->opt.jwt_secret;
    const char *alg = json_string_value(json_object_get(header, "alg"));
    double t, now = (double)(r->wall / TSM_SEC);
    jwt_t *jwt = NULL;
    if (!alg || strncmp(alg, "HS", 2) != 0)
        return tsm_arena_printf(&r->arena, "unexpected signing method: %.100s", alg ? alg : "<nil>");
    char *text = tsm_strndup(token.p, token.n);
    int rc = jwt_decode(&jwt, text, (const unsigned char *)secret, (int)strlen(secret));
    tsm_free(text);
    if (rc == 0)
        jwt_free(jwt);
    if (rc != 0)
        return "signature is invalid";
    if (claim_time(claims, "exp", &t) && now > t)
        return "Token is expired";
    if (claim_time(claims, "iat", &t) && now < t)
        return "Token used before issued";
    if (claim_time(claims, "nbf", &t) && now < t)
        return "Token is not valid yet";
    return NULL;
}

static const char *check_claims(struct tsm_request *r, const json_t *claims)
{
    double exp;
    const json_t *name = json_object_get(claims, "username");
    if (!claim_time(claims, "exp", &exp) || exp <= 0)
        return "token expiration required";
    if (!json_is_string(name))
        return "username in token must be a string";
    if (json_string_length(name) == 0)
        return "token must contain a username";
    r->user = tsm_arena_str(&r->arena, tsm_str(json_string_value(name), json_string_length(name)));
    if (find_user(&r->meta->meta, r->user))
        return NULL;
    r->user = tsm_str("", 0);
    return "user not found";
}

static bool authenticate_token(struct tsm_request *r, struct tsm_str token)
{
    struct tsm_str parts[3];
    if (!r->settings->opt.jwt_secret || !*r->settings->opt.jwt_secret)
        return refuse(r, "bearer auth disabled");
    if (token.n > 8192 || !split_token(token, parts))
        return refuse(r, "token contains an invalid number of segments");
    json_t *header = token_part(r, parts[0]), *claims = token_part(r, parts[1]);
    const char *wrong = "invalid token";
    if (json_is_object(header) && json_is_object(claims)) {
        wrong = check_token(r, token, header, claims);
        if (!wrong)
            wrong = check_claims(r, claims);
    }
    bool right = !wrong || refuse(r, wrong);
    json_decref(header);
    json_decref(claims);
    return right;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

static bool needs_login(const struct tsm_request *r)
{
    const struct tsm_server_options *opt = &r->settings->opt;
    if (!opt->auth_enabled || r->local)
        return false;
    return r->route->auth || (r->route->auth_option == TSM_AUTH_PING && opt->ping_auth) ||
           (r->route->auth_option == TSM_AUTH_METRICS && opt->metrics_auth);
}

bool tsm_request_authenticate(struct tsm_request *r, bool *slow)
{
    struct credentials c;
    struct tsm_err err = {0};
    if (!needs_login(r))
        return true;
    if (!r->meta)
        r->meta = tsm_server_meta(r->server, &err);
    if (!r->meta) {
        tsm_request_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "%s", err.msg);
        return false;
    }
    if (!tsm_access_has_admin(&r->meta->meta)) /* so that the first one can be created */
        return true;
    if (!read_credentials(r, &c))
        return refuse(r, "unable to parse authentication credentials");
    if (c.bearer)
        return authenticate_token(r, c.token);
    if (!c.user.n)
        return refuse(r, "username required");
    const struct tsm_user *u = find_user(&r->meta->meta, c.user);
    if (!u)
        return refuse(r, "authorization failed");
    if (!is_cached(r->server->passwords, u, c.password)) {
        if (slow) {
            *slow = true;
            return false;
        }
        if (!tsm_password_check(c.password, u->hash))
            return refuse(r, "authorization failed");
        remember(r->server->passwords, u, c.password);
    }
    r->user = tsm_arena_str(&r->arena, c.user);
    return true;
}
