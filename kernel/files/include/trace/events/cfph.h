/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: trace events.
 *
 * One event per state change, command, pass and message, never per page, and none
 * while zone->lock is held.  What belongs to a migration leads with its id and
 * round, so that "-f 'round > 3'", hist triggers and synthetic events can join on
 * them, and with QEMU's own events.  Every field but one text is a plain integer
 * and every enumerator is exported, so that trace-cmd can print the events on
 * another machine.
 *
 * These events are an interface: fields may be added at the end, none goes away or
 * changes its meaning.  Fields that many have:
 *
 *	migration_id	what the host calls the migration; 0 if none runs
 *	round		dirty-bitmap syncs of it that the host has announced
 *	generation	random number of one map, as the host knows it
 *	chunks		pieces of the map for 2 MiB (512 pages) each
 *	leaves		pieces of the map for 128 MiB each
 *	ns		nanoseconds that something took
 *	pages, free	pages of 4 KiB
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM cfph

#if !defined(_TRACE_CFPH_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_CFPH_H

#include <linux/build_bug.h>
#include <linux/tracepoint.h>
#include <linux/types.h>

#include <uapi/linux/cfph.h>
#include <uapi/linux/virtio_balloon_cfph.h>

/* The names are those of Documentation/netlink/specs/cfph.yaml. */
#define CFPH_STATES						\
	EM(CFPH_STATE_OFF,		"off")			\
	EM(CFPH_STATE_HOOKS,		"hooks")		\
	EM(CFPH_STATE_SCAN,		"scan")			\
	EMe(CFPH_STATE_READY,		"ready")

#define CFPH_REASONS						\
	EM(CFPH_REASON_NONE,		"none")			\
	EM(CFPH_REASON_BOOT_PARAMETER,	"boot-parameter")	\
	EM(CFPH_REASON_ADMIN,		"admin")		\
	EM(CFPH_REASON_NO_DEVICE,	"no-device")		\
	EM(CFPH_REASON_INIT_ON_FREE,	"init-on-free")		\
	EM(CFPH_REASON_PAGE_POISONING,	"page-poisoning")	\
	EM(CFPH_REASON_MEMORY_ENCRYPTION, "memory-encryption")	\
	EM(CFPH_REASON_SHARED_WORD,	"shared-word")		\
	EM(CFPH_REASON_NO_MEMORY,	"no-memory")		\
	EM(CFPH_REASON_SUSPENDED,	"suspended")		\
	EM(CFPH_REASON_SHUTDOWN,	"shutdown")		\
	EM(CFPH_REASON_STARTING,	"starting")		\
	EM(CFPH_REASON_NO_MIGRATION,	"no-migration")		\
	EM(CFPH_REASON_NOT_NEGOTIATED,	"not-negotiated")	\
	EM(CFPH_REASON_QUEUE_NUMBERS,	"queue-numbers")	\
	EMe(CFPH_REASON_PAGE_CONTENTS,	"page-contents")

#define CFPH_RECLAIM_ENDS					\
	EM(CFPH_RECLAIM_END_NONE,	"none")			\
	EM(CFPH_RECLAIM_END_DONE,	"done")			\
	EM(CFPH_RECLAIM_END_LOW_MEMORY,	"low-memory")		\
	EMe(CFPH_RECLAIM_END_STOPPED,	"stopped")

/* Macros of the wire header: the preprocessor makes numbers of them. */
#define CFPH_COMMANDS						\
	{ VIRTIO_BALLOON_CFPH_CMD_START,	"start" },	\
	{ VIRTIO_BALLOON_CFPH_CMD_ROUND,	"round" },	\
	{ VIRTIO_BALLOON_CFPH_CMD_STOP,		"stop" }

#define CFPH_MESSAGE_FLAGS					\
	{ 0,					"none" },	\
	{ VIRTIO_BALLOON_CFPH_F_PASS_END,	"pass-end" }

/* A new enumerator without a name above must not build. */
static_assert(CFPH_STATE_MAX == CFPH_STATE_READY);
static_assert(CFPH_REASON_MAX == CFPH_REASON_PAGE_CONTENTS);
static_assert(CFPH_RECLAIM_END_MAX == CFPH_RECLAIM_END_STOPPED);

/* First export the values of the enumerators to user space ... */
#undef EM
#undef EMe
#define EM(value, name)		TRACE_DEFINE_ENUM(value);
#define EMe(value, name)	TRACE_DEFINE_ENUM(value);

CFPH_STATES
CFPH_REASONS
CFPH_RECLAIM_ENDS

/* ... then make the tables of __print_symbolic() from the same lists. */
#undef EM
#undef EMe
#define EM(value, name)		{ value, name },
#define EMe(value, name)	{ value, name }

/*
 * The map has another state, or another reason to be off.
 *
 *	state	life of the map, enum cfph_state
 *	reason	why it is off, enum cfph_reason; none if it is not
 */
TRACE_EVENT(cfph_state,

	TP_PROTO(u32 state, u32 reason),

	TP_ARGS(state, reason),

	TP_STRUCT__entry(
		__field(u32,	state)
		__field(u32,	reason)
	),

	TP_fast_assign(
		__entry->state	= state;
		__entry->reason	= reason;
	),

	TP_printk("state=%s reason=%s",
		  __print_symbolic(__entry->state, CFPH_STATES),
		  __print_symbolic(__entry->reason, CFPH_REASONS))
);

/*
 * The map has been filled from the buddy lists.
 *
 *	pages	pages of RAM that it covers
 *	free	how many of them are free
 *	ns	time for the scan, without waiting between its steps
 */
TRACE_EVENT(cfph_scan,

	TP_PROTO(u64 pages, u64 free, u64 ns),

	TP_ARGS(pages, free, ns),

	TP_STRUCT__entry(
		__field(u64,	pages)
		__field(u64,	free)
		__field(u64,	ns)
	),

	TP_fast_assign(
		__entry->pages	= pages;
		__entry->free	= free;
		__entry->ns	= ns;
	),

	TP_printk("pages=%llu free=%llu ns=%llu",
		  __entry->pages, __entry->free, __entry->ns)
);

/*
 * A command of the host, as it came in; known or not.
 *
 *	command	VIRTIO_BALLOON_CFPH_CMD_*; 0 if it was too short to be one
 */
TRACE_EVENT(cfph_command,

	TP_PROTO(u16 command, u32 migration_id, u32 round),

	TP_ARGS(command, migration_id, round),

	TP_STRUCT__entry(
		__field(u32,	migration_id)
		__field(u32,	round)
		__field(u16,	command)
	),

	TP_fast_assign(
		__entry->migration_id	= migration_id;
		__entry->round		= round;
		__entry->command	= command;
	),

	TP_printk("migration_id=%u round=%u command=%s",
		  __entry->migration_id, __entry->round,
		  __print_symbolic(__entry->command, CFPH_COMMANDS))
);

/*
 * The host has been told of the map and may read it, whether a migration runs or
 * not.
 *
 *	header_addr	guest-physical address of the map's header page
 *	leaves		how many leaves there are; more may come
 */
TRACE_EVENT(cfph_register,

	TP_PROTO(u64 generation, u64 header_addr, u64 leaves),

	TP_ARGS(generation, header_addr, leaves),

	TP_STRUCT__entry(
		__field(u64,	generation)
		__field(u64,	header_addr)
		__field(u64,	leaves)
	),

	TP_fast_assign(
		__entry->generation	= generation;
		__entry->header_addr	= header_addr;
		__entry->leaves		= leaves;
	),

	TP_printk("generation=%llu header_addr=%#llx leaves=%llu",
		  __entry->generation, __entry->header_addr, __entry->leaves)
);

/*
 * START has been answered: deltas will follow.
 *
 *	generation	that of cfph_register
 */
TRACE_EVENT(cfph_start,

	TP_PROTO(u32 migration_id, u32 round, u64 generation),

	TP_ARGS(migration_id, round, generation),

	TP_STRUCT__entry(
		__field(u32,	migration_id)
		__field(u32,	round)
		__field(u64,	generation)
	),

	TP_fast_assign(
		__entry->migration_id	= migration_id;
		__entry->round		= round;
		__entry->generation	= generation;
	),

	TP_printk("migration_id=%u round=%u generation=%llu",
		  __entry->migration_id, __entry->round, __entry->generation)
);

/*
 * One pass over the map.
 *
 *	round		the one that was the newest when the pass began
 *	chunks		changed chunks that were sent
 *	ranges, bits	RANGE and BITS records that they took
 *	bytes		length of the messages that were sent
 *	ns		time for its steps, without waiting between them
 *	complete	0 if a new round made it begin again
 */
TRACE_EVENT(cfph_pass,

	TP_PROTO(u32 migration_id, u32 round, u64 chunks, u64 ranges, u64 bits,
		 u64 bytes, u64 ns, bool complete),

	TP_ARGS(migration_id, round, chunks, ranges, bits, bytes, ns, complete),

	TP_STRUCT__entry(
		__field(u32,	migration_id)
		__field(u32,	round)
		__field(u64,	chunks)
		__field(u64,	ranges)
		__field(u64,	bits)
		__field(u64,	bytes)
		__field(u64,	ns)
		__field(u32,	complete)
	),

	TP_fast_assign(
		__entry->migration_id	= migration_id;
		__entry->round		= round;
		__entry->chunks		= chunks;
		__entry->ranges		= ranges;
		__entry->bits		= bits;
		__entry->bytes		= bytes;
		__entry->ns		= ns;
		__entry->complete	= complete;
	),

	TP_printk("migration_id=%u round=%u chunks=%llu ranges=%llu bits=%llu bytes=%llu ns=%llu complete=%u",
		  __entry->migration_id, __entry->round, __entry->chunks,
		  __entry->ranges, __entry->bits, __entry->bytes, __entry->ns,
		  __entry->complete)
);

/*
 * One message has gone to the host.
 *
 *	round		of the pass that it belongs to
 *	sequence	number of the message in this migration, from 0 on; 0 if none
 *			runs
 *	length		bytes
 *	flags		VIRTIO_BALLOON_CFPH_F_*
 */
TRACE_EVENT(cfph_ship,

	TP_PROTO(u32 migration_id, u32 round, u64 sequence, u32 length,
		 u16 flags),

	TP_ARGS(migration_id, round, sequence, length, flags),

	TP_STRUCT__entry(
		__field(u32,	migration_id)
		__field(u32,	round)
		__field(u64,	sequence)
		__field(u32,	length)
		__field(u16,	flags)
	),

	TP_fast_assign(
		__entry->migration_id	= migration_id;
		__entry->round		= round;
		__entry->sequence	= sequence;
		__entry->length		= length;
		__entry->flags		= flags;
	),

	TP_printk("migration_id=%u round=%u sequence=%llu length=%u flags=%s",
		  __entry->migration_id, __entry->round, __entry->sequence,
		  __entry->length,
		  __print_symbolic(__entry->flags, CFPH_MESSAGE_FLAGS))
);

/*
 * The host holds all buffers; the changes stay flagged.
 *
 *	chunks_left	changed chunks that wait
 */
TRACE_EVENT(cfph_stall,

	TP_PROTO(u32 migration_id, u32 round, u64 chunks_left),

	TP_ARGS(migration_id, round, chunks_left),

	TP_STRUCT__entry(
		__field(u32,	migration_id)
		__field(u32,	round)
		__field(u64,	chunks_left)
	),

	TP_fast_assign(
		__entry->migration_id	= migration_id;
		__entry->round		= round;
		__entry->chunks_left	= chunks_left;
	),

	TP_printk("migration_id=%u round=%u chunks_left=%llu",
		  __entry->migration_id, __entry->round, __entry->chunks_left)
);

/*
 * The per-cpu page lists have been drained into the buddy lists.
 *
 *	ns	time that it took
 */
TRACE_EVENT(cfph_drain,

	TP_PROTO(u32 migration_id, u32 round, u64 ns),

	TP_ARGS(migration_id, round, ns),

	TP_STRUCT__entry(
		__field(u32,	migration_id)
		__field(u32,	round)
		__field(u64,	ns)
	),

	TP_fast_assign(
		__entry->migration_id	= migration_id;
		__entry->round		= round;
		__entry->ns		= ns;
	),

	TP_printk("migration_id=%u round=%u ns=%llu",
		  __entry->migration_id, __entry->round, __entry->ns)
);

/*
 * Page cache has been given back: for a migration that has begun, or with a
 * migration_id of 0, because an administrator has asked for it.
 *
 *	percent		how much of the clean page cache was asked for
 *	target_pages	what that was when it began, an estimate
 *	pages		what has been given back
 *	ns		time for its steps, without waiting between them
 *	end		why it is over, enum cfph_reclaim_end
 */
TRACE_EVENT(cfph_reclaim,

	TP_PROTO(u32 migration_id, u32 round, u32 percent, u64 target_pages,
		 u64 pages, u64 ns, u32 end),

	TP_ARGS(migration_id, round, percent, target_pages, pages, ns, end),

	TP_STRUCT__entry(
		__field(u32,	migration_id)
		__field(u32,	round)
		__field(u32,	percent)
		__field(u32,	end)
		__field(u64,	target_pages)
		__field(u64,	pages)
		__field(u64,	ns)
	),

	TP_fast_assign(
		__entry->migration_id	= migration_id;
		__entry->round		= round;
		__entry->percent	= percent;
		__entry->end		= end;
		__entry->target_pages	= target_pages;
		__entry->pages		= pages;
		__entry->ns		= ns;
	),

	TP_printk("migration_id=%u round=%u percent=%u target_pages=%llu pages=%llu ns=%llu end=%s",
		  __entry->migration_id, __entry->round, __entry->percent,
		  __entry->target_pages, __entry->pages, __entry->ns,
		  __print_symbolic(__entry->end, CFPH_RECLAIM_ENDS))
);

/*
 * Somebody wants a map and cannot have it: a device that offers the feature, or a
 * migration that begins.
 *
 *	reason	why not, enum cfph_reason
 *	text	who wants it, or what is missing
 */
TRACE_EVENT(cfph_refuse,

	TP_PROTO(u32 migration_id, u32 round, u32 reason, const char *text),

	TP_ARGS(migration_id, round, reason, text),

	TP_STRUCT__entry(
		__field(u32,	migration_id)
		__field(u32,	round)
		__field(u32,	reason)
		__string(text,	text)
	),

	TP_fast_assign(
		__entry->migration_id	= migration_id;
		__entry->round		= round;
		__entry->reason		= reason;
		__assign_str(text);
	),

	TP_printk("migration_id=%u round=%u reason=%s text=\"%s\"",
		  __entry->migration_id, __entry->round,
		  __print_symbolic(__entry->reason, CFPH_REASONS),
		  __get_str(text))
);

/* The guest has left the migration, whoever ended it. */
TRACE_EVENT(cfph_stop,

	TP_PROTO(u32 migration_id, u32 round),

	TP_ARGS(migration_id, round),

	TP_STRUCT__entry(
		__field(u32,	migration_id)
		__field(u32,	round)
	),

	TP_fast_assign(
		__entry->migration_id	= migration_id;
		__entry->round		= round;
	),

	TP_printk("migration_id=%u round=%u",
		  __entry->migration_id, __entry->round)
);

#endif /* _TRACE_CFPH_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
