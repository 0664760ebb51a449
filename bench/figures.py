#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Figures of Leat at rest and at start: processor and memory when nothing flows, ready with 100 topics, ready after kill -9
with a large log. Prints one line a figure, medians of LEAT_BENCH_RUNS (5) runs; the log of LEAT_BENCH_LOG_GB (10) is made
once. Memory is PSS, shared pages counted by their share. The page cache is dropped before the restart where root may.
"""
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402

LOG_GB = float(os.environ.get("LEAT_BENCH_LOG_GB", "10"))
IDLE_S = 10


def text(memory):
    return " ".join(f"{role} {mb:.1f}" for role, mb in memory.items() if mb) + f" = {sum(memory.values()):.1f} MiB"


def idle():
    """PSS fresh, after one query, with PackScan's views; % of a core when nothing flows, each."""
    rows = []
    for _ in range(lib.RUNS):
        with lib.Leat() as leat:
            time.sleep(2)
            fresh = leat.pss()
            cpu_fresh = idle_cpu(leat)
            leat.sql("SELECT 1")
            queried = leat.pss()
            lib.packscan(leat, dashboards=True)
            leat.wait_caught_up()
            time.sleep(2)
            views = leat.pss()
            rows.append((fresh, queried, views, cpu_fresh, idle_cpu(leat)))
    for name, at in (("fresh", 0), ("after one query", 1), ("with PackScan's views", 2)):
        roles = {role: lib.median([row[at].get(role, 0) for row in rows]) for role in rows[0][at]}
        print(f"idle memory, {name}: {text(roles)}")
    print(f"idle processor, fresh: {lib.median([sum(r[3].values()) for r in rows]):.2f} % of a core")
    print(f"idle processor, with PackScan's views: {lib.median([sum(r[4].values()) for r in rows]):.2f} % of a core ("
          + " ".join(f"{role} {lib.median([r[4].get(role, 0) for r in rows]):.2f}" for role in rows[0][4]) + ")")


def idle_cpu(leat):
    before = leat.cpu()
    time.sleep(IDLE_S)
    return {role: 100 * (value - before.get(role, 0)) / IDLE_S for role, value in leat.cpu().items()}


def start():
    """Start to ready with 100 topics that hold something."""
    leat = lib.Leat().start()
    for n in range(100):
        leat.sql(f"CREATE TOPIC t{n} (k TEXT, v INT) WITH (partitions = 3); INSERT INTO t{n} VALUES ('a', 1)")
    times, walls = [], []
    for _ in range(max(lib.RUNS, 5)):
        leat.stop()
        begun = time.monotonic()
        leat.start()
        walls.append(1000 * (time.monotonic() - begun))
        times.append(leat.ready_ms)
    leat.done()
    print(f"start to ready, 100 topics of 3 partitions: {lib.median(times):.0f} ms as it says, {lib.median(walls):.0f} ms from outside")


def readyz(leat, deadline_s=60):
    begun = time.monotonic()
    while time.monotonic() - begun < deadline_s:
        try:
            with urllib.request.urlopen(f"http://{leat.http}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return time.monotonic() - begun
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.005)
    raise SystemExit("not ready")


def drop_caches():
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("3")
        return "cold page cache"
    except OSError:
        return "warm page cache"


def recovery():
    """kill -9 of everything while records come in, then start to /readyz."""
    leat = lib.Leat().start()
    leat.sql("CREATE TOPIC big (line TEXT) WITH (partitions = 6)")
    lines = f"{leat.data}.lines"
    with open(lines, "w", encoding="ascii") as f:
        for n in range(200000):
            f.write(json.dumps({"line": f"{n:010d}" + "x" * 1000}) + "\n")
    size = os.path.getsize(lines)
    load = [lib.program("load"), "--kafka", leat.kafka, "--topic", "big", "--file", lines]
    begun, sent = time.monotonic(), 0
    while sent < LOG_GB * 1e9:
        subprocess.run(load, check=True, stdout=subprocess.DEVNULL)
        sent += size
    speed = sent / 1e6 / (time.monotonic() - begun)
    times = []
    for _ in range(lib.RUNS):
        writer = subprocess.Popen(load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        leat.stop(kill=True)
        writer.kill()
        writer.wait()
        time.sleep(0.5)
        cache = drop_caches()
        begun = time.monotonic()
        leat.start()
        readyz(leat)
        times.append(time.monotonic() - begun)
    count = leat.sql("SELECT count(*) FROM big WHERE kafka_partition = 0 AND kafka_offset < 1000")[0][0]
    leat.done()
    os.unlink(lines)
    print(f"/readyz after kill -9, {sent / 1e9:.0f} GB of log, {cache}: {1000 * lib.median(times):.0f} ms "
          f"(written at {speed:.0f} MB/s in batches of 500 KB; first 1000 of partition 0: {count})")


def main():
    print("machine", lib.machine())
    for figure in (idle, start, recovery):
        figure()


if __name__ == "__main__":
    main()
