// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target for fpc_parse.c: any bytes as a netlink message.  The first byte
 * says what kind of message it is to be, the rest is the message without its
 * length, which is always that of the buffer, as recvmsg() guarantees.
 *
 * Built twice: with clang's libFuzzer, and with tests/fuzz_replay.c, which
 * needs no clang and runs under valgrind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/cfph.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "fpc_nl.h"
#include "fpc_cmd.h"
#include "fuzz_nl.h"

static const struct fpc_table *const tables[] = {
	&fpc_status_table, &fpc_stats_table, &fpc_zone_table, &fpc_leaf_table, &fpc_event_table,
};

/* What must hold whatever the bytes are. */
static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_nl: %s\n", what);
	abort();
}

static void check_line(const char *text, size_t room)
{
	size_t len = strnlen(text, room);

	must(len < room, "a text without an end");
	for (size_t i = 0; i < len; i++)
		must((unsigned char)text[i] >= ' ' && text[i] != 0x7f, "a control character");
}

static void check_attrs(const struct fpc_table *t, const struct fpc_attrs *a)
{
	must(a->used <= FPC_DATA, "too much data");
	for (unsigned int i = 0; i < t->nr_fields; i++) {
		const struct fpc_field *f = &t->fields[i];
		char buf[FPC_NAME_MAX];

		if (!fpc_have(a, f->attr))
			continue;
		if (f->kind == FPC_STRING || f->kind == FPC_BYTES)
			must(a->where[f->attr] + a->value[f->attr] < a->used,
			     "data beyond the end");
		if (f->kind != FPC_BYTES)
			check_line(fpc_field_text(f, a, buf), FPC_DATA);
	}
}

static void parse_attrs(struct nlmsghdr *nlh, const struct fpc_table *t)
{
	static struct fpc_attrs attrs;

	/* Of what has an error nothing is used. */
	if (!fpc_parse_attrs(nlh, t, &attrs))
		check_attrs(t, &attrs);
}

/* The request that an ACK answers: a "set" of two tunables. */
static struct nl_msg *make_request(void)
{
	struct nl_msg *msg = nlmsg_alloc();
	struct fpc_attrs attrs = { 0 };

	if (!msg || !genlmsg_put(msg, 1, 1, 31, 0, 0, CFPH_CMD_SET, 1))
		abort();
	fpc_put(&attrs, CFPH_A_INTERVAL_MS, 5);
	fpc_put_data(&attrs, CFPH_A_CPUS, "0-3", 3);
	if (fpc_build_attrs(msg, &fpc_status_table, &attrs))
		abort();
	return msg;
}

static void parse_end(struct nlmsghdr *nlh)
{
	struct fpc_nl_error e = { 0 };
	struct nl_msg *request = make_request();

	fpc_parse_end(nlh, nlmsg_hdr(request), &e);
	check_line(e.text, sizeof(e.text));
	must(!e.attr || e.attr == CFPH_A_INTERVAL_MS || e.attr == CFPH_A_CPUS,
	     "an attribute that was not sent is blamed");
	must(e.err >= 0 && e.err < 4096 && !e.code == !e.err, "no errno");
	nlmsg_free(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nlmsghdr *nlh;

	if (size < 1 + sizeof(*nlh) || size > 1 + FUZZ_MAX)
		return 0;
	/* Exactly as large: a byte too far is a byte that nobody has. */
	nlh = malloc(size - 1);
	if (!nlh)
		return 0;
	memcpy(nlh, data + 1, size - 1);
	nlh->nlmsg_len = size - 1;
	if (data[0] % 7 < ARRAY_SIZE(tables))
		parse_attrs(nlh, tables[data[0] % 7]);
	else
		parse_end(nlh);
	free(nlh);
	return 0;
}
