// SPDX-License-Identifier: GPL-2.0
/*
 * Command lines that no kernel is asked about: help, bad options, completion.
 */
#include "cmdline.h"

#define KEYS "interval-ms\ndrain\ncpus\nkeep\n"

const struct row rows_main[] = {
	/* help, version: they need no kernel */
	{ .line = "-h", .out = some, ABSENT },
	{ .line = "--help", .out = some, ABSENT },
	{ .line = "help", .out = some, ABSENT },
	{ .line = "help show", .out = some, ABSENT },
	{ .line = "help stats", .out = some, ABSENT },
	{ .line = "help set", .out = some, ABSENT },
	{ .line = "set --help", .out = some, ABSENT },
	{ .line = "show -h", .out = some, ABSENT },
	{ .line = "help monitor", .out = some, ABSENT },
	{ .line = "help map", .out = some, ABSENT },
	{ .line = "help save", .out = some, ABSENT },
	{ .line = "restore --help", .out = some, ABSENT },
	{ .line = "help start", .out = some, ABSENT },
	{ .line = "-V", .out = some, ABSENT },
	{ .line = "help montior",
	  .rc = 1,
	  .err = "help montior: no such command, see \"fpctl help\"" },
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
	  .out = "show\nstats\nset\nstart\nstop\nmonitor\nmap\nsave\nrestore\nhelp\n",
	  ABSENT },
	{ .line = "--complete --",
	  .out = "show\nstats\nset\nstart\nstop\nmonitor\nmap\nsave\nrestore\nhelp\n" },
	{ .line = "--complete -- -j -p -",
	  .out = "--json\n--pretty\n--time\n--debug\n--version\n--help\n" },
	{ .line = "--complete -- -j s",
	  .out = "show\nstats\nset\nstart\nstop\nmonitor\nmap\nsave\nrestore\nhelp\n" },
	{ .line = "--complete -- set ''", .out = "enable\n" KEYS },
	{ .line = "--complete -- -j set enable on ''", .out = KEYS },
	{ .line = "--complete -- set drain ''", .out = "off\nstart\nround\n" },
	{ .line = "--complete -- set enable o", .out = "off\non\n" },
	{ .line = "--complete -- set interval-ms ''" },
	{ .line = "--complete -- set bogus ''" },
	{ .line = "--complete -- help ''",
	  .out = "show\nstats\nset\nstart\nstop\nmonitor\nmap\nsave\nrestore\nhelp\n" },
	{ .line = "--complete -- help show ''" },
	{ .line = "--complete -- show ''" },
	{ .line = "--complete -- bogus ''" },
	{ .line = "--complete -- stats ''", .out = "zone\n--watch\n" },
	{ .line = "--complete -- stats --watch ''" },
	{ .line = "--complete -- map --", .out = "--raw\n" },
	{ .line = "--complete -- map --raw ''", .out = ":file\n" },
	{ .line = "--complete -- save ''", .out = ":file\n" },
	{ .line = "--complete -- restore /e", .out = ":file\n" },
	{ .line = "--complete -- restore x ''" },
	{ .line = "--complete -- monitor ''" },
};
const unsigned int nr_rows_main = ARRAY_SIZE(rows_main);
