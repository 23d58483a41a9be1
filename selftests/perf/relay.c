// SPDX-License-Identifier: GPL-2.0
/*
 * relay RATE LISTEN TARGET: a link of RATE bytes a second between two UNIX sockets
 *
 * QEMU's max-bandwidth does not count while the guest stands still, so what is
 * measured with it alone has a last round that no link has.  This one holds the rate
 * all the time, and keeps next to nothing: what it has taken from the source is at
 * the destination before it takes more.
 *
 * One connection; the other way (the return path) is not limited.  Prints "ready"
 * when it listens and, when the source has closed, bytes and nanoseconds from the
 * first byte to the last.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NS		1000000000ull
#define CHUNK		65536u
/* A burst: what may pass at once after a pause.  Two milliseconds, so that a
 * machine that is busy does not turn a fast link into a slow one.
 */
#define BURST_PART	500

static void die(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

/* --- the token bucket --- */

struct bucket {
	uint64_t rate, most;	/* bytes a second; bytes */
	uint64_t level, at;	/* bytes; when that was so */
};

static void bucket_fill(struct bucket *b, uint64_t now)
{
	/* Only the time that has become whole bytes is used up. */
	uint64_t bytes = (unsigned __int128)(now - b->at) * b->rate / NS;

	b->at += (unsigned __int128)bytes * NS / b->rate;
	b->level += bytes;
	if (b->level >= b->most) {
		b->level = b->most;
		b->at = now;
	}
}

/* Nanoseconds until there are @bytes. */
static uint64_t bucket_wait(const struct bucket *b, uint64_t bytes)
{
	if (b->level >= bytes)
		return 0;
	return (unsigned __int128)(bytes - b->level) * NS / b->rate + 1;
}

/* --- sockets --- */

static int unix_socket(const char *path, struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(address->sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(address->sun_path, path);
	if (fd < 0)
		die("socket");
	return fd;
}

static int accept_one(const char *path)
{
	struct sockaddr_un address;
	int fd = unix_socket(path, &address), one;

	if (bind(fd, (void *)&address, sizeof(address)) || listen(fd, 1))
		die(path);
	puts("ready");
	fflush(stdout);
	one = accept(fd, NULL, NULL);
	if (one < 0)
		die("accept");
	close(fd);
	unlink(path);
	return one;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address;
	int fd = unix_socket(path, &address), size = CHUNK;

	/* What is on the way to the destination is little, too. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (connect(fd, (void *)&address, sizeof(address)))
		die(path);
	return fd;
}

/* False: nobody is there any more. */
static int forward(int from, int to, size_t most, uint64_t *bytes)
{
	static char buf[CHUNK];
	ssize_t n = read(from, buf, most < CHUNK ? most : CHUNK);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	for (ssize_t done = 0; done < n;) {
		ssize_t w = send(to, buf + done, n - done, MSG_NOSIGNAL);

		if (w < 0 && errno != EINTR)
			return 0;
		done += w > 0 ? w : 0;
	}
	*bytes += n;
	return 1;
}

/* Until the source has closed. */
static void relay(struct bucket *b, int source, int target)
{
	uint64_t bytes = 0, back = 0, first = 0, last = 0, before;
	struct pollfd p[2] = { { target, POLLIN, 0 }, { source, POLLIN, 0 } };
	/* Not byte by byte: each time costs the guests a processor. */
	uint64_t enough = b->most < CHUNK ? b->most : CHUNK;

	for (;;) {
		struct timespec t = { 0 };
		uint64_t wait;

		bucket_fill(b, now_ns());
		wait = bucket_wait(b, enough);
		t.tv_sec = wait / NS;
		t.tv_nsec = wait % NS;
		if (ppoll(p, wait ? 1 : 2, wait ? &t : NULL, NULL) < 0)
			continue;
		if (p[0].revents && !forward(target, source, CHUNK, &back))
			p[0].fd = -1;
		if (wait || !p[1].revents)
			continue;
		before = bytes;
		if (!first)
			first = now_ns();
		if (!forward(source, target, b->level, &bytes))
			break;
		last = now_ns();
		b->level -= bytes - before;
	}
	printf("%llu %llu\n", (unsigned long long)bytes,
	       (unsigned long long)(last > first ? last - first : 0));
}

int main(int argc, char **argv)
{
	struct bucket b = { 0 };
	int source;

	b.rate = argc == 4 ? strtoull(argv[1], NULL, 10) : 0;
	if (!b.rate) {
		fprintf(stderr, "usage: relay BYTES-A-SECOND LISTEN TARGET\n");
		return 2;
	}
	b.most = b.rate / BURST_PART;
	if (b.most < 4096)
		b.most = 4096;
	/* A wire has no load: as far as we may, never wait for a processor. */
	prctl(PR_SET_TIMERSLACK, 1);
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 });
	source = accept_one(argv[2]);
	b.at = now_ns();
	b.level = b.most;
	relay(&b, source, connect_to(argv[3]));
	return 0;
}
