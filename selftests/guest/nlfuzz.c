// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzes the generic netlink family cfph from user space.
 *
 *	nlfuzz [-s seed] [-n messages] [-t seconds] [-p processes] [-f]
 *
 * Every second process is an unprivileged user.  Each sends so many messages, or
 * for so long; what it sends follows from the seed and its own number, and never
 * from an answer, so a run can be repeated.  -f lets the kernel's allocations on
 * behalf of these processes fail, if fault injection has been set up.
 *
 * Most messages are wrong, and what comes of them is only counted; but all that
 * comes back must be well-formed, and some questions have one right answer: those
 * are the probes.  Exit code 1 if an answer was wrong.
 *
 * Netlink works in the context of sendmsg() and recvmsg(): when the first returns,
 * the answer is there.  So nothing here waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/cfph.h>

#include "ctl.h"
#include "nlfuzz.h"
#include "pattern.h"

#define PROCESSES_MAX	64
#define SOMEBODY	1000	/* an unprivileged user */

static struct tally *tally;	/* shared by all processes */

/* --- what comes back --- */

static void count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static void wrong(struct fuzz *f, const char *text, long value)
{
	fprintf(stderr, "nlfuzz: WRONG: process %d, message %llu: %s: %ld\n",
		f->number, (unsigned long long)f->sent, text, value);
	exit(1);
}

static void count_errno(struct fuzz *f, int error)
{
	if (error > 0 || -error >= ERRNO_MAX)
		wrong(f, "no errno", error);
	count(&tally->refused[-error]);
}

static void check_attrs(struct fuzz *f, const char *data, size_t len)
{
	while (len >= sizeof(struct nlattr)) {
		struct nlattr nla;
		size_t step;

		memcpy(&nla, data, sizeof(nla));
		step = NLA_ALIGN(nla.nla_len);
		if (nla.nla_len < sizeof(nla) || nla.nla_len > len)
			wrong(f, "attribute of length", nla.nla_len);
		if (step >= len)
			return;
		data += step;
		len -= step;
	}
	if (len)
		wrong(f, "bytes behind the last attribute", len);
}

static void check_family(struct fuzz *f, const struct nlmsghdr *n)
{
	const struct genlmsghdr *g = NLMSG_DATA(n);

	if (n->nlmsg_len < NLMSG_LENGTH(GENL_HDRLEN))
		wrong(f, "a reply of length", n->nlmsg_len);
	if (!g->cmd || g->cmd > CFPH_CMD_MAX || g->version != CFPH_FAMILY_VERSION)
		wrong(f, "a reply with command", g->cmd);
	count(g->cmd == CFPH_CMD_EVENT_NTF ? &tally->events : &tally->replies);
	f->replies++;
	check_attrs(f, (const char *)g + GENL_HDRLEN,
		    n->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN));
}

/* The error of the first NLMSG_ERROR of a datagram goes to @answer. */
static void check_datagram(struct fuzz *f, const char *data, size_t len,
			   int *answer)
{
	while (len) {
		const struct nlmsghdr *n = (const struct nlmsghdr *)data;
		int error;

		if (len < sizeof(*n) || n->nlmsg_len < sizeof(*n) ||
		    n->nlmsg_len > len)
			wrong(f, "a message that does not fit", len);
		switch (n->nlmsg_type) {
		case NLMSG_ERROR:
		case NLMSG_DONE:
			memcpy(&error, NLMSG_DATA(n), sizeof(error));
			if (n->nlmsg_type == NLMSG_DONE && error >= 0)
				count(&tally->dumps);
			else
				count_errno(f, error);
			if (*answer > 0)
				*answer = error;
			break;
		case NLMSG_OVERRUN:
			break;
		default:
			if (n->nlmsg_type != f->family)
				wrong(f, "a message of type", n->nlmsg_type);
			check_family(f, n);
		}
		data += n->nlmsg_len < len ? NLMSG_ALIGN(n->nlmsg_len) : len;
		len -= n->nlmsg_len < len ? NLMSG_ALIGN(n->nlmsg_len) : len;
	}
}

/* One datagram, or as much of it as @size allows; false if there is none. */
static bool receive(struct fuzz *f, int fd, size_t size, int *answer)
{
	static char buf[RECEIVE_MAX] __attribute__((aligned(8)));
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

	if (n < 0) {
		if (errno == EAGAIN)
			return false;
		/* Events were lost, or a dump could not go on. */
		count(errno == ENOBUFS ? &tally->overruns :
					 &tally->refused[errno]);
		return errno == ENOBUFS;
	}
	if (msg.msg_flags & MSG_TRUNC)
		count(&tally->truncated);
	else
		check_datagram(f, buf, n, answer);
	return true;
}

/* All that is there, dumps to their end; 1 if there was no error message. */
static int receive_all(struct fuzz *f, int fd)
{
	int answer = 1;

	while (receive(f, fd, RECEIVE_MAX, &answer))
		;
	return answer;
}

/* --- sockets --- */

static int open_socket(void)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	/* With faults injected neither can be relied on. */
	if (fd >= 0 && bind(fd, (void *)&any, sizeof(any))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void set_option(int fd, int option, int value)
{
	setsockopt(fd, SOL_NETLINK, option, &value, sizeof(value));
}

/* Options by chance; a receive buffer of the least size if @tiny. */
static int open_odd(struct fuzz *f, bool tiny)
{
	static const int options[] = {
		NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK,
		NETLINK_NO_ENOBUFS, NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR,
	};
	uint64_t bits = chance(f) >> 8;
	int fd = open_socket(), one = 1;

	if (fd < 0)
		return fd;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		set_option(fd, options[i], bits >> i & 1);
	if (tiny)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof(one));
	return fd;
}

static bool transmit(struct fuzz *f, int fd, size_t len)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	f->sent++;
	count(&tally->sent);
	if (sendto(fd, f->buf, len, MSG_DONTWAIT, (void *)&kernel,
		   sizeof(kernel)) >= 0)
		return true;
	count(&tally->refused[errno]);
	return false;
}

/* --- what is done --- */

/* A question with one right answer. */
static void do_probe(struct fuzz *f)
{
	struct probe p;
	size_t len = make_probe(f, &p);
	int fd = open_socket(), answer;

	if (fd < 0)
		return;
	if (transmit(f, fd, len)) {
		answer = receive_all(f, fd);
		count(&tally->probes);
		if (!f->faults && answer != p.right) {
			fprintf(stderr, "nlfuzz: %s, %lld: the right answer is %d\n",
				p.what, (long long)p.value, p.right);
			wrong(f, "answer", answer);
		}
	}
	close(fd);
}

/* Whatever it is: it is answered, and that is all. */
static void do_message(struct fuzz *f)
{
	size_t len = make_message(f);

	if (f->fd < 0 || !below(f, 50)) {
		if (f->fd >= 0)
			close(f->fd);
		f->fd = open_odd(f, false);
	}
	if (f->fd >= 0 && transmit(f, f->fd, len))
		receive_all(f, f->fd);
}

/*
 * A socket that stays open with a dump that has begun, or with events that nobody
 * reads: it gets a datagram from time to time, or is closed.
 */
static void do_slot(struct fuzz *f)
{
	int *slot = &f->slot[below(f, FUZZ_SLOTS)];
	bool tiny = below(f, 2), listen = !below(f, 3);
	size_t size = 16 + below(f, 9000), len;
	uint64_t what = below(f, 8);
	int answer = 1;

	if (what < 2 && *slot >= 0) {
		if (what)
			receive_all(f, *slot);
		close(*slot);
		*slot = -1;
	}
	if (*slot >= 0) {
		receive(f, *slot, size, &answer);
		return;
	}
	len = make_dump(f);
	*slot = open_odd(f, tiny);
	if (*slot < 0)
		return;
	if (listen)
		set_option(*slot, NETLINK_ADD_MEMBERSHIP, f->group);
	else
		transmit(f, *slot, len);
}

/* It works for who asks as it should. */
static void do_get(struct fuzz *f)
{
	uint64_t replies = f->replies;
	size_t len = make_get(f);
	int fd = open_socket(), answer;

	if (fd < 0)
		return;
	if (transmit(f, fd, len)) {
		answer = receive_all(f, fd);
		if (!f->faults && (answer || f->replies != replies + 1))
			wrong(f, "get has no reply, but", answer);
	}
	close(fd);
}

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static void work(struct fuzz *f, uint64_t messages, time_t seconds)
{
	time_t end = now() + seconds;

	while (f->sent < messages && now() < end) {
		uint64_t what = below(f, 100);

		if (what < 2)
			do_get(f);
		else if (what < 25)
			do_probe(f);
		else if (what < 45)
			do_slot(f);
		else
			do_message(f);
	}
}

/* --- processes --- */

static void find_family(struct fuzz *f)
{
	char answer[RECEIVE_MAX];
	size_t len = make_family_request(f);
	int fd = open_socket();
	ssize_t n;

	if (fd < 0 || !transmit(f, fd, len))
		die("no generic netlink: %s", strerror(errno));
	n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	close(fd);
	if (n < 0 || !read_family(f, answer, n))
		die("no family " CFPH_FAMILY_NAME);
}

static void let_it_fail(void)
{
	int fd = open("/proc/self/make-it-fail", O_WRONLY);

	if (fd < 0 || write(fd, "1", 1) != 1)
		die("/proc/self/make-it-fail: %s", strerror(errno));
	close(fd);
}

static void one_process(struct fuzz *f, uint64_t messages, time_t seconds)
{
	if (!f->root && (setgroups(0, NULL) || setgid(SOMEBODY)))
		die("setgid: %s", strerror(errno));
	/* Last: a user may not do it. */
	if (f->faults)
		let_it_fail();
	if (!f->root && setuid(SOMEBODY))
		die("setuid: %s", strerror(errno));
	/* It hangs: the signal ends it, and the parent says so. */
	alarm(seconds + 60);
	work(f, messages, seconds);
	exit(0);
}

static int wait_for_all(int processes)
{
	int status, bad = 0;

	while (processes--) {
		if (wait(&status) < 0)
			die("wait: %s", strerror(errno));
		if (WIFSIGNALED(status))
			fprintf(stderr, "nlfuzz: WRONG: a process died of %s\n",
				strsignal(WTERMSIG(status)));
		bad |= status;
	}
	return bad;
}

static void print_tally(uint64_t seed)
{
	const struct tally *t = tally;

	printf("nlfuzz: seed=%llu sent=%llu probes=%llu replies=%llu dumps=%llu events=%llu overruns=%llu truncated=%llu ACK=%llu",
	       (unsigned long long)seed, (unsigned long long)t->sent,
	       (unsigned long long)t->probes, (unsigned long long)t->replies,
	       (unsigned long long)t->dumps, (unsigned long long)t->events,
	       (unsigned long long)t->overruns,
	       (unsigned long long)t->truncated,
	       (unsigned long long)t->refused[0]);
	for (int error = 1; error < ERRNO_MAX; error++)
		if (t->refused[error])
			printf(" %s=%llu", strerrorname_np(error) ?: "E?",
			       (unsigned long long)t->refused[error]);
	putchar('\n');
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, messages = UINT64_MAX, processes = 4, seconds = 10;
	struct fuzz f = { .root = true };
	int option;

	while ((option = getopt(argc, argv, "s:n:t:p:f")) != -1) {
		switch (option) {
		case 's':
			seed = number(optarg, "-s");
			break;
		case 'n':
			messages = number(optarg, "-n");
			break;
		case 't':
			seconds = number(optarg, "-t");
			break;
		case 'p':
			processes = number(optarg, "-p");
			break;
		case 'f':
			f.faults = true;
			break;
		default:
			die("usage: nlfuzz [-s seed] [-n messages] [-t seconds] [-p processes] [-f]");
		}
	}
	if (!processes || processes > PROCESSES_MAX)
		die("-p: 1 to %d processes", PROCESSES_MAX);
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	f.buf = malloc(MESSAGE_MAX);
	if (tally == MAP_FAILED || !f.buf)
		die("no memory");
	printf("nlfuzz: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	find_family(&f);
	f.sent = tally->sent = 0;
	f.fd = -1;
	for (int i = 0; i < FUZZ_SLOTS; i++)
		f.slot[i] = -1;

	for (f.number = 0; f.number < (int)processes; f.number++) {
		struct stamp who = { .owner = seed, .area = f.number };
		pid_t pid;

		f.root = f.number % 2 == 0;
		f.rng = pattern_seed(&who);
		pid = fork();
		if (pid < 0)
			die("fork: %s", strerror(errno));
		if (!pid)
			one_process(&f, messages, seconds);
	}
	option = wait_for_all(processes);
	print_tally(seed);
	return option ? 1 : 0;
}
