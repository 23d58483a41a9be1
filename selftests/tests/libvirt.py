# SPDX-License-Identifier: GPL-2.0
"""What an operator does through libvirt, with two of Debian's daemons as two hosts.

Domain and recipe are the guide's: what it says is what runs here.  The QEMU is the
one that users get.  Whether memory is right is for other tests to compare page by
page; here the guest checks what it has stamped, and takes the pages that were left
out.
"""

import contextlib
import os
import socket

from cfphtest import config, guest
from cfphtest.libvirtd import (Daemon, Domain, Files, domain_xml,
                               need_libvirt)
from cfphtest.registry import Skip, need, test, wait_for
from cfphtest.save import written
from cfphtest.vm import VMError

GUIDE = "Documentation/admin-guide/mm/cfph-host.rst"
NAME = "guest0"
MIB = 1280
FULL = 90               # percent of its memory that has been written and freed
STAMP_MIB = 8
SMALL = 0.06            # of the bytes without hints, as elsewhere
OFF = "migrate_set_parameter x-free-page-hints off"


def block(start):
    """The literal block of the guide behind the line that ends with this."""
    with open(os.path.join(config.top(), GUIDE), encoding="utf-8") as guide:
        text = guide.read()
    need(text.count(start) == 1, f"{GUIDE}: not once: {start}")
    lines = []
    for line in text.split(start)[1].split("\n\n", 1)[1].splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line[4:])
    return "\n".join(lines).strip() + "\n"


@contextlib.contextmanager
def hosts(ctx):
    """(host a, host b, what they both have)."""
    need_libvirt()
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(contextlib.closing(Files()))
        yield tuple(stack.enter_context(contextlib.closing(
            Daemon(name, ctx.logs))) for name in "ab") + (files,)


def define(host, files, with_property=True):
    """The domain, and the property as the guide adds it to all that there are."""
    path = host.file("plain.xml", domain_xml(host, files, NAME, MIB))
    host.virsh("define", path)
    if with_property:
        host.file("cfph.xml", block("saved as ``cfph.xml``::"))
        host.shell("cd; " + block("the property for every VM of a host::"))
        xml = host.virsh("dumpxml", "--inactive", NAME)
        need("continuous-free-page-hint" in xml, f"not in the XML: {xml}")


def started(host):
    """A guest with little in use, and old contents in all that is free."""
    host.virsh("start", NAME)
    vm = Domain(host, NAME).boot()
    guest.settled(vm)
    vm.sh(f"memhog --percent {FULL}", 120)
    vm.sh(f"stamp start --mib {STAMP_MIB}")
    return vm


def check(ctx, vm):
    """It goes on, with what it had, and takes what was left out."""
    ctx.say(guest.check_stamp(vm))
    vm.sh("memhog --percent 40", 120)
    guest.check_stamp(vm)
    ctx.say(f"map: {guest.check_map(vm)}")
    guest.check_console(vm)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Job:
    """A live migration, and what QEMU counted last, as seen through libvirt."""

    def __init__(self, vm, dst, *words, slow=200):
        self.vm, self.dst = vm, dst
        self.ram = {}
        self._proc = vm.daemon.begin(
            "migrate", "--live", "--persistent", "--undefinesource",
            "--bandwidth", str(slow), *words, NAME, "--desturi", dst.uri)

    def look(self):
        """Is it over?  Takes the counters along."""
        self.ram = self.vm.ram() or self.ram
        return self._proc.poll() is not None

    def wait_hints(self):
        wait_for(lambda: self.look() or
                 self.ram.get("free-pages-deferred"), "no page is set aside")

    def finish(self, ctx, postcopy=False):
        """It has to arrive; returns the bytes that virsh says were sent."""
        wait_for(self.look, "the migration does not end", 120)
        said = self._proc.communicate()[1].strip()
        need(not self._proc.returncode, f"virsh migrate: {said}")
        self.vm.seen(self.dst)
        # Who has got the pages in postcopy cannot tell libvirt how many.
        sent = self.ram["transferred"] if postcopy else self.vm.job_bytes()
        ctx.say(f"{self.ram.get('free-pages-deferred')} pages set aside when "
                f"last seen, {sent >> 20} of {MIB} MiB sent")
        return sent

    def failed(self):
        """What it says, if it does not arrive."""
        wait_for(self.look, "the migration does not end", 120)
        said = self._proc.communicate()[1].strip()
        need(self._proc.returncode, "virsh migrate: done")
        return said


def need_few(sent):
    """What has been freed was written: without hints all of it is sent."""
    need(sent < MIB << 20 >> 2, f"{sent >> 20} MiB sent of {MIB}")


@test("libvirt-migrate", 300)
def libvirt_migrate(ctx):
    """virsh migrate --live over unix, tcp and a tunnel: hints in each."""
    with hosts(ctx) as (a, b, files):
        define(a, files)
        vm = started(a)
        ways = (["--migrateuri", "unix://" + a.file("sock")],
                ["--migrateuri", f"tcp://127.0.0.1:{free_port()}"],
                ["--p2p", "--tunnelled"])
        for number, words in enumerate(ways):
            dst = (b, a)[number % 2]
            job = Job(vm, dst, *words)
            job.wait_hints()
            sent = job.finish(ctx)
            need(job.ram.get("free-pages-deferred"), f"no hints: {job.ram}")
            need_few(sent)
            check(ctx, vm)
            vm.sh(f"memhog --percent {FULL}", 120)


@test("libvirt-abort", 240)
def libvirt_abort(ctx):
    """virsh domjobabort in the middle: the guest goes on, and goes later."""
    with hosts(ctx) as (a, b, files):
        define(a, files)
        vm = started(a)
        job = Job(vm, b, slow=1)
        job.wait_hints()
        a.virsh("domjobabort", NAME)
        ctx.say(job.failed())
        check(ctx, vm)
        vm.sh(f"memhog --percent {FULL}", 120)
        need_few(Job(vm, b).finish(ctx))
        check(ctx, vm)


@test("libvirt-postcopy", 240)
def libvirt_postcopy(ctx):
    """virsh migrate --postcopy, switched over in the middle of a slow round."""
    with hosts(ctx) as (a, b, files):
        define(a, files)
        vm = started(a)
        job = Job(vm, b, "--postcopy", "--postcopy-bandwidth", "500", slow=2)
        try:
            job.wait_hints()
            a.virsh("migrate-postcopy", NAME)
        except VMError as err:
            said = job.failed()
            if "userfault" in said.lower() or "postcopy" in said.lower():
                raise Skip(f"no postcopy for {NAME} here: {said}") from err
            raise
        need_few(job.finish(ctx, postcopy=True))
        check(ctx, vm)


@test("libvirt-global", 180)
def libvirt_global(ctx):
    """The property and the migration's parameter as -global: obeyed."""
    with hosts(ctx) as (a, b, files):
        define(a, files, with_property=False)
        xml = a.virsh("dumpxml", "--inactive", NAME)
        extra = block("with ``-global``, which libvirt passes on::")
        a.virsh("define", a.file("global.xml", xml.replace(
            "<domain type='qemu'>", "<domain type='qemu' xmlns:qemu="
            "'http://libvirt.org/schemas/domain/qemu/1.0'>").replace(
                "</domain>", extra + "</domain>")))
        vm = started(a)
        job = Job(vm, b)
        sent = job.finish(ctx)
        need(not job.ram.get("free-pages-deferred"), f"used: {job.ram}")
        need(sent > MIB << 20 >> 1, f"only {sent >> 20} MiB without hints")
        check(ctx, vm)


# --- to files ---

def trim_lists(vm):
    """What lies in per-cpu lists is not free for us, and nobody can ask for it when
    the guest has been stopped: as the guide says, the guest is told before."""
    vm.sh("fpctl reclaim 0")


def sizes(ctx, vm, what, save, restore):
    """Save it without hints and with them, the same way."""
    host, found = vm.daemon, []
    for hinted in (False, True):
        trim_lists(vm)
        if not hinted:
            host.virsh("qemu-monitor-command", NAME, "--hmp", OFF)
        path = host.file(f"{what}-{hinted}")
        found.append(written(save(path) or path))
        restore(path)
        vm.seen(host)
        vm.sh("true")
        if hinted:
            check(ctx, vm)
    off, on = found
    ctx.say(f"{what}: bytes without hints {off}, with {on}: {on / off:.3f}")
    need(on <= off * SMALL + (STAMP_MIB << 20), f"{what}: {on} bytes of {off}")


@test("libvirt-save", 300)
def libvirt_save(ctx):
    """virsh save and restore: a file of what is in use."""
    with hosts(ctx) as (a, _b, files):
        define(a, files)
        vm = started(a)
        sizes(ctx, vm, "save", lambda path: a.virsh("save", NAME, path),
              lambda path: a.virsh("restore", path))


@test("libvirt-managedsave", 300)
def libvirt_managedsave(ctx):
    """virsh managedsave and start."""
    with hosts(ctx) as (a, _b, files):
        define(a, files)
        vm = started(a)

        def save(_path):
            a.virsh("managedsave", NAME, limit=120)
            return a.managed_save(NAME)
        sizes(ctx, vm, "managedsave", save,
              lambda _path: a.virsh("start", NAME))


@test("libvirt-snapshot", 300)
def libvirt_snapshot(ctx):
    """virsh snapshot-create-as --memspec, of a guest that runs on and not."""
    with hosts(ctx) as (a, _b, files):
        define(a, files)
        vm = started(a)
        full = a.file("full")
        a.virsh("qemu-monitor-command", NAME, "--hmp", OFF)
        a.virsh("dump", "--live", NAME, full, limit=120)
        a.virsh("qemu-monitor-command", NAME, "--hmp",
                OFF.replace(" off", " on"))
        off = written(full)
        for words in ([], ["--live"]):
            trim_lists(vm)
            path = a.file("memory" + "".join(words))
            a.virsh("snapshot-create-as", NAME, "--memspec",
                    f"file={path},snapshot=external", "--no-metadata", *words,
                    limit=120)
            on = written(path)
            ctx.say(f"snapshot {words}: {on} bytes of {off}: {on / off:.3f}")
            need(on <= off * SMALL + (STAMP_MIB << 20), f"{words}: {on}")
        ctx.say(guest.check_stamp(vm))
        a.virsh("destroy", NAME)
        a.virsh("restore", path)
        vm.seen(a)
        check(ctx, vm)


@test("libvirt-dump", 240)
def libvirt_dump(ctx):
    """virsh dump: small; --memory-only is no migration, and has everything."""
    with hosts(ctx) as (a, _b, files):
        define(a, files)
        vm = started(a)
        sizes_of = {}
        for words in ([], ["--memory-only"]):
            path = a.file("dump" + "".join(words))
            a.virsh("dump", "--live", *words, NAME, path, limit=120)
            sizes_of[len(words)] = written(path)
        ctx.say(f"dump {sizes_of[0]} bytes, --memory-only {sizes_of[1]}")
        need(sizes_of[0] < MIB << 20 >> 2, f"dump: {sizes_of[0]}")
        need(sizes_of[1] >= MIB << 20, f"--memory-only: {sizes_of[1]}")
        check(ctx, vm)
