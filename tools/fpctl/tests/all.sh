#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Run every test of fpctl, as KTAP with one subtest each.  The Makefile sets
# O (where things are built), SPEC (of the netlink family), PYTHON, MAKE, STRIP,
# CLANG and SAN (1: built with sanitizers).
set -u
src=$(dirname "$0")
n=0
failed=0

# t NAME COMMAND...
t()
{
	name=$1
	shift
	n=$((n + 1))
	# The exit code of the test, not of sed.
	rc=$( { { timeout 300 "$@" 3>&- 4>&-; echo $? >&3; } | \
		sed 's/^/  /' >&4; } 3>&1 )
	case $rc in
	0) echo "ok $n fpctl $name" ;;
	4) echo "ok $n fpctl $name # SKIP" ;;
	*)
		echo "not ok $n fpctl $name"
		failed=1
		;;
	esac
}

exec 4>&1
echo "KTAP version 1"
echo "1..9"
t cmdline "$O/tests/cmdline"
t netlink "$O/tests/netlink"
t schema "$PYTHON" "$src/schema.py" "$O/tests/cmdline" "$src/../schema"
t completion bash "$src/completion.sh" "$O/fpctl" "$SPEC"
t stream bash "$src/stream.sh" "$O/tests/cmdline"
t manual "$PYTHON" "$src/manual.py" "$src/../fpctl.8" "$O/tests/cmdline"
t install sh "$src/install.sh" "$src/.."
t fuzz sh "$src/fuzz.sh"
t memory sh "$src/memory.sh"
exit $failed
