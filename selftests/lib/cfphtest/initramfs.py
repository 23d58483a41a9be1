# SPDX-License-Identifier: GPL-2.0
"""File systems for guests: the one way to put files into one, with their libraries.

The kernel unpacks any number of archives, one behind the other, each file over what was
there.  So make builds the archive that all guests share (selftests/guest, kvm), and a
test adds its own (Context.initrd_with()).

Written here rather than by the kernel's gen_init_cpio, which is there only while
the kernel's tree is, and rather than by cpio(1), which wants to be root for a device
node: the format is a head of thirteen numbers, the name, and the data.
"""

import os
import re
import stat
import subprocess

from .config import ConfigError

# In a list of libraries: NAME => PATH (ADDRESS), or the linker itself.
_LOADED = re.compile(r"(?:=> |^\s+)(/\S+) \(", re.M)


def libraries(program):
    """What the dynamic linker loads for it, and the linker; nothing if it is static."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    if "not found" in done.stdout:
        raise ConfigError(f"{program} lacks a library: {done.stdout}")
    return _LOADED.findall(done.stdout)


def _entry(name, mode, data=b"", device=(0, 0)):
    # inode, mode, uid, gid, links, mtime, size, device of the file (2), device
    # that a node is for (2), size of the name, check sum
    name = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]


class Archive:
    """One archive in cpio's newc format; parents of what is added come of themselves."""

    def __init__(self):
        self._parts = []
        self._names = set()

    def _add(self, name, mode, data=b"", device=(0, 0)):
        """Once, however often it is asked for."""
        name = os.path.normpath("/" + name.lstrip("/"))
        if name in self._names or name == "/":
            return
        self.directory(os.path.dirname(name))
        self._names.add(name)
        self._parts += _entry(name[1:], mode, data, device)

    def directory(self, *names):
        for name in names:
            self._add(name, stat.S_IFDIR | 0o755)

    def node(self, name, major, minor, mode=0o600):
        """A character device."""
        self._add(name, stat.S_IFCHR | mode, device=(major, minor))

    def link(self, name, target):
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def text(self, name, text, mode=0o755):
        self._add(name, stat.S_IFREG | mode, text.encode())

    def file(self, source, name=None, mode=0o755):
        """A file of the host, under its own name if there is no other."""
        if not os.path.isfile(source):
            raise ConfigError(f"{source} is missing: the guest would lack it")
        with open(source, "rb") as file:
            self._add(name or source, stat.S_IFREG | mode, file.read())

    def program(self, source, name=None):
        """The same, with the libraries that it asks for."""
        self.file(source, name)
        self.libraries_of(source)

    def libraries_of(self, source):
        for library in libraries(source):
            self.file(library)

    def base(self, init, busybox, *directories):
        """What every guest starts with."""
        self.directory(*directories)
        self.node("/dev/console", 5, 1)
        self.node("/dev/null", 1, 3, 0o666)
        self.file(init, "/init")
        self.file(busybox, "/bin/busybox")

    def write(self, out):
        """All of it to a file; the kernel wants each archive at a multiple of 4."""
        out.writelines(self._parts + _entry("TRAILER!!!", 0))
