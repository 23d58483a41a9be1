# SPDX-License-Identifier: GPL-2.0
# bash completion for fpctl: asks the tool itself, so it cannot be out of date.

_fpctl()
{
	local word=$2 words=() candidates

	# bash takes KEY=VALUE and --option=VALUE for three words, the tool for two.
	for candidates in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
		[ "$candidates" = "=" ] || words+=("$candidates")
	done
	[ "$word" = "=" ] && word=
	candidates=$("$1" --complete -- "${words[@]}" "$word" 2>/dev/null)
	if [ "$candidates" = ":file" ]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	else
		mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "$word")
	fi
}
complete -F _fpctl fpctl
