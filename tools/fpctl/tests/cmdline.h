/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tables of tests/cmdline.c: the kernels and the rows.
 */
#ifndef CMDLINE_H
#define CMDLINE_H

#include <errno.h>

#include <linux/cfph.h>

#include "fake_nl.h"

/* kernels.c */
extern const struct fpc_attrs ready, migrating, off, future, scanning, tuned;
extern const struct fpc_attrs counters, defaults;
extern const struct fpc_attrs zones[], leaves[], steps[], low_memory[];
extern const unsigned int nr_zones, nr_leaves, nr_steps;
extern const struct fake_event a_migration[], a_loss[], no_events[];

/* What is not given must be empty, 0, or the kernel "ready". */
struct row {
	const char *line;
	int rc;
	const char *out, *err, *sent;
	const struct fpc_attrs *status;
	const struct fpc_attrs *steps; /* of reclaim; "steps" */
	const struct fake_event *events;
	const char *conf; /* contents of the file "conf" before */
	const char *file; /* contents of the file "file" after */
	struct fpc_nl_error open, answer;
};

/* stdout may be anything but empty. */
extern const char some[];

/* rows_*.c */
extern const struct row rows_get[], rows_set[], rows_list[], rows_main[];
extern const unsigned int nr_rows_get, nr_rows_set, nr_rows_list, nr_rows_main;

/* What "stats" prints of the kernel "counters". */
#define COUNTERS_TEXT                                  \
	"migrations                   3\n"             \
	"rounds                       0\n"             \
	"passes                       0\n"             \
	"messages                     0\n"             \
	"message-bytes             5000  (4 KiB)\n"    \
	"chunks                       0\n"             \
	"ranges                       0\n"             \
	"bits              18446744073709551615\n"     \
	"stalls                       0\n"             \
	"drains                       0\n"             \
	"registrations                0\n"             \
	"unregistrations              0\n"             \
	"unknown-commands             0\n"             \
	"scans                        0\n"             \
	"scan-ns                1234567  (1.234 ms)\n" \
	"pass-ns                    999\n"             \
	"resets                       0\n"             \
	"refused                      0\n"             \
	"reclaimed-pages              0\n"             \
	"reclaim-ns                   0\n"

#define ABSENT .open = { .code = FPC_EXIT_ABSENT, .text = "Object not found" }
#define REFUSED(...) .answer = { .code = FPC_EXIT_REFUSED, __VA_ARGS__ }
#define NO_CFPH \
	"this kernel has no cfph (CONFIG_CFPH), or this is not the initial network namespace"

#endif /* CMDLINE_H */
