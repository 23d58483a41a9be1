/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: the session of the migration that runs, and what
 * the host knows.
 *
 * What session.c, kcfphd.c and pass.c share and nobody else needs.  All of it is
 * protected by cfph_mutex.
 */
#ifndef _MM_CFPH_SESSION_H
#define _MM_CFPH_SESSION_H

#include <linux/sched.h>

#include "delta.h"
#include "common.h"

/* What a step returns: go on at once, or sleep until something happens. */
#define KCFPHD_AGAIN		0L
#define KCFPHD_SLEEP		MAX_SCHEDULE_TIMEOUT

/*
 *	        START              STARTED sent
 *	IDLE ---------> START ---------------------> REST
 *	  ^               ^                         |  ^
 *	  |               |      map goes away      v  |
 *	  |               +------------------------ PASS
 *	  |
 *	  +-- from everywhere: STOP, another START, no transport, broken device
 *
 * A map that is READY is told to the host in any phase, and before STARTED.
 */
enum cfph_phase {
	CFPH_PHASE_IDLE,	/* no migration */
	CFPH_PHASE_START,	/* STARTED is to be sent, when there is a map */
	CFPH_PHASE_REST,	/* until the next pass */
	CFPH_PHASE_PASS,	/* between two steps of a pass */
};

/* Protected by cfph_mutex. */
struct cfph_session {
	/* outlive the migration */
	u64 generation;		/* of the map that the host was told of, or 0 */
	u64 earliest_ns;	/* before that no other one begins */

	enum cfph_phase phase;
	u32 migration_id;	/* 0 in IDLE */
	u32 round;		/* newest one that the thread has seen */
	u32 sessions;		/* of the mailbox, when we last looked */
	u64 requests;		/* likewise */
	u64 sequence;		/* of the next message */
	bool started;		/* STARTED has been sent once */
	bool drain;		/* drain the per-cpu lists before the next pass */
	bool answer;		/* a ROUND wants a pass */
	bool stalled;		/* there has been no buffer since the last pass */
	struct cfph_reclaim reclaim;	/* of page cache, at START */

	unsigned long next;	/* jiffies of the next pass */
	unsigned long chunk;	/* where the pass goes on */
	u32 pass_round;		/* @round when it began */
	bool answering;		/* it answers a ROUND: PASS_END is a must */
	u64 pass_ns;
	struct cfph_counters before;	/* when the pass began */

	struct cfph_buffer *buf;	/* the message in work, or NULL */
	struct cfph_msg msg;
};

extern struct cfph_session cfph_session;

/* session.c */
void cfph_session_begin(u32 migration_id);
void cfph_session_end(void);
void cfph_session_tell(enum cfph_event event);
bool cfph_ship(u16 flags);
bool kcfphd_get_buffer(void);
long kcfphd_stall(void);

/* pass.c */
bool kcfphd_pass_is_due(void);
void kcfphd_begin_pass(void);
long kcfphd_pass_step(void);

#endif /* _MM_CFPH_SESSION_H */
