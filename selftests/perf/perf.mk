# SPDX-License-Identifier: GPL-2.0
#
# The benchmarks.  `make bench-hooks`: what the hooks cost in the guest.  Builds the two
# kernels that are compared, the same but for cfph: "plain" from the unpatched source, and
# "product", which is ours without CONFIG_CFPH_DEBUG.  Each with the modules that a
# guest of it needs, the one with the kernel's loads among them.
#
# `make bench-scale`: what QEMU's side costs, by the size of the guest.
#
# Uses from the including makefile: what kernel/source.mk and kernel/build.mk have.

#? RUNS=5        bench-*: how often each case is measured
#? BW="50M 1.25G"  bench-*: links, in bytes a second
#? CASES= VARIANTS=  bench-*: only these
#? LIMIT=s DOWNTIME=ms  bench-*: how long a migration may take, and its last round

PERF_DIR    := selftests/perf
PERF_BUILD  := $(BUILD)/perf
PERF_LOAD   := $(PERF_BUILD)/hookload
LINUX_PLAIN := $(BUILD)/src/linux-plain
PERF_BASE   := $(addprefix kernel/configs/,base.config x86_64.config)

# KDIR= with mm/cfph in it: without CONFIG_CFPH it is as good as unpatched.
$(STAMP)/linux-plain.unpacked: $(LINUX_UNPACKED)
	@echo "[kernel] once more, without patches"
	$(call $(if $(KDIR),linux_copy,linux_unpack),$(LINUX_PLAIN))
	$(Q)touch $@

# $(call perf_kernel,NAME,TREE,STAMP OF THE TREE,CONFIGS,WHAT TO KEEP)
define perf_kernel
$(STAMP)/kernel-$(1).configured: $(4) kernel/config.sh $(3)
	@echo "[$(1)] configuring $$(notdir $(4))"
	$$(Q)$$(CLEAN_ENV) kernel/config.sh $(2) $(2)/build-$(1) x86_64 $(4)
	$$(Q)touch $$@

$(STAMP)/kernel-$(1).built: $(STAMP)/kernel-$(1).configured
	$$(Q)ln -sfn $(2:$(BUILD)/%=%)/build-$(1) $(BUILD)/linux-$(1)
	$$(Q)$$(RUN) $(1) $(LOG)/kernel-$(1).log \
		$$(call kmake,$(2)) O=build-$(1) ARCH=x86_64 all
	$$(Q)touch $$@

$(STAMP)/perf-$(1).built: $(STAMP)/kernel-$(1).built $(wildcard $(PERF_DIR)/module/*)
	$$(Q)mkdir -p $(PERF_BUILD)/$(1)
	$$(Q)cp $(PERF_DIR)/module/* $(PERF_BUILD)/$(1)/
	$$(Q)$$(RUN) $(1)-module $(LOG)/perf-$(1).log $$(call kmake,$(2)) O=build-$(1) \
		ARCH=x86_64 M=$(PERF_BUILD)/$(1) modules
	$$(Q)cp $(addprefix $(BUILD)/linux-$(1)/,$(5)) $(PERF_BUILD)/$(1)/
	$$(Q)touch $$@

PERF_BUILT += $(STAMP)/perf-$(1).built
endef

PERF_KEPT := arch/x86/boot/bzImage drivers/virtio/virtio_mem.ko drivers/virtio/virtio_balloon.ko
PERF_OURS := $(addprefix kernel/configs/,cfph.config product.config)

$(eval $(call perf_kernel,plain,$(LINUX_PLAIN),$(STAMP)/linux-plain.unpacked,\
	$(PERF_BASE) kernel/configs/plain.config,$(PERF_KEPT)))
$(eval $(call perf_kernel,product,$(LINUX_SRC),$(LINUX_PREPARED),\
	$(PERF_BASE) $(PERF_OURS),$(PERF_KEPT)))

$(PERF_LOAD): $(PERF_DIR)/hookload.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -o $@ $<

bench-hooks: guest uml qemu $(PERF_BUILT) $(PERF_LOAD) ## what the hooks cost in the guest, in instructions and in time (RUNS=5, OUT=file.json)
	$(Q)$(TEST_ENV) RUNS=$(RUNS) $(PERF_DIR)/bench-hooks

# --- migrations ---

# A link of fixed speed between two QEMUs; a test has a look at it, too.
RELAY     := $(PERF_BUILD)/relay
BENCH_ENV  = $(TEST_ENV) RUNS="$(RUNS)" BW="$(BW)" CASES="$(CASES)" \
	VARIANTS="$(VARIANTS)" LIMIT="$(LIMIT)" DOWNTIME="$(DOWNTIME)"

$(RELAY): $(PERF_DIR)/relay.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -Wall -Wextra -o $@ $<

bench-churn: guest qemu $(RELAY) ## migrations of guests that allocate and free without pause (CASES=, MEM=1G, OUT=file.json)
	$(Q)$(BENCH_ENV) $(PERF_DIR)/bench-churn

bench-seed: guest qemu $(RELAY) ## migrations of an idle guest, and after a program has filled memory (MEM="2G 4G", OUT=file.json)
	$(Q)$(BENCH_ENV) $(PERF_DIR)/bench-seed

bench-save: guest qemu ## a guest written to a file, with and without hints (CASES=, MEM=1G, OUT=file.json)
	$(Q)$(BENCH_ENV) $(PERF_DIR)/bench-save

bench-latency: guest qemu $(RELAY) ## how long host and guest take to answer each other (MEM=1G, BW=100M, OUT=file.json)
	$(Q)$(BENCH_ENV) $(PERF_DIR)/bench-latency

bench-tunables: guest qemu $(RELAY) ## when each tunable of fpctl helps (CASES=, MEM=1G, BW=100M, OUT=file.json)
	$(Q)$(BENCH_ENV) $(PERF_DIR)/bench-tunables

bench-reclaim: guest qemu $(RELAY) ## migrations of a guest full of page cache, by what it gives back (CASES="0 50 100", CACHE="disk xfs", MEM=2G, BW="200M 1.25G", OUT=file.json)
	$(Q)$(BENCH_ENV) $(PERF_DIR)/bench-reclaim

bench-balloon: guest qemu $(RELAY) ## migrations of a guest with three quarters of its memory in the balloon (CASES=, MEM=4G, OUT=file.json)
	$(Q)$(BENCH_ENV) $(PERF_DIR)/bench-balloon

# --- scale ---

# The device's and the filter's object files, as QEMU's own build has made them,
# and a machine that is made for them (qemu/fuzz.mk).
SCALE       := $(PERF_BUILD)/cfph-scale
SCALE_SOURCES := $(addprefix $(QEMU_SRC)/,tests/bench/cfph-scale.c tests/qtest/fuzz/cfph/machine.c)
SCALE_OBJECTS := libcommon.a.p/migration_cfph*.o $(patsubst %,libqemu-x86_64-softmmu.a.p/hw_virtio_virtio-balloon-cfph%.o,.c -map.c -msg.c -status.c)

$(STAMP)/scale.built: $(QEMU_BUILT) $(PERF_DIR)/perf.mk qemu/fuzz.mk | deps
	$(Q)mkdir -p $(PERF_BUILD)
	$(Q)cd $(QEMU_BUILD) && $(RUN) scale $(LOG)/scale.log \
		gcc $(ALONE_CFLAGS) -O2 -o $(SCALE) $(SCALE_SOURCES) $(SCALE_OBJECTS) $(ALONE_LIBS)
	$(Q)touch $@

bench-scale: qemu $(STAMP)/scale.built ## what the filter costs in guests of 64 GiB to 12 TiB (RUNS=5, OUT=file.json, AGAINST=program)
	$(Q)$(BENCH_ENV) AGAINST="$(AGAINST)" SIZES="$(SIZES)" KINDS="$(KINDS)" $(PERF_DIR)/bench-scale

# Minutes instead of an hour.  bench-hooks is not in it: it builds two kernels first.
BENCH_OUT   = $(or $(RESULTS),$(BUILD)/results)
BENCH_SHORT = $(BENCH_ENV) RUNS=$(or $(RUNS),2)

bench: guest qemu $(RELAY) ## a short run of all benchmarks of migrations (RUNS=2, RESULTS=$(BUILD)/results)
	$(Q)mkdir -p $(BENCH_OUT)
	$(Q)$(BENCH_SHORT) OUT=$(BENCH_OUT)/bench-seed.json MEM=1G CASES="idle after" $(PERF_DIR)/bench-seed
	$(Q)$(BENCH_SHORT) OUT=$(BENCH_OUT)/bench-churn.json MEM=1G CASES="alloc-256" \
		VARIANTS="none hint cfph" LIMIT=20 $(PERF_DIR)/bench-churn
	$(Q)$(BENCH_SHORT) OUT=$(BENCH_OUT)/bench-save.json MEM=512M CASES= VARIANTS= $(PERF_DIR)/bench-save
	$(Q)$(BENCH_SHORT) OUT=$(BENCH_OUT)/bench-latency.json MEM=1G CASES= $(PERF_DIR)/bench-latency

bench-report: ## plots and a page of results (RESULTS=Documentation/results)
	@tools/build/deps.sh $(DEBS_REPORT)
	$(Q)$(PERF_DIR)/bench-report $(or $(RESULTS),Documentation/results)

.PHONY: bench bench-hooks bench-churn bench-seed bench-save bench-latency bench-tunables \
	bench-reclaim bench-balloon bench-scale bench-report
