/* tests/unit/test_value_sort.c: one place of a sort is what the whole sort would put there, ties included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "query/value_sort.h"

enum { ROUNDS = 3000, MOST = 5000 };

/* Values with many and with few ties; in order, against it, nearly in order, in none. */
static void fill(struct tsm_value_item *items, size_t n, unsigned *seed)
{
    static const int kinds[] = {2, 5, 100, 1000, 1000000};
    int most = kinds[(size_t)rand_r(seed) % (sizeof kinds / sizeof *kinds)], pattern = rand_r(seed) % 5;
    for (size_t i = 0; i < n; i++) {
        double any = rand_r(seed) % most;
        double v[] = {(double)(i % (size_t)most), -(double)(i / 3), (double)i + (i % 100 ? 0 : any), any,
                      any};
        items[i] = (struct tsm_value_item){.v.f = v[pattern], .ref = {0, (uint32_t)i}};
    }
}

static void one_place(void **state)
{
    (void)state;
    unsigned seed = 20200301;
    struct tsm_value_item *items = tsm_realloc_array(NULL, MOST, sizeof *items),
                          *sorted = tsm_realloc_array(NULL, MOST, sizeof *sorted),
                          *some = tsm_realloc_array(NULL, MOST, sizeof *some);
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = 1 + (size_t)rand_r(&seed) % (round % 20 ? 200 : MOST);
        fill(items, n, &seed);
        memcpy(sorted, items, n * sizeof *items);
        tsm_sort_values(sorted, n, TSM_VEC_FLOAT, NULL);
        for (size_t i = 1; i < n; i++)
            assert_true(sorted[i - 1].v.f <= sorted[i].v.f);
        for (int i = 0; i < 3; i++) {
            size_t k = (size_t)rand_r(&seed) % n;
            memcpy(some, items, n * sizeof *items);
            tsm_sort_values_to(some, n, TSM_VEC_FLOAT, k);
            assert_int_equal(some[k].ref.row, sorted[k].ref.row);
        }
    }
    tsm_free(items);
    tsm_free(sorted);
    tsm_free(some);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
