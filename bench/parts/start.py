# SPDX-License-Identifier: Apache-2.0
"""Starts: ready with 100 topics; ready after kill -9 under writes with a large log and a cold page cache.

The log of LEAT_BENCH_LOG_GB (10) is made once, by lines of 1 KB. All roles are killed while records come in; the page cache
is dropped before the restart (where root may). The clock stops when /readyz says 200.
"""
import json
import os
import time
import urllib.error
import urllib.request

import lib

LOG_GB = float(os.environ.get("LEAT_BENCH_LOG_GB", "10"))
TOPICS = 100


def start_runs(report):
    leat = lib.Leat().start()
    try:
        for n in range(TOPICS):
            leat.sql(f"CREATE TOPIC t{n} (k TEXT, v INT) WITH (partitions = 3); INSERT INTO t{n} VALUES ('a', 1)")
        times = []
        for _ in range(report.runs):
            leat.stop()
            begun = time.monotonic()
            leat.start()
            times.append(1000 * (time.monotonic() - begun))
        report.line("ready in " + ", ".join(f"{ms:.0f}" for ms in times) + f" ms with {TOPICS} topics of 3 partitions")
        return times
    finally:
        leat.done()


def readyz(leat, timeout_s=60):
    begun = time.monotonic()
    while time.monotonic() - begun < timeout_s:
        try:
            with urllib.request.urlopen(f"http://{leat.http}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.005)
    raise lib.BenchError(f"not ready {timeout_s} s after kill -9")


def fill(report, leat, lines):
    with open(lines, "w", encoding="ascii") as f:
        for n in range(200000):
            f.write(json.dumps({"line": f"{n:010d}" + "x" * 1000}) + "\n")
    size, begun, sent = os.path.getsize(lines), time.monotonic(), 0
    while sent < LOG_GB * 1e9:
        report.generator(lib.send(leat.kafka, "big", lines)[2])
        sent += size
    return sent, sent / 1e6 / (time.monotonic() - begun)


def kill_run(leat, lines):
    writer = lib.spawn([lib.BINARY, "generate", "--lines", lines, "-t", "big", "--kafka", leat.kafka, "--rate", "max", "-q"],
                       f"{leat.data}.writer")
    time.sleep(0.3)
    leat.stop(kill=True)
    lib.end(writer)
    os.unlink(f"{leat.data}.writer")
    time.sleep(0.5)
    cold = lib.drop_caches()
    begun = time.monotonic()
    leat.start()
    readyz(leat)
    return 1000 * (time.monotonic() - begun), cold


def recovery_runs(report):
    leat = lib.Leat().start()
    try:
        leat.sql("CREATE TOPIC big (line TEXT) WITH (partitions = 6)")
        lines = f"{leat.data}.lines"
        sent, speed = fill(report, leat, lines)
        lib.settle()
        runs = [kill_run(leat, lines) for _ in range(report.runs)]
        first = int(leat.sql("SELECT count(*) FROM big WHERE kafka_partition = 0 AND kafka_offset < 1000")[0][0])
        if first != 1000:
            report.note(f"start: WRONG: {first} of the first 1000 records are there after kill -9")
        report.line(f"{sent / 1e9:.1f} GB written at {speed:.0f} MB/s; ready after kill -9 in "
                    + ", ".join(f"{ms:.0f}" for ms, _ in runs) + " ms")
        return [ms for ms, _ in runs], all(cold for _, cold in runs)
    finally:
        leat.done()


def measure(report):
    report.figure(f"start to ready, {TOPICS} topics of 3 partitions", "ms", start_runs(report), target="≤ 300", better="less")
    times, cold = recovery_runs(report)
    report.figure(f"/readyz after kill -9, {LOG_GB:.0f} GB of log, {'cold' if cold else 'warm'} page cache", "ms", times,
                  target="≤ 2,000", better="less")
