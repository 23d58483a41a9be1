/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Model of one live migration with continuous free-page hinting.
 *
 * It owns the argument of ../safety.rst and nothing else: no timing, no sizes,
 * no message format.  A page's contents are one bit, "the destination has the
 * newest ones" (fresh): each write clears it, each send sets it.  That is
 * exact, because every write may be taken to change something.
 *
 * Claim: when the destination starts, every page that has an owner who has
 * written to it is fresh there, or is still on its way (postcopy).
 *
 * Build options: LAZY (KVM's manual protect: a sync reads the log, sending
 * the first page of a chunk clears and re-protects it; without it each sync
 * does), and one mutant, M_*.  run.sh runs them all; README.rst says which
 * function of the code each part stands for.
 */
/*
 * Page 0 lives through everything.  Page 1 is its neighbour in one clear_bmap
 * chunk: always owned, dirty again at each sync, and there because sending it
 * clears the log of page 0 too.  More pages add no new kind of step.
 */
#define N 2
#define ROUNDS 2		/* syncs while the guest runs */

mtype = { FREE, TAKEN, OWNED };	/* TAKEN: off the free list, not written yet */

/* guest memory and its allocator */
mtype st[N] = OWNED;
bool map[N];			/* the map's bit */
bool fresh[N];			/* the destination has these contents */
bool hook_due[N];		/* only mutants put off a hook */

/* the map's header page and kcfphd */
bool hdr_ready;			/* state word and generation are right */
bool changed[N];
bool session;			/* START was answered, STOP has not come */
bool start_sent;
chan deltas = [2] of { byte, bool };

/* dirty log as KVM keeps it */
bool klog[N];
bool wp[N];			/* a write faults and is logged */
bool snap[N];			/* bits that the last sync saw */
bool chunk_to_clear;

/* QEMU */
bool bmap[N];
bool deferred[N];
bool registered;
bool stopped, done, postcopy;
bool kernel_replaced;
bool seen[N];			/* the map as the newest sync read it */

#define WRITE(p)	fresh[p] = false;			\
			if :: wp[p] -> klog[p] = true; wp[p] = false :: else fi

inline reset_kernel()
{
	/*
	 * The next kernel owns and writes all memory.  Whatever it left of the
	 * old map, header page included, is just contents now.
	 */
	st[0] = OWNED; hook_due[0] = false; changed[0] = false;
	WRITE(0);
	kernel_replaced = true;
	session = false
}

active proctype guest()
{
#define p 0

	do
	/* allocate: the hook runs before zone->lock is dropped */
	:: atomic { !stopped && st[p] == FREE ->
		st[p] = TAKEN;
#ifdef M_ALLOC_HOOK_LATE
		hook_due[p] = true
#else
		map[p] = false; changed[p] = true
#endif
	   }
	/* the owner writes */
	:: atomic { !stopped && st[p] != FREE -> st[p] = OWNED; WRITE(p) }
#ifdef M_ALLOC_HOOK_LATE
	:: atomic { !stopped && st[p] == OWNED && hook_due[p] ->
		hook_due[p] = false; map[p] = false; changed[p] = true }
#endif
#ifdef M_FREE_HOOK_EARLY
	:: atomic { !stopped && st[p] == OWNED && !kernel_replaced && hdr_ready && !hook_due[p] ->
		hook_due[p] = true; map[p] = true; changed[p] = true }
	:: atomic { !stopped && st[p] == OWNED && hook_due[p] ->
		hook_due[p] = false; st[p] = FREE }
#else
	/* free: the hook runs after the owner's last write */
	:: atomic { !stopped && st[p] == OWNED && !hook_due[p] && !kernel_replaced ->
		st[p] = FREE; map[p] = true; changed[p] = true }
#endif

	/* kcfphd: START is answered with the whole map and a new generation */
	:: atomic { !stopped && start_sent && !session && !kernel_replaced ->
		session = true; hdr_ready = true; registered = true }
	/* a pass: clear the flag, then copy; a change after that flags again */
	:: atomic { !stopped && session && changed[p] && nfull(deltas) ->
		changed[p] = false; deltas!p,map[p] }

	/* reset: the device knows at once, guest memory does not */
	:: atomic { !stopped && !kernel_replaced && registered ->
#ifndef M_KEEP_OVER_RESET
		registered = false;
#endif
		reset_kernel() }
	/* kexec: the old kernel takes its map back; the device learns later */
	:: atomic { !stopped && !kernel_replaced && registered ->
#ifndef M_KEEP_OVER_KEXEC
		hdr_ready = false;
#endif
		reset_kernel() }
	:: atomic { !stopped && kernel_replaced && registered -> registered = false }
	/* the administrator, suspend, driver removal */
	:: atomic { !stopped && hdr_ready && !kernel_replaced -> hdr_ready = false; session = false;
		start_sent = false }
	:: done -> break
	od
#undef p
}

/* move one page between the two bitmaps; both keep bmap | deferred */
#define DEFER(p)	if :: bmap[p] -> bmap[p] = false; deferred[p] = true :: else fi
#define PUT_BACK(p)	if :: deferred[p] -> deferred[p] = false; bmap[p] = true :: else fi

inline sync_log(i)
{
	i = 0;
	do
	:: i < N ->
		atomic {
			if
			:: klog[i] || i == 1 ->
				bmap[i] = true; snap[i] = klog[i];
#ifndef LAZY
				klog[i] = false; wp[i] = true
#endif
			:: else
			fi;
			i++
		}
	:: else -> break
	od;
	chunk_to_clear = true;
	i = 0
}

/* the core operation: everything back, then what the map says is free now */
inline refilter(i)
{
	i = 0;
	do
	:: i < N ->
		atomic {
#ifndef M_NO_PUT_BACK
			PUT_BACK(i);
#endif
			seen[i] = map[i];
			if
			:: registered && hdr_ready && map[i] -> DEFER(i)
			:: else
			fi;
			i++
		}
	:: else -> break
	od;
	i = 0
}

inline send_page(p)
{
	/* the log is re-armed before the contents are read */
	atomic {
		bmap[p] ->
		if
		:: chunk_to_clear ->
			k = 0;
			do
			:: k < N ->
				if :: snap[k] -> klog[k] = false; wp[k] = true; snap[k] = false
				   :: else fi;
				k++
			:: else -> break
			od;
			k = 0;
			chunk_to_clear = false
		:: else
		fi;
		bmap[p] = false
	};
	fresh[p] = true
}

inline begin_migration(i)
{
	atomic {
		i = 0;
		do
		:: i < N ->
			bmap[i] = true; deferred[i] = false; fresh[i] = false;
#ifdef LAZY
			klog[i] = true; wp[i] = false; snap[i] = true;	/* INITIALLY_SET */
#else
			klog[i] = false; wp[i] = true; snap[i] = false;
#endif
			i++
		:: else -> break
		od;
		i = 0;
		chunk_to_clear = true;
		registered = false;
		session = false;
		start_sent = true
	}
}

active proctype migration()
{
	byte i, k, p, rounds;
	bool cancelled, f;

	begin_migration(i);
	do
	/* a slice: deltas are pulled between pages, may be lost, never matter */
	:: deltas?p,f -> if :: f && registered -> atomic { DEFER(p) }
			    :: !f -> atomic { PUT_BACK(p) }
			    :: true fi
	:: send_page(0)
	:: N > 1 -> send_page(N - 1)
	:: rounds < ROUNDS -> rounds++; sync_log(i); refilter(i)
	:: !cancelled -> cancelled = true; rounds = 0; begin_migration(i)
	:: break
	:: postcopy = true; break
	od;

	stopped = true;
	if
	:: postcopy ->
		/* every deferred bit goes back; what is dirty answers faults */
		sync_log(i);
#ifndef M_POSTCOPY_NO_PUT_BACK
		i = 0;
		do :: i < N -> PUT_BACK(i); i++ :: else -> break od;
#endif
		skip
	:: else ->
#ifdef M_STALE_FINAL
		sync_log(i);
		i = 0;
		do
		:: i < N -> PUT_BACK(i);
			if :: registered && hdr_ready && seen[i] -> DEFER(i) :: else fi;
			i++
		:: else -> break
		od;
#else
#ifdef M_NO_FINAL_READ
		sync_log(i);
#else
		sync_log(i);
		refilter(i);
#endif
#endif
		i = 0;
		do
		:: i < N -> if :: bmap[i] -> bmap[i] = false; fresh[i] = true :: else fi; i++
		:: else -> break
		od
	fi;

	i = 0;
	do
	:: i < N -> assert(st[i] != OWNED || fresh[i] || bmap[i]); i++
	:: else -> break
	od;
	done = true
}
