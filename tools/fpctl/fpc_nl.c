// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink over libnl-3, see fpc_nl.h: sockets, requests and their ends.
 *
 * libnl finds the family, makes the messages and gets them in.  Its callbacks are not
 * used, for they do three things less than is needed: they know nothing about extended
 * acknowledgements (extack), fold errno values into fewer codes, and ignore the error
 * of a dump that fails half-way, which the kernel puts into NLMSG_DONE.  fpc_parse.c
 * reads all of that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "fpc_nl.h"
#include "fpc_cmd.h"

struct fpc_nl {
	struct nl_sock *sk;
	int family;
	bool debug;
};

/* What is being read: the answers to @request, or events if that is NULL. */
struct call {
	struct nlmsghdr *request;
	const struct fpc_table *table;
	fpc_each *each;
	void *arg;
	struct fpc_nl_error *e;
	bool done;
};

/* A failure on our side of the socket: no errno of the kernel, libnl's words. */
static int fail_local(struct fpc_nl_error *e, enum fpc_exit code, int nlerr)
{
	e->code = code;
	e->err = 0;
	snprintf(e->text, sizeof(e->text), "%s", nl_geterror(nlerr));
	return code;
}

static void dump(const struct fpc_nl *nl, struct nlmsghdr *nlh)
{
	struct nl_msg *msg = nl->debug ? nlmsg_convert(nlh) : NULL;

	if (msg)
		nl_msg_dump(msg, stderr);
	nlmsg_free(msg);
}

static void read_message(struct call *call, struct nlmsghdr *nlh)
{
	struct fpc_attrs reply;
	int rc;

	if (call->request && nlh->nlmsg_seq != call->request->nlmsg_seq)
		return; /* the rest of an older answer */
	if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
		call->done = true;
		fpc_parse_end(nlh, call->request, call->e);
	} else if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && call->each) {
		rc = fpc_parse_attrs(nlh, call->table, &reply);
		if (rc < 0) /* the ACK still follows */
			fail_local(call->e, FPC_EXIT_LOST, rc);
		else
			call->each(&reply, call->arg);
	}
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR && !call->e->code)
		fail_local(call->e, FPC_EXIT_LOST, -NLE_DUMP_INTR);
}

/*
 * Until the end of the answer to call->request, or until there are no more events.
 * Return: 0, or the NLE_* of a socket that has nothing.
 */
static int receive(struct fpc_nl *nl, struct call *call)
{
	struct sockaddr_nl from;
	struct nlmsghdr *nlh;
	unsigned char *buf;
	int n;

	do {
		n = nl_recv(nl->sk, &from, &buf, NULL);
		if (n <= 0)
			return n ? n : -NLE_AGAIN;
		for (nlh = (void *)buf; nlmsg_ok(nlh, n); nlh = nlmsg_next(nlh, &n)) {
			dump(nl, nlh);
			if (!call->done)
				read_message(call, nlh);
		}
		free(buf);
	} while (!call->done && (call->request || !call->e->code));
	return 0;
}

int fpc_nl_ask(struct fpc_nl *nl, uint8_t command, bool list, const struct fpc_table *table,
	       const struct fpc_attrs *attrs, fpc_each *each, void *arg, struct fpc_nl_error *e)
{
	struct call call = { .table = table, .each = each, .arg = arg, .e = e };
	struct nl_msg *msg = nlmsg_alloc();
	int rc = -NLE_NOMEM;

	*e = (struct fpc_nl_error){ 0 };
	if (msg &&
	    genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0, list ? NLM_F_DUMP : 0,
			command, 1) &&
	    (!attrs || !fpc_build_attrs(msg, table, attrs)))
		rc = nl_send_auto(nl->sk, msg);
	if (rc < 0) {
		fail_local(e, FPC_EXIT_REFUSED, rc);
	} else {
		call.request = nlmsg_hdr(msg);
		dump(nl, call.request);
		rc = receive(nl, &call);
		if (rc && !e->code)
			fail_local(e, FPC_EXIT_LOST, rc);
	}
	nlmsg_free(msg);
	return e->code;
}

int fpc_nl_open(struct fpc_nl **out, const char *family, bool debug, struct fpc_nl_error *e)
{
	struct fpc_nl *nl = calloc(1, sizeof(*nl));
	int rc = -NLE_NOMEM, on = 1;

	*e = (struct fpc_nl_error){ 0 };
	*out = NULL;
	if (nl)
		nl->sk = nl_socket_alloc();
	if (!nl || !nl->sk)
		goto fail;
	nl->debug = debug;
	rc = genl_connect(nl->sk);
	if (rc < 0)
		goto fail;
	/* Kernels before 4.12 have no extack: then there is simply no text. */
	setsockopt(nl_socket_get_fd(nl->sk), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(nl_socket_get_fd(nl->sk), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	rc = genl_ctrl_resolve(nl->sk, family);
	if (rc < 0)
		goto fail;
	nl->family = rc;
	*out = nl;
	return 0;
fail:
	fpc_nl_close(nl);
	/* No such family, or a kernel without (generic) netlink at all. */
	if (rc == -NLE_OBJ_NOTFOUND || rc == -NLE_AF_NOSUPPORT || rc == -NLE_PROTO_MISMATCH)
		return fail_local(e, FPC_EXIT_ABSENT, rc);
	return fail_local(e, FPC_EXIT_REFUSED, rc);
}

/* Room for some hundred events, while we print or read the state again. */
#define EVENT_BUFFER (256 << 10)

int fpc_nl_join(struct fpc_nl *nl, const char *family, const char *group, struct fpc_nl_error *e)
{
	int id, rc;

	*e = (struct fpc_nl_error){ 0 };
	id = genl_ctrl_resolve_grp(nl->sk, family, group);
	if (id < 0) {
		fail_local(e, FPC_EXIT_REFUSED, id);
		if (id == -NLE_OBJ_NOTFOUND) /* older than the group */
			e->err = EOPNOTSUPP;
		return e->code;
	}
	rc = nl_socket_set_buffer_size(nl->sk, EVENT_BUFFER, 0);
	if (!rc)
		rc = nl_socket_add_membership(nl->sk, id);
	if (!rc)
		rc = nl_socket_set_nonblocking(nl->sk);
	return rc ? fail_local(e, FPC_EXIT_REFUSED, rc) : 0;
}

int fpc_nl_fd(const struct fpc_nl *nl)
{
	return nl_socket_get_fd(nl->sk);
}

int fpc_nl_events(struct fpc_nl *nl, const struct fpc_table *table, fpc_each *each, void *arg,
		  struct fpc_nl_error *e)
{
	struct call call = { .table = table, .each = each, .arg = arg, .e = e };
	int rc;

	*e = (struct fpc_nl_error){ 0 };
	rc = receive(nl, &call);
	if (e->code || rc == -NLE_AGAIN || rc == -NLE_INTR)
		return e->code;
	/* ENOBUFS is folded into this: the kernel has dropped something. */
	return fail_local(e, rc == -NLE_NOMEM ? FPC_EXIT_LOST : FPC_EXIT_REFUSED, rc);
}

void fpc_nl_close(struct fpc_nl *nl)
{
	if (!nl)
		return;
	nl_socket_free(nl->sk);
	free(nl);
}
