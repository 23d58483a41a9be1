// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink over libnl-3, see fpc_nl.h.
 *
 * Three things that libnl does not do for us:
 * - It knows nothing about extended acknowledgements (extack): we switch them
 *   on, and parse the attributes behind NLMSG_ERROR and NLMSG_DONE.
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

#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

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
};

/* A failure on our side of the socket: no errno of the kernel, libnl's words. */
static int fail_local(struct fpc_nl_error *e, enum fpc_exit code, int nlerr)
{
	e->code = code;
	e->err = 0;
	snprintf(e->text, sizeof(e->text), "%s", nl_geterror(nlerr));
	return code;
}

/* Which attribute of our request begins @offset bytes into it? */
static uint16_t attr_at(struct nl_msg *request, uint32_t offset)
{
	struct nlmsghdr *nlh = nlmsg_hdr(request);
	struct nlattr *nla;
	int rest;

	nlmsg_for_each_attr(nla, nlh, GENL_HDRLEN,
			    rest) if ((char *)nla - (char *)nlh ==
				      (long)offset) return nla_type(nla);
	return 0;
}

static void parse_policy(struct nlattr *nest, struct fpc_nl_error *e)
{
	struct nlattr *tb[NL_POLICY_TYPE_ATTR_MAX + 1];
	static struct nla_policy policy[NL_POLICY_TYPE_ATTR_MAX + 1] = {
		[NL_POLICY_TYPE_ATTR_MIN_VALUE_U] = { .type = NLA_U64 },
		[NL_POLICY_TYPE_ATTR_MAX_VALUE_U] = { .type = NLA_U64 },
	};

	if (nla_parse_nested(tb, NL_POLICY_TYPE_ATTR_MAX, nest, policy) < 0)
		return;
	if (!tb[NL_POLICY_TYPE_ATTR_MIN_VALUE_U] ||
	    !tb[NL_POLICY_TYPE_ATTR_MAX_VALUE_U])
		return;
	e->range = true;
	e->min = nla_get_u64(tb[NL_POLICY_TYPE_ATTR_MIN_VALUE_U]);
	e->max = nla_get_u64(tb[NL_POLICY_TYPE_ATTR_MAX_VALUE_U]);
}

/* The extack attributes from @tlvs to the end of the message @nlh. */
static void parse_extack(struct call *call, struct nlmsghdr *nlh, void *tlvs)
{
	struct nlattr *tb[NLMSGERR_ATTR_MAX + 1];
	static struct nla_policy policy[NLMSGERR_ATTR_MAX + 1] = {
		[NLMSGERR_ATTR_MSG] = { .type = NLA_STRING },
		[NLMSGERR_ATTR_OFFS] = { .type = NLA_U32 },
		[NLMSGERR_ATTR_POLICY] = { .type = NLA_NESTED },
		[NLMSGERR_ATTR_MISS_TYPE] = { .type = NLA_U32 },
	};
	struct fpc_nl_error *e = call->e;
	char *end = (char *)nlh + nlh->nlmsg_len;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || (char *)tlvs > end)
		return;
	if (nla_parse(tb, NLMSGERR_ATTR_MAX, tlvs, end - (char *)tlvs, policy))
		return;
	if (tb[NLMSGERR_ATTR_MSG]) {
		nla_strlcpy(e->text, tb[NLMSGERR_ATTR_MSG], sizeof(e->text));
		/* One line per failure, whatever the kernel wrote. */
		for (char *p = e->text; (p = strchr(p, '\n')); p++)
			*p = ' ';
	}
	if (tb[NLMSGERR_ATTR_OFFS])
		e->attr = attr_at(call->request,
				  nla_get_u32(tb[NLMSGERR_ATTR_OFFS]));
	if (tb[NLMSGERR_ATTR_MISS_TYPE])
		e->missing = nla_get_u32(tb[NLMSGERR_ATTR_MISS_TYPE]);
	if (tb[NLMSGERR_ATTR_POLICY])
		parse_policy(tb[NLMSGERR_ATTR_POLICY], e);
}

/* NLMSG_ERROR, with an errno (the request failed) or with 0 (an ACK). */
static void parse_nlmsgerr(struct call *call, struct nlmsgerr *err)
{
	struct nlmsghdr *nlh = (void *)((char *)err - NLMSG_HDRLEN);
	char *tlvs = (char *)(err + 1);

	/* Without the CAPPED flag our whole request stands in between. */
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		tlvs += NLMSG_ALIGN(err->msg.nlmsg_len) - NLMSG_HDRLEN;
	call->done = true;
	if (err->error) {
		call->e->err = -err->error;
		call->e->code = FPC_EXIT_REFUSED;
	}
	parse_extack(call, nlh, tlvs);
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *err, void *arg)
{
	(void)from;
	parse_nlmsgerr(arg, err);
	return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	parse_nlmsgerr(arg, nlmsg_data(nlmsg_hdr(msg)));
	return NL_STOP;
}

/* The end of a dump: an int, 0 or a negative errno, then extack. */
static int on_done(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct call *call = arg;
	int error = 0;

	call->done = true;
	if (nlmsg_datalen(nlh) >= (int)sizeof(error)) {
		memcpy(&error, nlmsg_data(nlh), sizeof(error));
		parse_extack(call, nlh,
			     (char *)nlmsg_data(nlh) +
				     NLMSG_ALIGN(sizeof(error)));
	}
	if (error) {
		call->e->err = -error;
		call->e->code = FPC_EXIT_REFUSED;
	}
	return NL_STOP;
}

/* The widths that we expect; what we do not know is skipped. */
static void fill_policy(const struct fpc_table *table,
			struct nla_policy policy[FPC_ATTRS])
{
	memset(policy, 0, FPC_ATTRS * sizeof(policy[0]));
	for (unsigned int i = 0; i < table->nr_fields; i++) {
		const struct fpc_field *f = &table->fields[i];

		policy[f->attr].type = f->kind == FPC_U64 ? NLA_U64 : NLA_U32;
	}
}

static int on_valid(struct nl_msg *msg, void *arg)
{
	struct nla_policy policy[FPC_ATTRS];
	struct nlattr *tb[FPC_ATTRS];
	struct fpc_attrs reply = { 0 };
	struct call *call = arg;
	int rc;

	if (!call->each)
		return NL_SKIP;
	fill_policy(call->table, policy);
	rc = genlmsg_parse(nlmsg_hdr(msg), 0, tb, FPC_ATTRS - 1, policy);
	if (rc < 0) {
		fail_local(call->e, FPC_EXIT_LOST, rc);
		return NL_SKIP; /* the ACK still follows */
	}
	for (unsigned int i = 0; i < call->table->nr_fields; i++) {
		const struct fpc_field *f = &call->table->fields[i];

		if (!tb[f->attr])
			continue;
		fpc_put(&reply, f->attr,
			f->kind == FPC_U64 ? nla_get_u64(tb[f->attr])
					   : nla_get_u32(tb[f->attr]));
	}
	call->each(&reply, call->arg);
	return NL_OK;
}

static int on_message(struct nl_msg *msg, void *arg)
{
	(void)arg;
	nl_msg_dump(msg, stderr);
	return NL_OK;
}

static int put_attrs(struct nl_msg *msg, const struct fpc_table *table,
		     const struct fpc_attrs *attrs)
{
	for (unsigned int i = 0; i < table->nr_fields; i++) {
		const struct fpc_field *f = &table->fields[i];
		int rc;

		if (!fpc_have(attrs, f->attr))
			continue;
		if (f->kind == FPC_U64)
			rc = nla_put_u64(msg, f->attr, attrs->value[f->attr]);
		else
			rc = nla_put_u32(msg, f->attr, attrs->value[f->attr]);
		if (rc < 0)
			return rc;
	}
	return 0;
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
	    (attrs && put_attrs(call->request, call->table, attrs) < 0))
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
		reply->have = 0;
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

void fpc_nl_close(struct fpc_nl *nl)
{
	if (!nl)
		return;
	nl_socket_free(nl->sk);
	free(nl);
}
