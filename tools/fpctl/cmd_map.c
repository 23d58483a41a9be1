// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl map: how free memory is spread, node by node; or the bits themselves.
 *
 * The kernel sends a summary of each leaf (128 MiB).  They are collected, for
 * nothing is printed if that fails half-way, sorted by node and address, and added
 * up for each node.  If there are many, some of them share one character of the
 * picture.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/cfph.h>

#include "fpc_ask.h"
#include "fpc_file.h"
#include "fpc_out.h"

#define LEAF_MIB 128
#define LEAF_PAGES ((uint64_t)LEAF_MIB << 8)
/* The order of a leaf is 15: no block of it is larger.  That of a chunk is 9. */
#define ORDERS 16
#define CHUNK_ORDER 9

/* A leaf, or the sum of those of a node. */
struct leaf {
	uint64_t start_pfn, node;
	uint64_t free, present, largest; /* pages */
	unsigned int orders;
	uint64_t blocks[ORDERS];
};

struct leaves {
	struct leaf *leaf; /* to be freed */
	size_t nr;
};

static void keep(const struct fpc_attrs *a, void *arg)
{
	struct leaves *l = arg;
	struct leaf leaf = {
		.start_pfn = a->value[CFPH_A_LEAF_START_PFN],
		.node = a->value[CFPH_A_LEAF_NODE],
		.free = a->value[CFPH_A_LEAF_FREE_PAGES],
		.present = a->value[CFPH_A_LEAF_PRESENT_PAGES],
		.largest = a->value[CFPH_A_LEAF_LARGEST_RUN_PAGES],
	};

	if (fpc_have(a, CFPH_A_LEAF_FREE_BLOCKS))
		leaf.orders = a->value[CFPH_A_LEAF_FREE_BLOCKS] / sizeof(leaf.blocks[0]);
	if (leaf.orders > ORDERS)
		leaf.orders = ORDERS;
	memcpy(leaf.blocks, fpc_data(a, CFPH_A_LEAF_FREE_BLOCKS),
	       leaf.orders * sizeof(leaf.blocks[0]));
	l->leaf = fpc_grow(l->leaf, l->nr, sizeof(leaf));
	l->leaf[l->nr++] = leaf;
}

static int by_address(const void *a, const void *b)
{
	const struct leaf *x = a, *y = b;

	if (x->node != y->node)
		return x->node > y->node ? 1 : -1;
	return (x->start_pfn > y->start_pfn) - (x->start_pfn < y->start_pfn);
}

/* Return: how many of the @nr leaves are of the node of the first one. */
static size_t add_up(const struct leaf *leaf, size_t nr, struct leaf *sum)
{
	size_t n;

	*sum = (struct leaf){ .node = leaf->node };
	for (n = 0; n < nr && leaf[n].node == sum->node; n++) {
		sum->free += leaf[n].free;
		sum->present += leaf[n].present;
		if (leaf[n].largest > sum->largest)
			sum->largest = leaf[n].largest;
		if (leaf[n].orders > sum->orders)
			sum->orders = leaf[n].orders;
		for (unsigned int i = 0; i < leaf[n].orders; i++)
			sum->blocks[i] += leaf[n].blocks[i];
	}
	return n;
}

/* Percent of the free pages that are in blocks smaller than a chunk, 2 MiB. */
static unsigned int fragmentation(const struct leaf *leaf)
{
	uint64_t small = 0;

	for (unsigned int i = 0; i < leaf->orders && i < CHUNK_ORDER; i++)
		small += leaf->blocks[i] << i;
	/* The kernel counts blocks and pages while they change. */
	if (small >= leaf->free)
		return leaf->free ? 100 : 0;
	return small * 100 / leaf->free;
}

/* --- text ------------------------------------------------------------------ */

/* A picture has at most so many lines for a node; then characters get wider. */
#define MAX_LINES 16
/* "  0x123456789a  " before a line of it. */
#define MARGIN 18
#define MIN_COLUMNS 8
#define MAX_COLUMNS 128

/*
 * As many as $COLUMNS or the terminal has room for, else as always fit; a power of two,
 * so that each line begins at a round address.
 */
static unsigned int picture_columns(void)
{
	const char *env = getenv("COLUMNS");
	unsigned int columns = MAX_COLUMNS, room = env ? atoi(env) : 0;
	struct winsize ws;

	if (!room && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws))
		room = ws.ws_col;
	while (columns > MIN_COLUMNS && columns + MARGIN > (room ? room : 80))
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

/* @leaf: the @nr leaves of a node, by address.  What is not there stays blank. */
static void picture(const struct leaf *leaf, size_t nr)
{
	unsigned int columns = picture_columns(), column = 0;
	uint64_t first = leaf[0].start_pfn / LEAF_PAGES;
	uint64_t last = leaf[nr - 1].start_pfn / LEAF_PAGES;
	uint64_t step = scale(last - first + 1, columns);
	size_t pos = 0;

	first -= first % step;
	printf("  One character is %" PRIu64 " MiB: # none free, 0-9 tenths free, . all free\n",
	       step * LEAF_MIB);
	for (uint64_t cell = first; cell <= last; cell += step) {
		uint64_t free = 0, present = 0;

		for (; pos < nr && leaf[pos].start_pfn / LEAF_PAGES < cell + step; pos++) {
			free += leaf[pos].free;
			present += leaf[pos].present;
		}
		if (!column)
			printf("  0x%012" PRIx64 "  ", (cell * LEAF_MIB) << 20);
		putchar(shade(free, present));
		column = (column + 1) % columns;
		if (!column || cell + step > last)
			putchar('\n');
	}
}

static void show_text(const struct leaf *sum, const struct leaf *leaf, size_t nr)
{
	printf("node %" PRIu64 ": %s, free %s (%u%%)", sum->node, fpc_pages(sum->present).text,
	       fpc_pages(sum->free).text,
	       sum->present ? (unsigned int)(sum->free * 100 / sum->present) : 0);
	printf(", largest run %s, fragmentation %u%%\n", fpc_pages(sum->largest).text,
	       fragmentation(sum));
	/* As /proc/buddyinfo: the number of free blocks of 2^n pages. */
	for (unsigned int i = 0; i < sum->orders; i++)
		printf("%s %6u", i ? "" : "  order ", i);
	for (unsigned int i = 0; i < sum->orders; i++)
		printf("%s %6" PRIu64, i ? "" : "\n  blocks", sum->blocks[i]);
	if (sum->orders)
		putchar('\n');
	picture(leaf, nr);
}

/* --- JSON ------------------------------------------------------------------ */

/* The numbers that leaves and nodes have in common. */
static void show_numbers(struct fpc_out *o, const struct leaf *leaf)
{
	fpc_out_num(o, "free-pages", leaf->free);
	fpc_out_num(o, "present-pages", leaf->present);
	fpc_out_num(o, "largest-run-pages", leaf->largest);
	fpc_out_open(o, "free-blocks", '[');
	for (unsigned int i = 0; i < leaf->orders; i++)
		fpc_out_num(o, NULL, leaf->blocks[i]);
	fpc_out_close(o, '[');
}

static void show_json(struct fpc_out *o, const struct leaf *sum, const struct leaf *leaf, size_t nr)
{
	fpc_out_open(o, NULL, '{');
	fpc_out_num(o, "node", sum->node);
	show_numbers(o, sum);
	fpc_out_num(o, "fragmentation-percent", fragmentation(sum));
	fpc_out_open(o, "leaves", '[');
	for (size_t i = 0; i < nr; i++) {
		fpc_out_open(o, NULL, '{');
		fpc_out_num(o, "start-pfn", leaf[i].start_pfn);
		show_numbers(o, &leaf[i]);
		fpc_out_close(o, '{');
	}
	fpc_out_close(o, '[');
	fpc_out_close(o, '{');
}

static void show(const struct fpc_ctx *ctx, const struct leaves *l)
{
	struct leaf sum;
	struct fpc_out o;
	size_t n;

	fpc_out_begin(&o, ctx, 0);
	fpc_out_open(&o, "nodes", '[');
	for (size_t i = 0; i < l->nr; i += n) {
		n = add_up(&l->leaf[i], l->nr - i, &sum);
		if (o.json)
			show_json(&o, &sum, &l->leaf[i], n);
		else
			show_text(&sum, &l->leaf[i], n);
	}
	if (!o.json && !l->nr)
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
	/* The standard output has no places to seek. */
	if (!strcmp(path, "-"))
		return fpc_fail(FPC_EXIT_USAGE, "%s: not a file", what);
	if (ctx->json || ctx->opt['t'])
		return fpc_fail(FPC_EXIT_USAGE, "%s: takes no --%s", what,
				ctx->json ? "json" : "time");
	/* Free pages of everybody: for our eyes only. */
	r.err = fpc_file_create(&r.file, path, 0600);
	if (r.err)
		return fpc_fail(FPC_EXIT_LOST, "%s: %s", what, strerror(r.err));
	rc = fpc_list(ctx, what, CFPH_CMD_MAP_RAW_GET, &fpc_leaf_table, NULL, write_leaf, &r);
	r.err = fpc_file_end(&r.file, rc ? ECANCELED : r.err);
	if (!rc && r.err)
		rc = fpc_fail(FPC_EXIT_LOST, "%s: %s", what, strerror(r.err));
	return rc;
}

int cmd_map(const struct fpc_ctx *ctx)
{
	struct leaves l = { 0 };
	int rc;

	if (ctx->opt['r'])
		return raw(ctx, ctx->opt['r']);
	rc = fpc_list(ctx, "map", CFPH_CMD_MAP_GET, &fpc_leaf_table, NULL, keep, &l);
	if (l.nr)
		qsort(l.leaf, l.nr, sizeof(l.leaf[0]), by_address);
	if (!rc)
		show(ctx, &l);
	free(l.leaf);
	return rc;
}
