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

wait_for()	# wait_for FILE PATTERN [TIMES]: at most 30 seconds
{
	for _ in $(seq 600); do
		[ "$(grep -c "$2" "$1" 2>/dev/null)" -ge "${3:-1}" ] && return
		usleep 50000
	done
	return 1
}

end()		# end SIGNAL PID: its exit code
{
	kill -s "$1" "$2"
	wait "$2"
}

# A user without any capability.  Our guests have no users at all.
[ -e /etc/passwd ] || {
	mkdir -p /etc
	echo "nobody:x:65534:65534:nobody:/:/bin/sh" >/etc/passwd
	echo "nogroup:x:65534:" >/etc/group
}
nobody="start-stop-daemon -S -c 65534:65534 -x $fpctl --"
range="10..10000 ms (kernel: integer out of range)"

echo "KTAP version 1"
echo "1..87"

run "$fpctl" reset
cpus=$("$fpctl" get cpus)
ok "the default command works"
ok "show" show
grep -q '^state  *ready$' "$tmp/out" || grep -q '^reason  *[a-z-]*: ' "$tmp/out"
result $? "show says ready, or why not"
ok "stats" stats
counters=$("$fpctl" help stats | sed -n '/^Counted/,/^$/p' | grep -c '^  ')
[ "$(grep -c '^[a-z-]*  *[0-9]' "$tmp/out")" = "$counters" ]
result $? "stats has its $counters counters"
ok "JSON" stats --json
ok "get" get interval
[ "$(cat "$tmp/out")" = 100 ]
result $? "get prints the value alone"

ok "set all at once" set enable=yes interval-ms 50 drain=round
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

# --- all tunables -----------------------------------------------------------
run "$fpctl" show
tunables=$("$fpctl" --complete -- reset '' | wc -l)
[ "$(grep -c '^[a-z-]*  *[^ ]*  *(.*)$' "$tmp/out")" = "$tunables" ]
result $? "show has the $tunables tunables, each with its range"
ok "set the others" set cpus 0 keep migration reclaim 30
json cpus '"0"'
json keep '"migration"'
json reclaim 30
ok "no page cache when a migration starts" set reclaim 0
run "$fpctl" reclaim 100
rc=$?
[ $rc = 0 ] && grep -q '^[0-9]* [a-zA-Z]* given back in [0-9]* ms$' "$tmp/out"
result $? "page cache is given back, and it says how much"
refused 2 "reclaim 101: out of range, 0..100 % (kernel: integer out of range)" \
	"$fpctl" reclaim 101
run "$fpctl" set drain off cpus 4-x
rc=$?
[ $rc = 2 ] && grep -q '^fpctl: set cpus 4-x: .* (kernel: .*)$' "$tmp/err"
result $? "a list of CPUs that is none is refused by its name"
json drain '"round"'
run "$fpctl" set keep always cpus 99999
rc=$?
[ $rc = 2 ] && grep -q '^fpctl: set cpus 99999: .* (kernel: .*beyond.*)$' "$tmp/err"
result $? "CPUs that there cannot be are refused"
json keep '"migration"'

# --- save, restore ----------------------------------------------------------
ok "save" save "$tmp/conf"
[ "$(grep -c = "$tmp/conf")" = 4 ] && ! grep -q '^enable' "$tmp/conf"
result $? "what has its default is not saved"
ok "reset one" reset keep
json keep '"always"'
json drain '"round"'
ok "reset" reset
ok "save after reset" save -
! grep -q = "$tmp/out" && [ "$("$fpctl" get cpus)" = "$cpus" ]
result $? "reset leaves nothing to save"
ok "restore" restore "$tmp/conf"
json interval-ms 10000
json drain '"round"'
json cpus '"0"'
json keep '"migration"'
printf '# two\nkeep = always\ninterval-ms = 5\n' >"$tmp/bad"
refused 2 "restore $tmp/bad:3: interval-ms = 5: out of range, $range" \
	"$fpctl" restore "$tmp/bad"
json keep '"migration"'
printf 'future-knob = 1\ninterval-ms = 5\ncpus = 0-99999\ndrain = off\n' >"$tmp/other"
run "$fpctl" restore --lenient "$tmp/other"
rc=$?
[ $rc = 0 ] && [ "$(grep -c '^fpctl: restore .*/other:[123]: ignored: ' "$tmp/err")" = 3 ] &&
	[ "$(wc -l <"$tmp/err")" = 3 ]
result $? "restore --lenient warns of each that cannot be set"
json drain '"off"'
json interval-ms 10000
refused 4 "restore $tmp/no: No such file or directory, \"fpctl save\" writes it" \
	"$fpctl" restore "$tmp/no"

# --- stats zone, stats --watch ----------------------------------------------
ok "stats zone" stats zone
grep -q '^ *0 [A-Z][A-Za-z0-9]*  *[1-9]' "$tmp/out"
result $? "stats zone has a zone of node 0"
"$fpctl" -j stats --watch 0.2 >"$tmp/watch" 2>"$tmp/err" &
wait_for "$tmp/watch" '"rates":' 2
result $? "stats --watch has rates"
end TERM $!
result $? "SIGTERM ends it, with exit code 0"
"$fpctl" stats zone -jw 0.2 >"$tmp/watch" 2>"$tmp/err" &
wait_for "$tmp/watch" '"zones":' 2
result $? "stats zone --watch goes on"
end TERM $!
result $? "SIGTERM ends it, too"

# --- map --------------------------------------------------------------------
ok "keep the map" set keep always
ok "the map gets ready" wait --timeout 30 ready
ok "map" map
grep -q '^node 0: [0-9]* MiB, free .* fragmentation [0-9]*%$' "$tmp/out" &&
	grep -q '^  0x000000000000  [#0-9.]' "$tmp/out"
result $? "map has node 0, and a picture that begins at 0"
ok "map in JSON" -j map
ok "map --raw" map --raw "$tmp/raw"
# As many bits as there are pages, at least.
pages=$("$fpctl" -j | sed 's/.*"tracked-pages":\([0-9]*\).*/\1/')
[ "$(wc -c <"$tmp/raw")" -ge $((pages / 8)) ] &&
	tr -d '\000' <"$tmp/raw" | head -c 1 | grep -q .
result $? "the raw map has a bit for each page, and some are set"
chmod 777 "$tmp"
# shellcheck disable=SC2086 # a command with its arguments
run $nobody map
rc=$?
[ $rc = 2 ] && ! [ -s "$tmp/out" ] &&
	grep -q '^fpctl: map: .*CAP_SYS_ADMIN' "$tmp/err"
result $? "the map is not for nobody"
# shellcheck disable=SC2086
run $nobody map --raw "$tmp/nobody"
rc=$?
[ $rc = 2 ] && ! [ -e "$tmp/nobody" ] &&
	grep -q "^fpctl: map --raw $tmp/nobody: .*CAP_SYS_ADMIN" "$tmp/err"
result $? "the raw map is not for nobody"
ok "stop" stop
run "$fpctl" map
rc=$?
[ $rc = 2 ] && ! [ -s "$tmp/out" ] &&
	grep -q '^fpctl: map: No data available (kernel: the map is not ready' "$tmp/err"
result $? "map without a map says so"
refused 5 "wait ready: time is up, the state is off, reason admin" \
	"$fpctl" wait --timeout=0.2
"$fpctl" wait -T 30 >"$tmp/out" 2>"$tmp/err" &
waiting=$!
ok "start" start
wait $waiting
result $? "wait ends when the map is ready"
ok "it is" wait --timeout 0

# --- monitor ----------------------------------------------------------------
"$fpctl" -t monitor >"$tmp/events" 2>"$tmp/err" &
monitor=$!
wait_for "$tmp/events" ' now       ready$'
result $? "monitor begins with the state"
"$fpctl" stop
wait_for "$tmp/events" ' state     off (admin)$'
result $? "monitor tells of stop"
"$fpctl" start
wait_for "$tmp/events" ' state     ready$'
result $? "monitor tells of start"
end INT $monitor && ! [ -s "$tmp/err" ]
result $? "SIGINT ends it, with exit code 0"

[ "$(timeout 30 "$fpctl" monitor | head -n 1 | cut -d ' ' -f 1)" = now ]
result $? "monitor ends with its reader"

# It cannot read, and the kernel cannot keep everything.
"$fpctl" -j monitor >"$tmp/events" 2>"$tmp/err" &
monitor=$!
wait_for "$tmp/events" '"now"'
kill -s STOP $monitor
for _ in $(seq 400); do
	"$fpctl" stop
	"$fpctl" start
done
kill -s CONT $monitor
wait_for "$tmp/events" '"now"' 2
result $? "after a loss the state is read again"
end TERM $monitor
[ $? = 4 ] && grep -q '^fpctl: monitor: events lost, ' "$tmp/err"
result $? "the loss is on stderr and in the exit code"

ok "the defaults again" reset
exit $failed
