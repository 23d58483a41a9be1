#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# How monitor and stats --watch end: by a signal, with their reader, on a full
# disk; and what a terminal gets.  Usage: stream.sh CMDLINE, where CMDLINE is
# the test program of that name; needs PYTHON in the environment.
set -u
n=0
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

fpctl=("$1" --on tuned)

result()	# result RC NAME
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		echo "not ok $n $2"
		failed=1
	fi
}

# signalled SIGNAL ARG...: start, wait for the first line, send it: exit code 0,
# nothing on stderr.
signalled()
{
	local signal=$1 first rc
	shift
	rm -f "$tmp/fifo"
	mkfifo "$tmp/fifo"
	"${fpctl[@]}" "$@" >"$tmp/fifo" 2>"$tmp/err" &
	exec 5<"$tmp/fifo"
	read -r -t 20 first <&5
	kill -s "$signal" $!
	cat <&5 >/dev/null
	wait $!
	rc=$?
	exec 5<&-
	[ $rc = 0 ] && [ -n "$first" ] && ! [ -s "$tmp/err" ]
	result $? "SIG$signal ends $*"
}

# reader ARG...: it ends with its reader, and does not complain.
reader()
{
	local codes
	timeout 20 "${fpctl[@]}" "$@" 2>"$tmp/err" | head -n 1 >/dev/null
	codes=("${PIPESTATUS[@]}")
	[ "${codes[0]}" = 0 ] && ! [ -s "$tmp/err" ]
	result $? "$* ends with its reader"
}

full()
{
	timeout 20 "${fpctl[@]}" "$@" >/dev/full 2>"$tmp/err"
	[ $? = 4 ] && grep -q '^fpctl: cannot write the output: No space' "$tmp/err"
	result $? "$* says that the disk is full"
}

echo "KTAP version 1"
echo "1..13"
signalled INT monitor
signalled TERM -j monitor
signalled INT stats --watch 60
signalled TERM -jt stats --watch 0.1
reader monitor
reader -j stats --watch 0.1
reader stats --watch 0.1
full monitor
full stats --watch 0.1
full show

# A terminal gets one screen that is drawn again, a pipe blocks.
timeout 20 "$PYTHON" "$(dirname "$0")/terminal.py" \
	"$1" --as tuned stats --watch 1 >"$tmp/out"
[ "$(grep -c $'\033\\[H' "$tmp/out")" = 3 ]
result $? "a terminal is drawn three times"
"$1" --as tuned stats --watch 1 >"$tmp/out"
! grep -q $'\033' "$tmp/out" && [ "$(grep -c '^$' "$tmp/out")" = 2 ]
result $? "a pipe gets three blocks"
timeout 20 "$PYTHON" "$(dirname "$0")/terminal.py" "$1" --as tuned reclaim 50 >"$tmp/out"
printf '4000 KiB of about 1171 MiB\033[K\r\033[K\r1126 MiB given back in 240 ms\r\n' |
	cmp -s "$tmp/out" -
result $? "a terminal sees how far reclaim has come, until it has"
exit $failed
