# SPDX-License-Identifier: GPL-2.0
#
# Where the guest kernel's source comes from: Debian's linux-source-6.12, or
# KDIR=.  Ends at $(LINUX_PREPARED): upstream + kernel/files + kernel/patches.

LINUX_SRC := $(BUILD)/src/linux
LINUX_NEW := $(BUILD)/new/linux
LINUX_UNPACKED := $(STAMP)/linux.unpacked
LINUX_PREPARED := $(STAMP)/linux.prepared

# What else is new in the tree, at another path than under kernel/files.
LINUX_UAPI := $(wildcard uapi/linux/*.h)
LINUX_SPEC := Documentation/netlink/specs/cfph.yaml

# A directory is in the list because its time changes when a file goes away.
LINUX_OVERLAY := $(shell find kernel/files kernel/patches 2>/dev/null) $(LINUX_UAPI) $(LINUX_SPEC)

$(DL)/linux.version: | deps
	$(Q)tools/build/fetch.sh $(DL) $(SUITE) linux

# The tar file is a member of the .deb; mv makes a half unpacked tree invisible.
ifeq ($(KDIR),)
$(LINUX_UNPACKED): $(DL)/linux.version $(STAMP)/linux.from
	@echo "[kernel] unpacking $$(cat $<)"
	$(Q)rm -rf $(LINUX_SRC) $(LINUX_SRC).tmp $(BUILD)/overlay/linux
	$(Q)mkdir -p $(LINUX_SRC).tmp
	$(Q)dpkg-deb --fsys-tarfile $(DL)/linux/*.deb | \
		tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | \
		xz -dc -T0 | tar -x -C $(LINUX_SRC).tmp --strip-components=1
	$(Q)mv $(LINUX_SRC).tmp $(LINUX_SRC)
	$(Q)touch $@
else
# An own tree is copied, again when one of its files is newer than the copy.
# mrproper because kbuild refuses object directories next to in-tree objects.
$(LINUX_UNPACKED): $(STAMP)/linux.from $(call newer_than_copy,$(KDIR),$(LINUX_UNPACKED)) | deps
	@echo "[kernel] copying $(KDIR)"
	$(Q)rm -rf $(BUILD)/overlay/linux
	$(Q)mkdir -p $(LINUX_SRC)
	$(Q)rsync -a --delete --exclude=/.git --exclude='/build-*' $(KDIR)/ $(LINUX_SRC)/
	$(Q)if [ -e $(LINUX_SRC)/.config ] || [ -e $(LINUX_SRC)/include/config ]; then \
		$(CLEAN_ENV) make -s -C $(LINUX_SRC) mrproper; fi
	$(Q)touch $@
endif

$(STAMP)/linux.from: FORCE | $(BUILD)/.cfph-build
	$(call write_if_changed,KDIR=$(KDIR))

# An own tree that has mm/cfph is somebody's work on it: taken as it is.
$(LINUX_PREPARED): $(LINUX_UNPACKED) $(LINUX_OVERLAY) tools/build/overlay.sh
ifneq ($(wildcard $(KDIR:%=%/mm/cfph)),)
	@echo "[kernel] $(KDIR) has mm/cfph: used without our overlay"
else
	@echo "[kernel] overlay and patches"
	$(Q)rm -rf $(LINUX_NEW)
	$(Q)mkdir -p $(LINUX_NEW)/include/uapi/linux $(LINUX_NEW)/$(dir $(LINUX_SPEC))
	$(Q)cp $(LINUX_UAPI) $(LINUX_NEW)/include/uapi/linux/
	$(Q)cp $(LINUX_SPEC) $(LINUX_NEW)/$(LINUX_SPEC)
	$(Q)tools/build/overlay.sh $(LINUX_SRC) $(BUILD)/overlay/linux kernel/patches kernel/files $(LINUX_NEW)
endif
	$(Q)touch $@

# selftests build the kernel's own gen_init_cpio
$(LINUX_SRC)/usr/gen_init_cpio.c: $(LINUX_PREPARED) ;
