#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# fpctl on a kernel that has cfph: run as root in a guest that nothing else is
# tuning at the moment.  Needs only a POSIX shell and busybox's tools; puts the
# tunables back to their defaults at the end.  Prints KTAP.
#
# Usage: guest.sh [FPCTL]
set -u
fpctl=$(command -v "${1:-fpctl}") || exit 1
n=0
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

result()	# result RC NAME
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		sed 's/^/# stdout: /' "$tmp/out"
		sed 's/^/# stderr: /' "$tmp/err"
		echo "not ok $n $2"
		failed=1
	fi
}

run()		# run COMMAND...: its exit code, output in $tmp
{
	timeout 30 "$@" >"$tmp/out" 2>"$tmp/err"
}

ok()		# ok NAME ARG...: exit code 0 and nothing on stderr
{
	name=$1
	shift
	run "$fpctl" "$@" && ! [ -s "$tmp/err" ]
	result $? "$name"
}

refused()	# refused RC LINE COMMAND...: this exit code, exactly this line
{
	want=$1 line=$2
	shift 2
	run "$@"
	rc=$?
	[ $rc = "$want" ] && ! [ -s "$tmp/out" ] &&
		[ "$(cat "$tmp/err")" = "fpctl: $line" ]
	result $? "exit $want: $line"
}

json()		# json KEY VALUE: what "fpctl -j" says now
{
	run "$fpctl" -j && grep -q "[{,]\"$1\":$2[,}]" "$tmp/out"
	result $? "$1 is $2"
}

# A user without any capability.  Our guests have no users at all.
[ -e /etc/passwd ] || {
	mkdir -p /etc
	echo "nobody:x:65534:65534:nobody:/:/bin/sh" >/etc/passwd
	echo "nogroup:x:65534:" >/etc/group
}
nobody="start-stop-daemon -S -c 65534:65534 -x $fpctl --"
range="10..10000 (kernel: integer out of range)"

echo "KTAP version 1"
echo "1..26"

ok "the default command works"
ok "show" show
grep -q '^state  *ready$' "$tmp/out" || grep -q '^reason  *[a-z-]*: ' "$tmp/out"
result $? "show says ready, or why not"
ok "stats" stats
[ "$(grep -c '^[a-z-]*  *[0-9]' "$tmp/out")" = 16 ]
result $? "stats has its 16 counters"
ok "JSON" -j stats

ok "set all at once" set enable on interval-ms 50 drain round
json interval-ms 50
json drain '"round"'
refused 2 "set interval-ms 5: out of range, $range" \
	"$fpctl" set interval-ms 5
refused 2 "set interval-ms 10001: out of range, $range" \
	"$fpctl" set drain off interval-ms 10001
json interval-ms 50
json drain '"round"'
ok "the smallest interval" set interval-ms 10
ok "the largest interval" set interval-ms 10000
json interval-ms 10000

ok "stop" stop
json state '"off"'
json enable 0
ok "start" start
json enable 1

# shellcheck disable=SC2086 # a command with its arguments
run $nobody show
result $? "show as nobody"
# shellcheck disable=SC2086
run $nobody set drain off
rc=$?
[ $rc = 2 ] && grep -q '^fpctl: set drain off: .*CAP_SYS_ADMIN' "$tmp/err"
result $? "set as nobody is refused, and says why"
json drain '"round"'

if run unshare -n true; then
	refused 3 "show: this kernel has no cfph (CONFIG_CFPH), or this is not the initial network namespace" \
		unshare -n "$fpctl"
else
	n=$((n + 1))
	echo "ok $n exit 3 # SKIP this kernel has no network namespaces"
fi
ok "the defaults again" set enable on interval-ms 100 drain start
exit $failed
