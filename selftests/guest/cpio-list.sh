#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# cpio-list.sh INIT BUSYBOX BINDIR MODULE... -- PROGRAM...
#
# Prints the list that the kernel's usr/gen_init_cpio turns into an archive, so
# that nobody needs to be root to make device nodes.  BINDIR holds our own
# static programs.  Each PROGRAM goes to where it lies now, or to /usr/sbin if
# that is not a system directory, together with the libraries that it asks for.
# A PROGRAM that is missing is an error: the guest must not differ silently.
set -eu

init=$1 busybox=$2 bindir=$3
shift 3

dirs=
dir() {
	case $1 in
	/) return ;;
	esac
	case " $dirs " in
	*" $1 "*) return ;;
	esac
	dir "$(dirname "$1")"
	dirs="$dirs $1"
	echo "dir $1 0755 0 0"
}

file() {	# file SOURCE TARGET MODE
	case " $files " in
	*" $2 "*) return ;;
	esac
	files="$files $2"
	dir "$(dirname "$2")"
	echo "file $2 $1 $3 0 0"
}
files=

for d in /bin /sbin /usr/bin /usr/sbin /dev /proc /sys /run /tmp /root \
	 /lib/modules/cfph; do
	dir $d
done
echo "nod /dev/console 0600 0 0 c 5 1"
echo "nod /dev/null 0666 0 0 c 1 3"
file "$init" /init 0755
file "$busybox" /bin/busybox 0755
file "$bindir/agent" /bin/agent 0755
file "$bindir/kexec-now" /bin/kexec-now 0755
file "$bindir/cfph-load" /bin/cfph-load 0755
for name in memhog churn stamp hot stress shake; do
	echo "slink /bin/$name cfph-load 0777 0 0"
done

order=$bindir/modules.order
: >"$order"
while [ "$1" != -- ]; do
	file "$1" "/lib/modules/cfph/$(basename "$1")" 0644
	basename "$1" >>"$order"
	shift
done
shift
file "$order" /lib/modules/cfph/order 0644

for program; do
	if [ ! -x "$program" ]; then
		echo "cpio-list.sh: $program is missing" >&2
		exit 1
	fi
	case $program in
	/bin/* | /sbin/* | /usr/bin/* | /usr/sbin/*) target=$program ;;
	*) target=/usr/sbin/$(basename "$program") ;;
	esac
	file "$(readlink -f "$program")" "$target" 0755
	ldd "$program" >"$bindir/ldd.out" 2>/dev/null || continue # static
	sed -n -e 's/.*=> \(\/[^ ]*\) (.*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' \
		"$bindir/ldd.out" >"$bindir/ldd.libs"
	while read -r lib; do
		file "$(readlink -f "$lib")" "$lib" 0755
	done <"$bindir/ldd.libs"
	rm -f "$bindir/ldd.out" "$bindir/ldd.libs"
done
