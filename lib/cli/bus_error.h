/*
 * cli/bus_error.h: what happens when a mapped file cannot be read: the disk fails, or somebody cuts the file.
 *
 * The kernel then sends SIGBUS to the thread that touched the page. There is no answer to be had any more:
 * the process says which file it was, and where, and ends; with TSM_EXIT_CORRUPT when the file has become
 * shorter, else with TSM_EXIT_FAILED.
 */
#ifndef TSM_CLI_BUS_ERROR_H
#define TSM_CLI_BUS_ERROR_H

void tsm_catch_bus_errors(void);

#endif
