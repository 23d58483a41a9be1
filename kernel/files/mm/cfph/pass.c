// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: passes over the map.
 *
 * Decides when a pass is due and turns changed chunks into messages.  Runs in the
 * thread only, one bounded step at a time, without allocating anything and without
 * waiting: a step that cannot go on says how long to sleep.
 *
 * Locks: everything runs under cfph_mutex.
 */
#include <linux/cfph.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include <trace/events/cfph.h>
#include <uapi/linux/virtio_balloon_cfph.h>

#include "../internal.h"
#include "delta.h"
#include "common.h"
#include "session.h"

/* --- whether --- */

/*
 * Not in the first round, which sends all that is dirty in any case, and is where a
 * migration spends most of its time: short lists make a page fault 15 % dearer.
 * Later rounds are short if little is dirty, and then what lies in the lists counts.
 * The first dirty-bitmap sync is the begin of the first round.
 */
static bool kcfphd_wants_short_lists(void)
{
	return cfph.tunables.drain != CFPH_DRAIN_OFF &&
	       cfph_session.round > 1;
}

static void kcfphd_rest(void)
{
	cfph_session.phase = CFPH_PHASE_REST;
	cfph_session.next = jiffies +
			    msecs_to_jiffies(cfph.tunables.interval_ms);
}

/**
 * kcfphd_pass_is_due - shall a pass begin now?
 *
 * Return: true if so; if not, cfph_session.next is when to ask again.
 */
bool kcfphd_pass_is_due(void)
{
	return time_after_eq(jiffies, cfph_session.next) || cfph_session.answer;
}

/**
 * kcfphd_begin_pass - REST -> PASS
 */
void kcfphd_begin_pass(void)
{
	bool shorten = kcfphd_wants_short_lists();

	/* First the limit, or what is drained could come back. */
	if (cfph_lists_shorten(shorten) && shorten)
		cfph_session.drain = true;
	if (cfph_session.drain)
		cfph_lists_drain(cfph_session.migration_id, cfph_session.round);
	cfph_session.drain = false;

	cfph_session.phase = CFPH_PHASE_PASS;
	cfph_session.chunk = 0;
	cfph_session.pass_round = cfph_session.round;
	cfph_session.answering = cfph_session.answer;
	cfph_session.answer = false;
	cfph_session.pass_ns = 0;
	cfph_session.before = cfph.counters;
}

/* --- how --- */

static void kcfphd_trace_pass(bool complete)
{
	const struct cfph_counters *before = &cfph_session.before;
	const struct cfph_counters *now = &cfph.counters;

	trace_cfph_pass(cfph_session.migration_id, cfph_session.pass_round,
			now->chunks - before->chunks,
			now->ranges - before->ranges,
			now->bits - before->bits,
			now->message_bytes - before->message_bytes,
			cfph_session.pass_ns, complete);
}

/*
 * A ROUND has come in the middle of a pass.  Begin another one from the first
 * chunk, so that its end tells the host that all changes before the ROUND have
 * been sent; what has been done is sent as it is.
 */
static long kcfphd_restart_pass(void)
{
	if (cfph_session.buf && !cfph_ship(0))
		return KCFPHD_AGAIN;
	kcfphd_trace_pass(false);
	kcfphd_begin_pass();
	return KCFPHD_AGAIN;
}

static long kcfphd_end_pass(void)
{
	/* Nothing has changed: say so only to a host that waits for it. */
	if (cfph_session.answering && !kcfphd_get_buffer())
		return kcfphd_stall();
	if (cfph_session.buf && !cfph_ship(VIRTIO_BALLOON_CFPH_F_PASS_END))
		return KCFPHD_AGAIN;

	cfph_session.stalled = false;
	cfph.counters.passes++;
	cfph.counters.pass_ns = cfph_session.pass_ns;
	kcfphd_trace_pass(true);
	kcfphd_rest();
	return KCFPHD_AGAIN;
}

/*
 * Clear the byte, then copy: a hook that comes after that sets the byte again, and
 * the bits of one that came before are seen.  One that runs at this very moment may
 * see the byte still set while its bits are not seen yet; then the delta is old
 * until the next change, or until the host looks at the map itself, as it does at
 * each sync and before it decides.
 *
 * Return: false if the message is full; the chunk stays flagged.
 */
static bool kcfphd_pass_chunk(unsigned long chunk)
{
	struct cfph_map *map = cfph.map;
	unsigned long bits[CFPH_CHUNK_WORDS];

	cfph_map_flag(map, chunk, false);
	/* The clearing before the bits: keeps that moment short, with no partner. */
	smp_mb();
	cfph_map_copy_chunk(map, chunk, bits);
	if (cfph_msg_chunk(&cfph_session.msg, chunk << CFPH_CHUNK_SHIFT, bits))
		return true;

	cfph_map_flag(map, chunk, true);
	return false;
}

/*
 * Chunks that one step sends: a leaf's.  Takes some ten microseconds, so that whoever
 * wants cfph_mutex gets it soon.
 */
#define CFPH_PASS_BATCH		CFPH_LEAF_CHUNKS

static long kcfphd_pass_chunks(unsigned long chunks)
{
	unsigned int budget;

	for (budget = CFPH_PASS_BATCH; budget; budget--) {
		unsigned long chunk;

		chunk = cfph_map_next_changed(cfph.map, cfph_session.chunk);
		cfph_session.chunk = chunk;
		if (chunk >= chunks)
			break;
		if (!kcfphd_get_buffer())
			return kcfphd_stall();
		if (kcfphd_pass_chunk(chunk))
			cfph_session.chunk++;
		else if (!cfph_ship(0))
			break;
		cond_resched();
	}
	return KCFPHD_AGAIN;
}

/**
 * kcfphd_pass_step - send some of what has changed
 *
 * Return: what the step shall return.
 */
long kcfphd_pass_step(void)
{
	unsigned long chunks = cfph_map_chunks(cfph.map);
	u64 start = ktime_get_ns();
	long timeout;

	if (cfph_session.answer)
		return kcfphd_restart_pass();

	timeout = kcfphd_pass_chunks(chunks);
	cfph_session.pass_ns += ktime_get_ns() - start;

	/* The session has ended if the device is gone. */
	if (cfph_session.phase == CFPH_PHASE_PASS &&
	    cfph_session.chunk >= chunks)
		return kcfphd_end_pass();
	return timeout;
}
