/* store/open_files_impl.h: the inside of open_files*.c. */
#ifndef TSM_STORE_OPEN_FILES_IMPL_H
#define TSM_STORE_OPEN_FILES_IMPL_H

#include "store/open_files.h"

/* Makes the union of now's keys from that of old, with which it has most of its files in common, and from the files that are new.
 * False: that is not worth it, or not possible, and nothing was done. */
bool tsm_open_files_unite_over(const struct tsm_open_files *old, struct tsm_open_files *now);

#endif
