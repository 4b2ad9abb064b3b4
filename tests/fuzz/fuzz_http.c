/* tests/fuzz/fuzz_http.c: what comes with a request: forms, multipart bodies, values for parameters, gzip, passwords to be hidden. */
#include <stdlib.h>
#include <string.h>

#include "net/bind.h"
#include "net/server_impl.h"
#include "query/parser.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int right)
{
    if (!right)
        abort();
}

/* What has been decoded is read to the last byte. */
static void read_all(const struct tsm_parameters *p)
{
    volatile char sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        for (size_t k = 0; k < p->items[i].name.n; k++)
            sum ^= p->items[i].name.p[k];
        for (size_t k = 0; k < p->items[i].value.n; k++)
            sum ^= p->items[i].value.p[k];
    }
}

/* Encoded and decoded again it is the same. */
static void check_url(struct tsm_str text, struct tsm_arena *a)
{
    struct tsm_buf b = {0};
    struct tsm_str back;
    tsm_url_encode(&b, text);
    check(tsm_url_decode(tsm_buf_view(&b), true, a, &back));
    check(tsm_str_eq(back, text));
    tsm_buf_release(&b);
}

static void try_bindings(struct tsm_str text, struct tsm_arena *a)
{
    struct tsm_bindings bindings;
    struct tsm_ast ast;
    struct tsm_err err;
    if (tsm_bind_json(text, &bindings, a, &err) != TSM_OK)
        return;
    static const char *const queries[] = {
        "SELECT $a FROM $b WHERE $c = $d AND time > $e GROUP BY time($f) LIMIT $g",
        "SELECT x FROM b WHERE h =~ $a", "SELECT -$a FROM $a", "CREATE USER $a WITH PASSWORD $b"};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        (void)tsm_parse_query_bound(tsm_str_of(queries[i]), &bindings, &ast, &err);
        tsm_ast_release(&ast);
    }
}

static void try_gunzip(struct tsm_str text)
{
    struct tsm_buf whole = {0}, pieces = {0};
    struct tsm_gunzip *g = tsm_gunzip_new();
    int rc = tsm_gunzip_feed(g, (const uint8_t *)text.p, text.n, 100000, &whole, NULL);
    check(whole.len <= 100001);
    tsm_gunzip_free(g);
    g = tsm_gunzip_new();
    int rc2 = TSM_OK;
    for (size_t i = 0; i < text.n && rc2 == TSM_OK; i++)
        rc2 = tsm_gunzip_feed(g, (const uint8_t *)text.p + i, 1, 100000, &pieces, NULL);
    tsm_gunzip_free(g);
    check(rc == rc2);
    check(rc != TSM_OK || tsm_str_eq(tsm_buf_view(&whole), tsm_buf_view(&pieces)));
    tsm_buf_release(&whole);
    tsm_buf_release(&pieces);
    /* Packed and unpacked it is the same. */
    tsm_gzip(&whole, text);
    g = tsm_gunzip_new();
    check(tsm_gunzip_feed(g, whole.data, whole.len, 0, &pieces, NULL) == TSM_OK &&
          tsm_gunzip_end(g, NULL) == TSM_OK);
    check(tsm_str_eq(tsm_buf_view(&pieces), text));
    tsm_gunzip_free(g);
    tsm_buf_release(&whole);
    tsm_buf_release(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tsm_arena a = {0};
    struct tsm_parameters p = {0};
    struct tsm_buf b = {0};
    if (size == 0)
        return 0;
    /* In memory of its own, so that a byte too many is seen. */
    char *copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    struct tsm_str text = tsm_str(copy, size - 1);
    switch (data[0] % 6) {
    case 0:
        tsm_form_urlencoded(&p, text, &a);
        read_all(&p);
        check_url(text, &a);
        break;
    case 1: {
        const char *line = memchr(text.p, '\n', text.n);
        size_t n = line ? (size_t)(line - text.p) : text.n;
        struct tsm_str body = line ? tsm_str(line + 1, text.n - n - 1) : tsm_str("", 0);
        (void)tsm_form_multipart(&p, tsm_str(text.p, n), body, &a);
        (void)tsm_media_type(tsm_str(text.p, n), &a);
        read_all(&p);
        break;
    }
    case 2:
        try_bindings(text, &a);
        break;
    case 3:
        try_gunzip(text);
        break;
    case 4:
        tsm_sanitize(&b, text);
        break;
    default:
        tsm_go_quote(&b, text);
        break;
    }
    tsm_buf_release(&b);
    tsm_arena_release(&a);
    free(copy);
    return 0;
}
