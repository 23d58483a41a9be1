#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# to-kernel-doc.sh FILE
#
# Prints a document as it goes into the kernel tree: a link to a page that stays in
# this project becomes a word, and is in no index.
set -eu

# shellcheck disable=SC2016 # backquotes of reStructuredText
sed -e 's|:doc:`/dev/benchmarks`|the benchmarks of the project|g' -e '/^   model\/README$/d' "$1"
