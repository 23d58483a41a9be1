/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One request to a generic netlink family, and what came of it.
 *
 * fpc_nl.c and fpc_parse.c are the only files that see libnl.  It prints nothing (except the
 * messages themselves with debug on): whoever asked words the failure from
 * struct fpc_nl_error.  tests/fake_nl.c replaces it at link time.
 */
#ifndef FPC_NL_H
#define FPC_NL_H

#include <stdbool.h>
#include <stdint.h>

#include "fpc_attr.h"

struct fpc_nl;

struct fpc_nl_error {
	int code; /* enum fpc_exit, 0 = it worked */
	int err; /* errno of the kernel; 0 if it never got there */
	uint16_t attr; /* attribute that the kernel blames, 0 = none */
	uint16_t missing; /* attribute that the kernel misses, 0 = none */
	bool range; /* the kernel has told the range of @attr: */
	uint64_t min, max;
	/*
	 * The kernel's own words (extack), or libnl's if err is 0.  With code
	 * 0 a warning to pass on.  "" if there are none.
	 */
	char text[192];
};

/* All return 0 or e->code. */
int fpc_nl_open(struct fpc_nl **nl, const char *family, bool debug,
		struct fpc_nl_error *e);
void fpc_nl_close(struct fpc_nl *nl);

/* Ask for one thing.  @request and @reply may be NULL. */
int fpc_nl_do(struct fpc_nl *nl, uint8_t command, const struct fpc_table *table,
	      const struct fpc_attrs *request, struct fpc_attrs *reply,
	      struct fpc_nl_error *e);

/* Ask for a list; @each is called for every element as it arrives. */
int fpc_nl_dump(struct fpc_nl *nl, uint8_t command,
		const struct fpc_table *table, const struct fpc_attrs *request,
		void (*each)(const struct fpc_attrs *reply, void *arg),
		void *arg, struct fpc_nl_error *e);

/*
 * From now on @nl is for the events of that group alone: they queue up at once,
 * and fpc_nl_fd() becomes readable.
 */
int fpc_nl_join(struct fpc_nl *nl, const char *family, const char *group,
		struct fpc_nl_error *e);
int fpc_nl_fd(const struct fpc_nl *nl);

/*
 * Everything that is queued, without waiting.  FPC_EXIT_LOST: the queue was full
 * at some time, or an event is malformed; what follows can still be read.
 */
int fpc_nl_events(struct fpc_nl *nl, const struct fpc_table *table,
		  void (*each)(const struct fpc_attrs *event, void *arg),
		  void *arg, struct fpc_nl_error *e);

#endif /* FPC_NL_H */
