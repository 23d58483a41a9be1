/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a workload is told what to do while it runs: "NAME start ..." leaves a
 * daemon behind, "NAME check|status|stop" asks it through a pair of FIFOs in
 * /run and exits with its answer.  FIFOs, because they need nothing of the
 * kernel that a small guest may lack.
 */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stdint.h>

struct ctl {
	const char *name;
	int fd;			/* the command FIFO, server side */
	int ready_fd;		/* to the "start" command that waits for us */
	int client_pid;		/* who asked last */
};

/*
 * Fork a daemon.  Returns in the child only; the parent waits until the child
 * calls ctl_ready() and exits with its answer.
 */
void ctl_start(struct ctl *c, const char *name);
void ctl_ready(struct ctl *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * The next command, in a static buffer, or NULL if none came within
 * @timeout_ms (0: do not wait, -1: wait for ever) or a signal came.
 */
const char *ctl_command(struct ctl *c, int timeout_ms);
void ctl_answer(struct ctl *c, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void ctl_end(struct ctl *c);

/* The client: send @command, print the answer, return its exit code. */
int ctl_ask(const char *name, const char *command, int limit_s);

/* Small helpers that every workload wants. */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
uint64_t number(const char *text, const char *what);
uint64_t meminfo_kib(const char *key);

#endif
