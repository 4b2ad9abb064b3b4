/*
 * tests/bench/load.c: sends a file of line protocol to a server, as its clients would.
 *
 *   load [--clients N] [--batch LINES] [--readers N --query URL…] URL FILE
 *
 * Every client is a thread with one connection that it keeps, and posts the next batch of lines as soon as
 * the last one is answered. Readers ask the URLs of --query in turn until the clients have ended. One JSON line with the
 * figures goes to stdout, latencies in milliseconds. Exit status 1 when any request was not answered with 2xx.
 */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/sort.h"
#include "base/banned.h"

enum { MAX_CLIENTS = 256, MAX_BATCH = 1000000, ANSWER_ROOM = 512, MAX_QUERIES = 64 };

/* How long requests took, seconds. */
struct latencies {
    double *seconds;
    size_t n, cap;
};

struct load {
    const char *url;
    unsigned clients, readers;
    uint64_t batch;
    const char *queries[MAX_QUERIES];
    size_t nqueries;

    const char *data, *end;

    pthread_mutex_t lock; /* of all below */
    const char *next;     /* the first line that no client has taken */
    uint64_t rows, requests, failures;
    unsigned writing; /* clients that have not ended */
    struct latencies writes, reads;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void note(struct latencies *l, double seconds)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 1024;
        l->seconds = realloc(l->seconds, l->cap * sizeof *l->seconds);
        if (!l->seconds)
            abort();
    }
    l->seconds[l->n++] = seconds;
}

struct answer {
    char text[ANSWER_ROOM];
    size_t n;
};

/* Takes the next batch; false at the end of the data. */
static bool take(struct load *l, const char **start, size_t *size, uint64_t *rows)
{
    pthread_mutex_lock(&l->lock);
    const char *p = l->next;
    uint64_t n = 0;
    while (n < l->batch && p < l->end) {
        const char *newline = memchr(p, '\n', (size_t)(l->end - p));
        p = newline ? newline + 1 : l->end;
        n++;
    }
    *start = l->next;
    *size = (size_t)(p - l->next);
    *rows = n;
    l->next = p;
    pthread_mutex_unlock(&l->lock);
    return n > 0;
}

static size_t keep_answer(char *p, size_t size, size_t n, void *arg)
{
    struct answer *a = arg;
    size_t room = sizeof a->text - 1 - a->n, bytes = size * n;
    size_t kept = bytes < room ? bytes : room;

    memcpy(a->text + a->n, p, kept);
    a->n += kept;
    a->text[a->n] = '\0';
    return bytes;
}

static void *client(void *arg)
{
    struct load *l = arg;
    CURL *curl = curl_easy_init();
    struct answer answer;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: text/plain; charset=utf-8");
    const char *body;
    size_t size;
    uint64_t rows;

    headers = curl_slist_append(headers, "Expect:"); /* no waiting for 100 Continue */
    curl_easy_setopt(curl, CURLOPT_URL, l->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 120L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    while (take(l, &body, &size, &rows)) {
        long status = 0;
        double start = now();
        answer = (struct answer){.n = 0};
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
        CURLcode code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        bool good = code == CURLE_OK && status >= 200 && status < 300;

        pthread_mutex_lock(&l->lock);
        note(&l->writes, now() - start);
        l->requests++;
        if (good)
            l->rows += rows;
        else if (l->failures++ < 3)
            fprintf(stderr, "load: %s: %s\n", l->url,
                    code != CURLE_OK ? curl_easy_strerror(code) : answer.text);
        pthread_mutex_unlock(&l->lock);
    }
    pthread_mutex_lock(&l->lock);
    l->writing--;
    pthread_mutex_unlock(&l->lock);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return NULL;
}

static size_t count_answer(char *p, size_t size, size_t n, void *arg)
{
    (void)p, (void)arg;
    return size * n;
}

static bool still_writing(struct load *l)
{
    pthread_mutex_lock(&l->lock);
    bool still = l->writing > 0;
    pthread_mutex_unlock(&l->lock);
    return still;
}

static void *reader(void *arg)
{
    struct load *l = arg;
    CURL *curl = curl_easy_init();

    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 120L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, count_answer);
    for (size_t i = 0; still_writing(l); i++) {
        long status = 0;
        double start = now();
        curl_easy_setopt(curl, CURLOPT_URL, l->queries[i % l->nqueries]);
        CURLcode code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        pthread_mutex_lock(&l->lock);
        note(&l->reads, now() - start);
        l->failures += code != CURLE_OK || status / 100 != 2;
        pthread_mutex_unlock(&l->lock);
    }
    curl_easy_cleanup(curl);
    return NULL;
}

static void map_file(struct load *l, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        fprintf(stderr, "load: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    l->data = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0) : "";
    if (l->data == MAP_FAILED) {
        fprintf(stderr, "load: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    l->end = l->data + st.st_size;
    l->next = l->data;
    close(fd);
}

static void usage(void)
{
    fputs("usage: load [--clients N] [--batch LINES] [--readers N --query URL...] URL FILE\n", stderr);
    exit(2);
}

static uint64_t number(const char *s, uint64_t most)
{
    char *end;
    unsigned long long v = strtoull(s, &end, 10);

    if (end == s || *end || v == 0 || v > most)
        usage();
    return v;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const struct latencies *l, double q)
{
    size_t i = (size_t)(q * (double)l->n);
    return l->n ? 1000 * l->seconds[i < l->n ? i : l->n - 1] : 0;
}

static void print_latencies(const char *name, struct latencies *l)
{
    tsm_sort(l->seconds, l->n, sizeof *l->seconds, compare);
    printf(",\"%s\":{\"n\":%zu,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}", name, l->n,
           quantile(l, 0.5), quantile(l, 0.99), quantile(l, 0.999), quantile(l, 1));
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"clients", required_argument, NULL, 'c'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {"readers", required_argument, NULL, 'r'},
                                            {"query", required_argument, NULL, 'q'},
                                            {0}};
    struct load l = {.clients = 8, .batch = 1000, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[2 * MAX_CLIENTS];
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'c')
            l.clients = (unsigned)number(optarg, MAX_CLIENTS);
        else if (c == 'b')
            l.batch = number(optarg, MAX_BATCH);
        else if (c == 'r')
            l.readers = (unsigned)number(optarg, MAX_CLIENTS);
        else if (c == 'q' && l.nqueries < MAX_QUERIES)
            l.queries[l.nqueries++] = optarg;
        else
            usage();
    }
    if (argc - optind != 2 || (l.readers > 0) != (l.nqueries > 0))
        usage();
    l.url = argv[optind];
    map_file(&l, argv[optind + 1]);
    curl_global_init(CURL_GLOBAL_DEFAULT);

    double start = now();
    l.writing = l.clients;
    for (unsigned i = 0; i < l.clients + l.readers; i++) {
        if (pthread_create(&threads[i], NULL, i < l.clients ? client : reader, &l) != 0) {
            fputs("load: cannot start a thread\n", stderr);
            return 1;
        }
    }
    for (unsigned i = 0; i < l.clients + l.readers; i++)
        pthread_join(threads[i], NULL);
    double seconds = now() - start;
    printf("{\"rows\":%" PRIu64 ",\"bytes\":%zu,\"requests\":%" PRIu64 ",\"failures\":%" PRIu64
           ",\"seconds\":%.3f",
           l.rows, (size_t)(l.end - l.data), l.requests, l.failures, seconds);
    print_latencies("writes", &l.writes);
    print_latencies("reads", &l.reads);
    puts("}");
    curl_global_cleanup();
    return l.failures ? 1 : 0;
}
