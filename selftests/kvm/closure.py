#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Prints the files of Python that the tests need, one a line.

Loads the test runner as it is loaded there, and looks at what came along.  A
package comes whole, because parts of it may be loaded late; so does its cache
of compiled files, which the emulated machine would take minutes to make.
"""

import importlib
import os
import sys
import sysconfig

HERE = os.path.dirname(os.path.abspath(__file__))
# Loaded late, by a function or in a thread.
LATE = ("concurrent.futures.thread", "asyncio.unix_events", "encodings.idna",
        "encodings.latin_1", "traceback", "linecache", "tempfile", "shutil")


def cached(path):
    """The source and its compiled form."""
    yield path
    cache = importlib.util.cache_from_source(path)
    if os.path.exists(cache):
        yield cache


def package(directory):
    for where, _, names in os.walk(directory):
        for name in names:
            yield os.path.join(where, name)


def main():
    sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lib"),
                    os.path.dirname(HERE)]
    sys.dont_write_bytecode = True
    # pylint: disable=import-outside-toplevel
    from cfphtest import config
    config.import_qmp()
    import run
    run.load_tests()
    for name in LATE:
        importlib.import_module(name)

    stdlib = sysconfig.get_path("stdlib")
    files = set()
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        if not path.startswith(stdlib):
            continue                # built in, or ours
        if path.endswith(".so"):
            files.add(path)
        elif os.path.basename(path) == "__init__.py" and "." not in name:
            files.update(package(os.path.dirname(path)))
        else:
            files.update(cached(path))
    print("\n".join(sorted(files)))


if __name__ == "__main__":
    main()
