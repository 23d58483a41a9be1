// SPDX-License-Identifier: GPL-2.0
/*
 * make bench-hooks: the loads that a program makes, in the guest.
 *
 *	hookload LOAD [TIMES [PROCESSES]]
 *
 * Runs LOAD once to warm up and then TIMES, in so many processes at the same time,
 * and prints "operations cycles nanoseconds", with the operations of all of them but
 * without the first time.  Cycles are the time stamp counter's: instructions, if QEMU
 * counts them (-icount shift=0).
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096UL
#define HUGE		(2UL << 20)
#define AREA		(128UL << 20)
#define FILE_BYTES	(16UL << 20)
#define FORKS		1000

static uint64_t cycles(void)
{
	return __builtin_ia32_rdtsc();
}

static uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* Operations of one LOAD are what its function returns. */

/* Is it instructions that the counter counts?  Two million, and the interrupts. */
static unsigned long calibrate(void)
{
	unsigned long n = 1000000;

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(n) : : "cc");
	return 2000000;
}

static unsigned long touch(int advice)
{
	char *area = mmap(NULL, AREA + HUGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *start;
	unsigned long i;

	if (area == MAP_FAILED)
		err(1, "mmap");
	start = (char *)(((uintptr_t)area + HUGE - 1) & -HUGE);
	if (madvise(start, AREA, advice))
		err(1, "madvise");
	for (i = 0; i < AREA; i += PAGE)
		start[i] = 1;
	if (munmap(area, AREA + HUGE))
		err(1, "munmap");
	return AREA / PAGE;
}

static unsigned long fault(void)
{
	return touch(MADV_NOHUGEPAGE);
}

static unsigned long thp(void)
{
	return touch(MADV_HUGEPAGE);
}

static unsigned long forks(void)
{
	pid_t child;
	int i;

	for (i = 0; i < FORKS; i++) {
		child = fork();
		if (child == 0)
			_exit(0);
		if (child < 0 || waitpid(child, NULL, 0) != child)
			err(1, "fork");
	}
	return FORKS;
}

static unsigned long tmpfs(void)
{
	static char data[64 << 10];
	char name[] = "/tmp/hookload.XXXXXX";
	int fd = mkstemp(name), half;
	unsigned long done;

	if (fd < 0 || unlink(name))
		err(1, "%s", name);
	memset(data, 1, sizeof(data));
	/* What is freed by the truncation, and what by the end of the file. */
	for (half = 0; half < 2; half++) {
		for (done = 0; done < FILE_BYTES; done += sizeof(data))
			if (pwrite(fd, data, sizeof(data), done) != sizeof(data))
				err(1, "write");
		if (half == 0 && ftruncate(fd, 0))
			err(1, "ftruncate");
	}
	close(fd);
	return 2 * FILE_BYTES / PAGE;
}

static const struct load {
	const char *name;
	unsigned long (*run)(void);
} loads[] = {
	{ "calibrate", calibrate }, { "fault", fault }, { "thp", thp },
	{ "fork", forks }, { "tmpfs", tmpfs },
};

static const struct load *find(const char *name)
{
	unsigned int i;

	for (i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		if (!strcmp(loads[i].name, name))
			return &loads[i];
	errx(2, "no such load: %s", name);
}

static unsigned long repeat(const struct load *load, unsigned int times)
{
	unsigned long operations = 0;

	while (times--)
		operations += load->run();
	return operations;
}

/* The last process is this one: with one there is no fork to be measured. */
static unsigned long run(const struct load *load, unsigned int times,
			 unsigned int processes)
{
	unsigned long operations;
	unsigned int i;
	int status;

	for (i = 1; i < processes; i++) {
		pid_t child = fork();

		if (child < 0)
			err(1, "fork");
		if (child == 0) {
			repeat(load, times);
			_exit(0);
		}
	}
	operations = repeat(load, times);
	for (i = 1; i < processes; i++)
		if (wait(&status) < 0 || status)
			errx(1, "a process has failed");
	return operations * processes;
}

int main(int argc, char **argv)
{
	unsigned int times = argc > 2 ? atoi(argv[2]) : 1;
	unsigned int processes = argc > 3 ? atoi(argv[3]) : 1;
	unsigned long operations;
	const struct load *load;
	uint64_t c, ns;

	if (argc < 2 || argc > 4 || times < 1 || processes < 1)
		errx(2, "usage: hookload LOAD [TIMES [PROCESSES]]");
	load = find(argv[1]);
	run(load, 1, processes);

	ns = nanoseconds();
	c = cycles();
	operations = run(load, times, processes);
	c = cycles() - c;
	ns = nanoseconds() - ns;
	printf("%lu %llu %llu\n", operations, (unsigned long long)c,
	       (unsigned long long)ns);
	return 0;
}
