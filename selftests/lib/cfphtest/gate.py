# SPDX-License-Identifier: GPL-2.0
"""A gate between the moment in which QEMU finds that what is left fits into the
downtime limit, and the one in which it stops the guest for that.

It is a matter of microseconds.  To make it as long as a test needs, QEMU's trace
goes to a pipe, with a single event in it: the one that the migration thread emits
between these two moments.  A write to a full pipe waits for a reader, and nothing
waits for this thread meanwhile: the guest runs, the monitor answers.  So what the
guest does in this gap comes too late for the estimate, and is there when the
decision is made, every time.
"""

import contextlib
import fcntl
import os
import select
import signal

from .registry import need, wait_for

EVENT = "migrate_pending_exact"
F_SETPIPE_SZ = 1031
WRITE = 1               # number of the system call
ROOM = 4096             # one page: a pipe cannot be smaller
LINE = 150              # one line of the trace fits, two do not
WIDE = 1 << 20


class Gate:
    """Give it to ctx.vm(gate=), shut; `with Gate(path) as gate:`"""

    def __init__(self, path):
        self._path = path
        if os.path.exists(path):
            os.unlink(path)
        os.mkfifo(path)
        # With both ends open here QEMU's open() does not wait.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._fd, F_SETPIPE_SZ, ROOM)
        os.write(self._fd, b" " * ROOM)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self._fd)
        os.unlink(self._path)

    def args(self):
        """QEMU's options."""
        return ["-D", self._path, "-trace", EVENT]

    def _held(self, vm):
        """Is a thread of it waiting to write to the pipe?"""
        proc = f"/proc/{vm.pid}"
        for task in os.listdir(f"{proc}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"{proc}/task/{task}/syscall",
                          encoding="ascii") as file:
                    call = file.read().split()
                if (call[0] == str(WRITE) and self._path ==
                        os.readlink(f"{proc}/fd/{int(call[1], 16)}")):
                    return True
        return False

    def _let_one_pass(self, vm):
        """Who waits goes on; who comes next has to wait again.

        QEMU must not see the pipe with more room than that, however slow we are.
        """
        os.kill(vm.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, vm.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        try:
            while select.select([self._fd], [], [], 0)[0]:
                os.read(self._fd, ROOM)
            os.write(self._fd, b" " * (ROOM - LINE))
        finally:
            os.kill(vm.pid, signal.SIGCONT)

    def catch(self, migration, size, limit=60):
        """Wait until less than @size is left, and the guest has not stopped.

        Returns query-migrate of that moment; then the migration stands still
        until open() is called.
        """
        def caught():
            if not self._held(migration.src):
                status = migration.info()["status"]
                need(status in ("setup", "active"), f"it slipped by: {status}")
                return None
            info = migration.info()
            if info["ram"]["remaining"] < size:
                return info
            self._let_one_pass(migration.src)
            return None

        return wait_for(caught, "the migration does not get to its end", limit)

    def open(self):
        """From now on nobody has to wait."""
        fcntl.fcntl(self._fd, F_SETPIPE_SZ, WIDE)
