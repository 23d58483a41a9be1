// SPDX-License-Identifier: GPL-2.0
/*
 * recode SECONDS: one process changes a byte of code, another one on another CPU runs it.
 *
 * The way of the kernel's text_poke_bp(): first a byte that stands there for a moment
 * only, then the one that is to stay, then word of it; who has got the word serializes
 * itself and must run what has been written.  Meanwhile it runs whatever is there, so
 * that an emulator has something to translate at any time.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PAGE	4096
#define PAUSES	512		/* at most, between the two bytes: some microseconds */

struct word {
	uint64_t told, heard;	/* changes: made, and run */
	int wrong;		/* 1 + what was run instead, at that change */
};

static uint8_t *code;		/* mov $byte, %eax; ret */
static struct word *word;

static uint8_t run(void)
{
	return ((uint32_t (*)(void))code)();
}

/* Never 0: that is the byte for a moment. */
static uint8_t byte_of(uint64_t change)
{
	return change % 255 + 1;
}

static void on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("recode: no second CPU");
		exit(2);
	}
}

static void runner(void)
{
	uint32_t a, b, c, d;

	for (;;) {
		uint64_t told;

		run();
		told = __atomic_load_n(&word->told, __ATOMIC_ACQUIRE);
		if (told == word->heard)
			continue;
		__cpuid(0, a, b, c, d);
		a = run();
		if (a != byte_of(told) && !word->wrong)
			word->wrong = (uint8_t)a + 1;
		__atomic_store_n(&word->heard, told, __ATOMIC_RELEASE);
	}
}

static void change(uint64_t n)
{
	volatile uint8_t *byte = code + 1;

	*byte = 0;
	for (int i = rand() % PAUSES; i; i--)
		__builtin_ia32_pause();
	*byte = byte_of(n);
	__atomic_store_n(&word->told, n, __ATOMIC_RELEASE);
	while (__atomic_load_n(&word->heard, __ATOMIC_ACQUIRE) != n)
		__builtin_ia32_pause();
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 5);
	uint64_t n = 0;

	code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED) {
		perror("recode: mmap");
		return 2;
	}
	word = (void *)(code + PAGE);
	code[0] = 0xb8;
	code[5] = 0xc3;
	on_cpu(1);
	switch (fork()) {
	case -1:
		perror("recode: fork");
		return 2;
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		runner();
	}
	on_cpu(0);
	while (time(NULL) < end && !word->wrong)
		change(++n);
	printf("recode: changes=%llu wrong=%d\n", (unsigned long long)n, !!word->wrong);
	if (word->wrong)
		printf("recode: at change %llu byte %d was run, %d had been written\n",
		       (unsigned long long)n, word->wrong - 1, byte_of(n));
	return !!word->wrong;
}
