/* cli/config.c: reading the YAML configuration file. */
#include "cli/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/alloc.h"
#include "cli/option_value.h"
#include "base/banned.h"

struct reader {
    const struct tsm_program *p;
    const char *path;
    yaml_document_t doc;
};

/* Options that one file may set for all programs although not every program has them. */
static bool is_shared(const char *key)
{
    static const char *const names[] = {"data",   "database", "rp",      "host",  "format", "jobs",
                                        "memory", "dry-run",  "summary", "quiet", "verbose"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], key) == 0)
            return true;
    return false;
}

static const struct tsm_option *find(const struct tsm_program *p, const char *key)
{
    for (size_t i = 0; i < p->noptions; i++)
        if (strcmp(p->options[i].name, key) == 0 && strcmp(key, "config") != 0)
            return &p->options[i];
    return NULL;
}

static int fault(const struct reader *r, const yaml_node_t *at, struct tsm_err *err, const char *text)
{
    return tsm_err_set(err, TSM_EUSAGE, "%s:%zu: %s", r->path, at->start_mark.line + 1, text);
}

static int set_pair(const struct reader *r, const yaml_node_t *key, const yaml_node_t *value, bool top,
                    struct tsm_err *err)
{
    if (key->type != YAML_SCALAR_NODE)
        return fault(r, key, err, "the key is not a scalar");
    const char *name = (const char *)key->data.scalar.value;
    const struct tsm_option *o = find(r->p, name);
    if (!o) {
        if (top && is_shared(name))
            return TSM_OK;
        char text[128];
        snprintf(text, sizeof text, "no option is named '%.80s'", name);
        return fault(r, key, err, text);
    }
    if (value->type != YAML_SCALAR_NODE)
        return fault(r, value, err, "the value is not a scalar");
    /* Lives as long as the program, as option values do, also when the environment gives another one
     * later. */
    struct tsm_str text = tsm_arena_str(&r->p->common->texts,
                                        tsm_str_of((const char *)value->data.scalar.value));
    int c = tsm_option_set(o, text.p, err);
    return c ? tsm_err_wrap(err, c, "%s:%zu", r->path, value->start_mark.line + 1) : TSM_OK;
}

static int read_mapping(struct reader *r, const yaml_node_t *map, bool sections, struct tsm_err *err)
{
    for (yaml_node_pair_t *i = map->data.mapping.pairs.start; i < map->data.mapping.pairs.top; i++) {
        const yaml_node_t *key = yaml_document_get_node(&r->doc, i->key);
        const yaml_node_t *value = yaml_document_get_node(&r->doc, i->value);
        bool section = value->type == YAML_MAPPING_NODE && key->type == YAML_SCALAR_NODE &&
                       strncmp((char *)key->data.scalar.value, "tsm-", 4) == 0;
        if (section != sections)
            continue; /* this pass is for the other kind */
        int c = TSM_OK;
        if (!section)
            c = set_pair(r, key, value, true, err);
        else if (strcmp((char *)key->data.scalar.value, r->p->name) == 0)
            for (yaml_node_pair_t *j = value->data.mapping.pairs.start;
                 j < value->data.mapping.pairs.top && !c; j++)
                c = set_pair(r, yaml_document_get_node(&r->doc, j->key),
                             yaml_document_get_node(&r->doc, j->value), false, err);
        if (c)
            return c;
    }
    return TSM_OK;
}

int tsm_config_read(const struct tsm_program *p, const char *path, struct tsm_err *err)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return tsm_err_sys(err, errno, "configuration file %s", path);
    struct reader r = {.p = p, .path = path};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        fclose(f);
        return tsm_err_set(err, TSM_EIO, "configuration file %s: cannot start the YAML parser", path);
    }
    yaml_parser_set_input_file(&parser, f);
    int c;
    if (!yaml_parser_load(&parser, &r.doc)) {
        c = tsm_err_set(err, TSM_EUSAGE, "%s:%zu: %s", path, parser.problem_mark.line + 1,
                        parser.problem ? parser.problem : "not YAML");
    } else {
        const yaml_node_t *root = yaml_document_get_root_node(&r.doc);
        if (!root)
            c = TSM_OK; /* an empty file */
        else if (root->type != YAML_MAPPING_NODE)
            c = fault(&r, root, err, "not a mapping of options");
        else
            c = read_mapping(&r, root, false, err);
        if (c == TSM_OK && root)
            c = read_mapping(&r, root, true, err);
        yaml_document_delete(&r.doc);
    }
    yaml_parser_delete(&parser);
    fclose(f);
    return c;
}
