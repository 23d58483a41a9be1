// SPDX-License-Identifier: GPL-2.0
/*
 * Command lines that show one thing: show, stats.
 */
#include "cmdline.h"

const struct row rows_get[] = {
	/* show */
	{ .line = "",
	  .sent = "cfph get\n",
	  .out = "state          ready\n"
		 "enable         on        (off, on)\n"
		 "interval-ms    100       (10..10000 ms)\n"
		 "drain          start     (off, start, round)\n"
		 "migration      none\n"
		 "tracked        2048 MiB (524288 pages), free 1830 MiB\n"
		 "map            64 KiB, buffers 256 KiB\n" },
	{ .line = "show",
	  .sent = "cfph get\n",
	  .status = &migrating,
	  .out = "state          ready\n"
		 "enable         on        (off, on)\n"
		 "interval-ms    10000     (10..10000 ms)\n"
		 "drain          round     (off, start, round)\n"
		 "migration      3, round 4\n"
		 "tracked        4194304 MiB (1073741824 pages), free 4 KiB\n"
		 "map            1000 bytes, buffers 10 MiB\n" },
	{ .line = "show",
	  .sent = "cfph get\n",
	  .status = &off,
	  .out = "state          off\n"
		 "reason         no-device: no device offers the feature, or its driver is not bound\n"
		 "enable         off       (off, on)\n"
		 "interval-ms    100       (10..10000 ms)\n"
		 "drain          off       (off, start, round)\n"
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
		 "enable         2         (off, on)\n"
		 "drain          9         (off, start, round)\n" },
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
	  .answer = { .code = FPC_EXIT_LOST, .text = "Dump inconsistency detected, interrupted" } },
	{ .line = "show --json",
	  .sent = "cfph get\n",
	  .status = &scanning,
	  .out = "{\"state\":\"scan\",\"reason\":\"none\"}\n" },
	{ .line = "sh --pre",
	  .sent = "cfph get\n",
	  .status = &scanning,
	  .out = "{\n    \"state\": \"scan\",\n    \"reason\": \"none\"\n}\n" },
	{ .line = "show x", .rc = 1, .err = "show: unexpected \"x\"" },

	{ .line = "show",
	  .status = &tuned,
	  .sent = "cfph get\n",
	  .out = "state          ready\n"
		 "enable         on        (off, on)\n"
		 "interval-ms    100       (10..10000 ms)\n"
		 "drain          start     (off, start, round)\n"
		 "cpus           0-3,8     (a list like 0-3,8)\n"
		 "keep           always    (always, migration)\n"
		 "reclaim        50        (0..100 %)\n"
		 "migration      3, round 4\n"
		 "tracked        2048 MiB (524288 pages), free 1830 MiB\n"
		 "map            64 KiB, buffers 256 KiB\n" },
	{ .line = "-jt show",
	  .status = &tuned,
	  .sent = "cfph get\n",
	  .out = "{\"time-ms\":1795435200000,\"state\":\"ready\",\"reason\":\"none\","
		 "\"enable\":1,\"interval-ms\":100,\"drain\":\"start\","
		 "\"migration-id\":3,\"round\":4,"
		 "\"tracked-pages\":524288,\"free-pages\":468480,"
		 "\"map-bytes\":65536,\"buffer-bytes\":262144,"
		 "\"cpus\":\"0-3,8\",\"keep\":\"always\",\"reclaim\":50}\n" },

	/* get */
	{ .line = "get interval-ms", .sent = "cfph get\n", .out = "100\n" },
	{ .line = "get inter", .sent = "cfph get\n", .out = "100\n" },
	{ .line = "get enable", .sent = "cfph get\n", .out = "on\n" },
	{ .line = "get state", .sent = "cfph get\n", .out = "ready\n" },
	{ .line = "get cpus", .status = &tuned, .sent = "cfph get\n", .out = "0-3,8\n" },
	{ .line = "get free-pages -j", .sent = "cfph get\n", .out = "{\"free-pages\":468480}\n" },
	{ .line = "-j get enable", .sent = "cfph get\n", .out = "{\"enable\":1}\n" },
	{ .line = "get keep",
	  .rc = 2,
	  .sent = "cfph get\n",
	  .err = "get keep: this kernel does not tell it" },
	{ .line = "get r", .rc = 1, .err = "get r: ambiguous key, may be reason, round, reclaim" },
	{ .line = "get",
	  .rc = 1,
	  .err = "get : no such key; there are state, reason, enable, interval-ms, drain, migration-id, round, tracked-pages, free-pages, map-bytes, buffer-bytes, cpus, keep, reclaim" },
	{ .line = "get drain keep", .rc = 1, .err = "get: unexpected \"keep\"" },
	{ .line = "get -t drain", .rc = 1, .err = "get: takes no --time, see \"fpctl help get\"" },
	{ .line = "get drain", .rc = 3, .err = "get drain: " NO_CFPH, ABSENT },

	/* wait */
	{ .line = "wait", .sent = "cfph join monitor\ncfph get\n" },
	{ .line = "wait ready --timeout 0", .sent = "cfph join monitor\ncfph get\n" },
	{ .line = "wait off",
	  .events = a_migration,
	  .sent = "cfph join monitor\ncfph get\ncfph get\ncfph get\ncfph get\n" },
	{ .line = "wait re",
	  .status = &off,
	  .events = a_loss,
	  .sent = "cfph join monitor\ncfph get\n" },
	{ .line = "wait --timeout=2.5 ready",
	  .rc = 5,
	  .status = &off,
	  .sent = "cfph join monitor\ncfph get\n",
	  .err = "wait ready: time is up, the state is off, reason no-device" },
	{ .line = "wait hooks",
	  .rc = 5,
	  .events = a_loss,
	  .sent = "cfph join monitor\ncfph get\ncfph get\ncfph get\ncfph get\ncfph get\n",
	  .err = "wait hooks: interrupted, the state is ready, reason none" },
	{ .line = "wait steady",
	  .rc = 1,
	  .err = "wait steady: no such state; there are off, hooks, scan, ready" },
	{ .line = "wait --timeout soon",
	  .rc = 1,
	  .err = "wait --timeout soon: not a number of seconds, 0..86400" },
	{ .line = "wait ready ready", .rc = 1, .err = "wait: unexpected \"ready\"" },
	{ .line = "wait",
	  .rc = 2,
	  .sent = "cfph join monitor\ncfph get\n",
	  .err = "wait ready: Invalid argument",
	  REFUSED(.err = EINVAL) },
	{ .line = "wait", .rc = 3, .err = "wait ready: " NO_CFPH, ABSENT },

	/* stats */
	{ .line = "stats", .sent = "cfph stats-get\n", .out = COUNTERS_TEXT },
	{ .line = "-j stats", .sent = "cfph stats-get\n", .out = some },
	{ .line = "stats",
	  .rc = 2,
	  .sent = "cfph stats-get\n",
	  .err = "stats: this kernel is too old for that (kernel: Operation not supported)",
	  REFUSED(.err = EOPNOTSUPP) },
};
const unsigned int nr_rows_get = ARRAY_SIZE(rows_get);
