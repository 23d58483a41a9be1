# SPDX-License-Identifier: GPL-2.0
#
# Builds the guest kernel (x86-64) and the same tree as a User Mode Linux
# process for unit tests.  Object directories lie directly under the source
# tree: kbuild then writes relative paths and ccache hits in any checkout.
#
# DEBUG=1 adds lockdep, KASAN and the like, DEBUG=kcsan the detector of data races,
# COVERAGE=1 counters of executed lines, each in an object directory of its own.

KERNEL_DEBUG   := $(if $(DEBUG),$(or $(patsubst 1,debug,$(filter 1 kcsan,$(DEBUG))),\
	$(error DEBUG=$(DEBUG): choose 1 or kcsan)))
KERNEL_SUFFIX  := $(addprefix -,$(KERNEL_DEBUG))$(if $(COVERAGE),-coverage)
KERNEL_FLAVOUR := x86_64$(KERNEL_SUFFIX)
KERNEL_OBJ     := $(BUILD)/linux$(KERNEL_SUFFIX)
KERNEL_IMAGE   := $(KERNEL_OBJ)/arch/x86/boot/bzImage
KERNEL_CONFIGS := $(addprefix kernel/configs/,base.config x86_64.config cfph.config $(addsuffix .config,$(KERNEL_DEBUG)) \
	$(if $(COVERAGE),gcov.config))
KERNEL_BUILT   := $(STAMP)/kernel-$(KERNEL_FLAVOUR).built
KERNEL_CONFIGURED := $(STAMP)/kernel-$(KERNEL_FLAVOUR).configured

# In load order, for the guest's init.
GUEST_MODULES := $(addprefix $(BUILD)/modules$(KERNEL_SUFFIX)/,virtio_mem.ko virtio_balloon.ko)

UML            := $(BUILD)/uml/linux
UML_CONFIGS    := $(addprefix kernel/configs/,base.config um.config cfph.config)
UML_BUILT      := $(STAMP)/uml.built

# The detector of data races looks at our files only: it delays what it watches, and
# has 64 watchpoints for all CPUs.  Both values are make code that kbuild evaluates for
# each object.  Barriers count everywhere but where kbuild forbids the detector by
# itself (early boot, vdso): a lock that is taken elsewhere would be none to it.
KCSAN_ENV := KCSAN_SANITIZE='$$(if $$(filter mm/cfph%,$$(obj))$$(filter \
	virtio_balloon_cfph,$$(target-stem)),y,n)' \
	KCSAN_INSTRUMENT_BARRIERS='$$(if $$(filter environment,$$(origin \
	KCSAN_SANITIZE)),$$(if $$(KCSAN_SANITIZE_$$(target-stem).o),,$$(is-kernel-object)))'

# $(call kmake,TREE).  The fixed values keep the build the same from run to run, for
# ccache.
kmake = $(CLEAN_ENV) $(CCACHE_ENV) $(if $(filter kcsan,$(DEBUG)),$(KCSAN_ENV)) make -C $(1) -j$(JOBS) \
	CC="$(CCACHE) gcc" HOSTCC="$(CCACHE) gcc" KBUILD_BUILD_VERSION=1 \
	KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_USER=cfph KBUILD_BUILD_HOST=cfph
KMAKE = $(call kmake,$(LINUX_SRC))

$(KERNEL_CONFIGURED): $(KERNEL_CONFIGS) kernel/config.sh $(LINUX_PREPARED)
	@echo "[kernel] configuring $(notdir $(KERNEL_CONFIGS))"
	$(Q)$(CLEAN_ENV) kernel/config.sh $(LINUX_SRC) $(LINUX_SRC)/build-$(KERNEL_FLAVOUR) x86_64 $(KERNEL_CONFIGS)
	$(Q)touch $@

$(KERNEL_BUILT): $(KERNEL_CONFIGURED)
	$(Q)ln -sfn src/linux/build-$(KERNEL_FLAVOUR) $(KERNEL_OBJ)
	$(Q)$(RUN) kernel $(LOG)/kernel-$(KERNEL_FLAVOUR).log \
		$(KMAKE) O=build-$(KERNEL_FLAVOUR) ARCH=x86_64 bzImage modules
	$(Q)touch $@

# Made by the recipe above, named here for rules elsewhere.
$(KERNEL_IMAGE): $(KERNEL_BUILT) ;

# Copies, so that a kernel with the same modules needs no new initramfs.
$(GUEST_MODULES): $(BUILD)/modules$(KERNEL_SUFFIX)/%: $(KERNEL_BUILT) FORCE
	@mkdir -p $(@D)
	$(Q)cmp -s $(KERNEL_OBJ)/drivers/virtio/$* $@ || cp $(KERNEL_OBJ)/drivers/virtio/$* $@

$(STAMP)/uml.configured: $(UML_CONFIGS) kernel/config.sh $(LINUX_PREPARED)
	@echo "[uml] configuring $(notdir $(UML_CONFIGS))"
	$(Q)$(CLEAN_ENV) kernel/config.sh $(LINUX_SRC) $(LINUX_SRC)/build-um um $(UML_CONFIGS)
	$(Q)touch $@

$(UML_BUILT): $(STAMP)/uml.configured
	$(Q)ln -sfn src/linux/build-um $(BUILD)/uml
	$(Q)$(RUN) uml $(LOG)/uml.log $(KMAKE) O=build-um ARCH=um
	$(Q)touch $@

$(UML): $(UML_BUILT) ;

# The generator needs a whole kernel tree around it: it looks for MAINTAINERS
# upwards and never stops if there is none.
YNL_GEN = /usr/bin/python3 $(LINUX_SRC)/tools/net/ynl/ynl-gen-c.py --spec $(LINUX_SRC)/$(LINUX_SPEC)
define ynl_generate
	$(Q)mkdir -p $(1)
	$(Q)$(YNL_GEN) --mode uapi --header -o $(1)/cfph.h
	$(Q)$(YNL_GEN) --mode kernel --header -o $(1)/cfph_nl.h
	$(Q)$(YNL_GEN) --mode kernel --source -o $(1)/cfph_nl.c
	$(Q)tools/fpctl/tables.py $(LINUX_SRC)/$(LINUX_SPEC) $(1)/fpctl
endef

# Through a directory of its own, so that a failure leaves the tree as it was
# and unchanged files keep their times.
regen: $(LINUX_PREPARED) ## write again what is made from the YNL spec, after a change of it
	$(call ynl_generate,$(BUILD)/ynl)
	$(Q)rsync -c $(BUILD)/ynl/cfph_nl.[ch] kernel/files/mm/cfph/
	$(Q)rsync -c $(BUILD)/ynl/cfph.h uapi/linux/
	$(Q)rsync -rc $(BUILD)/ynl/fpctl/ tools/fpctl/

check-generated: $(LINUX_PREPARED) ## compare what is made from the YNL spec with what is committed
	$(call ynl_generate,$(BUILD)/ynl)
	$(Q)diff -u kernel/files/mm/cfph/cfph_nl.h $(BUILD)/ynl/cfph_nl.h
	$(Q)diff -u kernel/files/mm/cfph/cfph_nl.c $(BUILD)/ynl/cfph_nl.c
	$(Q)diff -u uapi/linux/cfph.h $(BUILD)/ynl/cfph.h
	$(Q)diff -u tools/fpctl/generated $(BUILD)/ynl/fpctl/generated
	$(Q)diff -u tools/fpctl/schema $(BUILD)/ynl/fpctl/schema

kernel: $(KERNEL_BUILT) ## the guest kernel: $(BUILD)/linux/arch/x86/boot/bzImage
uml: $(UML_BUILT) ## the same kernel as a process, for KUnit: $(BUILD)/uml/linux
.PHONY: kernel uml regen check-generated
