// SPDX-License-Identifier: GPL-2.0
/*
 * stress: does any page ever hold something that its owner did not put there?
 *
 * Several workers allocate memory in every way that a small guest offers,
 * stamp each page (pattern.h), check it again and again, and free it, so that
 * pages go from used to free and back without pause while a migration runs.  The
 * first wrong byte is reported with everything known about it, to who asks and
 * to the kernel log, and ends the run.
 *
 *   stress start [--mib N] [--workers N] [--disk DEV]
 *   stress check     every worker checks all that it holds; rc 1 if wrong
 *   stress status    counters only
 *   stress stop      check everything, then end
 *
 * A supervisor answers commands; workers share one page of counters with it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

#define MAX_WORKERS	16
#define MAX_AREAS	192
#define THP_PAGES	512
#define PIPE_PAGES	16	/* a pipe's default capacity */

enum kind { NONE, ANON, HUGE, SHMEM, TMPFS, PIPE, KINDS };

struct area {
	enum kind kind;
	struct stamp stamp;
	uint64_t pages;
	char *map;		/* ANON, HUGE, SHMEM */
	int fd[2];		/* TMPFS: [0]; PIPE: both ends */
};

struct worker_shared {
	uint64_t checks;	/* pages found right */
	uint64_t allocated, freed, forks, cached;	/* pages; forks; pages */
	uint64_t live;		/* pages held now */
	uint64_t epoch;		/* the newest "check" that is done */
	uint64_t filled;	/* the budget has been used up once */
};

static struct shared {
	uint64_t epoch;		/* "check" commands so far */
	uint64_t stop;
	uint64_t wrong;		/* mismatches; the first one is in text */
	char text[704];
	struct worker_shared worker[MAX_WORKERS];
} *shared;

struct worker {
	unsigned int id;
	uint64_t rng, generation, budget_pages;
	struct worker_shared *count;
	struct area area[MAX_AREAS];
	int disk;
	uint64_t disk_pages;
};

static uint64_t load_word(uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store_word(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static uint64_t rnd(struct worker *w, uint64_t below)
{
	w->rng = pattern_next(w->rng);
	return (w->rng >> 11) % below;
}

/* --- reporting --- */

static void report(const char *what, const struct stamp *s,
		   const struct mismatch *m, const void *addr)
{
	char text[sizeof(shared->text)], line[sizeof(text) + 32];
	int n, fd;

	n = snprintf(text, sizeof(text), "%s ", what);
	mismatch_text(text + n, sizeof(text) - n, s, m, addr);
	if (!__atomic_fetch_add(&shared->wrong, 1, __ATOMIC_ACQ_REL))
		memcpy(shared->text, text, sizeof(text));
	fd = open("/dev/kmsg", O_WRONLY);
	n = snprintf(line, sizeof(line), "<3>stress: MISMATCH %s\n", text);
	if (fd >= 0 && write(fd, line, n) < 0)
		perror("/dev/kmsg");
	_exit(1);
}

/* A system call that must work: failing is the harness's fault, not data. */
static void need(int ok, const char *what)
{
	if (ok)
		return;
	dprintf(2, "stress: %s: %s\n", what, strerror(errno));
	if (!__atomic_fetch_add(&shared->wrong, 1, __ATOMIC_ACQ_REL))
		snprintf(shared->text, sizeof(shared->text),
			 "no mismatch, but %s failed: %s", what,
			 strerror(errno));
	_exit(2);
}

/* --- one area --- */

static void check_page(struct worker *w, const void *page,
		       const struct stamp *s, const char *what,
		       const void *addr)
{
	struct mismatch m;

	if (page_check(page, s, &m))
		report(what, s, &m, addr);
	w->count->checks++;
}

static const char *const kind_name[KINDS] = {
	"none", "anon", "huge", "shmem", "tmpfs", "pipe"
};

static void area_fill(struct area *a)
{
	char page[PAGE_BYTES] __attribute__((aligned(8)));
	struct stamp *s = &a->stamp;

	if (a->map) {
		stamp_area(a->map, s, a->pages);
		return;
	}
	for (s->page = 0; s->page < a->pages; s->page++) {
		page_stamp(page, s);
		need(write(a->fd[a->kind == PIPE], page, PAGE_BYTES) ==
		     PAGE_BYTES, "write");
	}
}

static void area_check(struct worker *w, struct area *a)
{
	char page[PAGE_BYTES] __attribute__((aligned(8)));
	struct stamp *s = &a->stamp;

	for (s->page = 0; s->page < a->pages; s->page++) {
		if (a->map) {
			char *p = a->map + s->page * PAGE_BYTES;

			check_page(w, p, s, kind_name[a->kind], p);
			continue;
		}
		if (a->kind == TMPFS)
			need(pread(a->fd[0], page, PAGE_BYTES,
				   s->page * PAGE_BYTES) == PAGE_BYTES, "pread");
		else
			need(read(a->fd[0], page, PAGE_BYTES) == PAGE_BYTES,
			     "read from pipe");
		check_page(w, page, s, kind_name[a->kind], NULL);
	}
	if (a->kind == PIPE)	/* reading has emptied it */
		area_fill(a);
}

static void *map_huge(uint64_t pages)
{
	const uint64_t bytes = pages * PAGE_BYTES, align = THP_PAGES * PAGE_BYTES;
	char *p = map_pages(pages + THP_PAGES);
	char *start = (char *)(((uintptr_t)p + align - 1) & ~(align - 1));

	/* Give back what lies before and behind the aligned part. */
	if (start > p)
		munmap(p, start - p);
	if (start < p + align)
		munmap(start + bytes, p + align - start);
	madvise(start, bytes, MADV_HUGEPAGE);
	return start;
}

static void area_alloc(struct worker *w, struct area *a, unsigned int slot)
{
	char path[64];

	a->kind = 1 + rnd(w, KINDS - 1);
	/* Mostly small, sometimes large: 1 to 2048 pages. */
	a->pages = 1 + rnd(w, 1ULL << (2 + rnd(w, 10)));
	a->map = NULL;
	a->fd[0] = a->fd[1] = -1;
	switch (a->kind) {
	case ANON:
		a->map = map_pages(a->pages);
		madvise(a->map, a->pages * PAGE_BYTES, MADV_NOHUGEPAGE);
		break;
	case HUGE:
		a->pages = THP_PAGES * (1 + rnd(w, 4));
		a->map = map_huge(a->pages);
		break;
	case SHMEM:
		a->map = mmap(NULL, a->pages * PAGE_BYTES,
			      PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		need(a->map != MAP_FAILED, "mmap");
		break;
	case TMPFS:
		snprintf(path, sizeof(path), "/tmp/stress.%u.%u", w->id, slot);
		a->fd[0] = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		need(a->fd[0] >= 0, path);
		unlink(path);
		break;
	default:
		a->kind = PIPE;
		a->pages = PIPE_PAGES;
		need(!pipe2(a->fd, O_NONBLOCK), "pipe");
		break;
	}
	a->stamp = (struct stamp){
		.magic = STAMP_MAGIC, .owner = getpid(), .area = slot,
		.generation = ++w->generation,
	};
	area_fill(a);
	w->count->allocated += a->pages;
	w->count->live += a->pages;
}

static void area_free(struct worker *w, struct area *a)
{
	if (a->map)
		munmap(a->map, a->pages * PAGE_BYTES);
	for (int i = 0; i < 2; i++)
		if (!a->map && a->fd[i] >= 0)
			close(a->fd[i]);
	a->kind = NONE;
	w->count->freed += a->pages;
	w->count->live -= a->pages;
}

/* --- things that happen to an area while it lives --- */

/* A child checks the parent's pages and, by writing, gets its own copies. */
static void act_fork(struct worker *w, struct area *a)
{
	int status = 0;
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (!pid) {
		area_check(w, a);
		a->stamp.owner = getpid();
		area_fill(a);
		area_check(w, a);
		_exit(0);
	}
	need(waitpid(pid, &status, 0) == pid, "waitpid");
	if (status)	/* the child has reported */
		_exit(1);
	w->count->forks++;
	area_check(w, a);
}

/* Throw some pages away: they must come back as zeros. */
static void act_discard(struct worker *w, struct area *a)
{
	static const char zero[PAGE_BYTES];
	uint64_t first = rnd(w, a->pages), n = 1 + rnd(w, a->pages - first);
	struct stamp *s = &a->stamp;
	struct mismatch m = { 0 };

	madvise(a->map + first * PAGE_BYTES, n * PAGE_BYTES, MADV_DONTNEED);
	for (s->page = first; s->page < first + n; s->page++) {
		char *p = a->map + s->page * PAGE_BYTES;

		if (memcmp(p, zero, PAGE_BYTES)) {
			memcpy(&m.found, p, sizeof(m.found));
			report("not zero after MADV_DONTNEED", s, &m, p);
		}
		page_stamp(p, s);
	}
	w->count->allocated += n;
	w->count->freed += n;
}

/* The same pages, written again with new contents. */
static void act_renew(struct worker *w, struct area *a)
{
	a->stamp.generation = ++w->generation;
	stamp_area(a->map, &a->stamp, a->pages);
}

/* Clean page cache over a block device whose contents never change. */
static void act_cache(struct worker *w)
{
	char page[PAGE_BYTES] __attribute__((aligned(8)));
	struct stamp s = { .magic = STAMP_MAGIC };
	uint64_t n = 1 + rnd(w, 64);

	for (s.page = rnd(w, w->disk_pages); n-- && s.page < w->disk_pages;
	     s.page++) {
		need(pread(w->disk, page, PAGE_BYTES, s.page * PAGE_BYTES) ==
		     PAGE_BYTES, "read from disk");
		check_page(w, page, &s, "page cache", NULL);
		w->count->cached++;
	}
	if (!rnd(w, 64)) {
		int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

		if (fd >= 0 && write(fd, "1", 1) < 0)
			perror("drop_caches");
		close(fd);
	}
}

/* --- a worker --- */

static void check_all(struct worker *w)
{
	for (unsigned int i = 0; i < MAX_AREAS; i++)
		if (w->area[i].kind)
			area_check(w, &w->area[i]);
}

static void step(struct worker *w)
{
	unsigned int slot = rnd(w, MAX_AREAS);
	struct area *a = &w->area[slot];

	if (!a->kind) {
		if (w->count->live < w->budget_pages)
			area_alloc(w, a, slot);
		else
			store_word(&w->count->filled, 1);
		return;
	}
	area_check(w, a);
	switch (rnd(w, 8)) {
	case 0:
		if (a->kind != PIPE && a->kind != TMPFS && a->kind != SHMEM)
			act_fork(w, a);
		break;
	case 1:
		if (a->kind == ANON || a->kind == HUGE)
			act_discard(w, a);
		break;
	case 2:
		if (a->map)
			act_renew(w, a);
		break;
	case 3:
		if (w->disk >= 0)
			act_cache(w);
		break;
	default:
		area_free(w, a);
		break;
	}
}

static void worker_main(struct worker *w)
{
	signal(SIGCHLD, SIG_DFL);
	w->rng = 0x9e3779b97f4a7c15ULL * (w->id + 1);
	while (!load_word(&shared->stop)) {
		uint64_t epoch = load_word(&shared->epoch);

		if (epoch != w->count->epoch) {
			check_all(w);
			store_word(&w->count->epoch, epoch);
		}
		step(w);
	}
	check_all(w);
	_exit(0);
}

/* --- the supervisor --- */

static volatile sig_atomic_t children_gone;

static void on_child(int sig)
{
	(void)sig;
	children_gone = 1;
}

static void answer(struct ctl *ctl, unsigned int workers)
{
	struct worker_shared sum = { 0 };

	for (unsigned int i = 0; i < workers; i++) {
		const struct worker_shared *c = &shared->worker[i];

		sum.checks += c->checks;
		sum.allocated += c->allocated;
		sum.freed += c->freed;
		sum.forks += c->forks;
		sum.cached += c->cached;
		sum.live += c->live;
	}
	ctl_answer(ctl, load_word(&shared->wrong) != 0,
		   "stress: checks=%llu allocated=%llu freed=%llu forks=%llu cached=%llu live=%llu wrong=%llu %s",
		   (unsigned long long)sum.checks,
		   (unsigned long long)sum.allocated,
		   (unsigned long long)sum.freed,
		   (unsigned long long)sum.forks,
		   (unsigned long long)sum.cached,
		   (unsigned long long)sum.live,
		   (unsigned long long)shared->wrong, shared->text);
}

/* Wait until every worker has @field >= @want, or one has died. */
static void wait_workers(unsigned int workers, size_t field, uint64_t want)
{
	const struct timespec pause = { .tv_nsec = 5000000 };

	for (unsigned int i = 0; i < workers; i++) {
		uint64_t *p = (void *)((char *)&shared->worker[i] + field);

		while (load_word(p) < want && !children_gone)
			nanosleep(&pause, NULL);
	}
}

/* A worker that died without a word (killed, say) is wrong, too. */
static void reap(void)
{
	int status;

	while (waitpid(-1, &status, WNOHANG) > 0) {
		if (!status || load_word(&shared->wrong))
			continue;
		snprintf(shared->text, sizeof(shared->text),
			 "a worker died, wait status 0x%x", status);
		store_word(&shared->wrong, 1);
	}
}

static void serve(struct ctl *ctl, unsigned int workers)
{
	for (;;) {
		const char *command = ctl_command(ctl, -1);

		if (children_gone)
			reap();
		if (!command)
			continue;
		if (!strcmp(command, "check")) {
			store_word(&shared->epoch, shared->epoch + 1);
			wait_workers(workers,
				     offsetof(struct worker_shared, epoch),
				     shared->epoch);
			if (children_gone)
				reap();
		} else if (!strcmp(command, "stop")) {
			signal(SIGCHLD, SIG_DFL);
			store_word(&shared->stop, 1);
			for (int status; wait(&status) > 0; )
				if (status && !load_word(&shared->wrong))
					store_word(&shared->wrong, 1);
			answer(ctl, workers);
			return;
		}
		answer(ctl, workers);
	}
}

/* Write the device full of stamps once, push them out, and open it to read. */
static int disk_open(const char *path, uint64_t *pages)
{
	char page[PAGE_BYTES] __attribute__((aligned(8)));
	struct stamp s = { .magic = STAMP_MAGIC };
	int fd = open(path, O_RDWR);
	off_t bytes;

	need(fd >= 0, path);
	bytes = lseek(fd, 0, SEEK_END);
	need(bytes >= (off_t)PAGE_BYTES, "size of the disk");
	*pages = bytes / PAGE_BYTES;
	for (s.page = 0; s.page < *pages; s.page++) {
		page_stamp(page, &s);
		need(pwrite(fd, page, PAGE_BYTES, s.page * PAGE_BYTES) ==
		     PAGE_BYTES, "write to disk");
	}
	need(!fsync(fd), "fsync");
	close(fd);
	fd = open(path, O_RDONLY);
	need(fd >= 0, path);
	return fd;
}

static void usage(void)
{
	die("usage: stress start [--mib N] [--workers N] [--disk DEV] | stress check | stress status | stress stop");
}

int stress_main(int argc, char **argv)
{
	uint64_t pages = 64 * 256, workers = 3, disk_pages = 0;
	const char *disk = NULL;
	struct sigaction sa = { .sa_handler = on_child };
	struct ctl ctl;
	int disk_fd = -1;

	if (argc < 2)
		usage();
	if (strcmp(argv[1], "start"))
		return ctl_ask("stress", argv[1], 120);
	for (int i = 2; i < argc; i += 2) {
		if (i + 1 == argc)
			usage();
		else if (!strcmp(argv[i], "--mib"))
			pages = number(argv[i + 1], "--mib") * 256;
		else if (!strcmp(argv[i], "--workers"))
			workers = number(argv[i + 1], "--workers");
		else if (!strcmp(argv[i], "--disk"))
			disk = argv[i + 1];
		else
			usage();
	}
	if (!workers || workers > MAX_WORKERS)
		die("stress: --workers: 1 to %d", MAX_WORKERS);

	ctl_start(&ctl, "stress");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("stress: mmap: %s", strerror(errno));
	if (disk)
		disk_fd = disk_open(disk, &disk_pages);
	sigaction(SIGCHLD, &sa, NULL);
	for (unsigned int i = 0; i < workers; i++) {
		pid_t pid = fork();

		need(pid >= 0, "fork");
		if (pid)
			continue;

		static struct worker w;

		w.id = i;
		w.budget_pages = pages / workers;
		w.count = &shared->worker[i];
		w.disk = disk_fd;
		w.disk_pages = disk_pages;
		close(ctl.fd);
		close(ctl.ready_fd);
		worker_main(&w);
	}
	wait_workers(workers, offsetof(struct worker_shared, filled), 1);
	ctl_ready(&ctl, "stress: workers=%llu", (unsigned long long)workers);
	serve(&ctl, workers);
	ctl_end(&ctl);
	return 0;
}
