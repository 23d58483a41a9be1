// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting for time, events, signals and the end of our reader, see fpc_wait.h.
 *
 * The signals are blocked and read from a file descriptor, so there is no
 * handler and no moment at which one is missed.  A pipe whose reader has gone
 * is seen by poll() even when we have nothing to write: "fpctl monitor | head
 * -n 1" ends with head, not with the event after.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "fpc_wait.h"
#include "fpctl.h"

#define NS_PER_MS 1000000

static int signals = -1;

bool fpc_wait_begin(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	return signals >= 0;
}

void fpc_wait_end(void)
{
	close(signals);
	signals = -1;
}

uint64_t fpc_wait_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Milliseconds until then for poll(), rounded up: never early. */
static int timeout(uint64_t deadline_ns)
{
	uint64_t now, ms;

	if (deadline_ns == FPC_WAIT_FOREVER)
		return -1;
	now = fpc_wait_clock();
	if (now >= deadline_ns)
		return 0;
	ms = (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms > 1000000 ? 1000000 : ms;
}

enum fpc_wait fpc_wait(int fd, uint64_t deadline_ns)
{
	struct pollfd fds[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = STDOUT_FILENO }, /* POLLERR needs no asking */
		{ .fd = fd, .events = POLLIN },
	};
	int n, ms;

	do {
		ms = timeout(deadline_ns);
		n = poll(fds, ARRAY_SIZE(fds), ms);
		if (n < 0 && errno != EINTR)
			return FPC_WAIT_STOP;
		if (n > 0)
			return fds[0].revents || fds[1].revents
				       ? FPC_WAIT_STOP
				       : FPC_WAIT_READY;
	} while (n < 0 || ms < 0 || timeout(deadline_ns) > 0);
	return FPC_WAIT_TIME;
}

bool fpc_wait_flush(void)
{
	if (!fflush(stdout))
		return true;
	/*
	 * Our reader has what it wanted: that is no failure, and main() shall
	 * not find one.  Any other error stays for it to report.
	 */
	if (errno == EPIPE) {
		__fpurge(stdout);
		clearerr(stdout);
	}
	return false;
}
