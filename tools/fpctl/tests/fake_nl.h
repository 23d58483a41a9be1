/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A kernel for tests/cmdline.c: fake_nl.c takes the place of fpc_nl.c at link
 * time, answers from here, and records what it was sent.
 */
#ifndef FAKE_NL_H
#define FAKE_NL_H

#include "fpctl.h"

struct fake_nl {
	const struct fpc_attrs *status, *stats; /* what it answers */
	struct fpc_nl_error open, answer; /* how it fails, or warns */
	int sent_fd; /* gets a line for each request, -1 = nobody asks */
};

extern struct fake_nl fake_nl;

#endif /* FAKE_NL_H */
