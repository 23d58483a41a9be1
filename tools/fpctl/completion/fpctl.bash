# SPDX-License-Identifier: GPL-2.0
# bash completion for fpctl: asks the tool itself, so it cannot be out of date.

_fpctl()
{
	local words

	words=$("$1" --complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	if [ "$words" = ":file" ]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$2")
	else
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$2")
	fi
}
complete -F _fpctl fpctl
