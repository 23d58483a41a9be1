#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Nothing leaks, the binary stays small, and it does not take long.  From the environment: O, STRIP,
# SAN.
set -u
src=$(dirname "$0")
n=0
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# t NAME COMMAND...: under valgrind
t()
{
	name=$1
	shift
	n=$((n + 1))
	if [ -n "$SAN" ]; then
		echo "ok $n $name # SKIP the sanitizers look themselves"
	elif ! command -v valgrind >/dev/null; then
		echo "ok $n $name # SKIP valgrind is not installed"
	elif valgrind -q --leak-check=full --show-leak-kinds=all \
		--errors-for-leak-kinds=all --error-exitcode=99 \
		"$@" >"$tmp/log" 2>&1; then
		echo "ok $n $name"
	else
		grep -v '^ok ' "$tmp/log" | tail -n 40 | sed 's/^/# /'
		echo "not ok $n $name"
		failed=1
	fi
}

echo "KTAP version 1"
echo "1..5"
t "no leak: command lines" "$O/tests/cmdline" 50
t "no leak: netlink" "$O/tests/netlink"
t "no leak: parser" "$O/tests/fuzz_replay" "$src/corpus.txt" 50

n=$((n + 1))
"$STRIP" -o "$tmp/fpctl" "$O/fpctl" || exit 1
size=$(wc -c <"$tmp/fpctl")
if [ -n "$SAN" ]; then
	echo "ok $n size # SKIP with sanitizers"
elif [ "$size" -lt 100000 ]; then
	echo "ok $n stripped it has $size bytes, less than 100000"
else
	echo "not ok $n stripped it has $size bytes, not less than 100000"
	failed=1
fi

# Not the time, which depends on what else runs: a million instructions are a
# fraction of the 5 ms in which an administrator's tool has answered.
n=$((n + 1))
if [ -n "$SAN" ] || ! command -v valgrind >/dev/null; then
	echo "ok $n instructions # SKIP with sanitizers, or without valgrind"
else
	count=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null \
		"$O/tests/cmdline" --as tuned show 2>&1 |
		sed -n 's/.*Collected : *//p')
	if [ "${count:-1000000}" -lt 1000000 ]; then
		echo "ok $n show takes $count instructions, less than 1000000"
	else
		echo "not ok $n show takes $count instructions, not less than 1000000"
		failed=1
	fi
fi
exit $failed
