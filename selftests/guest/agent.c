// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's end of the test harness: runs command lines that arrive on a
 * virtio-serial port and sends back what they print.
 *
 *   host   REQ <id> <command line>\n
 *   guest  RES <id> <exit code> <bytes>\n, then so many bytes of output
 *
 * One command at a time.  A line that is not a request is ignored, so a client
 * may begin with an empty line whatever the one before it left behind.  The
 * port outlives its clients and a migration: when the host end goes away, the
 * answer that nobody waits for is dropped and the agent waits for the next.
 *
 * A command that leaves processes behind is answered as soon as the shell
 * itself has ended; their later output is lost.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES	8192
#define OUTPUT_MAX	(1 << 20)

static int port = -1;

/* The host came or went: virtio_console says so with SIGIO. */
static void on_io(int sig)
{
	(void)sig;
}

static void wait_for_host(void)
{
	/* SIGIO may come just before we sleep: never longer than this. */
	const struct timespec limit = { .tv_nsec = 100000000 };

	nanosleep(&limit, NULL);
}

/* Returns false if the host end is closed. */
static int port_wait(short events)
{
	struct pollfd p = { .fd = port, .events = events };

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return 0;
	return !(p.revents & POLLHUP) || (p.revents & POLLIN);
}

static int port_write(const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(port, data, len);

		if (n > 0) {
			data += n;
			len -= n;
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else if (n < 0 && errno == EAGAIN) {
			if (!port_wait(POLLOUT))
				return -1;
		} else {
			return -1;
		}
	}
	return 0;
}

/* Next line without its newline; what a vanished client began is dropped. */
static char *port_line(void)
{
	static char line[LINE_MAX_BYTES];
	size_t len = 0;

	for (;;) {
		char c;
		ssize_t n = read(port, &c, 1);

		if (n == 1) {
			if (c == '\n') {
				line[len] = 0;
				return line;
			}
			if (len < sizeof(line) - 1)
				line[len++] = c;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (port_wait(POLLIN))
				continue;
		}
		len = 0;
		wait_for_host();
	}
}

static void child(const char *command, int out)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "w");

	if (f) {
		fputs("0", f);
		fclose(f);
	}
	setsid();
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(out, 1);
	dup2(out, 2);
	signal(SIGIO, SIG_DFL);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* Read what is there now; more output than we keep is thrown away. */
static void drain(int fd, char *buf, size_t *len)
{
	char sink[4096];

	for (;;) {
		size_t room = OUTPUT_MAX - *len;
		ssize_t n = room ? read(fd, buf + *len, room) :
				   read(fd, sink, sizeof(sink));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		if (room)
			*len += n;
	}
}

static int run(const char *command, char *buf, size_t *len)
{
	int out[2], status = 0;
	sigset_t set, old;
	pid_t pid, done;

	*len = 0;
	if (pipe2(out, O_CLOEXEC))
		return 126;
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	/* SIGCHLD is only let through inside ppoll(): no wake-up is lost. */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &old);
	pid = fork();
	if (!pid) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		child(command, out[1]);
	}
	close(out[1]);
	do {
		struct pollfd p = { .fd = out[0], .events = POLLIN };

		done = waitpid(pid, &status, WNOHANG);
		if (!done) {
			ppoll(&p, 1, NULL, &old);
			if (p.revents & POLLHUP)	/* closed early: just wait */
				done = waitpid(pid, &status, 0);
		}
		drain(out[0], buf, len);
	} while (!done && pid > 0);
	close(out[0]);
	sigprocmask(SIG_SETMASK, &old, NULL);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

static void nothing(int sig)
{
	(void)sig;
}

int main(int argc, char **argv)
{
	struct sigaction io = { .sa_handler = on_io };
	struct sigaction chld = { .sa_handler = nothing };
	char *buf = malloc(OUTPUT_MAX);
	FILE *f;

	if (argc != 2 || !buf) {
		fprintf(stderr, "usage: agent /dev/virtio-ports/NAME\n");
		return 2;
	}
	/* The last process to be killed, and never paged: it must answer. */
	f = fopen("/proc/self/oom_score_adj", "w");
	if (f) {
		fputs("-1000", f);
		fclose(f);
	}
	memset(buf, 0, OUTPUT_MAX);
	mlockall(MCL_CURRENT);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGIO, &io, NULL);
	sigaction(SIGCHLD, &chld, NULL);
	port = open(argv[1], O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (port < 0) {
		fprintf(stderr, "agent: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	fcntl(port, F_SETOWN, getpid());
	fcntl(port, F_SETFL, O_NONBLOCK | O_ASYNC);

	for (;;) {
		char *line = port_line(), head[96], *command;
		size_t len;
		int rc, n;
		long id;

		if (strncmp(line, "REQ ", 4))
			continue;
		id = strtol(line + 4, &command, 10);
		if (*command != ' ')
			continue;
		rc = run(command + 1, buf, &len);
		n = snprintf(head, sizeof(head), "RES %ld %d %zu\n", id, rc,
			     len);
		if (!port_write(head, n))
			port_write(buf, len);
	}
}
