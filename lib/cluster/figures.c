/* cluster/figures.c: the figures of a data node, as Prometheus, /debug/vars and SHOW STATS want them. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "cluster/data_node_impl.h"
#include "query/process_stats.h"
#include "base/banned.h"

/* A figure, by the names that it has in both forms. */
struct figure {
    const char *group, *name, *kind, *help;
    uint64_t value;
};

enum { FIGURES = 26 };

static size_t collect(struct tsm_data_node *n, struct figure *f)
{
    struct tsm_raft_stats raft;
    struct tsm_engine_stats engine;
    tsm_raft_stats(n->raft, &raft);
    pthread_mutex_lock(&n->mutex);
    engine = n->stats;
    pthread_mutex_unlock(&n->mutex);
    pthread_mutex_lock(&n->flow);
    uint64_t pending = n->pending;
    pthread_mutex_unlock(&n->flow);
    size_t i = 0;
#define FIGURE(group, name, kind, help, value) f[i++] = (struct figure){group, name, kind, help, value}
    FIGURE("write", "requests_total", "counter", "writes taken in", atomic_load(&n->counts.writes));
    FIGURE("write", "rows_total", "counter", "rows in them", atomic_load(&n->counts.rows));
    FIGURE("write", "values_total", "counter", "values in them", atomic_load(&n->counts.values));
    FIGURE("write", "rejected_total", "counter", "rows that could not be stored",
           atomic_load(&n->counts.rejected));
    FIGURE("write", "refused_total", "counter", "writes not taken in", atomic_load(&n->counts.refused));
    FIGURE("write", "failed_total", "counter", "writes that failed", atomic_load(&n->counts.failed));
    FIGURE("write", "pending_bytes", "gauge", "of writes on their way", pending);
    FIGURE("engine", "rows_total", "counter", "rows stored", engine.rows);
    FIGURE("engine", "values_total", "counter", "values stored", engine.points);
    FIGURE("engine", "late_values_total", "counter", "values that went to out-of-order files", engine.late);
    FIGURE("engine", "series", "gauge", "series written to since the start, about", engine.series);
    FIGURE("engine", "files_total", "counter", "files written", engine.files);
    FIGURE("engine", "file_bytes_total", "counter", "bytes of them", engine.file_bytes);
    FIGURE("engine", "waits_total", "counter", "times that writing waited for a flush", engine.waits);
    FIGURE("raft", "writable", "gauge", "whether the log can be written", raft.writable);
    FIGURE("raft", "term", "gauge", "current term", raft.term);
    FIGURE("raft", "committed_index", "gauge", "last entry committed", raft.committed);
    FIGURE("raft", "snapshot_index", "gauge", "last entry in the snapshot", raft.snapshot);
    FIGURE("raft", "entries_total", "counter", "entries committed", raft.entries);
    FIGURE("raft", "entry_bytes_total", "counter", "bytes of them", raft.bytes);
    FIGURE("raft", "log_writes_total", "counter", "times the log was written", raft.writes);
    FIGURE("raft", "log_failures_total", "counter", "times the log had to be opened anew", raft.failures);
    FIGURE("raft", "snapshots_total", "counter", "snapshots stored", raft.snapshots);
    FIGURE("raft", "log_memory_bytes", "gauge", "of entries in memory", raft.log_bytes);
    FIGURE("raft", "replayed_total", "counter", "entries replayed at the start",
           atomic_load(&n->counts.replayed));
    FIGURE("raft", "changes_total", "counter", "statements that changed something",
           atomic_load(&n->counts.changes));
#undef FIGURE
    return i;
}

void tsm_node_metrics(void *node, struct tsm_buf *out)
{
    struct figure f[FIGURES];
    size_t n = collect(node, f);
    for (size_t i = 0; i < n; i++)
        tsm_buf_printf(out,
                       "# HELP tsmkit_%s_%s %s\n# TYPE tsmkit_%s_%s %s\n"
                       "tsmkit_%s_%s %" PRIu64 "\n",
                       f[i].group, f[i].name, f[i].help, f[i].group, f[i].name, f[i].kind, f[i].group,
                       f[i].name, f[i].value);
}

void tsm_node_vars(void *node, struct tsm_buf *out)
{
    struct figure f[FIGURES];
    size_t n = collect(node, f);
    for (size_t i = 0; i < n; i++) {
        bool first = i == 0 || strcmp(f[i].group, f[i - 1].group) != 0;
        if (first)
            tsm_buf_printf(out, "%s\"tsmkit_%s\":{\"name\":\"tsmkit_%s\",\"tags\":null,\"values\":{",
                           i ? "}}," : "", f[i].group, f[i].group);
        tsm_buf_printf(out, "%s\"%s\":%" PRIu64, first ? "" : ",", f[i].name, f[i].value);
    }
    tsm_buf_puts(out, "}}");
}

/* A group is a series of one row; its name is tsmkit_ and its own. */
static int stats_of_group(const struct figure *f, size_t n, struct tsm_sink *sink, struct tsm_err *err)
{
    char name[32];
    struct tsm_column_head heads[FIGURES];
    struct tsm_cells cells[FIGURES];
    int64_t values[FIGURES];
    snprintf(name, sizeof name, "tsmkit_%s", f->group);
    for (size_t i = 0; i < n; i++) {
        values[i] = (int64_t)f[i].value;
        heads[i] = (struct tsm_column_head){tsm_str_of(f[i].name), TSM_ROLE_OTHER};
        cells[i] = (struct tsm_cells){.type = TSM_CELL_INTEGER, .v.i = &values[i]};
    }
    struct tsm_series_head head = {.name = tsm_str_of(name), .columns = heads, .ncolumns = n};
    return tsm_stats_row(sink, &head, cells, err);
}

int tsm_node_stats(void *node, struct tsm_str module, bool diagnostics, struct tsm_sink *sink,
                   struct tsm_err *err)
{
    struct figure f[FIGURES];
    if (diagnostics)
        return tsm_process_diagnostics(module, sink, err);
    int rc = tsm_process_stats(module, sink, err);
    size_t n = collect(node, f), to;
    for (size_t from = 0; from < n && rc == TSM_OK; from = to) {
        char name[32];
        for (to = from + 1; to < n && strcmp(f[to].group, f[from].group) == 0;)
            to++;
        snprintf(name, sizeof name, "tsmkit_%s", f[from].group);
        if (module.n == 0 || tsm_str_eq(module, tsm_str_of(name)))
            rc = stats_of_group(&f[from], to - from, sink, err);
    }
    return rc;
}
