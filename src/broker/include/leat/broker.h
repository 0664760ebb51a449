/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: the Kafka door. It owns the log of a data directory and serves
 * it by the Kafka protocol on one listening socket, from event loops of its own.
 *
 *   role     opens the data directory (lock), binds the socket, starts this,
 *            waits for its signal, stops this.
 */
#ifndef LEAT_BROKER_H
#define LEAT_BROKER_H

#include "leat/base.h"

struct leat_broker;
struct leat_log;

struct leat_broker_options {
        const char *data_dir;     /* DATA; the log is DATA/log, the cluster's id DATA/cluster-id */
        int listen_fd;            /* listening already; the broker owns it from now on, also when start fails */
        struct leat_stats *stats; /* must outlive the broker; NULL = counts are thrown away */
};

/* Opens and recovers the log, starts the loops (parameter broker.loops) and accepts connections; returns once clients
 * are served. Errors: those of leat_log_open; LEAT_ECORRUPT (cluster id), LEAT_EIO. Blocks. */
int leat_broker_start(const struct leat_broker_options *options, struct leat_broker **ret_broker,
                      struct leat_error *err) LEAT_NODISCARD;
/* Stops in order: accepts and reads no more, answers what is in flight (bounded wait), closes connections, syncs and
 * closes the log, frees everything. NULL is allowed. Blocks. */
void leat_broker_stop(struct leat_broker *broker);
/* Connections open now. Thread: any. */
int leat_broker_connections(const struct leat_broker *broker);
/* The log behind it, e.g. for tests. */
struct leat_log *leat_broker_log(struct leat_broker *broker);

#endif
