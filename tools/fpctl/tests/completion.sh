#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# The bash completion, asked as bash would ask it.  Usage: completion.sh FPCTL
set -u
fpctl=$1
n=0
failed=0

# shellcheck source=SCRIPTDIR/../completion/fpctl.bash
. "$(dirname "$0")/../completion/fpctl.bash"

# t WANT WORD...: the candidates for the last word, joined by spaces.
t()
{
	local want=$1
	shift
	COMP_WORDS=("$fpctl" "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_fpctl "$fpctl" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
	n=$((n + 1))
	if [ "${COMPREPLY[*]-}" = "$want" ]; then
		echo "ok $n fpctl $*"
	else
		echo "# got: ${COMPREPLY[*]-}"
		echo "# want: $want"
		echo "not ok $n fpctl $*"
		failed=1
	fi
}

echo "KTAP version 1"
echo "1..12"
t "show stats set start stop monitor map save restore help" ""
t "show stats set start stop save" s
t "--json --pretty --time --debug --version --help" -
t "--json" -p --j
t "drain" set d
t "start" set drain s
t "interval-ms" set enable on drain off i
t "cpus" set c
t "--raw" map --r
t "$0" map --raw "$0"
t "$0" restore "$0"
t "" show ""
exit $failed
