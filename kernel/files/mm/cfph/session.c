// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the session of the migration that runs, and what
 * the host knows.
 *
 * Owns the session's state and the message that is being built; gets buffers from
 * the transport and ships them.  Must not know what is in a message, nor when one
 * is due.  Functions named kcfphd_*() run in the thread only, the others are called
 * by everybody else, too.
 *
 * Locks: everything runs under cfph_mutex; see life.c.
 */
#define pr_fmt(fmt) "cfph: " fmt

#include <linux/cfph.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>

#include <trace/events/cfph.h>
#include <uapi/linux/virtio_balloon_cfph.h>

#include "../internal.h"
#include "delta.h"
#include "common.h"
#include "session.h"

struct cfph_session cfph_session;

/**
 * cfph_session_tell - tell listeners of something that belongs to the migration
 * @event: what has happened
 *
 * Context: cfph_mutex held.
 */
void cfph_session_tell(enum cfph_event event)
{
	cfph_notify(event, cfph_current_reason(), cfph_session.migration_id,
		    cfph_session.round, NULL);
}

/* --- buffers --- */

static void cfph_put_buffer(void)
{
	lockdep_assert_held(&cfph_mutex);

	if (cfph_session.buf)
		cfph.ops->put_buffer(cfph.priv, cfph_session.buf);
	cfph_session.buf = NULL;
}

/* Return: false if the host holds all buffers. */
static bool cfph_get_buffer(void)
{
	struct cfph_buffer *buf;

	lockdep_assert_held(&cfph_mutex);

	if (cfph_session.buf)
		return true;
	buf = cfph.ops->get_buffer(cfph.priv);
	if (!buf)
		return false;
	if (WARN_ON_ONCE(buf->size < CFPH_MSG_MIN)) {
		cfph.ops->put_buffer(cfph.priv, buf);
		return false;
	}
	cfph_session.buf = buf;
	cfph_msg_init(&cfph_session.msg, buf->data, buf->size);
	return true;
}

/* Like cfph_get_buffer(); if false, the thread is woken when there is one. */
bool kcfphd_get_buffer(void)
{
	if (cfph_get_buffer())
		return true;

	/*
	 * First say so, then look again: a buffer that came back before is found
	 * now, one that comes back later wakes us: cfph_buffer_returned().
	 */
	cfph_mail_starved();
	return cfph_get_buffer();
}

/**
 * kcfphd_stall - there is no buffer
 *
 * Listeners hear of it once until a pass has come to its end: each message of it
 * may have to wait for the one before.
 *
 * Return: what the step shall return.
 */
long kcfphd_stall(void)
{
	cfph.counters.stalls++;
	if (trace_cfph_stall_enabled())
		trace_cfph_stall(cfph_session.migration_id, cfph_session.round,
				 cfph_map_count_changed(cfph.map,
							cfph_session.chunk));
	if (!cfph_session.stalled)
		cfph_session_tell(CFPH_EVENT_STALL);
	cfph_session.stalled = true;
	return KCFPHD_SLEEP;
}

/* --- life --- */

/**
 * cfph_session_begin - the host has sent START
 * @migration_id: whose
 *
 * Context: cfph_mutex held; there is no session.
 */
void cfph_session_begin(u32 migration_id)
{
	lockdep_assert_held(&cfph_mutex);

	cfph_session.phase = CFPH_PHASE_START;
	cfph_session.migration_id = migration_id;
	cfph_session.round = 0;
	cfph_session.sequence = 0;
	cfph_session.chunk = 0;
	cfph_session.started = false;
	cfph_session.answer = false;
	cfph_session.stalled = false;
	cfph_session.drain = cfph.tunables.drain != CFPH_DRAIN_OFF;
	if (cfph.tunables.reclaim)
		cfph_reclaim_begin(&cfph_session.reclaim,
				   cfph.tunables.reclaim);
}

/**
 * cfph_session_end - the migration is over for us, or was never there
 *
 * The map stays, and so does what the host knows of it.
 *
 * Context: cfph_mutex held.
 */
void cfph_session_end(void)
{
	lockdep_assert_held(&cfph_mutex);

	cfph_put_buffer();
	cfph_lists_shorten(false);
	if (cfph_session.phase != CFPH_PHASE_IDLE) {
		cfph_reclaim_end(&cfph_session.reclaim,
				 cfph_session.migration_id, cfph_session.round);
		trace_cfph_stop(cfph_session.migration_id, cfph_session.round);
		cfph_session_tell(CFPH_EVENT_STOP);
	}
	cfph_session.phase = CFPH_PHASE_IDLE;
	cfph_session.migration_id = 0;
}

/* --- messages --- */

/**
 * cfph_ship - send the message that is being built
 * @flags: VIRTIO_BALLOON_CFPH_F_*
 *
 * Context: cfph_mutex held; there is a message.
 * Return: false if the device is gone; the session, if there was one, has ended
 *	then.
 */
bool cfph_ship(u16 flags)
{
	struct cfph_counters *counters = &cfph.counters;
	struct cfph_msg *msg = &cfph_session.msg;
	struct cfph_buffer *buf = cfph_session.buf;
	u32 round = cfph_session.round;
	u64 sequence = 0;

	lockdep_assert_held(&cfph_mutex);

	if (cfph_session.phase != CFPH_PHASE_IDLE)
		sequence = cfph_session.sequence++;
	if (cfph_session.phase == CFPH_PHASE_PASS)
		round = cfph_session.pass_round;
	buf->length = cfph_msg_finish(msg, flags, sequence,
				      cfph_session.migration_id, round);
	trace_cfph_ship(cfph_session.migration_id, round, sequence, buf->length,
			flags);
	cfph_session.buf = NULL;
	if (cfph.ops->send(cfph.priv, buf)) {
		pr_warn_once("the device is broken or gone: no more hints\n");
		cfph_session_end();
		return false;
	}

	counters->messages++;
	counters->message_bytes += msg->used;
	counters->chunks += msg->chunks;
	counters->ranges += msg->ranges;
	counters->bits += msg->bits;
	return true;
}

/* --- what happens to it --- */

/**
 * cfph_session_lost - the map goes away
 *
 * Tells the host if there is a buffer for it; if not, it finds out when it looks
 * at the header page.  If the map comes back in this session, STARTED is sent once
 * more: deltas begin anew.
 *
 * Context: cfph_mutex held; the header page says so already.
 */
void cfph_session_lost(void)
{
	u64 generation = cfph_session.generation;

	lockdep_assert_held(&cfph_mutex);

	cfph_put_buffer();
	cfph_lists_shorten(false);
	cfph_session.generation = 0;
	cfph_session.chunk = 0;
	if (cfph_session.phase != CFPH_PHASE_IDLE)
		cfph_session.phase = CFPH_PHASE_START;

	if (!generation || !cfph_get_buffer())
		return;
	cfph_msg_unmap(&cfph_session.msg, generation);
	if (cfph_ship(0))
		cfph.counters.unregistrations++;
}

/**
 * cfph_session_drop - the transport goes away
 *
 * Context: cfph_mutex held.
 */
void cfph_session_drop(void)
{
	lockdep_assert_held(&cfph_mutex);

	cfph_session_end();
	/* The next transport may have another host behind it. */
	cfph_mail_clear();
}

/**
 * cfph_session_retune - the administrator has set something
 *
 * Sees to it that nothing goes on waiting for a pass that was far away.
 *
 * Context: cfph_mutex held.
 */
void cfph_session_retune(void)
{
	unsigned long soon = jiffies + msecs_to_jiffies(cfph.tunables.interval_ms);

	lockdep_assert_held(&cfph_mutex);

	if (cfph_session.phase == CFPH_PHASE_REST &&
	    time_after(cfph_session.next, soon))
		cfph_session.next = soon;
}
