#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# overlay.sh SRC STATE PATCHES NEW...
#
# Brings the unpacked tree SRC to "upstream + the files under each directory
# NEW + the quilt series in PATCHES", from whatever an earlier run left there,
# and touches only files whose bytes change, so that a rebuild is incremental.
#
# STATE keeps what makes that possible: orig/ has the upstream text of every
# patched file, added and patched list what is ours in the tree.  Both are
# written before SRC is, so an interrupted run is repaired by the next one.
#
# Three rules, each an error: a new file must not exist upstream, a patch must
# touch existing upstream files only, and it must apply without fuzz.
set -eu

src=$1 state=$2 patches=$3
shift 3

die() {
	echo "overlay: $*" >&2
	exit 1
}

[ -d "$src" ] || die "$src is not there"
mkdir -p "$state/orig"
touch "$state/added" "$state/patched"
stage=$state/stage
rm -rf "$stage"
mkdir "$stage"

# What should be: the new files...
for new; do
	[ ! -d "$new" ] || cp -R "$new/." "$stage/"
done
find "$stage" -type f ! -name '.*.sw?' ! -name '*~' | sed "s|^$stage/||" | sort >"$state/added.new"
while IFS= read -r f; do
	if [ -e "$src/$f" ] && ! grep -qxF -- "$f" "$state/added"; then
		die "$f exists upstream: make it a patch in $patches"
	fi
done <"$state/added.new"

# ...and the upstream text of each file that a patch touches, then the series.
series=$patches/series
if [ -e "$series" ]; then
	list=$(sed -e 's/[[:space:]]*#.*//' -e '/^[[:space:]]*$/d' "$series")
else
	list=
fi
: >"$state/patched.new"
for p in $list; do
	[ -r "$patches/$p" ] || die "$patches/$p is in the series, but not there"
	sed -n 's|^+++ [^/]*/\([^[:space:]]*\).*|\1|p' "$patches/$p"
done | sort -u >"$state/patched.new"
while IFS= read -r f; do
	if grep -qxF -- "$f" "$state/added.new"; then
		die "$f is both patched and a new file: edit the new file"
	fi
	if [ ! -e "$state/orig/$f" ]; then
		[ -f "$src/$f" ] || die "a patch touches $f, which is not upstream: make it a new file"
		mkdir -p "$state/orig/$(dirname "$f")"
		cp -p "$src/$f" "$state/orig/$f.tmp"
		mv "$state/orig/$f.tmp" "$state/orig/$f"
	fi
	mkdir -p "$stage/$(dirname "$f")"
	cp "$state/orig/$f" "$stage/$f"
done <"$state/patched.new"
for p in $list; do
	awk -f "$(dirname "$0")/hunks.awk" "$patches/$p" >&2 || die "$patches/$p: hand-made, and wrong"
	patch -d "$stage" -p1 -F0 -s --no-backup-if-mismatch <"$patches/$p" >"$state/patch.log" 2>&1 || {
		sed 's/^/  patch: /' "$state/patch.log" >&2
		die "$patches/$p does not apply to $src without fuzz"
	}
done

# Remember the union first: whatever is interrupted below, both are ours.
for l in added patched; do
	sort -u "$state/$l" "$state/$l.new" >"$state/$l.tmp"
	mv "$state/$l.tmp" "$state/$l"
done
rsync -rlc "$stage/" "$src/"
while IFS= read -r f; do
	grep -qxF -- "$f" "$state/added.new" || rm -f "$src/$f"
done <"$state/added"
while IFS= read -r f; do
	grep -qxF -- "$f" "$state/patched.new" || cmp -s "$state/orig/$f" "$src/$f" || cp "$state/orig/$f" "$src/$f"
done <"$state/patched"
mv "$state/added.new" "$state/added"
mv "$state/patched.new" "$state/patched"
rm -rf "$stage"
