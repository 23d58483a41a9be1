#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# build.sh OUT: the documents in HTML, in OUT/html.  A warning is an error.
#
# The pages of Documentation/ and those of QEMU's tree, with the man pages, the netlink
# spec and the comments of the sources rendered in: the latter two by the kernel's own
# generators.  Figures are drawn: by cfph-timeline from a recorded trace, by graphviz.
#
# Environment: LINUX_SRC, prepared.
set -eu

: "${LINUX_SRC:?run me as make docs}"
export LINUX_SRC
cd "$(dirname "$0")/../.."
out=$1 src=$1/src

mkdir -p "$src"
rsync -a --delete Documentation/ "$src/"
rsync -a qemu/files/docs/ "$src/"
/usr/bin/python3 "$LINUX_SRC/tools/net/ynl/ynl-gen-rst.py" \
	-i "$LINUX_SRC/Documentation/netlink/specs/cfph.yaml" -o "$src/netlink/specs/cfph.rst"
for page in fpctl/fpctl.8 timeline/cfph-timeline.1; do
	name=${page##*/}
	mandoc -T html -O fragment "tools/$page" >"$src/admin-guide/${name%.*}.html"
done
tools/timeline/cfph-timeline --svg "$src/admin-guide/mm/timeline.svg" \
	Documentation/results/timeline-guest.txt Documentation/results/timeline-host.txt >"$out/timeline.txt"
# -E: what it remembers of a page it does not complain of a second time.
exec /usr/bin/python3 -B -m sphinx -E -W --keep-going -q -b html -c tools/docs \
	-d "$out/doctrees" "$src" "$out/html"
