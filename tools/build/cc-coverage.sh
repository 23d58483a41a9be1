#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# cc-coverage.sh COMPILER... ARGS: that compiler, with line counters (gcov) in
# our own files of QEMU.
#
# Everything else is compiled exactly as without us, so that ccache has it.  Ours
# goes past ccache, because gcc writes a second file, for this build directory.
# -O0: a line that is optimised into another one has no counter of its own, and
# QEMU's switch for _FORTIFY_SOURCE does not go with it.  Counters are atomic,
# because a migration has threads.
set -eu

ours='' link=y out=''
for arg; do
	case $arg in
	*/hw/virtio/virtio-balloon-cfph*.c | */migration/cfph*.c) ours=y ;;
	-c | -E | -S) link='' ;;
	-o | @*) out=y ;;	# ninja keeps long lines in a file: only links
	esac
done

if [ "$ours" ]; then
	export CCACHE_DISABLE=1
	exec "$@" --coverage -fprofile-update=atomic -O0 -U_FORTIFY_SOURCE
fi
# A program may have one of our objects in it.
[ ! "$link" ] || [ ! "$out" ] || exec "$@" -lgcov
exec "$@"
