/* SPDX-License-Identifier: GPL-2.0 */
/* What the workloads share. */
#ifndef LOAD_H
#define LOAD_H

#include <stdint.h>

struct stamp;

void *map_pages(uint64_t pages);
/* Stamp @pages pages at @base; s->page is used as the index. */
void stamp_area(char *base, struct stamp *s, uint64_t pages);

int churn_main(int argc, char **argv);
int forks_main(int argc, char **argv);
int pagecache_main(int argc, char **argv);
int stress_main(int argc, char **argv);
int shake_main(int argc, char **argv);

#endif
