/*
 * cli/bus_error.c: what happens when a mapped file cannot be read.
 *
 * Everything here runs in a signal handler: no memory, no stdio. Which file is behind an address is in
 * /proc/self/maps; a line of it is
 *
 *   7f10a4000000-7f10a4021000 r--s 00000000 08:01 1311   /data/000000001-000000001.tsm
 */
#include "cli/bus_error.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/options.h"
#include "base/banned.h"

enum { LINE = 4096 + 128, FIELDS_BEFORE_PATH = 5 };

struct text {
    char p[LINE + 128];
    size_t n;
};

static void add(struct text *t, const char *s)
{
    while (*s && t->n < sizeof t->p)
        t->p[t->n++] = *s++;
}

static void add_number(struct text *t, uint64_t v)
{
    char digits[24];
    size_t i = sizeof digits - 1;
    digits[i] = 0;
    do
        digits[--i] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    add(t, digits + i);
}

static const char *read_hex(const char *s, uint64_t *v)
{
    for (*v = 0;; s++) {
        if (*s >= '0' && *s <= '9')
            *v = *v << 4 | (uint64_t)(*s - '0');
        else if (*s >= 'a' && *s <= 'f')
            *v = *v << 4 | (uint64_t)(*s - 'a' + 10);
        else
            return s;
    }
}

/* Whether the line tells of the mapping of a file with this address: its path, which is the end of the line,
 * and where in the file the address is. */
static bool is_here(const char *line, uint64_t address, const char **path, uint64_t *offset)
{
    uint64_t from, to, start;
    const char *s = read_hex(line, &from);
    if (*s++ != '-')
        return false;
    s = read_hex(s, &to);
    if (address < from || address >= to)
        return false;
    for (int field = 1; field < FIELDS_BEFORE_PATH; field++) {
        s += strspn(s, " ");
        if (field == 2) /* after the permissions */
            read_hex(s, &start);
        s += strcspn(s, " ");
    }
    s += strspn(s, " ");
    *path = s;
    *offset = start + (address - from);
    return *s == '/';
}

/* Finds it; the path stays in line. */
static bool find(uint64_t address, char line[LINE], const char **path, uint64_t *offset)
{
    size_t n = 0;
    bool found = false;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (char c; fd >= 0 && !found && read(fd, &c, 1) == 1;) {
        if (c != '\n') {
            if (n < LINE - 1)
                line[n++] = c;
            continue;
        }
        line[n] = 0;
        n = 0;
        found = is_here(line, address, path, offset);
    }
    return found;
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    char line[LINE];
    struct text t = {.n = 0};
    struct stat st;
    const char *path;
    uint64_t offset;
    int status = TSM_EXIT_FAILED;
    add(&t, "tsmkit: ");
    if (find((uint64_t)(uintptr_t)info->si_addr, line, &path, &offset)) {
        bool cut = stat(path, &st) == 0 && (uint64_t)st.st_size <= offset;
        add(&t, path);
        add(&t, ": offset ");
        add_number(&t, offset);
        add(&t, cut ? ": the file was cut short while it was read" : ": input/output error");
        if (cut)
            status = TSM_EXIT_CORRUPT;
    } else {
        add(&t, "input/output error: the disk failed under a mapped file");
    }
    add(&t, "\n");
    ssize_t ignored = write(STDERR_FILENO, t.p, t.n);
    (void)ignored;
    _exit(status);
}

void tsm_catch_bus_errors(void)
{
    struct sigaction sa = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigfillset(&sa.sa_mask);
    sigaction(SIGBUS, &sa, NULL);
}
