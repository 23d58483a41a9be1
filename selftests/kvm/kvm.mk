# SPDX-License-Identifier: GPL-2.0
#
# `make check-kvm`: migrations under real KVM on a host that has none.  TCG
# emulates AMD's SVM, so an emulated machine, the outer guest, runs Debian's own
# cloud kernel with kvm-amd, and in it our QEMU runs our guest with -accel kvm.
#
# Uses from the including makefile: BUILD, DL, SUITE, STAMP, Q, TEST_ENV, and what
# the test guest and QEMU are made of.  Nothing here needs to be root.

KVM_DIR       := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
KVM_BUILD     := $(BUILD)/kvm
KVM_UNPACKED  := $(STAMP)/kvm.unpacked
KVM_INITRAMFS := $(KVM_BUILD)/outer.cpio
KVM_TESTS     := $(addprefix selftests/,run.py tests/mutants.py tests/kvm.py) $(wildcard selftests/lib/cfphtest/*.py)

$(DL)/cloud.version: | deps
	$(Q)tools/build/fetch.sh $(DL) $(SUITE) cloud

# Of all the kernel's modules only what /init loads, in the order in which it
# does; a kernel that has one of them built in has no file for it.
$(KVM_UNPACKED): $(DL)/cloud.version $(addprefix $(KVM_DIR)/,unpack.sh kvm.mk)
	@tools/build/deps.sh $(DEBS_KVM)
	@echo "[kvm] unpacking $$(cat $<)"
	$(Q)$(KVM_DIR)/unpack.sh $(DL)/cloud/*.deb $(KVM_BUILD)/cloud irqbypass kvm kvm-amd virtio_blk
	$(Q)touch $@

# Uncompressed: to unpack it would take the emulated machine longer than to load.
$(KVM_INITRAMFS): $(KVM_UNPACKED) $(KERNEL_BUILT) $(INITRAMFS) $(QEMU_BUILT) \
		  $(KVM_TESTS) $(addprefix $(KVM_DIR)/,outer-init mkouter.py)
	@echo "  CPIO    $@"
	$(Q)strip -o $(KVM_BUILD)/qemu-system-x86_64 $(QEMU)
	$(Q)$(TEST_ENV) QEMU=$(KVM_BUILD)/qemu-system-x86_64 $(KVM_DIR)/mkouter.py $(KVM_BUILD) $(GUEST_BUSYBOX) $@

check-kvm: guest qemu $(KVM_INITRAMFS) ## migrations under real KVM, in an emulated machine that has it (T=name)
	$(Q)$(TEST_ENV) $(KVM_DIR)/outer.py $(T)

.PHONY: check-kvm
