// SPDX-License-Identifier: GPL-2.0
/*
 * Command lines that no kernel is asked about: help, bad options, completion.
 */
#include "cmdline.h"

#define KEYS "interval-ms\ndrain\ncpus\nkeep\nreclaim\n"
#define CMDS                                                                       \
	"show\nget\nstats\nset\nreset\nstart\nstop\nwait\nmonitor\nmap\nreclaim\n" \
	"save\nrestore\nhelp\n"
#define CMD_LIST                                                                   \
	"show, get, stats, set, reset, start, stop, wait, monitor, map, reclaim, " \
	"save, restore, help"

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
	{ .line = "help reclaim", .out = some, ABSENT },
	{ .line = "help save", .out = some, ABSENT },
	{ .line = "restore --help", .out = some, ABSENT },
	{ .line = "help start", .out = some, ABSENT },
	{ .line = "-V", .out = some, ABSENT },
	{ .line = "help montior",
	  .rc = 1,
	  .err = "help montior: no such command; there are " CMD_LIST },
	{ .line = "help s",
	  .rc = 1,
	  .err = "help s: ambiguous command, may be show, stats, set, start, stop, save" },
	{ .line = "help -j", .rc = 1, .err = "help: takes no --json, see \"fpctl help help\"" },
	{ .line = "help set show", .rc = 1, .err = "help: unexpected \"show\"" },

	/* main */
	{ .line = "shwo", .rc = 1, .err = "shwo: no such command; there are " CMD_LIST },
	{ .line = "sta", .rc = 1, .err = "sta: ambiguous command, may be stats, start" },
	{ .line = "sto", .sent = "cfph set enable=0\n" },
	{ .line = "''", .rc = 1, .err = ": no such command; there are " CMD_LIST },
	{ .line = "-x", .rc = 1, .err = "-x: bad option, see \"fpctl help\"" },
	{ .line = "-jx show", .rc = 1, .err = "-x: bad option, see \"fpctl help\"" },
	{ .line = "--jso=1 show", .rc = 1, .err = "--jso=1: bad option, see \"fpctl help\"" },
	{ .line = "show --t", .rc = 1, .err = "t: ambiguous option, may be time, timeout" },
	{ .line = "--watch 1", .rc = 1, .err = "show: takes no --watch, see \"fpctl help show\"" },
	{ .line = "set -h drain", .out = some, ABSENT },
	{ .line = "stats -V", .out = some, ABSENT },
	{ .line = "--frob", .rc = 1, .err = "--frob: bad option, see \"fpctl help\"" },
	{ .line = "-- stop", .sent = "cfph set enable=0\n" },

	/* completion: the last word is the one being typed */
	{ .line = "--complete -- ''", .out = CMDS, ABSENT },
	{ .line = "--complete --", .out = CMDS },
	{ .line = "--complete -- -j -p -",
	  .out = "--json\n--pretty\n--time\n--watch\n--raw\n--timeout\n--lenient\n--debug\n--version\n--help\n" },
	{ .line = "--complete -- -j s", .out = CMDS },
	{ .line = "--complete -- set ''", .out = "enable\n" KEYS },
	{ .line = "--complete -- -j set enable on ''", .out = KEYS },
	{ .line = "--complete -- set drain ''", .out = "off\nstart\nround\n" },
	{ .line = "--complete -- set enable o", .out = "off\non\n" },
	{ .line = "--complete -- set interval-ms ''" },
	{ .line = "--complete -- set bogus ''" },
	{ .line = "--complete -- help ''", .out = CMDS },
	{ .line = "--complete -- help show ''" },
	{ .line = "--complete -- show ''" },
	{ .line = "--complete -- bogus ''" },
	{ .line = "--complete -- stats ''", .out = "zone\n" },
	{ .line = "--complete -- stats --watch 1 z", .out = "zone\n" },
	{ .line = "--complete -- stats --watch=1 ''", .out = "zone\n" },
	{ .line = "--complete -- stats zone ''" },
	{ .line = "--complete -- -w 2 stats -",
	  .out = "--json\n--pretty\n--time\n--watch\n--debug\n--help\n" },
	{ .line = "--complete -- set drain=off ''",
	  .out = "enable\ninterval-ms\ncpus\nkeep\nreclaim\n" },
	{ .line = "--complete -- set dr ''", .out = "off\nstart\nround\n" },
	{ .line = "--complete -- reset ''", .out = "enable\n" KEYS },
	{ .line = "--complete -- wait ''", .out = "off\nhooks\nscan\nready\n" },
	{ .line = "--complete -- get ''", .out = some },
	{ .line = "--complete -- stats --watch ''" },
	{ .line = "--complete -- map --",
	  .out = "--json\n--pretty\n--time\n--raw\n--debug\n--help\n" },
	{ .line = "--complete -- map --raw ''", .out = ":file\n" },
	{ .line = "--complete -- save ''", .out = ":file\n" },
	{ .line = "--complete -- restore /e", .out = ":file\n" },
	{ .line = "--complete -- restore x ''" },
	{ .line = "--complete -- monitor ''" },
	{ .line = "--complete -- reclaim ''" },
	{ .line = "--complete -- set reclaim ''" },
};
const unsigned int nr_rows_main = ARRAY_SIZE(rows_main);
