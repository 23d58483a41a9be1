/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A kernel for tests/cmdline.c: fake_nl.c takes the place of fpc_nl.c at link
 * time, answers from here, and records what it was sent.
 *
 * It has a clock of its own (2026-11-23 12:00 UTC, 1000 s after boot), which
 * moves only when fpctl waits; and when it has nothing more to tell it sends
 * fpctl a SIGTERM, as an administrator would.
 */
#ifndef FAKE_NL_H
#define FAKE_NL_H

#include "fpc_nl.h"
#include "fpc_cmd.h"

/* What one look at the events brings. */
struct fake_event {
	struct fpc_attrs event; /* if have is not 0 */
	struct fpc_nl_error error;
	bool end;
};

struct fake_nl {
	/* What it answers. */
	const struct fpc_attrs *status, *defaults, *stats, *zones, *leaves, *steps;
	unsigned int nr_zones, nr_leaves, nr_steps;
	const struct fake_event *events;
	/* How it fails, or warns; if that blames an attribute, as long as it is sent. */
	struct fpc_nl_error open, answer;
	bool forever; /* real time, few events, and no SIGTERM of our own */
	int sent_fd; /* gets a line for each request, -1 = nobody asks */
};

extern struct fake_nl fake_nl;

/* So many times the counters are given, each time larger by GROWTH. */
#define FAKE_SAMPLES 3
#define FAKE_GROWTH 50

#endif /* FAKE_NL_H */
