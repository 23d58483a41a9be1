#compdef fpctl
# SPDX-License-Identifier: GPL-2.0
# zsh completion for fpctl: asks the tool itself, so it cannot be out of date.

_fpctl()
{
	local -a typed candidates

	typed=("${(@)words[2,CURRENT - 1]}")
	# What stands before a "=" is a word of its own for the tool.
	[[ $PREFIX == *=* ]] && typed+=("${PREFIX%%=*}") && compset -P '*='
	candidates=("${(@f)$("${words[1]}" --complete -- $typed "$PREFIX" 2>/dev/null)}")
	if [[ $candidates == :file ]]; then
		_files
	else
		compadd -a candidates
	fi
}

# The completion system calls the file itself the first time.
[[ $funcstack[1] != _fpctl ]] || _fpctl "$@"
