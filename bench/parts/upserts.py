# SPDX-License-Identifier: Apache-2.0
"""Arrangements: what an upsert of a random key costs, merges included (src/state/bench).

Each tick looks 20,000 random keys up, adds to their values and applies them; merges and manifests run in between, all in one
thread. Processor time of the whole process, system calls included; the loading of the keys is not counted.
"""
import os
import re

import lib

SCALE = float(os.environ.get("LEAT_BENCH_SCALE", "1"))  # of the numbers of keys and upserts


def runs(report, program, shape, keys, upserts, count):
    """Nanoseconds of processor time an upsert."""
    times = []
    for _ in range(count):
        out, _, _ = lib.run([program, shape, str(keys * SCALE), str(upserts * SCALE), lib.DATA], timeout_s=600)
        report.line(out.strip())
        times.append(float(re.search(r"(\d+) ns CPU each", out).group(1)))
    return times


def measure(report):
    program = lib.build("src/state/bench_state")
    os.makedirs(lib.DATA, exist_ok=True)
    few = runs(report, program, "two", 4, 12, report.runs)
    many = runs(report, program, "two", 50, 12, report.runs)
    wide = runs(report, program, "wide", 4, 6, report.runs)
    report.figure("upserts a core, 2 columns, 4 M keys", "M/s", [1000 / ns for ns in few], target="≥ 1.5")
    report.figure("the same, 50 M keys", "M/s", [1000 / ns for ns in many])
    report.figure("CPU of an upsert, 50 M keys against 4 M", "times", [b / a for a, b in zip(few, many)], target="≤ 1.5")
    report.figure("upserts a core, 7 columns of 200 bytes, 4 M keys", "M/s", [1000 / ns for ns in wide])
