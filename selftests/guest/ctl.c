// SPDX-License-Identifier: GPL-2.0
/* See ctl.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"

#define TEXT_MAX 1024

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

uint64_t number(const char *text, const char *what)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end)
		die("%s: not a number: '%s'", what, text);
	return n;
}

uint64_t meminfo_kib(const char *key)
{
	char line[128];
	unsigned long long kib = 0;
	size_t len = strlen(key);
	FILE *f = fopen("/proc/meminfo", "r");

	if (!f)
		die("/proc/meminfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, len) && line[len] == ':')
			sscanf(line + len + 1, "%llu", &kib);
	fclose(f);
	return kib;
}

static void fifo_path(char *buf, const char *name, int client_pid)
{
	if (client_pid)
		snprintf(buf, 96, "/run/%s.%d", name, client_pid);
	else
		snprintf(buf, 96, "/run/%s.ctl", name);
}

static void write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= n;
	}
}

/* "rc text", the only form that travels: to the starter and to clients. */
static int print_answer(int fd)
{
	char buf[TEXT_MAX];
	size_t len = 0;
	ssize_t n;
	char *text;
	long rc;

	while (len < sizeof(buf) - 1) {
		n = read(fd, buf + len, sizeof(buf) - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += n;
	}
	buf[len] = 0;
	rc = strtol(buf, &text, 10);
	if (text == buf) {
		fprintf(stderr, "no answer: the daemon has died\n");
		return 3;
	}
	puts(*text == ' ' ? text + 1 : text);
	fflush(stdout);
	return rc;
}

void ctl_start(struct ctl *c, const char *name)
{
	char path[96];
	int pipe_fd[2];
	pid_t pid;

	signal(SIGPIPE, SIG_IGN);
	fifo_path(path, name, 0);
	if (pipe(pipe_fd))
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid) {
		close(pipe_fd[1]);
		exit(print_answer(pipe_fd[0]));
	}
	close(pipe_fd[0]);
	setsid();
	unlink(path);
	if (mkfifo(path, 0600))
		die("%s: %s", path, strerror(errno));
	c->name = name;
	c->ready_fd = pipe_fd[1];
	/* Read and write: a FIFO without writers would look closed. */
	c->fd = open(path, O_RDWR | O_CLOEXEC);
	if (c->fd < 0)
		die("%s: %s", path, strerror(errno));
}

void ctl_ready(struct ctl *c, const char *fmt, ...)
{
	char buf[TEXT_MAX] = "0 ";
	int null = open("/dev/null", O_RDWR);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + 2, sizeof(buf) - 2, fmt, ap);
	va_end(ap);
	/* Nobody may wait for output of ours from here on. */
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	write_all(c->ready_fd, buf, strlen(buf));
	close(c->ready_fd);
}

const char *ctl_command(struct ctl *c, int timeout_ms)
{
	static char buf[TEXT_MAX];
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	size_t len = 0;
	char *space;

	if (poll(&p, 1, timeout_ms) <= 0)
		return NULL;
	/* One line, byte by byte: the next client's may follow at once. */
	while (len < sizeof(buf) - 1) {
		if (read(c->fd, buf + len, 1) != 1 || buf[len] == '\n')
			break;
		len++;
	}
	buf[len] = 0;
	c->client_pid = strtol(buf, &space, 10);
	return *space == ' ' ? space + 1 : space;
}

void ctl_answer(struct ctl *c, int rc, const char *fmt, ...)
{
	char path[96], buf[TEXT_MAX];
	va_list ap;
	int fd, n;

	n = snprintf(buf, sizeof(buf), "%d ", rc);
	va_start(ap, fmt);
	vsnprintf(buf + n, sizeof(buf) - n, fmt, ap);
	va_end(ap);
	fifo_path(path, c->name, c->client_pid);
	fd = open(path, O_WRONLY | O_NONBLOCK);	/* the client may be gone */
	if (fd < 0)
		return;
	write_all(fd, buf, strlen(buf));
	close(fd);
}

void ctl_end(struct ctl *c)
{
	char path[96];

	fifo_path(path, c->name, 0);
	unlink(path);
}

static char own_fifo[96];

static void too_late(int sig)
{
	static const char text[] = "no answer within the time limit\n";

	(void)sig;
	if (write(2, text, sizeof(text) - 1))
		unlink(own_fifo);
	_exit(4);
}

int ctl_ask(const char *name, const char *command, int limit_s)
{
	char path[96], line[TEXT_MAX];
	int fd, reply, rc;

	fifo_path(path, name, 0);
	fifo_path(own_fifo, name, getpid());
	fd = open(path, O_WRONLY | O_NONBLOCK);
	if (fd < 0)
		die("%s does not run (%s: %s)", name, path, strerror(errno));
	if (mkfifo(own_fifo, 0600))
		die("%s: %s", own_fifo, strerror(errno));
	/* Opened before we ask, so that the answer finds a reader. */
	reply = open(own_fifo, O_RDONLY | O_NONBLOCK);
	if (reply < 0)
		die("%s: %s", own_fifo, strerror(errno));
	signal(SIGALRM, too_late);
	alarm(limit_s);
	snprintf(line, sizeof(line), "%d %s\n", getpid(), command);
	write_all(fd, line, strlen(line));

	/* A FIFO that had no writer yet reads as ended: wait for data. */
	struct pollfd p = { .fd = reply, .events = POLLIN };

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	fcntl(reply, F_SETFL, 0);
	rc = print_answer(reply);
	unlink(own_fifo);
	return rc;
}
