/* sys/zone_file.c: time zones by name. */
#include "sys/zone_file.h"

#include <stdlib.h>

#include "base/banned.h"

enum { MOST_BYTES = 1 << 20, MOST_NAME = 255 };

static const char *const directories[] = {"/usr/share/zoneinfo/", "/usr/share/lib/zoneinfo/",
                                          "/usr/lib/locale/TZ/"};

static bool load_path(const struct tsm_fs *fs, const char *path, struct tsm_str name, struct tsm_zone **zone)
{
    struct tsm_buf bytes = {0};
    if (tsm_fs_read_file(fs, path, MOST_BYTES, &bytes, NULL) == TSM_OK)
        *zone = tsm_zone_parse(name, tsm_buf_view(&bytes));
    tsm_buf_release(&bytes);
    return *zone != NULL;
}

static bool load_name(const struct tsm_fs *fs, struct tsm_str file, struct tsm_str name,
                      struct tsm_zone **zone)
{
    bool found = false;
    for (size_t i = 0; i < sizeof directories / sizeof *directories && !found; i++) {
        struct tsm_buf path = {0};
        tsm_buf_puts(&path, directories[i]);
        tsm_buf_str(&path, file);
        found = load_path(fs, tsm_buf_cstr(&path), name, zone);
        tsm_buf_release(&path);
    }
    return found;
}

/* A name with .. could be any file. */
static bool is_safe(struct tsm_str name)
{
    if (name.n > MOST_NAME || name.p[0] == '/' || name.p[0] == '\\' || memchr(name.p, '\0', name.n))
        return false;
    for (size_t i = 1; i < name.n; i++)
        if (name.p[i - 1] == '.' && name.p[i] == '.')
            return false;
    return true;
}

/* TZ says it, else /etc/localtime; what cannot be found is UTC. */
static void load_local(const struct tsm_fs *fs, struct tsm_str name, struct tsm_zone **zone)
{
    const char *tz = getenv("TZ");
    if (!tz) {
        load_path(fs, "/etc/localtime", name, zone);
        return;
    }
    tz += *tz == ':';
    struct tsm_str file = tsm_str_of(tz);
    if (*tz == '/')
        load_path(fs, tz, name, zone);
    else if (file.n && is_safe(file))
        load_name(fs, file, name, zone);
}

int tsm_zone_load(const struct tsm_fs *fs, struct tsm_str name, struct tsm_zone **zone)
{
    *zone = NULL;
    if (name.n == 0 || tsm_str_eq(name, TSM_STR("UTC")))
        return TSM_OK;
    if (tsm_str_eq(name, TSM_STR("Local"))) {
        load_local(fs, name, zone);
        return TSM_OK;
    }
    return is_safe(name) && load_name(fs, name, name, zone) ? TSM_OK : TSM_ENOTFOUND;
}
