/*
 * net/bind.h: the parameters of a query: a JSON object whose members stand for $name in its text. Source: influxql's params.go and
 * influxd's handler.
 */
#ifndef TSM_NET_BIND_H
#define TSM_NET_BIND_H

#include "base/arena.h"
#include "base/err.h"
#include "query/binding.h"

/* Texts are in the arena. TSM_EPARSE with influxd's text when it is no such object; a member that cannot be bound is an error only
 * when the query uses it. */
int tsm_bind_json(struct tsm_str json, struct tsm_bindings *out, struct tsm_arena *a, struct tsm_err *err);

#endif
