# SPDX-License-Identifier: GPL-2.0
#
# Verbs of selftests/ beyond demo, check and boot, for the including makefile.
# Everything is told to the scripts through TEST_ENV.

# QEMU and kernel as Debian has them, for the tests mixed-*: unpacked, never installed.
STOCK          := $(BUILD)/stock
STOCK_UNPACKED := $(STAMP)/stock.unpacked

$(DL)/stock.version: | deps
	$(Q)tools/build/fetch.sh $(DL) $(SUITE) stock

$(STOCK_UNPACKED): $(DL)/stock.version $(DL)/cloud.version selftests/selftests.mk selftests/kvm/unpack.sh
	@echo "[stock] unpacking qemu $$(cat $<) and Debian's kernel"
	$(Q)rm -rf $(STOCK)
	$(Q)mkdir -p $(STOCK)
	$(Q)for deb in $(DL)/stock/*.deb; do dpkg-deb -x $$deb $(STOCK)/root || exit 1; done
	$(Q)cat $(DL)/stock/*.deb $(DL)/cloud/*.deb | wc -c >$(STOCK)/bytes
	$(Q)selftests/kvm/unpack.sh $(DL)/cloud/*.deb $(STOCK)/kernel virtio_balloon
	$(Q)touch $@

stock: $(STOCK_UNPACKED) ## Debian's QEMU and kernel, without our patches, for the tests mixed-* (73 MB)

check-list: ## names of the tests that `make check T=name` can choose
	@selftests/run.sh -l

# In a copy of this checkout, which is built there: nothing of ours is touched.
check-sabotage: deps ## break tests and product on purpose: the test named for it must notice (T=name)
	$(Q)BUILD=$(BUILD) DL=$(DL) JOBS=$(JOBS) MAKE="$(MAKE)" selftests/check-sabotage $(T)

.PHONY: stock check-list check-sabotage
