#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Run a command on a terminal of its own and copy what it prints to stdout.

Usage: terminal.py COMMAND...; exits with its exit code.
"""
import os
import pty
import sys


def main():
    pid, fd = pty.fork()
    if not pid:
        os.execv(sys.argv[1], sys.argv[1:])
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:  # EIO: nobody has the other end any more
            break
        if not data:
            break
        sys.stdout.buffer.write(data)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
