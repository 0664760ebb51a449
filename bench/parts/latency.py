# SPDX-License-Identifier: Apache-2.0
"""PackScan at 12,000 scans a second with 1,000 displays on the wall: how long from a scan to the screen.

Scan n is meant to be sent at begin + n / rate; that is also its event_time (`leat generate`, give or take the example's late
and skewed scanners). `leat generate --lines` sends the lines, made before, at the intended times, acks=all. bench/sse_viewers
opens the displays, a quarter on each site, every one with all panels of the dashboard `wall` as it stands in
examples/packscan, and one more.

Method. The panel that is added shows the scans of each step of 10 seconds, the running step too (the wall leaves that out,
its lines would fall at the end), so the sum over its rows is the number of scans of this site that a display shows. When a complete message brings the sum from a to b, the scans a+1 to b of the site, in the
order in which they were meant to be sent, are on that display: their latencies are the moment when the message's last byte
was read less the moments when they were meant. This is counted for all displays and all scans (percentiles take every
20th, the maximum all). At the end each display must show exactly the valid scans of its site, and all views hold each once.

There is no peer that does the same (log, job, view and page in one), so none is run beside it.
"""
import collections
import json
import os
import re
import signal
import subprocess
import time

import lib

RATE = int(os.environ.get("LEAT_BENCH_RATE", "12000"))
SECONDS = int(os.environ.get("LEAT_BENCH_LATENCY_SECONDS", "30"))
VIEWERS = int(os.environ.get("LEAT_BENCH_VIEWERS", "1000"))
SITES = ("SEA1", "PHX2", "ATL3", "EWR4")
PANEL = """  PANEL newest TITLE 'Scans so far' LINE X window_start Y scans AT (0, 12, 12, 4) AS (
    SELECT window_start, scans FROM site_inflow WHERE site = $site ORDER BY window_start DESC LIMIT 180)"""
STEP = 20
PREPARE_S = 8


def is_valid(line):
    try:
        scan = json.loads(line)
    except ValueError:
        return None
    weight, station = scan.get("weight_g"), scan.get("station_id")
    ok = isinstance(station, str) and (weight is None or (isinstance(weight, (int, float)) and not isinstance(weight, bool)))
    return scan if ok else None


def meant(path, site_of):
    """site -> moments (microseconds after begin) at which its scans are meant to be sent."""
    moments = collections.defaultdict(list)
    with open(path, encoding="utf-8") as f:
        for n, line in enumerate(f):
            scan = is_valid(line)
            if scan is not None:
                moments[site_of.get(scan["station_id"], "unknown")].append(n * 1000000 // RATE)
    return moments


def latencies(path, moments, begin_us):
    """Milliseconds: histogram, maximum, and the sums that displays ended with."""
    histogram, worst, last = collections.Counter(), 0, {}
    with open(path, encoding="ascii") as f:
        for line in f:
            viewer, site, arrival, total = map(int, line.split())
            before = last.get(viewer, (site, 0))[1]
            of_site = moments[SITES[site]]
            after = arrival - begin_us
            worst = max(worst, after - of_site[before]) if before < min(total, len(of_site)) else worst
            for moment in of_site[before:total:STEP]:
                histogram[(after - moment) // 1000] += 1
            last[viewer] = (site, max(total, before))
    return histogram, worst / 1000, last


def percentile(histogram, share):
    left = share * sum(histogram.values())
    for value in sorted(histogram):
        left -= histogram[value]
        if left <= 0:
            return value
    return 0


def run(report):
    lib.settle()
    with lib.Leat() as leat:
        lib.packscan(leat, dashboards=True)
        panel = wall_create(leat)
        leat.wait_caught_up()
        begin_us = (int(time.time()) + PREPARE_S + SECONDS // 15) * 1000000
        begin = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin_us // 1000000))
        lines, seen = f"{leat.data}/scans.jsonl", f"{leat.data}/seen.txt"
        report.generator(lib.scans_make(lines, RATE * SECONDS, RATE, begin))
        moments = meant(lines, dict(leat.sql("SELECT station_id, site FROM stations")))
        viewers = displays(leat, panel, seen)
        if time.time() > begin_us / 1e6 - 1:
            raise lib.BenchError("the machine is too busy: the displays were not there in time")
        time.sleep(begin_us / 1e6 - time.time() - 0.5)
        before, others, begun = leat.cpu(), lib.Others(), time.monotonic()
        records, _, loader = lib.send(leat.kafka, "scans", lines, rate=RATE, at=begin)
        after, used, seconds = leat.cpu(), others.cores(), time.monotonic() - begun
        leat.wait_caught_up()
        time.sleep(2)
        viewers.send_signal(signal.SIGTERM)
        seen_by = json.loads(viewers.communicate()[1])
        lib.end(viewers)
        report.generator(loader)
        histogram, worst, last = latencies(seen, moments, begin_us)
        cpu = {role: 100 * (value - before.get(role, 0)) / seconds for role, value in after.items()}
        p50, p99 = percentile(histogram, 0.5), percentile(histogram, 0.99)
        report.line(f"p50 {p50} ms  p99 {p99} ms  max {worst:.0f} ms, {seen_by['events']:,} messages, {seen_by['bytes'] / 1e6:.0f} MB; "
                    "% of a core: " + " ".join(f"{role} {cpu[role]:.1f}" for role in ("broker", "worker", "query", "api"))
                    + f" displays {100 * seen_by['cpu_s'] / seconds:.1f} loader {100 * loader / seconds:.1f} others {100 * used:.0f}")
        check(report, leat, moments, last, seen_by["broken"], records)
        return p50, p99, worst, sum(cpu.values())


def wall_create(leat):
    """The example's wall with PANEL behind its own, as `bench_wall`; returns the number of PANEL among them."""
    with open(f"{lib.PACKSCAN}/dashboards.sql", encoding="utf-8") as f:
        found = re.search(r"CREATE OR REPLACE DASHBOARD wall\b.*?;$", f.read(), re.M | re.S)
    if found is None:
        raise lib.BenchError("examples/packscan/dashboards.sql has no dashboard wall")
    text = found.group(0)
    leat.sql(text.replace("DASHBOARD wall", "DASHBOARD bench_wall", 1).rstrip(";") + "\n" + PANEL)
    return len(re.findall(r"^ +PANEL ", text, re.M))


def displays(leat, panel, seen):
    """Opens all displays; they are ready when each has its first snapshot, about a second later."""
    program = lib.build("bench/sse_viewers")
    paths = ",".join(f"/api/dashboards/bench_wall/stream?site={site}" for site in SITES)
    with open(seen, "w", encoding="ascii") as out:
        return lib.spawn([program, leat.http, paths, str(VIEWERS), "0", str(panel)], stdout=out, stderr=subprocess.PIPE, text=True)


def check(report, leat, moments, last, broken, records):
    valid = sum(len(m) for m in moments.values())
    wrong = [viewer for viewer, (site, total) in last.items() if total != len(moments[SITES[site]])]
    sums = [int(leat.sql(f"SELECT sum(scans) FROM {view}")[0][0])
            for view in ("site_inflow", "station_inflow", "route_inflow", "associate_scans")]
    if records != RATE * SECONDS or len(last) != VIEWERS or wrong or any(total != valid for total in sums) or broken:
        report.note(f"latency: WRONG: {records} sent, {valid} valid, the views hold {sums}, {len(wrong)} of {len(last)} displays end "
                    f"with another sum, {broken} broken")


def measure(report):
    runs = [run(report) for _ in range(report.runs)]
    what = f"PackScan, {RATE:,} scans/s, {VIEWERS:,} displays: from scan to display"
    none = "no natural peer"
    report.figure(f"{what}, p99", "ms", [r[1] for r in runs], target="≤ 1,000", better="less", peer_name=none)
    report.figure("the same, p50", "ms", [r[0] for r in runs], better="less", peer_name=none)
    report.figure("the same, most", "ms", [r[2] for r in runs], better="less", peer_name=none)
    report.figure("the same, processor of all roles", "% of a core", [r[3] for r in runs], better="less", peer_name=none)
