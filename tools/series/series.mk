# SPDX-License-Identifier: GPL-2.0
#
# What goes upstream, as mails; tools/series/*.plan say what is in which of them.

#? SIGNOFF="Name <mail>"  series: who sends the mails and signs them

DEBS_SERIES := git perl patch rsync unifdef python3-yaml

SERIES_ENV = BUILD=$(BUILD) LINUX_SRC=$(LINUX_SRC) QEMU_SRC=$(QEMU_SRC)
# With the build's own commands, but for the option that only a patch of ours knows.
SERIES_BUILD = CONFIG_LINUX='$(CLEAN_ENV) $(TOP)/kernel/config.sh' KMAKE_LINUX='$(call kmake,.)' \
	OBJECTS_LINUX=$(KERNEL_OBJ) \
	CONFIGURE_QEMU='$(QEMU_ENV) ../src/qemu/configure --python=/usr/bin/python3 \
	--cc="$(QEMU_CC)" $(filter-out --%-cfph-mutants,$(QEMU_OPTIONS))' \
	NINJA_QEMU='$(QEMU_ENV) ninja -j$(JOBS)'

series-deps:
	@tools/build/deps.sh $(DEBS_SERIES)

series: $(LINUX_PREPARED) $(QEMU_PREPARED) series-deps ## mails for the lists: $(BUILD)/series/{kernel,tcg,qemu}/*.patch (SIGNOFF=)
	$(Q)$(SERIES_ENV) tools/series/series.py write

series-check: $(LINUX_PREPARED) $(QEMU_PREPARED) $(MESON) series-deps ## build each commit of the series (T=linux or qemu)
	$(Q)$(SERIES_ENV) T="$(T)" $(SERIES_BUILD) tools/series/series.py build

# of the test series-plan
check: series-deps

export SIGNOFF
.PHONY: series series-deps series-check
