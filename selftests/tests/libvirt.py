# SPDX-License-Identifier: GPL-2.0
"""What an operator does through libvirt, with two of Debian's daemons as two hosts.

Domain and recipe are the guide's: what it says is what runs here.  The QEMU is the
one that users get.  Whether memory is right is for other tests to compare page by
page; here the guest checks what it has stamped, and takes the pages that were left
out.
"""

import contextlib

from cfphtest import guest, hints
from cfphtest.docpages import HOST, block
from cfphtest.integrity import trim_lists
from cfphtest.libvirtd import (Daemon, Domain, Files, domain_xml,
                               free_port, need_libvirt)
from cfphtest.registry import Skip, need, test, wait_for
from cfphtest.save import written
from cfphtest.vm import VMError

NAME = "guest0"
MIB = 1280
FULL = 90               # percent of its memory that has been written and freed
AGAIN = 80              # and later, when something else is in use, too
STAMP_MIB = 8
SMALL = 0.06            # of the bytes without hints, as elsewhere


def add_by_recipe(host):
    """The property, as the guide adds it to all domains of a host."""
    host.file("cfph.xml", block(HOST, "saved as ``cfph.xml``::"))
    host.shell("cd; " + block(HOST, "the property for every VM of a host::"))
    xml = host.virsh("dumpxml", "--inactive", NAME)
    need("continuous-free-page-hint" in xml, f"not in the XML: {xml}")


def add_as_global(host):
    """The same through -global, and no hints for this domain's migrations."""
    xml = host.virsh("dumpxml", "--inactive", NAME)
    extra = block(HOST, "with ``-global``, which libvirt passes on::")
    host.virsh("define", host.file("global.xml", xml.replace(
        "<domain type='qemu'>", "<domain type='qemu' xmlns:qemu="
        "'http://libvirt.org/schemas/domain/qemu/1.0'>").replace(
            "</domain>", extra + "</domain>")))


@contextlib.contextmanager
def running(ctx, names="ab", add=add_by_recipe):
    """(domain, host a, ...): a guest with little in use, and old contents in all
    that is free, on the first of the hosts."""
    need_libvirt()
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(contextlib.closing(Files()))
        hosts = [stack.enter_context(contextlib.closing(Daemon(n, ctx.logs)))
                 for n in names]
        host = hosts[0]
        host.virsh("define", host.file("plain.xml",
                                       domain_xml(host, files, NAME, MIB)))
        add(host)
        host.virsh("start", NAME)
        vm = Domain(host, NAME).boot()
        guest.settled(vm)
        vm.sh(f"memhog --percent {FULL}", 120)
        vm.sh(f"stamp start --mib {STAMP_MIB}")
        yield (vm, *hosts)


def check(ctx, vm):
    """It goes on, with what it had, and takes what was left out."""
    ctx.say(guest.check_stamp(vm))
    vm.sh("memhog --percent 40", 120)
    guest.check_stamp(vm)
    ctx.say(f"map: {guest.check_map(vm)}")
    guest.check_console(vm)


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

    def _end(self):
        """(exit code, what it says)"""
        wait_for(self.look, "the migration does not end", 120)
        said = self._proc.communicate()[1].strip()
        return self._proc.returncode, said

    def finish(self, ctx, postcopy=False):
        """It has to arrive; returns the bytes that virsh says were sent."""
        code, said = self._end()
        need(not code, f"virsh migrate: {said}")
        self.vm.seen(self.dst)
        # Who has got the pages in postcopy cannot tell libvirt how many.
        sent = self.ram["transferred"] if postcopy else self.vm.job_bytes()
        ctx.say(f"{self.ram.get('free-pages-deferred')} pages set aside when "
                f"last seen, {sent >> 20} of {MIB} MiB sent")
        return sent

    def failed(self):
        """What it says, if it does not arrive."""
        code, said = self._end()
        need(code, "virsh migrate: done")
        return said


def need_few(sent):
    """What has been freed was written: without hints all of it is sent."""
    need(sent < MIB << 20 >> 2, f"{sent >> 20} MiB sent of {MIB}")


@test("libvirt-migrate", 300)
def libvirt_migrate(ctx):
    """virsh migrate --live over unix, tcp and a tunnel: hints in each."""
    with running(ctx) as (vm, a, b):
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
            vm.sh(f"memhog --percent {AGAIN}", 120)


@test("libvirt-abort", 240)
def libvirt_abort(ctx):
    """virsh domjobabort in the middle: the guest goes on, and goes later."""
    with running(ctx) as (vm, a, b):
        job = Job(vm, b, slow=1)
        job.wait_hints()
        a.virsh("domjobabort", NAME)
        ctx.say(job.failed())
        check(ctx, vm)
        vm.sh(f"memhog --percent {AGAIN}", 120)
        need_few(Job(vm, b).finish(ctx))
        check(ctx, vm)


@test("libvirt-postcopy", 240)
def libvirt_postcopy(ctx):
    """virsh migrate --postcopy, switched over in the middle of a slow round."""
    with running(ctx) as (vm, a, b):
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
    with running(ctx, add=add_as_global) as (vm, _a, b):
        job = Job(vm, b)
        sent = job.finish(ctx)
        need(not job.ram.get("free-pages-deferred"), f"used: {job.ram}")
        need(sent > MIB << 20 >> 1, f"only {sent >> 20} MiB without hints")
        check(ctx, vm)


# --- to files ---

def sizes(ctx, vm, what, save, restore):
    """Save it without hints and with them, the same way."""
    host, found = vm.daemon, []
    for hinted in (False, True):
        trim_lists(vm)
        hints.switch(vm, hinted)
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
    with running(ctx, "a") as (vm, a):
        sizes(ctx, vm, "save", lambda path: a.virsh("save", NAME, path),
              lambda path: a.virsh("restore", path))


@test("libvirt-managedsave", 300)
def libvirt_managedsave(ctx):
    """virsh managedsave and start."""
    with running(ctx, "a") as (vm, a):

        def save(_path):
            a.virsh("managedsave", NAME, limit=120)
            return a.managed_save(NAME)
        sizes(ctx, vm, "managedsave", save,
              lambda _path: a.virsh("start", NAME))


@test("libvirt-snapshot", 300)
def libvirt_snapshot(ctx):
    """virsh snapshot-create-as --memspec, of a guest that runs on and not."""
    with running(ctx, "a") as (vm, a):
        full = a.file("full")
        hints.switch(vm, False)
        a.virsh("dump", "--live", NAME, full, limit=120)
        hints.switch(vm, True)
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
    with running(ctx, "a") as (vm, a):
        sizes_of = {}
        for words in ([], ["--memory-only"]):
            path = a.file("dump" + "".join(words))
            a.virsh("dump", "--live", *words, NAME, path, limit=120)
            sizes_of[len(words)] = written(path)
        ctx.say(f"dump {sizes_of[0]} bytes, --memory-only {sizes_of[1]}")
        need(sizes_of[0] < MIB << 20 >> 2, f"dump: {sizes_of[0]}")
        need(sizes_of[1] >= MIB << 20, f"--memory-only: {sizes_of[1]}")
        check(ctx, vm)
