/* cli/list_json.h: lists (cli/rowset.h) as one JSON object: "name": [objects], or an object for a list that
 * is the only one of its kind and has one row. Times are RFC 3339. */
#ifndef TSM_CLI_LIST_JSON_H
#define TSM_CLI_LIST_JSON_H

#include "cli/output.h"
#include "query/sink.h"

struct tsm_sink *tsm_list_json_new(struct tsm_output *out);        /* borrows out */
int tsm_list_json_finish(struct tsm_sink *s, struct tsm_err *err); /* ends the document and frees */
void tsm_list_json_free(struct tsm_sink *s);                       /* without ending it */

#endif
