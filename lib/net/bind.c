/* net/bind.c: JSON to bindings. */
#include "net/bind.h"

#include <inttypes.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/time.h"

#include "base/banned.h"

static void bind(struct tsm_binding *b, enum tsm_token tok, struct tsm_str value)
{
    b->tok = tok;
    b->value = value;
}

static void bind_error(struct tsm_binding *b, const char *message)
{
    bind(b, TSM_TOK_BOUNDPARAM, tsm_str_of(message));
}

static struct tsm_str text_of(const json_t *v, struct tsm_arena *a)
{
    return tsm_arena_str(a, tsm_str(json_string_value(v), json_string_length(v)));
}

static struct tsm_str integer_text(int64_t v, struct tsm_arena *a)
{
    char text[TSM_NUM_MAX];
    return tsm_arena_str(a, tsm_str(text, tsm_format_int(text, v)));
}

static struct tsm_str number_text(double v, struct tsm_arena *a)
{
    char text[TSM_NUM_MAX];
    return tsm_arena_str(a, tsm_str(text, tsm_format_float_plain(text, v)));
}

static struct tsm_str duration_text(int64_t d, struct tsm_arena *a)
{
    char text[TSM_TIME_TEXT_MAX];
    return tsm_arena_str(a, tsm_str(text, tsm_format_duration_influxql(text, d)));
}

static void bind_string(struct tsm_binding *b, const json_t *v, enum tsm_token tok, const char *message,
                        struct tsm_arena *a)
{
    if (json_is_string(v))
        bind(b, tok, text_of(v, a));
    else
        bind_error(b, message);
}

/* {"identifier": "x"}: what kind of token the value is. */
static void bind_object(struct tsm_binding *b, json_t *object, struct tsm_arena *a)
{
    if (json_object_size(object) != 1) {
        bind_error(b, "bound object parameter value must have exactly one entry");
        return;
    }
    void *at = json_object_iter(object);
    const char *kind = json_object_iter_key(at);
    const json_t *v = json_object_iter_value(at);
    if (strcmp(kind, "ident") == 0 || strcmp(kind, "identifier") == 0) {
        bind_string(b, v, TSM_TOK_IDENT, "identifier must be a string value", a);
    } else if (strcmp(kind, "regex") == 0) {
        bind_string(b, v, TSM_TOK_REGEX, "regex literal must be a string value", a);
    } else if (strcmp(kind, "string") == 0) {
        bind_string(b, v, TSM_TOK_STRING, "string literal must be a string value", a);
    } else if (strcmp(kind, "float") == 0 || strcmp(kind, "number") == 0) {
        if (json_is_number(v))
            bind(b, TSM_TOK_NUMBER, number_text(json_number_value(v), a));
        else
            bind_error(b, "number literal must be a float value");
    } else if (strcmp(kind, "int") == 0 || strcmp(kind, "integer") == 0) {
        if (json_is_integer(v))
            bind(b, TSM_TOK_INTEGER, integer_text(json_integer_value(v), a));
        else
            bind_error(b, "integer literal must be an integer value");
    } else if (strcmp(kind, "duration") == 0) {
        if (json_is_integer(v))
            bind(b, TSM_TOK_DURATIONVAL, duration_text(json_integer_value(v), a));
        else
            bind_string(b, v, TSM_TOK_DURATIONVAL, "duration literal must be a string or integer value", a);
    } else {
        bind_error(b, tsm_arena_printf(a, "unknown bind object type: %.200s", kind));
    }
}

static void bind_value(struct tsm_binding *b, json_t *v, struct tsm_arena *a)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        bind(b, TSM_TOK_STRING, text_of(v, a));
        break;
    case JSON_INTEGER:
        bind(b, TSM_TOK_INTEGER, integer_text(json_integer_value(v), a));
        break;
    case JSON_REAL:
        bind(b, TSM_TOK_NUMBER, number_text(json_real_value(v), a));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        bind(b, json_is_true(v) ? TSM_TOK_TRUE : TSM_TOK_FALSE, tsm_str("", 0));
        break;
    case JSON_OBJECT:
        bind_object(b, v, a);
        break;
    case JSON_ARRAY:
        bind_error(b, "unable to bind parameter with type []interface {}");
        break;
    case JSON_NULL:
        bind_error(b, "unable to bind parameter with type <nil>");
        break;
    }
}

/* An object may be followed by anything, as Go's decoder reads one value. */
int tsm_bind_json(struct tsm_str json, struct tsm_bindings *out, struct tsm_arena *a, struct tsm_err *err)
{
    json_error_t e;
    *out = (struct tsm_bindings){0};
    json_t *root = json_loadb(json.p, json.n, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &e);
    if (!root)
        return tsm_err_set(err, TSM_EPARSE, "error parsing query parameters: %s", e.text);
    if (!json_is_object(root) && !json_is_null(root)) {
        static const char *const names[] = {
            [JSON_ARRAY] = "array", [JSON_STRING] = "string", [JSON_INTEGER] = "number",
            [JSON_REAL] = "number", [JSON_TRUE] = "bool",     [JSON_FALSE] = "bool"};
        int rc = tsm_err_set(
            err, TSM_EPARSE,
            "error parsing query parameters: json: cannot unmarshal %s into Go value of type "
            "map[string]interface {}",
            names[json_typeof(root)]);
        json_decref(root);
        return rc;
    }
    const char *name;
    json_t *v;
    out->items = tsm_arena_calloc(a, (json_object_size(root) + 1) * sizeof *out->items);
    json_object_foreach(root, name, v)
    {
        struct tsm_binding *b = &out->items[out->n++];
        b->name = tsm_arena_str(a, tsm_str_of(name));
        bind_value(b, v, a);
    }
    json_decref(root);
    return TSM_OK;
}
