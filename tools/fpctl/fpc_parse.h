/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel's netlink messages say.
 *
 * fpc_parse.c turns bytes into struct fpc_attrs and struct fpc_nl_error, and
 * back.  It trusts no length in them, knows no socket and keeps no state, which
 * is what tests/fuzz_nl.c relies on.  Only fpc_nl.c and that use it.
 */
#ifndef FPC_PARSE_H
#define FPC_PARSE_H

#include <netlink/msg.h>

#include "fpc_attr.h"
#include "fpc_nl.h"

/* The attributes of a generic netlink message; 0 or a negative NLE_*. */
int fpc_parse_attrs(struct nlmsghdr *nlh, const struct fpc_table *table,
		    struct fpc_attrs *attrs);

/*
 * NLMSG_ERROR, with an errno or with 0 (an ACK).  @request: what it answers, to
 * find the attribute that the kernel blames.
 */
void fpc_parse_ack(struct nlmsghdr *nlh, struct nlmsghdr *request,
		   struct fpc_nl_error *e);

/* NLMSG_DONE, the end of a dump. */
void fpc_parse_done(struct nlmsghdr *nlh, struct nlmsghdr *request,
		    struct fpc_nl_error *e);

/* Append to a request what can be set, u32 and strings; 0 or a negative NLE_*. */
int fpc_build_attrs(struct nl_msg *msg, const struct fpc_table *table,
		    const struct fpc_attrs *attrs);

#endif /* FPC_PARSE_H */
