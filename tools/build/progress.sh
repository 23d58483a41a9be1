#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# progress.sh NAME LOG COMMAND...
#
# Runs a long command with its output in LOG and one line of progress now and
# then: ninja's own [n/m] when the log has it, else the number of log lines.
# A failure shows the lines that matter.  V=1 shows everything as it comes.
set -eu

name=$1 log=$2
shift 2
mkdir -p "$(dirname "$log")"
start=$(date +%s)

if [ "${V:-0}" = 1 ]; then
	echo "+ $*"
	exec "$@"
fi

echo "[$name] started (log: $log)"
: >"$log"
"$@" >"$log" 2>&1 </dev/null &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null; exit 130' INT TERM HUP

elapsed() {
	echo $(($(date +%s) - start))
}

# A terminal gets one line that changes every second, a file one each 20 s.
if [ -t 1 ]; then every=1; else every=20; fi
ticks=0
while kill -0 $pid 2>/dev/null; do
	sleep 1
	ticks=$((ticks + 1))
	[ $((ticks % every)) = 0 ] || continue
	steps=$(tail -c 4000 "$log" | sed -n 's/^\[\([0-9]*\/[0-9]*\)\].*/\1/p' | tail -n 1)
	line="[$name] ${steps:-$(wc -l <"$log")} steps, $(elapsed) s"
	if [ -t 1 ]; then printf '\r\033[K%s' "$line"; else echo "$line"; fi
done
[ ! -t 1 ] || printf '\r\033[K'

rc=0
wait $pid || rc=$?
if [ $rc = 0 ]; then
	echo "[$name] done in $(elapsed) s"
	exit 0
fi
grep -nE 'error|Error|undefined reference|\*\*\*|FAILED' "$log" | head -n 20 >&2 || :
tail -n 10 "$log" >&2
echo "[$name] failed after $(elapsed) s, status $rc (log: $log)" >&2
exit $rc
