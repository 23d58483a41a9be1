#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Verifies the model exhaustively, one way out after the other, then every mutant;
# prints KTAP.  A way must have no counterexample, and each mutant must have one:
# a model that cannot fail proves nothing.  What is no verdict is a failure: no
# verifier, a crash, a search that ended early.
#
# usage: check-model.sh DIRECTORY [NAME]...   DIRECTORY: for the generated verifiers;
#                                             NAME: only these rows, as printed
set -u
model=$(cd "$(dirname "$0")" && pwd)/cfph.pml
work=${1:?usage: check-model.sh DIRECTORY [NAME]...}
shift
limit=300		# seconds for one verifier

# one row a line: options without -D; a mutant comes last
rows='LIVE USE
LIVE LAZY USE
LIMIT USE
PAUSED USE
BACKGROUND USE
POSTCOPY USE
HOP USE
LOADVM USE
LIVE M_NO_FINAL_READ
LIVE M_STALE_FINAL
LIVE M_DECIDE_EARLY
LIVE M_DELTA_AFTER_DECISION
LIVE M_ALLOC_HOOK_LATE
LIVE M_FREE_HOOK_EARLY
LIVE M_DEFLATE_HOOK_LATE
LIVE M_SCAN_FIRST
LIVE M_HOOKS_OFF_FIRST
LIVE M_NO_HEADER_CHECK
LIVE M_KEEP_OVER_RESET
LIVE M_KEEP_OVER_KEXEC
LIVE M_NO_PUT_BACK
LIVE M_OVERWRITE
LIVE LAZY M_NO_FINAL_READ
LIVE LAZY M_STALE_FINAL
LIVE LAZY M_NO_PUT_BACK
LIVE LAZY M_OVERWRITE
LIMIT M_NO_LIMIT
LIMIT M_RETRY_FROZEN
LIMIT M_RETRY_NOT_PUT_BACK
PAUSED M_FIRST_READ_FINAL
PAUSED USE M_WAIT_FOR_ANSWER
BACKGROUND M_BACKGROUND_EARLY
BACKGROUND M_BACKGROUND_AGAIN
BACKGROUND M_BACKGROUND_DELTAS
BACKGROUND M_KEEP_OVER_RESET
POSTCOPY M_POSTCOPY_DROP
POSTCOPY M_POSTCOPY_AFTER_DISCARD
POSTCOPY M_ZERO_OF_STALE_MAP
POSTCOPY M_ZERO_LEFT
HOP USE M_VMSTATE_NONE
HOP M_VMSTATE_STALE
HOP USE M_FORGET_AT_END
HOP M_PANIC_KEEPS_MAP
LOADVM M_KEEP_OVER_LOADVM
LOADVM USE M_VMSTATE_NONE'

# problem OPTION...: build and run in the current directory; prints why there is
# no verdict or not the right one, nothing if all is well.
problem()
{
	expect=0
	for o; do
		case $o in M_*) expect=1 ;; esac
		set -- "$@" "-D$o"
		shift
	done
	spin -a "$@" "$model" >spin.log 2>&1 || { echo "spin failed, code $?"; return; }
	[ -s pan.c ] || { echo 'spin wrote no verifier'; return; }
	gcc -O2 -DSAFETY -DNOFAIR -w -o pan pan.c >gcc.log 2>&1 || { echo "gcc failed, code $?"; return; }
	[ -x pan ] || { echo 'gcc built no verifier'; return; }
	timeout "$limit" ./pan -m1000000 -w24 >pan.log 2>&1 || { echo "the verifier died, code $?"; return; }

	errors=$(sed -n 's/^State-vector .*, errors: \([0-9]*\)$/\1/p' pan.log)
	stored=$(sed -n 's/^ *\([0-9][0-9.e+]*\) states, stored.*/\1/p' pan.log)
	case $errors in
	'' | *[!0-9]*) echo 'the verifier gave no verdict'; return ;;
	esac
	grep -q '^pan: elapsed time ' pan.log || { echo 'the verifier did not come to its end'; return; }
	if grep -q 'max search depth too small' pan.log; then echo 'not deep enough'; return; fi
	if grep -qi 'out of memory\|memory limit\|hash table full\|VECTORSZ\|resource' pan.log; then
		echo 'the verifier ran out of memory'
		return
	fi
	if [ "$expect" = 1 ]; then
		[ "$errors" = 1 ] || { echo 'no counterexample: this mutant survives'; return; }
		grep -q '^pan:[0-9]*: assertion violated ' pan.log || { echo 'stopped, but by no assertion'; return; }
		[ -s cfph.pml.trail ] || { echo 'no trail of the counterexample'; return; }
	else
		[ "$errors" = 0 ] || { echo "counterexample: $(grep -m 1 '^pan:[0-9]*: ' pan.log)"; return; }
		if grep -q '^Warning: Search not completed' pan.log; then echo 'the search is not complete'; return; fi
		# a model that is blocked at once has nothing to show
		case $stored in
		*e+* | [0-9][0-9][0-9][0-9][0-9]*) ;;
		*) echo "only ${stored:-no} states" ;;
		esac
	fi
}

wanted=
count=0
while read -r row; do
	name=$(echo "$row" | tr ' ' -)
	for w in "${@:-$name}"; do
		[ "$w" = "$name" ] || continue
		wanted="$wanted$row
"
		count=$((count + 1))
	done
done <<END
$rows
END

echo 'KTAP version 1'
n=0
failed=0
# verdict NAME PROBLEM TEXT
verdict()
{
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n $1 # $3"
	else
		failed=$((failed + 1))
		echo "not ok $n $1 # $2"
	fi
}

if [ $# -eq 0 ]; then
	echo "1..$((count + 1))"
	# A mutant that is in the model but in no row would survive unseen.
	missing=
	words=$(grep -o 'M_[A-Z_]*[A-Z]' "$model" | sort -u)
	for m in $words; do
		echo "$rows" | grep -q " $m\$" || missing="$missing $m"
	done
	verdict rows "${missing:+no row for$missing}" 'each mutant of the model has one'
else
	echo "1..$count"
	[ "$count" -ge $# ] || { echo '# no such row'; failed=1; }
fi

while read -r row; do
	[ -n "$row" ] || continue
	name=$(echo "$row" | tr ' ' -)
	dir=$work/$name
	rm -rf "$dir"
	start=$(date +%s)
	# shellcheck disable=SC2086
	if mkdir -p "$dir"; then
		why=$(cd "$dir" && problem $row) || why='the runner itself failed'
	else
		why='no directory'
	fi
	verdict "$name" "$why" "$(sed -n 's/^ *\([0-9][0-9.e+]*\) states, stored.*/\1 states,/p
		s/^State-vector .* depth reached \([0-9]*\), .*/depth \1,/p
		s/^pan:[0-9]*: assertion violated *\(.*\) (at depth.*/counterexample to \1,/p' "$dir/pan.log" 2>/dev/null |
		tr '\n' ' ')$(($(date +%s) - start)) s"
done <<END
$wanted
END
echo "$((n - (failed > n ? n : failed))) passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && [ "$n" -gt 0 ]
