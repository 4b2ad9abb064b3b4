/* base/banned.h: libc functions that tsmkit does not use, each with a safer kin in base/. */
#ifndef TSM_BASE_BANNED_H
#define TSM_BASE_BANNED_H

/* gcc's poison also catches taking the address; include this after every system header. */
#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok atoi atol atoll atof qsort

#endif
