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
		"Times a pass stopped because the host had returned no buffer."),
	COUNTER(DRAINS, "drains", NULL,
		"Times the per-cpu page lists were drained."),
	COUNTER(REGISTRATIONS, "registrations", NULL,
		"Times the map was registered with the host."),
	COUNTER(UNREGISTRATIONS, "unregistrations", NULL,
		"Times the map was taken back from the host."),
	COUNTER(UNKNOWN_COMMANDS, "unknown-commands", NULL,
		"Commands of the host that were ignored."),
	COUNTER(SCANS, "scans", NULL,
		"Times the map was filled from the buddy lists."),
	COUNTER(SCAN_NS, "scan-ns", "ns",
		"Nanoseconds that the newest scan took."),
	COUNTER(PASS_NS, "pass-ns", "ns",
		"Nanoseconds that the newest pass took."),
};

const struct fpc_table fpc_status_table = {
	.fields = status_fields,
	.nr_fields = ARRAY_SIZE(status_fields),
	.max_attr = CFPH_A_MAX,
};

const struct fpc_table fpc_stats_table = {
	.fields = stats_fields,
	.nr_fields = ARRAY_SIZE(stats_fields),
	.max_attr = CFPH_A_STATS_MAX,
};

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

void fpc_field_range(const struct fpc_field *field, char *buf, unsigned int n)
{
	unsigned int used = 0;

	if (!field->nr_choices) {
		snprintf(buf, n, "%" PRIu32 "..%" PRIu32, field->min,
			 field->max);
		return;
	}
	buf[0] = '\0';
	for (unsigned int i = 0; i < field->nr_choices && used < n; i++)
		used += snprintf(buf + used, n - used, "%s%s", i ? ", " : "",
				 field->choices[i].name);
}
