# SPDX-License-Identifier: GPL-2.0
#
# The test guest's initramfs: $(INITRAMFS).  Nothing here needs to be root.
#
# Uses from the including makefile: BUILD,
# GUEST_MODULES (.ko files in load order), KERNEL_SUFFIX (of the kernel that
# they are for, so that a guest that runs keeps its own archive), FPCTL, GUEST_PROGRAMS (more programs
# to put in, with their libraries), Q (quiet prefix), CC.
# A second archive may be put behind this one: the kernel unpacks both.

GUEST_DIR      := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
GUEST_BUILD    := $(BUILD)/guest
INITRAMFS      := $(GUEST_BUILD)/initramfs$(KERNEL_SUFFIX).cpio.gz
GUEST_BUSYBOX  ?= /bin/busybox
GUEST_PROGRAMS ?= /usr/bin/trace-cmd
GUEST_CFLAGS   ?= -static -O2 -g0 -Wall -Wextra

GUEST_LOAD_SRC := $(addprefix $(GUEST_DIR)/,load.c churn.c stress.c shake.c pattern.c ctl.c)
GUEST_LOAD_HDR := $(addprefix $(GUEST_DIR)/,load.h pattern.h ctl.h)

$(GUEST_BUILD)/cfph-load: $(GUEST_LOAD_SRC) $(GUEST_LOAD_HDR)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -o $@ $(GUEST_LOAD_SRC)

GUEST_FUZZ_SRC := $(addprefix $(GUEST_DIR)/,nlfuzz.c nlmake.c pattern.c ctl.c)

$(GUEST_BUILD)/nlfuzz: $(GUEST_FUZZ_SRC) $(addprefix $(GUEST_DIR)/,nlfuzz.h pattern.h ctl.h) uapi/linux/cfph.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -Iuapi -o $@ $(GUEST_FUZZ_SRC)

# Those of one file.
GUEST_SINGLE := $(addprefix $(GUEST_BUILD)/,agent kexec-now recode)

$(GUEST_SINGLE): $(GUEST_BUILD)/%: $(GUEST_DIR)/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -o $@ $<

$(INITRAMFS): $(addprefix $(GUEST_DIR)/,guest-init mkguest.py ../lib/cfphtest/initramfs.py) \
	      $(GUEST_BUILD)/cfph-load $(GUEST_BUILD)/nlfuzz $(GUEST_SINGLE) \
	      $(GUEST_MODULES) $(FPCTL)
	@echo "  CPIO    $@"
	$(Q)$(GUEST_DIR)/mkguest.py $(GUEST_BUSYBOX) $(GUEST_BUILD) $(@:.gz=) \
		$(GUEST_MODULES) -- $(FPCTL) $(GUEST_PROGRAMS)
	$(Q)gzip -n -f -6 $(@:.gz=)

.PHONY: initramfs
initramfs: $(INITRAMFS)
