#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# long.sh DIR [VERB...]: what make check has no time for, one verb after the
# other, as KTAP.  Each leaves DIR/VERB.txt: the command, the commit, how long it
# took, what came out, and all that was printed.  Without VERB: all of them.
#
# Environment: MAKE, SEED (of the soak).
set -u

dir=$1
shift
cd "$(dirname "$0")/.." || exit 1
: "${MAKE:=make}" "${SEED:=1}"

arguments() { # of a verb
	case $1 in
	soak) echo "HOPS=200 SEED=$SEED" ;;
	fuzz) echo "SECONDS=600" ;;
	esac
}

commit() {
	git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown
}

# The last line that says how many passed, or what a verb without tests ended with.
result() { # LOG STATUS
	found=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$1" | tail -n 1)
	echo "${found:-exit status $2}"
}

record() { # VERB ARGUMENTS: returns the verb's status
	log=$dir/$1.log
	commit=$(commit)
	begin=$(date +%s)
	# shellcheck disable=SC2086 # several arguments
	"$MAKE" -s $1 $2 >"$log" 2>&1 </dev/null
	rc=$?
	{
		echo "command:  make $1${2:+ $2}"
		echo "commit:   $commit"
		echo "date:     $(date -u +%Y-%m-%d)"
		echo "machine:  $(nproc) processors, $(awk '/MemTotal/ { printf "%d", $2 / 1048576 }' /proc/meminfo) GiB"
		echo "duration: $(($(date +%s) - begin)) s"
		echo "result:   $(result "$log" $rc)"
		echo
		# Progress of builds and of libFuzzer is nothing to keep, nor is
		# where it all lay.
		grep -vE '^\[[a-z-]+( [a-z]+)?\] |^  (CPIO|CC|LD) ' "$log" |
			grep -vE '^#[0-9]+[[:space:]]|NEW_FUNC|^"|: Cannot map desc' |
			sed "s|$PWD/||g"
	} >"$dir/$1.txt"
	rm -f "$log"
	return $rc
}

mkdir -p "$dir" || exit 1
[ $# -gt 0 ] || set -- model fuzz coverage check-kvm check-sabotage check-debug check-kcsan soak
passed=0 failed=0
echo "KTAP version 1"
echo "1..$#"
for verb; do
	if record "$verb" "$(arguments "$verb")"; then
		passed=$((passed + 1)) verdict=ok
	else
		failed=$((failed + 1)) verdict='not ok'
	fi
	echo "$verdict $((passed + failed)) $verb # $(sed -n 's/^result: *//p' "$dir/$verb.txt"), $dir/$verb.txt"
done
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
