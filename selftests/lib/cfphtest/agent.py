# SPDX-License-Identifier: GPL-2.0
"""The host's end of the guest agent (guest/agent.c has the framing).

QEMU's guest agent would start a command and be asked again and again whether it has
ended (guest-exec-status); and it wants GLib in a guest that is all in memory.  This one
answers once, with the number of the question, so that an answer that comes late, from
before a migration, is not taken for another one.
"""

import socket
import time

from . import config

DYING = 5       # s; from a QEMU's last socket to its end


class AgentError(Exception):
    """The guest did not answer, or a command failed that must not."""


class Agent:
    """One connection; a guest that has moved is reached by a new one."""

    def __init__(self, path, name="guest", alive=lambda _seconds=0: None):
        self._path = path
        # Raises if the QEMU process has died, or dies within that time.
        self._alive = alive
        self._name = name
        self._sock = None
        self._buf = b""
        self._id = 0

    def _lost(self, what):
        """The error of a connection that is gone; QEMU's own, if it is at its end:
        it takes its sockets along before."""
        self._alive(DYING)
        return AgentError(f"{self._name}: agent{what}")

    def _connect(self):
        self._sock = socket.socket(socket.AF_UNIX)
        try:
            self._sock.connect(self._path)
            self._sock.sendall(b"\n")
        except OSError as err:
            self.close()
            raise self._lost(f": {err}") from None
        self._buf = b""

    def close(self):
        if self._sock:
            self._sock.close()
        self._sock = None

    def _fill(self, deadline, what):
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AgentError(f"{self._name}: no answer to '{what}' "
                                 "within the time limit")
            # Short slices only to notice that QEMU has died.
            self._sock.settimeout(min(left, 1))
            try:
                data = self._sock.recv(65536)
            except socket.timeout:
                self._alive()
                continue
            except OSError as err:
                raise self._lost(f": {err}") from None
            if not data:
                raise self._lost(f" connection closed during '{what}'")
            self._buf += data
            return

    def _answer(self, number, deadline, what):
        while True:
            head, newline, rest = self._buf.partition(b"\n")
            if not newline:
                self._fill(deadline, what)
                continue
            words = head.split()
            if len(words) != 4 or words[0] != b"RES":
                self._buf = rest        # the tail of somebody else's answer
                continue
            size = int(words[3])
            while len(rest) < size:
                before = len(self._buf)
                self._fill(deadline, what)
                rest += self._buf[before:]
            self._buf = rest[size:]
            if int(words[1]) == number:
                return int(words[2]), rest[:size].decode(errors="replace")

    def run(self, command, limit=60):
        """Exit code and output of a shell command in the guest."""
        if "\n" in command:
            raise ValueError("one line only")
        if not self._sock:
            self._connect()
        limit *= config.patience()
        self._id += 1
        # Unique over connections: an old answer may still be in the guest.
        number = (int(time.monotonic() * 1000) << 12 | self._id & 0xfff)
        self._sock.settimeout(limit)
        try:
            self._sock.sendall(f"REQ {number} {command}\n".encode())
        except OSError as err:
            raise self._lost(f": {err}") from None
        return self._answer(number, time.monotonic() + limit, command)

    def sh(self, command, limit=60):
        """Output of a shell command that must succeed."""
        code, text = self.run(command, limit)
        if code:
            raise AgentError(f"{self._name}: '{command}' exits {code}: "
                             f"{text.strip()[-600:]}")
        return text
