/*
 * Continuous free-page hints: moving bits from word to word
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The only loops whose time grows with a guest's RAM.  Which way is taken is
 * chosen when QEMU starts, as util/bufferiszero.c does it.
 *
 * The guest may write to @free meanwhile: what is tested, stored and counted is
 * one and the same copy of each word.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "host/cpuinfo.h"
#include "cfph-move.h"

typedef struct RamCfphMoveAccel {
    bool (*move)(unsigned long *bmap, unsigned long *deferred,
                 const unsigned long *free, size_t words, RamCfphBits *bits);
    bool (*covers)(const unsigned long *free, const unsigned long *deferred,
                   size_t words);
} RamCfphMoveAccel;

/* --- one word at a time --- */

static bool ram_cfph_move_plain(unsigned long *bmap, unsigned long *deferred,
                                const unsigned long *free, size_t words,
                                RamCfphBits *bits)
{
    unsigned long left = 0;

    for (size_t i = 0; i < words; i++) {
        unsigned long f = leul_to_cpu(qatomic_read(&free[i]));
        unsigned long b = bmap[i], d = deferred[i];
        unsigned long all = b | d;

        left |= all & ~f;
        if ((b & f) | (d & ~f) | (b & d)) {
            bits->set_aside += ctpopl(b & f);
            bits->back += ctpopl(d & ~f & ~b);
            bits->both += ctpopl(b & d);
            bmap[i] = all & ~f;
            deferred[i] = all & f;
        }
    }
    return left;
}

static bool ram_cfph_covers_plain(const unsigned long *free,
                                  const unsigned long *deferred, size_t words)
{
    unsigned long missing = 0;

    for (size_t i = 0; i < words && !missing; i++) {
        missing = deferred[i] & ~leul_to_cpu(qatomic_read(&free[i]));
    }
    return !missing;
}

/* --- four words at a time --- */

#if defined(CONFIG_AVX2_OPT) && HOST_LONG_BITS == 64
#include <immintrin.h>

#define AVX2        __attribute__((target("avx2")))
#define AVX2_WORDS  4

static inline AVX2 __m256i ram_cfph_load(const unsigned long *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Read once: the compiler must not go back to memory for it. */
static inline AVX2 __m256i ram_cfph_load_once(const unsigned long *p)
{
    __m256i v = ram_cfph_load(p);

    asm("" : "+x"(v));
    return v;
}

/* Adds to each lane of @sum how many bits are set in that lane of @v. */
static inline AVX2 __m256i ram_cfph_count(__m256i sum, __m256i v)
{
    const __m256i nibble = _mm256_set1_epi8(0x0f);
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    __m256i low = _mm256_shuffle_epi8(table, v & nibble);
    __m256i high = _mm256_shuffle_epi8(table,
                                       _mm256_srli_epi16(v, 4) & nibble);

    return _mm256_add_epi64(sum,
                            _mm256_sad_epu8(_mm256_add_epi8(low, high),
                                            _mm256_setzero_si256()));
}

static inline AVX2 uint64_t ram_cfph_sum(__m256i v)
{
    return _mm256_extract_epi64(v, 0) + _mm256_extract_epi64(v, 1) +
           _mm256_extract_epi64(v, 2) + _mm256_extract_epi64(v, 3);
}

static AVX2 bool ram_cfph_move_avx2(unsigned long *bmap,
                                    unsigned long *deferred,
                                    const unsigned long *free, size_t words,
                                    RamCfphBits *bits)
{
    __m256i set_aside = _mm256_setzero_si256(), back = set_aside;
    __m256i both = set_aside, left = set_aside;
    bool more;
    size_t i;

    for (i = 0; i + AVX2_WORDS <= words; i += AVX2_WORDS) {
        __m256i f = ram_cfph_load_once(&free[i]);
        __m256i b = ram_cfph_load(&bmap[i]), d = ram_cfph_load(&deferred[i]);
        __m256i all = b | d, out = b & f, in = _mm256_andnot_si256(f, d);
        __m256i change = out | in | (b & d);

        left |= _mm256_andnot_si256(f, all);
        if (!_mm256_testz_si256(change, change)) {
            set_aside = ram_cfph_count(set_aside, out);
            back = ram_cfph_count(back, _mm256_andnot_si256(b, in));
            both = ram_cfph_count(both, b & d);
            _mm256_storeu_si256((__m256i *)&bmap[i],
                                _mm256_andnot_si256(f, all));
            _mm256_storeu_si256((__m256i *)&deferred[i], all & f);
        }
    }
    bits->set_aside += ram_cfph_sum(set_aside);
    bits->back += ram_cfph_sum(back);
    bits->both += ram_cfph_sum(both);
    more = ram_cfph_move_plain(bmap + i, deferred + i, free + i, words - i,
                               bits);
    return more || !_mm256_testz_si256(left, left);
}

/* Looks at 128 bytes before it decides, so that loads overlap. */
static AVX2 bool ram_cfph_covers_avx2(const unsigned long *free,
                                      const unsigned long *deferred,
                                      size_t words)
{
    size_t i;

    for (i = 0; i + 4 * AVX2_WORDS <= words; i += 4 * AVX2_WORDS) {
        __m256i missing = _mm256_setzero_si256();

        for (size_t j = i; j < i + 4 * AVX2_WORDS; j += AVX2_WORDS) {
            missing |= _mm256_andnot_si256(ram_cfph_load_once(&free[j]),
                                           ram_cfph_load(&deferred[j]));
        }
        if (!_mm256_testz_si256(missing, missing)) {
            return false;
        }
    }
    return ram_cfph_covers_plain(free + i, deferred + i, words - i);
}
#endif

/* --- the choice --- */

static const RamCfphMoveAccel accel_table[] = {
    { ram_cfph_move_plain, ram_cfph_covers_plain },
#ifdef AVX2_WORDS
    { ram_cfph_move_avx2, ram_cfph_covers_avx2 },
#endif
};

static unsigned accel_index;

bool ram_cfph_move(unsigned long *bmap, unsigned long *deferred,
                   const unsigned long *free, size_t words, RamCfphBits *bits)
{
    return accel_table[accel_index].move(bmap, deferred, free, words, bits);
}

bool ram_cfph_covers(const unsigned long *free, const unsigned long *deferred,
                     size_t words)
{
    return accel_table[accel_index].covers(free, deferred, words);
}

bool test_ram_cfph_move_next_accel(void)
{
    return accel_index && accel_index--;
}

static void __attribute__((constructor)) ram_cfph_move_init(void)
{
#ifdef AVX2_WORDS
    accel_index = cpuinfo_init() & CPUINFO_AVX2 ? 1 : 0;
#endif
}
