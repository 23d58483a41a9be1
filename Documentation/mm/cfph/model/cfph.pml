/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Model of continuous free-page hinting: one guest, one page of its memory, and
 * every way in which that memory is written out.
 *
 * It owns the argument of ../safety.rst and nothing else: no timing, no sizes,
 * no message format.  A page's contents are one bit, "the other side has the
 * newest ones" (fresh): each write clears it, each send sets it.  That is
 * exact, because every write may be taken to change something.
 *
 * Build options: one way out (LIVE, LIMIT, PAUSED, BACKGROUND, POSTCOPY, HOP,
 * LOADVM), USE (also claim that the map is used where it stands: off in mutants
 * that lose memory, so that it is the loss that is found), LAZY (KVM's manual
 * protect: a sync reads the log, sending the first page of a chunk clears and
 * re-protects it; without it each sync does), and one mutant, M_*.  check-model.sh
 * runs them all; README.rst says which function of the code each part stands for.
 *
 * One page is enough: what its neighbours do to it is that sending one of them
 * clears the log of the whole chunk, which here may happen at any time; and that
 * they are too many for the downtime limit, which here may happen as well.
 */
#if defined(HOP)
#define HOPS 2
#define PANIC			/* the guest may */
#else
#define HOPS 1
#endif
#if defined(LIVE)
#define CANCEL			/* one attempt may be cancelled */
#define ROUNDS 2		/* syncs while the guest runs */
#else
#define ROUNDS 1
#endif
#define TRIES 1			/* final rounds given up with hints left on */
#if defined(HOP) || defined(LOADVM) || defined(BACKGROUND)
#define GENS 2			/* maps that are made; 0 is none */
#else
#define GENS 1
#endif

mtype = { FREE, BALLOON, TAKEN, OWNED };	/* TAKEN: not written by its owner yet */

/* --- guest memory: the page, and all maps that lie about in it --- */
mtype st = OWNED;
bool map[GENS + 1];		/* the page's bit in each map */
bool ready[GENS + 1];		/* its header shows READY and that generation */

/* --- the guest kernel that runs --- */
byte cur;			/* the map that it keeps, or is about to */
byte drawn;			/* generations so far */
bool hooks;			/* the map follows the allocator */
bool told;			/* MAP was sent and has not been taken back */
bool panicked;
bool changed;			/* the chunk's changed byte */
bool session, start_sent;
bool hook_due;			/* only mutants put off a hook */
chan deltas = [2] of { bool };

/* --- the dirty log as KVM keeps it --- */
bool klog;
bool wp;			/* a write faults and is logged */
bool logged;			/* what the last sync saw */
bool chunk_to_clear;

/* --- QEMU --- */
byte reg;			/* registration: generation, 0 = none */
bool bmap, deferred;
bool zero;			/* postcopy: goes as a zero page */
bool hints;			/* not given up in this migration */
bool stopped;			/* for the switchover */
bool paused;			/* by the operator, or never started */
bool begun, done;

/* --- the other side --- */
bool fresh;			/* it has these contents */
bool present;			/* it has a page there at all */

#ifdef M_NO_HEADER_CHECK
#define STANDS		(reg != 0)
#else
#define STANDS		(ready[reg])
#endif
#define SAYS_FREE	(STANDS && map[reg])
#define RUNS		(!stopped && !paused && !panicked)

#if defined(BACKGROUND)
/* write tracking: a page that is still to be saved is saved before the write */
bool tracking, saved;
bool as_it_was;			/* it has what it had at the stop */
#define WRITE		if :: tracking && bmap -> bmap = false; saved = as_it_was \
			   :: else fi;					\
			as_it_was = false
#define REACHED		true
#define HERE		true
#elif defined(POSTCOPY)
bool away;			/* the guest runs on the other side */
#define WRITE		if :: away -> if :: st == TAKEN -> fresh = true :: else fi \
			   :: else -> fresh = false; LOG fi
#define REACHED		(!away || present)
#define HERE		(!away)
#else
#define WRITE		fresh = false; LOG
#define REACHED		true
#define HERE		true
#endif
#define LOG		if :: wp -> klog = true; wp = false :: else fi

/* the second claim: where the map stands, what it says is left out */
#ifdef USE
#define USED(c)		assert(!(hints && told && map[cur]) || (c))
#else
#define USED(c)		skip
#endif

/* what scan and hooks call free */
#define DEAD		(st == FREE || st == BALLOON)

#define HOOK(f)		if :: hooks -> map[cur] = f; changed = true :: else fi

/* move the page between the two bitmaps; both keep bmap | deferred */
#define DEFER		if :: bmap -> bmap = false; deferred = true :: else fi
#define PUT_BACK	if :: deferred -> deferred = false; bmap = true :: else fi

/*
 * The next kernel owns and writes all memory.  Whatever it left of older maps,
 * header pages included, is just contents now.
 */
inline next_kernel()
{
	WRITE;
	st = OWNED; hook_due = false; changed = false;
	cur = 0; hooks = false; told = false; session = false; start_sent = false
}

active proctype guest()
{
	do
	/* allocate: the hook runs before zone->lock is dropped */
	:: atomic { RUNS && st == FREE ->
		st = TAKEN;
#ifdef M_ALLOC_HOOK_LATE
		hook_due = hooks
#else
		HOOK(false)
#endif
	   }
	/* the owner writes */
	:: atomic { RUNS && !DEAD && REACHED -> WRITE; st = OWNED }
#if defined(M_ALLOC_HOOK_LATE) || defined(M_DEFLATE_HOOK_LATE)
	:: atomic { RUNS && st == OWNED && hook_due -> hook_due = false; HOOK(false) }
#endif
#ifdef M_FREE_HOOK_EARLY
	:: atomic { RUNS && st == OWNED && !hook_due -> hook_due = true; HOOK(true) }
	:: atomic { RUNS && st == OWNED && hook_due -> hook_due = false; st = FREE }
#else
	/* free: the hook runs after the owner's last write */
	:: atomic { RUNS && st == OWNED && !hook_due -> st = FREE; HOOK(true) }
#endif
	/* the balloon's driver gets the page, and has it from then on */
	:: atomic { RUNS && !DEAD && !hook_due -> st = BALLOON; HOOK(true) }
	/* and gives it to somebody, who may find it in a per-cpu list: no other hook */
	:: atomic { RUNS && st == BALLOON ->
		st = TAKEN;
#ifdef M_DEFLATE_HOOK_LATE
		hook_due = hooks
#else
		HOOK(false)
#endif
	   }
#ifdef POSTCOPY
	/* the owner looks: what it asks for is answered, what it gets is right */
	:: atomic { RUNS && away && !DEAD && !present -> assert(bmap); present }
	:: atomic { RUNS && away && st == OWNED && present -> assert(fresh) }
#endif

	/* a new map: hooks, scan, READY, then the host is told */
	:: atomic { RUNS && cur == 0 && drawn < GENS ->
		drawn++; cur = drawn; map[cur] = false; ready[cur] = false;
#ifdef M_SCAN_FIRST
		map[cur] = DEAD
#else
		hooks = true
#endif
	   }
#ifdef M_SCAN_FIRST
	:: atomic { RUNS && cur != 0 && !hooks -> hooks = true; ready[cur] = true }
#else
	:: atomic { RUNS && hooks && !ready[cur] && !told ->
		map[cur] = DEAD; ready[cur] = true }
#endif
	:: atomic { RUNS && cur != 0 && ready[cur] && !told -> told = true; reg = cur }

	/* taken back (administrator, suspend, removal): first the state word */
	:: atomic { RUNS && cur != 0 && hooks && ready[cur] ->
#ifdef M_HOOKS_OFF_FIRST
		hooks = false
#else
		ready[cur] = false;
		told = false; session = false; start_sent = false
#endif
	   }
#ifdef M_HOOKS_OFF_FIRST
	:: atomic { RUNS && cur != 0 && !hooks -> ready[cur] = false; cur = 0;
		told = false; session = false; start_sent = false }
#else
	:: atomic { RUNS && hooks && !ready[cur] -> hooks = false; cur = 0 }
#endif
	/* UNMAP, a device reset that it notices: any time later, or never */
	:: atomic { reg != 0 && !told && !stopped -> reg = 0 }

#ifndef LOADVM
	/* kcfphd: START is answered */
	:: atomic { RUNS && start_sent && !session && told -> session = true; changed = true }
	/* a pass: clear the flag, then copy; a change after that flags again */
	:: atomic { RUNS && session && changed && nfull(deltas) ->
		changed = false; deltas!map[cur] }
#endif

	/* reset: the device knows at once, guest memory does not */
	:: atomic { RUNS && HERE && cur != 0 ->
#ifndef M_KEEP_OVER_RESET
		reg = 0;
#endif
		next_kernel() }
	/* kexec, crash kernel: the old kernel takes its map back, the device may
	   never learn of it */
	:: atomic { RUNS && HERE && cur != 0 ->
#ifndef M_KEEP_OVER_KEXEC
		ready[cur] = false;
#endif
		next_kernel() }
#ifdef PANIC
	/* panic without a crash kernel: free pages are evidence */
	:: atomic { RUNS ->
#ifndef M_PANIC_KEEPS_MAP
		ready[cur] = false; told = false;
#endif
		panicked = true }
#endif
	:: done -> break
	od
}

#ifdef PAUSED
/* the operator stops and continues the guest whenever it pleases */
active proctype operator()
{
	bool was_continued;

	do
	:: atomic { !stopped && !paused -> paused = true }
	:: atomic { !stopped && paused && !was_continued -> paused = false; was_continued = true }
	:: done -> break
	od
}
#endif

#ifdef LOADVM
/*
 * savevm and loadvm before the migration.  There is an older snapshot to begin
 * with: taken after a reset of a kernel whose map 1 still lies in memory, as good
 * as new, while the next kernel has not got a map.
 */
active proctype snapshots()
{
	mtype s_st = OWNED;
	bool s_map[GENS + 1], s_ready[GENS + 1], s_hooks, s_told;
	byte s_cur, s_drawn = 1, s_reg;

	atomic {
		if :: s_map[1] = true :: skip fi;
		s_ready[1] = true
	};
	do
	:: atomic { !begun && !stopped ->
		s_st = st; s_cur = cur; s_drawn = drawn; s_hooks = hooks; s_told = told;
		s_map[1] = map[1]; s_ready[1] = ready[1]; s_map[2] = map[2];
		s_ready[2] = ready[2];
		s_reg = reg;
#ifdef M_VMSTATE_NONE
		s_reg = 0
#endif
	   }
	:: atomic { !begun && !stopped ->
		st = s_st; cur = s_cur; drawn = s_drawn; hooks = s_hooks; told = s_told;
		map[1] = s_map[1]; ready[1] = s_ready[1]; map[2] = s_map[2];
		ready[2] = s_ready[2];
		session = false; start_sent = false; changed = false;
#ifdef M_KEEP_OVER_LOADVM
		/* nobody forgets, and the section is not there if there is no map */
		if :: s_reg != 0 -> reg = s_reg :: else fi;
#else
		reg = s_reg;
#endif
		if :: paused = true :: paused = false fi
	   }
	:: begun -> break
	od
}
#endif

inline sync_log()
{
	atomic {
		if
		:: klog ->
			bmap = true; logged = true;
#ifndef LAZY
			klog = false; wp = true
#endif
		:: else -> logged = false
		fi;
		chunk_to_clear = true
	}
}

/* the log is re-armed before the contents are read */
#define CLEAR_CHUNK	if :: chunk_to_clear && logged -> klog = false; wp = true; logged = false \
			   :: else fi;						\
			chunk_to_clear = false

/* a sync's other half: everything back, then aside what the map says is free */
inline refilter()
{
	atomic {
		if
		:: hints ->
#ifndef M_NO_PUT_BACK
			PUT_BACK;
#endif
#if defined(M_STALE_FINAL) || defined(M_ZERO_OF_STALE_MAP)
			verdict = SAYS_FREE;
#endif
#ifdef M_FIRST_READ_FINAL
			if :: paused && !frozen -> frozen = true; verdict = SAYS_FREE :: else fi;
#endif
#ifdef M_WAIT_FOR_ANSWER
			if :: SAYS_FREE && session -> DEFER :: else fi
#else
			if :: SAYS_FREE -> DEFER :: else fi
#endif
		:: else
		fi
	}
}

/* the vCPUs have stopped: the same, and now it counts */
inline decide()
{
	atomic {
		if
		:: hints ->
#ifdef M_RETRY_FROZEN
			if :: !frozen -> frozen = true; verdict = SAYS_FREE :: else fi;
#endif
#ifndef M_NO_FINAL_READ
#ifndef M_NO_PUT_BACK
			PUT_BACK;
#endif
#if defined(M_STALE_FINAL) || defined(M_DECIDE_EARLY) || defined(M_RETRY_FROZEN)
			if :: verdict -> DEFER :: else fi
#elif defined(M_FIRST_READ_FINAL)
			if :: (frozen && verdict) || (!frozen && SAYS_FREE) -> DEFER :: else fi
#elif defined(M_WAIT_FOR_ANSWER)
			if :: SAYS_FREE && session -> DEFER :: else fi
#else
			if :: SAYS_FREE -> DEFER :: else fi
#endif
#endif
		:: else
		fi
	}
}

inline begin()
{
	atomic {
		begun = true;
		bmap = true; deferred = false; hints = true;
#ifndef M_ZERO_LEFT
		zero = false;
#endif
		fresh = false; present = false;
#ifdef LAZY
		klog = true; wp = false; logged = true;		/* INITIALLY_SET */
#else
		klog = false; wp = true; logged = false;
#endif
		chunk_to_clear = true;
		session = false; start_sent = true; promised = false;
		reg_at_begin = reg;
#ifdef M_FORGET_AT_END
		if :: cancelled || hop > 0 -> reg = 0 :: else fi
#endif
	}
}

/* while the guest runs: what a sync, a slice and a cancelled attempt may do */
inline live_rounds()
{
	do
	/* deltas are pulled between pages, may be lost, never matter */
	:: atomic { deltas?f ->
		if
#ifdef M_OVERWRITE
		:: f && hints && STANDS -> deferred = bmap; bmap = false
#else
		:: f && hints && STANDS -> DEFER
#endif
		:: !f && hints -> PUT_BACK
		:: skip
		fi }
	:: atomic { bmap -> CLEAR_CHUNK; bmap = false }; atomic { fresh = true; present = true }
	/* so does a neighbour in the same chunk */
	:: atomic { chunk_to_clear && logged -> CLEAR_CHUNK }
	:: rounds < ROUNDS -> rounds++; sync_log(); refilter()
#ifdef CANCEL
	:: !cancelled -> cancelled = true; rounds = 0; begin()
#endif
	:: break
	od
}

active proctype migration()
{
	byte rounds, tries, hop, reg_at_begin;
	bool cancelled, f, verdict, frozen;
	bool promised;		/* the switchover was chosen without this page */
	bool tight;		/* one such page more is above the limit */
	bool whole;		/* all of it is wanted */

#ifdef BACKGROUND
	/* setup, then the stop; no sync, no delta: decided once */
#ifdef M_BACKGROUND_EARLY
	verdict = SAYS_FREE;
#endif
	atomic {
		stopped = true;
		begin();
		as_it_was = true; saved = false;
		whole = (st == OWNED || panicked);
#ifdef M_BACKGROUND_EARLY
		if :: verdict -> DEFER :: else fi;
#else
		decide();
#endif
		USED(!bmap);
		tracking = true;
		stopped = false
	};
	do
	:: atomic { bmap -> bmap = false; saved = as_it_was }
#ifdef M_BACKGROUND_AGAIN
	:: atomic { !cancelled -> cancelled = true; refilter() }
#endif
#ifdef M_BACKGROUND_DELTAS
	:: atomic { deltas?f -> if :: f -> DEFER :: else -> PUT_BACK fi }
#endif
	:: atomic { !bmap -> break }
	od;
	assert(!whole || saved);
	done = true
#else

#ifdef LIMIT
	if :: tight = true :: skip fi;
#endif
again:
	begin();
running:
	live_rounds();
#ifdef M_DECIDE_EARLY
	verdict = SAYS_FREE;
#endif
	atomic { stopped = true; promised = deferred };

	/* the decision, and the one sync that may come after it */
	decide();
	sync_log();
	decide();
#ifdef M_DELTA_AFTER_DECISION
	if :: atomic { deltas?f -> if :: f -> DEFER :: else -> PUT_BACK fi } :: skip fi;
#endif

#ifdef POSTCOPY
	/*
	 * What is free goes as a zero page, and is dirty before the other side is
	 * told what to discard: whatever it has no page for, we have to send.
	 */
	atomic {
#ifdef M_ZERO_OF_STALE_MAP
		if :: verdict && (bmap || deferred) -> zero = true :: else fi;
#else
		if :: deferred -> zero = true :: else fi;
#endif
		USED(!bmap || zero);
#if !defined(M_POSTCOPY_DROP) && !defined(M_POSTCOPY_AFTER_DISCARD)
		PUT_BACK;
#endif
		whole = (st == OWNED)
	};
	if
	:: !frozen ->
		/* the switch fails: the guest runs on here, another attempt */
		atomic { frozen = true; rounds = 0; stopped = false };
		goto again
	:: true
	fi;
	atomic {
		if :: bmap -> present = false :: else fi;
#ifdef M_POSTCOPY_AFTER_DISCARD
		PUT_BACK;
#endif
		away = true; stopped = false
	};
	do
	/* pushed, or asked for */
	:: atomic { bmap ->
		bmap = false;
		assert(!present);
		present = true;
		fresh = !zero;
		assert(!whole || fresh) }
	:: atomic { !bmap -> break }
	od;
	assert(present);
	done = true
#else
	/* what is free and registered is left out */
	USED(!bmap);

#ifdef LIMIT
	if
	/* too much: because of this page, or of others */
#ifndef M_NO_LIMIT
	:: atomic { hints ->
#ifndef M_RETRY_NOT_PUT_BACK
		PUT_BACK;
#endif
		if :: STANDS && tries < TRIES -> tries++ :: else -> hints = false fi;
		promised = false; rounds = ROUNDS - 1; stopped = false };
	   goto running
	:: !(tight && promised && bmap)
#else
	:: true
#endif
	fi;
#endif
	atomic {
		if
		:: bmap -> assert(!(tight && promised)); bmap = false; fresh = true
		:: else
		fi;
		/* a plain migration, and one of a dead guest, sends everything */
		assert((st != OWNED && !panicked && hints) || fresh)
	};
	hop++;
	if
	:: hop < HOPS ->
		/* the other side: its device has what came with the memory */
		atomic {
#ifdef M_VMSTATE_NONE
			reg = 0;
#endif
#ifdef M_VMSTATE_STALE
			reg = reg_at_begin;
#endif
			if :: paused = true :: skip fi;
			rounds = 0; cancelled = true; stopped = false
		};
		goto again
	:: else
	fi;
	done = true
#endif
#endif
}
