#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs the true model exhaustively and every mutant; prints KTAP.  The true model
# must have no error, and each mutant must have one: a model that cannot fail
# proves nothing.  $1: directory for the generated verifier.
set -eu
model=$(cd "$(dirname "$0")" && pwd)/cfph.pml
work=${1:?usage: run.sh DIRECTORY}
mutants="M_NO_FINAL_READ M_STALE_FINAL M_ALLOC_HOOK_LATE M_FREE_HOOK_EARLY
M_KEEP_OVER_RESET M_KEEP_OVER_KEXEC M_NO_PUT_BACK M_POSTCOPY_NO_PUT_BACK"
n=0
failed=0

# verify NAME EXPECTED_ERRORS OPTION...
verify()
{
	name=$1 expect=$2
	shift 2
	n=$((n + 1))
	dir=$work/$name
	rm -rf "$dir"
	mkdir -p "$dir"
	(
		cd "$dir"
		spin -a "$@" "$model" >spin.log
		gcc -O2 -DSAFETY -DNOFAIR -DVECTORSZ=2048 -w -o pan pan.c
		./pan -m1000000 -w24 >pan.log 2>&1 || :
	)
	errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$dir/pan.log")
	states=$(sed -n 's/ *\([0-9.e+]*\) states, stored.*/\1/p' "$dir/pan.log")
	depth=$(sed -n 's/.*depth reached \([0-9]*\).*/\1/p' "$dir/pan.log")
	verdict=ok
	if [ "${errors:-none}" != "$expect" ] || grep -q 'search not completed\|max search depth too small' "$dir/pan.log" && [ "$expect" = 0 ]; then
		verdict='not ok'
		failed=$((failed + 1))
	fi
	echo "$verdict $n $name: ${errors:-no} errors, ${states:-?} states, depth ${depth:-?}"
}

echo "KTAP version 1"
# shellcheck disable=SC2086
set -- $mutants
echo "1..$((2 + 2 * $#))"
verify eager 0
verify lazy 0 -DLAZY
for m; do
	verify "eager-$m" 1 "-D$m"
	verify "lazy-$m" 1 -DLAZY "-D$m"
done
echo "$((n - failed)) passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
