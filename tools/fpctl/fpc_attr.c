// SPDX-License-Identifier: GPL-2.0
/*
 * The attributes of the cfph family, see fpc_attr.h.
 *
 * To add one: add it to the spec, regenerate uapi/linux/cfph.h, add a line
 * here with the spec's own words, and to the schema if it is part of a reply.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpctl.h"

static_assert(__CFPH_A_MAX <= FPC_ATTRS, "fpc_attrs.have is too narrow");
static_assert(__CFPH_A_STATS_MAX <= FPC_ATTRS, "fpc_attrs.have is too narrow");
static_assert(FPC_DATA <= UINT16_MAX, "fpc_attrs.where is too narrow");

static const struct fpc_choice bools[] = {
	{ "off", "" },
	{ "on", "" },
};

static const struct fpc_choice states[] = {
	[CFPH_STATE_OFF] = { "off",
			     "no map is kept and the allocator hooks are no-ops" },
	[CFPH_STATE_HOOKS] = { "hooks",
			       "the allocator hooks are live, the map is not filled yet" },
	[CFPH_STATE_SCAN] = { "scan",
			      "the map is being filled from the buddy lists" },
	[CFPH_STATE_READY] = { "ready", "every bit of the map is exact" },
};
static_assert(ARRAY_SIZE(states) == CFPH_STATE_MAX + 1, "a state is missing");

static const struct fpc_choice reasons[] = {
	[CFPH_REASON_NONE] = { "none", "it is not off" },
	[CFPH_REASON_BOOT_PARAMETER] = { "boot-parameter",
					 "cfph=off on the kernel command line" },
	[CFPH_REASON_ADMIN] = { "admin", "switched off by the administrator" },
	[CFPH_REASON_NO_DEVICE] = { "no-device",
				    "no device offers the feature, or its driver is not bound" },
	[CFPH_REASON_INIT_ON_FREE] = { "init-on-free",
				       "init_on_free=1 relies on the contents of free pages" },
	[CFPH_REASON_PAGE_POISONING] = { "page-poisoning",
					 "page_poison=1 relies on the contents of free pages" },
	[CFPH_REASON_MEMORY_ENCRYPTION] = { "memory-encryption",
					    "the host must not see the memory of an encrypted guest" },
	[CFPH_REASON_SHARED_WORD] = { "shared-word",
				      "two zones share one 64-page word of the map" },
	[CFPH_REASON_NO_MEMORY] = { "no-memory",
				    "the map could not be allocated" },
	[CFPH_REASON_SUSPENDED] = { "suspended",
				    "the system sleeps or is about to" },
	[CFPH_REASON_SHUTDOWN] = { "shutdown",
				   "the system reboots, halts or starts another kernel" },
	[CFPH_REASON_STARTING] = { "starting", "the map is being built" },
	[CFPH_REASON_NO_MIGRATION] = { "no-migration",
				       "kept during migrations only, and none is running" },
	[CFPH_REASON_NOT_NEGOTIATED] = { "not-negotiated",
					 "a device offers the feature, but its driver was bound before it did" },
	[CFPH_REASON_QUEUE_NUMBERS] = { "queue-numbers",
					"the driver has turned other features of the device down, and its queues are numbered by them" },
	[CFPH_REASON_PAGE_CONTENTS] = { "page-contents",
					"another feature of the device may rely on the contents of free pages" },
};
static_assert(ARRAY_SIZE(reasons) == CFPH_REASON_MAX + 1,
	      "a reason is missing");

static const struct fpc_choice drains[] = {
	[CFPH_DRAIN_OFF] = { "off", "never, leave them alone" },
	[CFPH_DRAIN_START] = { "start", "when a migration starts" },
	[CFPH_DRAIN_ROUND] = { "round",
			       "when a migration starts and at each of its rounds" },
};
static_assert(ARRAY_SIZE(drains) == CFPH_DRAIN_MAX + 1, "a drain is missing");

static const struct fpc_choice keeps[] = {
	[CFPH_KEEP_ALWAYS] = { "always",
			       "always, so that the first round of a migration has it, and a saved guest" },
	[CFPH_KEEP_MIGRATION] = { "migration",
				  "while a migration runs; until then the allocator does no work for it" },
};
static_assert(ARRAY_SIZE(keeps) == CFPH_KEEP_MAX + 1, "a keep is missing");

static const struct fpc_choice events[] = {
	[CFPH_EVENT_STATE] = { "state", "the map has another state or reason" },
	[CFPH_EVENT_START] = { "start",
			       "a migration has started and will get deltas; told again when the map has gone and come back meanwhile" },
	[CFPH_EVENT_ROUND] = { "round", "the host has begun another round" },
	[CFPH_EVENT_STOP] = { "stop", "the migration is over" },
	[CFPH_EVENT_STALL] = { "stall",
			       "the host has returned no buffer, the thread waits for one; told once until a pass has come to its end" },
	[CFPH_EVENT_REFUSE] = { "refuse",
				"something that the host or the system wants is refused; see text" },
};
static_assert(ARRAY_SIZE(events) == CFPH_EVENT_MAX + 1, "an event is missing");

#define CHOICES(a) .choices = (a), .nr_choices = ARRAY_SIZE(a)

static const struct fpc_field status_fields[] = {
	{ .attr = CFPH_A_STATE,
	  .name = "state",
	  .kind = FPC_ENUM,
	  CHOICES(states),
	  .doc = "Life of the map." },
	{ .attr = CFPH_A_REASON,
	  .name = "reason",
	  .kind = FPC_ENUM,
	  CHOICES(reasons),
	  .doc = "Why the map is off." },
	{ .attr = CFPH_A_ENABLE,
	  .name = "enable",
	  .kind = FPC_BOOL,
	  CHOICES(bools),
	  .settable = true,
	  .max = 1,
	  .doc = "Whether the administrator wants the map kept, 0 or 1. Default 1." },
	{ .attr = CFPH_A_INTERVAL_MS,
	  .name = "interval-ms",
	  .kind = FPC_U32,
	  .unit = "ms",
	  .settable = true,
	  .min = 10,
	  .max = 10000,
	  .doc = "Milliseconds between two passes over the map while a migration runs. Default 100." },
	{ .attr = CFPH_A_DRAIN,
	  .name = "drain",
	  .kind = FPC_ENUM,
	  CHOICES(drains),
	  .settable = true,
	  .max = CFPH_DRAIN_MAX,
	  .doc = "When the per-cpu page lists are drained. Default start." },
	{ .attr = CFPH_A_MIGRATION_ID,
	  .name = "migration-id",
	  .kind = FPC_U32,
	  .doc = "The migration that is running, 0 if none is." },
	{ .attr = CFPH_A_ROUND,
	  .name = "round",
	  .kind = FPC_U32,
	  .doc = "Newest dirty-bitmap sync that the host has announced." },
	{ .attr = CFPH_A_TRACKED_PAGES,
	  .name = "tracked-pages",
	  .kind = FPC_U64,
	  .unit = "pages",
	  .doc = "Pages of guest RAM that the map covers." },
	{ .attr = CFPH_A_FREE_PAGES,
	  .name = "free-pages",
	  .kind = FPC_U64,
	  .unit = "pages",
	  .doc = "Bits of the map that are set." },
	{ .attr = CFPH_A_MAP_BYTES,
	  .name = "map-bytes",
	  .kind = FPC_U64,
	  .unit = "bytes",
	  .doc = "Memory taken by the map." },
	{ .attr = CFPH_A_BUFFER_BYTES,
	  .name = "buffer-bytes",
	  .kind = FPC_U64,
	  .unit = "bytes",
	  .doc = "Memory taken by the fixed pool of message buffers." },
	{ .attr = CFPH_A_CPUS,
	  .name = "cpus",
	  .kind = FPC_STRING,
	  .settable = true,
	  .hint = "a list like 0-3,8",
	  .doc = "CPUs that the thread may run on, a list like 0-3,8. Default all, but for those that are isolated." },
	{ .attr = CFPH_A_KEEP,
	  .name = "keep",
	  .kind = FPC_ENUM,
	  CHOICES(keeps),
	  .settable = true,
	  .max = CFPH_KEEP_MAX,
	  .doc = "When the map is kept. Default always." },
};

/* One line per counter: all of them are plain u64. */
#define COUNTER(A, n, u, d)                                           \
	{                                                             \
		.attr = CFPH_A_STATS_##A, .name = n, .kind = FPC_U64, \
		.unit = u, .doc = d                                   \
	}

static const struct fpc_field stats_fields[] = {
	COUNTER(MIGRATIONS, "migrations", NULL,
		"START commands of the host that were answered."),
	COUNTER(ROUNDS, "rounds", NULL, "ROUND commands of the host."),
	COUNTER(PASSES, "passes", NULL, "Finished passes over the map."),
	COUNTER(MESSAGES, "messages", NULL, "Messages sent to the host."),
	COUNTER(MESSAGE_BYTES, "message-bytes", "bytes",
		"Bytes of those messages."),
	COUNTER(CHUNKS, "chunks", NULL,
		"Changed chunks (2 MiB) that were sent."),
	COUNTER(RANGES, "ranges", NULL, "RANGE records sent."),
	COUNTER(BITS, "bits", NULL, "BITS records sent."),
	COUNTER(STALLS, "stalls", NULL,
		"Times the thread had to wait because the host had returned no buffer."),
	COUNTER(DRAINS, "drains", NULL,
		"Times the per-cpu page lists were drained."),
	COUNTER(REGISTRATIONS, "registrations", NULL,
		"Times the host was told of a map."),
	COUNTER(UNREGISTRATIONS, "unregistrations", NULL,
		"Times the host was told that the map goes; without a buffer for that it finds out by itself."),
	COUNTER(UNKNOWN_COMMANDS, "unknown-commands", NULL,
		"Commands of the host that were ignored."),
	COUNTER(SCANS, "scans", NULL,
		"Times the map was filled from the buddy lists."),
	COUNTER(SCAN_NS, "scan-ns", "ns",
		"Nanoseconds that the newest scan took."),
	COUNTER(PASS_NS, "pass-ns", "ns",
		"Nanoseconds that the newest pass took."),
	COUNTER(RESETS, "resets", NULL,
		"Times the transport went away (device reset, unbind, suspend)."),
	COUNTER(REFUSED, "refused", NULL,
		"Times a map was refused, to a device that offers the feature or to a migration that begins; the reason is in get."),
};

/* A line for each attribute that is only ever read. */
#define ZONE(A, n, k, d)                                                \
	{                                                               \
		.attr = CFPH_A_ZONE_##A, .name = n, .kind = k, .doc = d \
	}

static const struct fpc_field zone_fields[] = {
	ZONE(NODE, "node", FPC_U32, "NUMA node."),
	ZONE(NAME, "name", FPC_STRING,
	     "Name of the zone, as in /proc/zoneinfo."),
	ZONE(START_PFN, "start-pfn", FPC_U64,
	     "First page frame number that the zone spans."),
	ZONE(SPANNED_PAGES, "spanned-pages", FPC_U64,
	     "Pages from the first to the last one, holes included."),
	ZONE(MANAGED_PAGES, "managed-pages", FPC_U64,
	     "Pages that the allocator manages."),
	ZONE(BUDDY_PAGES, "buddy-pages", FPC_U64,
	     "Pages in the buddy lists, what the map shows as free."),
	ZONE(PCP_PAGES, "pcp-pages", FPC_U64,
	     "Pages in per-cpu lists, which are free but count as used."),
	ZONE(MIN_WATERMARK_PAGES, "min-watermark-pages", FPC_U64,
	     "The min watermark."),
};

#define LEAF(A, n, k, d)                                                \
	{                                                               \
		.attr = CFPH_A_LEAF_##A, .name = n, .kind = k, .doc = d \
	}

static const struct fpc_field leaf_fields[] = {
	LEAF(START_PFN, "start-pfn", FPC_U64, "First page frame number."),
	LEAF(NODE, "node", FPC_U32,
	     "NUMA node of the first page that there is."),
	LEAF(FREE_PAGES, "free-pages", FPC_U64, "Bits that are set."),
	LEAF(PRESENT_PAGES, "present-pages", FPC_U64,
	     "Pages of RAM in these 128 MiB."),
	LEAF(LARGEST_RUN_PAGES, "largest-run-pages", FPC_U64,
	     "Longest run of free pages that begins and ends in the leaf."),
	LEAF(FREE_BLOCKS, "free-blocks", FPC_BYTES,
	     "Array of u64: the number of free blocks by order, from 0 to the largest of the buddy lists (10 as a rule), when each free run is cut into aligned blocks that are as large as can be."),
	LEAF(BITMAP, "bitmap", FPC_BYTES,
	     "The 4096 bytes of the leaf, bit n % 8 of byte n / 8 for page start-pfn + n. Only for CAP_SYS_ADMIN, by map-raw-get."),
};

#define EVENT(A, n, d, ...)                                                \
	{                                                                  \
		.attr = CFPH_A_EVENT_##A, .name = n, .doc = d, __VA_ARGS__ \
	}

static const struct fpc_field event_fields[] = {
	EVENT(EVENT, "event", "What has happened.", .kind = FPC_ENUM,
	      CHOICES(events)),
	EVENT(TIME_NS, "time-ns", "Nanoseconds since boot, CLOCK_BOOTTIME.",
	      .kind = FPC_U64),
	EVENT(STATE, "state", "State of the map.", .kind = FPC_ENUM,
	      CHOICES(states)),
	EVENT(REASON, "reason", "Why the map is off.", .kind = FPC_ENUM,
	      CHOICES(reasons)),
	EVENT(MIGRATION_ID, "migration-id", "The migration, 0 if none runs.",
	      .kind = FPC_U32),
	EVENT(ROUND, "round", "Its newest round.", .kind = FPC_U32),
	EVENT(TEXT, "text", "What is refused, and why.", .kind = FPC_STRING),
};

#define TABLE(f, max)                                                        \
	{                                                                    \
		.fields = (f), .nr_fields = ARRAY_SIZE(f), .max_attr = (max) \
	}

const struct fpc_table fpc_status_table = TABLE(status_fields, CFPH_A_MAX);
const struct fpc_table fpc_stats_table = TABLE(stats_fields, CFPH_A_STATS_MAX);
const struct fpc_table fpc_zone_table = TABLE(zone_fields, CFPH_A_ZONE_MAX);
const struct fpc_table fpc_leaf_table = TABLE(leaf_fields, CFPH_A_LEAF_MAX);
const struct fpc_table fpc_event_table = TABLE(event_fields, CFPH_A_EVENT_MAX);

bool fpc_put_data(struct fpc_attrs *a, uint16_t attr, const void *data,
		  unsigned int len)
{
	/* One more for the NUL, in any case. */
	if (len >= FPC_DATA - a->used)
		return false;
	fpc_put(a, attr, len);
	a->where[attr] = a->used;
	memcpy(a->data + a->used, data, len);
	a->data[a->used + len] = '\0';
	a->used += len + 1;
	return true;
}

const char *fpc_data(const struct fpc_attrs *a, uint16_t attr)
{
	return fpc_have(a, attr) ? a->data + a->where[attr] : "";
}

const struct fpc_field *fpc_field_by_name(const struct fpc_table *table,
					  const char *name)
{
	for (unsigned int i = 0; i < table->nr_fields; i++)
		if (!strcmp(table->fields[i].name, name))
			return &table->fields[i];
	return NULL;
}

const struct fpc_field *fpc_field_by_attr(const struct fpc_table *table,
					  uint16_t attr)
{
	for (unsigned int i = 0; i < table->nr_fields; i++)
		if (table->fields[i].attr == attr)
			return &table->fields[i];
	return NULL;
}

const char *fpc_choice_name(const struct fpc_field *field, uint64_t value,
			    char buf[FPC_NAME_MAX])
{
	if (value < field->nr_choices)
		return field->choices[value].name;
	snprintf(buf, FPC_NAME_MAX, "%" PRIu64, value);
	return buf;
}

const char *fpc_choice_doc(const struct fpc_field *field, uint64_t value)
{
	return value < field->nr_choices ? field->choices[value].doc : "";
}

const char *fpc_field_text(const struct fpc_field *field,
			   const struct fpc_attrs *a, char buf[FPC_NAME_MAX])
{
	if (field->kind == FPC_STRING)
		return fpc_data(a, field->attr);
	return fpc_choice_name(field, a->value[field->attr], buf);
}

void fpc_field_range(const struct fpc_field *field, char *buf, unsigned int n)
{
	unsigned int used = 0;

	if (field->kind == FPC_STRING)
		snprintf(buf, n, "%s", field->hint);
	else if (!field->nr_choices)
		snprintf(buf, n, "%" PRIu32 "..%" PRIu32, field->min,
			 field->max);
	else
		buf[0] = '\0';
	for (unsigned int i = 0; i < field->nr_choices && used < n; i++)
		used += snprintf(buf + used, n - used, "%s%s", i ? ", " : "",
				 field->choices[i].name);
}
