# SPDX-License-Identifier: GPL-2.0
#
# Verbs of selftests/ beyond demo, check and boot, for the including makefile.
# Everything is told to the scripts through TEST_ENV.

check-list: ## names of the tests that `make check T=name` can choose
	@selftests/run.sh -l

# In a copy of this checkout, which is built there: nothing of ours is touched.
check-sabotage: deps ## break tests and product on purpose: the test named for it must notice (T=name)
	$(Q)BUILD=$(BUILD) DL=$(DL) JOBS=$(JOBS) MAKE="$(MAKE)" selftests/check-sabotage $(T)

.PHONY: check-list check-sabotage
