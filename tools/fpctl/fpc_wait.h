/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Waiting, for the commands that go on until they are told to stop.
 */
#ifndef FPC_WAIT_H
#define FPC_WAIT_H

#include <stdbool.h>
#include <stdint.h>

enum fpc_wait {
	FPC_WAIT_TIME, /* the time is over */
	FPC_WAIT_READY, /* there is something to read */
	FPC_WAIT_STOP, /* SIGINT, SIGTERM, or nobody reads our output */
};

/*
 * From now on these signals do not kill us, but end the next fpc_wait().  To be
 * called before the first datum is asked for.  Return: false after an error.
 */
bool fpc_wait_begin(void);
void fpc_wait_end(void);

/* Wait for @fd, which may be -1, until fpc_wait_clock() says @deadline_ns. */
enum fpc_wait fpc_wait(int fd, uint64_t deadline_ns);
#define FPC_WAIT_FOREVER UINT64_MAX

/* CLOCK_BOOTTIME, as in the kernel's events. */
uint64_t fpc_wait_clock(void);

/* Get the output out.  Return: false if nobody wants it any more. */
bool fpc_wait_flush(void);

#endif /* FPC_WAIT_H */
