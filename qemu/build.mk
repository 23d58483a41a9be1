# SPDX-License-Identifier: GPL-2.0
#
# Builds QEMU: the emulator and qemu-img for everybody, the qtest programs when
# the tests ask for them.  COVERAGE=1 makes another one with line counters in our
# own files, in a build directory of its own.  MUTANTS=0 makes the one that users
# should have: without what breaks rules on purpose, which the tests need.

MUTANTS         ?= 1
ifeq ($(filter 0 1,$(MUTANTS)),)
$(error MUTANTS is '$(MUTANTS)', it must be 0 or 1)
endif
QEMU_NAME       := qemu$(if $(COVERAGE),-coverage)$(if $(filter 0,$(MUTANTS)),-product)
QEMU_BUILD      := $(BUILD)/$(QEMU_NAME)
QEMU            := $(QEMU_BUILD)/qemu-system-x86_64
QEMU_IMG        := $(QEMU_BUILD)/qemu-img
QEMU_CONFIGURED := $(STAMP)/$(QEMU_NAME).configured
QEMU_BUILT      := $(STAMP)/$(QEMU_NAME).built
QEMU_TESTS_BUILT := $(STAMP)/$(QEMU_NAME)-tests.built
QEMU_TESTS      := $(addprefix tests/qtest/,virtio-balloon-cfph-test \
	virtio-balloon-cfph-events-test virtio-balloon-cfph-hostile-test virtio-balloon-cfph-rules-test \
	virtio-balloon-cfph-ways-test tcg-dirty-log-test) tests/unit/test-cfph-move

# What a host needs to run and migrate guests, no display, no audio, no modules.
# Everything else is off, so that the build is short; without avx2 the detection
# of zero pages is slow and every comparison would be unfair.  The firmware is
# Debian's (seabios, qemu-system-data, ipxe-qemu).
QEMU_FIRMWARE := /usr/share/qemu /usr/share/seabios /usr/lib/ipxe/qemu
# Where Debian's QEMU has its configuration and helpers: `make deb` installs there.
QEMU_PATHS := --sysconfdir=/etc --localstatedir=/var --libexecdir=/usr/lib/qemu
QEMU_OPTIONS := --target-list=x86_64-softmmu --with-pkgversion=cfph \
	--without-default-features --disable-download --disable-docs --disable-install-blobs \
	--enable-tcg --enable-kvm --enable-avx2 --enable-avx512bw \
	--enable-vhost-kernel --enable-vhost-net --enable-vhost-user --enable-vhost-user-blk-server \
	--enable-linux-aio --enable-linux-io-uring --enable-seccomp --enable-numa \
	--enable-attr --enable-cap-ng --enable-membarrier --enable-malloc-trim \
	--enable-slirp --enable-plugins --enable-zstd --enable-gnutls --enable-tools \
	--enable-replication $(if $(filter 0,$(MUTANTS)),--disable-cfph-mutants $(QEMU_PATHS),--enable-cfph-mutants) \
	--firmwarepath=$(subst $() $(),:,$(QEMU_FIRMWARE))

# The build runs meson again by itself, so both steps need the same meson.
QEMU_ENV = $(CLEAN_ENV) $(CCACHE_ENV) PYTHONPATH=$(BUILD)/meson/usr/lib/python3/dist-packages
QEMU_WRAPPER := $(if $(COVERAGE),$(TOP)/tools/build/cc-coverage.sh)
QEMU_CC = $(strip $(QEMU_WRAPPER) $(CCACHE) gcc)
NINJA = $(QEMU_ENV) ninja -C $(QEMU_BUILD) -j$(JOBS)

$(STAMP)/$(QEMU_NAME).options: FORCE | deps
	$(call write_if_changed,$(QEMU_OPTIONS) $(CCACHE))

# A failed configure leaves nothing behind that a later one could trip over.
$(QEMU_CONFIGURED): $(QEMU_UNPACKED) $(STAMP)/$(QEMU_NAME).options $(MESON) $(QEMU_WRAPPER) | $(QEMU_PREPARED)
	$(Q)rm -rf $(QEMU_BUILD)
	$(Q)mkdir -p $(QEMU_BUILD)
	$(Q)cd $(QEMU_BUILD) && $(RUN) "$(QEMU_NAME) configure" $(LOG)/$(QEMU_NAME)-configure.log $(QEMU_ENV) \
		../src/qemu/configure --python=/usr/bin/python3 --cc="$(QEMU_CC)" $(QEMU_OPTIONS)
	$(Q)touch $@

# Run from its build directory QEMU takes every path from qemu-bundle/, the
# firmware's too: the links make -L unnecessary.
$(QEMU_BUILT): $(QEMU_CONFIGURED) $(QEMU_PREPARED)
	$(Q)$(RUN) $(QEMU_NAME) $(LOG)/$(QEMU_NAME).log $(NINJA) qemu-system-x86_64 qemu-img \
		storage-daemon/qemu-storage-daemon
	$(Q)for d in $(QEMU_FIRMWARE); do \
		mkdir -p $(QEMU_BUILD)/qemu-bundle$${d%/*} && ln -sfn $$d $(QEMU_BUILD)/qemu-bundle$$d; done
	$(Q)touch $@

$(QEMU_TESTS_BUILT): $(QEMU_BUILT)
	$(Q)$(RUN) $(QEMU_NAME)-tests $(LOG)/$(QEMU_NAME)-tests.log $(NINJA) $(QEMU_TESTS)
	$(Q)touch $@

$(QEMU) $(QEMU_IMG): $(QEMU_BUILT) ;

# The one without what breaks rules on purpose, next to the one that has it.
QEMU_PRODUCT := $(BUILD)/qemu-product/qemu-system-x86_64

qemu-product: $(QEMU_PREPARED) ## QEMU as users should have it, MUTANTS=0: $(BUILD)/qemu-product/qemu-system-x86_64
	$(Q)$(MAKE) qemu MUTANTS=0 COVERAGE=

check-product: qemu qemu-product ## prove that the product has no mutants in it
	$(Q)qemu/check-product.sh $(QEMU_PRODUCT) $(QEMU)

qemu: $(QEMU_BUILT) ## QEMU: $(BUILD)/qemu/qemu-system-x86_64
qemu-tests: $(QEMU_TESTS_BUILT) ## QEMU's test programs: $(BUILD)/qemu/tests/
.PHONY: qemu qemu-tests qemu-product check-product
