// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the thread that talks to the host.
 *
 * Owns the thread: its loop, the commands of the host and the first words to it:
 * that there is a map, and that a migration will get deltas.  Must not know virtio,
 * nor how bits get into the map.
 *
 * The thread works in bounded steps.  Each takes cfph_mutex, looks at the newest
 * command and at the state of the map, does the next piece of work and says how
 * long to sleep.  Without a migration that is for ever: there is no timer.  It
 * never waits for the host: without a buffer it sleeps until one comes back, and
 * what has changed meanwhile stays flagged in the map.
 *
 * Locks: everything runs under cfph_mutex; see life.c.
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
#include <linux/sched.h>

#include <trace/events/cfph.h>
#include <uapi/linux/virtio_balloon_cfph.h>

#include "../internal.h"
#include "delta.h"
#include "common.h"
#include "session.h"

/* --- commands --- */

/*
 * A host that sends START without a pause gets a session of ours for the last of
 * them that comes within this time; no migration is as short.
 */
#define KCFPHD_PAUSE_NS		(10 * NSEC_PER_MSEC)

static void kcfphd_new_session(u32 migration_id)
{
	cfph_session_end();
	if (!migration_id)
		return;

	cfph_session.earliest_ns = ktime_get_ns() + KCFPHD_PAUSE_NS;
	cfph_session_begin(migration_id);
	/* There may be memory for the map now. */
	if (cfph.failure == CFPH_REASON_NO_MEMORY)
		cfph.failure = CFPH_REASON_NONE;
	if (!cfph_wanted() || cfph.failure != CFPH_REASON_NONE)
		cfph_refuse_locked(cfph_current_reason(),
				   "a migration has begun, and there is no map");
}

/* Return: jiffies until a START that has come will be obeyed, or KCFPHD_SLEEP. */
static long kcfphd_read_mailbox(void)
{
	u64 now_ns = ktime_get_ns();
	struct cfph_mail mail;

	cfph_mail_read(&mail);
	if (mail.sessions != cfph_session.sessions) {
		if (mail.migration_id && now_ns < cfph_session.earliest_ns)
			return nsecs_to_jiffies(cfph_session.earliest_ns - now_ns) + 1;
		cfph_session.sessions = mail.sessions;
		kcfphd_new_session(mail.migration_id);
	}
	cfph_session.round = mail.round;
	if (mail.requests != cfph_session.requests) {
		cfph_session.requests = mail.requests;
		/* A STOP that came after it is seen first. */
		if (cfph_session.phase == CFPH_PHASE_IDLE)
			return KCFPHD_SLEEP;
		cfph_session.answer = true;
		if (cfph.tunables.drain == CFPH_DRAIN_ROUND)
			cfph_session.drain = true;
		cfph_session_tell(CFPH_EVENT_ROUND);
	}
	return KCFPHD_SLEEP;
}

/* --- the map, and the answer to START --- */

/*
 * If the device does not take it, it is dead: the next map comes with the next life
 * of the driver, and to try again before would be in vain.
 */
static long kcfphd_tell_map(void)
{
	struct cfph_map *map = cfph.map;
	u64 generation = le64_to_cpu(map->header->generation);
	u64 header_addr = virt_to_phys(map->header);

	if (!kcfphd_get_buffer())
		return kcfphd_stall();

	cfph_msg_map(&cfph_session.msg, generation, header_addr);
	cfph_session.generation = generation;
	if (!cfph_ship(0))
		return KCFPHD_AGAIN;

	cfph.counters.registrations++;
	trace_cfph_register(generation, header_addr, READ_ONCE(map->leaves));
	return KCFPHD_AGAIN;
}

/*
 * The changed bytes are cleared before STARTED: what was flagged since the map was
 * made, or in the migration before, is of no use.  That loses nothing.  The host
 * reads the whole map at each sync, and once more when it decides; so of a change
 * before this point it learns then, at the latest, and a change after it sets its
 * byte again and goes out with the first pass.
 */
static long kcfphd_answer_start(void)
{
	if (!kcfphd_get_buffer())
		return kcfphd_stall();

	cfph_map_clear_changed(cfph.map);
	cfph_msg_started(&cfph_session.msg);
	if (!cfph_ship(0))
		return KCFPHD_AGAIN;

	trace_cfph_start(cfph_session.migration_id, cfph_session.round,
			 cfph_session.generation);
	cfph_session_tell(CFPH_EVENT_START);
	if (!cfph_session.started)
		cfph.counters.migrations++;
	cfph_session.started = true;
	cfph_session.phase = CFPH_PHASE_REST;
	cfph_session.next = jiffies;
	return KCFPHD_AGAIN;
}

/* --- main loop --- */

/*
 * Between passes, so that what has been given back is told like any other change,
 * while more of it is; and once more right behind the last step.
 */
static long kcfphd_reclaim_step(void)
{
	struct cfph_reclaim *reclaim = &cfph_session.reclaim;

	cfph_reclaim_step(reclaim);
	if (!reclaim->open || reclaim->end == CFPH_RECLAIM_END_NONE)
		return KCFPHD_AGAIN;

	cfph_reclaim_end(reclaim, cfph_session.migration_id, cfph_session.round);
	/* Much of it lies in the per-cpu lists. */
	cfph_session.drain = cfph.tunables.drain != CFPH_DRAIN_OFF;
	cfph_session.next = jiffies;
	return KCFPHD_AGAIN;
}

static long kcfphd_session_step(void)
{
	unsigned long now;

	switch (cfph_session.phase) {
	case CFPH_PHASE_IDLE:
		return KCFPHD_SLEEP;
	case CFPH_PHASE_START:
		return kcfphd_answer_start();
	case CFPH_PHASE_REST:
		if (kcfphd_pass_is_due()) {
			kcfphd_begin_pass();
			return KCFPHD_AGAIN;
		}
		if (cfph_session.reclaim.open)
			return kcfphd_reclaim_step();
		/* It may have become due: then not a sleep of for ever. */
		now = jiffies;
		return time_before(now, cfph_session.next) ?
		       cfph_session.next - now : KCFPHD_AGAIN;
	case CFPH_PHASE_PASS:
		return kcfphd_pass_step();
	}
	return KCFPHD_SLEEP;
}

static long kcfphd_map_step(void)
{
	/* Everything else that ends it has done so at once. */
	if (cfph.map && !cfph_wanted())
		cfph_down(CFPH_REASON_NO_MIGRATION);

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
		if (!cfph_session.generation)
			return kcfphd_tell_map();
		return kcfphd_session_step();
	default:
		return KCFPHD_SLEEP;
	}
}

/* Return: jiffies to sleep if nothing happens, KCFPHD_AGAIN or KCFPHD_SLEEP. */
static long kcfphd_step(void)
{
	long pending;

	lockdep_assert_held(&cfph_mutex);

	pending = kcfphd_read_mailbox();
	return min(pending, kcfphd_map_step());
}

static int kcfphd(void *unused)
{
	long timeout;

	set_freezable();

	/* In fact nobody stops it: in suspend, a frozen thread could not stop. */
	while (!kthread_should_stop()) {
		mutex_lock(&cfph_mutex);
		if (cfph_thread_misplaced())
			cfph_thread_place();
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
 * Context: process context, may sleep; cfph_mutex not held: whoever makes a thread
 *	may wait for memory.
 * Return: 0 or a negative errno.
 */
int cfph_thread_run(void)
{
	static DEFINE_MUTEX(once);	/* cfph_mutex nests inside */
	struct task_struct *thread;

	lockdep_assert_not_held(&cfph_mutex);

	guard(mutex)(&once);
	if (cfph.thread)
		return 0;
	thread = kthread_create(kcfphd, NULL, "kcfphd");
	if (IS_ERR(thread))
		return PTR_ERR(thread);

	mutex_lock(&cfph_mutex);
	cfph.thread = thread;
	cfph_thread_place();
	mutex_unlock(&cfph_mutex);
	wake_up_process(thread);
	return 0;
}

#if IS_ENABLED(CONFIG_CFPH_KUNIT_TEST)
#include "tests/kcfphd-kunit.c"
#include "tests/balloon-kunit.c"
#include "tests/pass-kunit.c"
#include "tests/cost-kunit.c"
#endif
