#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# cpio-list.sh INIT BUSYBOX BINDIR WORK MODULE... -- PROGRAM...
#
# Prints the list that the kernel's usr/gen_init_cpio turns into an archive, so
# that nobody needs to be root to make device nodes.  BINDIR holds our own
# static programs, WORK is for what is made on the way.  Each PROGRAM goes to where it lies now, or to /usr/sbin if
# that is not a system directory, together with the libraries that it asks for.
# A PROGRAM that is missing is an error: the guest must not differ silently.
set -eu

init=$1 busybox=$2 bindir=$3 work=$4
shift 4

# shellcheck source=selftests/guest/cpio.sh
. "$(dirname "$0")/cpio.sh"

base "$init" "$busybox" /bin /sbin /usr/bin /usr/sbin /dev /proc /sys /run /tmp \
	/root /lib/modules/cfph
file "$bindir/agent" /bin/agent 0755
file "$bindir/kexec-now" /bin/kexec-now 0755
file "$bindir/nlfuzz" /bin/nlfuzz 0755
file "$bindir/cfph-load" /bin/cfph-load 0755
for name in memhog churn pagecache forks stamp hot stress shake; do
	echo "slink /bin/$name cfph-load 0777 0 0"
done

order=$work/modules.order
: >"$order"
while [ "$1" != -- ]; do
	file "$1" "/lib/modules/cfph/$(basename "$1")" 0644
	basename "$1" >>"$order"
	shift
done
shift
file "$order" /lib/modules/cfph/order 0644

for program; do
	[ -x "$program" ] || die "$program is missing"
	case $program in
	/bin/* | /sbin/* | /usr/bin/* | /usr/sbin/*) target=$program ;;
	*) target=/usr/sbin/$(basename "$program") ;;
	esac
	file "$(readlink -f "$program")" "$target" 0755
	libraries "$program"
done
rm -f "$seen"
