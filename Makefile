# SPDX-License-Identifier: GPL-2.0
#
# Continuous free-page hinting: verbs.  `make` explains them; the recipes that
# build something live in kernel/, qemu/, tools/fpctl/ and selftests/.
#
# Everything that is built goes to $(BUILD).  Each step leaves a stamp in
# $(BUILD)/stamp when it is through, so that an interrupted run goes on where it
# stopped and a second run has nothing to do.

TOP := $(patsubst %/,%,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))
ifneq ($(TOP),$(realpath $(CURDIR)))
$(error start me with make -C $(TOP))
endif

#? O=dir         build there instead of build/
#? V=1           show commands and their output
#? JOBS=n        parallel jobs of the compilers
#? KDIR=dir      kernel tree to start from (copied, never written) instead of Debian's 6.12
#? QDIR=dir      QEMU tree to start from (copied, never written) instead of Debian's 10.0
#? DEBUG=1       guest kernel with lockdep, KASAN and other debug options; DEBUG=kcsan: data races
#? COVERAGE=1    guest kernel and QEMU with counters of executed lines, as make coverage uses
#? MUTANTS=0     make qemu: as users should have it, without what breaks rules on purpose
#? ACCEL=kvm|tcg accelerator for demo, check and boot; without it KVM is probed with a real boot
#? MEM=8G        guest memory of demo and boot
#? T=name        check, coverage: only the tests whose name has this in it
#? DL=dir        keep downloads there instead of $(BUILD)/download
#? DEBIAN_MIRROR=uri  when apt's configuration names no Debian mirror
#? DESTDIR= PREFIX=   install
O     ?= build
V     ?= 0
JOBS  ?= $(shell nproc)
SUITE := trixie
DL    ?= $(BUILD)/download

BUILD := $(abspath $(O))
STAMP := $(BUILD)/stamp
LOG   := $(BUILD)/log
Q     := $(if $(filter 1,$(V)),,@)

# Neither make nor kbuild can handle these in a path.
$(foreach v,TOP O KDIR QDIR DL,$(if $(word 2,$($(v)))$(findstring :,$($(v))),\
	$(error no blanks and colons in paths, please: $(v)=$($(v)))))
override KDIR := $(abspath $(KDIR))
override QDIR := $(abspath $(QDIR))
override DL := $(abspath $(DL))
$(foreach v,KDIR QDIR,$(if $($(v)),$(if $(wildcard $($(v))/Makefile),, \
	$(error $(v)=$($(v)): no source tree there))))

# `make clean` removes things: only from a directory that we have made.
ifneq ($(BUILD),$(TOP)/build)
ifneq ($(wildcard $(BUILD)/*),)
ifeq ($(wildcard $(BUILD)/.cfph-build),)
$(error O=$(O): not empty and not made by this Makefile)
endif
endif
endif

# Debian packages.  Each group says who needs it; `make deps` takes them all,
# `make lint` the last group too.
DEBS_BUILD  := make gcc libc6-dev ccache pkg-config patch rsync xz-utils zstd \
	dpkg-dev debian-archive-keyring ca-certificates python3
DEBS_KERNEL := bc bison flex libelf-dev python3-yaml python3-jsonschema
DEBS_QEMU   := ninja-build python3-venv libglib2.0-dev zlib1g-dev libaio-dev liburing-dev \
	libseccomp-dev libnuma-dev libslirp-dev libzstd-dev libgnutls28-dev \
	libattr1-dev libcap-ng-dev libfdt-dev seabios qemu-system-data ipxe-qemu
DEBS_FUZZ   := clang libclang-rt-dev llvm
DEBS_FPCTL  := libnl-3-dev libnl-genl-3-dev valgrind jq zsh fish
DEBS_GUEST  := busybox-static trace-cmd libnl-utils iproute2 e2fsprogs xfsprogs
DEBS_PEERS  := stress-ng stressapptest
DEBS_VIRT   := libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
DEBS_MODEL  := spin gcc libc6-dev
DEBS_KVM    := busybox-static python3 binutils xz-utils e2fsprogs
DEBS_REPORT := python3-matplotlib
DEBS_DOCS   := python3-sphinx python3-yaml mandoc rsync graphviz
DEBS_DEB    := build-essential debhelper dpkg-dev python3-sphinx kmod cpio libssl-dev
DEBS_DEB_CHECK := lintian debootstrap
DEBS_LINT   := $(DEBS_DOCS) universal-ctags sparse shellcheck codespell perl pyflakes3 mypy clang-format
DEBS        := $(DEBS_BUILD) $(DEBS_KERNEL) $(DEBS_QEMU) $(DEBS_FUZZ) $(DEBS_FPCTL) $(DEBS_GUEST) $(DEBS_PEERS) $(DEBS_MODEL)

# Looked up when a recipe needs it, because `make deps` may have to install it.
CCACHE      = $(notdir $(shell command -v ccache))
# Paths relative to the build directory, or no other checkout would ever hit.
CCACHE_ENV := CCACHE_BASEDIR=$(BUILD) CCACHE_NOHASHDIR=1
# Trees of others must not see our variables (O, V, ARCH...) nor our jobserver.
CLEAN_ENV  := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u O -u V -u T -u ARCH -u CROSS_COMPILE -u KBUILD_OUTPUT LC_ALL=C
# exec, so that a signal to make reaches it
RUN        := exec env V=$(V) $(TOP)/tools/build/progress.sh

# $(call write_if_changed,TEXT): for a target that depends on FORCE and is only
# newer when the text is another one.
define write_if_changed
	@mkdir -p $(@D)
	@echo '$(1)' | cmp -s - $@ || echo '$(1)' >$@
endef
# $(call newer_than_copy,TREE,STAMP): FORCE if TREE has changed since STAMP.
newer_than_copy = $(if $(wildcard $(2)),$(if $(shell find $(1) -name .git -prune -o -type f -newer $(2) -print -quit),FORCE),FORCE)

# $(call expect,VERB,MINUTES,WHAT FOLLOWS): said at the start where nothing has been
# built.  MINUTES are those of one processor, with a cold ccache.
define expect
	@[ -e $(KERNEL_BUILT) ] || echo "[$(1)] to build all takes about" \
		"$$((($(2) + $$(nproc) - 1) / $$(nproc))) minutes on $$(nproc) processors; then $(3)"
endef

# One thing after the other: each uses all processors itself.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory

help: ## this text
	@echo 'make VERB [VARIABLE=value]...'
	@echo
	@echo 'The two that matter; both install what is missing, fetch, build and run:'
	@awk -F ':.*## ' '/^(demo|check):.*## / { printf "  %-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Steps and tools:'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / && !/^(demo|check):/ { printf "  %-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Variables:'
	@sed -n 's/^#? /  /p' $(MAKEFILE_LIST)

include kernel/source.mk kernel/build.mk
include qemu/source.mk qemu/build.mk qemu/fuzz.mk

FPCTL := $(BUILD)/fpctl/fpctl
$(FPCTL): $(wildcard tools/fpctl/*.[ch] tools/fpctl/generated/*.c) tools/fpctl/Makefile uapi/linux/cfph.h | deps
	$(Q)$(MAKE) -C tools/fpctl O=$(BUILD)/fpctl V=$(V)
	$(Q)touch $@

-include selftests/guest/guest.mk
-include selftests/selftests.mk
-include selftests/perf/perf.mk
-include selftests/kvm/kvm.mk
include tools/deb/deb.mk
include tools/series/series.mk

# What selftests/ get to know about the build.
TEST_ENV = BUILD=$(BUILD) KERNEL_IMAGE=$(KERNEL_IMAGE) SYSTEM_MAP=$(KERNEL_OBJ)/System.map GUEST_MODULES="$(GUEST_MODULES)" \
	LINUX_SRC=$(LINUX_SRC) UML=$(UML) QEMU=$(QEMU) QEMU_IMG=$(QEMU_IMG) QEMU_SRC=$(QEMU_SRC) \
	QEMU_BUILD=$(QEMU_BUILD) QEMU_PRODUCT=$(QEMU_PRODUCT) FUZZ_DECODER=$(FUZZ_DECODER) FUZZ_DEVICE=$(FUZZ_DEVICE) \
	FPCTL=$(FPCTL) INITRAMFS=$(INITRAMFS) STOCK=$(STOCK) V=$(V)

guest: $(KERNEL_BUILT) $(INITRAMFS) ## kernel and initramfs of the test guest

say-demo:
	$(call expect,demo,36,a guest is migrated for about two minutes)

say-check:
	$(call expect,check,66,the tests say how long they take)

demo: say-demo guest qemu ## migrate a guest with and without hints, print the table (MEM=2G)
	$(Q)$(TEST_ENV) selftests/demo

check: say-check guest uml qemu qemu-tests qemu-product fuzz-build stock $(RELAY) ## every test: unit, device, integrity of migrations, mutants (T=name)
	@tools/build/deps.sh $(DEBS_VIRT) $(DEBS_SERIES)
	$(Q)$(TEST_ENV) selftests/run.sh $(T)

check-mutants: guest qemu qemu-tests ## break each rule of the argument on purpose: which test notices
	$(Q)$(TEST_ENV) selftests/run.sh mutant qtest-cfph-rules

# What needs a guest and no more, and finds most for the time that it takes in a
# guest that is five times slower.
DEBUG_TESTS := kunit-guest guest-map guest-reload netlink-fuzz netlink-set \
	migrate-hints migrate-hotplug hostile-flood hostile-hold hostile-unplug \
	hostile-broken no-memory peers-stress-ng-vm balloon-compacted balloon-oom \
	balloon-rebound reclaim-files reclaim-large-folios reclaim-limited reclaim-oom
KCSAN_TESTS := guest-races guest-map guest-reload netlink-set netlink-dumps netlink-fuzz \
	migrate-hints migrate-hotplug hostile-flood balloon-compacted balloon-oom reclaim-limited

check-debug: ## chosen tests with lockdep, KASAN, kmemleak... in the guest (T=name)
	$(Q)$(MAKE) check-guest DEBUG=1 T="$(or $(T),$(DEBUG_TESTS))"

check-kcsan: ## chosen tests with the detector of data races in the guest (T=name)
	$(Q)$(MAKE) check-guest DEBUG=kcsan T="$(or $(T),$(KCSAN_TESTS))"

check-guest: guest qemu
	$(Q)$(TEST_ENV) selftests/run.sh $(T)

coverage: ## lines of our own files that tests execute (T=name, V=1 names the others, OUT=file.json)
	$(Q)$(MAKE) coverage-table COVERAGE=1

coverage-table: guest qemu qemu-tests
	$(Q)$(TEST_ENV) selftests/coverage $(T)

soak: guest qemu ## migrations under load, at random, for long (HOURS=1 or MINUTES= or HOPS=, SEED=)
	$(Q)$(TEST_ENV) HOURS=$(HOURS) MINUTES=$(MINUTES) HOPS=$(HOPS) SEED=$(SEED) selftests/soak

check-migrate: ## ten minutes of make soak, always the same plan
	$(Q)$(MAKE) soak MINUTES=10 SEED=1

check-long: ## all that make check has no time for, hours of it (RUNS="soak coverage", RESULTS=dir)
	$(Q)MAKE="$(MAKE)" SEED=$(SEED) selftests/long.sh $(or $(RESULTS),$(BUILD)/results) $(RUNS)

kunit: uml ## the unit tests alone, in User Mode Linux
	$(Q)$(TEST_ENV) selftests/run.sh kunit-uml

model: ## verify the model of the safety argument, and that its mutants fail (Spin)
	@tools/build/deps.sh $(DEBS_MODEL)
	$(Q)Documentation/mm/cfph/model/check-model.sh $(BUILD)/model

boot: guest qemu ## a guest with a shell on this terminal (Ctrl-a x ends it)
	$(Q)$(TEST_ENV) selftests/boot

fpctl: $(FPCTL) ## the administrator's tool: $(BUILD)/fpctl/fpctl

deps: $(BUILD)/.cfph-build ## the Debian packages that all this needs
	@tools/build/deps.sh $(DEBS)

$(BUILD)/.cfph-build:
	@mkdir -p $(STAMP) $(LOG)
	@touch $@

fetch: $(if $(KDIR),,$(DL)/linux.version) $(if $(QDIR),,$(DL)/qemu.version) $(DL)/meson.version ## download the sources with apt

prepare: $(LINUX_PREPARED) $(QEMU_PREPARED) ## unpack, overlay and patch the sources

lint: $(LINUX_PREPARED) $(QEMU_PREPARED) ## every checker, one verdict a line (T=name)
	@tools/build/deps.sh $(DEBS_LINT)
	$(Q)$(TEST_ENV) MAKE="$(MAKE)" JOBS=$(JOBS) CCACHE=$(CCACHE) tools/lint.sh $(T)

docs: $(LINUX_PREPARED) ## the documents in HTML: $(BUILD)/docs/html/index.html
	@tools/build/deps.sh $(DEBS_DOCS)
	$(Q)LINUX_SRC=$(LINUX_SRC) tools/docs/build.sh $(BUILD)/docs

install: $(FPCTL) ## fpctl, cfph-timeline, their man pages and the uapi headers
	$(Q)$(MAKE) -C tools/fpctl O=$(BUILD)/fpctl install
	$(Q)$(MAKE) -C tools/timeline install
	$(Q)install -d $(DESTDIR)$(PREFIX)/include/linux
	$(Q)install -m 644 uapi/linux/cfph.h uapi/linux/virtio_balloon_cfph.h $(DESTDIR)$(PREFIX)/include/linux

clean: ## remove what was built, keep downloads
	$(Q)[ ! -d $(BUILD) ] || find $(BUILD) -mindepth 1 -maxdepth 1 \
		! -name download ! -name .cfph-build -exec rm -rf {} +

distclean: ## remove the build directory
	$(Q)rm -rf $(BUILD)

print-%:
	@echo '$($*)'

PREFIX ?= /usr/local
export PREFIX DESTDIR ACCEL MEM

FORCE:
.PHONY: help docs demo say-demo say-check check check-mutants check-debug check-kcsan check-migrate check-long soak kunit model boot fpctl guest deps fetch prepare lint install clean distclean coverage coverage-table check-guest FORCE
