// SPDX-License-Identifier: GPL-2.0
/*
 * shake: move the free pages of the whole guest about, by the ways that no
 * single program uses: the hugetlb pool grows and shrinks, memory is compacted,
 * the slab caches swell and are dropped, pages of page cache go, memory blocks
 * go offline and come back, processes are born in swarms.
 *
 *   shake start      shake status      shake stop
 *
 * What it allocates for itself it stamps and checks (pattern.h), as stress does;
 * that the contents of everybody else survive is for stress to see.  Whatever
 * the kernel refuses (a memory block that cannot be moved, say) is counted and
 * no failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "load.h"
#include "pattern.h"

#define HUGE_PAGES	512ULL		/* pages of a huge page */
#define SLAB_FILES	3000		/* inodes and dentries: a few MiB */
#define SWARM		24

enum act { HUGETLB, COMPACT, SLAB, DROP, OFFLINE, FORKS, ACTS };

static struct shake {
	struct ctl ctl;
	uint64_t rng, generation, wrong;
	uint64_t done[ACTS], refused;
	char text[640];
} sh;

/* Returns 0, or -1 if the kernel has said no. */
static int tell(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	sh.refused += n < 0;
	return n < 0 ? -1 : 0;
}

static uint64_t rnd(uint64_t below)
{
	sh.rng = pattern_next(sh.rng);
	return (sh.rng >> 11) % below;
}

static void check_area(const char *what, char *base, struct stamp *s,
		       uint64_t pages)
{
	struct mismatch m;
	int n;

	for (s->page = 0; s->page < pages; s->page++) {
		char *p = base + s->page * PAGE_BYTES;

		if (!page_check(p, s, &m) || sh.wrong++)
			continue;
		n = snprintf(sh.text, sizeof(sh.text), "%s ", what);
		mismatch_text(sh.text + n, sizeof(sh.text) - n, s, &m, p);
	}
}

static void act_hugetlb(void)
{
	struct stamp s = { .magic = STAMP_MAGIC, .owner = getpid(),
			   .area = HUGETLB, .generation = ++sh.generation };
	uint64_t pages = (1 + rnd(8)) * HUGE_PAGES;
	char text[24];
	char *p;

	snprintf(text, sizeof(text), "%llu",
		 (unsigned long long)(pages / HUGE_PAGES));
	tell("/proc/sys/vm/nr_hugepages", text);
	/* The pool may have got fewer; without MAP_NORESERVE mmap() says so. */
	p = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p == MAP_FAILED) {
		sh.refused++;
	} else {
		stamp_area(p, &s, pages);
		check_area("hugetlb", p, &s, pages);
		munmap(p, pages * PAGE_BYTES);
	}
	tell("/proc/sys/vm/nr_hugepages", "0");
}

static void act_slab(void)
{
	char path[64];

	mkdir("/tmp/shake", 0700);
	for (int i = 0; i < SLAB_FILES; i++) {
		int fd;

		snprintf(path, sizeof(path), "/tmp/shake/%d", i);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		if (fd < 0) {
			sh.refused++;
			break;
		}
		close(fd);
	}
	for (int i = 0; i < SLAB_FILES; i++) {
		snprintf(path, sizeof(path), "/tmp/shake/%d", i);
		unlink(path);
	}
	tell("/proc/sys/vm/drop_caches", "2");
}

/* Some memory block goes and comes back; most hold memory that cannot move. */
static void act_offline(void)
{
	glob_t blocks;
	char path[128];

	if (glob("/sys/devices/system/memory/memory[0-9]*", 0, NULL, &blocks))
		return;
	snprintf(path, sizeof(path), "%s/state",
		 blocks.gl_pathv[rnd(blocks.gl_pathc)]);
	globfree(&blocks);
	if (!tell(path, "offline"))
		while (tell(path, "online_movable") && tell(path, "online"))
			usleep(1000);	/* without it the guest is poorer */
}

static void act_forks(void)
{
	for (int i = 0; i < SWARM; i++) {
		pid_t pid = fork();

		if (!pid) {
			struct stamp s = { .magic = STAMP_MAGIC, .area = FORKS,
					   .owner = getpid() };
			char *p = map_pages(64);

			stamp_area(p, &s, 64);
			check_area("swarm", p, &s, 64);
			_exit(sh.wrong != 0);
		}
		sh.refused += pid < 0;
	}
	for (int status; wait(&status) > 0; ) {
		if (!status || sh.wrong++)
			continue;
		snprintf(sh.text, sizeof(sh.text),
			 "a child found a wrong page, wait status 0x%x",
			 status);
	}
}

static void act(enum act what)
{
	switch (what) {
	case HUGETLB:
		act_hugetlb();
		break;
	case COMPACT:
		tell("/proc/sys/vm/compact_memory", "1");
		break;
	case SLAB:
		act_slab();
		break;
	case DROP:
		tell("/proc/sys/vm/drop_caches", "3");
		break;
	case OFFLINE:
		act_offline();
		break;
	default:
		act_forks();
		break;
	}
	sh.done[what]++;
}

static void answer(void)
{
	ctl_answer(&sh.ctl, sh.wrong != 0,
		   "shake: hugetlb=%llu compact=%llu slab=%llu drop=%llu offline=%llu forks=%llu refused=%llu wrong=%llu %s",
		   (unsigned long long)sh.done[HUGETLB],
		   (unsigned long long)sh.done[COMPACT],
		   (unsigned long long)sh.done[SLAB],
		   (unsigned long long)sh.done[DROP],
		   (unsigned long long)sh.done[OFFLINE],
		   (unsigned long long)sh.done[FORKS],
		   (unsigned long long)sh.refused,
		   (unsigned long long)sh.wrong, sh.text);
}

int shake_main(int argc, char **argv)
{
	const char *command;

	if (argc != 2)
		die("usage: shake start | shake status | shake stop");
	if (strcmp(argv[1], "start"))
		return ctl_ask("shake", argv[1], 120);

	ctl_start(&sh.ctl, "shake");
	sh.rng = getpid() * 0x9e3779b97f4a7c15ULL;
	for (int what = 0; what < ACTS; what++)
		act(what);
	ctl_ready(&sh.ctl, "shake: running");
	for (;;) {
		command = ctl_command(&sh.ctl, 20);
		if (command) {
			answer();
			if (!strcmp(command, "stop"))
				break;
		}
		act(rnd(ACTS));
	}
	ctl_end(&sh.ctl);
	return 0;
}
