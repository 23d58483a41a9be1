// SPDX-License-Identifier: GPL-2.0
/*
 * The fuzz target without a fuzzer: each message of the corpus as it is, cut
 * off at each length, and with bytes changed by a fixed sequence of numbers.
 * Always does the same, so a failure can be repeated.  Prints KTAP.
 *
 *   fuzz_replay CORPUS [CHANGES]   replay it
 *   fuzz_replay --write CORPUS DIR one file for each message, for libFuzzer
 *
 * A line of the corpus is a name and hexadecimal digits.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_nl.h"

struct message {
	char name[64];
	uint8_t data[1 + FUZZ_MAX];
	size_t len;
};

/* The next message; 0 at the end. */
static int next_message(FILE *in, struct message *m)
{
	static char line[2 * FUZZ_MAX];
	unsigned int byte;
	char *hex;

	while (fgets(line, sizeof(line), in)) {
		hex = strchr(line, ' ');
		if (line[0] == '#' || !hex)
			continue;
		snprintf(m->name, sizeof(m->name), "%.*s", (int)(hex - line), line);
		m->len = 0;
		for (hex++; sscanf(hex, "%2x", &byte) == 1; hex += 2)
			m->data[m->len++] = byte;
		return 1;
	}
	return 0;
}

static void change(const struct message *m, unsigned int times)
{
	static uint8_t copy[1 + FUZZ_MAX];
	uint32_t seed = 1;

	for (unsigned int i = 0; i < times; i++) {
		memcpy(copy, m->data, m->len);
		for (unsigned int n = 1 + i % 4; n; n--) {
			seed = seed * 1664525 + 1013904223;
			copy[(seed >> 8) % m->len] = i % 3 ? seed >> 24 : (seed >> 24) & 0x9f;
		}
		LLVMFuzzerTestOneInput(copy, m->len);
	}
}

static int replay(FILE *in, unsigned int changes)
{
	static struct message m;
	unsigned int n = 0;

	printf("KTAP version 1\n");
	while (next_message(in, &m)) {
		LLVMFuzzerTestOneInput(m.data, m.len);
		for (size_t len = 0; len < m.len; len++)
			LLVMFuzzerTestOneInput(m.data, len);
		change(&m, changes);
		/* What is wrong aborts. */
		printf("ok %u %s\n", ++n, m.name);
	}
	printf("1..%u\n", n);
	return !n;
}

static int write_files(FILE *in, const char *directory)
{
	static struct message m;
	char path[4096];

	while (next_message(in, &m)) {
		FILE *out;

		snprintf(path, sizeof(path), "%s/%s", directory, m.name);
		out = fopen(path, "w");
		if (!out || fwrite(m.data, 1, m.len, out) != m.len || fclose(out)) {
			perror(path);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	int is_write = argc == 4 && !strcmp(argv[1], "--write");
	FILE *in = argc > 1 ? fopen(argv[1 + is_write], "r") : NULL;
	int rc;

	if (!in) {
		fprintf(stderr, "usage: fuzz_replay CORPUS [CHANGES]\n");
		return 1;
	}
	rc = is_write ? write_files(in, argv[3]) : replay(in, argc > 2 ? atoi(argv[2]) : 5000);
	fclose(in);
	return rc;
}
