# SPDX-License-Identifier: GPL-2.0
"""Where the built things are: environment variables that the makefile sets."""

import os
import sys


class ConfigError(Exception):
    """Something that the harness needs is not there."""


def _path(name):
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"{name} is not set: run this through make")
    if not os.path.exists(value):
        raise ConfigError(f"{name}={value}: no such file, has it been built?")
    return value


def qemu():
    return _path("QEMU")


def qemu_product():
    """The same without what breaks rules on purpose."""
    return _path("QEMU_PRODUCT")


def qemu_img():
    return _path("QEMU_IMG")


def kernel():
    return _path("KERNEL_IMAGE")


def system_map():
    """Symbols of that kernel."""
    return _path("SYSTEM_MAP")


def kernel_has(option):
    """Is it in the configuration of that kernel?"""
    path = os.path.join(os.path.dirname(system_map()), ".config")
    if not os.path.exists(path):
        raise ConfigError(f"no {path}: nobody knows what this kernel has")
    with open(path, encoding="ascii") as lines:
        return f"{option}=y\n" in lines


def kernel_module(path):
    """Of that kernel: a file of its object directory."""
    return os.path.join(os.path.dirname(system_map()), path)


def initramfs():
    return _path("INITRAMFS")


def uml_kunit(suites):
    """The command that runs those KUnit suites in User Mode Linux."""
    return [_path("UML"), "mem=256M", "kunit.enable=1",
            f"kunit.filter_glob={suites}", "console=tty",
            "kunit_shutdown=halt"]


def perf(*names):
    """What selftests/perf has built."""
    path = os.path.join(os.environ.get("BUILD", ""), "perf", *names)
    if not os.path.exists(path):
        raise ConfigError(f"{path}: no such file: run this through make")
    return path


def linux_src():
    return os.path.abspath(_path("LINUX_SRC"))


def qemu_build():
    return _path("QEMU_BUILD")


def top():
    """The top of the repository."""
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.dirname(os.path.dirname(os.path.dirname(here)))


def timeline():
    """The tool that lays the traces of both sides of a migration side by side."""
    return os.path.join(top(), "tools/timeline/cfph-timeline")


def out_dir(*names):
    """A directory for logs and results, made if it is not there."""
    path = os.path.join(os.path.abspath(os.environ.get("BUILD", "build")),
                        "selftests", *names)
    os.makedirs(path, exist_ok=True)
    return path


def scratch(directory):
    """Where something large goes that is gone at once: there, or $SCRATCH."""
    return os.environ.get("SCRATCH") or directory


def stock(*names):
    """A file of what `make stock` has unpacked: QEMU and kernel without our patches."""
    directory = os.environ.get("STOCK", "")
    path = os.path.join(directory, *names)
    if not directory or not os.path.exists(path):
        raise ConfigError("run make stock")
    return path


def stock_qemu():
    """That QEMU, with its own libraries: it may be of a later Debian than this host."""
    libraries = stock("root/usr/lib/x86_64-linux-gnu")
    return [os.path.join(libraries, "ld-linux-x86-64.so.2"), "--library-path",
            libraries, stock("root/usr/bin/qemu-system-x86_64")]


def qemu_command(program=None):
    """QEMU with nothing but its firmware.

    Run from its build tree it does not look where Debian's is.
    """
    dirs = os.environ.get("FIRMWARE", "/usr/share/seabios:/usr/share/qemu")
    return (program or [qemu()]) + ["-nodefaults", "-no-user-config"] + [
        word for d in dirs.split(":") if os.path.isdir(d)
        for word in ("-L", d)]


def patience():
    """Factor for time limits: a debug kernel under TCG is slow, and so is
    KVM in an emulated machine (PATIENCE=n)."""
    return int(os.environ.get("PATIENCE") or
               (6 if os.environ.get("DEBUG") else 1))


def import_qmp():
    """QEMU's own QMP library, from the source that QEMU was built from."""
    source = _path("QEMU_SRC")
    path = os.path.join(source, "python")
    if path not in sys.path:
        sys.path.insert(0, path)
    # pylint: disable=import-outside-toplevel,import-error
    from qemu.qmp import ExecuteError, QMPError
    from qemu.qmp.legacy import QEMUMonitorProtocol
    return QEMUMonitorProtocol, ExecuteError, QMPError


def parse_size(text):
    """'2G', '512M' -> bytes."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    unit = units.get(text[-1:].upper())
    try:
        return int(text[:-1]) * unit if unit else int(text)
    except ValueError:
        raise ConfigError(
            f"'{text}' is not a size: write 512M or 2G") from None
