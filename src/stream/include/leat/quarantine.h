/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the quarantine of a topic, as its writers and readers share it.
 *
 * Records that do not fit the topic's columns are copied to `<topic>.quarantine`,
 * by whoever reads them: jobs and SELECTs. The same record may be written more
 * than once (by two jobs, by a tick that is made again after a crash); readers
 * take the newest copy of each partition and offset.
 *
 * Two kinds of records, told apart by their keys (docs/formats.md):
 *
 *   refused   {"partition", "offset"}                the bytes, column, reason
 *   mark      {"partition", "offset", "mark": true}  it was played back, or is about to be
 *
 * so that a refused record that is read and written again stays played back, also
 * after compaction by key.
 */
#ifndef LEAT_QUARANTINE_H
#define LEAT_QUARANTINE_H

#include "leat/feed.h"
#include "leat/format.h"

struct leat_quarantine {
        char name[264]; /* "<topic>.quarantine" */
        struct leat_topic_id id;
        uint32_t batch_max; /* bytes that one batch may have */
};

/* Finds the quarantine of @topic, or makes it: one partition, kept as long as the topic's records, or for
 * quarantine.retention when these are kept for ever. @io_quarantine zeroed at first, then kept: what the broker says about
 * it is asked once. */
int leat_quarantine_open(struct leat_feed *feed, const char *topic, struct leat_quarantine *io_quarantine,
                         struct leat_error *err) LEAT_NODISCARD;
/* Sends @count refused records in as few batches as they fit into; @done is called once a batch. @def names the columns.
 * What is too large for a batch is cut, and its reason says so. Returns the number of batches in *ret_batches. */
int leat_quarantine_send(struct leat_feed_writer *writer, const struct leat_quarantine *quarantine,
                         const struct leat_topic_def *def, const struct leat_format_invalid *invalids, uint32_t count,
                         leat_feed_done_fn *done, void *arg, uint32_t *ret_batches,
                         struct leat_error *err) LEAT_NODISCARD;

#endif
