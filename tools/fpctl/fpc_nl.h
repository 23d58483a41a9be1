/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One request to a generic netlink family, and what came of it.
 *
 * fpc_nl.c and fpc_parse.c are the only files that see libnl.  They print nothing
 * (except the messages themselves with debug on): whoever asked words the failure
 * from struct fpc_nl_error.  tests/fake_nl.c replaces fpc_nl.c at link time.
 */
#ifndef FPC_NL_H
#define FPC_NL_H

#include <stdbool.h>
#include <stdint.h>

#include "fpc_attr.h"

struct fpc_nl;

struct fpc_nl_error {
	int code; /* FPC_EXIT_* of fpc_cmd.h, 0 = it worked */
	int err; /* errno of the kernel; 0 if it never got there */
	uint16_t attr; /* attribute that the kernel blames, 0 = none */
	bool range; /* the kernel has told the range of @attr: */
	uint64_t min, max;
	/*
	 * The kernel's own words (extack), or libnl's if err is 0.  With code
	 * 0 a warning to pass on.  "" if there are none.
	 */
	char text[192];
};

/* All return 0 or e->code. */
int fpc_nl_open(struct fpc_nl **nl, const char *family, bool debug, struct fpc_nl_error *e);
void fpc_nl_close(struct fpc_nl *nl);

/*
 * Ask for one thing, or for a list: @each is called for each answer as it arrives.
 * @request and @each may be NULL.
 */
int fpc_nl_ask(struct fpc_nl *nl, uint8_t command, bool list, const struct fpc_table *table,
	       const struct fpc_attrs *request, fpc_each *each, void *arg, struct fpc_nl_error *e);

/*
 * From now on @nl is for the events of that group alone: they queue up at once,
 * and fpc_nl_fd() becomes readable.
 */
int fpc_nl_join(struct fpc_nl *nl, const char *family, const char *group, struct fpc_nl_error *e);
int fpc_nl_fd(const struct fpc_nl *nl);

/*
 * Everything that is queued, without waiting.  FPC_EXIT_LOST: the queue was full
 * at some time, or an event is malformed; what follows can still be read.
 */
int fpc_nl_events(struct fpc_nl *nl, const struct fpc_table *table, fpc_each *each, void *arg,
		  struct fpc_nl_error *e);

/*
 * fpc_parse.c: what the messages say.  It trusts no length in them, knows no socket and
 * keeps no state, which is what tests/fuzz_nl.c relies on.
 */
struct nlmsghdr;
struct nl_msg;

/* The attributes of a generic netlink message; 0 or a negative NLE_*. */
int fpc_parse_attrs(struct nlmsghdr *nlh, const struct fpc_table *table, struct fpc_attrs *attrs);

/*
 * The end of an answer: NLMSG_ERROR, with an errno or with 0 (an ACK), or NLMSG_DONE.
 * @request: what it answers, to find the attribute that the kernel blames.
 */
void fpc_parse_end(struct nlmsghdr *nlh, struct nlmsghdr *request, struct fpc_nl_error *e);

/* Append to a request what can be set, u32 and strings; 0 or a negative NLE_*. */
int fpc_build_attrs(struct nl_msg *msg, const struct fpc_table *table,
		    const struct fpc_attrs *attrs);

#endif /* FPC_NL_H */
