/* query/process_stats.c: memory, threads and times of this process. */
#include "query/process_stats.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/parallel.h"
#include "base/time.h"

#include "base/banned.h"

int tsm_stats_row(struct tsm_sink *sink, const struct tsm_series_head *head, const struct tsm_cells *cells,
                  struct tsm_err *err)
{
    int rc = sink->series_begin(sink, head, err);
    if (rc == TSM_OK)
        rc = sink->rows(sink, &(struct tsm_rows){1, cells}, err);
    return rc == TSM_OK ? sink->series_end(sink, err) : rc;
}

/* The number behind a name in /proc/self/status, 0 when there is none. */
static int64_t status_field(const char *name)
{
    char line[256];
    int64_t value = 0;
    size_t n = strlen(name);
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, n) == 0)
            value = strtoll(line + n, NULL, 10);
    if (f)
        fclose(f);
    return value;
}

int tsm_process_stats(struct tsm_str module, struct tsm_sink *sink, struct tsm_err *err)
{
    static const char *const names[] = {"Alloc",   "HeapAlloc",    "HeapIdle", "HeapInUse",
                                        "HeapSys", "NumGoroutine", "Sys"};
    enum { N = sizeof names / sizeof *names };
    if (module.n && !tsm_str_eq(module, TSM_STR("runtime")))
        return TSM_OK;
    struct mallinfo2 m = mallinfo2();
    int64_t used = (int64_t)(m.uordblks + m.hblkhd);
    int64_t values[N] = {used,
                         used,
                         (int64_t)m.fordblks,
                         used,
                         (int64_t)(m.arena + m.hblkhd),
                         status_field("Threads:"),
                         status_field("VmRSS:") * 1024};
    struct tsm_column_head heads[N];
    struct tsm_cells cells[N];
    for (size_t i = 0; i < N; i++) {
        heads[i] = (struct tsm_column_head){tsm_str_of(names[i]), TSM_ROLE_OTHER};
        cells[i] = (struct tsm_cells){.type = TSM_CELL_INTEGER, .v.i = &values[i]};
    }
    struct tsm_series_head head = {.name = TSM_STR("runtime"), .columns = heads, .ncolumns = N};
    return tsm_stats_row(sink, &head, cells, err);
}

/* ---- diagnostics ------------------------------------------------------------------------------ */

enum { MOST = 4 };

static int give(struct tsm_sink *sink, const char *name, size_t n, const char *const *columns,
                const struct tsm_cells *cells, struct tsm_err *err)
{
    struct tsm_column_head heads[MOST];
    for (size_t i = 0; i < n; i++)
        heads[i] = (struct tsm_column_head){tsm_str_of(columns[i]), TSM_ROLE_OTHER};
    struct tsm_series_head head = {.name = tsm_str_of(name), .columns = heads, .ncolumns = n};
    return tsm_stats_row(sink, &head, cells, err);
}

static struct tsm_cells text(const struct tsm_str *s)
{
    return (struct tsm_cells){.type = TSM_CELL_STRING, .v.s = s};
}

static int build(struct tsm_sink *sink, struct tsm_err *err)
{
    static const char *const columns[] = {"Branch", "Build Time", "Commit", "Version"};
    struct tsm_str none = TSM_STR(""), version = TSM_STR(TSM_VERSION_TEXT);
    struct tsm_cells cells[] = {text(&none), text(&none), text(&none), text(&version)};
    return give(sink, "build", 4, columns, cells, err);
}

static int network(struct tsm_sink *sink, struct tsm_err *err)
{
    static const char *const columns[] = {"hostname"};
    char name[256] = "";
    (void)gethostname(name, sizeof name - 1);
    struct tsm_str host = tsm_str_of(name);
    struct tsm_cells cell = text(&host);
    return give(sink, "network", 1, columns, &cell, err);
}

static int runtime(struct tsm_sink *sink, struct tsm_err *err)
{
    static const char *const columns[] = {"GOARCH", "GOMAXPROCS", "GOOS", "version"};
    struct utsname u;
    if (uname(&u) != 0)
        memset(&u, 0, sizeof u);
    struct tsm_str arch = tsm_str_of(u.machine), os = TSM_STR("linux"), compiler = TSM_STR("C " __VERSION__);
    int64_t cpus = tsm_cpu_count();
    if (tsm_str_eq(arch, TSM_STR("x86_64")))
        arch = TSM_STR("amd64"); /* Go's name, which is what dashboards know */
    else if (tsm_str_eq(arch, TSM_STR("aarch64")))
        arch = TSM_STR("arm64");
    struct tsm_cells cells[] = {
        text(&arch), {.type = TSM_CELL_INTEGER, .v.i = &cpus}, text(&os), text(&compiler)};
    return give(sink, "runtime", 4, columns, cells, err);
}

/* How long the process has been running: its start, in ticks since boot, is the 22nd field of its stat; the second one may hold
 * spaces, but ends with the last ")". */
static int64_t uptime(void)
{
    char line[1024];
    FILE *f = fopen("/proc/self/stat", "re");
    size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f)
        fclose(f);
    line[n] = 0;
    const char *p = strrchr(line, ')');
    for (int field = 2; p && field < 22; field++) {
        p = strchr(p + 1, ' ');
    }
    struct timespec boot;
    long hertz = sysconf(_SC_CLK_TCK);
    if (!p || hertz <= 0 || clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
        return 0;
    int64_t ticks = strtoll(p, NULL, 10);
    int64_t now = (int64_t)boot.tv_sec * TSM_SEC + boot.tv_nsec, start = ticks * (TSM_SEC / hertz);
    return now > start ? now - start : 0;
}

static int system_times(struct tsm_sink *sink, struct tsm_err *err)
{
    static const char *const columns[] = {"PID", "currentTime", "started", "uptime"};
    char texts[3][TSM_TIME_TEXT_MAX];
    int64_t pid = getpid(), now = tsm_now(), up = uptime();
    struct tsm_str current = {texts[0], tsm_format_rfc3339(texts[0], now)};
    struct tsm_str started = {texts[1], tsm_format_rfc3339(texts[1], now - up)};
    struct tsm_str since = {texts[2], tsm_format_duration_go(texts[2], up)};
    struct tsm_cells cells[] = {
        {.type = TSM_CELL_INTEGER, .v.i = &pid}, text(&current), text(&started), text(&since)};
    return give(sink, "system", 4, columns, cells, err);
}

int tsm_process_diagnostics(struct tsm_str module, struct tsm_sink *sink, struct tsm_err *err)
{
    static const struct {
        const char *name;
        int (*give)(struct tsm_sink *sink, struct tsm_err *err);
    } modules[] = {{"build", build}, {"network", network}, {"runtime", runtime}, {"system", system_times}};
    int rc = TSM_OK;
    for (size_t i = 0; i < sizeof modules / sizeof *modules && rc == TSM_OK; i++)
        if (module.n == 0 || tsm_str_eq(module, tsm_str_of(modules[i].name)))
            rc = modules[i].give(sink, err);
    return rc;
}
