/* query_cases.h: files of queries and answers (tests/unit/cases), and asking a query. */
#ifndef QUERY_CASES_H
#define QUERY_CASES_H

#include "base/buf.h"
#include "query/query.h"

struct query_case {
    struct tsm_str query, answer;
};

struct query_cases {
    struct tsm_buf text; /* the file */
    struct query_case *items;
    size_t n, cap;
};

/* Ends the program when the file cannot be read. Lines of %cases and of the sections behind it, in threes. */
void query_cases_load(struct query_cases *c, const char *path);
void query_cases_release(struct query_cases *c);
/* The text of a section: from the line "%name" to the next one that begins with '%'. */
struct tsm_str query_cases_section(const struct query_cases *c, const char *name);

/* The answer in JSON without its line end, or the error of the whole query as influxd's HTTP API gives it; to be freed. */
char *query_answer(const struct tsm_query_options *opt, struct tsm_str query);

/* Writes lines to a policy (empty: the default) of a database in a directory; both are made. */
void query_cases_write(const char *dir, const char *database, const char *rp, struct tsm_str lines);

#endif
