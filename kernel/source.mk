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

# $(call linux_unpack,TREE).  The tar file is a member of the .deb; mv makes a half
# unpacked tree invisible.
define linux_unpack
	$(Q)rm -rf $(1) $(1).tmp
	$(Q)mkdir -p $(1).tmp
	$(Q)dpkg-deb --fsys-tarfile $(DL)/linux/*.deb | \
		tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | \
		xz -dc -T0 | tar -x -C $(1).tmp --strip-components=1
	$(Q)mv $(1).tmp $(1)
endef

# $(call linux_copy,TREE): of KDIR.  mrproper because kbuild refuses object directories
# next to in-tree objects.
define linux_copy
	$(Q)mkdir -p $(1)
	$(Q)rsync -a --delete --exclude=/.git --exclude='/build-*' $(KDIR)/ $(1)/
	$(Q)if [ -e $(1)/.config ] || [ -e $(1)/include/config ]; then \
		$(CLEAN_ENV) make -s -C $(1) mrproper; fi
endef

ifeq ($(KDIR),)
$(LINUX_UNPACKED): $(DL)/linux.version $(STAMP)/linux.from
	@echo "[kernel] unpacking $$(cat $<)"
	$(Q)rm -rf $(BUILD)/overlay/linux
	$(call linux_unpack,$(LINUX_SRC))
	$(Q)touch $@
else
# An own tree is copied, again when one of its files is newer than the copy.
$(LINUX_UNPACKED): $(STAMP)/linux.from $(call newer_than_copy,$(KDIR),$(LINUX_UNPACKED)) | deps
	@echo "[kernel] copying $(KDIR)"
	$(Q)rm -rf $(BUILD)/overlay/linux
	$(call linux_copy,$(LINUX_SRC))
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
