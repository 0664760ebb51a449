# SPDX-License-Identifier: Apache-2.0
"""Produce: records of 1 KiB, acks=all; beside it Apache Kafka with the same client.

The client (bench_broker) sends batches that were made before, one per partition and request: 5 requests in flight, which is
what one idempotent producer has, or 40, as from several; with few in flight a partition is as fast as a sync is short. Both sides' processor time is measured. LEAT_BENCH_PRODUCE_MS (1500) a run, after some that
warm up: 3 seconds, and 10 more in a new JVM. Leat acknowledges what is on the disk. Apache Kafka is measured twice: as it
comes (acknowledged out of the page cache) and with log.flush.interval.messages=1 (on the disk, as Leat).
"""
import json
import os

import lib
import peers

RUN_MS = int(os.environ.get("LEAT_BENCH_PRODUCE_MS", "1500"))
SHARED = ((1, 16, 40), (1, 16, 5), (6, 16, 5), (1, 128, 5))  # partitions, KB of a batch, in flight: measured on both sides
ALONE = ((64, 16, 5), (1000, 16, 5))


def client(report, program, address, pid, partitions, batch_kb, in_flight, what, warm_ms=2 * RUN_MS):
    """Runs of (MB/s, CPU-seconds of the broker a GB)."""
    lib.settle()
    out, _, _ = lib.run([program, f"at={address}", f"pid={pid}", f"partitions={partitions}", f"batch_kb={batch_kb}",
                         f"in_flight={in_flight}", f"ms={RUN_MS}", f"warm_ms={warm_ms}", f"runs={report.runs}"], timeout_s=300)
    rows = [json.loads(line) for line in out.splitlines()]
    runs = [(row["mb"] / row["seconds"], row["broker_cpu_s"] / row["mb"] * 1000) for row in rows]
    for row, (speed, cost) in zip(rows, runs):
        report.generator(row["client_cpu_s"])
        report.line(f"{what}, {partitions} partitions, {batch_kb} KB, {in_flight} in flight: {speed:.0f} MB/s, broker "
                    f"{cost:.2f} CPU-s a GB, client {row['client_cpu_s'] / row['mb'] * 1000:.2f}")
    return runs


def leat_runs(report, program):
    with lib.Leat() as leat:
        pid = leat.pids()["broker"][0]
        return {case: client(report, program, leat.kafka, pid, *case, "Leat") for case in (*SHARED, *ALONE)}


def kafka_runs(report, program, flush):
    with peers.Kafka(flush) as kafka:
        what = "Apache Kafka, fsync" if flush else "Apache Kafka, page cache"
        return {case: client(report, program, kafka.address, kafka.pid, *case, what, (2 if turn else 9) * RUN_MS)
                for turn, case in enumerate(SHARED)}


def measure(report):
    program = lib.build("src/broker/bench_broker")
    ours = leat_runs(report, program)
    kafka, without = report.beside("produce", lambda: {flush: kafka_runs(report, program, flush) for flush in (True, False)})
    names = {True: "Kafka, fsync", False: "Kafka, page cache"}
    for case in (*SHARED, *ALONE):
        partitions, batch_kb, in_flight = case
        text = f"produce 1 KiB, fsynced, {partitions} partition{'s' if partitions > 1 else ''}, {batch_kb} KB batches, {in_flight} in flight"
        pairs = [(kafka[flush][case], names[flush]) for flush in kafka or () if case in SHARED]
        if not pairs:
            pairs = [(None, without if case in SHARED and without else "–")]
        for runs, name in pairs:
            report.figure(text, "MB/s", [r[0] for r in ours[case]], target="≥ 300" if case[:2] == (1, 16) else "",
                          peer=runs and [r[0] for r in runs], peer_name=name)
            report.figure("the same, broker's CPU-seconds a GB", "", [r[1] for r in ours[case]], better="less",
                          peer=runs and [r[1] for r in runs], peer_name=name)
