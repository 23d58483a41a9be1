// SPDX-License-Identifier: GPL-2.0
/* Made by tools/fpctl/tables.py from Documentation/netlink/specs/cfph.yaml. */
#include <linux/cfph.h>

#include "fpc_attr.h"

#define CHOICES(a) .choices = (a), .nr_choices = sizeof(a) / sizeof((a)[0])

static const struct fpc_choice switches[] = {
	{ "off", "" },
	{ "on", "" },
};

static const struct fpc_choice states[] = {
	{ "off", "no map is kept and the allocator hooks are no-ops" },
	{ "hooks", "the allocator hooks are live, the map is not filled yet" },
	{ "scan", "the map is being filled from the buddy lists" },
	{ "ready", "every bit of the map is exact" },
};
static const struct fpc_choice reasons[] = {
	{ "none", "it is not off" },
	{ "boot-parameter", "cfph=off on the kernel command line" },
	{ "admin", "switched off by the administrator" },
	{ "no-device", "no device offers the feature, or its driver is not bound" },
	{ "init-on-free", "init_on_free=1 relies on the contents of free pages" },
	{ "page-poisoning", "page_poison=1 relies on the contents of free pages" },
	{ "memory-encryption", "the host must not see the memory of an encrypted guest" },
	{ "shared-word", "two zones share one 64-page word of the map" },
	{ "no-memory", "the map could not be allocated" },
	{ "suspended", "the system sleeps or is about to" },
	{ "shutdown", "the system reboots, halts or starts another kernel" },
	{ "starting", "the map is being built" },
	{ "no-migration", "kept during migrations only, and none is running" },
	{ "not-negotiated", "a device offers the feature, but its driver was bound before it did" },
	{ "queue-numbers", "the driver has turned other features of the device down, and its queues are numbered by them" },
	{ "page-contents", "another feature of the device may rely on the contents of free pages" },
};
static const struct fpc_choice drains[] = {
	{ "off", "never, leave them alone" },
	{ "start", "when a migration starts" },
	{ "round", "when a migration starts and at each of its rounds" },
};
static const struct fpc_choice keeps[] = {
	{ "always", "always, so that the first round of a migration has it, and a saved guest" },
	{ "migration", "while a migration runs; until then the allocator does no work for it" },
};
static const struct fpc_choice events[] = {
	{ "state", "the map has another state or reason" },
	{ "start", "a migration has started and will get deltas; told again when the map has gone and come back meanwhile" },
	{ "round", "the host has begun another round" },
	{ "stop", "the migration is over" },
	{ "stall", "the host has returned no buffer, the thread waits for one; told once until a pass has come to its end" },
	{ "refuse", "something that the host or the system wants is refused; see text" },
};
static const struct fpc_choice reclaim_ends[] = {
	{ "none", "it has not" },
	{ "done", "as much as was asked for has been given back, or all that there is" },
	{ "low-memory", "less memory is free than the min watermarks ask for: those who wait for memory reclaim for themselves" },
	{ "stopped", "the migration is over, or who asked has gone" },
};
static const struct fpc_field status[] = {
	{ CFPH_A_STATE, FPC_ENUM, .name = "state", .unit = "", CHOICES(states), .doc = "Life of the map." },
	{ CFPH_A_REASON, FPC_ENUM, .name = "reason", .unit = "", CHOICES(reasons), .doc = "Why the map is off." },
	{ CFPH_A_ENABLE, FPC_BOOL, .name = "enable", .unit = "", .settable = true, CHOICES(switches), .doc = "Whether the administrator wants the map kept, 0 or 1. Default 1." },
	{ CFPH_A_INTERVAL_MS, FPC_U32, .name = "interval-ms", .unit = "ms", .settable = true, .min = 10, .max = 10000, .doc = "Milliseconds between two passes over the map while a migration runs. Default 100." },
	{ CFPH_A_DRAIN, FPC_ENUM, .name = "drain", .unit = "", CHOICES(drains), .settable = true, .doc = "When the per-cpu page lists are drained. Default start." },
	{ CFPH_A_MIGRATION_ID, FPC_U32, .name = "migration-id", .unit = "", .doc = "The migration that is running, 0 if none is." },
	{ CFPH_A_ROUND, FPC_U32, .name = "round", .unit = "", .doc = "Newest dirty-bitmap sync that the host has announced." },
	{ CFPH_A_TRACKED_PAGES, FPC_U64, .name = "tracked-pages", .unit = "pages", .doc = "Pages of guest RAM that the map covers." },
	{ CFPH_A_FREE_PAGES, FPC_U64, .name = "free-pages", .unit = "pages", .doc = "Bits of the map that are set." },
	{ CFPH_A_MAP_BYTES, FPC_U64, .name = "map-bytes", .unit = "bytes", .doc = "Memory taken by the map." },
	{ CFPH_A_BUFFER_BYTES, FPC_U64, .name = "buffer-bytes", .unit = "bytes", .doc = "Memory taken by the fixed pool of message buffers." },
	{ CFPH_A_CPUS, FPC_STRING, .name = "cpus", .unit = "", .settable = true, .hint = "a list like 0-3,8", .doc = "CPUs that the thread may run on, a list like 0-3,8. Default all, but for those that are isolated." },
	{ CFPH_A_KEEP, FPC_ENUM, .name = "keep", .unit = "", CHOICES(keeps), .settable = true, .doc = "When the map is kept. Default always." },
	{ CFPH_A_RECLAIM, FPC_U32, .name = "reclaim", .unit = "%", .settable = true, .min = 0, .max = 100, .doc = "Percent of the clean page cache that is given back when a migration starts. Default 0." },
};

static const struct fpc_field stats[] = {
	{ CFPH_A_STATS_MIGRATIONS, FPC_U64, .name = "migrations", .unit = "", .doc = "START commands of the host that were answered." },
	{ CFPH_A_STATS_ROUNDS, FPC_U64, .name = "rounds", .unit = "", .doc = "ROUND commands of the host." },
	{ CFPH_A_STATS_PASSES, FPC_U64, .name = "passes", .unit = "", .doc = "Finished passes over the map." },
	{ CFPH_A_STATS_MESSAGES, FPC_U64, .name = "messages", .unit = "", .doc = "Messages sent to the host." },
	{ CFPH_A_STATS_MESSAGE_BYTES, FPC_U64, .name = "message-bytes", .unit = "bytes", .doc = "Bytes of those messages." },
	{ CFPH_A_STATS_CHUNKS, FPC_U64, .name = "chunks", .unit = "", .doc = "Changed chunks (2 MiB) that were sent." },
	{ CFPH_A_STATS_RANGES, FPC_U64, .name = "ranges", .unit = "", .doc = "RANGE records sent." },
	{ CFPH_A_STATS_BITS, FPC_U64, .name = "bits", .unit = "", .doc = "BITS records sent." },
	{ CFPH_A_STATS_STALLS, FPC_U64, .name = "stalls", .unit = "", .doc = "Times the thread had to wait because the host had returned no buffer." },
	{ CFPH_A_STATS_DRAINS, FPC_U64, .name = "drains", .unit = "", .doc = "Times the per-cpu page lists were drained." },
	{ CFPH_A_STATS_REGISTRATIONS, FPC_U64, .name = "registrations", .unit = "", .doc = "Times the host was told of a map." },
	{ CFPH_A_STATS_UNREGISTRATIONS, FPC_U64, .name = "unregistrations", .unit = "", .doc = "Times the host was told that the map goes; without a buffer for that it finds out by itself." },
	{ CFPH_A_STATS_UNKNOWN_COMMANDS, FPC_U64, .name = "unknown-commands", .unit = "", .doc = "Commands of the host that were ignored." },
	{ CFPH_A_STATS_SCANS, FPC_U64, .name = "scans", .unit = "", .doc = "Times the map was filled from the buddy lists." },
	{ CFPH_A_STATS_SCAN_NS, FPC_U64, .name = "scan-ns", .unit = "ns", .doc = "Nanoseconds that the newest scan took." },
	{ CFPH_A_STATS_PASS_NS, FPC_U64, .name = "pass-ns", .unit = "ns", .doc = "Nanoseconds that the newest pass took." },
	{ CFPH_A_STATS_RESETS, FPC_U64, .name = "resets", .unit = "", .doc = "Times the transport went away (device reset, unbind, suspend)." },
	{ CFPH_A_STATS_REFUSED, FPC_U64, .name = "refused", .unit = "", .doc = "Times a map was refused, to a device that offers the feature or to a migration that begins; the reason is in get." },
	{ CFPH_A_STATS_RECLAIMED_PAGES, FPC_U64, .name = "reclaimed-pages", .unit = "pages", .doc = "Pages of page cache that were given back." },
	{ CFPH_A_STATS_RECLAIM_NS, FPC_U64, .name = "reclaim-ns", .unit = "ns", .doc = "Nanoseconds that the newest reclaim took, without waiting between its steps." },
};

static const struct fpc_field zone[] = {
	{ CFPH_A_ZONE_NODE, FPC_U32, .name = "node", .unit = "", .doc = "NUMA node." },
	{ CFPH_A_ZONE_NAME, FPC_STRING, .name = "name", .unit = "", .doc = "Name of the zone, as in /proc/zoneinfo." },
	{ CFPH_A_ZONE_START_PFN, FPC_U64, .name = "start-pfn", .unit = "", .doc = "First page frame number that the zone spans." },
	{ CFPH_A_ZONE_SPANNED_PAGES, FPC_U64, .name = "spanned-pages", .unit = "pages", .doc = "Pages from the first to the last one, holes included." },
	{ CFPH_A_ZONE_MANAGED_PAGES, FPC_U64, .name = "managed-pages", .unit = "pages", .doc = "Pages that the allocator manages." },
	{ CFPH_A_ZONE_BUDDY_PAGES, FPC_U64, .name = "buddy-pages", .unit = "pages", .doc = "Pages in the buddy lists; the map shows them as free, and what lies in the balloon." },
	{ CFPH_A_ZONE_PCP_PAGES, FPC_U64, .name = "pcp-pages", .unit = "pages", .doc = "Pages in per-cpu lists, which are free but count as used." },
	{ CFPH_A_ZONE_MIN_WATERMARK_PAGES, FPC_U64, .name = "min-watermark-pages", .unit = "pages", .doc = "The min watermark." },
};

static const struct fpc_field leaf[] = {
	{ CFPH_A_LEAF_START_PFN, FPC_U64, .name = "start-pfn", .unit = "", .doc = "First page frame number." },
	{ CFPH_A_LEAF_NODE, FPC_U32, .name = "node", .unit = "", .doc = "NUMA node of the first page that there is." },
	{ CFPH_A_LEAF_FREE_PAGES, FPC_U64, .name = "free-pages", .unit = "pages", .doc = "Bits that are set." },
	{ CFPH_A_LEAF_PRESENT_PAGES, FPC_U64, .name = "present-pages", .unit = "pages", .doc = "Pages of RAM in these 128 MiB." },
	{ CFPH_A_LEAF_LARGEST_RUN_PAGES, FPC_U64, .name = "largest-run-pages", .unit = "pages", .doc = "Longest run of free pages that begins and ends in the leaf." },
	{ CFPH_A_LEAF_FREE_BLOCKS, FPC_BYTES, .name = "free-blocks", .unit = "", .doc = "Array of u64: the number of free blocks by order, from 0 to the largest of the buddy lists (10 as a rule), when each free run is cut into aligned blocks that are as large as can be." },
	{ CFPH_A_LEAF_BITMAP, FPC_BYTES, .name = "bitmap", .unit = "", .doc = "The 4096 bytes of the leaf, bit n % 8 of byte n / 8 for page start-pfn + n. Only for CAP_SYS_ADMIN, by map-raw-get." },
};

static const struct fpc_field event[] = {
	{ CFPH_A_EVENT_EVENT, FPC_ENUM, .name = "event", .unit = "", CHOICES(events), .doc = "What has happened." },
	{ CFPH_A_EVENT_TIME_NS, FPC_U64, .name = "time-ns", .unit = "ns", .doc = "Nanoseconds since boot, CLOCK_BOOTTIME." },
	{ CFPH_A_EVENT_STATE, FPC_ENUM, .name = "state", .unit = "", CHOICES(states), .doc = "State of the map." },
	{ CFPH_A_EVENT_REASON, FPC_ENUM, .name = "reason", .unit = "", CHOICES(reasons), .doc = "Why the map is off." },
	{ CFPH_A_EVENT_MIGRATION_ID, FPC_U32, .name = "migration-id", .unit = "", .doc = "The migration, 0 if none runs." },
	{ CFPH_A_EVENT_ROUND, FPC_U32, .name = "round", .unit = "", .doc = "Its newest round." },
	{ CFPH_A_EVENT_TEXT, FPC_STRING, .name = "text", .unit = "", .doc = "What is refused, and why." },
	{ CFPH_A_EVENT_RECLAIM, FPC_U32, .name = "reclaim", .unit = "%", .doc = "Percent of the clean page cache that is being given back; with start only." },
};

static const struct fpc_field reclaim[] = {
	{ CFPH_A_RECLAIM_PERCENT, FPC_U32, .name = "percent", .unit = "%", .min = 0, .max = 100, .doc = "Percent of the clean page cache to give back, 0 to 100." },
	{ CFPH_A_RECLAIM_TARGET_PAGES, FPC_U64, .name = "target-pages", .unit = "pages", .doc = "What that was when it began, an estimate: pages that are mapped are known by their number only." },
	{ CFPH_A_RECLAIM_PAGES, FPC_U64, .name = "pages", .unit = "pages", .doc = "Pages that have been given back so far." },
	{ CFPH_A_RECLAIM_NS, FPC_U64, .name = "ns", .unit = "ns", .doc = "Nanoseconds that it has taken so far." },
	{ CFPH_A_RECLAIM_END, FPC_ENUM, .name = "end", .unit = "", CHOICES(reclaim_ends), .doc = "Why there will be no more." },
};

const struct fpc_table fpc_status_table = { status, sizeof(status) / sizeof(status[0]) };
const struct fpc_table fpc_stats_table = { stats, sizeof(stats) / sizeof(stats[0]) };
const struct fpc_table fpc_zone_table = { zone, sizeof(zone) / sizeof(zone[0]) };
const struct fpc_table fpc_leaf_table = { leaf, sizeof(leaf) / sizeof(leaf[0]) };
const struct fpc_table fpc_event_table = { event, sizeof(event) / sizeof(event[0]) };
const struct fpc_table fpc_reclaim_table = { reclaim, sizeof(reclaim) / sizeof(reclaim[0]) };
