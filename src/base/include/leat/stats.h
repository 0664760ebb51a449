/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: metrics. Each role maps one small file, DATA/run/<role>.stats,
 * and counts in it; `/metrics` and `leat status` read all of them. A metric is
 * one line of metrics.def; a slot is one metric with one set of labels.
 *
 * File: 64-byte header (magic "LEATSTAT", version, pid, start time, slot
 * count), then slots of 128 bytes: metric id (u32), state (u32, 0 free, 1
 * used), value (u64), labels (112 bytes, NUL-terminated, `topic="scans"`).
 * The file holds no truth: it is made anew when the role starts.
 */
#ifndef LEAT_STATS_H
#define LEAT_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "leat/error.h"

#define LEAT_STATS_LABEL_BYTES 112

enum leat_metric_kind { LEAT_COUNTER, LEAT_GAUGE };

enum leat_metric {
#define METRIC(id, kind, name, help) LEAT_M_##id,
#include "leat/metrics.def"
#undef METRIC
        LEAT_METRIC_COUNT
};

struct leat_metric_info {
        enum leat_metric_kind kind;
        const char *name;
        const char *help;
};
const struct leat_metric_info *leat_metric_info(enum leat_metric id);

struct leat_stats;

/* Makes and maps the stats file @path for @slots slots; with @path NULL the
 * slots are in plain memory (tests). */
int leat_stats_open(const char *path, uint32_t slots, struct leat_stats **ret_stats,
                    struct leat_error *err) LEAT_NODISCARD;
void leat_stats_close(struct leat_stats *stats);
/* The counter of @metric with @labels ("" or `topic="a",partition="0"`), made
 * at first use. When the file is full it is a shared overflow slot, never NULL.
 * Takes a lock: keep the pointer, do not call it per record. Thread: any. */
_Atomic uint64_t *leat_stats_slot(struct leat_stats *stats, enum leat_metric metric, const char *labels);
/* Frees the slots with these labels (a topic was deleted). */
void leat_stats_drop(struct leat_stats *stats, const char *labels);

static inline void leat_stat_add(_Atomic uint64_t *slot, uint64_t n)
{
        atomic_fetch_add_explicit(slot, n, memory_order_relaxed);
}
static inline void leat_stat_set(_Atomic uint64_t *slot, uint64_t value)
{
        atomic_store_explicit(slot, value, memory_order_relaxed);
}

/* Reads every used slot of a file written by another process. LEAT_ECORRUPT
 * when it is no stats file. @fn gets pid and start time (us) of the writer. */
typedef void leat_stats_fn(void *arg, enum leat_metric metric, const char *labels, uint64_t value);
int leat_stats_read(const char *path, leat_stats_fn *fn, void *arg, int32_t *ret_pid, int64_t *ret_start_us,
                    struct leat_error *err) LEAT_NODISCARD;

#endif
