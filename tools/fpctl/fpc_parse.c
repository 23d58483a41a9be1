// SPDX-License-Identifier: GPL-2.0
/*
 * Netlink messages to plain structures and back, see fpc_nl.h.
 *
 * libnl knows nothing about extended acknowledgements (extack): the attributes
 * behind NLMSG_ERROR and NLMSG_DONE are parsed here, and the errno is taken
 * from the message itself, for libnl folds errno values into fewer codes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "fpc_nl.h"
#include "fpc_cmd.h"

/* Which attribute of our request begins @offset bytes into it? */
static uint16_t attr_at(struct nlmsghdr *request, uint32_t offset)
{
	struct nlattr *nla;
	int rest;

	nlmsg_for_each_attr(nla, request, GENL_HDRLEN, rest) if ((char *)nla - (char *)request ==
								 (long)offset) return nla_type(nla);
	return 0;
}

/* One line, whatever the kernel wrote: no control characters. */
static void one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

/* The range of a number; those of the family have no sign. */
static void parse_policy(struct nlattr *nest, struct fpc_nl_error *e)
{
	struct nlattr *tb[NL_POLICY_TYPE_ATTR_MAX + 1];
	static const struct nla_policy policy[NL_POLICY_TYPE_ATTR_MAX + 1] = {
		[NL_POLICY_TYPE_ATTR_MIN_VALUE_U] = { .type = NLA_U64 },
		[NL_POLICY_TYPE_ATTR_MAX_VALUE_U] = { .type = NLA_U64 },
	};

	if (nla_parse_nested(tb, NL_POLICY_TYPE_ATTR_MAX, nest, policy) < 0 ||
	    !tb[NL_POLICY_TYPE_ATTR_MIN_VALUE_U] || !tb[NL_POLICY_TYPE_ATTR_MAX_VALUE_U])
		return;
	e->range = true;
	e->min = nla_get_u64(tb[NL_POLICY_TYPE_ATTR_MIN_VALUE_U]);
	e->max = nla_get_u64(tb[NL_POLICY_TYPE_ATTR_MAX_VALUE_U]);
}

/* The extack attributes from @tlvs to the end of the message @nlh. */
static void parse_extack(struct nlmsghdr *nlh, char *tlvs, struct nlmsghdr *request,
			 struct fpc_nl_error *e)
{
	struct nlattr *tb[NLMSGERR_ATTR_MAX + 1];
	static const struct nla_policy policy[NLMSGERR_ATTR_MAX + 1] = {
		[NLMSGERR_ATTR_MSG] = { .type = NLA_STRING },
		[NLMSGERR_ATTR_OFFS] = { .type = NLA_U32 },
		[NLMSGERR_ATTR_POLICY] = { .type = NLA_NESTED },
	};
	char *end = (char *)nlh + nlh->nlmsg_len;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || tlvs > end)
		return;
	if (nla_parse(tb, NLMSGERR_ATTR_MAX, (struct nlattr *)tlvs, end - tlvs, policy) < 0)
		return;
	if (tb[NLMSGERR_ATTR_MSG]) {
		nla_strlcpy(e->text, tb[NLMSGERR_ATTR_MSG], sizeof(e->text));
		one_line(e->text);
	}
	if (tb[NLMSGERR_ATTR_OFFS])
		e->attr = attr_at(request, nla_get_u32(tb[NLMSGERR_ATTR_OFFS]));
	if (tb[NLMSGERR_ATTR_POLICY])
		parse_policy(tb[NLMSGERR_ATTR_POLICY], e);
}

/* A negative errno, or 0.  Anything else is no errno at all. */
static void parse_errno(int error, struct fpc_nl_error *e)
{
	if (!error)
		return;
	e->err = error < 0 && error > -4096 ? -error : EPROTO;
	e->code = FPC_EXIT_REFUSED;
}

/* NLMSG_ERROR: an errno, our request unless the CAPPED flag says no, extack. */
static void parse_ack(struct nlmsghdr *nlh, struct nlmsghdr *request, struct fpc_nl_error *e)
{
	struct nlmsgerr *err = nlmsg_data(nlh);
	size_t skip = sizeof(*err);

	if (nlmsg_datalen(nlh) < (int)sizeof(*err)) {
		parse_errno(-EPROTO, e);
		return;
	}
	parse_errno(err->error, e);
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN((uint64_t)err->msg.nlmsg_len) - NLMSG_HDRLEN;
	if (skip <= (size_t)nlmsg_datalen(nlh))
		parse_extack(nlh, (char *)err + skip, request, e);
}

void fpc_parse_end(struct nlmsghdr *nlh, struct nlmsghdr *request, struct fpc_nl_error *e)
{
	char *data = nlmsg_data(nlh);
	int error;

	if (nlh->nlmsg_type == NLMSG_ERROR) {
		parse_ack(nlh, request, e);
		return;
	}
	/* NLMSG_DONE: an errno and extack, or nothing if it was no dump. */
	if (nlmsg_datalen(nlh) < (int)sizeof(error))
		return;
	memcpy(&error, data, sizeof(error));
	parse_errno(error, e);
	parse_extack(nlh, data + NLMSG_ALIGN(sizeof(error)), request, e);
}

/* An attribute of the width that we expect. */
static int parse_one(const struct fpc_field *f, struct nlattr *nla, struct fpc_attrs *attrs)
{
	bool is_data = f->kind == FPC_STRING || f->kind == FPC_BYTES;
	int len = nla_len(nla), width = f->kind == FPC_U64 ? 8 : 4;

	if (!is_data) {
		if (len < width)
			return -NLE_MSG_TOOSHORT;
		fpc_put(attrs, f->attr, width == 8 ? nla_get_u64(nla) : nla_get_u32(nla));
		return 0;
	}
	if (f->kind == FPC_STRING) /* with a NUL or without */
		len = strnlen(nla_data(nla), len);
	if (!fpc_put_data(attrs, f->attr, nla_data(nla), len))
		return -NLE_MSG_TOOSHORT;
	if (f->kind == FPC_STRING)
		one_line(attrs->data + attrs->where[f->attr]);
	return 0;
}

int fpc_parse_attrs(struct nlmsghdr *nlh, const struct fpc_table *table, struct fpc_attrs *attrs)
{
	struct nlattr *tb[FPC_ATTRS];
	int rc;

	attrs->have = attrs->used = 0;
	memset(attrs->value, 0, sizeof(attrs->value));
	if (!genlmsg_valid_hdr(nlh, 0))
		return -NLE_MSG_TOOSHORT;
	rc = genlmsg_parse(nlh, 0, tb, FPC_ATTRS - 1, NULL);
	for (unsigned int i = 0; !rc && i < table->nr_fields; i++) {
		const struct fpc_field *f = &table->fields[i];

		if (tb[f->attr]) /* what we do not know is skipped */
			rc = parse_one(f, tb[f->attr], attrs);
	}
	return rc;
}

int fpc_build_attrs(struct nl_msg *msg, const struct fpc_table *table,
		    const struct fpc_attrs *attrs)
{
	int rc = 0;

	for (unsigned int i = 0; rc >= 0 && i < table->nr_fields; i++) {
		const struct fpc_field *f = &table->fields[i];

		if (!fpc_have(attrs, f->attr))
			continue;
		if (f->kind == FPC_STRING)
			rc = nla_put_string(msg, f->attr, fpc_data(attrs, f->attr));
		else
			rc = nla_put_u32(msg, f->attr, attrs->value[f->attr]);
	}
	return rc < 0 ? rc : 0;
}
