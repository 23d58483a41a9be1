// SPDX-License-Identifier: GPL-2.0
/*
 * fpc_nl.c against a real kernel, but without cfph: its request, reply, dump
 * and extack paths are tried on "netdev", a family that every kernel since 6.6
 * has and that refuses bad requests to everybody.  Events are tried on the group
 * of the controller, in a network namespace of our own where we may send to it.
 * Prints KTAP.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "fpc_nl.h"
#include "fpc_cmd.h"

/* From Documentation/netlink/specs/netdev.yaml; stable ABI. */
enum {
	DEV_GET = 1,
	QUEUE_GET = 10,
	A_DEV_IFINDEX = 1,
	A_DEV_XDP_FEATURES = 3,
	A_QUEUE_IFINDEX = 2,
};

#define LOOPBACK 1
#define NOBODY 0x7ffffff0

static const struct fpc_field dev_fields[] = {
	{ .attr = A_DEV_IFINDEX, .kind = FPC_U32, .name = "ifindex" },
	{ .attr = A_DEV_XDP_FEATURES, .kind = FPC_U64, .name = "xdp" },
};
static const struct fpc_table dev = { dev_fields, 2 };

/* A wrong idea of the width: as if the kernel sent a malformed reply. */
static const struct fpc_field wide_fields[] = {
	{ .attr = A_DEV_IFINDEX, .kind = FPC_U64, .name = "ifindex" },
};
static const struct fpc_table wide = { wide_fields, 1 };

static const struct fpc_field queue_fields[] = {
	{ .attr = A_QUEUE_IFINDEX, .kind = FPC_U32, .name = "ifindex" },
};
static const struct fpc_table queue = { queue_fields, 1 };

static struct fpc_nl *nl;
static unsigned int tests, failed;

static void show(const struct fpc_nl_error *e)
{
	printf("# code %d, errno %d, attr %u, range %d %llu..%llu, \"%s\"\n", e->code, e->err,
	       e->attr, e->range, (unsigned long long)e->min, (unsigned long long)e->max, e->text);
}

static void result(bool ok, const char *name, const struct fpc_nl_error *e)
{
	if (!ok)
		show(e);
	failed += !ok;
	printf("%sok %u %s\n", ok ? "" : "not ", ++tests, name);
}

static struct fpc_attrs one(uint16_t attr, uint64_t value)
{
	struct fpc_attrs a = { 0 };

	fpc_put(&a, attr, value);
	return a;
}

static void count(const struct fpc_attrs *reply, void *arg)
{
	unsigned int *n = arg;

	if (fpc_have(reply, A_DEV_IFINDEX))
		++*n;
}

static void keep(const struct fpc_attrs *reply, void *arg)
{
	*(struct fpc_attrs *)arg = *reply;
}

/* One answer, or @reply is NULL and nobody wants it. */
static void ask(uint8_t command, const struct fpc_attrs *request, struct fpc_attrs *reply,
		struct fpc_nl_error *e)
{
	if (reply)
		reply->have = 0;
	fpc_nl_ask(nl, command, false, &dev, request, reply ? keep : NULL, reply, e);
}

static void t_do(void)
{
	struct fpc_attrs lo = one(A_DEV_IFINDEX, LOOPBACK), reply;
	struct fpc_nl_error e;

	ask(DEV_GET, &lo, &reply, &e);
	result(!e.code && fpc_have(&reply, A_DEV_IFINDEX) &&
		       reply.value[A_DEV_IFINDEX] == LOOPBACK && !reply.value[FPC_ATTRS - 1] &&
		       fpc_have(&reply, A_DEV_XDP_FEATURES),
	       "a reply with u32 and u64", &e);

	ask(DEV_GET, &lo, NULL, &e);
	result(!e.code, "a reply that nobody wants", &e);
}

static void t_extack(void)
{
	struct fpc_attrs none = one(A_DEV_IFINDEX, NOBODY), reply;
	struct fpc_attrs zero = one(A_DEV_IFINDEX, 0);
	struct fpc_nl_error e;

	ask(DEV_GET, NULL, &reply, &e);
	result(e.code == FPC_EXIT_REFUSED && e.err == EINVAL, "a missing attribute", &e);

	ask(DEV_GET, &zero, &reply, &e);
	result(e.code == FPC_EXIT_REFUSED && e.err == ERANGE && e.attr == A_DEV_IFINDEX &&
		       e.range && e.min == 1 && e.text[0],
	       "out of range: attribute, range and text", &e);

	ask(DEV_GET, &none, &reply, &e);
	result(e.code == FPC_EXIT_REFUSED && e.err == ENODEV && !reply.have,
	       "the kernel's errno is kept", &e);

	ask(200, NULL, &reply, &e);
	result(e.code == FPC_EXIT_REFUSED && e.err == EOPNOTSUPP, "an unknown command", &e);
}

static void t_dump(void)
{
	struct fpc_attrs none = one(A_QUEUE_IFINDEX, NOBODY);
	struct fpc_nl_error e;
	unsigned int n = 0;

	fpc_nl_ask(nl, DEV_GET, true, &dev, NULL, count, &n, &e);
	result(!e.code && n >= 1, "a dump arrives", &e);

	n = 0;
	fpc_nl_ask(nl, DEV_GET, true, &wide, NULL, count, &n, &e);
	result(e.code == FPC_EXIT_LOST && !n, "an attribute that is too short", &e);

	/* This error comes with NLMSG_DONE, where libnl does not look. */
	fpc_nl_ask(nl, QUEUE_GET, true, &queue, &none, count, &n, &e);
	if (e.err == EOPNOTSUPP)
		printf("ok %u a dump that fails # SKIP kernel older than 6.8\n", ++tests);
	else
		result(e.code == FPC_EXIT_REFUSED && e.err == ENODEV, "a dump that fails, fails",
		       &e);
}

/* --- events --------------------------------------------------------------- */

#define A_CTRL_NUMBER 1
#define A_CTRL_TEXT 2
#define NUMBER 42

static const struct fpc_field ctrl_fields[] = {
	{ .attr = A_CTRL_NUMBER, .kind = FPC_U32, .name = "number" },
	{ .attr = A_CTRL_TEXT, .kind = FPC_STRING, .name = "text" },
};
static const struct fpc_table ctrl = { ctrl_fields, 2 };

struct seen {
	unsigned int good, all;
};

static void see(const struct fpc_attrs *event, void *arg)
{
	struct seen *seen = arg;

	seen->all++;
	if (event->value[A_CTRL_NUMBER] == NUMBER &&
	    !strcmp(fpc_data(event, A_CTRL_TEXT), "two lines"))
		seen->good++;
}

/* An event from user space, which needs CAP_NET_ADMIN where we are. */
static bool send_event(int fd)
{
	static const struct {
		struct nlmsghdr nlh;
		struct genlmsghdr genl;
		struct nlattr number;
		uint32_t value;
		struct nlattr text;
		char chars[12]; /* no NUL, and a character that must go */
	} event = {
		.nlh = { .nlmsg_len = sizeof(event) - 3, .nlmsg_type = GENL_ID_CTRL },
		.genl = { .cmd = CTRL_CMD_NEWFAMILY, .version = 1 },
		.number = { .nla_len = 8, .nla_type = A_CTRL_NUMBER },
		.value = NUMBER,
		.text = { .nla_len = 13, .nla_type = A_CTRL_TEXT },
		.chars = "two\nlines",
	};
	struct sockaddr_nl group = {
		.nl_family = AF_NETLINK,
		.nl_groups = 1 << (GENL_ID_CTRL - 1),
	};

	return sendto(fd, &event, sizeof(event), 0, (void *)&group, sizeof(group)) == sizeof(event);
}

/* Until the queue is full; the kernel tells the reader, not the sender. */
static void flood(int fd)
{
	for (unsigned int i = 0; i < 5000; i++)
		send_event(fd);
}

static void t_join(struct fpc_nl *events, int fd)
{
	struct pollfd poll_fd = { .fd = fpc_nl_fd(events), .events = POLLIN };
	struct seen seen = { 0 };
	struct fpc_nl_error e;

	fpc_nl_events(events, &ctrl, see, &seen, &e);
	result(!e.code && !seen.all, "no event, no waiting", &e);

	send_event(fd);
	send_event(fd);
	result(poll(&poll_fd, 1, 0) == 1, "an event makes it readable", &e);
	fpc_nl_events(events, &ctrl, see, &seen, &e);
	result(!e.code && seen.all == 2 && seen.good == 2, "two events: number, string without NUL",
	       &e);

	flood(fd);
	seen = (struct seen){ 0 };
	fpc_nl_events(events, &ctrl, see, &seen, &e);
	result(e.code == FPC_EXIT_LOST, "a queue that was full says lost", &e);
	fpc_nl_events(events, &ctrl, see, &seen, &e);
	result(!e.code && seen.all > 100 && seen.good == seen.all,
	       "what was queued before is still there", &e);
}

static void t_events(void)
{
	struct fpc_nl *events;
	struct fpc_nl_error e;
	int fd;

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		for (unsigned int i = 0; i < 6; i++)
			printf("ok %u events # SKIP no network namespaces\n", ++tests);
		return;
	}
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	fpc_nl_open(&events, "nlctrl", false, &e);
	if (!e.code)
		fpc_nl_join(events, "nlctrl", "notify", &e);
	if (e.code || fd < 0) {
		result(false, "join a group", &e);
		return;
	}
	t_join(events, fd);
	fpc_nl_join(events, "nlctrl", "no-such-group", &e);
	result(e.code == FPC_EXIT_REFUSED && e.err == EOPNOTSUPP, "a group that is not there", &e);
	fpc_nl_close(events);
	close(fd);
}

int main(void)
{
	struct fpc_nl_error e;

	printf("KTAP version 1\n");
	if (fpc_nl_open(&nl, "netdev", false, &e) == FPC_EXIT_ABSENT) {
		printf("1..0 # SKIP this kernel has no netdev family\n");
		return 0;
	}
	if (e.code) {
		show(&e);
		return 1;
	}
	printf("1..16\n");
	t_do();
	t_extack();
	t_dump();
	fpc_nl_close(nl);
	fpc_nl_open(&nl, "no-such-family", false, &e);
	result(e.code == FPC_EXIT_ABSENT && !nl, "a family that is not there", &e);
	t_events();
	return !!failed;
}
