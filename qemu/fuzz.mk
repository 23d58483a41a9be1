# SPDX-License-Identifier: GPL-2.0
#
# Fuzzers, built with clang and its sanitizers from the same source tree:
#
#   decoder  the device's and the filter's files alone, with a machine that is
#            made for it (qemu/files/tests/qtest/fuzz/cfph/): seconds to build
#   device   a QEMU with its generic fuzzer and little else, minutes to build
#
# The first takes QEMU's generated headers and libqemuutil from $(QEMU_BUILD).

FUZZ_DIR     := $(BUILD)/fuzz
FUZZ_DECODER := $(FUZZ_DIR)/cfph-decoder
FUZZ_BUILD   := $(BUILD)/qemu-fuzz
FUZZ_DEVICE  := $(FUZZ_BUILD)/qemu-fuzz-x86_64
FUZZ_DECODER_BUILT := $(STAMP)/fuzz-decoder.built
FUZZ_CONFIGURED    := $(STAMP)/fuzz-device.configured
FUZZ_DEVICE_BUILT  := $(STAMP)/fuzz-device.built

SECONDS   ?= 60

# --- decoder -----------------------------------------------------------------

FUZZ_SOURCES := $(addprefix $(QEMU_SRC)/, hw/virtio/virtio-balloon-cfph.c \
	hw/virtio/virtio-balloon-cfph-map.c hw/virtio/virtio-balloon-cfph-msg.c \
	hw/virtio/virtio-balloon-cfph-status.c \
	migration/cfph.c migration/cfph-map.c migration/cfph-move.c migration/cfph-walk.c \
	tests/qtest/fuzz/cfph/decoder.c tests/qtest/fuzz/cfph/world.c \
	tests/qtest/fuzz/cfph/machine.c)
# What QEMU's own build says for a file of its target.  muldefs, because machine.c
# stands in for some of what libqemuutil has, too; unresolved symbols are of
# parts of libqemuutil that nobody calls (the dynamic linker would say so).
ALONE_CFLAGS = -std=gnu11 -g -fno-strict-aliasing -fwrapv -mcx16 -pthread -Wall -Wextra -Wno-unused-parameter \
	-Wno-sign-compare -Wno-missing-field-initializers \
	-I. -Itarget/i386 -I$(QEMU_SRC)/target/i386 -Iqapi -Itrace \
	-isystem $(QEMU_SRC)/linux-headers -isystem linux-headers -iquote . \
	-iquote $(QEMU_SRC) -iquote $(QEMU_SRC)/include \
	-iquote $(QEMU_SRC)/host/include/x86_64 -iquote $(QEMU_SRC)/host/include/generic \
	-D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCOMPILING_PER_TARGET \
	-DCONFIG_TARGET='"x86_64-softmmu-config-target.h"' \
	-DCONFIG_DEVICES='"x86_64-softmmu-config-devices.h"' \
	$(shell pkg-config --cflags glib-2.0)
ALONE_LIBS = libqemuutil.a -Wl,-z,muldefs,-z,lazy -Wl,--unresolved-symbols=ignore-all $(shell pkg-config --libs glib-2.0 gmodule-2.0) -lm
FUZZ_CFLAGS = $(ALONE_CFLAGS) -O1 -fno-omit-frame-pointer -Dinfo_report=fuzz_info_report \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -fprofile-instr-generate \
	-fcoverage-mapping -Wno-initializer-overrides -Wno-null-pointer-subtraction

$(FUZZ_DECODER_BUILT): $(QEMU_BUILT) qemu/fuzz.mk | deps
	$(Q)mkdir -p $(FUZZ_DIR)
	$(Q)cd $(QEMU_BUILD) && $(RUN) fuzz-decoder $(LOG)/fuzz-decoder.log \
		clang $(FUZZ_CFLAGS) -o $(FUZZ_DECODER) $(FUZZ_SOURCES) $(ALONE_LIBS)
	$(Q)touch $@

# --- device ------------------------------------------------------------------

# Without TCG, because the fuzzer plays the processor itself; KVM only because
# QEMU wants an accelerator.
FUZZ_OPTIONS := --target-list=x86_64-softmmu --with-pkgversion=cfph-fuzz \
	--without-default-features --without-default-devices --with-devices-x86_64=cfph-fuzz \
	--disable-download --disable-docs --disable-install-blobs --disable-tcg --enable-kvm \
	--disable-tools --enable-fuzzing --enable-asan --enable-ubsan \
	--firmwarepath=$(subst $() $(),:,$(QEMU_FIRMWARE))

$(STAMP)/fuzz-device.options: FORCE | deps
	$(call write_if_changed,$(FUZZ_OPTIONS) $(CCACHE))

$(FUZZ_CONFIGURED): $(QEMU_UNPACKED) $(STAMP)/fuzz-device.options $(MESON) | $(QEMU_PREPARED)
	$(Q)rm -rf $(FUZZ_BUILD)
	$(Q)mkdir -p $(FUZZ_BUILD)
	$(Q)cd $(FUZZ_BUILD) && $(RUN) "qemu-fuzz configure" $(LOG)/fuzz-configure.log $(QEMU_ENV) \
		../src/qemu/configure --python=/usr/bin/python3 --cc="$(CCACHE) clang" \
		--cxx="$(CCACHE) clang++" $(FUZZ_OPTIONS)
	$(Q)touch $@

$(FUZZ_DEVICE_BUILT): $(FUZZ_CONFIGURED) $(QEMU_PREPARED)
	$(Q)$(RUN) qemu-fuzz $(LOG)/fuzz-device.log $(QEMU_ENV) ninja -C $(FUZZ_BUILD) \
		-j$(JOBS) qemu-fuzz-x86_64
	$(Q)for d in $(QEMU_FIRMWARE); do \
		mkdir -p $(FUZZ_BUILD)/qemu-bundle$${d%/*} && ln -sfn $$d $(FUZZ_BUILD)/qemu-bundle$$d; done
	$(Q)touch $@

fuzz-build: $(FUZZ_DECODER_BUILT) $(FUZZ_DEVICE_BUILT)

fuzz: fuzz-build ## fuzz the device's decoder, then the device, SECONDS=60 each
	$(Q)qemu/fuzz/run-fuzzer.sh decoder $(SECONDS) $(FUZZ_DIR)/decoder $(FUZZ_DECODER)
	$(Q)qemu/fuzz/run-fuzzer.sh device $(SECONDS) $(FUZZ_DIR)/device $(FUZZ_DEVICE)
.PHONY: fuzz fuzz-build
