#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# unpack.sh DEB DEST MODULE...
#
# Takes the kernel and the named modules, which must be in load order, out of a
# Debian kernel package: DEST/vmlinuz, DEST/NAME.ko (not compressed), DEST/order.
set -eu

deb=$1 dest=$2
shift 2
rm -rf "$dest"
mkdir -p "$dest/tree"

dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dest/tree" --wildcards \
	'./boot/vmlinuz-*' './lib/modules/*.ko*' './usr/lib/modules/*.ko*' 2>"$dest/tar.log" || :
mv "$dest"/tree/boot/vmlinuz-* "$dest/vmlinuz" || {
	echo "unpack.sh: no kernel in $deb" >&2
	exit 1
}

: >"$dest/order"
for name; do
	# Debian 13 compresses modules, Debian 12 does not.
	found=$(find "$dest/tree" -name "$name.ko*" | head -n 1)
	case $found in
	*.xz) xz -dc "$found" >"$dest/$name.ko" ;;
	*.zst) zstd -q -dc "$found" >"$dest/$name.ko" ;;
	*.ko) cp "$found" "$dest/$name.ko" ;;
	*)
		echo "unpack.sh: $deb has no module $name" >&2
		exit 1
		;;
	esac
	# What it needs must come before it, or insmod fails in the guest.
	for need in $(tr '\0' '\n' <"$dest/$name.ko" | sed -n 's/^depends=//p' | tr ',' ' '); do
		grep -qx "$(echo "$need" | tr _ -).ko" "$dest/order" ||
			grep -qx "$need.ko" "$dest/order" || {
			echo "unpack.sh: $name needs $need: name it before $name" >&2
			exit 1
		}
	done
	echo "$name.ko" >>"$dest/order"
done
rm -rf "$dest/tree" "$dest/tar.log"
