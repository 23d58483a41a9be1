// SPDX-License-Identifier: GPL-2.0
/*
 * Command lines, and what must come of each: exit code, stdout, stderr, and
 * what was sent.  The rows are in rows_*.c.  Linked with the objects of fpctl, its
 * netlink layer replaced by fake_nl.c: so no kernel and no privilege is needed.
 * Prints KTAP.
 *
 *   cmdline [LINES]              run the table, and so many random lines
 *   cmdline --as KERNEL ARG...   be fpctl on that kernel (for the scripts)
 *   cmdline --on KERNEL ARG...   the same, on a kernel that goes on for ever
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmdline.h"
#include "fpc_args.h"

int fpctl_main(int argc, char **argv);

#define MAX_WORDS 24
#define MAX_TEXT 8192

const char some[] = "";

static const struct kernel {
	const char *name;
	const struct fpc_attrs *status;
} kernels[] = {
	{ "ready", &ready },   { "migrating", &migrating }, { "off", &off },
	{ "future", &future }, { "scanning", &scanning },   { "tuned", &tuned },
};

static int split(char *line, char **argv)
{
	int argc = 0;
	char *word;

	argv[argc++] = (char *)"fpctl";
	while ((word = strsep(&line, " ")) && argc < MAX_WORDS - 1)
		if (word[0])
			argv[argc++] = strcmp(word, "''") ? word : (char *)"";
	argv[argc] = NULL;
	return argc;
}

static int memfile(void)
{
	int fd = memfd_create("cmdline", MFD_CLOEXEC);

	if (fd < 0) {
		perror("memfd_create");
		exit(1);
	}
	return fd;
}

static char *contents(int fd)
{
	static char text[4][MAX_TEXT];
	static int next;
	char *t = text[next++ % 4];
	ssize_t n = pread(fd, t, MAX_TEXT - 1, 0);

	t[n < 0 ? 0 : n] = '\0';
	close(fd);
	return t;
}

struct result {
	int rc;
	const char *out, *err, *sent;
};

/* In a child: main() may leave getopt and stdio in any state, or crash. */
static struct result run(const char *line)
{
	int out = memfile(), err = memfile(), sent = memfile(), status;
	char copy[512], *argv[MAX_WORDS];
	struct result r;
	pid_t pid;

	snprintf(copy, sizeof(copy), "%s", line);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		alarm(30);
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		fake_nl.sent_fd = sent;
		exit(fpctl_main(split(copy, argv), argv));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("fork");
		exit(1);
	}
	r.rc = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	r.out = contents(out);
	r.err = contents(err);
	r.sent = contents(sent);
	return r;
}

/* KTAP diagnostics: each line of @text behind "# ". */
static void diag(const char *title, const char *text)
{
	char copy[MAX_TEXT], *rest = copy, *line;

	snprintf(copy, sizeof(copy), "%s", text);
	printf("# %s\n", title);
	while ((line = strsep(&rest, "\n")))
		if (line[0])
			printf("#   %s\n", line);
}

static bool differs(const char *what, const char *want, const char *got)
{
	if (want == some ? got[0] : !strcmp(want, got))
		return false;
	diag(what, got);
	diag("instead of", want == some ? "anything" : want);
	return true;
}

/* A file in the directory where we are; NULL: there shall be none. */
static void put_file(const char *name, const char *text)
{
	FILE *f;

	unlink(name);
	if (!text)
		return;
	f = fopen(name, "w");
	if (!f || fputs(text, f) < 0 || fclose(f)) {
		perror(name);
		exit(1);
	}
}

static const char *get_file(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? "" : contents(fd);
}

static void set_kernel(const struct fpc_attrs *status, const struct fake_event *events)
{
	fake_nl.status = status;
	fake_nl.defaults = &defaults;
	fake_nl.stats = &counters;
	fake_nl.zones = zones;
	fake_nl.nr_zones = nr_zones;
	fake_nl.leaves = leaves;
	fake_nl.nr_leaves = nr_leaves;
	fake_nl.steps = steps;
	fake_nl.nr_steps = nr_steps;
	fake_nl.events = events;
}

static bool run_row(const struct row *row)
{
	struct result r;
	char err[512] = "";
	bool bad;

	set_kernel(row->status ? row->status : &ready, row->events ? row->events : no_events);
	if (row->steps)
		fake_nl.steps = row->steps;
	fake_nl.open = row->open;
	fake_nl.answer = row->answer;
	put_file("conf", row->conf);
	put_file("file", NULL);
	if (row->err)
		snprintf(err, sizeof(err), "fpctl: %s\n", row->err);

	r = run(row->line);
	bad = r.rc != row->rc;
	if (bad)
		printf("# exit code %d instead of %d\n", r.rc, row->rc);
	bad |= differs("stdout", row->out ? row->out : "", r.out);
	bad |= differs("stderr", err, r.err);
	bad |= differs("sent", row->sent ? row->sent : "", r.sent);
	bad |= differs("file", row->file ? row->file : "", get_file("file"));
	return !bad;
}

static unsigned int run_rows(const struct row *rows, unsigned int nr, unsigned int *test)
{
	unsigned int failed = 0;

	for (unsigned int i = 0; i < nr; i++) {
		bool ok = run_row(&rows[i]);

		failed += !ok;
		printf("%sok %u fpctl %s%s%s\n", ok ? "" : "not ", ++*test, rows[i].line,
		       rows[i].err ? " -> " : "", rows[i].err ? rows[i].err : "");
	}
	return failed;
}

/* Any line of these words obeys the contract, even if none makes sense. */
static bool run_random(unsigned int lines)
{
	static const char *const words[] = { "show",	    "stats",	    "set",
					     "start",	    "stop",	    "help",
					     "-j",	    "-p",	    "-t",
					     "-d",	    "--",	    "-h",
					     "-V",	    "enable",	    "drain",
					     "interval-ms", "on",	    "off",
					     "100",	    "0x7fg",	    "''",
					     "-",	    "round",	    "state",
					     "--jso",	    "%s%n%s%n",	    "stats --watch",
					     "monitor",	    "map",	    "zone",
					     "save file",   "restore conf", "--raw raw",
					     "keep",	    "cpus",	    "-5",
					     "get",	    "reset",	    "wait",
					     "--watch=1",   "--raw=raw",    "--lenient",
					     "--timeout 1", "drain=off",    "=",
					     "st",	    "int=5",	    "reclaim" };
	uint32_t seed = 1;

	put_file("conf", NULL);
	for (unsigned int i = 0; i < lines; i++) {
		char line[256] = "";
		struct result r;
		const char *nl;

		seed = seed * 1664525 + 1013904223;
		for (uint32_t n = seed >> 29; n; n--) {
			seed = seed * 1664525 + 1013904223;
			strcat(line, words[(seed >> 16) % ARRAY_SIZE(words)]);
			strcat(line, " ");
		}
		set_kernel(kernels[i % ARRAY_SIZE(kernels)].status, a_migration);
		fake_nl.open = (struct fpc_nl_error){ 0 };
		fake_nl.answer = (struct fpc_nl_error){
			.code = i % 3 ? 0 : FPC_EXIT_REFUSED,
			.err = i % 3 ? 0 : EINVAL,
			.attr = i % FPC_ATTRS,
		};
		r = run(line);
		nl = strchr(r.err, '\n');
		if (r.rc == 0 ? !r.err[0]
			      : r.rc > 0 && r.rc <= 5 && !r.out[0] && nl && !nl[1] &&
					!strncmp(r.err, "fpctl: ", 7))
			continue;
		printf("# line %u: fpctl %s, exit code %d\n", i, line, r.rc);
		diag("stdout", r.out);
		diag("stderr", r.err);
		return false;
	}
	return true;
}

/* No key is a size yet, but what may be typed for one is known. */
static bool check_sizes(void)
{
	static const struct fpc_field field = { .attr = 1, .unit = "bytes" };
	static const struct {
		const char *word;
		uint64_t value;
		const char *why;
	} words[] = {
		{ "64m", 64 << 20, NULL },     { "64M", 64 << 20, NULL },
		{ "2k", 2048, NULL },	       { "0x10K", 16384, NULL },
		{ "3G", 3ULL << 30, NULL },    { "7", 7, NULL },
		{ "9Bytes", 9, NULL },	       { "4G", 0, "out of range," },
		{ "64s", 0, "not a number," }, { "64mm", 0, "not a number," },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
		struct fpc_attrs attrs = { 0 };
		const char *why = fpc_args_value(&field, words[i].word, &attrs);

		if (strcmp(why ? why : "", words[i].why ? words[i].why : "") ||
		    attrs.value[1] != words[i].value) {
			printf("# %s: %s, %llu\n", words[i].word, why ? why : "",
			       (unsigned long long)attrs.value[1]);
			return false;
		}
	}
	return true;
}

static int as_fpctl(int argc, char **argv)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kernels); i++)
		if (argc > 2 && !strcmp(kernels[i].name, argv[2]))
			set_kernel(kernels[i].status, a_migration);
	if (!fake_nl.status)
		return 99;
	argv[2] = (char *)"fpctl";
	return fpctl_main(argc - 2, argv + 2);
}

/* Nothing of ours is left behind, nor is anything of theirs touched. */
static void clean_up(const char *directory)
{
	static const char *const files[] = { "conf", "file", "raw" };

	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++)
		unlink(files[i]);
	if (rmdir(directory))
		printf("# something is left in %s\n", directory);
}

int main(int argc, char **argv)
{
	char directory[] = "/tmp/fpctl-cmdline.XXXXXX";
	unsigned int failed = 0, test = 0, lines = 1000;
	bool ok;

	/* The texts compared are those of the C locale. */
	setenv("LC_ALL", "C", 1);
	setenv("TZ", "UTC", 1);
	unsetenv("COLUMNS");
	fake_nl.forever = argc > 1 && !strcmp(argv[1], "--on");
	if (argc > 1 && (fake_nl.forever || !strcmp(argv[1], "--as")))
		return as_fpctl(argc, argv);
	if (argc > 1)
		lines = atoi(argv[1]);

	if (!mkdtemp(directory) || chdir(directory)) {
		perror(directory);
		return 1;
	}
	printf("KTAP version 1\n1..%u\n",
	       nr_rows_get + nr_rows_set + nr_rows_list + nr_rows_main + 2);
	failed += run_rows(rows_get, nr_rows_get, &test);
	failed += run_rows(rows_set, nr_rows_set, &test);
	failed += run_rows(rows_list, nr_rows_list, &test);
	failed += run_rows(rows_main, nr_rows_main, &test);
	ok = run_random(lines);
	failed += !ok;
	printf("%sok %u %u random lines obey the contract\n", ok ? "" : "not ", ++test, lines);
	ok = check_sizes();
	failed += !ok;
	printf("%sok %u sizes\n", ok ? "" : "not ", ++test);
	clean_up(directory);
	return !!failed;
}
