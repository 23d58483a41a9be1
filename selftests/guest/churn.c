// SPDX-License-Identifier: GPL-2.0
/*
 * Loads that allocate and free without pause, and measure themselves:
 *
 *   churn start [--mib N] [--duty PERCENT] [--stay MIB]
 *       allocate, write, free; with --stay each page that is new is followed by a
 *       write to one that is not, in so much memory that stays
 *   pagecache start [--mib N] DEVICE
 *       read so much of a device, and have the page cache drop it
 *   forks start [--mib N]
 *       fork and exec a program that fills so much and exits, as a compiler does
 *
 *   NAME status, NAME stop: loops, MiB, the time of the guest since "start", and the
 *       longest step since it was asked last: the first write to a page (churn), 64
 *       KiB read (pagecache), one program (forks)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "load.h"
#include "pattern.h"

#define READ_BYTES	65536u
#define STAY_AREA	1

struct churn {
	struct ctl ctl;
	const char *name;
	uint64_t pages, duty;	/* of one loop; percent of the time */
	uint64_t stay;		/* pages that stay */
	uint64_t loops, done;	/* so far; pages */
	uint64_t start_ns, start_cycles, worst_cycles;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Reading the clock can take longer than the page fault that is to be timed. */
static uint64_t cycles(void)
{
	return __builtin_ia32_rdtsc();
}

static void step_ends(struct churn *c, uint64_t began)
{
	uint64_t took = cycles() - began;

	if (took > c->worst_cycles)
		c->worst_cycles = took;
}

static uint64_t worst_ns(const struct churn *c, uint64_t ns)
{
	uint64_t all = cycles() - c->start_cycles;

	return all ? (unsigned __int128)c->worst_cycles * ns / all : 0;
}

/* Answers what has come; true if we must stop. */
static int churn_serve(struct churn *c)
{
	const char *command = c->loops ? ctl_command(&c->ctl, 0) : NULL;
	uint64_t ns = now_ns() - c->start_ns;

	if (!command)
		return 0;
	ctl_answer(&c->ctl, 0, "%s: loops=%llu written_mib=%llu ms=%llu worst_us=%llu",
		   c->name, (unsigned long long)c->loops,
		   (unsigned long long)c->done / 256,
		   (unsigned long long)ns / 1000000,
		   (unsigned long long)worst_ns(c, ns) / 1000);
	c->worst_cycles = 0;
	return !strcmp(command, "stop");
}

/* So much later that @work ns are @duty percent; true if we must stop. */
static int churn_rest(struct churn *c, uint64_t work)
{
	uint64_t end = now_ns() + work * (100 - c->duty) / c->duty;

	while (c->duty < 100 && now_ns() < end) {
		usleep(2000);
		if (churn_serve(c))
			return 1;
	}
	return 0;
}

static void churn_begins(struct churn *c)
{
	ctl_start(&c->ctl, c->name);
	c->start_ns = now_ns();
	c->start_cycles = cycles();
}

static void loop_ends(struct churn *c)
{
	if (!c->loops++)
		ctl_ready(&c->ctl, "%s: running", c->name);
}

/*
 * The options behind "start"; the index of what is none.  What is no "start" is for
 * who runs already.
 */
static int options(struct churn *c, int argc, char **argv)
{
	int i;

	if (argc < 2 || (strcmp(argv[1], "start") && argc != 2))
		die("usage: %s start [--mib N] ... | %s status | %s stop", c->name,
		    c->name, c->name);
	if (strcmp(argv[1], "start"))
		exit(ctl_ask(c->name, argv[1], 30));
	for (i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--mib") && i + 1 < argc)
			c->pages = number(argv[++i], "--mib") * 256;
		else if (!strcmp(argv[i], "--duty") && i + 1 < argc)
			c->duty = number(argv[++i], "--duty");
		else if (!strcmp(argv[i], "--stay") && i + 1 < argc)
			c->stay = number(argv[++i], "--stay") * 256;
		else
			break;
	}
	if (!c->pages || !c->duty || c->duty > 100)
		die("%s: nothing to do", c->name);
	return i;
}

/* --- churn --- */

int churn_main(int argc, char **argv)
{
	struct stamp s = { .magic = STAMP_MAGIC, .owner = getpid() };
	struct stamp old = s;
	struct churn c = { .name = "churn", .pages = 256 * 256, .duty = 100 };
	int stop = 0;
	char *kept = NULL;

	if (options(&c, argc, argv) != argc)
		die("churn: what is '%s'?", argv[argc - 1]);
	churn_begins(&c);
	old.area = STAY_AREA;
	if (c.stay)
		kept = map_pages(c.stay);

	for (; !stop; s.generation++, old.generation++) {
		uint64_t began = now_ns();
		char *p = map_pages(c.pages);

		for (s.page = 0; s.page < c.pages && !stop; s.page++) {
			char *page = p + s.page * PAGE_BYTES;
			uint64_t t = cycles();

			*(volatile char *)page = 0;
			step_ends(&c, t);
			page_stamp(page, &s);
			c.done++;
			if (c.stay) {
				old.page = s.page % c.stay;
				page_stamp(kept + old.page * PAGE_BYTES, &old);
				c.done++;
			}
			/* Each 4 MiB: soon enough for who asks. */
			if (!(s.page % 1024))
				stop = churn_serve(&c);
		}
		munmap(p, c.pages * PAGE_BYTES);
		loop_ends(&c);
		stop = stop || churn_rest(&c, now_ns() - began);
	}
	ctl_end(&c.ctl);
	return 0;
}

/* --- pagecache --- */

int pagecache_main(int argc, char **argv)
{
	struct churn c = { .name = "pagecache", .pages = 128 * 256, .duty = 100 };
	static char buf[READ_BYTES];
	int stop = 0, fd;

	if (options(&c, argc, argv) != argc - 1)
		die("usage: pagecache start [--mib N] DEVICE");
	fd = open(argv[argc - 1], O_RDONLY);
	if (fd < 0)
		die("%s: %s", argv[argc - 1], strerror(errno));
	churn_begins(&c);

	while (!stop) {
		uint64_t bytes = c.pages * PAGE_BYTES;

		for (uint64_t at = 0; at < bytes && !stop; at += sizeof(buf)) {
			uint64_t t = cycles();

			if (pread(fd, buf, sizeof(buf), at) != sizeof(buf))
				die("pagecache: %s ends after %llu bytes",
				    argv[argc - 1], (unsigned long long)at);
			step_ends(&c, t);
			c.done += sizeof(buf) / PAGE_BYTES;
			stop = churn_serve(&c);
		}
		posix_fadvise(fd, 0, bytes, POSIX_FADV_DONTNEED);
		loop_ends(&c);
	}
	ctl_end(&c.ctl);
	return 0;
}

/* --- forks --- */

/* What is exec'd: "forks fill N". */
static int forks_fill(uint64_t pages)
{
	struct stamp s = { .magic = STAMP_MAGIC, .owner = getpid() };

	stamp_area(map_pages(pages), &s, pages);
	return 0;
}

int forks_main(int argc, char **argv)
{
	struct churn c = { .name = "forks", .pages = 16 * 256, .duty = 100 };
	char pages[24];
	int stop = 0;

	if (argc == 3 && !strcmp(argv[1], "fill"))
		return forks_fill(number(argv[2], "fill"));
	if (options(&c, argc, argv) != argc)
		die("usage: forks start [--mib N]");
	snprintf(pages, sizeof(pages), "%llu", (unsigned long long)c.pages);
	churn_begins(&c);

	while (!stop) {
		uint64_t t = cycles();
		pid_t pid = fork();
		int status;

		if (!pid) {
			execl("/proc/self/exe", "forks", "fill", pages, (char *)NULL);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			die("forks: the program has failed");
		step_ends(&c, t);
		c.done += c.pages;
		loop_ends(&c);
		stop = churn_serve(&c);
	}
	ctl_end(&c.ctl);
	return 0;
}
