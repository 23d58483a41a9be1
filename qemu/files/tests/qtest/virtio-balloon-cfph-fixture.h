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
/* Of each area, after answer_start(). */
#define FREE_PAGES      (AREA_PAGES / 4)

typedef struct Fixture {
    Guest *g;
    QTestState *dst;
    char *dir;
    char *path;
    char *uri;
    /* The destination reads what the source has written before. */
    bool file;
} Fixture;

/* @opts: of the device; @cap: capability for both sides, NULL for none */
void fixture_up_with(Fixture *f, const char *opts, const char *cap);
void fixture_up(Fixture *f, const char *opts);
void fixture_down(Fixture *f);
/* After a migration that was cancelled, whose destination exits. */
void fixture_next_destination(Fixture *f);

void set_capability(QTestState *qts, const char *name);
uint64_t query_ram(QTestState *qts, const char *key);
void wait_ram(QTestState *qts, const char *key, uint64_t value);
void wait_migration(QTestState *qts, const char *goal);

void migrate_begin(Fixture *f);
/* START has come: show a map in which the first quarters are free. */
void answer_start(Fixture *f);
void begin_and_answer(Fixture *f);
/* Let it run up to the moment before the final sync; the VM is stopped. */
void migrate_to_switchover(Fixture *f);
void migrate_finish(Fixture *f);

/* Pages of the areas that are at the destination as they were filled. */
uint64_t arrived(Fixture *f);
/* Whatever has not arrived was skipped. */
void expect_consistent(Fixture *f);
/* Nothing was skipped. */
void expect_everything(Fixture *f);

/* virtio-balloon-cfph-malformed.c */
void cfph_add_malformed_tests(void);

#endif
