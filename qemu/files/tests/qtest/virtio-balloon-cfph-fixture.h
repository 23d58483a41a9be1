/*
 * QTest: two QEMUs and a migration between them, for free-page hints
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VIRTIO_BALLOON_CFPH_FIXTURE_H
#define VIRTIO_BALLOON_CFPH_FIXTURE_H

#include "virtio-balloon-cfph-guest.h"

#define AREAS_PAGES     (2 * AREA_PAGES)
/* Of each area, in the map of fixture_map(). */
#define FREE_PAGES      (AREA_PAGES / 4)

typedef struct Setup {
    /* Of the device: "" or ",name=value...". */
    const char *opts;
    /* More arguments of both QEMUs, of each; "@DIR@" is the fixture's. */
    const char *machine, *source, *destination;
    /* Capability of both sides; of the source alone. */
    const char *cap, *source_cap;
    /* Do not wait before the final sync. */
    bool no_pause;
} Setup;

typedef struct Fixture {
    Guest *g;
    QTestState *dst;
    Setup setup;
    char *dir;
    char *path;
    char *uri;
    /* The destination reads what the source has written before. */
    bool file;
    /* A third area of pages, in memory from @third_base on. */
    uint64_t third_area, third_base, third_bytes;
    /* Pages that fixture_map() makes free, and that will be deferred. */
    uint64_t free_pages;
    /* Pages that the test writes to behind QEMU's back, not compared. */
    uint64_t unlogged[3];
    /* A mutant: migrate_finish() must find pages that are lost. */
    bool loses_pages;
} Fixture;

typedef struct FixtureTest {
    const char *name;
    void (*func)(void);
} FixtureTest;

/* @n tests, each called @prefix/name. */
void fixture_add_tests(const char *prefix, const FixtureTest *tests, size_t n);

void fixture_up_setup(Fixture *f, const Setup *setup);
/* @opts: of the device; @cap: capability for both sides, NULL for none */
void fixture_up_with(Fixture *f, const char *opts, const char *cap);
void fixture_up(Fixture *f, const char *opts);
void fixture_down(Fixture *f);
/* A third area in memory from @base on, once the source has that memory. */
void fixture_third_area(Fixture *f, uint64_t base, uint64_t bytes);
/* A destination in place of one that has exited. */
void fixture_new_destination(Fixture *f);
/* After a migration that was cancelled, whose destination exits. */
void fixture_next_destination(Fixture *f);

/* If this QEMU and this host have not got @cap, the test is skipped. */
bool fixture_can(const char *cap);
/*
 * A machine with RAM that the host does not have; the same.  If the processor
 * were AMD's, QEMU would move that RAM above their hole below 1 TiB.
 */
#define HUGE_RAM "-object memory-backend-ram,id=ram0,size=1T,reserve=off " \
                 "-machine memory-backend=ram0 -m 1T " \
                 "-cpu qemu64,vendor=GenuineIntel,phys-bits=46"
bool fixture_can_huge(void);
void set_capability(QTestState *qts, const char *name);
void set_parameter(QTestState *qts, const char *name, uint64_t value);
uint64_t query_ram(QTestState *qts, const char *key);
void wait_ram(QTestState *qts, const char *key, uint64_t value);
void wait_migration(QTestState *qts, const char *goal);

void migrate_begin(Fixture *f);
/* Register a map in which the first quarters of the areas are free. */
void fixture_map(Fixture *f);
/* START has come: answer it. */
void answer_start(Fixture *f);
/*
 * A migration of a guest whose map is registered, now or before; it answers
 * START, and what is free has been set aside.
 */
void begin_and_answer(Fixture *f);
/* Until the device has forgotten the map. */
void wait_unregistered(Guest *g);
/* Lines of the source's log that have @text: Setup.source with LOG. */
#define LOG "-d guest_errors -D @DIR@/log "
unsigned count_log(Fixture *f, const char *text);
/* A map whose header page must not be believed; a whole test. */
void refuse_header(Fixture *f, uint64_t header);
/* Let it run up to the moment before the final sync; the VM is stopped. */
void migrate_to_switchover(Fixture *f);
/* The rest. */
void migrate_continue(Fixture *f);
/*
 * The rest; then the memory of both sides is compared page by page, and pages
 * that differ must be free in the map.
 */
void migrate_finish(Fixture *f);
/* START has been answered: let the whole rest run. */
void migrate_rest(Fixture *f);
void expect_same_memory(Fixture *f);
/* The guest hears of the end of migration @id, after any number of ROUND. */
void wait_stop(Fixture *f, QTestState *qts, uint32_t id);

/* Pages of the areas that are at the destination as they were filled. */
uint64_t arrived(Fixture *f);
/* Whatever has not arrived was skipped. */
void expect_consistent(Fixture *f);
/* Nothing was skipped. */
void expect_everything(Fixture *f);
/* All that fixture_map() has made free was skipped. */
void expect_skipped(Fixture *f);

/* virtio-balloon-cfph-machine.c */
void cfph_add_machine_tests(void);
/* virtio-balloon-cfph-malformed.c */
void cfph_add_malformed_tests(void);
/* virtio-balloon-cfph-badmap.c */
void cfph_add_badmap_tests(void);

#endif
