/*
 * sys/zone_file.h: finding the files of time zones where Go's time package looks for them: /usr/share/zoneinfo (Debian's package
 * tzdata), /usr/share/lib/zoneinfo, /usr/lib/locale/TZ.
 */
#ifndef TSM_SYS_ZONE_FILE_H
#define TSM_SYS_ZONE_FILE_H

#include "base/zone.h"
#include "sys/fs.h"

/* *zone is NULL for "" and "UTC". "Local" is the zone of this machine. TSM_ENOTFOUND when there is no such zone. */
int tsm_zone_load(const struct tsm_fs *fs, struct tsm_str name, struct tsm_zone **zone);

#endif
