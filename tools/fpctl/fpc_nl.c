// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink over libnl-3, see fpc_nl.h: sockets, requests and their ends.
 *
 * Three things that libnl does not do for us:
 * - It knows nothing about extended acknowledgements (extack): we switch them
 *   on, and fpc_parse.c reads them.
 * - It folds errno values into its own, fewer, codes: we take the errno from
 *   struct nlmsgerr in the error callback, never from nl_recvmsgs().
 * - It ignores the error of a dump that fails half-way, which the kernel puts
 *   into NLMSG_DONE: on_done() reads it.
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

#include "fpc_parse.h"
#include "fpctl.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

struct fpc_nl {
	struct nl_sock *sk;
	int family;
	bool debug;
};

/* One request under way. */
struct call {
	struct nl_msg *request;
	const struct fpc_table *table;
	void (*each)(const struct fpc_attrs *reply, void *arg);
	void *arg;
	struct fpc_nl_error *e;
	bool done;
	struct fpc_attrs reply;
};

/* A failure on our side of the socket: no errno of the kernel, libnl's words. */
static int fail_local(struct fpc_nl_error *e, enum fpc_exit code, int nlerr)
{
	e->code = code;
	e->err = 0;
	snprintf(e->text, sizeof(e->text), "%s", nl_geterror(nlerr));
	return code;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *err, void *arg)
{
	struct nlmsghdr *nlh = (void *)((char *)err - NLMSG_HDRLEN);
	struct call *call = arg;

	(void)from;
	call->done = true;
	fpc_parse_ack(nlh, nlmsg_hdr(call->request), call->e);
	return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	struct call *call = arg;

	call->done = true;
	fpc_parse_ack(nlmsg_hdr(msg), nlmsg_hdr(call->request), call->e);
	return NL_STOP;
}

static int on_done(struct nl_msg *msg, void *arg)
{
	struct call *call = arg;

	call->done = true;
	fpc_parse_done(nlmsg_hdr(msg), nlmsg_hdr(call->request), call->e);
	return NL_STOP;
}

static int on_valid(struct nl_msg *msg, void *arg)
{
	struct call *call = arg;
	int rc;

	if (!call->each)
		return NL_SKIP;
	rc = fpc_parse_attrs(nlmsg_hdr(msg), call->table, &call->reply);
	if (rc < 0) {
		fail_local(call->e, FPC_EXIT_LOST, rc);
		return NL_SKIP; /* the ACK still follows */
	}
	call->each(&call->reply, call->arg);
	return NL_OK;
}

static int on_message(struct nl_msg *msg, void *arg)
{
	(void)arg;
	nl_msg_dump(msg, stderr);
	return NL_OK;
}

/* Send call->request, and read until its ACK, its error or the end of a dump. */
static int transact(struct fpc_nl *nl, struct call *call)
{
	struct fpc_nl_error *e = call->e;
	struct nl_cb *cb;
	int rc;

	cb = nl_cb_alloc(NL_CB_DEFAULT);
	if (!cb)
		return fail_local(e, FPC_EXIT_REFUSED, -NLE_NOMEM);
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, call);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, call);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_done, call);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_valid, call);
	if (nl->debug)
		nl_cb_set(cb, NL_CB_MSG_IN, NL_CB_CUSTOM, on_message, NULL);

	rc = nl_send_auto(nl->sk, call->request);
	if (rc < 0) {
		fail_local(e, FPC_EXIT_REFUSED, rc);
		goto out;
	}
	if (nl->debug)
		nl_msg_dump(call->request, stderr);
	do {
		rc = nl_recvmsgs(nl->sk, cb);
	} while (rc >= 0 && !call->done);
	/*
	 * Once the end was seen, the handlers know better than rc what has
	 * happened - except that only rc tells of a dump whose list changed
	 * under the kernel's feet.
	 */
	if (!e->code && (!call->done || rc == -NLE_DUMP_INTR))
		fail_local(e, FPC_EXIT_LOST, rc);
out:
	nl_cb_put(cb);
	return e->code;
}

static int request(struct fpc_nl *nl, uint8_t command, int flags,
		   const struct fpc_attrs *attrs, struct call *call)
{
	struct fpc_nl_error *e = call->e;

	*e = (struct fpc_nl_error){ 0 };
	call->request = nlmsg_alloc();
	if (!call->request ||
	    !genlmsg_put(call->request, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family,
			 0, flags, command, 1) ||
	    (attrs && fpc_build_attrs(call->request, call->table, attrs) < 0))
		fail_local(e, FPC_EXIT_REFUSED, -NLE_NOMEM);
	else
		transact(nl, call);
	nlmsg_free(call->request);
	return e->code;
}

static void keep_reply(const struct fpc_attrs *reply, void *arg)
{
	*(struct fpc_attrs *)arg = *reply;
}

int fpc_nl_do(struct fpc_nl *nl, uint8_t command, const struct fpc_table *table,
	      const struct fpc_attrs *attrs, struct fpc_attrs *reply,
	      struct fpc_nl_error *e)
{
	struct call call = {
		.table = table,
		.each = reply ? keep_reply : NULL,
		.arg = reply,
		.e = e,
	};

	if (reply)
		reply->have = reply->used = 0;
	return request(nl, command, 0, attrs, &call);
}

int fpc_nl_dump(struct fpc_nl *nl, uint8_t command,
		const struct fpc_table *table, const struct fpc_attrs *attrs,
		void (*each)(const struct fpc_attrs *reply, void *arg),
		void *arg, struct fpc_nl_error *e)
{
	struct call call = { .table = table, .each = each, .arg = arg, .e = e };

	return request(nl, command, NLM_F_DUMP, attrs, &call);
}

/* Kernels before 4.12 have no extack: then there is simply no text. */
static void want_extack(struct nl_sock *sk)
{
	int on = 1;

	setsockopt(nl_socket_get_fd(sk), SOL_NETLINK, NETLINK_EXT_ACK, &on,
		   sizeof(on));
	setsockopt(nl_socket_get_fd(sk), SOL_NETLINK, NETLINK_CAP_ACK, &on,
		   sizeof(on));
}

int fpc_nl_open(struct fpc_nl **out, const char *family, bool debug,
		struct fpc_nl_error *e)
{
	struct fpc_nl *nl = calloc(1, sizeof(*nl));
	int rc = -NLE_NOMEM;

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
	want_extack(nl->sk);
	rc = genl_ctrl_resolve(nl->sk, family);
	if (rc < 0)
		goto fail;
	nl->family = rc;
	*out = nl;
	return 0;
fail:
	fpc_nl_close(nl);
	/* No such family, or a kernel without (generic) netlink at all. */
	if (rc == -NLE_OBJ_NOTFOUND || rc == -NLE_AF_NOSUPPORT ||
	    rc == -NLE_PROTO_MISMATCH)
		return fail_local(e, FPC_EXIT_ABSENT, rc);
	return fail_local(e, FPC_EXIT_REFUSED, rc);
}

/* Room for some hundred events, while we print or read the state again. */
#define EVENT_BUFFER (256 << 10)

int fpc_nl_join(struct fpc_nl *nl, const char *family, const char *group,
		struct fpc_nl_error *e)
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

/* Nobody has asked for an event: it has no sequence number to check. */
static int on_sequence(struct nl_msg *msg, void *arg)
{
	(void)msg;
	(void)arg;
	return NL_OK;
}

int fpc_nl_events(struct fpc_nl *nl, const struct fpc_table *table,
		  void (*each)(const struct fpc_attrs *event, void *arg),
		  void *arg, struct fpc_nl_error *e)
{
	struct call call = { .table = table, .each = each, .arg = arg, .e = e };
	struct nl_cb *cb;
	int rc;

	*e = (struct fpc_nl_error){ 0 };
	cb = nl_cb_alloc(NL_CB_DEFAULT);
	if (!cb)
		return fail_local(e, FPC_EXIT_REFUSED, -NLE_NOMEM);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_valid, &call);
	nl_cb_set(cb, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, on_sequence, NULL);
	if (nl->debug)
		nl_cb_set(cb, NL_CB_MSG_IN, NL_CB_CUSTOM, on_message, NULL);
	do {
		rc = nl_recvmsgs(nl->sk, cb);
	} while (rc >= 0 && !e->code);
	nl_cb_put(cb);
	if (e->code || rc == -NLE_AGAIN || rc == -NLE_INTR)
		return e->code;
	/* ENOBUFS is folded into this: the kernel has dropped something. */
	return fail_local(
		e, rc == -NLE_NOMEM ? FPC_EXIT_LOST : FPC_EXIT_REFUSED, rc);
}

void fpc_nl_close(struct fpc_nl *nl)
{
	if (!nl)
		return;
	nl_socket_free(nl->sk);
	free(nl);
}
