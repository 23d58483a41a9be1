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
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <linux/cfph.h>

#include "fpc_ask.h"
#include "fpc_out.h"
#include "fpc_wait.h"

#define NS_PER_MS 1000000

static int signals = -1;

/* To be called before the first datum is asked for. */
static int begin(const char *cmd)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals >= 0)
		return FPC_EXIT_OK;
	return fpc_fail(FPC_EXIT_LOST, "%s: cannot wait for signals", cmd);
}

static void end(void)
{
	close(signals);
	signals = -1;
}

/* Milliseconds until then for poll(), rounded up: never early. */
static int timeout(uint64_t deadline_ns)
{
	uint64_t now = fpc_clock(CLOCK_BOOTTIME), ms;

	if (deadline_ns == FPC_WAIT_FOREVER)
		return -1;
	ms = now < deadline_ns ? (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;
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
			return fds[0].revents || fds[1].revents ? FPC_WAIT_STOP : FPC_WAIT_READY;
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

int fpc_wait_seconds(const char *cmd, const char *option, const char *word, unsigned int min_ms,
		     uint64_t *ns)
{
	static const unsigned int scale[] = { 1000, 100, 10, 1 };
	uint64_t s = 0, ms = 0;
	int digits = 0, read = 0;

	/* %n: what has been read by then; scanf() itself would take a sign. */
	if (word[0] >= '0' && word[0] <= '9')
		sscanf(word, "%9" SCNu64 "%n", &s, &read);
	if (word[read] == '.' && word[read + 1] >= '0' && word[read + 1] <= '9') {
		read++;
		sscanf(word + read, "%3" SCNu64 "%n", &ms, &digits);
	}
	ms = s * 1000 + ms * scale[digits];
	if (!read || word[read + digits] || ms > 86400000 || ms < min_ms)
		return fpc_fail(FPC_EXIT_USAGE, "%s --%s %s: not a number of seconds, %s..86400",
				cmd, option, word, min_ms ? "0.1" : "0");
	*ns = ms * NS_PER_MS;
	return FPC_EXIT_OK;
}

int fpc_events(const struct fpc_ctx *ctx, const char *cmd,
	       int (*loop)(const struct fpc_ctx *ctx, struct fpc_nl *events, void *arg), void *arg)
{
	struct fpc_nl *events;
	struct fpc_nl_error e;
	int rc = begin(cmd);

	if (rc)
		return rc;
	if (fpc_nl_open(&events, CFPH_FAMILY_NAME, ctx->opt['d'], &e) ||
	    fpc_nl_join(events, CFPH_FAMILY_NAME, CFPH_MCGRP_MONITOR, &e))
		rc = fpc_fail_kernel(cmd, NULL, &e);
	else
		rc = loop(ctx, events, arg);
	fpc_nl_close(events);
	end();
	return rc;
}

/* Between two times: a terminal begins again at its top. */
static void separate(const struct fpc_ctx *ctx, bool first)
{
	if (ctx->json)
		return;
	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	else if (!first)
		putchar('\n');
}

int fpc_watch(const struct fpc_ctx *ctx, const char *cmd,
	      int (*once)(const struct fpc_ctx *ctx, void *arg), void *arg)
{
	uint64_t period, now, next = fpc_clock(CLOCK_BOOTTIME);
	int rc;

	if (!ctx->opt['w'])
		return once(ctx, arg);
	if (fpc_wait_seconds(cmd, "watch", ctx->opt['w'], 100, &period))
		return FPC_EXIT_USAGE;
	rc = begin(cmd);
	if (rc)
		return rc;
	for (bool first = true;; first = false) {
		separate(ctx, first);
		rc = once(ctx, arg);
		if (rc || !fpc_wait_flush())
			break; /* main() reports what matters */
		/* The period is kept, unless we have slept through some. */
		now = fpc_clock(CLOCK_BOOTTIME);
		next += period;
		if (next < now)
			next = now + period;
		if (fpc_wait(-1, next) == FPC_WAIT_STOP)
			break;
	}
	end();
	return rc;
}
