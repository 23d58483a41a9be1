#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The fuzz target, short and the same each time: without a fuzzer, and with
# libFuzzer if clang is there.  From the environment: O, MAKE, CLANG.
set -u
src=$(dirname "$0")
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

echo "KTAP version 1"
echo "1..2"
"$O/tests/fuzz_replay" "$src/corpus.txt" >"$tmp/log" 2>&1 || {
	tail -n 20 "$tmp/log" | sed 's/^/# /'
	echo "not ok 1 the corpus, whole, cut and changed"
	exit 1
}
echo "ok 1 the corpus, whole, cut and changed"

if ! command -v "$CLANG" >/dev/null ||
	! echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
		"$CLANG" -x c -fsanitize=fuzzer -o "$tmp/probe" - 2>/dev/null; then
	echo "ok 2 libFuzzer # SKIP no clang with libFuzzer"
	exit 0
fi
mkdir "$tmp/corpus"
"$O/tests/fuzz_replay" --write "$src/corpus.txt" "$tmp/corpus" || exit 1
if "$MAKE" -s -f "$src/../Makefile" O="$O" "$O/tests/fuzz_nl" >"$tmp/log" 2>&1 &&
	"$O/tests/fuzz_nl" -runs="${FUZZ_RUNS:-100000}" -seed=1 -max_len=8192 \
		-artifact_prefix="$tmp/" "$tmp/corpus" >"$tmp/log" 2>&1; then
	echo "ok 2 libFuzzer"
else
	tail -n 40 "$tmp/log" | sed 's/^/# /'
	echo "not ok 2 libFuzzer"
	exit 1
fi
