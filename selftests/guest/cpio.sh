# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What the scripts that print lists for gen_init_cpio have in common; to be
# sourced.  $work must name a directory for scratch files.  Each path goes into
# the list once, after the directories that it needs.

die() {
	echo "cpio-list.sh: $*" >&2
	exit 1
}

seen=$work/cpio.seen
: >"$seen"
once() {
	! grep -qxF -- "$1" "$seen" || return 1
	echo "$1" >>"$seen"
}

dir() {
	case $1 in
	/ | .) return ;;
	esac
	once "$1" || return 0
	dir "$(dirname "$1")"
	echo "dir $1 0755 0 0"
}

file() { # file SOURCE TARGET MODE
	[ -f "$1" ] || die "$1 is missing"
	once "$2" || return 0
	dir "$(dirname "$2")"
	echo "file $2 $1 $3 0 0"
}

# libraries FILE: what the dynamic linker loads for it, and the linker
libraries() {
	ldd "$1" >"$work/ldd.out" 2>/dev/null || return 0 # static
	sed -n -e 's/.*=> \(\/[^ ]*\) (.*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' \
		"$work/ldd.out" >"$work/ldd.libs"
	while read -r lib; do
		file "$(readlink -f "$lib")" "$lib" 0755
	done <"$work/ldd.libs"
	rm -f "$work/ldd.out" "$work/ldd.libs"
}

# base INIT BUSYBOX DIRECTORY...: what every guest starts with
base() {
	init=$1 busybox=$2
	shift 2
	for d; do
		dir "$d"
	done
	echo "nod /dev/console 0600 0 0 c 5 1"
	echo "nod /dev/null 0666 0 0 c 1 3"
	file "$init" /init 0755
	file "$busybox" /bin/busybox 0755
}
