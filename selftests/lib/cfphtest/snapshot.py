# SPDX-License-Identifier: GPL-2.0
"""The state of a whole VM in a file: savevm and loadvm as QMP and HMP have them.

The file is a qcow2 image that no device uses; it is open only while a job runs.
"""

import subprocess

from . import config
from .vm import VMError

TAG = NODE = "state"


class SnapshotRefused(VMError):
    """QEMU does not want to; the text says why."""


def image(path):
    """A new image for the state of one VM."""
    subprocess.run([config.qemu_img(), "create", "-q", "-f", "qcow2", path,
                    "1M"], check=True, stdin=subprocess.DEVNULL)
    return path


def _concluded(event):
    return (event["event"] == "JOB_STATUS_CHANGE" and
            event["data"] == {"id": "job", "status": "concluded"})


def _open(vm, path):
    vm.qmp("blockdev-add", driver="qcow2", node_name=NODE,
           file={"driver": "file", "filename": path})


def _job(vm, command, path, limit):
    _open(vm, path)
    vm.qmp(command, job_id="job", tag=TAG, vmstate=NODE, devices=[NODE])
    vm.wait_event(_concluded, limit)
    job, = vm.qmp("query-jobs")
    vm.qmp("job-dismiss", id="job")
    try:
        vm.qmp("blockdev-del", node_name=NODE)      # flushed and unlocked
    except vm.QMPExecuteError:
        # A load that fails in the middle leaves its file open.
        if "error" not in job:
            raise
    if "error" in job:
        raise SnapshotRefused(f"{vm.name}: {command}: {job['error']}")


def save(vm, path, limit=120):
    """All of the VM goes to the image."""
    _job(vm, "snapshot-save", path, limit)


def load(vm, path, limit=120):
    """The VM, which is there without -incoming, becomes the one in the image."""
    _job(vm, "snapshot-load", path, limit)


def _hmp(vm, command, path):
    """HMP takes every disk that can hold a snapshot: there is no other."""
    _open(vm, path)
    said = vm.hmp(f"{command} {TAG}").strip()
    vm.qmp("blockdev-del", node_name=NODE)
    if said:
        raise SnapshotRefused(f"{vm.name}: {command}: {said}")


def savevm(vm, path):
    """save(), by the monitor's own command."""
    _hmp(vm, "savevm", path)


def loadvm(vm, path):
    """load(), by the monitor's own command."""
    _hmp(vm, "loadvm", path)
