#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Run the examples of the man page and compare what they print; and look that the
page knows every command, option, key, state, event and reason.

Usage: manual.py FPCTL.8 CMDLINE, where CMDLINE is the test program of that
name: its kernel "tuned" is the one that the examples show.  A line that begins
with "$ " or "# " is a command, what follows is what it prints, and "..." there
stands for any lines.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Commands of others that change the system, or are not always there.
NOT_RUN = {"systemctl": "changes the system", "jq": "not installed"}


def examples(path):
    """(command, expected lines) of each example."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    section = re.search(r"^\.Sh EXAMPLES\n(.*?)^\.Sh ", text, re.M | re.S)[1]
    for block in re.findall(r"^\.Bd [^\n]*\n(.*?)^\.Ed", section, re.M | re.S):
        command, want = None, []
        for line in block.replace("\\&", "").splitlines():
            if line[:2] in ("$ ", "# "):
                if command:
                    yield command, want
                command, want = line[2:], []
            else:
                want.append(line)
        yield command, want


def prepare(directory, cmdline):
    """An fpctl to be found in PATH, and a configuration file it can write."""
    tool = os.path.join(directory, "fpctl")
    with open(tool, "w", encoding="utf-8") as f:
        # "save" alone would write to /etc.
        f.write(f"#!/bin/sh\n[ \"$*\" = save ] && set -- save saved.conf\n"
                f"exec '{cmdline}' --as tuned \"$@\"\n")
    os.chmod(tool, 0o755)
    return dict(os.environ, LC_ALL="C", COLUMNS="80",
                PATH=directory + ":" + os.environ["PATH"])


def check(command, want, directory, env):
    """One example; the error text, or None."""
    run = subprocess.run(["sh", "-c", command], cwd=directory, env=env,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         encoding="utf-8", timeout=30, check=False)
    got = run.stdout.splitlines()
    if run.returncode:
        return f"exit code {run.returncode}: {run.stdout}"
    if want and want[-1] == "...":
        want, got = want[:-1], got[:len(want) - 1]
    # An example that shows no output may have some.
    if want and got != want:
        return "\n".join(["it prints", *got, "instead of", *want])
    return None


def unknown(page, cmdline):
    """What the tool knows, but not the page."""
    def ask(*words):
        return subprocess.run([cmdline, "--as", "tuned", *words], check=True,
                              capture_output=True, encoding="utf-8", timeout=30).stdout
    names = []
    for words in ([""], ["-"], ["set", ""], ["wait", ""], ["stats", ""]):
        names += ask("--complete", "--", *words).split()
    for topic in "show", "wait", "monitor":
        names += re.findall(r"^  ([a-z][a-z-]*)  ", ask("help", topic), re.M)
    with open(page, encoding="utf-8") as f:
        macros = "\n".join(line for line in f if line.startswith("."))
    return [name for name in names if not re.search(
        rf"(Cm|Fl|,|\|) -?{re.escape(name.lstrip('-'))}(?![\w-])", macros)]


def main():
    page, cmdline = sys.argv[1:]
    found = list(examples(page))
    failed = 0
    print(f"KTAP version 1\n1..{len(found) + 1}")
    with tempfile.TemporaryDirectory() as directory:
        env = prepare(directory, os.path.abspath(cmdline))
        for i, (command, want) in enumerate(found, 1):
            skip = [w for w in NOT_RUN if w in command.split()
                    and (w == "systemctl" or not shutil.which(w))]
            if skip:
                print(f"ok {i} {command} # SKIP {skip[0]}: {NOT_RUN[skip[0]]}")
                continue
            error = check(command, want, directory, env)
            if error:
                failed += 1
                print("# " + error.replace("\n", "\n# "))
            print(f"{'not ok' if error else 'ok'} {i} {command}")
    missing = unknown(page, os.path.abspath(cmdline))
    print(f"{'not ok' if missing else 'ok'} {len(found) + 1} the page knows all names "
          f"{' '.join(missing)}")
    return 1 if failed or missing or not found else 0


if __name__ == "__main__":
    sys.exit(main())
