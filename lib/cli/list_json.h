/*
 * cli/list_json.h: lists (cli/rowset.h) as one JSON object: "name": [object, …]; a list of just one row by
 * nature may be given as an object instead. Times are RFC 3339.
 */
#ifndef TSM_CLI_LIST_JSON_H
#define TSM_CLI_LIST_JSON_H

#include "result/output.h"
#include "query/sink.h"

/* single: name of the list that is an object, or NULL. The writer borrows out. */
struct tsm_sink *tsm_list_json_new(struct tsm_output *out, const char *single);
int tsm_list_json_finish(struct tsm_sink *s, struct tsm_err *err); /* ends the document and frees */
void tsm_list_json_free(struct tsm_sink *s);                       /* without ending it */

#endif
