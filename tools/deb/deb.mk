# SPDX-License-Identifier: GPL-2.0
#
# `make deb`: packages for the Debian that this runs on, in $(BUILD)/deb.  debhelper does
# the work, from one debian/ for each source package in this directory; for the kernel its
# own bindeb-pkg does.  What is built by other verbs is taken from there.
#
# The version is fpctl's, the time of the last commit, and .mod if that is not all; whatever
# has a date has that commit's, so that a checkout always gives the same packages.

DEB       := $(BUILD)/deb
DEB_WORK  := $(BUILD)/deb-work
# What goes into them beside what is compiled: a package is made again when it changes.
DEB_TEXTS := $(shell find tools/deb Documentation/admin-guide -type f)

# Time and name, asked for once, and only by those who make packages.
DEB_COMMIT = $(eval DEB_COMMIT := $(shell git log -1 --format='%ct %h' 2>/dev/null))$(DEB_COMMIT)
DEB_EPOCH  = $(or $(firstword $(DEB_COMMIT)),$(shell stat -c %Y Makefile))
DEB_CHANGED = $(if $(DEB_COMMIT),$(shell git diff --quiet HEAD || echo .mod))
DEB_VERSION = $(shell sed -n 's/^VERSION ?= //p' tools/fpctl/Makefile)+$(shell \
	date -u -d @$(DEB_EPOCH) +%Y%m%d.%H%M%S)$(DEB_CHANGED)
# What comes from others keeps their number in front.
DEB_QEMU_VERSION = $(shell cat $(QEMU_SRC)/VERSION)+cfph$(DEB_VERSION)
DEB_KERNEL_VERSION = $(shell $(CLEAN_ENV) make -s -C $(LINUX_SRC) kernelversion)+$(DEB_VERSION)
DEB_ENV = $(CLEAN_ENV) SOURCE_DATE_EPOCH=$(DEB_EPOCH) JOBS=$(JOBS)

# $(call deb_build,NAME,VERSION): tools/deb/NAME, whose source is in $(DEB_WORK)/NAME/src.
define deb_build
	$(Q)$(RUN) "deb $(1)" $(LOG)/deb-$(1).log $(DEB_ENV) DEB_VERSION=$(2) COMMIT=$(lastword $(DEB_COMMIT)) \
		tools/deb/build.sh $(1) $(DEB_WORK)/$(1) $(DEB)
endef

# A name of the commit: what has not changed since another one is made anew all the same,
# because its version says which commit it is of.
$(STAMP)/deb.version: FORCE | $(BUILD)/.cfph-build
	$(call write_if_changed,$(DEB_VERSION))

# As a source package has it: what fpctl is made of, in the places where it looks.
$(STAMP)/deb-fpctl.built: $(STAMP)/deb.version $(FPCTL) $(DEB_TEXTS)
	$(Q)rm -rf $(DEB_WORK)/fpctl
	$(Q)mkdir -p $(DEB_WORK)/fpctl/src
	$(Q)cp -R --parents tools/fpctl uapi Documentation/admin-guide $(DEB_WORK)/fpctl/src
	$(call deb_build,fpctl,$(DEB_VERSION))
	$(Q)touch $@

# QEMU's own page of all that QMP has, as text; it takes Sphinx half a minute.
DEB_QMP := $(DEB_WORK)/qmp/text/qemu-qmp-ref.txt
$(DEB_QMP): $(QEMU_PREPARED) tools/deb/qemu/conf.py
	$(Q)rm -rf $(DEB_WORK)/qmp
	$(Q)mkdir -p $(DEB_WORK)/qmp/src
	$(Q)cp $(QEMU_SRC)/docs/interop/qemu-qmp-ref.rst $(DEB_WORK)/qmp/src
	$(Q)$(RUN) "deb qmp" $(LOG)/deb-qmp.log env QEMU_SRC=$(QEMU_SRC) /usr/bin/python3 -B -m sphinx -q \
		-b text -c tools/deb/qemu -d $(DEB_WORK)/qmp/doctrees $(DEB_WORK)/qmp/src $(@D)

# The stamp of the QEMU is another make's: qemu-product, which deb-qemu asks for before.
$(STAMP)/deb-qemu.built: $(STAMP)/deb.version $(STAMP)/qemu-product.built $(DEB_QMP) $(DEB_TEXTS)
	$(Q)rm -rf $(DEB_WORK)/qemu
	$(Q)mkdir -p $(DEB_WORK)/qemu/src/docs
	$(Q)cp -R --parents Documentation/admin-guide $(DEB_WORK)/qemu/src
	$(Q)cp -R qemu/files/docs $(DEB_WORK)/qemu/src
	$(Q)cp $(DEB_QMP) $(DEB_WORK)/qemu/src/docs
	$(Q)cp $(or $(wildcard $(QEMU_SRC)/debian/copyright),$(QEMU_SRC)/LICENSE) $(DEB_WORK)/qemu/src/docs/copyright.qemu
	$(Q)ln $(QEMU_PRODUCT) $(DEB_WORK)/qemu/src/
	$(call deb_build,qemu,$(DEB_QEMU_VERSION))
	$(Q)touch $@

# --- the guest kernel ---------------------------------------------------------

DEB_KERNEL_CONFIGS := $(addprefix kernel/configs/,base.config x86_64.config cfph.config product.config deb.config)
DEB_KERNEL_OBJ := $(LINUX_SRC)/build-x86_64-deb
# bindeb-pkg has more packages; this target of the rules that it writes is the image alone.
# Quiet by KBUILD_VERBOSE: for "terse", Debian 13's dpkg-buildpackage adds an option to
# MAKEFLAGS, behind the variables that make has put there, where it is taken for a target.
DEB_KERNEL_ENV = $(DEB_ENV) DEBFULLNAME="The cfph developers" DEBEMAIL=cfph-devel@example.org \
	DEB_BUILD_OPTIONS="parallel=$(JOBS)" KBUILD_VERBOSE=0 KDEB_SOURCENAME=linux-cfph \
	KDEB_CHANGELOG_DIST=unstable KDEB_PKGVERSION=$(DEB_KERNEL_VERSION) KDEB_COMPRESS=none \
	DPKG_FLAGS=--target=binary-image

$(STAMP)/deb-kernel.configured: $(DEB_KERNEL_CONFIGS) kernel/config.sh $(LINUX_PREPARED)
	@echo "[kernel] configuring $(notdir $(DEB_KERNEL_CONFIGS))"
	$(Q)$(CLEAN_ENV) kernel/config.sh $(LINUX_SRC) $(DEB_KERNEL_OBJ) x86_64 $(DEB_KERNEL_CONFIGS)
	$(Q)touch $@

# The modules go to /lib, which Debian 13 takes for an error: it has been a name of /usr/lib
# since Debian 12.  So they are moved where it has left them, and the package is made again:
# the first one needs no compression.
$(STAMP)/deb-kernel.built: $(STAMP)/deb.version $(STAMP)/deb-kernel.configured
	$(Q)$(RUN) "deb kernel" $(LOG)/deb-kernel.log $(DEB_KERNEL_ENV) \
		$(KMAKE) O=build-x86_64-deb ARCH=x86_64 bindeb-pkg
	$(Q)rm -f $(LINUX_SRC)/linux-image-*.deb $(DEB)/linux-image-*.deb
	$(Q)mkdir -p $(DEB)
	$(Q)cd $(DEB_KERNEL_OBJ) && package=$$(basename debian/linux-image-*/) && \
		(cd debian/$$package && mkdir -p usr/lib && mv lib/* usr/lib/ && rmdir lib) && \
		dh_md5sums -p$$package && $(DEB_ENV) dh_builddeb -p$$package --destdir=$(DEB)
	$(Q)touch $@

# --- verbs --------------------------------------------------------------------

deb-deps:
	@tools/build/deps.sh $(DEBS_DEB)

deb-fpctl: deb-deps $(STAMP)/deb-fpctl.built
deb-qemu: deb-deps qemu-product $(STAMP)/deb-qemu.built
deb-kernel: deb-deps $(STAMP)/deb-kernel.built

deb: deb-fpctl deb-qemu deb-kernel ## Debian packages of fpctl, QEMU and the guest kernel: $(BUILD)/deb/*.deb
	@ls $(DEB)/*.deb

check-deb: deb $(INITRAMFS) ## install the packages in a Debian of their own, use them, remove them
	@tools/build/deps.sh $(DEBS_DEB_CHECK)
	$(Q)$(TEST_ENV) QEMU=$(QEMU_PRODUCT) DEB=$(DEB) selftests/run.sh -j 1 packages-

.PHONY: check-deb deb deb-deps deb-fpctl deb-qemu deb-kernel
