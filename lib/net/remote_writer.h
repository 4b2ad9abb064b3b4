/*
 * net/remote_writer.h: points into a server: each batch is one POST of /write, sent again until the server has acknowledged it. Every
 * point has a time of its own by then, so that a batch that arrives twice is stored once.
 *
 * A server says how many points of a batch it has not stored, not which: such a batch is sent again in halves until those are
 * alone, and they are rejected with the server's text. Database and policy are made when the server does not know them, as
 * tsm-ingest makes them in a directory.
 */
#ifndef TSM_NET_REMOTE_WRITER_H
#define TSM_NET_REMOTE_WRITER_H

#include "net/client.h"
#include "store/load.h"

struct tsm_remote_writer;

/* The names and the client are borrowed. c NULL: nothing is sent, all is taken for stored (a dry run). */
struct tsm_remote_writer *tsm_remote_writer_new(struct tsm_client *c, struct tsm_str database,
                                                struct tsm_str rp);
void tsm_remote_writer_free(struct tsm_remote_writer *w); /* NULL is allowed */

/* What is written is durable when write() has returned. TSM_EAGAIN: the server has not taken a batch for as long as the client is
 * patient; TSM_EACCESS, TSM_EQUERY with the server's text; TSM_ESTOP. */
struct tsm_load_target tsm_load_into_server(struct tsm_remote_writer *w);

#endif
