/*
 * Unit test of migration/cfph-move.c: each way gives what its definition says
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Words are random, or have the patterns that vector code takes other paths
 * for; bitmaps begin at each alignment and have each length up to a few
 * vectors.  Words around them must stay what they are.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "../../migration/cfph-move.h"

#define LENGTHS     40
#define ALIGNMENTS  8
#define AROUND      4
#define WORDS       (AROUND + ALIGNMENTS + LENGTHS + AROUND)
#define TIMES       20

/* Bitmaps are aligned to words, not to vectors: so the offsets count. */
typedef struct Case {
    unsigned long bmap[WORDS], deferred[WORDS], free[WORDS];
} QEMU_ALIGNED(64) Case;

static unsigned long random_word(void)
{
    unsigned long word = g_test_rand_int();

    return word << (HOST_LONG_BITS / 2) ^ g_test_rand_int();
}

/* What whole bitmaps mostly have is none, all, or a few. */
static void fill(unsigned long *words, int how)
{
    for (int i = 0; i < WORDS; i++) {
        unsigned long word = random_word();

        switch (how) {
        case 0:
            word = 0;
            break;
        case 1:
            word = ~0UL;
            break;
        case 2:
            word = word % 8 ? 0 : 1UL << word / 8 % HOST_LONG_BITS;
            break;
        case 3:
            word = word % 2 ? ~0UL : 0;
            break;
        }
        words[i] = word;
    }
}

static void check_move(const Case *in, int b0, int d0, int f0, size_t n)
{
    Case got = *in, want = *in;
    RamCfphBits bits = { 1, 2, 3 };
    uint64_t set_aside = 1, back = 2, both = 3;
    unsigned long left = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned long b = in->bmap[b0 + i], d = in->deferred[d0 + i];
        unsigned long f = leul_to_cpu(in->free[f0 + i]);

        want.bmap[b0 + i] = (b | d) & ~f;
        want.deferred[d0 + i] = (b | d) & f;
        left |= want.bmap[b0 + i];
        set_aside += ctpopl(b & f);
        back += ctpopl(d & ~b & ~f);
        both += ctpopl(b & d);
    }

    g_assert_true(ram_cfph_move(got.bmap + b0, got.deferred + d0,
                                got.free + f0, n, &bits) == !!left);
    g_assert_cmpmem(&got, sizeof(got), &want, sizeof(want));
    g_assert_cmpint(bits.set_aside, ==, set_aside);
    g_assert_cmpint(bits.back, ==, back);
    g_assert_cmpint(bits.both, ==, both);
}

static void check_covers(const Case *in, int d0, int f0, size_t n)
{
    unsigned long missing = 0;

    for (size_t i = 0; i < n; i++) {
        missing |= in->deferred[d0 + i] & ~leul_to_cpu(in->free[f0 + i]);
    }
    g_assert_true(ram_cfph_covers(in->free + f0, in->deferred + d0, n) ==
                  !missing);
}

/* One bit in one place must not be missed, wherever it is. */
static void check_one_bit(void)
{
    Case c = { 0 };

    for (int i = 0; i < LENGTHS * HOST_LONG_BITS; i += 7) {
        unsigned long *word = &c.deferred[i / HOST_LONG_BITS];

        *word = 1UL << i % HOST_LONG_BITS;
        g_assert_false(ram_cfph_covers(c.free, c.deferred, LENGTHS));
        check_move(&c, 0, 0, 0, LENGTHS);
        *word = 0;
        g_assert_true(ram_cfph_covers(c.free, c.deferred, LENGTHS));
    }
}

static void check_all(void)
{
    static Case c;

    for (int time = 0; time < TIMES; time++) {
        fill(c.bmap, g_test_rand_int_range(0, 5));
        fill(c.deferred, g_test_rand_int_range(0, 5));
        fill(c.free, g_test_rand_int_range(0, 5));
        for (int at = 0; at < ALIGNMENTS * ALIGNMENTS; at++) {
            int d0 = AROUND + at % ALIGNMENTS, f0 = AROUND + at / ALIGNMENTS;

            for (size_t n = 0; n <= LENGTHS; n++) {
                check_move(&c, d0, d0, f0, n);
                check_move(&c, f0, d0, f0, n);
                check_covers(&c, d0, f0, n);
            }
        }
    }
    check_one_bit();
}

static void test_move(void)
{
    int ways = 0;

    do {
        check_all();
        ways++;
    } while (test_ram_cfph_move_next_accel());
    g_test_message("%d ways compared with the definition", ways);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cfph/move", test_move);
    return g_test_run();
}
