/*
 * net/client.h: a server with InfluxDB's HTTP API, by libcurl: requests, credentials, error texts.
 *
 *   remote_query.c   InfluxQL: the answer drives a sink, as a directory's does
 *   remote_writer.c  points: batches from tsm_load_run(), each acknowledged by the server
 *
 * A server is given as http://[user:password@]host[:port][/prefix], https://…, or unix:PATH for a daemon's socket. One thread
 * at a time.
 */
#ifndef TSM_NET_CLIENT_H
#define TSM_NET_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct tsm_client_options {
    const char *url;
    const char *user, *password; /* NULL: those of the URL, if any */
    bool insecure;               /* https: any certificate */
    const char *ca_file;         /* https: PEM file of the authorities to trust; NULL: the system's */
    const atomic_bool *stop;     /* ends a request that is under way, and waiting; may be NULL */
    int64_t
        patience; /* nanoseconds for which a write is tried again when the server does not answer or is busy */
    void (*warn)(void *ctx, const char *message);
    void *warn_ctx;
};

struct tsm_client;

/* Connects to nothing yet. TSM_EUSAGE: the URL is none. */
int tsm_client_new(const struct tsm_client_options *opt, struct tsm_client **c, struct tsm_err *err);
void tsm_client_free(struct tsm_client *c); /* NULL is allowed */

/* The server as it was given, without a password. */
const char *tsm_client_name(const struct tsm_client *c);

/* Whether the server is a daemon of ours, which is asked at the first call (/ping). TSM_EAGAIN: it does not answer. */
int tsm_client_is_tsmkit(struct tsm_client *c, bool *is, struct tsm_err *err);

/* True when a daemon listens on the socket of this data directory. */
bool tsm_client_daemon_lives(const char *dir, struct tsm_buf *url);

/* ---- for remote_*.c ---- */

struct tsm_client_parameter {
    const char *name;
    struct tsm_str value; /* n 0: left out */
};

struct tsm_client_request {
    const char *path; /* "/write" */
    const struct tsm_client_parameter *parameters;
    size_t nparameters;
    bool form; /* parameters go into the body of a POST, not into the URL */
    struct tsm_str body;
    const char *accept; /* or NULL */
    /* Takes the body of an answer with status 2xx, piece by piece; an error ends the request and is returned. */
    int (*take)(void *ctx, const char *content_type, const uint8_t *p, size_t n, struct tsm_err *err);
    void *ctx;
    bool get;
};

/* *status is the answer's; of one other than 2xx the error text is in *text (the member "error" of its JSON, or its beginning). TSM_EAGAIN when
 * the server cannot be reached or the connection breaks. */
int tsm_client_do(struct tsm_client *c, const struct tsm_client_request *r, long *status,
                  struct tsm_buf *text, struct tsm_err *err);
const struct tsm_client_options *tsm_client_settings(const struct tsm_client *c);
/* Seconds that the last answer asked to wait (Retry-After); 0: it did not. */
unsigned tsm_client_retry_after(const struct tsm_client *c);

#endif
