#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# cpio-list.sh KVM_BUILD BUSYBOX
#
# Prints the list from which gen_init_cpio makes the outer guest's file system:
# busybox, Python, our QEMU with its libraries and firmware, the test guest, and
# the tests.  What `make` tells the tests comes through the environment.
set -eu

build=$1 busybox=$2
here=$(cd "$(dirname "$0")" && pwd)
selftests=$(dirname "$here")
: "${QEMU:?}" "${QEMU_SRC:?}" "${KERNEL_IMAGE:?}" "${SYSTEM_MAP:?}" "${INITRAMFS:?}"
python=/usr/bin/python3

work=$build
# shellcheck source=selftests/guest/cpio.sh
. "$selftests/guest/cpio.sh"

firmware() { # the first directory of firmware that has it
	for d in /usr/share/seabios /usr/share/qemu; do
		if [ -e "$d/$1" ]; then
			file "$(readlink -f "$d/$1")" "/cfph/firmware/$1" 0644
			return
		fi
	done
	die "no firmware $1"
}

base "$here/init" "$busybox" /bin /sbin /dev /proc /sys /run /tmp /root /etc

while read -r ko; do
	file "$build/cloud/$ko" "/modules/$ko" 0644
done <"$build/cloud/order"
file "$build/cloud/order" /modules/order 0644

file "$(readlink -f $python)" $python 0755
libraries $python
$python "$here/closure.py" >"$build/closure" || die "closure.py failed"
while read -r f; do
	case $f in
	*.so)
		file "$f" "$f" 0644
		libraries "$f"
		;;
	*) file "$f" "$f" 0644 ;;
	esac
done <"$build/closure"

file "$QEMU" /cfph/qemu-system-x86_64 0755
libraries "$QEMU"
for rom in bios-256k.bin kvmvapic.bin linuxboot_dma.bin; do
	firmware $rom
done
file "$KERNEL_IMAGE" /cfph/bzImage 0644
file "$SYSTEM_MAP" /cfph/System.map 0644
file "$INITRAMFS" /cfph/initramfs 0644

for f in "$selftests"/lib/cfphtest/*.py; do
	file "$f" "/cfph/selftests/lib/cfphtest/$(basename "$f")" 0644
done
file "$selftests/run.py" /cfph/selftests/run.py 0755
for f in __init__ mutants kvm; do
	file "$selftests/tests/$f.py" "/cfph/selftests/tests/$f.py" 0644
done
for f in "$QEMU_SRC"/python/qemu/qmp/*.py; do
	file "$f" "/cfph/src/python/qemu/qmp/$(basename "$f")" 0644
done
rm -f "$seen"
