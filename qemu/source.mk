# SPDX-License-Identifier: GPL-2.0
#
# Where QEMU's source comes from: Debian 13's qemu 10.0, or QDIR=.  Ends at
# $(QEMU_PREPARED): upstream + qemu/files + qemu/patches.  Also meson, because
# QEMU 10 wants a newer one than Debian 12 has.

QEMU_SRC := $(BUILD)/src/qemu
QEMU_NEW := $(BUILD)/new/qemu
QEMU_UNPACKED := $(STAMP)/qemu.unpacked
QEMU_PREPARED := $(STAMP)/qemu.prepared
MESON := $(STAMP)/meson.unpacked

QEMU_UAPI := uapi/linux/virtio_balloon_cfph.h
QEMU_OVERLAY := $(shell find qemu/files qemu/patches 2>/dev/null) $(QEMU_UAPI) uapi/to-qemu.sh

$(DL)/qemu.version: | deps
	$(Q)tools/build/fetch.sh $(DL) $(SUITE) qemu

$(DL)/meson.version: | deps
	$(Q)tools/build/fetch.sh $(DL) $(SUITE) meson

$(MESON): $(DL)/meson.version
	$(Q)rm -rf $(BUILD)/meson
	$(Q)dpkg-deb -x $(DL)/meson/*.deb $(BUILD)/meson
	$(Q)touch $@

# dpkg-source applies Debian's patches, which configure needs; apt has verified
# the files, so the signature of the .dsc is not looked at again.
ifeq ($(QDIR),)
$(QEMU_UNPACKED): $(DL)/qemu.version $(STAMP)/qemu.from
	@echo "[qemu] unpacking $$(cat $<)"
	$(Q)rm -rf $(QEMU_SRC) $(QEMU_SRC).tmp $(BUILD)/qemu $(BUILD)/overlay/qemu
	$(Q)mkdir -p $(BUILD)/src
	$(Q)dpkg-source -q --no-check -x $(DL)/qemu/*.dsc $(QEMU_SRC).tmp
	$(Q)mv $(QEMU_SRC).tmp $(QEMU_SRC)
	$(Q)touch $@
else
$(QEMU_UNPACKED): $(STAMP)/qemu.from $(call newer_than_copy,$(QDIR),$(QEMU_UNPACKED)) | deps
	@echo "[qemu] copying $(QDIR)"
	$(Q)rm -rf $(BUILD)/overlay/qemu
	$(Q)mkdir -p $(QEMU_SRC)
	$(Q)rsync -a --delete --exclude=/.git --exclude=/build $(QDIR)/ $(QEMU_SRC)/
	$(Q)touch $@
endif

$(STAMP)/qemu.from: FORCE | $(BUILD)/.cfph-build
	$(call write_if_changed,QDIR=$(QDIR))

$(QEMU_PREPARED): $(QEMU_UNPACKED) $(QEMU_OVERLAY) tools/build/overlay.sh
ifneq ($(wildcard $(QDIR:%=%/hw/virtio/virtio-balloon-cfph.c)),)
	@echo "[qemu] $(QDIR) has hw/virtio/virtio-balloon-cfph.c: used without our overlay"
else
	@echo "[qemu] overlay and patches"
	$(Q)rm -rf $(QEMU_NEW)
	$(Q)mkdir -p $(QEMU_NEW)/include/standard-headers/linux
	$(Q)uapi/to-qemu.sh $(QEMU_UAPI) >$(QEMU_NEW)/include/standard-headers/$(QEMU_UAPI:uapi/%=%)
	$(Q)tools/build/overlay.sh $(QEMU_SRC) $(BUILD)/overlay/qemu qemu/patches qemu/files $(QEMU_NEW)
endif
	$(Q)touch $@
