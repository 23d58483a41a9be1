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
	  .answer = { .code = FPC_EXIT_LOST,
		      .text = "Dump inconsistency detected, interrupted" } },
	{ .line = "show -j",
	  .rc = 1,
	  .err = "show: unexpected \"-j\" (options come before the command)" },
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
		 "migration      3, round 4\n"
		 "tracked        2048 MiB (524288 pages), free 1830 MiB\n"
		 "map            64 KiB, buffers 256 KiB\n" },
	{ .line = "-jt show",
	  .status = &tuned,
	  .sent = "cfph get\n",
	  .out = "{\"time-ms\":1795435200000,\"state\":\"ready\",\"reason\":\"none\","
		 "\"enable\":1,\"interval-ms\":100,\"drain\":\"start\","
		 "\"cpus\":\"0-3,8\",\"keep\":\"always\","
		 "\"migration-id\":3,\"round\":4,"
		 "\"tracked-pages\":524288,\"free-pages\":468480,"
		 "\"map-bytes\":65536,\"buffer-bytes\":262144}\n" },

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
