#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# check-product.sh PRODUCT TEST
#
# Status 0: nothing that breaks rules on purpose is in the QEMU PRODUCT (make
# qemu MUTANTS=0), by symbols, strings and properties of the device.  All of it
# must be in the QEMU TEST, or this would find nothing in any.
set -eu

product=$1 test=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# What is not seen is not proved to be absent.
blind() {
	echo "$1" >&2
	touch "$dir/blind"
}

# What there is of it in a QEMU, one thing a line: find WHAT QEMU.  Debugging
# information names types and files, and is not part of the program.
find() {
	case $1 in
	symbols)
		nm "$2" | grep -q ' virtio_balloon_cfph_check$' || blind "$2 has no symbols"
		nm "$2" | sed 's/.* //' | grep -iE 'misbehav|misdeed|mutant|ram_cfph_(view_)?stale'
		;;
	strings)
		strip -o "$dir/stripped" "$2"
		# Others in QEMU speak of systems that misbehave, too.
		strings -n 6 "$dir/stripped" |
			grep -iE 'cfph.*misbehav|misdeed|mutant|cfph-debug|breaks the rules'
		;;
	properties)
		for device in virtio-balloon-pci virtio-balloon-device; do
			"$2" -device "$device,help" >"$dir/help"
			grep -q 'continuous-free-page-hint=' "$dir/help" || blind "$2: no help for $device"
			grep -iE 'debug|mutant' "$dir/help"
		done
		;;
	esac
}

bad=0
for what in symbols strings properties; do
	find $what "$product" >"$dir/product" || :
	find $what "$test" >"$dir/test" || :
	if [ -s "$dir/product" ]; then
		echo "$product has:" >&2
		cat "$dir/product" >&2
		bad=1
	fi
	if ! [ -s "$dir/test" ]; then
		echo "$test has none of it: $what" >&2
		bad=1
	fi
	echo "$what: $(wc -l <"$dir/product") in the product, $(wc -l <"$dir/test") in the test build"
done
[ ! -e "$dir/blind" ] || bad=1
exit $bad
