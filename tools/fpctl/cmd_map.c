// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl map: how free memory is spread, node by node; or the bits themselves.
 *
 * The kernel sends a summary of each leaf (128 MiB); fpc_leaves.h collects
 * them and adds them up.  This file prints, and decides how many of them share
 * one character of the picture.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/cfph.h>

#include "fpc_file.h"
#include "fpc_leaves.h"
#include "fpc_out.h"
#include "fpctl.h"

/* A picture has at most so many lines for a node; then characters get wider. */
#define MAX_LINES 16
/* "  0x123456789a  " before a line of it. */
#define MARGIN 18
#define MIN_COLUMNS 8
#define MAX_COLUMNS 128

/* What a terminal shows, or $COLUMNS says; else what always fits. */
static unsigned int width(void)
{
	const char *env = getenv("COLUMNS");
	unsigned int columns = env ? atoi(env) : 0;
	struct winsize ws;

	if (!columns && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws))
		columns = ws.ws_col;
	return columns ? columns : 80;
}

/* The largest power of two: so that each line begins at a round address. */
static unsigned int picture_columns(void)
{
	unsigned int columns = MAX_COLUMNS, room = width();

	while (columns > MIN_COLUMNS && columns + MARGIN > room)
		columns /= 2;
	return columns;
}

/* Leaves of one character, a power of two. */
static uint64_t scale(uint64_t leaves, unsigned int columns)
{
	uint64_t n = 1;

	while ((leaves + n - 1) / n > (uint64_t)columns * MAX_LINES)
		n *= 2;
	return n;
}

static char shade(uint64_t free, uint64_t present)
{
	if (!present)
		return ' ';
	if (!free)
		return '#';
	if (free >= present)
		return '.';
	return '0' + free * 10 / present;
}

/*
 * One node.  @pos goes through the leaves of all nodes in the order of their
 * addresses, cell by cell; a leaf that is not there, or is another node's,
 * leaves its place blank.
 */
static void picture(const struct fpc_leaves *l, const struct fpc_leaf *node)
{
	unsigned int columns = picture_columns(), column = 0;
	uint64_t first = fpc_leaf_index(&l->leaf[node->first]);
	uint64_t last = fpc_leaf_index(&l->leaf[node->last]);
	uint64_t step = scale(last - first + 1, columns);
	size_t pos = node->first;

	first -= first % step;
	printf("  One character is %" PRIu64
	       " MiB: # none free, 0-9 tenths free, . all free\n",
	       step * FPC_LEAF_MIB);
	for (uint64_t cell = first; cell <= last; cell += step) {
		uint64_t free = 0, present = 0;

		for (; pos <= node->last &&
		       fpc_leaf_index(&l->leaf[pos]) < cell + step;
		     pos++) {
			if (l->leaf[pos].node != node->node)
				continue;
			free += l->leaf[pos].free;
			present += l->leaf[pos].present;
		}
		if (!column)
			printf("  0x%012" PRIx64 "  ", (cell * FPC_LEAF_MIB)
							       << 20);
		putchar(shade(free, present));
		column = (column + 1) % columns;
		if (!column || cell + step > last)
			putchar('\n');
	}
}

/* As /proc/buddyinfo: the number of free blocks of 2^n pages. */
static void blocks_text(const struct fpc_leaf *node)
{
	printf("  order ");
	for (unsigned int i = 0; i < node->orders; i++)
		printf(" %6u", i);
	printf("\n  blocks");
	for (unsigned int i = 0; i < node->orders; i++)
		printf(" %6" PRIu64, node->blocks[i]);
	putchar('\n');
}

static void node_text(const struct fpc_leaves *l, const struct fpc_leaf *node)
{
	printf("node %" PRIu64 ": %s, free %s (%u%%)", node->node,
	       fpc_size(node->present << FPC_PAGE_SHIFT).text,
	       fpc_size(node->free << FPC_PAGE_SHIFT).text,
	       node->present ? (unsigned int)(node->free * 100 / node->present)
			     : 0);
	printf(", largest run %s, fragmentation %u%%\n",
	       fpc_size(node->largest << FPC_PAGE_SHIFT).text,
	       fpc_leaf_fragmentation(node));
	if (node->orders)
		blocks_text(node);
	picture(l, node);
}

/* The numbers that leaves and nodes have in common. */
static void numbers_json(struct fpc_out *o, const struct fpc_leaf *leaf)
{
	fpc_out_num(o, "free-pages", leaf->free, NULL);
	fpc_out_num(o, "present-pages", leaf->present, NULL);
	fpc_out_num(o, "largest-run-pages", leaf->largest, NULL);
	fpc_out_open(o, "free-blocks", '[');
	for (unsigned int i = 0; i < leaf->orders; i++)
		fpc_out_num(o, NULL, leaf->blocks[i], NULL);
	fpc_out_close(o, '[');
}

static void node_json(struct fpc_out *o, const struct fpc_leaves *l,
		      const struct fpc_leaf *node)
{
	fpc_out_open(o, NULL, '{');
	fpc_out_num(o, "node", node->node, NULL);
	numbers_json(o, node);
	fpc_out_num(o, "fragmentation-percent", fpc_leaf_fragmentation(node),
		    NULL);
	fpc_out_open(o, "leaves", '[');
	for (size_t i = node->first; i <= node->last; i++) {
		if (l->leaf[i].node != node->node)
			continue;
		fpc_out_open(o, NULL, '{');
		fpc_out_num(o, "start-pfn", l->leaf[i].start_pfn, NULL);
		numbers_json(o, &l->leaf[i]);
		fpc_out_close(o, '{');
	}
	fpc_out_close(o, '[');
	fpc_out_close(o, '{');
}

static void show(const struct fpc_ctx *ctx, const struct fpc_leaves *l)
{
	struct fpc_leaf node;
	struct fpc_out o;
	bool any = false;

	fpc_out_begin(&o, ctx);
	fpc_out_open(&o, "nodes", '[');
	for (uint64_t n = 0; fpc_leaves_node(l, n, &node); n = node.node + 1) {
		if (o.json)
			node_json(&o, l, &node);
		else
			node_text(l, &node);
		any = true;
	}
	if (!o.json && !any)
		puts("There is no map: fpctl show says why.");
	fpc_out_close(&o, '[');
	fpc_out_end(&o);
}

/* --- the bits themselves ------------------------------------------------- */

struct raw {
	struct fpc_file file;
	int err;
};

/* Bit n of the file is page n, so a leaf's place follows from its address. */
static void write_leaf(const struct fpc_attrs *a, void *arg)
{
	uint64_t len = a->value[CFPH_A_LEAF_BITMAP];
	uint64_t at = a->value[CFPH_A_LEAF_START_PFN] / 8;
	const char *bits = fpc_data(a, CFPH_A_LEAF_BITMAP);
	struct raw *r = arg;
	ssize_t n;

	while (!r->err && fpc_have(a, CFPH_A_LEAF_BITMAP) && len) {
		n = pwrite(fileno(r->file.stream), bits, len, at);
		if (n < 0 && errno != EINTR)
			r->err = errno;
		if (n <= 0)
			continue;
		bits += n;
		at += n;
		len -= n;
	}
}

static int raw(const struct fpc_ctx *ctx, const char *path)
{
	struct raw r = { .err = 0 };
	char what[256];
	int rc;

	snprintf(what, sizeof(what), "map --raw %s", path);
	/* Free pages of everybody: for our eyes only. */
	r.err = fpc_file_create(&r.file, path, 0600);
	if (r.err)
		return fpc_fail(FPC_EXIT_LOST, "%s: %s", what, strerror(r.err));
	rc = fpc_list(ctx, what, CFPH_CMD_MAP_RAW_GET, &fpc_leaf_table,
		      write_leaf, &r);
	if (rc || r.err)
		fpc_file_abort(&r.file);
	else
		r.err = fpc_file_commit(&r.file);
	if (!rc && r.err)
		rc = fpc_fail(FPC_EXIT_LOST, "%s: %s", what, strerror(r.err));
	return rc;
}

int cmd_map(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	    char **argv)
{
	struct fpc_leaves l = { 0 };
	int rc;

	if (argc && !strcmp(argv[0], "--raw")) {
		/* The standard output has no places to seek. */
		if (argc < 2 || !strcmp(argv[1], "-"))
			return fpc_fail(FPC_EXIT_USAGE,
					"map --raw: needs the name of a file");
		if (fpc_no_args(cmd, argc - 2, argv + 2))
			return FPC_EXIT_USAGE;
		return raw(ctx, argv[1]);
	}
	rc = fpc_no_args(cmd, argc, argv);
	if (!rc)
		rc = fpc_list(ctx, cmd->name, CFPH_CMD_MAP_GET, &fpc_leaf_table,
			      fpc_leaves_add, &l);
	if (!rc && l.no_memory)
		rc = fpc_fail(FPC_EXIT_LOST, "map: out of memory");
	if (!rc) {
		fpc_leaves_sort(&l);
		show(ctx, &l);
	}
	free(l.leaf);
	return rc;
}

void cmd_map_complete(int argc, char **argv)
{
	if (!argc)
		puts("--raw");
	else if (argc == 1 && !strcmp(argv[0], "--raw"))
		puts(FPC_COMPLETE_FILE);
}

void cmd_map_describe(void)
{
	puts("\nFor each NUMA node: how much is free, the free blocks by their\n"
	     "order (2^n pages of 4 KiB), and a picture in the order of the\n"
	     "addresses.  The largest run is looked for in each 128 MiB.\n"
	     "Fragmentation is the part of the free memory that is in blocks\n"
	     "smaller than 2 MiB.  This needs CAP_SYS_ADMIN.\n\n"
	     "--raw writes the bits to a file, bit n % 8 of byte n / 8 for page\n"
	     "n.");
}
