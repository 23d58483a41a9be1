/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Waiting, for the commands that go on until they are told to stop.
 */
#ifndef FPC_WAIT_H
#define FPC_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "fpc_nl.h"
#include "fpc_cmd.h"

enum fpc_wait {
	FPC_WAIT_TIME, /* the time is over */
	FPC_WAIT_READY, /* there is something to read */
	FPC_WAIT_STOP, /* SIGINT, SIGTERM, or nobody reads our output */
};

/* Wait for @fd, which may be -1, until CLOCK_BOOTTIME is @deadline_ns. */
enum fpc_wait fpc_wait(int fd, uint64_t deadline_ns);
#define FPC_WAIT_FOREVER UINT64_MAX

/*
 * Seconds with up to three decimals, of which the option --@option needs at least
 * @min_ms.  Return: FPC_EXIT_OK, or FPC_EXIT_USAGE with the error line printed.
 */
int fpc_wait_seconds(const char *cmd, const char *option, const char *word, unsigned int min_ms,
		     uint64_t *ns);

/*
 * In this and the next one SIGINT and SIGTERM do not kill us, but end fpc_wait().
 *
 * Join the group of events, then let @loop wait for them on fpc_nl_fd(@events).
 * Return: FPC_EXIT_*.
 */
int fpc_events(const struct fpc_ctx *ctx, const char *cmd,
	       int (*loop)(const struct fpc_ctx *ctx, struct fpc_nl *events, void *arg), void *arg);

/* Do @once, with --watch again and again until we are told to stop or it fails. */
int fpc_watch(const struct fpc_ctx *ctx, const char *cmd,
	      int (*once)(const struct fpc_ctx *ctx, void *arg), void *arg);

/* Get the output out.  Return: false if nobody wants it any more. */
bool fpc_wait_flush(void);

#endif /* FPC_WAIT_H */
