#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Continuous free-page hinting: is the map of free pages what the buddy lists are?
#
# The kernel compares the two itself (CONFIG_CFPH_DEBUG, debugfs cfph/verify).  This
# sends pages through the allocator in several ways and looks after each.  A kernel
# that keeps no map, for want of a device, say, has nothing to be tested.

DIR="$(dirname "$(readlink -f "$0")")"
# shellcheck disable=SC1091
. "$DIR"/../kselftest/ktap_helpers.sh

DEBUG=/sys/kernel/debug/cfph
TRACING=/sys/kernel/tracing
DRIVER=/sys/bus/virtio/drivers/virtio_balloon
MEMORY=/sys/devices/system/memory
VM=/proc/sys/vm
TAINT_WARN=512

# The tests: 0 is a pass, $KSFT_SKIP is one that cannot be made here.

exact()
{
	local verdict

	verdict=$(cat "$DEBUG"/verify)
	case $verdict in
	"ok "*)
		return 0
		;;
	esac
	ktap_print_msg "$verdict"
	return 1
}

# poll LIMIT COMMAND...: until it is true, at most that many tenths of a second
poll()
{
	local left=$1

	shift
	until "$@"; do
		[ "$left" -gt 0 ] || return 1
		left=$((left - 1))
		sleep 0.1
	done
}

fill_and_free()
{
	local mib dir full

	mib=$(awk '/^MemAvailable:/ { print int($2 / 4096) }' /proc/meminfo)
	dir=$(mktemp -d) || return 1
	mount -t tmpfs -o size=100% cfph "$dir" || return "$KSFT_SKIP"
	dd if=/dev/zero of="$dir"/f bs=1M count="$mib" 2>/dev/null
	exact
	full=$?
	umount "$dir"
	rmdir "$dir"
	[ $full -eq 0 ] && exact
}

compact()
{
	[ -e $VM/compact_memory ] || return "$KSFT_SKIP"
	echo 1 > $VM/compact_memory
	exact
}

hugetlb()
{
	local before more=1

	[ -e $VM/nr_hugepages ] || return "$KSFT_SKIP"
	before=$(cat $VM/nr_hugepages)
	echo $((before + 16)) > $VM/nr_hugepages
	[ "$(cat $VM/nr_hugepages)" -gt "$before" ] && exact
	more=$?
	echo "$before" > $VM/nr_hugepages
	[ $more -eq 0 ] && exact
}

cma()
{
	local area taken

	for area in /sys/kernel/debug/cma/*; do
		[ -e "$area"/alloc ] || return "$KSFT_SKIP"
		echo 64 > "$area"/alloc || continue
		exact
		taken=$?
		echo 64 > "$area"/free
		[ $taken -eq 0 ] && exact
		return
	done
	return "$KSFT_SKIP"
}

# Of memory that is for movable pages anyway: there is a chance, and no loss.
offline()
{
	local block gone

	for block in "$MEMORY"/memory[0-9]*; do
		grep -q '^Movable' "$block"/valid_zones || continue
		[ "$(cat "$block"/state)" = online ] || continue
		timeout 20 sh -c "echo offline > $block/state" 2>/dev/null || continue
		exact
		gone=$?
		echo online_movable > "$block"/state
		[ $gone -eq 0 ] && exact
		return
	done
	return "$KSFT_SKIP"
}

has_map()
{
	[ "$(cat "$DEBUG"/verify)" != off ]
}

# Another map, filled by a scan of the buddy lists
rebind()
{
	local instance=$TRACING/instances/cfph-selftest
	local device scans

	device=$(cd "$DRIVER" 2>/dev/null && ls -d virtio*) || return "$KSFT_SKIP"
	[ "$(echo "$device" | wc -l)" -eq 1 ] || return "$KSFT_SKIP"
	mkdir "$instance" || return "$KSFT_SKIP"
	echo 1 > "$instance"/events/cfph/cfph_scan/enable
	echo "$device" > "$DRIVER"/unbind
	echo "$device" > "$DRIVER"/bind
	poll 100 has_map
	scans=$(grep -c 'cfph_scan:.* free=[1-9]' "$instance"/trace)
	rmdir "$instance"
	[ "$scans" -eq 1 ] || {
		ktap_print_msg "$scans scans"
		return 1
	}
	exact
}

# What the hooks say when a page is handed out that is free in the map is a WARN().
no_warning()
{
	[ $(($(cat /proc/sys/kernel/tainted) & TAINT_WARN)) -eq "$warned" ]
}

run()
{
	local description="$1"

	shift
	"$@"
	case $? in
	0)
		ktap_test_pass "$description"
		;;
	"$KSFT_SKIP")
		ktap_test_skip "$description"
		;;
	*)
		ktap_test_fail "$description"
		;;
	esac
}

ktap_print_header

if [ "$(id -u)" -ne 0 ]; then
	ktap_skip_all "must be run as root"
	exit "$KSFT_SKIP"
fi
if [ ! -e "$DEBUG"/verify ]; then
	ktap_skip_all "no $DEBUG/verify: CONFIG_CFPH_DEBUG and debugfs are needed"
	exit "$KSFT_SKIP"
fi
if ! has_map; then
	ktap_skip_all "no map is kept: no device, or refused, or switched off"
	exit "$KSFT_SKIP"
fi

warned=$(($(cat /proc/sys/kernel/tainted) & TAINT_WARN))

ktap_set_plan 8
run "map is exact" exact
run "memory is filled and freed" fill_and_free
run "memory is compacted" compact
run "the hugetlb pool grows and shrinks" hugetlb
run "a contiguous area is taken and freed" cma
run "a memory block goes offline and online" offline
run "the driver is bound anew" rebind
run "no warning" no_warning
ktap_finished
