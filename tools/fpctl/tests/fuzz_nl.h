/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fuzz target: what libFuzzer and tests/fuzz_replay.c call.
 */
#ifndef FUZZ_NL_H
#define FUZZ_NL_H

#include <stddef.h>
#include <stdint.h>

/* As much as the kernel puts into one message of ours, and more. */
#define FUZZ_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* FUZZ_NL_H */
