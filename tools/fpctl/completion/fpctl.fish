# SPDX-License-Identifier: GPL-2.0
# fish completion for fpctl: asks the tool itself, so it cannot be out of date.

function __fpctl
    set -l typed (commandline -opc)
    set -l word (commandline -ct)
    set -l before

    # What stands before a "=" is a word of its own for the tool.
    if string match -q '*=*' -- $word
        set before (string replace -r '=.*' '' -- $word)
        set word (string replace -r '^[^=]*=' '' -- $word)
    end
    set -l candidates ($typed[1] --complete -- $typed[2..] $before "$word" 2>/dev/null)
    if test "$candidates" = :file
        __fish_complete_path $word
    else if set -q before[1]
        printf "$before=%s\n" $candidates
    else
        printf '%s\n' $candidates
    end
end
complete -c fpctl -f -a '(__fpctl)'
