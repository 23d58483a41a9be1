// SPDX-License-Identifier: GPL-2.0
/*
 * Command lines, and what must come of each: exit code, stdout, stderr, and
 * what was sent.  Linked with the objects of fpctl, its netlink layer replaced
 * by fake_nl.c: so no kernel and no privilege is needed.  Prints KTAP.
 *
 *   cmdline                      run the table
 *   cmdline --as KERNEL ARG...   be fpctl on that kernel (for the scripts)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/cfph.h>

#include "fake_nl.h"

int fpctl_main(int argc, char **argv);

#define MAX_WORDS 16
#define MAX_TEXT 8192
#define A(attr) (UINT32_C(1) << CFPH_A_##attr)
#define ALL_STATUS (((UINT32_C(1) << CFPH_A_PAD) - 1) & ~UINT32_C(1))
#define ALL_STATS (((UINT32_C(1) << CFPH_A_STATS_PAD) - 1) & ~UINT32_C(1))

static const struct fpc_attrs ready = {
	.have = ALL_STATUS,
	.value = { [CFPH_A_STATE] = CFPH_STATE_READY,
		   [CFPH_A_ENABLE] = 1,
		   [CFPH_A_INTERVAL_MS] = 100,
		   [CFPH_A_DRAIN] = CFPH_DRAIN_START,
		   [CFPH_A_TRACKED_PAGES] = 524288,
		   [CFPH_A_FREE_PAGES] = 468480,
		   [CFPH_A_MAP_BYTES] = 65536,
		   [CFPH_A_BUFFER_BYTES] = 262144 },
};

static const struct fpc_attrs migrating = {
	.have = ALL_STATUS,
	.value = { [CFPH_A_STATE] = CFPH_STATE_READY,
		   [CFPH_A_ENABLE] = 1,
		   [CFPH_A_INTERVAL_MS] = 10000,
		   [CFPH_A_DRAIN] = CFPH_DRAIN_ROUND,
		   [CFPH_A_MIGRATION_ID] = 3,
		   [CFPH_A_ROUND] = 4,
		   [CFPH_A_TRACKED_PAGES] = UINT64_C(1) << 30,
		   [CFPH_A_FREE_PAGES] = 1,
		   [CFPH_A_MAP_BYTES] = 1000,
		   [CFPH_A_BUFFER_BYTES] = UINT64_C(10) << 20 },
};

static const struct fpc_attrs off = {
	.have = ALL_STATUS,
	.value = { [CFPH_A_STATE] = CFPH_STATE_OFF,
		   [CFPH_A_REASON] = CFPH_REASON_NO_DEVICE,
		   [CFPH_A_ENABLE] = 0,
		   [CFPH_A_INTERVAL_MS] = 100,
		   [CFPH_A_DRAIN] = CFPH_DRAIN_OFF },
};

/* Newer than we are: names that we do not have, and attributes gone. */
static const struct fpc_attrs future = {
	.have = A(STATE) | A(REASON) | A(ENABLE) | A(DRAIN),
	.value = { [CFPH_A_STATE] = 77,
		   [CFPH_A_REASON] = UINT32_MAX,
		   [CFPH_A_ENABLE] = 2,
		   [CFPH_A_DRAIN] = 9 },
};

static const struct fpc_attrs scanning = {
	.have = A(STATE) | A(REASON),
	.value = { [CFPH_A_STATE] = CFPH_STATE_SCAN },
};

static const struct fpc_attrs counters = {
	.have = ALL_STATS,
	.value = { [CFPH_A_STATS_MIGRATIONS] = 3,
		   [CFPH_A_STATS_MESSAGE_BYTES] = 5000,
		   [CFPH_A_STATS_BITS] = UINT64_MAX,
		   [CFPH_A_STATS_SCAN_NS] = 1234567,
		   [CFPH_A_STATS_PASS_NS] = 999 },
};

static const struct kernel {
	const char *name;
	const struct fpc_attrs *status;
} kernels[] = {
	{ "ready", &ready },   { "migrating", &migrating }, { "off", &off },
	{ "future", &future }, { "scanning", &scanning },
};

#define ABSENT .open = { .code = FPC_EXIT_ABSENT, .text = "Object not found" }
#define REFUSED(...) .answer = { .code = FPC_EXIT_REFUSED, __VA_ARGS__ }

/* stdout may be anything but empty. */
static const char some[] = "";

/* What is not given must be empty, 0, or the kernel "ready". */
static const struct row {
	const char *line;
	int rc;
	const char *out, *err, *sent;
	const struct fpc_attrs *status;
	struct fpc_nl_error open, answer;
} rows[] = {
	/* show */
	{ .line = "",
	  .sent = "cfph get\n",
	  .out = "state          ready\n"
		 "enable         on     (off, on)\n"
		 "interval-ms    100    (10..10000 ms)\n"
		 "drain          start  (off, start, round)\n"
		 "migration      none\n"
		 "tracked        2048 MiB (524288 pages), free 1830 MiB\n"
		 "map            64 KiB, buffers 256 KiB\n" },
	{ .line = "show",
	  .sent = "cfph get\n",
	  .status = &migrating,
	  .out = "state          ready\n"
		 "enable         on     (off, on)\n"
		 "interval-ms    10000  (10..10000 ms)\n"
		 "drain          round  (off, start, round)\n"
		 "migration      3, round 4\n"
		 "tracked        4194304 MiB (1073741824 pages), free 4 KiB\n"
		 "map            1000 bytes, buffers 10 MiB\n" },
	{ .line = "show",
	  .sent = "cfph get\n",
	  .status = &off,
	  .out = "state          off\n"
		 "reason         no-device: no device offers the feature, or its driver is not bound\n"
		 "enable         off    (off, on)\n"
		 "interval-ms    100    (10..10000 ms)\n"
		 "drain          off    (off, start, round)\n"
		 "migration      none\n"
		 "tracked        0 KiB (0 pages), free 0 KiB\n"
		 "map            0 KiB, buffers 0 KiB\n" },
	{ .line = "show",
	  .sent = "cfph get\n",
	  .status = &scanning,
	  .out = "state          scan: the map is being filled from the buddy lists\n" },
	{ .line = "show",
	  .sent = "cfph get\n",
	  .status = &future,
	  .out = "state          77\n"
		 "reason         4294967295\n"
		 "enable         2      (off, on)\n"
		 "drain          9      (off, start, round)\n" },
	{ .line = "-j",
	  .sent = "cfph get\n",
	  .out = "{\"state\":\"ready\",\"reason\":\"none\",\"enable\":1,"
		 "\"interval-ms\":100,\"drain\":\"start\",\"migration-id\":0,"
		 "\"round\":0,\"tracked-pages\":524288,\"free-pages\":468480,"
		 "\"map-bytes\":65536,\"buffer-bytes\":262144}\n" },
	{ .line = "--json show",
	  .sent = "cfph get\n",
	  .status = &future,
	  .out = "{\"state\":\"77\",\"reason\":\"4294967295\",\"enable\":2,"
		 "\"drain\":\"9\"}\n" },
	{ .line = "-p show",
	  .sent = "cfph get\n",
	  .status = &scanning,
	  .out = "{\n"
		 "    \"state\": \"scan\",\n"
		 "    \"reason\": \"none\"\n"
		 "}\n" },
	{ .line = "-t show", .sent = "cfph get\n", .out = some },
	{ .line = "-jtd show", .sent = "cfph get\n", .out = some },
	{ .line = "show",
	  .rc = 3,
	  .err = "show: this kernel has no cfph (CONFIG_CFPH), or this is not the initial network namespace",
	  ABSENT },
	{ .line = "-j",
	  .rc = 3,
	  .err = "show: this kernel has no cfph (CONFIG_CFPH), or this is not the initial network namespace",
	  ABSENT },
	{ .line = "-j show",
	  .rc = 4,
	  .sent = "cfph get\n",
	  .err = "show: netlink: Dump inconsistency detected, interrupted",
	  .answer = { .code = FPC_EXIT_LOST,
		      .text = "Dump inconsistency detected, interrupted" } },
	{ .line = "show -j",
	  .rc = 1,
	  .err = "show: unexpected \"-j\" (options come before the command)" },
	{ .line = "show x", .rc = 1, .err = "show: unexpected \"x\"" },

	/* stats */
	{ .line = "stats",
	  .sent = "cfph stats-get\n",
	  .out = "migrations                   3\n"
		 "rounds                       0\n"
		 "passes                       0\n"
		 "messages                     0\n"
		 "message-bytes             5000  (4 KiB)\n"
		 "chunks                       0\n"
		 "ranges                       0\n"
		 "bits              18446744073709551615\n"
		 "stalls                       0\n"
		 "drains                       0\n"
		 "registrations                0\n"
		 "unregistrations              0\n"
		 "unknown-commands             0\n"
		 "scans                        0\n"
		 "scan-ns                1234567  (1.234 ms)\n"
		 "pass-ns                    999\n" },
	{ .line = "-j stats", .sent = "cfph stats-get\n", .out = some },
	{ .line = "stats",
	  .rc = 2,
	  .sent = "cfph stats-get\n",
	  .err = "stats: Operation not supported",
	  REFUSED(.err = EOPNOTSUPP) },

	/* set */
	{ .line = "set interval-ms 5",
	  .rc = 2,
	  .sent = "cfph set interval-ms=5\n",
	  .err = "set interval-ms 5: out of range, 10..10000 (kernel: integer out of range)",
	  REFUSED(.err = ERANGE, .attr = CFPH_A_INTERVAL_MS,
		  .text = "integer out of range") },
	{ .line = "set drain off interval-ms 5 enable on",
	  .rc = 2,
	  .sent = "cfph set enable=1 interval-ms=5 drain=0\n",
	  .err = "set interval-ms 5: out of range, 20..500 (kernel: integer out of range)",
	  REFUSED(.err = ERANGE, .attr = CFPH_A_INTERVAL_MS, .range = true,
		  .min = 20, .max = 500, .text = "integer out of range") },
	{ .line = "set interval-ms 0x10 enable 0",
	  .rc = 2,
	  .sent = "cfph set enable=0 interval-ms=16\n",
	  .err = "set interval-ms 0x10 enable 0: needs CAP_SYS_ADMIN in the initial user namespace (kernel: Operation not permitted)",
	  REFUSED(.err = EPERM) },
	{ .line = "set drain off",
	  .rc = 2,
	  .sent = "cfph set drain=0\n",
	  .err = "set drain off: Operation not permitted (kernel: CAP_SYS_ADMIN is needed)",
	  REFUSED(.err = EPERM, .text = "CAP_SYS_ADMIN is needed") },
	{ .line = "set drain round",
	  .rc = 2,
	  .sent = "cfph set drain=2\n",
	  .err = "set drain round: not known to this kernel (kernel: integer out of range)",
	  REFUSED(.err = ERANGE, .attr = CFPH_A_DRAIN,
		  .text = "integer out of range") },
	{ .line = "set enable on",
	  .rc = 2,
	  .sent = "cfph set enable=1\n",
	  .err = "set enable on: Device or resource busy (kernel: suspended)",
	  REFUSED(.err = EBUSY, .text = "suspended") },
	{ .line = "set enable on",
	  .rc = 2,
	  .sent = "cfph set enable=1\n",
	  .err = "set enable on: out of range (kernel: Numerical result out of range)",
	  REFUSED(.err = ERANGE) },
	{ .line = "set interval-ms 5000",
	  .sent = "cfph set interval-ms=5000\n" },
	{ .line = "set interval-ms 010", .sent = "cfph set interval-ms=10\n" },
	{ .line = "set interval-ms 4294967295",
	  .sent = "cfph set interval-ms=4294967295\n" },
	{ .line = "set interval-ms 4294967296",
	  .rc = 1,
	  .err = "set interval-ms 4294967296: out of range, 10..10000" },
	{ .line = "set interval-ms 99999999999999999999999",
	  .rc = 1,
	  .err = "set interval-ms 99999999999999999999999: out of range, 10..10000" },
	{ .line = "set enable 1 drain off",
	  .sent = "cfph set enable=1 drain=0\n" },
	{ .line = "-j set enable off", .sent = "cfph set enable=0\n" },
	{ .line = "set",
	  .rc = 1,
	  .err = "set: needs KEY VALUE pairs; keys are enable, interval-ms, drain" },
	{ .line = "set interval-ms",
	  .rc = 1,
	  .err = "set interval-ms: needs a value, 10..10000" },
	{ .line = "set enable on drain",
	  .rc = 1,
	  .err = "set drain: needs a value, off, start, round" },
	{ .line = "set interval-ms fast",
	  .rc = 1,
	  .err = "set interval-ms fast: not a number, 10..10000" },
	{ .line = "set interval-ms -5",
	  .rc = 1,
	  .err = "set interval-ms -5: not a number, 10..10000" },
	{ .line = "set interval-ms 5ms",
	  .rc = 1,
	  .err = "set interval-ms 5ms: not a number, 10..10000" },
	{ .line = "set interval-ms 0x",
	  .rc = 1,
	  .err = "set interval-ms 0x: not a number, 10..10000" },
	{ .line = "set interval-ms ''",
	  .rc = 1,
	  .err = "set interval-ms : not a number, 10..10000" },
	{ .line = "set drain sometimes",
	  .rc = 1,
	  .err = "set drain sometimes: not one of off, start, round" },
	{ .line = "set drain 1",
	  .rc = 1,
	  .err = "set drain 1: not one of off, start, round" },
	{ .line = "set enable yes",
	  .rc = 1,
	  .err = "set enable yes: not one of off, on" },
	{ .line = "set enable 2",
	  .rc = 1,
	  .err = "set enable 2: not one of off, on" },
	{ .line = "set enable on enable on",
	  .rc = 1,
	  .err = "set enable: given twice" },
	{ .line = "set state ready",
	  .rc = 1,
	  .err = "set state: no such tunable; there are enable, interval-ms, drain" },
	{ .line = "set interval 5",
	  .rc = 1,
	  .err = "set interval: no such tunable; there are enable, interval-ms, drain" },
	{ .line = "set enable on",
	  .rc = 3,
	  .err = "set enable on: this kernel has no cfph (CONFIG_CFPH), or this is not the initial network namespace",
	  ABSENT },

	/* start, stop */
	{ .line = "start", .sent = "cfph set enable=1\n" },
	{ .line = "stop", .sent = "cfph set enable=0\n" },
	{ .line = "start",
	  .sent = "cfph set enable=1\n",
	  .err = "start: done, but: no device offers the feature",
	  .answer = { .text = "no device offers the feature" } },
	{ .line = "stop",
	  .rc = 2,
	  .sent = "cfph set enable=0\n",
	  .err = "stop: needs CAP_SYS_ADMIN in the initial user namespace (kernel: Operation not permitted)",
	  REFUSED(.err = EPERM, .attr = CFPH_A_ENABLE) },
	{ .line = "start",
	  .rc = 3,
	  .err = "start: this kernel has no cfph (CONFIG_CFPH), or this is not the initial network namespace",
	  ABSENT },
	{ .line = "start now", .rc = 1, .err = "start: unexpected \"now\"" },
	{ .line = "stop 1", .rc = 1, .err = "stop: unexpected \"1\"" },

	/* help, version: they need no kernel */
	{ .line = "-h", .out = some, ABSENT },
	{ .line = "--help", .out = some, ABSENT },
	{ .line = "help", .out = some, ABSENT },
	{ .line = "help show", .out = some, ABSENT },
	{ .line = "help stats", .out = some, ABSENT },
	{ .line = "help set", .out = some, ABSENT },
	{ .line = "set --help", .out = some, ABSENT },
	{ .line = "show -h", .out = some, ABSENT },
	{ .line = "help start", .out = some, ABSENT },
	{ .line = "-V", .out = some, ABSENT },
	{ .line = "help monitor",
	  .rc = 1,
	  .err = "help monitor: no such command, see \"fpctl help\"" },
	{ .line = "help set show", .rc = 1, .err = "help: unexpected \"show\"" },

	/* main */
	{ .line = "shwo",
	  .rc = 1,
	  .err = "shwo: no such command, see \"fpctl help\"" },
	{ .line = "''",
	  .rc = 1,
	  .err = ": no such command, see \"fpctl help\"" },
	{ .line = "-x", .rc = 1, .err = "-x: bad option, see \"fpctl help\"" },
	{ .line = "-jx show",
	  .rc = 1,
	  .err = "-x: bad option, see \"fpctl help\"" },
	{ .line = "--jso=1 show",
	  .rc = 1,
	  .err = "-j: bad option, see \"fpctl help\"" },
	{ .line = "--frob",
	  .rc = 1,
	  .err = "--frob: bad option, see \"fpctl help\"" },
	{ .line = "-- stop", .sent = "cfph set enable=0\n" },

	/* completion: the last word is the one being typed */
	{ .line = "--complete -- ''",
	  .out = "show\nstats\nset\nstart\nstop\nhelp\n",
	  ABSENT },
	{ .line = "--complete --",
	  .out = "show\nstats\nset\nstart\nstop\nhelp\n" },
	{ .line = "--complete -- -j -p -",
	  .out = "--json\n--pretty\n--time\n--debug\n--version\n--help\n" },
	{ .line = "--complete -- -j s",
	  .out = "show\nstats\nset\nstart\nstop\nhelp\n" },
	{ .line = "--complete -- set ''",
	  .out = "enable\ninterval-ms\ndrain\n" },
	{ .line = "--complete -- -j set enable on ''",
	  .out = "interval-ms\ndrain\n" },
	{ .line = "--complete -- set drain ''",
	  .out = "off\nstart\nround\n" },
	{ .line = "--complete -- set enable o", .out = "off\non\n" },
	{ .line = "--complete -- set interval-ms ''" },
	{ .line = "--complete -- set bogus ''" },
	{ .line = "--complete -- help ''",
	  .out = "show\nstats\nset\nstart\nstop\nhelp\n" },
	{ .line = "--complete -- help show ''" },
	{ .line = "--complete -- show ''" },
	{ .line = "--complete -- bogus ''" },
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
	static char text[3][MAX_TEXT];
	static int next;
	char *t = text[next++ % 3];
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

static bool run_row(const struct row *row)
{
	struct result r;
	char err[512] = "";
	bool bad;

	fake_nl.status = row->status ? row->status : &ready;
	fake_nl.stats = &counters;
	fake_nl.open = row->open;
	fake_nl.answer = row->answer;
	if (row->err)
		snprintf(err, sizeof(err), "fpctl: %s\n", row->err);

	r = run(row->line);
	bad = r.rc != row->rc;
	if (bad)
		printf("# exit code %d instead of %d\n", r.rc, row->rc);
	bad |= differs("stdout", row->out ? row->out : "", r.out);
	bad |= differs("stderr", err, r.err);
	bad |= differs("sent", row->sent ? row->sent : "", r.sent);
	return !bad;
}

/* Any line of these words obeys the contract, even if none makes sense. */
static bool run_random(unsigned int lines)
{
	static const char *const words[] = {
		"show",	 "stats",   "set",   "start",	    "stop",  "help",
		"-j",	 "-p",	    "-t",    "-d",	    "--",    "-h",
		"-V",	 "enable",  "drain", "interval-ms", "on",    "off",
		"100",	 "0x7fg",   "''",    "-",	    "round", "state",
		"--jso", "%s%n%s%n"
	};
	uint32_t seed = 1;

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
		fake_nl.status = kernels[i % ARRAY_SIZE(kernels)].status;
		fake_nl.stats = &counters;
		fake_nl.open = (struct fpc_nl_error){ 0 };
		fake_nl.answer = (struct fpc_nl_error){
			.code = i % 3 ? 0 : FPC_EXIT_REFUSED,
			.err = i % 3 ? 0 : EINVAL,
			.attr = i % FPC_ATTRS,
		};
		r = run(line);
		nl = strchr(r.err, '\n');
		if (r.rc == 0 ? !r.err[0]
			      : r.rc > 0 && r.rc <= 4 && !r.out[0] && nl &&
					!nl[1] && !strncmp(r.err, "fpctl: ", 7))
			continue;
		printf("# line %u: fpctl %s, exit code %d\n", i, line, r.rc);
		diag("stdout", r.out);
		diag("stderr", r.err);
		return false;
	}
	return true;
}

static int as_fpctl(int argc, char **argv)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kernels); i++)
		if (argc > 2 && !strcmp(kernels[i].name, argv[2]))
			fake_nl.status = kernels[i].status;
	if (!fake_nl.status)
		return 99;
	fake_nl.stats = &counters;
	argv[2] = (char *)"fpctl";
	return fpctl_main(argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
	unsigned int failed = 0, i;
	bool ok;

	if (argc > 1 && !strcmp(argv[1], "--as"))
		return as_fpctl(argc, argv);

	/* The texts compared are those of the C locale. */
	setenv("LC_ALL", "C", 1);
	printf("KTAP version 1\n1..%zu\n", ARRAY_SIZE(rows) + 1);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ok = run_row(&rows[i]);
		failed += !ok;
		printf("%sok %u fpctl %s%s%s\n", ok ? "" : "not ", i + 1,
		       rows[i].line, rows[i].err ? " -> " : "",
		       rows[i].err ? rows[i].err : "");
	}
	ok = run_random(500);
	failed += !ok;
	printf("%sok %u 500 random lines obey the contract\n", ok ? "" : "not ",
	       i + 1);
	return !!failed;
}
