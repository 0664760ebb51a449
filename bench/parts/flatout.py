# SPDX-License-Identifier: Apache-2.0
"""PackScan as fast as it goes, for a minute: topics, lookups and all four views.

The scans are lines of a file (`leat generate`, 300,000 a second of event time), made before. `leat generate --lines` sends
them in batches of 500 without a pause, acks=all, for LEAT_BENCH_SECONDS (60); it runs on the same cores and its processor
time is stated. The clock stops when all views cover everything that was sent (leat.freshness = 'now'). Then every view must
hold each valid scan exactly once.
"""
import os
import time

import lib

SECONDS = int(os.environ.get("LEAT_BENCH_SECONDS", "60"))
RATE_MAX = 900000  # more than can be sent: the file must not end before the time
VIEWS = ("site_inflow", "station_inflow", "route_inflow", "associate_scans")


def check(leat, report, records):
    """All views hold each valid scan once, the quarantine each other once, and SHOW JOBS counts these."""
    sums = [int(leat.sql(f"SELECT sum(scans) FROM {view}")[0][0]) for view in VIEWS]
    refused = int(leat.sql('SELECT count(*) FROM "scans$quarantine"')[0][0])
    counted = {int(job["quarantined"]) for job in leat.jobs() if job["input"] == "scans"}
    if any(total + refused != records for total in sums) or counted != {refused}:
        report.note(f"flatout: WRONG: {records} sent, {refused} refused, jobs count {counted}, the views hold {sums}")


def run(report, path):
    lib.settle()
    with lib.Leat() as leat:
        lib.packscan(leat)
        leat.wait_caught_up()
        before, others, begun = leat.cpu(), lib.Others(), time.monotonic()
        records, sent_s, loader = lib.send(leat.kafka, "scans", path, for_s=SECONDS)
        leat.wait_caught_up()
        seconds = time.monotonic() - begun
        cpu = {role: value - before.get(role, 0) for role, value in leat.cpu().items()}
        used = others.cores()
        report.generator(loader)
        report.line(f"{records / seconds:10,.0f} events/s for {seconds:.1f} s (sent in {sent_s:.1f})  CPU-s "
                    + " ".join(f"{role} {cpu[role]:.1f}" for role in ("broker", "worker", "query", "api"))
                    + f" loader {loader:.1f}; others {100 * used:.0f} % of a core")
        check(leat, report, records)
        return records / seconds, records / cpu["worker"], records / cpu["broker"], seconds


def measure(report):
    path = f"{lib.data_dir()}/scans.jsonl"
    count = SECONDS * RATE_MAX
    made = lib.scans_make(path, count, 300000)
    report.line(f"{count:,} scans made before, {os.path.getsize(path) / 1e9:.1f} GB, {made:.1f} CPU-s")
    runs = [run(report, path) for _ in range(report.runs)]
    shortest = min(r[3] for r in runs)
    report.figure(f"PackScan flat out, four views, {SECONDS} s of sending (shortest run {shortest:.0f} s)", "events/s",
                  [r[0] for r in runs], target="≥ 300,000, want 500,000")
    report.figure("the same, events a CPU-second of the worker", "M", [r[1] / 1e6 for r in runs])
    report.figure("the same, events a CPU-second of the broker", "M", [r[2] / 1e6 for r in runs])
