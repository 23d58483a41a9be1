# SPDX-License-Identifier: GPL-2.0
#
# Verbs of selftests/ beyond demo, check and boot, for the including makefile.
# Everything is told to the scripts through TEST_ENV.

check-list: ## names of the tests that `make check T=name` can choose
	@selftests/run.sh -l

.PHONY: check-list
