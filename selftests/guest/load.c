// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's workloads, one static binary under several names.
 *
 *   memhog  fill memory once, then exit or hold it, or every other page of it
 *   churn, pagecache, forks
 *           allocate and free, for ever (churn.c)
 *   stamp   hold stamped pages and re-check them on request
 *   hot     write a few pages without pause
 *   stress  several processes that allocate, stamp, check and free (stress.c)
 *   shake   hugetlb pool, compaction, slab, memory offline, fork swarms (shake.c)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ctl.h"
#include "load.h"
#include "pattern.h"

void *map_pages(uint64_t pages)
{
	void *p = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("cannot map %llu pages: %s", (unsigned long long)pages,
		    strerror(errno));
	return p;
}

void stamp_area(char *base, struct stamp *s, uint64_t pages)
{
	for (s->page = 0; s->page < pages; s->page++)
		page_stamp(base + s->page * PAGE_BYTES, s);
}

/* --- memhog --- */

/*
 * Stamp pages that nobody has touched.  Each must come as zeros, whatever the
 * kernel leaves out because it takes free pages for zeros already.
 */
static void stamp_new_area(char *base, struct stamp *s, uint64_t pages)
{
	static const char zero[PAGE_BYTES];

	for (s->page = 0; s->page < pages; s->page++) {
		char *p = base + s->page * PAGE_BYTES;

		/* Reading alone would get the page that is shared by all. */
		*(volatile char *)p = 0;
		if (memcmp(p, zero, PAGE_BYTES))
			die("memhog: page %llu is new and is not zero",
			    (unsigned long long)s->page);
		page_stamp(p, s);
	}
}

static int memhog_main(int argc, char **argv)
{
	struct stamp s = { .magic = STAMP_MAGIC, .owner = getpid() };
	uint64_t pages = 0;
	int hold = 0, holes = 0;
	char *area;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--percent") && i + 1 < argc)
			pages = meminfo_kib("MemTotal") / 4 *
				number(argv[++i], "--percent") / 100;
		else if (!strcmp(argv[i], "--free") && i + 1 < argc)
			pages = meminfo_kib("MemFree") / 4 *
				number(argv[++i], "--free") / 100;
		else if (!strcmp(argv[i], "--mib") && i + 1 < argc)
			pages = number(argv[++i], "--mib") * 256;
		else if (!strcmp(argv[i], "--hold"))
			hold = 1;
		else if (!strcmp(argv[i], "--holes"))
			hold = holes = 1;
		else
			pages = 0, i = argc;
	}
	if (!pages)
		die("usage: memhog {--percent P | --free P | --mib N} [--hold | --holes]");
	area = map_pages(pages);
	/* Fails where there are none. */
	madvise(area, pages * PAGE_BYTES, MADV_NOHUGEPAGE);
	stamp_new_area(area, &s, pages);
	for (uint64_t i = 0; holes && i < pages; i += 2)
		madvise(area + i * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED);
	printf("memhog: filled %llu MiB\n", (unsigned long long)pages / 256);
	fflush(stdout);
	if (hold)
		pause();
	return 0;
}

/* --- stamp --- */

static void stamp_check(struct ctl *ctl, const char *base, struct stamp *s,
			uint64_t pages)
{
	uint64_t wrong = 0;
	char text[640] = "";
	struct mismatch m;

	for (s->page = 0; s->page < pages; s->page++) {
		const char *p = base + s->page * PAGE_BYTES;

		if (page_check(p, s, &m) && !wrong++)
			mismatch_text(text, sizeof(text), s, &m, p);
	}
	ctl_answer(ctl, wrong != 0, "stamp: pages=%llu wrong=%llu %s",
		   (unsigned long long)pages, (unsigned long long)wrong, text);
}

static int stamp_main(int argc, char **argv)
{
	struct stamp s = { .magic = STAMP_MAGIC, .owner = getpid(), .area = 1 };
	uint64_t pages = 64 * 256;
	const char *command;
	struct ctl ctl;
	char *base;

	if (argc == 2 && strcmp(argv[1], "start"))
		return ctl_ask("stamp", argv[1], 60);
	if (argc == 4 && !strcmp(argv[2], "--mib"))
		pages = number(argv[3], "--mib") * 256;
	else if (argc != 2)
		die("usage: stamp start [--mib N] | stamp check | stamp renew | stamp stop");

	ctl_start(&ctl, "stamp");
	base = map_pages(pages);
	stamp_area(base, &s, pages);
	ctl_ready(&ctl, "stamp: pages=%llu", (unsigned long long)pages);
	for (;;) {
		command = ctl_command(&ctl, -1);
		if (!command)
			continue;
		if (!strcmp(command, "renew")) {	/* new contents */
			s.generation++;
			stamp_area(base, &s, pages);
		}
		stamp_check(&ctl, base, &s, pages);
		if (!strcmp(command, "stop"))
			break;
	}
	ctl_end(&ctl);
	return 0;
}

/* --- hot --- */

/*
 * A set of pages so small that it stays in every cache of translations: the
 * pattern that shows a dirty log which misses writes.
 */
static int hot_main(int argc, char **argv)
{
	uint64_t pages = 96, rounds = 0;
	const char *command;
	struct ctl ctl;
	char *base;

	if (argc == 2 && strcmp(argv[1], "start"))
		return ctl_ask("hot", argv[1], 30);
	if (argc == 4 && !strcmp(argv[2], "--pages"))
		pages = number(argv[3], "--pages");
	else if (argc != 2)
		die("usage: hot start [--pages N] | hot status | hot stop");

	ctl_start(&ctl, "hot");
	base = map_pages(pages);
	madvise(base, pages * PAGE_BYTES, MADV_NOHUGEPAGE);
	for (;; rounds++) {
		for (uint64_t i = 0; i < pages; i++)
			++*(volatile uint64_t *)(base + i * PAGE_BYTES);
		if (rounds == 1)
			ctl_ready(&ctl, "hot: running");
		if (rounds < 2 || rounds % 1024)
			continue;
		command = ctl_command(&ctl, 0);
		if (!command)
			continue;
		ctl_answer(&ctl, 0, "hot: rounds=%llu",
			   (unsigned long long)rounds);
		if (!strcmp(command, "stop"))
			break;
	}
	ctl_end(&ctl);
	return 0;
}

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} loads[] = {
	{ "memhog", memhog_main }, { "churn", churn_main },
	{ "stamp", stamp_main },   { "hot", hot_main },
	{ "stress", stress_main }, { "shake", shake_main },
	{ "forks", forks_main },   { "pagecache", pagecache_main },
};

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');

	name = name ? name + 1 : argv[0];
	if (!strcmp(name, "cfph-load") && argc > 1) {
		argc--;
		argv++;
		name = argv[0];
	}
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		if (!strcmp(name, loads[i].name))
			return loads[i].main(argc, argv);
	die("usage: cfph-load {memhog | churn | forks | hot | pagecache | shake | stamp | stress} ...");
}
