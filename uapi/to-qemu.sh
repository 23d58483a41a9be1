#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# to-qemu.sh HEADER
#
# Prints a kernel uapi header as QEMU keeps it in include/standard-headers/.
# The rules are those of cp_portable() in QEMU's scripts/update-linux-headers.sh
# that our headers need; anything else that they include is an error there and
# here.
set -eu

if grep '^#include' "$1" | grep -v -e '<linux/types\.h>' -e '<linux/virtio' >&2; then
	echo "to-qemu.sh: $1 includes what QEMU has no copy of" >&2
	exit 1
fi
sed -e 's/__u\([0-9][0-9]*\)/uint\1_t/g' \
	-e 's/__s\([0-9][0-9]*\)/int\1_t/g' \
	-e 's/__le\([0-9][0-9]*\)/uint\1_t/g' \
	-e 's/<linux\/\([^>]*\)>/"standard-headers\/linux\/\1"/' \
	-e 's/__attribute__((packed))/QEMU_PACKED/' "$1"
