// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the thread that talks to the host.
 *
 * Owns the session of the migration that runs.  Must not know virtio, nor how
 * bits get into the map.  Functions named kcfphd_*() run in the thread only, the
 * others are called by everybody else, too.
 *
 * The thread works in bounded steps.  Each takes cfph_mutex, looks at the newest
 * command and at the state of the map, does the next piece of work and says how
 * long to sleep.  Without a migration that is for ever: there is no timer.  It
 * never waits for the host: without a buffer it sleeps until one comes back, and
 * what has changed meanwhile stays flagged in the map.
 *
 * Locks: everything runs under cfph_mutex; see core.c.
 */
#define pr_fmt(fmt) "cfph: " fmt

#include <linux/cfph.h>
#include <linux/err.h>
#include <linux/freezer.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched.h>

#include <trace/events/cfph.h>
#include <uapi/linux/virtio_balloon_cfph.h>

#include "../internal.h"
#include "delta.h"
#include "internal.h"

/*
 * Chunks of one step of a pass: 64 KiB of the map, 2 GiB of RAM; well below a
 * millisecond, so that whoever wants cfph_mutex gets it soon.
 */
#define KCFPHD_STEP_CHUNKS	1024

/* What a step returns: go on at once, or sleep until something happens. */
#define KCFPHD_AGAIN		0L
#define KCFPHD_SLEEP		MAX_SCHEDULE_TIMEOUT

/* --- session --- */

/*
 *	        START                map READY                all leaves sent
 *	IDLE ---------> WAIT_MAP -------------> REGISTER -----------------> REST
 *	  ^                 ^                      |                        |  ^
 *	  |                 |     map goes away    |                        v  |
 *	  |                 +----------------------+----------------------- PASS
 *	  |
 *	  +-- from everywhere: STOP, another START, no transport, broken device
 */
enum cfph_phase {
	CFPH_PHASE_IDLE,	/* no migration */
	CFPH_PHASE_WAIT_MAP,	/* a migration, but no map to register */
	CFPH_PHASE_REGISTER,	/* REGISTER, LEAFs and STARTED are on their way */
	CFPH_PHASE_REST,	/* until the next pass */
	CFPH_PHASE_PASS,	/* between two steps of a pass */
};

/* Written under cfph_mutex, read by the page allocator: see cfph_pcp_limits(). */
bool cfph_pcp_short __read_mostly;

/* Protected by cfph_mutex. */
static struct {
	enum cfph_phase phase;
	u32 migration_id;
	u32 round;		/* newest one that the thread has seen */
	u32 sessions;		/* of the mailbox, when we last looked */
	u32 requests;		/* likewise */
	u64 sequence;		/* of the next message */
	bool started;		/* STARTED has been sent once */
	bool drain;		/* drain the per-cpu lists before the next pass */
	bool answer;		/* a ROUND wants a pass */

	u64 generation;		/* of the registration */
	bool announced;		/* REGISTER has been sent */
	u64 leaves;		/* LEAF records in all */
	u64 leaves_left;	/* LEAF records still to send */
	unsigned long slot;	/* where to look for the next leaf */

	unsigned long next;	/* jiffies of the next pass */
	bool hold;		/* not before that, even for a ROUND */
	unsigned long chunk;	/* where the pass goes on */
	u32 pass_round;		/* @round when it began */
	bool answering;		/* it answers a ROUND: PASS_END is a must */
	u64 pass_ns;
	struct cfph_counters before;	/* when the pass began */

	struct cfph_buffer *buf;	/* the message in work, or NULL */
	struct cfph_msg msg;
} cfph_session;

static void cfph_put_buffer(void)
{
	lockdep_assert_held(&cfph_mutex);

	if (cfph_session.buf)
		cfph.ops->put_buffer(cfph.priv, cfph_session.buf);
	cfph_session.buf = NULL;
}

/* Return: false if the host has all buffers. */
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

/* The migration is over for us, or was never there. */
static void cfph_session_end(void)
{
	lockdep_assert_held(&cfph_mutex);

	cfph_put_buffer();
	WRITE_ONCE(cfph_pcp_short, false);
	/* A generation names one migration. */
	if (cfph.map)
		WRITE_ONCE(cfph.map->header->generation, 0);
	if (cfph_session.phase != CFPH_PHASE_IDLE)
		trace_cfph_stop(cfph_session.migration_id, cfph_session.round);
	cfph_session.phase = CFPH_PHASE_IDLE;
}

/* Return: false if the device is gone; the session has ended then. */
static bool cfph_ship(u16 flags)
{
	struct cfph_counters *counters = &cfph.counters;
	struct cfph_msg *msg = &cfph_session.msg;
	struct cfph_buffer *buf = cfph_session.buf;
	u64 sequence = cfph_session.sequence++;
	u32 round = cfph_session.phase == CFPH_PHASE_PASS ?
		    cfph_session.pass_round : cfph_session.round;

	lockdep_assert_held(&cfph_mutex);

	buf->length = cfph_msg_finish(msg, flags, sequence,
				      cfph_session.migration_id, round);
	trace_cfph_ship(cfph_session.migration_id, round, sequence, buf->length,
			flags);
	cfph_session.buf = NULL;
	if (cfph.ops->send(cfph.priv, buf)) {
		pr_warn_once("the device is broken or gone: no more hints for this migration\n");
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

/**
 * cfph_session_lost - the map goes away while a migration may run
 * @generation: what the header page has shown until now, 0 if nothing is
 *	registered
 *
 * Tells the host if there is a buffer for it; if not, it finds out when it looks
 * at the header page.  If the map comes back, it is registered again.
 *
 * Context: cfph_mutex held; the header page has been cleared.
 */
void cfph_session_lost(u64 generation)
{
	lockdep_assert_held(&cfph_mutex);

	if (cfph_session.phase == CFPH_PHASE_IDLE)
		return;

	cfph_put_buffer();
	cfph_session.phase = CFPH_PHASE_WAIT_MAP;
	if (!generation || !cfph_session.announced)
		return;

	cfph.counters.unregistrations++;
	if (cfph_get_buffer()) {
		cfph_msg_unregister(&cfph_session.msg, generation);
		cfph_ship(0);
	}
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

/* --- the thread: commands and buffers --- */

static void kcfphd_new_session(u32 migration_id)
{
	cfph_session_end();
	if (!migration_id)
		return;

	cfph_session.phase = CFPH_PHASE_WAIT_MAP;
	cfph_session.migration_id = migration_id;
	cfph_session.sequence = 0;
	cfph_session.started = false;
	cfph_session.answer = false;
	cfph_session.drain = cfph.tunables.drain != CFPH_DRAIN_OFF;
	/* There may be memory for the map now. */
	if (cfph.failure == CFPH_REASON_NO_MEMORY)
		cfph.failure = CFPH_REASON_NONE;
}

static void kcfphd_read_mailbox(void)
{
	struct cfph_mail mail;

	cfph_mail_read(&mail);
	if (mail.sessions != cfph_session.sessions) {
		cfph_session.sessions = mail.sessions;
		kcfphd_new_session(mail.migration_id);
	}
	cfph_session.round = mail.round;
	if (mail.requests != cfph_session.requests) {
		cfph_session.requests = mail.requests;
		cfph_session.answer = true;
		if (cfph.tunables.drain == CFPH_DRAIN_ROUND)
			cfph_session.drain = true;
	}
}

/* Like cfph_get_buffer(); if false, the thread is woken when there is one. */
static bool kcfphd_get_buffer(void)
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

static long kcfphd_stall(void)
{
	cfph.counters.stalls++;
	if (trace_cfph_stall_enabled())
		trace_cfph_stall(cfph_session.migration_id, cfph_session.round,
				 cfph_map_count_changed(cfph.map,
							cfph_session.chunk));
	return KCFPHD_SLEEP;
}

/* --- the thread: registration --- */

/*
 * The changed bytes are cleared before the host can know of the map.  That loses
 * nothing: the host reads the whole map when it gets STARTED, and again at each
 * sync.  A change before this point is in what it reads then; a change after it
 * sets its byte again, and goes out with the first pass.
 *
 * The number of leaves is fixed now.  One that memory hotplug adds before all
 * have been sent takes the place of the last one in the count: that one is not
 * registered, and its pages migrate as used.  The count stays right.
 */
static void kcfphd_begin_register(void)
{
	struct cfph_map *map = cfph.map;
	u64 generation;

	do {
		generation = get_random_u64();
	} while (!generation);

	cfph_map_clear_changed(map);
	cfph_session.generation = generation;
	cfph_session.announced = false;
	cfph_session.leaves = READ_ONCE(map->leaves);
	cfph_session.leaves_left = cfph_session.leaves;
	cfph_session.slot = 0;
	cfph_session.chunk = 0;
	WRITE_ONCE(map->header->generation, cpu_to_le64(generation));
}

/* Return: false if the message is full. */
static bool kcfphd_put_leaves(void)
{
	struct cfph_map *map = cfph.map;

	for (; cfph_session.leaves_left && cfph_session.slot < map->slots;
	     cfph_session.slot++) {
		unsigned long *leaf = cfph_map_leaf(map, cfph_session.slot);

		if (!leaf)
			continue;
		if (!cfph_msg_leaf(&cfph_session.msg,
				   cfph_session.slot << CFPH_LEAF_SHIFT,
				   virt_to_phys(leaf)))
			return false;
		cfph_session.leaves_left--;
	}
	return true;
}

static long kcfphd_register_step(void)
{
	struct cfph_map *map = cfph.map;
	struct cfph_msg *msg = &cfph_session.msg;
	u64 generation = cfph_session.generation;
	u64 leaves = cfph_session.leaves;

	if (!kcfphd_get_buffer())
		return kcfphd_stall();

	if (!cfph_session.announced) {
		cfph_msg_register(msg, generation, virt_to_phys(map->header),
				  leaves);
		trace_cfph_register(generation, leaves);
		cfph.counters.registrations++;
		cfph_session.announced = true;
	}
	if (!kcfphd_put_leaves() || !cfph_msg_started(msg, generation)) {
		cfph_ship(0);
		return KCFPHD_AGAIN;
	}
	if (!cfph_ship(0))
		return KCFPHD_AGAIN;

	trace_cfph_start(cfph_session.migration_id, generation, leaves);
	if (!cfph_session.started)
		cfph.counters.migrations++;
	cfph_session.started = true;
	cfph_session.phase = CFPH_PHASE_REST;
	cfph_session.hold = false;
	cfph_session.next = jiffies;
	return KCFPHD_AGAIN;
}

/* --- the thread: passes --- */

/*
 * After a large process has exited, up to an eighth of a zone may lie in lists
 * that the map does not see.  Comes after STARTED, because it takes a while: what
 * it frees reaches the host as deltas.
 */
static void kcfphd_drain(void)
{
	u64 start = ktime_get_ns();
	struct zone *zone;

	/* Zone by zone: for all at once, another drain would make this a no-op. */
	for_each_populated_zone(zone)
		drain_all_pages(zone);
	cfph.counters.drains++;
	trace_cfph_drain(cfph_session.migration_id, cfph_session.round,
			 ktime_get_ns() - start);
}

/* Every cycle counts for reclaim then; hints do not make memory free. */
static bool kcfphd_memory_is_low(void)
{
	unsigned long min_pages = 0;
	struct zone *zone;

	for_each_populated_zone(zone)
		min_pages += min_wmark_pages(zone);
	return global_zone_page_state(NR_FREE_PAGES) < min_pages;
}

static void kcfphd_rest(bool hold)
{
	cfph_session.phase = CFPH_PHASE_REST;
	cfph_session.hold = hold;
	cfph_session.next = jiffies +
			    msecs_to_jiffies(cfph.tunables.interval_ms);
}

static long kcfphd_begin_pass(void)
{
	cfph_session.chunk = 0;
	if (kcfphd_memory_is_low()) {
		kcfphd_stall();
		kcfphd_rest(true);
		return KCFPHD_AGAIN;
	}

	/* First the limit, or what is drained could come back. */
	WRITE_ONCE(cfph_pcp_short, cfph.tunables.drain != CFPH_DRAIN_OFF);
	if (cfph_session.drain)
		kcfphd_drain();
	cfph_session.drain = false;

	cfph_session.phase = CFPH_PHASE_PASS;
	cfph_session.pass_round = cfph_session.round;
	cfph_session.answering = cfph_session.answer;
	cfph_session.answer = false;
	cfph_session.pass_ns = 0;
	cfph_session.before = cfph.counters;
	return KCFPHD_AGAIN;
}

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
	return kcfphd_begin_pass();
}

static long kcfphd_end_pass(void)
{
	/* Nothing has changed: say so only to a host that waits for it. */
	if (cfph_session.answering && !kcfphd_get_buffer())
		return kcfphd_stall();
	if (cfph_session.buf && !cfph_ship(VIRTIO_BALLOON_CFPH_F_PASS_END))
		return KCFPHD_AGAIN;

	cfph.counters.passes++;
	cfph.counters.pass_ns = cfph_session.pass_ns;
	kcfphd_trace_pass(true);
	kcfphd_rest(false);
	return KCFPHD_AGAIN;
}

/*
 * Clear the byte, then copy under zone->lock.  A hook that held the lock before
 * us: we see its bits.  One that gets it after us: it sets the byte again, after
 * our clearing.  So no change is missed, with no barrier beyond the lock; and as
 * a new owner of a page writes to it after the hook, a page that we saw free had
 * not been written to when we looked.
 *
 * Return: false if the message is full; the chunk stays flagged.
 */
static bool kcfphd_pass_chunk(unsigned long chunk)
{
	struct cfph_map *map = cfph.map;
	unsigned long bits[CFPH_CHUNK_WORDS];

	WRITE_ONCE(map->changed[chunk], 0);
	cfph_map_copy_chunk(map, chunk, bits);
	if (cfph_msg_chunk(&cfph_session.msg, chunk << CFPH_CHUNK_SHIFT, bits))
		return true;

	WRITE_ONCE(map->changed[chunk], 1);
	return false;
}

static long kcfphd_pass_chunks(unsigned long chunks)
{
	unsigned int budget;

	for (budget = KCFPHD_STEP_CHUNKS; budget; budget--) {
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

static long kcfphd_pass_step(void)
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

/* --- the thread: main loop --- */

static long kcfphd_session_step(void)
{
	unsigned long now = jiffies;

	switch (cfph_session.phase) {
	case CFPH_PHASE_IDLE:
		return KCFPHD_SLEEP;
	case CFPH_PHASE_WAIT_MAP:
		kcfphd_begin_register();
		cfph_session.phase = CFPH_PHASE_REGISTER;
		return KCFPHD_AGAIN;
	case CFPH_PHASE_REGISTER:
		return kcfphd_register_step();
	case CFPH_PHASE_REST:
		if (time_after_eq(now, cfph_session.next) ||
		    (cfph_session.answer && !cfph_session.hold))
			return kcfphd_begin_pass();
		return cfph_session.next - now;
	case CFPH_PHASE_PASS:
		return kcfphd_pass_step();
	}
	return KCFPHD_SLEEP;
}

/* Return: jiffies to sleep if nothing happens, KCFPHD_AGAIN or KCFPHD_SLEEP. */
static long kcfphd_step(void)
{
	lockdep_assert_held(&cfph_mutex);

	kcfphd_read_mailbox();

	switch (cfph.state) {
	case CFPH_STATE_OFF:
		if (!cfph_wanted() || cfph.failure != CFPH_REASON_NONE)
			return KCFPHD_SLEEP;
		cfph_build();
		return KCFPHD_AGAIN;
	case CFPH_STATE_SCAN:
		cfph_build_step();
		return KCFPHD_AGAIN;
	case CFPH_STATE_READY:
		return kcfphd_session_step();
	default:
		return KCFPHD_SLEEP;
	}
}

static int kcfphd(void *unused)
{
	long timeout;

	set_freezable();
	/*
	 * The host waits some milliseconds for STARTED, and not longer.  What we
	 * do is short, so let it not wait for somebody's time slice.
	 */
	set_user_nice(current, MIN_NICE);

	/* In fact nobody stops it: in suspend, a frozen thread could not stop. */
	while (!kthread_should_stop()) {
		mutex_lock(&cfph_mutex);
		timeout = kcfphd_step();
		mutex_unlock(&cfph_mutex);

		if (timeout == KCFPHD_AGAIN) {
			try_to_freeze();
			cond_resched();
			continue;
		}
		cfph_mail_wait(timeout);
	}
	return 0;
}

/**
 * cfph_thread_run - have the thread
 *
 * Context: cfph_mutex held.
 * Return: 0 or a negative errno.
 */
int cfph_thread_run(void)
{
	static struct task_struct *thread;
	struct task_struct *new;

	lockdep_assert_held(&cfph_mutex);

	if (thread)
		return 0;
	new = kthread_run(kcfphd, NULL, "kcfphd");
	if (IS_ERR(new))
		return PTR_ERR(new);
	thread = new;
	return 0;
}

#if IS_ENABLED(CONFIG_CFPH_KUNIT_TEST)
#include "tests/kcfphd-kunit.h"
#endif
