#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run-fuzzer.sh decoder|device SECONDS DIR PROGRAM
#
# Fuzzes for SECONDS, with DIR for the corpus and for what is found.  Status 0:
# nothing was found.  What was found can be tried again with PROGRAM FILE.
#
#   decoder  PROGRAM is the fuzzer of the device's and the filter's code
#   device   PROGRAM is qemu-fuzz-x86_64; QEMU's generic fuzzer, over PCI
#
# SEED=n repeats a run, as far as its time limit lets it.
set -eu

what=$1 seconds=$2 dir=$3 program=$4
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$dir/corpus"
rm -f "$dir"/found-*
set -- -max_total_time="$seconds" -seed="${SEED:-0}" -timeout=20 -rss_limit_mb=4096 \
	-artifact_prefix="$dir/found-" -print_final_stats=1 "$dir/corpus"

case $what in
decoder)
	"$here/seeds.py" "$dir/seeds"
	LLVM_PROFILE_FILE=$dir/coverage.profraw "$program" -max_len=18000 \
		-dict="$here/decoder.dict" "$@" "$dir/seeds"
	if command -v llvm-cov >/dev/null && command -v llvm-profdata >/dev/null; then
		llvm-profdata merge -sparse "$dir/coverage.profraw" -o "$dir/coverage.profdata"
		llvm-cov report "$program" -instr-profile="$dir/coverage.profdata" \
			-ignore-filename-regex='/(tests|include|trace|qapi|target)/|ram[.]h' -show-region-summary=0 -show-branch-summary=0
	fi
	;;
device)
	"$program" --fuzz-target=generic-fuzz-virtio-balloon-cfph -max_len=4096 \
		-len_control=0 "$@"
	;;
*)
	echo "run-fuzzer.sh: $what: neither decoder nor device" >&2
	exit 1
	;;
esac
