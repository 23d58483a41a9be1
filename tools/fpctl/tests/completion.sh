#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# The completions, each asked by its own shell: every command and every key that
# the netlink spec has, and a few lines that are harder.
# Usage: completion.sh FPCTL SPEC; PYTHON may be in the environment.
# shellcheck disable=SC2317 # the ask_* are called by name
set -u
src=$(realpath "$(dirname "$0")")
n=0
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
ln -s "$(realpath "$1")" "$tmp/fpctl"
export PATH="$tmp:$PATH"
: "${PYTHON:=/usr/bin/python3}"
verbs=$("$1" --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p' | xargs)
keys=$("$PYTHON" - "$2" <<'PY'
import sys
import yaml
ops = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))["operations"]["list"]
print(*[op["do"]["request"]["attributes"] for op in ops if op["name"] == "set"][0])
PY
)

# shellcheck source=SCRIPTDIR/../completion/fpctl.bash
. "$src/../completion/fpctl.bash"

# Each prints the candidates for the last of its words, one a line.

ask_bash()
{
	local word parts=() cut
	for word; do	# as readline does
		cut=${word//=/ = }
		[[ $word == *=* ]] || cut=
		# shellcheck disable=SC2206 # cut at the blanks
		[ -n "$cut" ] && parts+=($cut) || parts+=("$word")
	done
	COMP_WORDS=(fpctl "${parts[@]}")
	COMP_CWORD=${#parts[@]}
	COMPREPLY=()
	_fpctl fpctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
	printf '%s\n' "${COMPREPLY[@]-}"
}

# Without a terminal there is no line to edit: the two builtins that need one only
# show what they are given.
ask_zsh()
{
	# shellcheck disable=SC2016 # for zsh
	zsh -f -c '
		compset() { before=${PREFIX%%=*}= PREFIX=${PREFIX#*=} }
		compadd() { for c in ${(P)2}; do [[ $c == $PREFIX* ]] && print -r -- $before$c; done }
		_files() { print -rl -- $PREFIX*(N) }
		before= file=$1
		shift
		words=(fpctl "$@") CURRENT=$#words PREFIX=$words[-1]
		source $file
		_fpctl' zsh "$src/../completion/fpctl.zsh" "$@"
}

ask_fish()
{
	# shellcheck disable=SC2016 # for fish
	XDG_CONFIG_HOME=$tmp XDG_DATA_HOME=$tmp HOME=$tmp fish --no-config -c '
		source $argv[1]
		complete -C (string join " " -- fpctl $argv[2..])' \
		"$src/../completion/fpctl.fish" "$@" | cut -f 1
}

# t WANT WORD...: the candidates, in any order.
t()
{
	local want=$1 got
	shift
	n=$((n + 1))
	if ! command -v "$shell" >/dev/null; then
		echo "ok $n $shell: fpctl $* # SKIP no $shell"
		return
	fi
	got=$("ask_$shell" "$@" | grep . | sort | xargs)
	# shellcheck disable=SC2086 # words
	if [ "$got" = "$(printf '%s\n' $want | sort | xargs)" ]; then
		echo "ok $n $shell: fpctl $*"
	else
		echo "# got: $got"
		echo "# want: $want"
		echo "not ok $n $shell: fpctl $*"
		failed=1
	fi
}

echo "KTAP version 1"
echo "1..39"
cd "$src" || exit 1
for shell in bash zsh fish; do
	t "$verbs" ""
	t "show stats set start stop save" s
	t "$keys" set ""
	t "$keys" reset ""
	t "drain" set d
	t "start" set drain s
	t "interval-ms" set enable on drain off i
	if [ $shell = bash ]; then
		t "off on" set "enable="	# only what is behind the "="
		t "start" set enable=on drain=st
	else
		t "enable=off enable=on" set "enable="
		t "drain=start" set enable=on drain=st
	fi
	t "--raw" map --r
	t "completion.sh" map --raw compl
	t "completion.sh" -d restore compl
	t "" show ""
done
exit $failed
