#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# config.sh SRC OBJ ARCH FRAGMENT...
#
# Writes OBJ/.config: allnoconfig plus the fragments, of which a later one wins.
# Kconfig drops without a word what it does not know or whose dependencies are
# not met, so every line asked for is looked up in the result.  allnoconfig with
# KCONFIG_ALLCONFIG does in one step what merge_config.sh does in two, and does
# not switch on the "default y" children of what a fragment switches on.
set -eu

src=$1 obj=$2 arch=$3
shift 3

mkdir -p "$obj"
want=$obj/.config.want
# One line per symbol, the last one, written as Kconfig writes it.
sed -n -e 's/[[:space:]]*$//' -e '/^CONFIG_[A-Za-z0-9_]*=/p' \
	-e 's/^# \(CONFIG_[A-Za-z0-9_]*\) is not set$/\1=n/p' "$@" |
	awk -F= '{ if (!($1 in v)) n[++i] = $1; v[$1] = $0 }
		END { for (j = 1; j <= i; j++) print v[n[j]] }' >"$want"

make -s -C "$src" O="$obj" ARCH="$arch" KCONFIG_ALLCONFIG="$want" allnoconfig

bad=0
while IFS= read -r line; do
	sym=${line%%=*}
	case $line in
	*=n) grep -q "^$sym=" "$obj/.config" || continue ;;
	*) grep -qxF -- "$line" "$obj/.config" && continue ;;
	esac
	got=$(grep -E "^$sym=|^# $sym is not set" "$obj/.config" || :)
	echo "config.sh: $line asked for, ${got:-symbol unknown or its dependencies off} in $obj/.config" >&2
	bad=1
done <"$want"
exit $bad
