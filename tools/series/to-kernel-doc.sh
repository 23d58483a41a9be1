#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# to-kernel-doc.sh FILE
#
# Prints a document as it goes into the kernel tree: a link to a page that stays in
# this project becomes a word, and is in no index; the picture of a trace of ours goes,
# and what graphviz draws is drawn by the kernel's own directive.
set -eu

# shellcheck disable=SC2016 # backquotes of reStructuredText
sed -e 's|:doc:`/dev/benchmarks`|the benchmarks of the project|g' -e '/^   model\/README$/d' \
	-e 's|:doc:`/admin-guide/cfph-timeline`|cfph-timeline(1) of the project|g' \
	-e '/^This is such a drawing/,/^   draws it\.$/d' \
	-e 's|^\.\. graphviz::$|.. kernel-render:: DOT|' "$1"
