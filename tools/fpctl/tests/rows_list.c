// SPDX-License-Identifier: GPL-2.0
/*
 * Command lines that print many things: zones, the map, events, and the
 * counters again and again.
 */
#include "cmdline.h"

const struct row rows_list[] = {
	/* stats zone */
	{ .line = "stats zone",
	  .sent = "cfph zone-get\n",
	  .out = "node zone          spanned      managed         free      per-cpu    watermark\n"
		 "   0 DMA32         1044480       500000       400000          321         1000\n"
		 "   1 Normal              7            -            -            -            -\n" },
	{ .line = "-j stats zone",
	  .sent = "cfph zone-get\n",
	  .out = "{\"zones\":[{\"node\":0,\"name\":\"DMA32\",\"start-pfn\":4096,"
		 "\"spanned-pages\":1044480,\"managed-pages\":500000,"
		 "\"buddy-pages\":400000,\"pcp-pages\":321,"
		 "\"min-watermark-pages\":1000},{\"node\":1,\"name\":\"Normal\","
		 "\"spanned-pages\":7}]}\n" },
	{ .line = "stats zone",
	  .rc = 2,
	  .sent = "cfph zone-get\n",
	  .err = "stats zone: this kernel is too old for that (kernel: Operation not supported)",
	  REFUSED(.err = EOPNOTSUPP) },
	{ .line = "stats zone x", .rc = 1, .err = "stats: unexpected \"x\"" },
	{ .line = "stats zones", .rc = 1, .err = "stats zones: no such part; there are zone" },
	{ .line = "stats zone --watch 1",
	  .rc = 2,
	  .sent = "cfph zone-get\n",
	  .err = "stats zone: Invalid argument",
	  REFUSED(.err = EINVAL) },

	/* stats --watch */
	{ .line = "-w2 stats -j",
	  .sent = "cfph stats-get\ncfph stats-get\ncfph stats-get\n",
	  .out = some },
	{ .line = "stats --watch=0.5",
	  .sent = "cfph stats-get\ncfph stats-get\ncfph stats-get\n",
	  .out = COUNTERS_TEXT "\n"
			       "migrations                  53        100.0/s\n"
			       "rounds                      50        100.0/s\n"
			       "passes                      50        100.0/s\n"
			       "messages                    50        100.0/s\n"
			       "message-bytes             5050        100.0/s  (4 KiB)\n"
			       "chunks                      50        100.0/s\n"
			       "ranges                      50        100.0/s\n"
			       "bits              18446744073709551615          0.0/s\n"
			       "stalls                      50        100.0/s\n"
			       "drains                      50        100.0/s\n"
			       "registrations               50        100.0/s\n"
			       "unregistrations             50        100.0/s\n"
			       "unknown-commands            50        100.0/s\n"
			       "scans                       50        100.0/s\n"
			       "scan-ns                1234617  (1.234 ms)\n"
			       "pass-ns                   1049  (0.001 ms)\n"
			       "resets                      50        100.0/s\n"
			       "refused                     50        100.0/s\n"
			       "reclaimed-pages             50        100.0/s\n"
			       "reclaim-ns                  50\n"
			       "\n"
			       "migrations                 103        100.0/s\n"
			       "rounds                     100        100.0/s\n"
			       "passes                     100        100.0/s\n"
			       "messages                   100        100.0/s\n"
			       "message-bytes             5100        100.0/s  (4 KiB)\n"
			       "chunks                     100        100.0/s\n"
			       "ranges                     100        100.0/s\n"
			       "bits              18446744073709551615          0.0/s\n"
			       "stalls                     100        100.0/s\n"
			       "drains                     100        100.0/s\n"
			       "registrations              100        100.0/s\n"
			       "unregistrations            100        100.0/s\n"
			       "unknown-commands           100        100.0/s\n"
			       "scans                      100        100.0/s\n"
			       "scan-ns                1234667  (1.234 ms)\n"
			       "pass-ns                   1099  (0.001 ms)\n"
			       "resets                     100        100.0/s\n"
			       "refused                    100        100.0/s\n"
			       "reclaimed-pages            100        100.0/s\n"
			       "reclaim-ns                 100\n" },
	{ .line = "stats --watch", .rc = 1, .err = "--watch: needs a value, SECONDS" },
	{ .line = "stats --watch x",
	  .rc = 1,
	  .err = "stats --watch x: not a number of seconds, 0.1..86400" },
	{ .line = "stats --watch ''",
	  .rc = 1,
	  .err = "stats --watch : not a number of seconds, 0.1..86400" },
	{ .line = "stats --watch 0.05",
	  .rc = 1,
	  .err = "stats --watch 0.05: not a number of seconds, 0.1..86400" },
	{ .line = "stats --watch 1.",
	  .rc = 1,
	  .err = "stats --watch 1.: not a number of seconds, 0.1..86400" },
	{ .line = "stats --watch 1.0000",
	  .rc = 1,
	  .err = "stats --watch 1.0000: not a number of seconds, 0.1..86400" },
	{ .line = "stats --watch 99999",
	  .rc = 1,
	  .err = "stats --watch 99999: not a number of seconds, 0.1..86400" },
	{ .line = "stats --watch -1",
	  .rc = 1,
	  .err = "stats --watch -1: not a number of seconds, 0.1..86400" },
	{ .line = "stats --watch 1 2", .rc = 1, .err = "stats 2: no such part; there are zone" },
	{ .line = "stats --watch 1",
	  .rc = 2,
	  .sent = "cfph stats-get\n",
	  .err = "stats: Invalid argument",
	  REFUSED(.err = EINVAL) },
	{ .line = "stats --watch 1", .rc = 3, .err = "stats: " NO_CFPH, ABSENT },

	/* map */
	{ .line = "map",
	  .sent = "cfph map-get\n",
	  .out = "node 0: 256 MiB, free 188 MiB (73%), largest run 128 MiB, fragmentation 0%\n"
		 "  order       0      1      2      3      4      5      6      7      8      9     10\n"
		 "  blocks      0      6      0      0      0      0      0      0      0     60     15\n"
		 "  One character is 128 MiB: # none free, 0-9 tenths free, . all free\n"
		 "  0x000000000000  4. 5\n"
		 "node 1: 256 MiB, free 4 KiB (0%), largest run 4 KiB, fragmentation 100%\n"
		 "  order       0      1      2      3      4      5      6      7      8      9     10\n"
		 "  blocks      0      4      0      0      0      0      0      0      0     40     10\n"
		 "  One character is 128 MiB: # none free, 0-9 tenths free, . all free\n"
		 "  0x000020000000  #0\n" },
	{ .line = "-j map",
	  .sent = "cfph map-get\n",
	  .out = "{\"nodes\":[{\"node\":0,\"free-pages\":48232,"
		 "\"present-pages\":65736,\"largest-run-pages\":32768,"
		 "\"free-blocks\":[0,6,0,0,0,0,0,0,0,60,15],"
		 "\"fragmentation-percent\":0,\"leaves\":[{\"start-pfn\":0,"
		 "\"free-pages\":15364,\"present-pages\":32768,"
		 "\"largest-run-pages\":5120,\"free-blocks\":[0,2,0,0,0,0,0,0,0,20,"
		 "5]},{\"start-pfn\":32768,\"free-pages\":32768,"
		 "\"present-pages\":32768,\"largest-run-pages\":32768,"
		 "\"free-blocks\":[0,2,0,0,0,0,0,0,0,20,5]},{\"start-pfn\":98304,"
		 "\"free-pages\":100,\"present-pages\":200,\"largest-run-pages\":50,"
		 "\"free-blocks\":[0,2,0,0,0,0,0,0,0,20,5]}]},{\"node\":1,"
		 "\"free-pages\":1,\"present-pages\":65536,\"largest-run-pages\":1,"
		 "\"free-blocks\":[0,4,0,0,0,0,0,0,0,40,10],"
		 "\"fragmentation-percent\":100,\"leaves\":[{\"start-pfn\":131072,"
		 "\"free-pages\":0,\"present-pages\":32768,\"largest-run-pages\":0,"
		 "\"free-blocks\":[0,2,0,0,0,0,0,0,0,20,5]},{\"start-pfn\":163840,"
		 "\"free-pages\":1,\"present-pages\":32768,\"largest-run-pages\":1,"
		 "\"free-blocks\":[0,2,0,0,0,0,0,0,0,20,5]}]}]}\n" },
	{ .line = "map",
	  .rc = 2,
	  .sent = "cfph map-get\n",
	  .err = "map: No data available (kernel: the map is not ready: get tells its state, and why it is off)",
	  REFUSED(.err = ENODATA,
		  .text = "the map is not ready: get tells its state, and why it is off") },
	{ .line = "map x", .rc = 1, .err = "map: unexpected \"x\"" },
	{ .line = "map --raw file", .sent = "cfph map-raw-get\n", .file = some },
	{ .line = "--raw=file map", .sent = "cfph map-raw-get\n", .file = some },
	{ .line = "map --raw file -p", .rc = 1, .err = "map --raw file: takes no --json" },
	{ .line = "map -t --raw file", .rc = 1, .err = "map --raw file: takes no --time" },
	{ .line = "map --raw file",
	  .rc = 2,
	  .sent = "cfph map-raw-get\n",
	  .err = "map --raw file: needs CAP_SYS_ADMIN in the initial user namespace (kernel: Operation not permitted)",
	  REFUSED(.err = EPERM) },
	{ .line = "map --raw no/file",
	  .rc = 4,
	  .err = "map --raw no/file: No such file or directory" },
	{ .line = "map --raw", .rc = 1, .err = "--raw: needs a value, FILE" },
	{ .line = "map --raw -", .rc = 1, .err = "map --raw -: not a file" },
	{ .line = "map --raw a b", .rc = 1, .err = "map: unexpected \"b\"" },

	/* reclaim */
	{ .line = "reclaim 50",
	  .sent = "cfph reclaim percent=50\n",
	  .out = "1126 MiB given back in 240 ms\n" },
	{ .line = "rec -t 50%",
	  .sent = "cfph reclaim percent=50\n",
	  .out = "time           2026-11-23 12:00:00.000\n1126 MiB given back in 240 ms\n" },
	{ .line = "-j reclaim 50",
	  .sent = "cfph reclaim percent=50\n",
	  .out = "{\"percent\":50,\"target-pages\":300000,\"pages\":288358,"
		 "\"ns\":240999999,\"end\":\"done\"}\n" },
	{ .line = "reclaim 0",
	  .steps = low_memory,
	  .sent = "cfph reclaim percent=0\n",
	  .out = "4400 KiB given back in 2 ms, then stopped: low-memory\n" },
	{ .line = "reclaim 101",
	  .rc = 2,
	  .sent = "cfph reclaim percent=101\n",
	  .err = "reclaim 101: out of range, 0..100 % (kernel: integer out of range)",
	  REFUSED(.err = ERANGE, .attr = CFPH_A_RECLAIM_PERCENT, .range = true, .min = 0,
		  .max = 100, .text = "integer out of range") },
	{ .line = "reclaim 5",
	  .rc = 2,
	  .sent = "cfph reclaim percent=5\n",
	  .err = "reclaim 5: this kernel is too old for that (kernel: Operation not supported)",
	  REFUSED(.err = EOPNOTSUPP) },
	{ .line = "reclaim 5", .rc = 3, .err = "reclaim 5: " NO_CFPH, ABSENT },
	{ .line = "reclaim -1", .rc = 1, .err = "-1: bad option, see \"fpctl help\"" },
	{ .line = "reclaim -- -1", .rc = 1, .err = "reclaim percent -1: not a number, 0..100 %" },
	{ .line = "reclaim 1s", .rc = 1, .err = "reclaim percent 1s: not a number, 0..100 %" },
	{ .line = "reclaim", .rc = 1, .err = "reclaim percent: needs a value, 0..100 %" },
	{ .line = "reclaim 1 2", .rc = 1, .err = "reclaim: unexpected \"2\"" },
	{ .line = "reclaim 1 -w 1",
	  .rc = 1,
	  .err = "reclaim: takes no --watch, see \"fpctl help reclaim\"" },

	/* monitor */
	{ .line = "monitor",
	  .events = a_migration,
	  .sent = "cfph join monitor\ncfph get\n",
	  .out = "now       ready\n"
		 "start     migration 3, round 0, reclaim 50%\n"
		 "round     migration 3, round 1\n"
		 "stop\n"
		 "state     off (admin)\n"
		 "refuse    \"busy\\\" host\n"
		 "99\n" },
	{ .line = "-jt monitor",
	  .events = a_migration,
	  .sent = "cfph join monitor\ncfph get\n",
	  .out = "{\"time-ms\":1795435200000,\"event\":\"now\","
		 "\"time-ns\":1000000000000,\"state\":\"ready\",\"reason\":\"none\","
		 "\"migration-id\":0,\"round\":0}\n"
		 "{\"time-ms\":1795435190000,\"event\":\"start\","
		 "\"time-ns\":990000000000,\"state\":\"ready\",\"reason\":\"none\","
		 "\"migration-id\":3,\"round\":0,\"reclaim\":50}\n"
		 "{\"time-ms\":1795435195000,\"event\":\"round\","
		 "\"time-ns\":995000000000,\"state\":\"ready\",\"reason\":\"none\","
		 "\"migration-id\":3,\"round\":1}\n"
		 "{\"time-ms\":1795435199000,\"event\":\"stop\","
		 "\"time-ns\":999000000000,\"state\":\"ready\",\"reason\":\"none\","
		 "\"migration-id\":0,\"round\":0}\n"
		 "{\"time-ms\":1795435199000,\"event\":\"state\","
		 "\"time-ns\":999000000000,\"state\":\"off\",\"reason\":\"admin\","
		 "\"migration-id\":0,\"round\":0}\n"
		 "{\"time-ms\":1795435200000,\"event\":\"refuse\",\"text\":\"\\\"busy\\\\\\\" host\"}\n"
		 "{\"time-ms\":1795435199000,\"event\":\"99\","
		 "\"time-ns\":999000000000,\"state\":\"77\",\"reason\":\"88\","
		 "\"migration-id\":0,\"round\":0}\n" },
	{ .line = "monitor",
	  .rc = 4,
	  .events = a_loss,
	  .sent = "cfph join monitor\ncfph get\ncfph get\n",
	  .err = "monitor: events lost, reading the state again",
	  .out = "now       ready\n"
		 "start     migration 3, round 0\n"
		 "now       ready\n"
		 "stall     migration 3, round 1\n" },
	{ .line = "monitor",
	  .rc = 2,
	  .sent = "cfph join monitor\ncfph get\n",
	  .err = "monitor: Invalid argument",
	  REFUSED(.err = EINVAL) },
	{ .line = "monitor", .rc = 3, .err = "monitor: " NO_CFPH, ABSENT },
	{ .line = "monitor x", .rc = 1, .err = "monitor: unexpected \"x\"" },
};
const unsigned int nr_rows_list = ARRAY_SIZE(rows_list);
